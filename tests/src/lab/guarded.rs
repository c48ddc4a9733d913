//! One host with the logs of nginx and sshd and whatever guards it, and clients on a host of their own. The logs' lines are the
//! caller's, so that it is known when each was written.

use std::{
    fs,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Shutdown, TcpListener},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Command,
    thread::{self, JoinHandle},
    time::Duration,
};

use secbeat_common::maps::Ban;
use socket2::SockRef;
use tempfile::TempDir;

use crate::lab::{
    bpf::Pins,
    executable::{Executable as _, TestProgram},
    files::HostFiles,
    netns::{End, Namespace, link},
    paths,
    pin_folder::PinFolder,
    process::Daemon,
    wait::wait_until,
};

const START: Duration = Duration::from_secs(60);
const HTTP: u16 = 80;
const SSH: u16 = 22;
/// The rule of fail2ban's filter over the access log: an error. Its time is cut out before.
const FAIL2BAN_HTTP: &str = r#"^<HOST> \S+ \S+ \[\] "[^"]*" [45]\d\d "#;
const FAIL2BAN_RS_HTTP: &str = r#"^<HOST> \S+ \S+ \[[^\]]*\] "[^"]*" [45]\d\d "#;
/// As fail2ban-rs has them in its documentation.
const FAIL2BAN_RS_SSH: [&str; 2] = [
    r"sshd\[\d+\]: Failed password for .* from <HOST>",
    r"sshd\[\d+\]: Invalid user .* from <HOST>",
];
/// The shipped filter names units, to which the lab's processes do not belong.
const SSHD_FILTER: &str = include_str!("../../../packaging/filters/sshd.toml");

/// What guards the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    Secbeat,
    Fail2ban,
    Fail2banRs,
}

impl Guard {
    pub(crate) const ALL: [Self; 3] = [Self::Secbeat, Self::Fail2ban, Self::Fail2banRs];

    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Secbeat => "secbeat",
            Self::Fail2ban => "fail2ban",
            Self::Fail2banRs => "fail2ban-rs",
        }
    }

    /// What is missing to start it.
    #[must_use]
    pub(crate) fn missing(self) -> Option<&'static str> {
        let has_nft = secbeat_programs::FilterPeer::Nft.row().find().is_some();
        match self {
            Self::Secbeat => None,
            _ if !has_nft => Some("nft is not installed"),
            Self::Fail2ban if TestProgram::Fail2banServer.row().find().is_none() => {
                Some("fail2ban is not installed")
            }
            Self::Fail2banRs if !paths::tool("fail2ban-rs").is_file() => Some("fail2ban-rs is not installed"),
            _ => None,
        }
    }
}

/// Which log a line is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    Nginx,
    Sshd,
    /// sshd's, by the journal.
    Journal,
}

impl Log {
    /// Where its service listens.
    #[must_use]
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::Nginx => HTTP,
            Self::Sshd | Self::Journal => SSH,
        }
    }

    /// How many lines about a client are too many.
    #[must_use]
    pub(crate) const fn threshold(self) -> u32 {
        match self {
            Self::Nginx => 50,
            Self::Sshd | Self::Journal => 5,
        }
    }

    /// One line that counts against `client`, of the `number`-th attempt, written now.
    #[must_use]
    pub(crate) fn line(self, client: IpAddr, number: u32) -> String {
        match self {
            Self::Nginx => nginx_line(client, number, 404),
            Self::Sshd => format!("{}\n", sshd_line(number, &failed_password("root", client))),
            Self::Journal => format!("{}\n", failed_password("root", client)),
        }
    }
}

#[must_use]
pub(crate) fn nginx_line(client: IpAddr, number: u32, status: u16) -> String {
    let time = jiff::Timestamp::now().strftime("%d/%b/%Y:%H:%M:%S +0000");
    format!(
        "{client} - - [{time}] \"GET /shop/item/{number} HTTP/1.1\" {status} 512 \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\"\n"
    )
}

/// A message of sshd as syslog writes it.
#[must_use]
pub(crate) fn sshd_line(pid: u32, message: &str) -> String {
    let time = jiff::Zoned::now();
    format!("{} host sshd[{pid}]: {message}", time.strftime("%b %d %H:%M:%S"))
}

#[must_use]
pub(crate) fn failed_password(user: &str, client: IpAddr) -> String {
    format!("Failed password for invalid user {user} from {client} port 50022 ssh2")
}

/// A service that takes every connection and says nothing.
#[derive(Debug)]
struct Door {
    listener: TcpListener,
    taking: Option<JoinHandle<()>>,
}

impl Door {
    fn open(host: &Namespace, port: u16) -> Self {
        let bound = host.enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)));
        let listener = bound.expect("listening");
        let inside = listener.try_clone().expect("sharing a socket");
        let taking = thread::spawn(move || while inside.accept().is_ok() {});
        Self {
            listener,
            taking: Some(taking),
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // Nothing is accepted from then on, and its thread ends.
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        let _ = self.taking.take().map(JoinHandle::join);
    }
}

/// The host, what guards it, and its clients.
#[derive(Debug)]
pub(crate) struct GuardedHost {
    // Dropped in this order.
    guard: Option<Daemon>,
    _doors: [Door; 2],
    _journald: Option<Daemon>,
    pins: PinFolder,
    pub(crate) host: Namespace,
    pub(crate) clients: Namespace,
    files: HostFiles,
    folder: TempDir,
    kind: Guard,
}

impl GuardedHost {
    /// Any of these addresses is a client's.
    #[must_use]
    pub(crate) fn client(number: u8) -> IpAddr {
        Ipv4Addr::new(198, 51, 100, number).into()
    }

    pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

    /// Sets a host up for `kind`, with lines by the journal or by files. Nothing guards it yet.
    #[must_use]
    pub(crate) fn new(kind: Guard, log: Log) -> Self {
        let (host, clients) = hosts();
        let folder = tempfile::Builder::new()
            .prefix("secbeat-guarded-")
            .tempdir()
            .expect("making a folder for a host");
        let files = HostFiles::new();
        let pins = PinFolder {
            path: Path::new("/sys/fs/bpf").join(host.name()),
            config: folder.path().join("secbeat.toml"),
        };
        for name in ["access.log", "auth.log"] {
            fs::write(folder.path().join(name), "").expect("making a log");
        }
        let journald = (log == Log::Journal).then(|| journald(&files, &host));
        let made = Self {
            guard: None,
            _doors: [HTTP, SSH].map(|port| Door::open(&host, port)),
            _journald: journald,
            pins,
            host,
            clients,
            files,
            folder,
            kind,
        };
        made.configure(log);
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, log: Log) {
        match self.kind {
            Guard::Secbeat => self.configure_secbeat(log),
            Guard::Fail2ban => self.configure_fail2ban(),
            Guard::Fail2banRs => self.configure_fail2ban_rs(),
        }
    }

    fn configure_secbeat(&self, log: Log) {
        let filters = self.path("filters");
        fs::create_dir(&filters).expect("making a folder for filters");
        let place = match log {
            Log::Journal => {
                let filter = SSHD_FILTER
                    .replace(
                        r#"paths = ["/var/log/auth.log", "/var/log/secure"]"#,
                        "paths = []",
                    )
                    .replace(
                        r#"units = ["ssh.service", "sshd.service", "ssh@*.service", "sshd@*.service"]"#,
                        r#"identifiers = ["sshd"]"#,
                    );
                fs::write(filters.join("sshd.toml"), filter).expect("writing a filter");
                String::new()
            }
            Log::Nginx | Log::Sshd => format!("path = \"{}\"\n", self.path("auth.log").display()),
        };
        let config = format!(
            "state_dir = \"{}\"\nfilters_dir = \"{}\"\n[kernel]\npin_dir = \"{}\"\n\
             [[access_log]]\npath = \"{}\"\n[[service_log]]\nfilter = \"sshd\"\n{place}\
             [[rule]]\nname = \"ssh-bruteforce\"\n",
            self.path("state").display(),
            filters.display(),
            self.pins.path.display(),
            self.path("access.log").display()
        );
        fs::write(&self.pins.config, config).expect("writing a config");
    }

    fn configure_fail2ban(&self) {
        let folder = self.path("fail2ban");
        let copied = TestProgram::Copy
            .command()
            .arg("-r")
            .arg("/etc/fail2ban")
            .arg(&folder)
            .status();
        assert!(copied.expect("copying a folder").success());
        let _ = fs::remove_dir_all(folder.join("jail.d"));
        let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("writing a config");
        write(
            "fail2ban.local",
            format!(
                "[Definition]\nlogtarget = STDOUT\nsocket = {0}/f2b.sock\npidfile = {0}/f2b.pid\ndbfile = {0}/f2b.sqlite3\n",
                self.folder.path().display()
            ),
        );
        write(
            "filter.d/bench-http.conf",
            format!("[Definition]\nfailregex = {FAIL2BAN_HTTP}\n"),
        );
        write(
            "jail.local",
            format!(
                "[DEFAULT]\nusedns = no\nignoreself = false\nbantime = 1h\n\
                 banaction = nftables-allports[blocktype=drop]\nbanaction_allports = %(banaction)s\n\
                 [sshd]\nenabled = true\nbackend = auto\nlogpath = {0}/auth.log\nmaxretry = 5\nfindtime = 10m\n\
                 [bench-http]\nenabled = true\nbackend = auto\nfilter = bench-http\nlogpath = {0}/access.log\nmaxretry = 50\nfindtime = 60\n",
                self.folder.path().display()
            ),
        );
    }

    fn configure_fail2ban_rs(&self) {
        let [failed, invalid] = FAIL2BAN_RS_SSH;
        let text = format!(
            "[global]\nstate_file = \"{0}/state.bin\"\nsocket_path = \"{0}/socket\"\n\
             [jail.ssh]\nenabled = true\nlog_path = \"{0}/auth.log\"\ndate_format = \"syslog\"\n\
             filter = ['{failed}', '{invalid}']\nport = [\"22\"]\nmax_retry = 5\nfind_time = \"10m\"\n{1}\
             [jail.http]\nenabled = true\nlog_path = \"{0}/access.log\"\ndate_format = \"common\"\n\
             filter = ['{FAIL2BAN_RS_HTTP}']\nport = [\"80\"]\nmax_retry = 50\nfind_time = \"60s\"\n{1}",
            self.folder.path().display(),
            "protocol = \"tcp\"\nban_time = \"1h\"\nbackend = \"nftables\"\nignoreself = false\n",
        );
        fs::write(self.path("fail2ban-rs.toml"), text).expect("writing a config");
    }

    fn guard_command(&self) -> Command {
        match self.kind {
            Guard::Secbeat => {
                let mut command = self.files.command(&self.host, &paths::daemon("secbeat"));
                command.arg("run").arg("--bpf-object").arg(paths::bpf_object());
                command.arg("--config").arg(&self.pins.config);
                command.env("SECBEAT_LOG", "info").env("NO_COLOR", "1");
                command
            }
            Guard::Fail2ban => {
                let mut command = self.host.command(TestProgram::Fail2banServer);
                command.arg("-f").arg("-c").arg(self.path("fail2ban"));
                command
                    .arg("-s")
                    .arg(self.path("f2b.sock"))
                    .arg("-p")
                    .arg(self.path("f2b.pid"));
                command.arg("start");
                command
            }
            Guard::Fail2banRs => {
                let mut command = self.host.command(paths::tool("fail2ban-rs"));
                command
                    .arg("--config")
                    .arg(self.path("fail2ban-rs.toml"))
                    .arg("run");
                command
            }
        }
    }

    /// Starts the guard, and waits until it says that it is ready.
    pub(crate) fn start(&mut self) {
        let mut guard = Daemon::spawn(self.kind.name(), &mut self.guard_command());
        match self.kind {
            Guard::Secbeat => guard.wait_for_log("secbeat_edge::app: running", START),
            Guard::Fail2ban => guard.wait_for_log_count("Jail '", 2, START),
            // It says nothing of the kind: its socket is there.
            Guard::Fail2banRs => wait_until("fail2ban-rs runs", START, || self.path("socket").exists()),
        }
        self.guard = Some(guard);
    }

    /// Kills the guard without warning.
    pub(crate) fn kill9(&mut self) {
        self.guard.take().expect("a guard that runs").kill9();
    }

    /// The guard's process.
    #[must_use]
    pub(crate) fn pid(&self) -> u32 {
        self.guard.as_ref().expect("a guard that runs").pid()
    }

    /// Writes `text` to a log, as its service does: whole lines at once.
    pub(crate) fn write(&self, log: Log, text: &str) {
        let name = match log {
            Log::Nginx => "access.log",
            Log::Sshd => "auth.log",
            Log::Journal => return self.write_journal(text),
        };
        let file = fs::OpenOptions::new().append(true).open(self.path(name));
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .expect("writing a log");
    }

    fn write_journal(&self, text: &str) {
        let socket = UnixDatagram::unbound().expect("a socket");
        for message in text.lines() {
            let entry = format!("SYSLOG_IDENTIFIER=sshd\nMESSAGE={message}\n");
            socket
                .send_to(entry.as_bytes(), self.journal_socket())
                .expect("writing to the journal");
        }
    }

    fn journal_socket(&self) -> PathBuf {
        self.files.path("/run/systemd/journal/socket")
    }

    /// `journalctl --follow` of sshd's messages from now on, without anything around them.
    #[must_use]
    pub(crate) fn journalctl(&self) -> Command {
        let mut command = self.files.command(&self.host, &TestProgram::Journalctl.file());
        command.args(["--follow", "--lines=0", "--identifier=sshd", "--output=cat"]);
        command
    }

    /// Runs a command of `secbeat` to its end.
    pub(crate) fn order(&self, arguments: &[&str]) {
        let mut command = self.host.command(paths::daemon("secbeat"));
        command.args(arguments).arg("--config").arg(&self.pins.config);
        let output = command
            .env("SECBEAT_LOG", "off")
            .output()
            .expect("running a command");
        assert!(output.status.success(), "{output:?}");
    }

    /// Writes a file beside the logs, and says where it is.
    #[must_use]
    pub(crate) fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("writing a file");
        path
    }

    /// The kernel's bans of all these.
    #[must_use]
    pub(crate) fn bans_of(&self, addresses: &[IpAddr]) -> Vec<Option<Ban>> {
        match Pins::at(&self.pins.path).open_bans() {
            Some(bans) => addresses.iter().map(|address| bans.ban_of(*address)).collect(),
            None => vec![None; addresses.len()],
        }
    }
}

/// The host and the host of the clients, who come by a router.
fn hosts() -> (Namespace, Namespace) {
    let (host, clients) = (Namespace::new("host"), Namespace::new("clients"));
    link(
        End {
            namespace: &host,
            interface: "eth0",
            addresses: &["203.0.113.1/24"],
        },
        End {
            namespace: &clients,
            interface: "eth0",
            addresses: &["203.0.113.2/24"],
        },
    );
    host.ip(&["route", "add", "default", "via", "203.0.113.2", "dev", "eth0"]);
    clients.ip(&["route", "add", "local", "198.51.100.0/24", "dev", "lo"]);
    (host, clients)
}

fn journald(files: &HostFiles, host: &Namespace) -> Daemon {
    files.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    fs::create_dir_all(files.path("/run/systemd/journal")).expect("making a folder for the journal");
    let mut command = files.command(host, &TestProgram::Journald.file());
    let daemon = Daemon::spawn("systemd-journald", &mut command);
    let socket = files.path("/run/systemd/journal/socket");
    let log = files.path("/run/log/journal/0123456789abcdef0123456789abcdef/system.journal");
    wait_until("journald takes messages", START, || {
        socket.exists() && log.exists()
    });
    daemon
}
