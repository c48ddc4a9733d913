//! What differs between fleets, and between their clients.

use std::net::{IpAddr, SocketAddr};

/// The port on which the edge serves clients.
pub const PROXY_PORT: u16 = 8443;

/// Which protocol the clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    fn pick(self, v4: &str, v6: &str) -> IpAddr {
        let text = if self == Self::V4 { v4 } else { v6 };
        text.parse().expect("a constant address")
    }

    /// The attacker's address.
    #[must_use]
    pub fn attacker(self) -> IpAddr {
        self.pick("198.51.100.2", "2001:db8:a:1::2")
    }

    /// The visitor's address.
    #[must_use]
    pub fn visitor(self) -> IpAddr {
        self.pick("203.0.113.2", "2001:db8:b:1::2")
    }

    /// Where the attacker reaches the edge.
    #[must_use]
    pub fn edge_for_attacker(self) -> SocketAddr {
        SocketAddr::new(self.pick("198.51.100.1", "2001:db8:a::1"), PROXY_PORT)
    }

    /// Where the visitor reaches the edge.
    #[must_use]
    pub fn edge_for_visitor(self) -> SocketAddr {
        SocketAddr::new(self.pick("203.0.113.1", "2001:db8:b::1"), PROXY_PORT)
    }
}

/// Who answers the clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Front {
    /// The edge's reverse proxy, with nginx behind it.
    #[default]
    Proxy,
    /// nginx itself, whose access log the edge follows.
    Nginx,
}

/// What differs between fleets.
#[derive(Clone, Debug)]
pub struct Options {
    pub front: Front,
    /// How long a ban lasts, as in the config.
    pub ban: &'static str,
    /// `kernel`, `l7` or `both`.
    pub enforcement: &'static str,
    /// How often the edge compares the kernel with what it desires.
    pub reconcile: &'static str,
    /// Whether NATS lets in members alone, and commands are signed.
    pub secured: bool,
    /// Whether NATS is a cluster of three servers, which lets in members alone.
    pub clustered: bool,
    /// Whether the daemons' clocks can be set: see [`Fleet::set_clock`](super::Fleet::set_clock).
    pub own_clocks: bool,
    /// More of both daemons' environment.
    pub environment: Vec<(&'static str, &'static str)>,
    /// Slots in each of the edge's ban maps.
    pub ban_slots: u32,
    /// More of the edge's config: keys of no table.
    pub more_keys: String,
    /// Keys of `[proxy]`.
    pub proxy_keys: String,
    /// Whole tables.
    pub more_config: String,
    /// More of the orchestrator's config: whole tables.
    pub more_orchestrator_config: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            front: Front::default(),
            ban: "60s",
            enforcement: "both",
            reconcile: "1s",
            secured: false,
            clustered: false,
            own_clocks: false,
            environment: Vec::new(),
            ban_slots: 4096,
            more_keys: String::new(),
            proxy_keys: String::new(),
            more_config: String::new(),
            more_orchestrator_config: String::new(),
        }
    }
}

impl Options {
    /// Whether the daemons have credentials.
    pub(super) const fn is_secured(&self) -> bool {
        self.secured || self.clustered
    }
}
