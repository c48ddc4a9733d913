//! The whole of SecBeat in miniature: an edge host with nginx behind it, the bus and the orchestrator, and two clients' hosts,
//! an attacker's and a visitor's.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use secbeat_common::maps::Ban;
use tempfile::TempDir;

use crate::lab::{
    bpf::Pins,
    client::{Client, Response},
    clock,
    executable::Executable as _,
    files::HostFiles,
    nats::NatsServer,
    netns::{End, Namespace, link},
    nginx::Nginx,
    paths,
    pin_folder::PinFolder,
    process::Daemon,
    visitor::Visitor,
    wait::wait_until,
};

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(15);

/// The port on which the edge serves clients.
pub const PROXY_PORT: u16 = 8443;

/// Which protocol the clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    fn pick(self, v4: &str, v6: &str) -> IpAddr {
        let text = if self == Self::V4 { v4 } else { v6 };
        text.parse().expect("a constant address")
    }

    /// The attacker's address.
    #[must_use]
    pub fn attacker(self) -> IpAddr {
        self.pick("198.51.100.2", "2001:db8:a:1::2")
    }

    /// The visitor's address.
    #[must_use]
    pub fn visitor(self) -> IpAddr {
        self.pick("203.0.113.2", "2001:db8:b:1::2")
    }

    /// Where the attacker reaches the edge.
    #[must_use]
    pub fn edge_for_attacker(self) -> SocketAddr {
        SocketAddr::new(self.pick("198.51.100.1", "2001:db8:a::1"), PROXY_PORT)
    }

    /// Where the visitor reaches the edge.
    #[must_use]
    pub fn edge_for_visitor(self) -> SocketAddr {
        SocketAddr::new(self.pick("203.0.113.1", "2001:db8:b::1"), PROXY_PORT)
    }
}

/// Who answers the clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Front {
    /// The edge's reverse proxy, with nginx behind it.
    #[default]
    Proxy,
    /// nginx itself, whose access log the edge follows.
    Nginx,
}

/// What differs between fleets.
#[derive(Clone, Debug)]
pub struct Options {
    pub front: Front,
    /// How long a ban lasts, as in the config.
    pub ban: &'static str,
    /// `kernel`, `l7` or `both`.
    pub enforcement: &'static str,
    /// How often the edge compares the kernel with what it desires.
    pub reconcile: &'static str,
    /// Whether NATS lets in members alone, and commands are signed.
    pub secured: bool,
    /// Whether the daemons' clocks can be set: see [`Fleet::set_clock`].
    pub own_clocks: bool,
    /// More of both daemons' environment.
    pub environment: Vec<(&'static str, &'static str)>,
    /// Slots in each of the edge's ban maps.
    pub ban_slots: u32,
    /// More of the edge's config: keys of no table.
    pub more_keys: String,
    /// Keys of `[proxy]`.
    pub proxy_keys: String,
    /// Whole tables.
    pub more_config: String,
    /// More of the orchestrator's config: whole tables.
    pub more_orchestrator_config: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            front: Front::default(),
            ban: "60s",
            enforcement: "both",
            reconcile: "1s",
            secured: false,
            own_clocks: false,
            environment: Vec::new(),
            ban_slots: 4096,
            more_keys: String::new(),
            proxy_keys: String::new(),
            more_config: String::new(),
            more_orchestrator_config: String::new(),
        }
    }
}

/// A running fleet of one edge. Dropped, it takes everything with it.
#[derive(Debug)]
pub struct Fleet {
    // Dropped in this order: daemons, then what they stand on.
    pub edge: Daemon,
    pub orchestrator: Daemon,
    pins: PinFolder,
    pub nginx: Nginx,
    pub nats: NatsServer,
    folder: TempDir,
    /// What the edge sees in `/etc` and `/run`.
    pub files: HostFiles,
    pub attacker: Namespace,
    pub visitor: Namespace,
    pub host: Namespace,
}

impl Fleet {
    /// Starts everything and waits until both daemons are ready and the edge has heard the bus.
    #[must_use]
    pub fn start(options: &Options) -> Self {
        let (host, attacker, visitor) = (
            Namespace::new("edge"),
            Namespace::new("attacker"),
            Namespace::new("visitor"),
        );
        join_attacker(&host, &attacker);
        link(
            End {
                namespace: &host,
                interface: "to-visitor",
                addresses: &["203.0.113.1/24", "2001:db8:b::1/48"],
            },
            End {
                namespace: &visitor,
                interface: "eth0",
                addresses: &["203.0.113.2/24", "2001:db8:b:1::2/48"],
            },
        );
        let loopback: IpAddr = [127, 0, 0, 1].into();
        let nginx = match options.front {
            Front::Proxy => Nginx::start(&host, SocketAddr::new(loopback, 0)),
            Front::Nginx => Nginx::start(&host, SocketAddr::from(([0; 8], PROXY_PORT))),
        };
        let mut nats = match options.secured {
            true => NatsServer::start_secured(&host, loopback),
            false => NatsServer::start(&host, loopback),
        };
        let folder = tempfile::Builder::new()
            .prefix("secbeat-fleet-")
            .tempdir()
            .expect("making a folder for configs");
        let pins = PinFolder {
            path: PathBuf::from("/sys/fs/bpf").join(host.name()),
            config: folder.path().join("edge.toml"),
        };
        let config = edge_config(options, &pins.path, &nginx, &nats);
        fs::write(&pins.config, config).expect("writing edge.toml");
        let orchestrator_config = folder.path().join("orchestrator.toml");
        let text = format!(
            "[nats]\n{}\n[ban]\nduration = \"{}\"\n{}",
            nats_url(options, &nats),
            options.ban,
            options.more_orchestrator_config,
        );
        fs::write(orchestrator_config, text).expect("writing orchestrator.toml");
        if options.secured {
            install_credentials(&mut nats, folder.path());
        }

        if options.own_clocks {
            for daemon in ["edge", "orchestrator"] {
                clock::set(&clock_of(folder.path(), daemon), 0);
            }
        }
        let environment = options
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"));
        fs::write(environment_in(folder.path()), environment.collect::<String>())
            .expect("writing an environment");
        let files = HostFiles::new();
        let orchestrator = spawn_orchestrator(&host, &folder);
        let edge = spawn_edge(&host, &files, &folder);
        let mut fleet = Self {
            edge,
            orchestrator,
            pins,
            nginx,
            nats,
            folder,
            files,
            attacker,
            visitor,
            host,
        };
        fleet.await_orchestrator();
        fleet.await_edge();
        fleet
    }

    /// Waits until the orchestrator reads telemetry.
    pub fn await_orchestrator(&mut self) {
        self.orchestrator.wait_for_log("reading telemetry", START);
    }

    /// Waits until the edge is ready and has heard the bus.
    pub fn await_edge(&mut self) {
        self.edge.wait_for_log("running", START);
        wait_until("the edge has read the fleet's bans", START, || {
            self.edge_stats().is_some_and(|stats| stats["synced"] == true)
        });
    }

    /// What the edge has logged since its last start.
    #[must_use]
    pub fn edge_log(&self) -> String {
        self.edge.log()
    }

    /// SIGKILLs the edge and leaves it dead.
    pub fn kill_edge(&mut self) {
        self.edge.kill9();
    }

    /// Starts the edge again, and waits for nothing.
    pub fn start_edge(&mut self) {
        self.edge = spawn_edge(&self.host, &self.files, &self.folder);
    }

    /// Writes the edge's config anew, with `from` replaced by `to`; it holds from the next start on.
    ///
    /// # Panics
    ///
    /// When the config has no `from`.
    pub fn reconfigure_edge(&self, from: &str, to: &str) {
        let config = fs::read_to_string(&self.pins.config).expect("reading edge.toml");
        assert!(config.contains(from), "no {from} in the config");
        fs::write(&self.pins.config, config.replace(from, to)).expect("writing edge.toml");
    }

    /// Writes the orchestrator's config anew, as [`reconfigure_edge`](Self::reconfigure_edge).
    ///
    /// # Panics
    ///
    /// When the config has no `from`.
    pub fn reconfigure_orchestrator(&self, from: &str, to: &str) {
        let path = self.folder.path().join("orchestrator.toml");
        let config = fs::read_to_string(&path).expect("reading orchestrator.toml");
        assert!(config.contains(from), "no {from} in the config");
        fs::write(path, config.replace(from, to)).expect("writing orchestrator.toml");
    }

    /// Deletes the interface that leads to the attacker, and makes it again.
    pub fn recreate_interface(&self) {
        self.host.ip(&["link", "delete", "to-attacker"]);
        join_attacker(&self.host, &self.attacker);
    }

    /// Starts the edge again and waits for it.
    pub fn restart_edge(&mut self) {
        self.start_edge();
        self.await_edge();
    }

    /// Starts another orchestrator, with its API on `port`, and waits for nothing.
    ///
    /// # Panics
    ///
    /// When its config cannot be written.
    #[must_use]
    pub fn another_orchestrator(&self, port: u16) -> Daemon {
        let name = format!("orchestrator-{port}");
        let first = fs::read_to_string(self.folder.path().join("orchestrator.toml"));
        let config = format!(
            "{}\n[api]\nlisten = \"127.0.0.1:{port}\"\n",
            first.expect("reading orchestrator.toml")
        );
        fs::write(self.folder.path().join(format!("{name}.toml")), config).expect("writing a config");
        let mut command = self.host.command(paths::daemon("secbeat-orchestrator"));
        command.arg("run");
        spawn(command, &self.folder, &name)
    }

    /// Starts the orchestrator again, and waits for nothing.
    pub fn start_orchestrator(&mut self) {
        self.orchestrator = spawn_orchestrator(&self.host, &self.folder);
    }

    /// SIGKILLs the orchestrator, starts it again and waits for it.
    pub fn bounce_orchestrator(&mut self) {
        self.orchestrator.kill9();
        self.orchestrator = spawn_orchestrator(&self.host, &self.folder);
        self.await_orchestrator();
    }

    /// Ends both daemons as an operator would.
    pub fn stop(&mut self) {
        for daemon in [&mut self.edge, &mut self.orchestrator] {
            let status = daemon.terminate(STOP);
            assert!(
                status.success(),
                "a daemon ended with {status} on SIGTERM:\n{}",
                daemon.log()
            );
        }
    }

    /// The edge's pinned maps.
    #[must_use]
    pub fn pins(&self) -> Pins {
        Pins::at(&self.pins.path)
    }

    /// Sets the wall clock that a daemon (`edge` or `orchestrator`) sees, to so many seconds ahead of the real one. Clocks that
    /// count from the boot go on as they do.
    pub fn set_clock(&self, daemon: &str, ahead: i64) {
        clock::set(&clock_of(self.folder.path(), daemon), ahead);
    }

    /// Where the edge pins.
    #[must_use]
    pub fn pin_folder(&self) -> &Path {
        &self.pins.path
    }

    /// The checkpoint of the edge's access log, once there is one.
    #[must_use]
    pub fn log_checkpoint(&self) -> Option<String> {
        let files = fs::read_dir(self.files.path("/var/lib/secbeat/edge/access_log"))
            .ok()?
            .flatten();
        let mut files = files.map(|file| file.path());
        let file = files.find(|path| path.extension().is_some_and(|kind| kind == "json"))?;
        fs::read_to_string(file).ok()
    }

    /// The names in the pin folder.
    #[must_use]
    pub fn pinned(&self) -> Vec<String> {
        let entries = fs::read_dir(self.pin_folder()).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }

    /// The kernel's ban of `address`, if it holds one.
    #[must_use]
    pub fn ban_of(&self, address: IpAddr) -> Option<Ban> {
        self.pins().ban_of(address)
    }

    /// A client on the attacker's host.
    #[must_use]
    pub fn attacking(&self, family: Family) -> Client {
        Client::new(&self.attacker)
            .with_source(family.attacker())
            .with_timeout(Duration::from_secs(2))
    }

    /// An innocent client that keeps browsing.
    #[must_use]
    pub fn browsing(&self, family: Family) -> Visitor {
        let client = Client::new(&self.visitor).with_source(family.visitor());
        Visitor::start(client, &format!("http://{}/", family.edge_for_visitor()))
    }

    /// Runs a command of a daemon (`edge` or `orchestrator`) on the edge's host.
    #[must_use]
    pub fn cli(&self, daemon: &str, arguments: &[&str]) -> std::process::Output {
        let mut command = self.host.command(paths::daemon(&format!("secbeat-{daemon}")));
        command
            .arg("--config")
            .arg(self.folder.path().join(format!("{daemon}.toml")))
            .args(arguments);
        command.output().expect("running a command of a daemon")
    }

    /// The answer of a local API: `port` is the edge's 8080 or the orchestrator's 3030.
    ///
    /// # Errors
    ///
    /// When nobody listens there.
    pub fn api(&self, port: u16, path: &str) -> std::io::Result<Response> {
        Client::new(&self.host).request("GET", &format!("http://127.0.0.1:{port}{path}"), &[], b"")
    }

    /// The edge's statistics; `None` while it does not answer.
    #[must_use]
    pub fn edge_stats(&self) -> Option<serde_json::Value> {
        let answer = self
            .api(8080, "/api/v1/stats")
            .ok()
            .filter(|answer| answer.status == 200)?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// The orchestrator's statistics; `None` while it does not answer.
    #[must_use]
    pub fn orchestrator_stats(&self) -> Option<serde_json::Value> {
        self.orchestrator_stats_at(3030)
    }

    /// The same of the one whose API is on `port`.
    #[must_use]
    pub fn orchestrator_stats_at(&self, port: u16) -> Option<serde_json::Value> {
        let answer = self
            .api(port, "/api/v1/stats")
            .ok()
            .filter(|answer| answer.status == 200)?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// Waits until the kernel holds a ban of `address`.
    pub fn await_ban(&self, address: IpAddr) -> Ban {
        wait_until(
            &format!("{address} is banned in the kernel"),
            Duration::from_secs(10),
            || self.ban_of(address),
        )
    }

    /// Lets the attacker make `count` requests for missing pages over one connection, each answered 404.
    ///
    /// # Panics
    ///
    /// When one is not.
    pub fn make_errors(&self, family: Family, count: u64) {
        let mut attacker = self.attacking(family);
        for n in 0..count {
            let url = format!("http://{}/missing-{n}", family.edge_for_attacker());
            let status = attacker.get(&url).expect("an answer to the attacker");
            assert_eq!(status, 404, "request {n} for a missing page");
        }
    }

    /// Waits until the orchestrator has worked through `events` error answers.
    pub fn await_events(&self, events: u64) {
        wait_until(
            &format!("the orchestrator has seen {events} errors"),
            Duration::from_secs(10),
            || {
                self.orchestrator_stats()
                    .is_some_and(|stats| stats["events"].as_u64() >= Some(events))
            },
        );
    }
}

fn spawn_orchestrator(host: &Namespace, folder: &TempDir) -> Daemon {
    let mut command = host.command(paths::daemon("secbeat-orchestrator"));
    command.arg("run");
    spawn(command, folder, "orchestrator")
}

fn spawn_edge(host: &Namespace, files: &HostFiles, folder: &TempDir) -> Daemon {
    let mut command = files.command(host, &paths::daemon("secbeat-edge"));
    command.arg("run").arg("--bpf-object").arg(paths::bpf_object());
    spawn(command, folder, "edge")
}

fn spawn(mut command: Command, folder: &TempDir, daemon: &str) -> Daemon {
    command
        .arg("--config")
        .arg(folder.path().join(format!("{daemon}.toml")))
        .env("SECBEAT_LOG", "info,async_nats=warn,drops=trace")
        .env("NO_COLOR", "1");
    let environment = fs::read_to_string(environment_in(folder.path())).expect("reading an environment");
    command.envs(environment.lines().filter_map(|line| line.split_once('=')));
    let clock = clock_of(folder.path(), daemon);
    if clock.exists() {
        clock::wear(&mut command, &clock);
    }
    Daemon::spawn(&format!("secbeat-{daemon}"), &mut command)
}

fn clock_of(folder: &Path, daemon: &str) -> PathBuf {
    folder.join(format!("{daemon}.clock"))
}

/// Where it is kept for daemons that start anew.
fn environment_in(folder: &Path) -> PathBuf {
    folder.join("environment")
}

fn join_attacker(host: &Namespace, attacker: &Namespace) {
    link(
        End {
            namespace: host,
            interface: "to-attacker",
            addresses: &["198.51.100.1/24", "2001:db8:a::1/48"],
        },
        End {
            namespace: attacker,
            interface: "eth0",
            addresses: &["198.51.100.2/24", "2001:db8:a:1::2/48"],
        },
    );
}

/// Where NATS is, unless the credentials say so.
fn nats_url(options: &Options, nats: &NatsServer) -> String {
    match options.secured {
        true => String::new(),
        false => format!("url = \"{}\"", nats.url()),
    }
}

/// Makes both daemons whose configs are in `folder` members of the fleet, as an operator would.
fn install_credentials(nats: &mut NatsServer, folder: &Path) {
    let edge = nats.enroll("edge-1");
    let first = nats.fleet().join("credentials/orchestrator-1.toml");
    fs::copy(first, folder.join("orchestrator.credentials")).expect("copying credentials");
    let enrolled = paths::daemon("secbeat-edge")
        .command()
        .arg("--config")
        .arg(folder.join("edge.toml"))
        .arg("enroll")
        .arg(edge)
        .output()
        .expect("running secbeat-edge");
    assert!(enrolled.status.success(), "{enrolled:?}");
}

fn edge_config(options: &Options, pin_dir: &Path, nginx: &Nginx, nats: &NatsServer) -> String {
    let source = match options.front {
        Front::Proxy => format!(
            "[proxy]\nlisten = \"[::]:{PROXY_PORT}\"\nupstream = \"http://{}\"\n{}",
            nginx.address(),
            options.proxy_keys
        ),
        Front::Nginx => format!("[[access_log]]\npath = \"{}\"", nginx.combined_log().display()),
    };
    format!(
        r#"edge_id = "edge-1"
enforcement = "{}"
{}
[kernel]
interfaces = ["to-attacker", "to-visitor"]
pin_dir = "{}"
ban_slots = {}
{source}
[nats]
{}
[bans]
reconcile_interval = "{}"
{}"#,
        options.enforcement,
        options.more_keys,
        pin_dir.display(),
        options.ban_slots,
        nats_url(options, nats),
        options.reconcile,
        options.more_config,
    )
}
