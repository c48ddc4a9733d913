//! How many files and connections the daemon may have open.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit on open files (getrlimit(2), `RLIMIT_NOFILE`) as far as the daemon may, and complains if that is less than
/// `needed`: past it no connection is accepted and no server reached.
///
/// # Errors
///
/// When the limit cannot be read or raised.
pub fn raise_limit(needed: u64) -> io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    if most < needed {
        tracing::warn!(
            limit = most,
            needed,
            "too few files may be open for proxy.max_connections: raise LimitNOFILE of the unit, or lower max_connections"
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
        raise_limit(u64::MAX).unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (most, most));
    }
}
