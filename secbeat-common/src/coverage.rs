//! Share of all clients that some networks hold together.

use ipnet::IpNet;

use crate::prefix::Prefix;

/// The addresses of a family that clients have: what is not multicast, not reserved, and not "this network" (RFC 6890), and for
/// IPv6 what is globally routed (RFC 4291, section 2.5.4).
const CLIENTS_V4: [&str; 9] = [
    "1.0.0.0/8",
    "2.0.0.0/7",
    "4.0.0.0/6",
    "8.0.0.0/5",
    "16.0.0.0/4",
    "32.0.0.0/3",
    "64.0.0.0/2",
    "128.0.0.0/2",
    "192.0.0.0/3",
];
const CLIENTS_V6: [&str; 1] = ["2000::/3"];

/// Share of a family's clients that some networks hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// `IPv4` or `IPv6`.
    pub family: &'static str,
    /// Addresses that they hold, and all.
    held: u128,
    all: u128,
}

impl Coverage {
    /// Of `networks`, for IPv4 and for IPv6.
    #[must_use]
    pub fn of(networks: impl IntoIterator<Item = Prefix>) -> [Self; 2] {
        let networks: Vec<_> = networks
            .into_iter()
            .filter_map(|net| IpNet::new(net.addr(), net.len()).ok())
            .collect();
        let networks = IpNet::aggregate(&networks);
        let of = |family, clients: &[&str]| {
            let clients: Vec<IpNet> = clients.iter().filter_map(|net| net.parse().ok()).collect();
            let held = clients
                .iter()
                .flat_map(|part| networks.iter().map(|net| common(part, net)));
            Self {
                family,
                held: held.sum(),
                all: clients.iter().map(size).sum(),
            }
        };
        [of("IPv4", &CLIENTS_V4), of("IPv6", &CLIENTS_V6)]
    }

    /// Whether no client is left out.
    #[must_use]
    pub const fn is_everybody(self) -> bool {
        self.held == self.all
    }

    /// Whether it is a quarter of the clients or more, as much as an IPv4 /2.
    #[must_use]
    pub const fn is_wide(self) -> bool {
        self.held * 4 >= self.all
    }

    /// The part of the clients in percent, rounded down.
    #[must_use]
    pub const fn percent(self) -> u128 {
        self.held / (self.all / 100)
    }
}

/// Addresses of a network.
fn size(net: &IpNet) -> u128 {
    1 << (net.max_prefix_len() - net.prefix_len())
}

/// Addresses that are in both.
fn common(one: &IpNet, other: &IpNet) -> u128 {
    if one.contains(other) {
        size(other)
    } else if other.contains(one) {
        size(one)
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coverage(networks: &[&str]) -> [(u128, bool, bool); 2] {
        let networks = networks.iter().map(|net| net.parse().unwrap());
        Coverage::of(networks).map(|part| (part.percent(), part.is_wide(), part.is_everybody()))
    }

    #[test]
    fn networks_that_are_everybody_together_are_found_out() {
        let nobody = (0, false, false);
        let everybody = (100, true, true);
        for (networks, expected) in [
            (&[][..], [nobody; 2]),
            (&["192.0.2.0/24", "2001:db8::/32"], [nobody; 2]),
            (&["0.0.0.0/0"], [everybody, nobody]),
            (&["0.0.0.0/1", "128.0.0.0/1"], [everybody, nobody]),
            // Multicast is nobody's.
            (&["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/3"], [everybody, nobody]),
            (
                &["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/4"],
                [(92, true, false), nobody],
            ),
            (&["2000::/4", "3000::/4"], [nobody, everybody]),
            (&["8000::/1"], [nobody; 2]),
            (&["64.0.0.0/2"], [(28, true, false), nobody]),
            (&["64.0.0.0/3"], [(14, false, false), nobody]),
            // One that lies in another counts once.
            (
                &["64.0.0.0/3", "64.0.0.0/3", "64.0.0.0/8"],
                [(14, false, false), nobody],
            ),
            (&["2000::/5"], [nobody, (25, true, false)]),
        ] {
            assert_eq!(coverage(networks), expected, "{networks:?}");
        }
    }
}
