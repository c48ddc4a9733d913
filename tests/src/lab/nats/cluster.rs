//! Three servers of one cluster.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{FLEET, NatsServer, STORE, new_folder, run};
use crate::lab::{client::Client, executable::Executable as _, netns::Namespace, paths};

impl NatsServer {
    /// Starts the cluster of three of a fleet founded for it, each on an address of its own. What `init` wrote for hosts of their own
    /// is told apart by folders here.
    ///
    /// # Panics
    ///
    /// When a config cannot be written.
    #[must_use]
    pub fn start_cluster(namespace: &Namespace) -> [Self; 3] {
        let addresses = [1, 2, 3].map(|last| IpAddr::from([127, 0, 0, last]));
        let folder = Arc::new(new_folder());
        let fleet = folder.path().join(FLEET);
        let hosts = addresses
            .iter()
            .flat_map(|address| ["--host".to_owned(), address.to_string()]);
        run(paths::daemon("secbeat-orchestrator")
            .command()
            .arg("init")
            .args(["--replicas", "3"])
            .args(hosts)
            .arg("--store-dir")
            .arg(folder.path().join(STORE))
            .arg("--dir")
            .arg(&fleet));
        let mut servers = [("nats", 0), ("nats-2", 1), ("nats-3", 2)].map(|(nats, index)| {
            let config = fleet.join(nats).join("nats-server.conf");
            let text = fs::read_to_string(&config).expect("reading a config");
            let in_fleet = |name: &str| format!("{}/", fleet.join(name).display());
            let store = |name: &str| format!("\"{}\"", folder.path().join(name).display());
            let text = text
                .replace(&in_fleet("nats"), &in_fleet(nats))
                .replace(&store(STORE), &store(&format!("{STORE}-{nats}")));
            fs::write(&config, text).expect("writing a config");
            Self {
                namespace: namespace.clone(),
                address: SocketAddr::new(addresses[index], 4222),
                folder: folder.clone(),
                config,
                program: paths::nats_server(),
                daemon: None,
                disk: None,
            }
        });
        for server in &mut servers {
            server.spawn();
        }
        for server in &mut servers {
            server.await_ready();
        }
        servers
    }

    /// What its monitoring answers.
    #[must_use]
    pub fn monitoring(&self, path: &str) -> Option<serde_json::Value> {
        let url = format!("http://{}:8222{path}", self.address.ip());
        let answer = Client::new(&self.namespace).request("GET", &url, &[], b"").ok()?;
        serde_json::from_slice(&answer.body).ok()
    }
}
