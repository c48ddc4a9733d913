//! The conformance suite of the bus over a real nats-server on loopback.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use parking_lot::Mutex;
use secbeat_bus::{
    Bus,
    conformance::{self, Lab},
    for_each_case,
    nats::{Nats, Server},
};
use secbeat_tests::lab::{executable::Executable as _, paths, process::Daemon};
use tempfile::TempDir;

const START: Duration = Duration::from_secs(20);

/// A nats-server with a store of its own.
struct NatsLab {
    port: u16,
    _folder: TempDir,
    config: PathBuf,
    daemon: Mutex<Option<Daemon>>,
}

impl NatsLab {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let folder = tempfile::Builder::new().prefix("secbeat-bus-").tempdir().unwrap();
        let config = folder.path().join("nats.conf");
        let store = folder.path().join("store");
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\" }}\n",
            store.display()
        );
        fs::write(&config, text).unwrap();
        let lab = Self {
            port,
            _folder: folder,
            config,
            daemon: Mutex::default(),
        };
        lab.start_server();
        lab
    }

    fn start_server(&self) {
        let mut command = paths::nats_server().command();
        let mut daemon = Daemon::spawn("nats-server", command.arg("--config").arg(&self.config));
        daemon.wait_for_log("Server is ready", START);
        *self.daemon.lock() = Some(daemon);
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Lab for NatsLab {
    async fn join(&self) -> Bus {
        let server = Server {
            urls: vec![self.url()],
            program: "conformance".to_owned(),
            login: None,
            replicas: None,
        };
        let bus = Nats::connect(server).await.expect("connecting").bus();
        bus.connection_after(0).await;
        bus
    }

    async fn stop(&self) {
        if let Some(mut daemon) = self.daemon.lock().take() {
            daemon.terminate(START);
        }
    }

    async fn start(&self) {
        self.start_server();
    }

    async fn delete_bucket(&self, name: &str) {
        let client = async_nats::connect(self.url()).await.expect("connecting");
        let context = async_nats::jetstream::new(client);
        context
            .delete_stream(format!("KV_{name}"))
            .await
            .expect("deleting a bucket");
    }
}

macro_rules! tests {
    ($($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                conformance::$case(&NatsLab::new()).await;
            }
        )*
    };
}

for_each_case!(tests);
