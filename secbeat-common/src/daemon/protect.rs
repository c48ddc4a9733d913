//! Who is never banned on this host, so that SecBeat cannot lock its owner out: loopback, the host's own addresses, its
//! gateways and resolvers, the NATS server, the upstream, live SSH peers, and whatever the config lists.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, PoisonError, RwLock},
};

use nix::ifaddrs::getifaddrs;
use tracing::warn;

use crate::{maps::allow, prefix::Prefix};

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
        self.nets.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces them; tells whether anything changed.
    pub fn replace(&self, nets: HashMap<Prefix, u32>) -> bool {
        let mut current = self.nets.write().unwrap_or_else(PoisonError::into_inner);
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

/// What the collector is told rather than finds out.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub configured: Vec<Prefix>,
    /// Host and port of the NATS server.
    pub bus: Option<(String, u16)>,
    /// Host and port of the proxy's upstream.
    pub upstream: Option<(String, u16)>,
}

/// Looks the host over; it may block for as long as name resolution does. What cannot be found out is logged and left
/// out, but a name that cannot be resolved keeps what it had in `before`.
#[must_use]
pub fn collect(known: &Known, before: &HashMap<Prefix, u32>) -> HashMap<Prefix, u32> {
    let resolved = |server: &Option<(String, u16)>, reason| match server {
        Some(server) => resolve(server).unwrap_or_else(|| {
            before
                .iter()
                .filter(|(_, known)| **known == reason)
                .map(|(net, _)| net.addr())
                .collect()
        }),
        None => Vec::new(),
    };
    let mut nets = HashMap::new();
    for (reason, addresses) in [
        (allow::SSH_PEER, ssh_peers()),
        (allow::UPSTREAM, resolved(&known.upstream, allow::UPSTREAM)),
        (allow::BUS, resolved(&known.bus, allow::BUS)),
        (allow::RESOLVER, resolvers(&read("/etc/resolv.conf"))),
        (
            allow::GATEWAY,
            gateways(&read("/proc/net/route"), &read("/proc/net/ipv6_route")),
        ),
        (allow::OWN_ADDRESS, own_addresses()),
    ] {
        nets.extend(
            addresses
                .into_iter()
                .filter(|a| !a.is_unspecified())
                .map(|a| (Prefix::host(a), reason)),
        );
    }
    nets.extend(
        ["127.0.0.0/8", "::1/128"]
            .iter()
            .filter_map(|net| Some((net.parse().ok()?, allow::LOOPBACK))),
    );
    nets.extend(known.configured.iter().map(|net| (*net, allow::CONFIGURED)));
    nets
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn own_addresses() -> Vec<IpAddr> {
    let interfaces = match getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            warn!(%error, "cannot list this host's addresses to protect them");
            return Vec::new();
        }
    };
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
    };
    interfaces.filter_map(address).collect()
}

fn resolve((host, port): &(String, u16)) -> Option<Vec<IpAddr>> {
    use std::net::ToSocketAddrs as _;
    match (host.as_str(), *port).to_socket_addrs() {
        Ok(addresses) => Some(addresses.map(|address| address.ip()).collect()),
        Err(error) => {
            warn!(host, %error, "cannot resolve a server to protect its address");
            None
        }
    }
}

/// Nameservers of a `resolv.conf(5)`.
fn resolvers(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        line.trim()
            .strip_prefix("nameserver")?
            .split('%')
            .next()?
            .trim()
            .parse()
            .ok()
    };
    text.lines().filter_map(server).collect()
}

/// Default gateways from `/proc/net/route` and `/proc/net/ipv6_route`.
fn gateways(v4: &str, v6: &str) -> Vec<IpAddr> {
    let v4 = v4.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (destination, gateway) = (fields.next()?, fields.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok()?;
        (destination == "00000000").then(|| IpAddr::V4(Ipv4Addr::from(gateway.to_ne_bytes())))
    });
    let v6 = v6.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let default = fields.first()?.bytes().all(|b| b == b'0') && *fields.get(1)? == "00";
        let gateway = u128::from_str_radix(fields.get(4)?, 16).ok()?;
        default.then(|| IpAddr::V6(Ipv6Addr::from(gateway)))
    });
    v4.chain(v6).collect()
}

fn ssh_peers() -> Vec<IpAddr> {
    let mut peers = established_peers(&read("/proc/net/tcp"), SSH_PORT);
    peers.extend(established_peers(&read("/proc/net/tcp6"), SSH_PORT));
    peers
}

const SSH_PORT: u16 = 22;
/// `TCP_ESTABLISHED` in `/proc/net/tcp`.
const ESTABLISHED: &str = "01";

/// Remote addresses of established connections to the local `port`, from `/proc/net/tcp` or `/proc/net/tcp6`.
fn established_peers(table: &str, port: u16) -> Vec<IpAddr> {
    let peer = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        let local_port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
        (state == ESTABLISHED && local_port == port).then(|| proc_address(remote.split(':').next()?))?
    };
    table.lines().filter_map(peer).collect()
}

/// An address of `/proc/net/tcp{,6}`: 32-bit words in the machine's byte order, in hex.
fn proc_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        u32::from_str_radix(hex.get(at..at + 8)?, 16)
            .ok()
            .map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let bytes: Vec<u8> = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_host_itself_is_protected() {
        let nets = collect(&Known::default(), &HashMap::new());
        let protected = Protected::new(nets);
        assert!(protected.contains("127.0.0.1".parse().unwrap()));
        assert!(protected.contains("::1".parse().unwrap()));
        assert!(!protected.contains("198.51.100.7".parse().unwrap()));
    }

    #[test]
    fn configured_networks_upstream_and_bus_are_protected() {
        let known = Known {
            configured: vec!["203.0.113.0/24".parse().unwrap()],
            bus: Some(("192.0.2.10".to_owned(), 4222)),
            upstream: Some(("2001:db8::5".to_owned(), 80)),
        };
        let nets = collect(&known, &HashMap::new());
        assert_eq!(
            nets.get(&"203.0.113.0/24".parse().unwrap()),
            Some(&allow::CONFIGURED)
        );
        assert_eq!(nets.get(&"192.0.2.10/32".parse().unwrap()), Some(&allow::BUS));
        assert_eq!(
            nets.get(&"2001:db8::5/128".parse().unwrap()),
            Some(&allow::UPSTREAM)
        );
    }

    #[test]
    fn a_server_that_cannot_be_resolved_stays_protected_where_it_was() {
        let known = Known {
            bus: Some(("nats.invalid".to_owned(), 4222)),
            ..Known::default()
        };
        let before = HashMap::from([("192.0.2.10/32".parse().unwrap(), allow::BUS)]);
        assert_eq!(
            collect(&known, &before).get(&"192.0.2.10/32".parse().unwrap()),
            Some(&allow::BUS)
        );
    }

    #[test]
    fn one_protected_address_does_not_protect_its_neighbours() {
        let protected = Protected::new(HashMap::from([("2001:db8::5/128".parse().unwrap(), 1)]));
        assert!(protected.contains("2001:db8::5".parse().unwrap()));
        assert!(!protected.contains("2001:db8::6".parse().unwrap()));
        assert!(!protected.covers(&"2001:db8::/64".parse().unwrap()));
        assert!(protected.replace(HashMap::from([("2001:db8::/32".parse().unwrap(), 1)])));
        assert!(protected.covers(&"2001:db8::/64".parse().unwrap()));
    }

    #[test]
    fn resolvers_are_read_from_resolv_conf() {
        let text = "# comment\nsearch example.org\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\n nameserver 2001:db8::53\n";
        assert_eq!(resolvers(text), ips(&["192.0.2.53", "fe80::1", "2001:db8::53"]));
    }

    #[test]
    fn default_gateways_are_read_from_the_routing_tables() {
        let v4 = "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t010200C0\t0003\neth0\t000200C0\t00000000\t0001\n";
        let zero = "0".repeat(32);
        let v6 = format!("{zero} 00 {zero} 00 20010db8000000000000000000000001 00000400 1 0 00000003 eth0\n");
        assert_eq!(gateways(v4, &v6), ips(&["192.0.2.1", "2001:db8::1"]));
    }

    #[test]
    fn live_ssh_peers_are_read_from_the_socket_tables() {
        let table = "  sl  local_address rem_address   st\n   0: 0A0200C0:0016 076433C6:D431 01 0\n   1: 0A0200C0:0016 086433C6:D431 06 0\n   2: 0A0200C0:0050 096433C6:D431 01 0\n";
        assert_eq!(established_peers(table, 22), ips(&["198.51.100.7"]));
        let table6 = "h\n 0: 0000000000000000FFFF00000A0200C0:0016 0000000000000000FFFF0000076433C6:D431 01\n 1: B80D0120000000000000000001000000:0016 B80D0120000000000000000009000000:D431 01\n";
        assert_eq!(
            established_peers(table6, 22),
            ips(&["198.51.100.7", "2001:db8::9"])
        );
    }
}
