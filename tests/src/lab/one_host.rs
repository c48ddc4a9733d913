//! One host with nginx, `secbeat` and perhaps sshd, and clients on a host of their own.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use secbeat_common::maps::Ban;
use serde_json::Value;
use tempfile::TempDir;

use crate::lab::{
    bpf::Pins,
    client::Client,
    local::order,
    netns::{End, Namespace, link},
    nginx, paths,
    pin_folder::PinFolder,
    process::Daemon,
    site::{Firewall, Site, SiteFolder},
    sshd::{self, Sshd},
    wait::wait_until,
};

const START: Duration = Duration::from_secs(30);
const PORT: u16 = 80;
/// Few take little memory.
const BAN_SLOTS: u32 = 4096;

/// The host, its daemon and its site.
#[derive(Debug)]
pub struct OneHost {
    // Dropped in this order.
    daemon: Daemon,
    site: Site,
    sshd: Option<Sshd>,
    pins: PinFolder,
    pub host: Namespace,
    pub clients: Namespace,
    pub site_folder: SiteFolder,
    folder: TempDir,
}

impl OneHost {
    pub const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
    pub const OTHER_ATTACKER: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 7));
    pub const VISITOR: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 8));
    const HOST_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
    const HOST_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

    /// Guesses passwords.
    pub const SSH_ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
    pub const OTHER_SSH_ATTACKER: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9));

    /// Starts nginx with its usual log, and SecBeat with what `more` adds to its config.
    #[must_use]
    pub fn start(more: &str) -> Self {
        Self::start_with(more, BAN_SLOTS, |_| None)
    }

    /// Likewise, with room for so many bans: past it, the kernel evicts some, which are written again and again.
    #[must_use]
    pub fn start_with_slots(more: &str, ban_slots: u32) -> Self {
        Self::start_with(more, ban_slots, |_| None)
    }

    /// Likewise, with an sshd that SecBeat watches.
    #[must_use]
    pub fn start_with_sshd(more: &str) -> Self {
        Self::start_with(more, BAN_SLOTS, |host| Some(Sshd::start(host)))
    }

    fn start_with(more: &str, ban_slots: u32, sshd: impl FnOnce(&Namespace) -> Option<Sshd>) -> Self {
        let (host, clients) = (Namespace::new("host"), Namespace::new("clients"));
        link(
            End {
                namespace: &host,
                interface: "eth0",
                addresses: &["203.0.113.1/24", "2001:db8::1/64"],
            },
            End {
                namespace: &clients,
                interface: "eth0",
                addresses: &[
                    "203.0.113.7/24",
                    "203.0.113.8/24",
                    "203.0.113.9/24",
                    "2001:db8::8/64",
                    "2001:db8:7::7/64",
                    "2001:db8:9::9/64",
                ],
            },
        );
        // It makes eth0 the interface to protect.
        host.ip(&["route", "add", "default", "dev", "eth0"]);
        host.ip(&["-6", "route", "add", "default", "dev", "eth0"]);
        let site_folder = SiteFolder::new("nginx");
        let site = nginx::start_site(&host, PORT, &site_folder, Firewall::Absent);
        let sshd = sshd(&host);
        let ssh_log = sshd.as_ref().map_or_else(String::new, |sshd| {
            format!(
                "[[service_log]]\nfilter = \"sshd\"\npath = \"{}\"\n[[rule]]\nname = \"ssh-bruteforce\"\n",
                sshd.log().display()
            )
        });
        let folder = tempfile::Builder::new()
            .prefix("secbeat-one-host-")
            .tempdir()
            .expect("making a folder for a host");
        let pins = PinFolder {
            path: Path::new("/sys/fs/bpf").join(host.name()),
            config: folder.path().join("secbeat.toml"),
        };
        let config = format!(
            "state_dir = \"{}\"\n{more}\n[kernel]\npin_dir = \"{}\"\nban_slots = {ban_slots}\n\
             [[access_log]]\npath = \"{}\"\n{ssh_log}",
            folder.path().join("state").display(),
            pins.path.display(),
            site_folder.access_log().display()
        );
        fs::write(&pins.config, config).expect("writing a config");
        let daemon = spawn(&host, &pins.config);
        let mut started = Self {
            daemon,
            site,
            sshd,
            pins,
            host,
            clients,
            site_folder,
            folder,
        };
        started.await_ready();
        started
    }

    fn await_ready(&mut self) {
        wait_until("the host is protected, and bans can be made", START, || {
            assert!(self.daemon.is_running(), "secbeat ended: {}", self.daemon.log());
            self.daemon.log().contains("secbeat_edge::app: running") && self.is_ready()
        });
    }

    fn is_ready(&self) -> bool {
        let stats = self.ask("/api/v1/stats");
        stats.is_some_and(|stats| stats["not_ready"].is_null())
    }

    fn ask(&self, path: &str) -> Option<Value> {
        let answer = order(&self.host, "secbeat-orchestrator", "GET", path, "").ok()?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// Kills it without warning.
    pub fn kill9(&mut self) {
        self.daemon.kill9();
    }

    pub fn signal(&mut self, signal: i32) {
        self.daemon.signal(signal);
    }

    /// Stops it as systemd does.
    pub fn stop(&mut self) {
        let status = self.daemon.terminate(START);
        assert!(status.success(), "{status}: {}", self.daemon.log());
    }

    /// Starts it again, and waits until it is ready.
    pub fn start_again(&mut self) {
        self.daemon = spawn(&self.host, &self.pins.config);
        self.await_ready();
    }

    /// Starts it again as an edge of a fleet, and waits until it runs.
    pub fn start_in_fleet(&mut self) {
        self.daemon = spawn(&self.host, &self.pins.config);
        self.daemon.wait_for_log("secbeat_edge::app: running", START);
    }

    /// The edge's statistics; `None` while it does not answer.
    #[must_use]
    pub fn edge_stats(&self) -> Option<Value> {
        let answer = order(&self.host, "secbeat-edge", "GET", "/api/v1/stats", "").ok()?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// Where clients of an address connect.
    #[must_use]
    pub const fn door(client: IpAddr) -> SocketAddr {
        SocketAddr::new(Self::address_for(client), PORT)
    }

    /// What a reboot takes: everything in the kernel.
    pub fn lose_the_kernel(&self) {
        let output = self.run("secbeat-edge", &["detach", "--config", &self.edge_config()]);
        assert!(output.status.success(), "{output:?}");
    }

    /// A config by which nothing is remembered of the kill switch.
    fn edge_config(&self) -> String {
        let config = self.folder.path().join("reboot.toml");
        let text = format!(
            "state_dir = \"{}\"\n[kernel]\ninterfaces = [\"lo\"]\npin_dir = \"{}\"\n",
            self.folder.path().join("reboot").display(),
            self.pins.path.display()
        );
        fs::write(&config, text).expect("writing a config");
        config.to_string_lossy().into_owned()
    }

    /// Runs a command on the host to its end.
    #[must_use]
    pub fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = self.host.command(paths::daemon(program));
        command.args(arguments).env("SECBEAT_LOG", "off");
        command.output().expect("running a command")
    }

    /// What a command of `secbeat` says about this host. It may fail.
    #[must_use]
    pub fn secbeat(&self, arguments: &[&str]) -> Output {
        let config = self.pins.config.to_string_lossy();
        self.run("secbeat", &[arguments, &["--config", &config]].concat())
    }

    /// One login of nobody over SSH, the `n`th. Returns whether sshd answered.
    #[must_use]
    pub fn guess(&self, source: IpAddr, n: usize) -> bool {
        debug_assert!(self.sshd.is_some(), "there is no sshd");
        sshd::attempt(&self.clients, source, Self::address_for(source), n)
    }

    /// The host's address of a client's family.
    #[must_use]
    pub const fn address_for(client: IpAddr) -> IpAddr {
        match client {
            IpAddr::V4(_) => Self::HOST_V4,
            IpAddr::V6(_) => Self::HOST_V6,
        }
    }

    /// Its config file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.pins.config
    }

    /// The folder of its pinned maps.
    #[must_use]
    pub fn pin_folder(&self) -> &Path {
        &self.pins.path
    }

    /// A client on the other host.
    #[must_use]
    pub fn client(&self, address: IpAddr) -> Client {
        Client::new(&self.clients)
            .with_source(address)
            .with_timeout(Duration::from_millis(500))
    }

    /// The URL of `path` for a client of this address.
    #[must_use]
    pub fn url(&self, client: IpAddr, path: &str) -> String {
        self.site.url(Self::address_for(client), path)
    }

    /// Asks for `times` pages that are not there. Each answer came.
    pub fn fail(&self, address: IpAddr, times: u32) {
        let mut client = self.client(address);
        for n in 0..times {
            let status = client.get(&self.url(address, &format!("/missing-{n}")));
            assert_eq!(status.expect("an answer"), 404, "request {n}");
        }
    }

    /// How many errors of a client are counted by now, as `why` has it.
    #[must_use]
    pub fn errors_of(&self, address: IpAddr) -> Option<u64> {
        let why = self.ask(&format!("/api/v1/sources/{address}"))?;
        let windows = why["windows"].as_array()?;
        let errors = windows.iter().find(|window| window["rule"] == "error-flood")?;
        errors["count"].as_u64()
    }

    /// The kernel's ban of `address`, if it holds one.
    #[must_use]
    pub fn ban_of(&self, address: IpAddr) -> Option<Ban> {
        Pins::at(&self.pins.path).ban_of(address)
    }

    /// Whether all of the access log is behind the checkpoint: nothing of it would be read again.
    #[must_use]
    pub fn is_log_done(&self) -> bool {
        let length = fs::metadata(self.site_folder.access_log()).map_or(0, |log| log.len());
        let folder = fs::read_dir(self.folder.path().join("state/access_log"));
        let mut checkpoints = folder.into_iter().flatten().flatten();
        checkpoints.any(|file| {
            let saved = fs::read(file.path()).unwrap_or_default();
            let saved: Option<Value> = serde_json::from_slice(&saved).ok();
            saved.is_some_and(|saved| saved["files"][0]["mark"]["offset"] == length)
        })
    }

    /// What the daemon has logged since it was started.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("state/store.db")
    }
}

fn spawn(host: &Namespace, config: &Path) -> Daemon {
    let mut command = host.command(paths::daemon("secbeat"));
    command.arg("run").arg("--bpf-object").arg(paths::bpf_object());
    command.arg("--config").arg(config);
    command.env("SECBEAT_LOG", "info").env("NO_COLOR", "1");
    Daemon::spawn("secbeat", &mut command)
}
