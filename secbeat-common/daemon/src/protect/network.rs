//! Addresses that the host's network needs to go on working: its own addresses and resolvers.

use std::{
    fs,
    io::{self, ErrorKind},
    net::IpAddr,
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
}
