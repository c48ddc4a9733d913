//! What the host's network needs to go on working: its own addresses, gateways and resolvers.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};

/// Names the resolvers; often a symbolic link into `/run`.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The resolvers that systemd-resolved asks, where `RESOLV_CONF` names only its stub on loopback.
pub const RESOLVED_UPLINKS: &str = "/run/systemd/resolve/resolv.conf";

pub(super) fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let address = |interface: InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
    };
    Ok(getifaddrs()?.filter_map(address).collect())
}

pub(super) fn resolvers() -> io::Result<Vec<IpAddr>> {
    let mut found = Vec::new();
    for path in [RESOLV_CONF, RESOLVED_UPLINKS] {
        found.extend(nameservers(&read_if_present(path)?));
    }
    Ok(found)
}

fn read_if_present(path: &str) -> io::Result<String> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        read => read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Nameservers of a `resolv.conf(5)`.
fn nameservers(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let address = (words.next()? == "nameserver").then(|| words.next())??;
        // `fe80::1%eth0`: the zone is no part of what packets carry.
        address.split('%').next()?.parse().ok()
    };
    text.lines().filter_map(server).collect()
}

/// Gateways of the default routes.
pub(super) fn gateways() -> io::Result<Vec<IpAddr>> {
    Ok(default_routes()?.into_iter().map(|route| route.gateway).collect())
}

/// The interfaces that the default routes of this network namespace go through, IPv4 and IPv6.
///
/// # Errors
///
/// When the kernel's routing tables cannot be read.
pub fn default_route_interfaces() -> io::Result<Vec<String>> {
    let mut names: Vec<_> = default_routes()?
        .into_iter()
        .map(|route| route.interface)
        .collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

#[derive(Debug, PartialEq, Eq)]
struct DefaultRoute {
    gateway: IpAddr,
    interface: String,
}

fn default_routes() -> io::Result<Vec<DefaultRoute>> {
    let mut found = routes_in("/proc/net/route", route_v4)?;
    found.extend(routes_in("/proc/net/ipv6_route", route_v6)?);
    Ok(found)
}

/// Line by line: a router's table may have a million of them.
fn routes_in(table: &str, route: fn(&str) -> Option<DefaultRoute>) -> io::Result<Vec<DefaultRoute>> {
    let lines = match File::open(table) {
        // No such family on this host.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        file => BufReader::new(file?).lines(),
    };
    lines
        .filter_map(|line| line.map(|line| route(&line)).transpose())
        .collect()
}

/// `RTF_REJECT` of `linux/route.h`: a route that leads nowhere.
const REJECT: u32 = 0x200;

/// A line of `/proc/net/route`, if it is a default route.
fn route_v4(line: &str) -> Option<DefaultRoute> {
    let mut fields = line.split_whitespace();
    let (interface, destination, gateway) = (fields.next()?, fields.next()?, fields.next()?);
    let flags = u32::from_str_radix(fields.next()?, 16).ok()?;
    let mask = fields.nth(3)?;
    let gateway = u32::from_str_radix(gateway, 16).ok()?;
    (destination == "00000000" && mask == "00000000" && flags & REJECT == 0).then(|| DefaultRoute {
        gateway: IpAddr::V4(Ipv4Addr::from(gateway.to_ne_bytes())),
        interface: interface.to_owned(),
    })
}

/// A line of `/proc/net/ipv6_route`, if it is a default route.
fn route_v6(line: &str) -> Option<DefaultRoute> {
    let mut fields = line.split_whitespace();
    let (destination, len) = (fields.next()?, fields.next()?);
    let gateway = u128::from_str_radix(fields.nth(2)?, 16).ok()?;
    let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
    let interface = fields.next()?;
    (destination.bytes().all(|digit| digit == b'0') && len == "00" && flags & REJECT == 0).then(|| {
        DefaultRoute {
            gateway: IpAddr::V6(Ipv6Addr::from(gateway)),
            interface: interface.to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn resolvers_are_read_from_resolv_conf() {
        let text = "# comment\nsearch example.org\nnameserver 192.0.2.53\nnameserver\tfe80::1%eth0\n nameserver 2001:db8::53 # ours\nnameserver\nnameservers 192.0.2.54\noptions edns0\n";
        assert_eq!(nameservers(text), ips(&["192.0.2.53", "fe80::1", "2001:db8::53"]));
    }

    #[test]
    fn default_gateways_are_read_from_the_routing_tables() {
        let v4 = [
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT",
            "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0",
            "eth0\t00000000\t020200C0\t0003\t0\t0\t0\t000000FF\t0\t0\t0",
            "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
            "ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0",
            "*\t00000000\t00000000\t0200\t0\t0\t0\t00000000\t0\t0\t0",
            "",
        ];
        let route = |interface: &str, gateway: &str| DefaultRoute {
            gateway: gateway.parse().unwrap(),
            interface: interface.to_owned(),
        };
        let found: Vec<_> = v4.into_iter().filter_map(route_v4).collect();
        assert_eq!(found, [route("eth0", "192.0.2.1"), route("ppp0", "0.0.0.0")]);
        let zero = "0".repeat(32);
        let gateway = "20010db8000000000000000000000001";
        let v6 = [
            format!("{zero} 00 {zero} 00 {gateway} 00000400 1 0 00000003 eth0"),
            format!("{zero} 01 {zero} 00 {gateway} 00000400 1 0 00000003 eth0"),
            // Hosts without IPv6 have one that leads nowhere.
            format!("{zero} 00 {zero} 00 {zero} ffffffff 1 0 00200200       lo"),
            String::new(),
        ];
        let found: Vec<_> = v6.iter().filter_map(|line| route_v6(line)).collect();
        assert_eq!(found, [route("eth0", "2001:db8::1")]);
    }
}
