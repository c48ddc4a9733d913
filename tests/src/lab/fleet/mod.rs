//! The whole of SecBeat in miniature: an edge host with nginx behind it, the bus and the orchestrator, and two clients' hosts,
//! an attacker's and a visitor's.

mod config;
mod daemons;
mod options;
mod queries;

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use tempfile::TempDir;

use self::{
    config::{edge_config, install_credentials, orchestrator_config},
    daemons::{clock_of, environment_in, spawn, spawn_edge, spawn_orchestrator},
};
pub use self::{
    options::{Family, Front, Options, PROXY_PORT},
    queries::order,
};
use crate::lab::{
    clock,
    files::HostFiles,
    local::socket,
    nats::NatsServer,
    netns::{End, Namespace, link},
    nginx::Nginx,
    paths,
    pin_folder::PinFolder,
    process::Daemon,
    wait::wait_until,
};

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(15);

/// A running fleet of one edge. Dropped, it takes everything with it.
#[derive(Debug)]
pub struct Fleet {
    // Dropped in this order: daemons, then what they stand on.
    pub edge: Daemon,
    pub orchestrator: Daemon,
    pins: PinFolder,
    pub nginx: Nginx,
    pub nats: NatsServer,
    /// The other servers of its cluster.
    pub more_nats: Vec<NatsServer>,
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
        let (mut nats, mut more_nats) = match (options.clustered, options.secured) {
            (true, _) => {
                let [first, second, third] = NatsServer::start_cluster(&host);
                (first, vec![second, third])
            }
            (false, true) => (NatsServer::start_secured(&host, loopback), Vec::new()),
            (false, false) => (NatsServer::start(&host, loopback), Vec::new()),
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
        fs::write(
            folder.path().join("orchestrator.toml"),
            orchestrator_config(options, &nats),
        )
        .expect("writing orchestrator.toml");
        if options.is_secured() {
            install_credentials(&mut nats, folder.path());
            more_nats.iter_mut().for_each(NatsServer::reload);
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
            more_nats,
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
        wait_until("the edge has read the bans in force", START, || {
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

    /// Makes the edge read its config again, and waits until it has.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn reload_edge(&mut self) {
        let done = "the config is reloaded";
        let before = self.edge.log().matches(done).count();
        self.edge.signal(libc::SIGHUP);
        self.edge.wait_for_log_count(done, before + 1, STOP);
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
            "{}\n[api]\nlisten = \"127.0.0.1:{port}\"\nsocket = \"{}\"\n",
            first.expect("reading orchestrator.toml"),
            socket(&self.host, &queries::orchestrator_at(port)).display(),
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

    /// Sets the wall clock that a daemon (`edge` or `orchestrator`) sees, to so many seconds ahead of the real one. Clocks that
    /// count from the boot go on as they do.
    pub fn set_clock(&self, daemon: &str, ahead: i64) {
        clock::set(&clock_of(self.folder.path(), daemon), ahead);
    }
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
