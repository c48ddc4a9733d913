//! What joins an edge's host with its clients' host: a veth pair, or two real network cards.

use std::env;

use crate::lab::netns::{End, Namespace, link};

/// Names two cards of the initial namespace that are wired to each other, as `eth0 eth1`.
const CARDS: &str = "SECBEAT_WIRED_CARDS";

/// A kind of wire; by it, the driver that XDP attaches to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// A veth pair.
    Veth,
    /// The two cards that `SECBEAT_WIRED_CARDS` names. There is one such wire: tests that use it take turns.
    Cards,
}

impl Wire {
    /// Joins `host` with `clients`, gives both ends their addresses, and returns the name of `host`'s interface.
    ///
    /// # Panics
    ///
    /// When cards are asked for and the environment names no two.
    #[must_use]
    pub fn join(
        self,
        (host, host_addresses): (&Namespace, &[&str]),
        (clients, client_addresses): (&Namespace, &[&str]),
    ) -> String {
        let end = |namespace, interface, addresses| End {
            namespace,
            interface,
            addresses,
        };
        match self {
            Self::Veth => {
                let near = "uplink";
                link(
                    end(host, near, host_addresses),
                    end(clients, "eth0", client_addresses),
                );
                near.to_owned()
            }
            Self::Cards => {
                let cards = env::var(CARDS).unwrap_or_else(|_| panic!("{CARDS} names no network cards"));
                let (near, far) = cards.split_once(' ').expect("two names of network cards");
                for (namespace, card, addresses) in
                    [(host, near, host_addresses), (clients, far, client_addresses)]
                {
                    namespace.take_card(card);
                    end(namespace, card, addresses).configure();
                }
                near.to_owned()
            }
        }
    }
}
