//! Administrators of this host right now, found so that they are not locked out.

use std::{fs, net::IpAddr};

use secbeat_daemon::protect::sessions;

/// How the operator who runs this came here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Admins {
    /// Over SSH, from there.
    Ssh(IpAddr),
    /// At a console of the host, which no packet reaches.
    Console,
    /// It cannot be told: by a configuration tool, say.
    #[default]
    Unknown,
}

impl Admins {
    pub(super) fn look() -> Self {
        if let Some(peer) = sessions::operator() {
            return Self::Ssh(peer);
        }
        let terminal = fs::read_link("/proc/self/fd/0").unwrap_or_default();
        match is_console(&terminal.to_string_lossy()) {
            true => Self::Console,
            false => Self::Unknown,
        }
    }

    pub(super) fn peer(self) -> Option<IpAddr> {
        match self {
            Self::Ssh(peer) => Some(peer),
            Self::Console | Self::Unknown => None,
        }
    }
}

/// Whether a terminal belongs to the host itself: a virtual or serial console, not a pseudo-terminal.
fn is_console(terminal: &str) -> bool {
    let Some(name) = terminal.strip_prefix("/dev/") else {
        return false;
    };
    let is_numbered = |prefix: &str| {
        let number = name.strip_prefix(prefix);
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    name == "console"
        || ["tty", "ttyS", "ttyAMA", "hvc", "xvc"]
            .into_iter()
            .any(is_numbered)
}

#[cfg(test)]
mod tests {
    use super::is_console;

    #[test]
    fn a_pseudo_terminal_is_no_console() {
        for terminal in ["/dev/tty1", "/dev/ttyS0", "/dev/hvc0", "/dev/console"] {
            assert!(is_console(terminal), "{terminal}");
        }
        for terminal in [
            "/dev/pts/0",
            "/dev/null",
            "pipe:[12]",
            "/dev/tty",
            "",
            "/dev/ttyS",
        ] {
            assert!(!is_console(terminal), "{terminal}");
        }
    }
}
