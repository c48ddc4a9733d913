//! A host that systemd runs: PID 1 of namespaces of its own, over an overlay of this host's root, with SecBeat installed as its
//! packages do it.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use tempfile::TempDir;

use crate::lab::{
    client::Client,
    executable::{Executable as _, Program, TestProgram},
    netns::{End, Namespace, link},
    nginx::Nginx,
    paths,
    process::Daemon,
    wait::wait_until,
};

const BOOT: Duration = Duration::from_secs(60);
/// Unit that does what the packages do.
const INSTALL: &str = "[Unit]\nDefaultDependencies=no\nAfter=sysinit.target\n\
    Before=secbeat-nats.service secbeat-orchestrator.service secbeat-pins.service secbeat-edge.service secbeat.service\n\
    [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -ec '\\\n\
    systemd-sysusers /usr/lib/sysusers.d/secbeat.conf; \\\n\
    systemd-tmpfiles --create /usr/lib/tmpfiles.d/secbeat.conf'\n";
/// Commands that an operator runs once: a fleet of this one host.
const FOUND: &str = "ExecStart=/bin/sh -ec '\\\n\
    secbeat-orchestrator init --host 127.0.0.1; \\\n\
    cp /etc/secbeat/fleet/credentials/orchestrator-1.toml /etc/secbeat/orchestrator.credentials; \\\n\
    secbeat-orchestrator enroll edge-1; \\\n\
    secbeat-edge enroll /etc/secbeat/fleet/credentials/edge-1.toml'\n";

const DROP_IN: &str = "[Unit]\nRequires=secbeat-test-setup.service\nAfter=secbeat-test-setup.service\n";
const UNITS: [&str; 3] = ["secbeat-nats", "secbeat-orchestrator", "secbeat-edge"];
/// Makes the folder for the edge's pins.
const PINS: &str = "secbeat-pins";

/// Surroundings of such a host: nginx, which its edge is to protect, and an attacker.
#[derive(Debug)]
pub struct Surroundings {
    pub host: Namespace,
    pub attacker: Namespace,
    nginx: Nginx,
}

impl Surroundings {
    /// Address of the attacker.
    pub const ATTACKER: &str = "198.51.100.2";

    /// Makes the namespaces and starts nginx.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it starts processes")]
    pub fn new() -> Self {
        let (host, attacker) = (Namespace::new("edge"), Namespace::new("attacker"));
        link(
            End {
                namespace: &host,
                interface: "to-attacker",
                addresses: &["198.51.100.1/24"],
            },
            End {
                namespace: &attacker,
                interface: "eth0",
                addresses: &[&format!("{}/24", Self::ATTACKER)],
            },
        );
        let nginx = Nginx::start(&host, SocketAddr::from(([127, 0, 0, 1], 0)));
        Self {
            host,
            attacker,
            nginx,
        }
    }

    /// The `edge.toml` of the host.
    #[must_use]
    pub fn edge_config(&self) -> String {
        format!(
            "[kernel]\ninterfaces = [\"to-attacker\"]\n[proxy]\nlisten = \"[::]:8443\"\nupstream = \"http://{}\"\n",
            self.nginx.address()
        )
    }

    /// Returns the response to the attacker's request for a missing page, while it is to be answered: also on a busy machine, where
    /// a debug build may take long for that.
    ///
    /// # Errors
    ///
    /// When there is no answer within 20 s.
    pub fn answer(&self) -> io::Result<u16> {
        self.get_within(Duration::from_secs(20))
    }

    /// The same while it is banned, and need not be waited for.
    ///
    /// # Errors
    ///
    /// When there is no answer within 0.3 s.
    pub fn get(&self) -> io::Result<u16> {
        self.get_within(Duration::from_millis(300))
    }

    fn get_within(&self, timeout: Duration) -> io::Result<u16> {
        Client::new(&self.attacker)
            .with_timeout(timeout)
            .get("http://198.51.100.1:8443/missing")
    }
}

/// The host. Dropped, it is gone with all that runs on it.
#[derive(Debug)]
pub struct Booted {
    init: Daemon,
    _files: Files,
}

impl Booted {
    /// Boots this host in `namespace`, with this tree's SecBeat and this `edge.toml`, and waits until its units are active.
    ///
    /// # Panics
    ///
    /// When they do not become active.
    #[must_use]
    pub fn boot(namespace: &Namespace, edge: &str) -> Self {
        let mut files = Files::new();
        files.write("etc/secbeat/edge.toml", edge);
        for unit in UNITS.into_iter().chain([PINS]) {
            files.install(unit);
        }
        files.set_up(&[INSTALL, FOUND].concat());
        files.bind(&paths::nats_server(), "/usr/lib/secbeat/nats-server");
        for daemon in ["secbeat-orchestrator", "secbeat-edge"] {
            files.bind(&paths::daemon(daemon), &format!("/usr/bin/{daemon}"));
        }
        let units = UNITS.map(|unit| format!("{unit}.service")).join(" ");
        let booted = Self::start(namespace, Path::new("/"), files, &units);
        for unit in UNITS {
            wait_until(&format!("{unit} is active"), BOOT, || booted.is_active(unit));
        }
        booted
    }

    /// Boots this host in `namespace` with the edge alone, which belongs to no fleet yet, and waits until its unit is active.
    ///
    /// # Panics
    ///
    /// When it does not become active.
    #[must_use]
    pub fn boot_unenrolled(namespace: &Namespace, edge: &str) -> Self {
        let files = Files::new();
        files.write("etc/secbeat/edge.toml", edge);
        Self::boot_alone(namespace, files, "secbeat-edge")
    }

    /// Boots this host in `namespace` with `secbeat` and this `secbeat.toml`, and waits until its unit is active.
    ///
    /// # Panics
    ///
    /// When it does not become active.
    #[must_use]
    pub fn boot_one_host(namespace: &Namespace, config: &str) -> Self {
        let mut files = Files::new();
        files.write("etc/secbeat/secbeat.toml", config);
        for program in ["secbeat-edge", "secbeat-orchestrator"] {
            files.bind(&paths::daemon(program), &format!("/usr/bin/{program}"));
        }
        Self::boot_alone(namespace, files, "secbeat")
    }

    fn boot_alone(namespace: &Namespace, mut files: Files, unit: &str) -> Self {
        files.install(unit);
        files.install(PINS);
        files.set_up(INSTALL);
        files.bind(&paths::daemon(unit), &format!("/usr/bin/{unit}"));
        let booted = Self::start(namespace, Path::new("/"), files, &format!("{unit}.service"));
        wait_until(&format!("{unit} is active"), BOOT, || booted.is_active(unit));
        booted
    }

    /// Boots the system in the folder `root` in `namespace`, with some files of this host in its folder `/packages`.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    #[must_use]
    pub fn boot_other(namespace: &Namespace, root: &Path, packages: &[PathBuf]) -> Self {
        let mut files = Files::new();
        for package in packages {
            let name = package.file_name().expect("a file").to_string_lossy();
            files.bind(package, &format!("/packages/{name}"));
        }
        let booted = Self::start(namespace, root, files, "");
        wait_until("systemd is up", BOOT, || booted.is_active("secbeat-test.target"));
        booted
    }

    fn start(namespace: &Namespace, lower: &Path, files: Files, units: &str) -> Self {
        files.write(
            "etc/systemd/system/secbeat-test.target",
            &format!("[Unit]\nRequires=sysinit.target {units}\nAfter=sysinit.target\n"),
        );
        let root = files.folder.path().join("host");
        fs::create_dir(&root).expect("making a folder");
        let mut command = namespace.command(Program::Unshare);
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
            .arg(TestProgram::Bash.file())
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lab/booted.sh"))
            .arg(lower)
            .arg(root)
            .arg(files.path());
        Self {
            init: Daemon::spawn("systemd", &mut command),
            _files: files,
        }
    }

    /// Runs a program of this name on it, as root.
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let Some(init) = self.init_pid() else {
            panic!("systemd has ended: {}", self.init.log());
        };
        Program::Nsenter
            .command()
            .args(["--target", &init.to_string()])
            .args([
                "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net", "--root", "--wd=/", "--",
            ])
            .arg(program)
            .args(arguments)
            .output()
            .expect("running nsenter")
    }

    /// Returns what a program on it says.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[allow(
        clippy::must_use_candidate,
        reason = "some are asked to do something and have nothing to say"
    )]
    pub fn ask(&self, program: TestProgram, arguments: &[&str]) -> String {
        self.answer(program.name(), arguments)
    }

    /// Returns what a script prints that runs like the main process of a unit: in its namespaces, as its user, with no capability.
    /// The last status of the script does not matter.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    #[must_use]
    pub fn within(&self, unit: &str, user: &str, script: &str) -> String {
        let (pid, user) = (self.property(unit, "MainPID"), format!("--reuid={user}"));
        let arguments = [
            "--target",
            &pid,
            "--mount",
            "--net",
            "--ipc",
            "--uts",
            "--cgroup",
            "--root",
            "--wd=/",
            "--",
            TestProgram::Setpriv.name(),
            &user,
            "--clear-groups",
            "--bounding-set=-all",
            "--inh-caps=-all",
            "--no-new-privs",
            "--",
            TestProgram::Bash.name(),
            "-c",
            script,
        ];
        let output = self.run(Program::Nsenter.name(), &arguments);
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Returns what `secbeat-edge` says, as it is installed there.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[allow(clippy::must_use_candidate, reason = "as of `ask`")]
    pub fn edge(&self, arguments: &[&str]) -> String {
        self.answer("secbeat-edge", arguments)
    }

    /// Returns what `secbeat-orchestrator` says, as it is installed there.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[allow(clippy::must_use_candidate, reason = "as of `ask`")]
    pub fn orchestrator(&self, arguments: &[&str]) -> String {
        self.answer("secbeat-orchestrator", arguments)
    }

    /// Returns what `secbeat` says, as it is installed there.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[allow(clippy::must_use_candidate, reason = "as of `ask`")]
    pub fn secbeat(&self, arguments: &[&str]) -> String {
        self.answer("secbeat", arguments)
    }

    fn answer(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// Whether a unit runs.
    ///
    /// # Panics
    ///
    /// When systemd has ended.
    #[must_use]
    pub fn is_active(&self, unit: &str) -> bool {
        self.init_pid().is_some()
            && self
                .run(TestProgram::Systemctl.name(), &["is-active", "--quiet", unit])
                .status
                .success()
    }

    /// A property of a unit, as `systemctl show` has it.
    #[must_use]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.ask(
            TestProgram::Systemctl,
            &["show", unit, "--property", name, "--value"],
        )
    }

    /// Returns its journal and the state of its units.
    #[must_use]
    pub fn journal(&self) -> String {
        let said = |program: TestProgram, arguments: &[&str]| {
            let output = self.run(program.name(), arguments);
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let units = said(
            TestProgram::Systemctl,
            &["status", "--no-pager", "--lines=0", "secbeat*"],
        );
        said(TestProgram::Journalctl, &["--no-pager", "--lines=200"]) + &units
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

/// Files over a root.
#[derive(Debug)]
struct Files {
    folder: TempDir,
    bound: String,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().expect("making a folder"),
            bound: String::new(),
        };
        fs::create_dir_all(files.path()).expect("making a folder");
        fs::write(files.path().join("bound"), "").expect("writing a file");
        files
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join("root").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("making a folder");
        fs::write(path, text).expect("writing a file");
    }

    /// A unit that ships.
    fn install(&self, unit: &str) {
        let text = fs::read_to_string(unit_file(unit)).expect("a unit");
        self.write(&format!("usr/lib/systemd/system/{unit}.service"), &text);
        let mut setup = DROP_IN.to_owned();
        if text.contains("WatchdogSec=") {
            setup.push_str("[Service]\nWatchdogSec=2s\n");
        }
        self.write(&format!("etc/systemd/system/{unit}.service.d/test.conf"), &setup);
    }

    /// Writes the unit that runs before all others.
    fn set_up(&self, unit: &str) {
        self.write("etc/systemd/system/secbeat-test-setup.service", unit);
        for kind in ["sysusers", "tmpfiles"] {
            let text = fs::read_to_string(packaged(&format!("secbeat.{kind}"))).expect("what ships");
            self.write(&format!("usr/lib/{kind}.d/secbeat.conf"), &text);
        }
    }

    /// Shows a file of this host at another place.
    fn bind(&mut self, from: &Path, to: &str) {
        self.bound.push_str(&format!("{} {to}\n", from.display()));
        fs::write(self.path().join("bound"), &self.bound).expect("writing a file");
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
