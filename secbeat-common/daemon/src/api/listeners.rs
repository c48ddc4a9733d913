//! To whom a token goes: through no network in plain text, and to no stranger who has taken the daemon's port on this host.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    path::Path,
};

use anyhow::Context as _;
use ureq::http::uri::Authority;

/// The state of a socket that listens (`TCP_LISTEN`).
const LISTENS: &str = "0A";

/// To whom a token goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To whom a certificate names.
    Tls,
    /// To the one that listens at one of these.
    ThisHost(Vec<SocketAddr>),
    /// In plain text, to anyone who listens on the way.
    Network,
}

impl Target {
    pub(super) fn of(base: &str) -> Self {
        let Some(rest) = base.strip_prefix("http://") else {
            return Self::Tls;
        };
        let Ok(authority) = rest.parse::<Authority>() else {
            return Self::Network;
        };
        let (host, port) = (authority.host(), authority.port_u16().unwrap_or(80));
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let addresses = match address {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) if host == "localhost" => (host, port).to_socket_addrs().into_iter().flatten().collect(),
            Err(_) => return Self::Network,
        };
        let is_loopback = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
        match addresses.iter().all(is_loopback) {
            true => Self::ThisHost(addresses),
            false => Self::Network,
        }
    }
}

/// The users whose sockets accept connections to `address`, in this network namespace.
///
/// # Errors
///
/// Returns an error if the kernel does not tell.
pub(super) fn owners(address: SocketAddr) -> anyhow::Result<Vec<u32>> {
    let mut owners = Vec::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        // Without IPv6 there is one table.
        if Path::new(table).exists() {
            let text = fs::read_to_string(table).with_context(|| format!("reading {table}"))?;
            owners.extend(listening(&text, address));
        }
    }
    Ok(owners)
}

fn listening(table: &str, address: SocketAddr) -> impl Iterator<Item = u32> {
    table.lines().skip(1).filter_map(move |line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = parse(fields.next()?)?;
        let state = fields.nth(1)?;
        let owner = fields.nth(3)?.parse().ok()?;
        let ip = local.ip().to_canonical();
        let takes = ip == address.ip().to_canonical() || ip.is_unspecified();
        (state == LISTENS && local.port() == address.port() && takes).then_some(owner)
    })
}

/// As `0100007F:1F90`: the address in words of 32 bits of this machine's order.
fn parse(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |from: usize| u32::from_str_radix(address.get(from..from + 8)?, 16).ok();
    let ip: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?.to_ne_bytes()).into(),
        32 => {
            let mut bytes = [0; 16];
            for (index, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(index * 8)?.to_ne_bytes());
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use nix::unistd::geteuid;

    use super::*;

    #[test]
    fn the_kernel_tells_who_listens() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            // A host may have no IPv6.
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let local = listener.local_addr().unwrap();
            let reached = match local.ip() {
                ip if !ip.is_unspecified() => ip,
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            let reached = SocketAddr::new(reached, local.port());
            assert_eq!(owners(reached).unwrap(), [geteuid().as_raw()], "{address}");
            drop(listener);
            assert!(owners(reached).unwrap().is_empty(), "{address}");
        }
    }

    #[test]
    fn connections_and_other_addresses_do_not_listen() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:0BD6 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0 100 0 0 10 0\n\
            1: 0100007F:0BD6 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1001        0 1 1 0 100 0 0 10 0\n\
            2: 010200C0:0BD6 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1002        0 1 1 0 100 0 0 10 0\n\
            3: 0100007F:0BD7 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1003        0 1 1 0 100 0 0 10 0\n";
        if cfg!(target_endian = "little") {
            let owners: Vec<_> = listening(table, "127.0.0.1:3030".parse().unwrap()).collect();
            assert_eq!(owners, [1000]);
        }
    }

    #[test]
    fn a_token_crosses_no_network_in_plain_text() {
        assert_eq!(Target::of("https://orchestrator.example:3030"), Target::Tls);
        for (base, address) in [
            ("http://127.0.0.1:3030", "127.0.0.1:3030"),
            ("http://127.9.9.9", "127.9.9.9:80"),
            ("http://[::1]:3030", "[::1]:3030"),
        ] {
            assert_eq!(
                Target::of(base),
                Target::ThisHost(vec![address.parse().unwrap()]),
                "{base}"
            );
        }
        for base in [
            "http://orchestrator.example:3030",
            "http://192.0.2.1:3030",
            "http://[2001:db8::1]:3030",
            "http://localhost.example",
        ] {
            assert_eq!(Target::of(base), Target::Network, "{base}");
        }
    }
}
