//! A real nats-server with JetStream, on a port and a store of its own.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use socket2::Type;
use tempfile::TempDir;

use crate::lab::{netns::Namespace, paths, process::Daemon, wait::wait_until};

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(10);

/// A nats-server that can be stopped and started again with what it stored.
#[derive(Debug)]
pub struct NatsServer {
    namespace: Namespace,
    address: SocketAddr,
    folder: TempDir,
    daemon: Option<Daemon>,
}

impl NatsServer {
    /// Starts one in `namespace` on a free port of `address` and waits until it accepts connections.
    #[must_use]
    pub fn start(namespace: &Namespace, address: IpAddr) -> Self {
        let address = SocketAddr::new(address, namespace.free_port(address));
        let folder = tempfile::Builder::new()
            .prefix("secbeat-nats-")
            .tempdir()
            .expect("making a store");
        let store = folder.path().join("store");
        let config = format!(
            "listen: \"{address}\"\njetstream {{\n  store_dir: \"{}\"\n  sync_interval: always\n}}\n",
            store.display()
        );
        fs::write(folder.path().join("nats.conf"), config).expect("writing nats.conf");
        let mut server = Self {
            namespace: namespace.clone(),
            address,
            folder,
            daemon: None,
        };
        server.restart();
        server
    }

    /// Where clients of its namespace connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it as an operator would (SIGTERM).
    pub fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.terminate(STOP);
        }
    }

    /// Stops it as a power failure would (SIGKILL).
    pub fn kill9(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill9();
        }
    }

    /// Starts it (after stopping it, if need be) on the same port and store, and waits until it accepts connections.
    pub fn restart(&mut self) {
        self.stop();
        let mut command = self.namespace.command(paths::nats_server());
        command.arg("--config").arg(self.folder.path().join("nats.conf"));
        let daemon = self.daemon.insert(Daemon::spawn("nats-server", &mut command));
        daemon.wait_for_log("Server is ready", START);
        wait_until("nats-server accepts connections", START, || {
            let socket = self.namespace.socket(self.address.ip(), Type::STREAM);
            socket
                .connect_timeout(&self.address.into(), Duration::from_secs(1))
                .is_ok()
        });
    }
}
