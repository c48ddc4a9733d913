//! One more edge of a fleet, on the same host and bus, with an interface and pins of its own and no proxy.

use std::{fs, net::IpAddr, path::PathBuf, time::Duration};

use secbeat_common::maps::Ban;
use tempfile::TempDir;

use crate::lab::{
    bpf::Pins,
    client::Client,
    files::HostFiles,
    fleet::Fleet,
    netns::{End, Namespace, link},
    paths,
    pin_folder::PinFolder,
    process::Daemon,
    wait::wait_until,
};

const START: Duration = Duration::from_secs(20);

/// A running edge; dropped, its pins go.
#[derive(Debug)]
pub struct FurtherEdge {
    // Dropped in this order: the daemon, then what it stands on.
    pub daemon: Daemon,
    pins: PinFolder,
    api: u16,
    host: Namespace,
    id: String,
    files: HostFiles,
    _folder: TempDir,
    _client: Namespace,
}

impl FurtherEdge {
    /// Starts the edge `id` beside those of `fleet`, enrolled there if it is secured, and waits for nothing. `ban_slots` is the size of its maps,
    /// `tables` are whole tables of its config.
    #[must_use]
    pub fn start(fleet: &Fleet, id: &str, ban_slots: u32, tables: &str) -> Self {
        let (host, client) = (fleet.host.clone(), Namespace::new("further"));
        let interface = format!("to-{id}");
        link(
            End {
                namespace: &host,
                interface: &interface,
                addresses: &[],
            },
            End {
                namespace: &client,
                interface: "eth0",
                addresses: &[],
            },
        );
        let folder = tempfile::Builder::new()
            .prefix("secbeat-edge-")
            .tempdir()
            .expect("making a folder for a config");
        let pins = PinFolder {
            path: PathBuf::from("/sys/fs/bpf").join(format!("{}-{id}", host.name())),
            config: folder.path().join("edge.toml"),
        };
        let api = host.free_port(IpAddr::from([127, 0, 0, 1]));
        let enrolled = fleet.nats.fleet().join("credentials").join(format!("{id}.toml"));
        let nats = match enrolled.exists() {
            true => {
                fs::copy(enrolled, folder.path().join("edge.credentials")).expect("copying credentials");
                String::new()
            }
            false => format!("url = \"{}\"", fleet.nats.url()),
        };
        let config = format!(
            r#"edge_id = "{id}"
enforcement = "kernel"
api_listen = "127.0.0.1:{api}"
api_socket = "{}"
[kernel]
interfaces = ["{interface}"]
pin_dir = "{}"
ban_slots = {ban_slots}
[nats]
{nats}
[bans]
reconcile_interval = "1s"
{tables}"#,
            folder.path().join("api.sock").display(),
            pins.path.display(),
        );
        fs::write(&pins.config, config).expect("writing edge.toml");
        let files = HostFiles::new();
        Self {
            daemon: spawn(&host, &files, &pins, id),
            pins,
            api,
            host,
            id: id.to_owned(),
            files,
            _folder: folder,
            _client: client,
        }
    }

    /// Starts it again, and waits for nothing.
    pub fn start_again(&mut self) {
        self.daemon = spawn(&self.host, &self.files, &self.pins, &self.id);
    }

    /// Waits until it has read the bans in force.
    pub fn await_synced(&self) {
        wait_until("the further edge has read the bans in force", START, || {
            self.stats().is_some_and(|stats| stats["synced"] == true)
        });
    }

    /// Its statistics; `None` while it does not answer.
    #[must_use]
    pub fn stats(&self) -> Option<serde_json::Value> {
        let url = format!("http://127.0.0.1:{}/api/v1/stats", self.api);
        let answer = Client::new(&self.host).request("GET", &url, &[], b"").ok()?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// Its kernel's ban of `address`, if it holds one.
    #[must_use]
    pub fn ban_of(&self, address: IpAddr) -> Option<Ban> {
        Pins::at(&self.pins.path).ban_of(address)
    }

    /// Where it pins.
    #[must_use]
    pub fn pin_folder(&self) -> &std::path::Path {
        &self.pins.path
    }
}

fn spawn(host: &Namespace, files: &HostFiles, pins: &PinFolder, id: &str) -> Daemon {
    let mut command = files.command(host, &paths::daemon("secbeat-edge"));
    command
        .args(["run", "--bpf-object"])
        .arg(paths::bpf_object())
        .arg("--config")
        .arg(&pins.config)
        .env("SECBEAT_LOG", "info,async_nats=warn")
        .env("NO_COLOR", "1");
    Daemon::spawn(&format!("secbeat-edge {id}"), &mut command)
}
