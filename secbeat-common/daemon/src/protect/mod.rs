//! Networks that are never banned on this host, so that SecBeat cannot lock its owner out: loopback, the host's own addresses,
//! its gateways and resolvers, the NATS server, the upstream, the peers of SSH sessions, trusted proxies, and whatever the config
//! lists.
//!
//! [`collect`] looks at this host alone and answers at once; names are resolved apart from it ([`Known::resolve`]),
//! since that may take as long as a resolver likes.

mod config;
mod network;
mod routes;
pub mod sessions;

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, ToSocketAddrs as _},
    sync::Arc,
};

use parking_lot::RwLock;
use secbeat_common::{maps::allow, prefix::Prefix};
use tracing::warn;

use crate::program;

pub use self::{
    config::{Allowed, Protect, everybody},
    network::{RESOLV_CONF, RESOLVED_UPLINKS},
    routes::default_route_interfaces,
};

/// Protected networks, each with a code of [`allow`]. On an edge the enforcer, the
/// kernel's allowlist and the L7 side share one.
#[derive(Debug, Default)]
pub struct Protected {
    nets: RwLock<Arc<HashMap<Prefix, u32>>>,
}

impl Protected {
    /// Starts with `nets`.
    #[must_use]
    pub fn new(nets: HashMap<Prefix, u32>) -> Self {
        Self {
            nets: RwLock::new(Arc::new(nets)),
        }
    }

    /// All networks.
    #[must_use]
    pub fn nets(&self) -> Arc<HashMap<Prefix, u32>> {
        self.nets.read().clone()
    }

    /// Replaces them; tells whether anything changed.
    pub fn replace(&self, nets: HashMap<Prefix, u32>) -> bool {
        let mut current = self.nets.write();
        let changed = **current != nets;
        if changed {
            *current = Arc::new(nets);
        }
        changed
    }

    /// Whether `address` is protected.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.nets().keys().any(|net| net.contains(address))
    }

    /// Whether all of `target` is protected. One protected address within a banned /64 does not protect its neighbours:
    /// the kernel and the L7 side let that address alone through.
    #[must_use]
    pub fn covers(&self, target: &Prefix) -> bool {
        self.nets().keys().any(|net| net.covers(target))
    }
}

/// Returns what people and programs read for a code of [`allow`].
#[must_use]
pub const fn reason_name(code: u32) -> &'static str {
    match code {
        allow::CONFIGURED => "configured",
        allow::LOOPBACK => "loopback",
        allow::OWN_ADDRESS => "own-address",
        allow::GATEWAY => "gateway",
        allow::RESOLVER => "resolver",
        allow::BUS => "bus",
        allow::SSH_PEER => "ssh-peer",
        allow::UPSTREAM => "upstream",
        allow::TRUSTED_PROXY => "trusted-proxy",
        allow::FLEET => "fleet",
        allow::LOCAL => "local",
        _ => "unknown",
    }
}

/// The name of a reason, as people read it: on one host, the allowlist is not that of a fleet.
#[must_use]
pub fn shown_reason(name: &str) -> &str {
    match name {
        "fleet" if program::is_one_host() => "allowlist",
        name => name,
    }
}

/// Host and port of a server.
pub type Server = (String, u16);

/// Addresses that the collector is given, and does not find itself.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub configured: Vec<Allowed>,
    /// Proxies that name their clients.
    pub trusted_proxies: Vec<Prefix>,
    /// The NATS servers.
    pub bus: Vec<Server>,
    /// The servers behind the proxy.
    pub upstreams: Vec<Server>,
    /// The operator who started this process by hand, if that was over SSH ([`sessions::operator`]).
    pub operator: Option<IpAddr>,
}

/// The addresses behind the names of [`Known`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// In the order of [`Known::bus`].
    pub bus: Vec<Vec<IpAddr>>,
    /// In the order of [`Known::upstreams`].
    pub upstreams: Vec<Vec<IpAddr>>,
}

impl Known {
    /// Resolves the servers' names; blocks for as long as that takes. A name that cannot be resolved keeps what it had
    /// in `before`.
    #[must_use]
    pub fn resolve(&self, before: &Names) -> Names {
        let addresses = |servers: &[Server], before: &[Vec<IpAddr>]| {
            let servers = servers.iter().enumerate();
            servers
                .map(|(index, server)| {
                    resolve(server).unwrap_or_else(|| before.get(index).cloned().unwrap_or_default())
                })
                .collect()
        };
        Names {
            bus: addresses(&self.bus, &before.bus),
            upstreams: addresses(&self.upstreams, &before.upstreams),
        }
    }
}

fn resolve((host, port): &Server) -> Option<Vec<IpAddr>> {
    match (host.as_str(), *port).to_socket_addrs() {
        Ok(addresses) => {
            let mut addresses: Vec<_> = addresses.map(|address| address.ip()).collect();
            // Resolvers turn their answers round; the order must not look like a change.
            addresses.sort_unstable();
            Some(addresses)
        }
        Err(error) => {
            warn!(host, %error, "cannot resolve a server to protect its address");
            None
        }
    }
}

/// Looks the host over, at `now_ms`. It reads a few files and asks nobody, so it does not block.
///
/// What cannot be read keeps what it had in `before`: a daemon that has run out of file descriptors, as it may under
/// attack, must not forget whom to protect.
#[must_use]
pub fn collect(
    known: &Known,
    names: &Names,
    before: &HashMap<Prefix, u32>,
    now_ms: i64,
) -> HashMap<Prefix, u32> {
    let sessions = sessions::peers().map(|mut peers| {
        peers.extend(known.operator);
        peers
    });
    // Of several reasons for one address the last is the one that is told.
    let found = [
        (allow::SSH_PEER, sessions),
        (allow::UPSTREAM, Ok(names.upstreams.concat())),
        (allow::BUS, Ok(names.bus.concat())),
        (allow::RESOLVER, network::resolvers()),
        (allow::GATEWAY, routes::gateways()),
        (allow::OWN_ADDRESS, network::own_addresses()),
    ];
    let mut nets = HashMap::new();
    for (reason, addresses) in found {
        nets.extend(
            found_or_kept(reason, addresses, before)
                .into_iter()
                .filter(|address| !address.is_unspecified())
                .map(|address| (Prefix::host(address), reason)),
        );
    }
    nets.extend(
        ["127.0.0.0/8", "::1/128"]
            .iter()
            .filter_map(|net| Some((net.parse().ok()?, allow::LOOPBACK))),
    );
    let proxies = known.trusted_proxies.iter();
    nets.extend(proxies.map(|network| (*network, allow::TRUSTED_PROXY)));
    nets.extend(
        known
            .configured
            .iter()
            .filter(|entry| entry.holds_at(now_ms))
            .map(|entry| (entry.network, allow::CONFIGURED)),
    );
    nets
}

fn found_or_kept(reason: u32, found: io::Result<Vec<IpAddr>>, before: &HashMap<Prefix, u32>) -> Vec<IpAddr> {
    found.unwrap_or_else(|error| {
        warn!(
            reason = reason_name(reason),
            %error,
            "cannot look for addresses to protect; those found before stay"
        );
        before
            .iter()
            .filter(|(_, known)| **known == reason)
            .map(|(net, _)| net.addr())
            .collect()
    })
}

#[cfg(test)]
mod tests;
