//! What a running fleet is asked, and who visits it.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use secbeat_common::maps::Ban;

use super::{Family, Fleet};
use crate::lab::{
    bpf::Pins,
    client::{Client, Response},
    local,
    netns::Namespace,
    paths,
    visitor::Visitor,
    wait::wait_until,
};

/// The name that an orchestrator goes by whose API is on `port`.
pub(super) fn orchestrator_at(port: u16) -> String {
    match port {
        3030 => "secbeat-orchestrator".to_owned(),
        port => format!("secbeat-orchestrator-{port}"),
    }
}

/// As [`Fleet::order`], of a daemon on `host`.
///
/// # Errors
///
/// When there is no answer.
pub fn order(host: &Namespace, port: u16, method: &str, path: &str, body: &str) -> std::io::Result<Response> {
    let name = match port {
        8080 => "secbeat-edge".to_owned(),
        port => orchestrator_at(port),
    };
    local::order(host, &name, method, path, body)
}

impl Fleet {
    /// The edge's pinned maps.
    #[must_use]
    pub fn pins(&self) -> Pins {
        Pins::at(&self.pins.path)
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

    /// A file of the edge's state.
    #[must_use]
    pub fn edge_state(&self, name: &str) -> PathBuf {
        self.files.path("/var/lib/secbeat/edge").join(name)
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
    pub fn cli(&self, daemon: &str, arguments: &[&str]) -> Output {
        let program = paths::daemon(&format!("secbeat-{daemon}"));
        let mut command = match daemon {
            // What the kill switch leaves is among the host's files.
            "edge" => self.files.command(&self.host, &program),
            _ => self.host.command(program),
        };
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

    /// What the daemon whose API is on `port` says to a request on its socket.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub fn order(&self, port: u16, method: &str, path: &str, body: &str) -> std::io::Result<Response> {
        order(&self.host, port, method, path, body)
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
