//! A host that systemd runs: PID 1 of namespaces of its own, over an overlay of this host's root, with SecBeat installed as its
//! packages do it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use tempfile::TempDir;

use crate::lab::{netns::Namespace, paths, process::Daemon, wait::wait_until};

const BOOT: Duration = Duration::from_secs(60);
/// What it boots to.
const TARGET: &str = "[Unit]\nRequires=sysinit.target secbeat-nats.service secbeat-orchestrator.service secbeat-edge.service\n";
/// What an operator does once: a fleet of this one host.
const SETUP: &str = "[Unit]\nDefaultDependencies=no\nAfter=sysinit.target\n\
    Before=secbeat-nats.service secbeat-orchestrator.service secbeat-edge.service\n\
    [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -ec '\\\n\
    systemd-sysusers /usr/lib/sysusers.d/secbeat.conf; \\\n\
    systemd-tmpfiles --create /usr/lib/tmpfiles.d/secbeat.conf; \\\n\
    secbeat-orchestrator init --host 127.0.0.1; \\\n\
    cp /etc/secbeat/fleet/credentials/orchestrator-1.toml /etc/secbeat/orchestrator.credentials; \\\n\
    secbeat-orchestrator enroll edge-1; \\\n\
    secbeat-edge enroll /etc/secbeat/fleet/credentials/edge-1.toml'\n";

const DROP_IN: &str = "[Unit]\nRequires=secbeat-test-setup.service\nAfter=secbeat-test-setup.service\n";
const UNITS: [&str; 3] = ["secbeat-nats", "secbeat-orchestrator", "secbeat-edge"];

/// The host. Dropped, it is gone with all that runs on it.
#[derive(Debug)]
pub struct Booted {
    init: Daemon,
    _folder: TempDir,
}

impl Booted {
    /// Boots one in `namespace` with this `edge.toml`, and waits until its units are active.
    ///
    /// # Panics
    ///
    /// When they do not become active.
    #[must_use]
    pub fn boot(namespace: &Namespace, edge: &str) -> Self {
        let folder = tempfile::tempdir().expect("making a folder");
        let files = folder.path().join("files");
        let write = |path: &str, text: &str| {
            let path = files.join("root").join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("making a folder");
            fs::write(path, text).expect("writing a file");
        };
        write("etc/secbeat/edge.toml", edge);
        write("etc/systemd/system/secbeat-test.target", TARGET);
        write("etc/systemd/system/secbeat-test-setup.service", SETUP);
        for unit in UNITS {
            let text = fs::read_to_string(unit_file(unit)).expect("a unit");
            write(&format!("usr/lib/systemd/system/{unit}.service"), &text);
            let mut setup = DROP_IN.to_owned();
            if text.contains("WatchdogSec=") {
                setup.push_str("[Service]\nWatchdogSec=2s\n");
            }
            write(&format!("etc/systemd/system/{unit}.service.d/test.conf"), &setup);
        }
        for kind in ["sysusers", "tmpfiles"] {
            let text = fs::read_to_string(packaged(&format!("secbeat.{kind}"))).expect("what ships");
            write(&format!("usr/lib/{kind}.d/secbeat.conf"), &text);
        }
        let programs: String = [
            (paths::nats_server(), "nats-server"),
            (paths::daemon("secbeat-orchestrator"), "secbeat-orchestrator"),
            (paths::daemon("secbeat-edge"), "secbeat-edge"),
        ]
        .iter()
        .map(|(program, name)| format!("{} /usr/bin/{name}\n", program.display()))
        .collect();
        fs::write(files.join("programs"), programs).expect("writing a file");
        let root = folder.path().join("host");
        fs::create_dir(&root).expect("making a folder");
        let mut command = namespace.command("unshare");
        command
            .args([
                "--mount",
                "--pid",
                "--cgroup",
                "--uts",
                "--ipc",
                "--fork",
                "--kill-child",
            ])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lab/booted.sh"))
            .arg(root)
            .arg(files);
        let booted = Self {
            init: Daemon::spawn("systemd", &mut command),
            _folder: folder,
        };
        for unit in UNITS {
            wait_until(&format!("{unit} is active"), BOOT, || booted.is_active(unit));
        }
        booted
    }

    /// Runs a command on it, as root.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let Some(init) = self.init_pid() else {
            panic!("systemd has ended: {}", self.init.log());
        };
        Command::new("nsenter")
            .args(["--target", &init.to_string()])
            .args([
                "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net", "--root", "--wd=/", "--",
            ])
            .args(arguments)
            .output()
            .expect("running nsenter")
    }

    /// What a command on it says.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[allow(
        clippy::must_use_candidate,
        reason = "some are asked to do something and have nothing to say"
    )]
    pub fn ask(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// A property of a unit, as `systemctl show` has it.
    #[must_use]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.ask(&["systemctl", "show", unit, "--property", name, "--value"])
    }

    /// What its journal has.
    #[must_use]
    pub fn journal(&self) -> String {
        let output = self.run(&["journalctl", "--no-pager", "--lines=200"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn is_active(&self, unit: &str) -> bool {
        self.init_pid().is_some()
            && self
                .run(&["systemctl", "is-active", "--quiet", unit])
                .status
                .success()
    }

    /// systemd's, as this host numbers it: the one child of `unshare`.
    fn init_pid(&self) -> Option<u32> {
        let pid = self.init.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        if std::thread::panicking() && self.init_pid().is_some() {
            eprintln!("{}", self.journal());
        }
    }
}

/// The unit that ships under this name.
#[must_use]
pub fn unit_file(unit: &str) -> PathBuf {
    packaged(&format!("{unit}.service"))
}

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging/systemd")
        .join(name)
}
