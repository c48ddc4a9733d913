//! Debian's sshd on a host of the lab, what it writes in a file as a syslog daemon has it, and clients whose logins it refuses.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use jiff::Timestamp;
use socket2::Type;
use tempfile::TempDir;

use crate::lab::{
    executable::{Executable as _, Program},
    netns::Namespace,
    wait::wait_until,
};

const START: Duration = Duration::from_secs(10);
pub const PORT: u16 = 22;
/// It wants a folder below `/run`, which it gets in a mount namespace of its own.
const SCRIPT: &str = "mount -t tmpfs tmpfs /run && mkdir -m 0755 /run/sshd && exec \"$@\"";

/// An sshd that lets nobody in. Dropped, it ends.
#[derive(Debug)]
pub struct Sshd {
    daemon: Child,
    log: PathBuf,
    _folder: TempDir,
}

impl Sshd {
    /// Starts it on port 22 of all addresses in `namespace`.
    #[must_use]
    pub fn start(namespace: &Namespace) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("secbeat-sshd-")
            .tempdir()
            .expect("making a folder for sshd");
        let key = folder.path().join("key");
        let made = Program::SshKeygen
            .command()
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .status();
        assert!(
            made.is_ok_and(|status| status.success()),
            "ssh-keygen made no key"
        );
        let (config, log) = (folder.path().join("sshd_config"), folder.path().join("auth.log"));
        fs::write(&config, configuration(&key)).expect("writing sshd_config");
        fs::write(&log, "").expect("making a log");
        let daemon = namespace
            .command(Program::Unshare)
            .arg("--mount")
            .arg(Program::Shell.file())
            .args(["-c", SCRIPT, "sh"])
            .arg(Program::Sshd.file())
            .args(["-D", "-e", "-f"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starting sshd");
        let mut sshd = Self {
            daemon,
            log,
            _folder: folder,
        };
        sshd.keep_log();
        wait_until("sshd accepts connections", START, || {
            let socket = namespace.socket(IpAddr::from([127, 0, 0, 1]), Type::STREAM);
            let address = SocketAddr::from(([127, 0, 0, 1], PORT));
            socket
                .connect_timeout(&address.into(), Duration::from_secs(1))
                .is_ok()
        });
        sshd
    }

    /// Writes each of its lines into the log as soon as it comes, until it ends.
    fn keep_log(&mut self) {
        let lines = self.daemon.stderr.take().expect("a pipe");
        let pid = self.daemon.id();
        let mut log = OpenOptions::new()
            .append(true)
            .open(&self.log)
            .expect("opening a log");
        std::thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                let now = Timestamp::now();
                // One write, so that no half of a line is read.
                let line = format!("{now:.6} host sshd[{pid}]: {}\n", line.trim_end());
                if log.write_all(line.as_bytes()).is_err() {
                    return;
                }
            }
        });
    }

    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn configuration(key: &Path) -> String {
    let own_penalties = match knows_penalties() {
        // It would refuse the attacker by itself before SecBeat does.
        true => "PerSourcePenalties no\n",
        false => "",
    };
    format!(
        "HostKey {}\nUsePAM no\nPidFile none\nStrictModes no\nMaxStartups 100\nAddressFamily any\n{own_penalties}",
        key.display()
    )
}

/// Whether this OpenSSH is 9.8 or later.
fn knows_penalties() -> bool {
    let said = Program::Ssh.command().arg("-V").output().expect("starting ssh");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let version = said.strip_prefix("OpenSSH_").unwrap_or_default();
    let mut numbers = version
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        panic!("ssh -V says {said}");
    };
    (major, minor) >= (9, 8)
}

/// One login as a user who does not exist, from `source` to `host`. Returns whether sshd answered within a second.
///
/// # Panics
///
/// When ssh cannot be started.
#[must_use]
pub fn attempt(clients: &Namespace, source: IpAddr, host: IpAddr, n: usize) -> bool {
    let output = clients
        .command(Program::Ssh)
        .args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "IdentityFile=none",
            "-o",
            "ConnectTimeout=1",
        ])
        .arg("-b")
        .arg(source.to_string())
        .arg("-l")
        .arg(format!("intruder-{n}"))
        .arg(host.to_string())
        .arg("true")
        .stdin(Stdio::null())
        .output()
        .expect("starting ssh");
    assert!(!output.status.success(), "somebody got in");
    String::from_utf8_lossy(&output.stderr).contains("Permission denied")
}
