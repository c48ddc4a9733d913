//! From where somebody is logged in over SSH. A TCP connection to the SSH port does not show that: anybody can open one.
//!
//! Who has logged in is on record in two places, and hosts have one, the other or both: systemd-logind's
//! ([`LOGIND`]) and the older login records ([`UTMP`]). Neither needs a daemon to be asked.

mod logind;
mod operator;
mod utmp;

use std::{
    cmp::Reverse,
    collections::HashMap,
    io::{self, ErrorKind},
    net::IpAddr,
    path::Path,
};

pub use self::{logind::SESSIONS as LOGIND, operator::operator, utmp::PATH as UTMP};

/// Most addresses that sessions protect: a user with an account must not be able to fill the kernel's allowlist.
const MAX_PEERS: usize = 256;

/// Somebody who is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Login {
    /// Seconds since 1970.
    at_s: u64,
    peer: IpAddr,
}

/// The other ends of SSH sessions that somebody has logged in to: of the latest logins, at most 256, each once.
///
/// # Errors
///
/// Returns an error if a record is there and cannot be read.
pub(super) fn peers() -> io::Result<Vec<IpAddr>> {
    let mut logins = absent_is_empty(logind::logins(Path::new(LOGIND)))?;
    logins.extend(absent_is_empty(utmp::logins(Path::new(UTMP)))?);
    Ok(latest(logins))
}

/// Anyone who logs in now, as to mend something, is protected whatever sessions were left open before.
fn latest(logins: Vec<Login>) -> Vec<IpAddr> {
    let mut times = HashMap::new();
    for Login { at_s, peer } in logins {
        let time = times.entry(peer).or_insert(at_s);
        *time = at_s.max(*time);
    }
    let mut peers: Vec<_> = times.into_iter().collect();
    peers.sort_unstable_by_key(|&(peer, at_s)| (Reverse(at_s), peer));
    peers.into_iter().take(MAX_PEERS).map(|(peer, _)| peer).collect()
}

fn absent_is_empty(read: io::Result<Vec<Login>>) -> io::Result<Vec<Login>> {
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn login(at_s: u64, number: u32) -> Login {
        let peer = IpAddr::V4(Ipv4Addr::from_bits(number));
        Login { at_s, peer }
    }

    /// The lowest addresses were, no matter who had come when.
    #[test]
    fn the_latest_logins_are_protected_each_peer_once() {
        let old = (0..300).map(|number| login(1000, number));
        // A peer of long ago that has logged in again, and one with a high address.
        let new = [login(2000, 299), login(2000, u32::MAX), login(500, u32::MAX)];
        let found = latest(old.chain(new).collect());
        assert_eq!(found.len(), MAX_PEERS);
        assert_eq!(found[..2], [login(0, 299).peer, login(0, u32::MAX).peer]);
        assert_eq!(found[2], login(0, 0).peer);
        assert_eq!(found.last(), Some(&login(0, 253).peer));
    }
}
