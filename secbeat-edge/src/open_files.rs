//! Limit of files and connections that the daemon may have open.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit on open files (getrlimit(2), `RLIMIT_NOFILE`) as far as the daemon may, and complains if that is less than
/// `needed`: past it no connection is accepted, no server reached and no log read. With a proxy, most are for its connections.
///
/// # Errors
///
/// Returns an error if the limit cannot be read or raised.
pub fn raise_limit(needed: u64, has_proxy: bool) -> io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    if most < needed {
        let or_else = match has_proxy {
            true => ", or lower proxy.max_connections",
            false => "",
        };
        tracing::warn!(
            limit = most,
            needed,
            "too few files may be open: raise LimitNOFILE of the unit{or_else}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let (before, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, before.min(256), most).unwrap();
        raise_limit(u64::MAX, true).unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (most, most));
    }
}
