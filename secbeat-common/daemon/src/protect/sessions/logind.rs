//! Sessions as systemd-logind keeps them: a file of `KEY=value` lines for each, as libsystemd's `sd_session_get_*` reads
//! them.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// The folder of the files.
pub const SESSIONS: &str = "/run/systemd/sessions";

pub(super) fn peers(folder: &Path) -> io::Result<Vec<IpAddr>> {
    let mut peers = Vec::new();
    for path in session_files(folder)? {
        match fs::read(&path) {
            Ok(text) => peers.extend(peer(&String::from_utf8_lossy(&text))),
            // The session has ended since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(peers)
}

/// Regular files alone: beside each session lies a FIFO, and reading that would wait for the session's end.
fn session_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// Whence the session came, if somebody is logged in by SSH.
///
/// A host name says nothing (`UseDNS yes`): it is the visitor's to choose.
fn peer(session: &str) -> Option<IpAddr> {
    let value = |key: &str| {
        session
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    // `closing` is a session that was logged out of and has left processes behind.
    let logged_in = matches!(value("STATE")?, "active" | "online");
    // FTP and mail servers open sessions too, some of them for anybody. Dropbear signs as sshd.
    let by_ssh = value("SERVICE")? == "sshd";
    if !logged_in || !by_ssh || value("REMOTE")? != "1" {
        return None;
    }
    value("REMOTE_HOST")?.split('%').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "# This is private data. Do not parse.\nUID=1000\nUSER=alice\nACTIVE=1\nIS_DISPLAY=0\nSTATE=active\nREMOTE=1\nTYPE=tty\nCLASS=user\nSCOPE=session-3.scope\nFIFO=/run/systemd/sessions/3.ref\nREMOTE_HOST=198.51.100.7\nSERVICE=sshd\nLEADER=4242\nAUDIT=3\n";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_session_of_sshd_tells_its_peer() {
        assert_eq!(peer(SESSION), Some(ip("198.51.100.7")));
        let zoned = SESSION.replace("198.51.100.7", "fe80::7%eth0");
        assert_eq!(peer(&zoned), Some(ip("fe80::7")));
        let unobserved = SESSION.replace("STATE=active", "STATE=online");
        assert_eq!(peer(&unobserved), Some(ip("198.51.100.7")));
    }

    #[test]
    fn what_is_no_live_ssh_session_tells_nobody() {
        for (from, to) in [
            ("STATE=active", "STATE=closing"),
            ("STATE=active", "STATE=opening"),
            ("REMOTE=1", "REMOTE=0"),
            ("SERVICE=sshd", "SERVICE=vsftpd"),
            ("REMOTE_HOST=198.51.100.7", "REMOTE_HOST=office.example.org"),
            ("REMOTE_HOST=198.51.100.7\n", ""),
        ] {
            assert_eq!(peer(&SESSION.replace(from, to)), None, "{to}");
        }
        assert_eq!(peer(""), None);
    }

    #[test]
    fn a_folder_of_sessions_is_read_and_fifos_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("3"), SESSION).unwrap();
        fs::write(folder.path().join("4"), "nonsense \u{0}\n").unwrap();
        nix::unistd::mkfifo(&folder.path().join("3.ref"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(peers(folder.path()).unwrap(), [ip("198.51.100.7")]);
    }
}
