//! The operator who runs this very process by hand over SSH.

use std::{fs, net::IpAddr};

/// Processes looked at on the way up from this one.
const MAX_ANCESTORS: usize = 32;

/// The peer of the SSH session in which this process, or a process that started it, began. It is found where login
/// records are not kept; a service has none.
///
/// sshd tells its children in their environment. `sudo` hides that from its own children, so the search goes up.
#[must_use]
pub fn operator() -> Option<IpAddr> {
    let mut pid = std::process::id();
    for _ in 0..MAX_ANCESTORS {
        let process = format!("/proc/{pid}");
        if let Some(peer) = fs::read(format!("{process}/environ"))
            .ok()
            .and_then(|environ| peer(&environ))
        {
            return Some(peer);
        }
        pid = parent(&fs::read_to_string(format!("{process}/status")).ok()?)?;
    }
    None
}

/// The first word of `SSH_CONNECTION`, or of the older `SSH_CLIENT`, in an environment as `/proc` shows it.
fn peer(environ: &[u8]) -> Option<IpAddr> {
    let value = |name: &[u8]| {
        environ
            .split(|&byte| byte == 0)
            .find_map(|variable| variable.strip_prefix(name)?.strip_prefix(b"="))
    };
    let value = value(b"SSH_CONNECTION").or_else(|| value(b"SSH_CLIENT"))?;
    let address = std::str::from_utf8(value).ok()?.split(' ').next()?;
    address.split('%').next()?.parse().ok()
}

/// The parent in a `/proc/PID/status`; none above the first process.
fn parent(status: &str) -> Option<u32> {
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    parent.trim().parse().ok().filter(|&pid| pid != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_of_an_ssh_session_tells_its_peer() {
        let found = |environ: &str| peer(environ.as_bytes()).map(|peer| peer.to_string());
        let connection = "HOME=/root\0SSH_CONNECTION=198.51.100.7 50000 192.0.2.1 22\0";
        assert_eq!(found(connection).as_deref(), Some("198.51.100.7"));
        assert_eq!(
            found("SSH_CLIENT=fe80::7%eth0 50000 22\0").as_deref(),
            Some("fe80::7")
        );
        for nobody in [
            "",
            "SSH_CONNECTION=\0",
            "NOT_SSH_CLIENT=192.0.2.7 1 2\0",
            "SSH_CLIENT=UNKNOWN 1 2",
        ] {
            assert_eq!(found(nobody), None, "{nobody:?}");
        }
    }

    #[test]
    fn the_way_up_ends_above_the_first_process() {
        assert_eq!(parent("Name:\tsh\nPPid:\t4242\nUid:\t0\n"), Some(4242));
        assert_eq!(parent("Name:\tinit\nPPid:\t0\n"), None);
        assert_eq!(parent(""), None);
    }
}
