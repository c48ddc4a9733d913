//! Sessions as systemd-logind keeps them: a file of `KEY=value` lines for each, as libsystemd's `sd_session_get_*` reads
//! them.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use super::Login;

/// The folder of the files.
pub const SESSIONS: &str = "/run/systemd/sessions";

pub(super) fn logins(folder: &Path) -> io::Result<Vec<Login>> {
    let mut logins = Vec::new();
    for path in session_files(folder)? {
        match fs::read(&path) {
            Ok(text) => logins.extend(login(&String::from_utf8_lossy(&text))),
            // The session has ended since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(logins)
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

/// Whence the session came and when, if somebody is logged in by SSH.
///
/// A host name says nothing (`UseDNS yes`): it is the visitor's to choose.
fn login(session: &str) -> Option<Login> {
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
    let peer: IpAddr = value("REMOTE_HOST")?.split('%').next()?.parse().ok()?;
    // In microseconds.
    let at = value("REALTIME").and_then(|at| at.parse::<u64>().ok());
    Some(Login {
        at_s: at.unwrap_or(0) / 1_000_000,
        peer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "# This is private data. Do not parse.\nUID=1000\nUSER=alice\nACTIVE=1\nIS_DISPLAY=0\nSTATE=active\nREMOTE=1\nTYPE=tty\nCLASS=user\nSCOPE=session-3.scope\nFIFO=/run/systemd/sessions/3.ref\nREMOTE_HOST=198.51.100.7\nSERVICE=sshd\nLEADER=4242\nAUDIT=3\nREALTIME=1795168800123456\nMONOTONIC=4242\n";

    fn at(at_s: u64, peer: &str) -> Login {
        let peer = peer.parse().unwrap();
        Login { at_s, peer }
    }

    #[test]
    fn a_session_of_sshd_tells_its_peer() {
        assert_eq!(login(SESSION), Some(at(1_795_168_800, "198.51.100.7")));
        let zoned = SESSION.replace("198.51.100.7", "fe80::7%eth0");
        assert_eq!(login(&zoned), Some(at(1_795_168_800, "fe80::7")));
        let unobserved = SESSION.replace("STATE=active", "STATE=online");
        assert_eq!(login(&unobserved), Some(at(1_795_168_800, "198.51.100.7")));
        let undated = SESSION.replace("REALTIME=", "OTHER=");
        assert_eq!(login(&undated), Some(at(0, "198.51.100.7")));
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
            assert_eq!(login(&SESSION.replace(from, to)), None, "{to}");
        }
        assert_eq!(login(""), None);
    }

    #[test]
    fn a_folder_of_sessions_is_read_and_fifos_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("3"), SESSION).unwrap();
        fs::write(folder.path().join("4"), "nonsense \u{0}\n").unwrap();
        nix::unistd::mkfifo(&folder.path().join("3.ref"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(
            logins(folder.path()).unwrap(),
            [at(1_795_168_800, "198.51.100.7")]
        );
    }
}
