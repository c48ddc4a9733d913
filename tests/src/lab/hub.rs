//! A host with NATS, an orchestrator and an edge: the first of two hosts that are a fleet without a third machine.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use secbeat_common::maps::Ban;
use tempfile::TempDir;

use crate::lab::{
    bpf::Pins,
    nats::NatsServer,
    netns::{End, Namespace, link},
    paths,
    pin_folder::PinFolder,
    process::Daemon,
};

const START: Duration = Duration::from_secs(30);

/// The host and its daemons.
#[derive(Debug)]
pub struct Hub {
    // Dropped in this order: daemons, then what they stand on.
    _edge: Daemon,
    _orchestrator: Daemon,
    pins: PinFolder,
    pub nats: NatsServer,
    folder: TempDir,
    host: Namespace,
}

impl Hub {
    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    /// Founds a fleet on a host that is linked with `other`, and starts its daemons, of which `config` is the orchestrator's.
    #[must_use]
    pub fn start(other: &Namespace, config: &str) -> Self {
        let host = Namespace::new("hub");
        link(
            End {
                namespace: &host,
                interface: "eth0",
                addresses: &["192.0.2.1/24"],
            },
            End {
                namespace: other,
                interface: "to-hub",
                addresses: &["192.0.2.2/24"],
            },
        );
        let mut nats = NatsServer::start_secured(&host, Self::ADDRESS);
        let folder = tempfile::Builder::new()
            .prefix("secbeat-hub-")
            .tempdir()
            .expect("making a folder for configs");
        let first = nats.fleet().join("credentials/orchestrator-1.toml");
        fs::copy(first, folder.path().join("orchestrator.credentials")).expect("copying credentials");
        let of_orchestrator = folder.path().join("orchestrator.toml");
        fs::write(&of_orchestrator, config).expect("writing a config");
        let mut orchestrator = daemon(&host, "secbeat-orchestrator", &of_orchestrator);
        orchestrator.wait_for_log("reading telemetry", START);

        let pins = PinFolder {
            path: Path::new("/sys/fs/bpf").join(host.name()),
            config: folder.path().join("edge.toml"),
        };
        let of_edge = format!(
            "state_dir = \"{}\"\n[kernel]\ninterfaces = [\"eth0\"]\npin_dir = \"{}\"\nban_slots = 4096\n",
            folder.path().join("edge").display(),
            pins.path.display()
        );
        fs::write(&pins.config, of_edge).expect("writing a config");
        let credentials = nats.enroll("web-1");
        let mut enroll = host.command(paths::daemon("secbeat-edge"));
        enroll
            .arg("--config")
            .arg(&pins.config)
            .arg("enroll")
            .arg(credentials);
        let enrolled = enroll.output().expect("running a command");
        assert!(enrolled.status.success(), "{enrolled:?}");
        let mut edge = daemon(&host, "secbeat-edge", &pins.config);
        edge.wait_for_log("read the bans in force", START);
        Self {
            _edge: edge,
            _orchestrator: orchestrator,
            pins,
            nats,
            folder,
            host,
        }
    }

    /// Takes another host into the fleet, and returns where its credentials are.
    #[must_use]
    pub fn enroll(&mut self, name: &str) -> PathBuf {
        self.nats.enroll(name)
    }

    /// What a command of the orchestrator says. It may fail.
    #[must_use]
    pub fn orchestrator(&self, arguments: &[&str]) -> Output {
        let mut command = self.host.command(paths::daemon("secbeat-orchestrator"));
        command.args(arguments);
        command
            .arg("--config")
            .arg(self.folder.path().join("orchestrator.toml"));
        command
            .env("SECBEAT_LOG", "off")
            .output()
            .expect("running a command")
    }

    /// This host's kernel's ban of `address`, if it holds one.
    #[must_use]
    pub fn ban_of(&self, address: IpAddr) -> Option<Ban> {
        Pins::at(&self.pins.path).ban_of(address)
    }
}

fn daemon(host: &Namespace, program: &str, config: &Path) -> Daemon {
    let mut command: Command = host.command(paths::daemon(program));
    command.arg("run");
    if program == "secbeat-edge" {
        command.arg("--bpf-object").arg(paths::bpf_object());
    }
    command.arg("--config").arg(config);
    command
        .env("SECBEAT_LOG", "info,async_nats=warn")
        .env("NO_COLOR", "1");
    Daemon::spawn(program, &mut command)
}
