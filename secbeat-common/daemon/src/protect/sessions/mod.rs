//! From where somebody is logged in over SSH. A TCP connection to the SSH port is none of that: anybody can open one.
//!
//! Who has logged in is on record in two places, and hosts have one, the other or both: systemd-logind's
//! ([`LOGIND`]) and the older login records ([`UTMP`]). Neither needs a daemon to be asked.

mod logind;
mod operator;
mod utmp;

use std::{
    collections::BTreeSet,
    io::{self, ErrorKind},
    net::IpAddr,
    path::Path,
};

pub use self::{logind::SESSIONS as LOGIND, operator::operator, utmp::PATH as UTMP};

/// Most addresses that sessions protect: a user with an account must not be able to fill the kernel's allowlist.
const MAX_PEERS: usize = 256;

/// The other ends of SSH sessions that somebody has logged in to: at most 256, each once.
///
/// # Errors
///
/// When a record is there and cannot be read.
pub(super) fn peers() -> io::Result<Vec<IpAddr>> {
    let mut peers = BTreeSet::new();
    peers.extend(absent_is_empty(logind::peers(Path::new(LOGIND)))?);
    peers.extend(absent_is_empty(utmp::peers(Path::new(UTMP)))?);
    Ok(peers.into_iter().take(MAX_PEERS).collect())
}

fn absent_is_empty(read: io::Result<Vec<IpAddr>>) -> io::Result<Vec<IpAddr>> {
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}
