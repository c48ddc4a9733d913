//! A real nats-server with JetStream, on a port and a store of its own.

mod cluster;
mod disk;

use std::{
    fs,
    io::{self, BufRead, BufReader, BufWriter, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use socket2::Type;
use tempfile::TempDir;

use crate::lab::{executable::Executable as _, netns::Namespace, paths, process::Daemon, wait::wait_until};

const STORE: &str = "store";
const FLEET: &str = "fleet";
const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(10);

/// A nats-server that can be stopped and started again with what it stored.
#[derive(Debug)]
pub struct NatsServer {
    namespace: Namespace,
    address: SocketAddr,
    folder: Arc<TempDir>,
    config: PathBuf,
    program: PathBuf,
    daemon: Option<Daemon>,
    /// Where it stores, if that is a disk of its own.
    disk: Option<PathBuf>,
}

impl NatsServer {
    /// Starts one in `namespace` on a free port of `address` and waits until it accepts connections.
    #[must_use]
    pub fn start(namespace: &Namespace, address: IpAddr) -> Self {
        Self::start_program(namespace, address, paths::nats_server(), plain_config)
    }

    /// Starts that of a [fleet](Self::fleet) founded for it, which lets members in and nobody else.
    #[must_use]
    pub fn start_secured(namespace: &Namespace, address: IpAddr) -> Self {
        Self::start_program(namespace, address, paths::nats_server(), |folder, address| {
            let fleet = folder.join(FLEET);
            run(paths::daemon("secbeat-orchestrator")
                .command()
                .arg("init")
                .args(["--host", &address.ip().to_string()])
                .args(["--listen", &address.to_string()])
                .arg("--store-dir")
                .arg(folder.join(STORE))
                .arg("--dir")
                .arg(&fleet));
            fleet.join("nats/nats-server.conf")
        })
    }

    /// Starts one of a version that SecBeat refuses.
    #[must_use]
    pub fn start_too_old(namespace: &Namespace, address: IpAddr) -> Self {
        Self::start_program(namespace, address, paths::old_nats_server(), plain_config)
    }

    /// `configure` writes the config and says where it is.
    fn start_program(
        namespace: &Namespace,
        address: IpAddr,
        program: PathBuf,
        configure: impl FnOnce(&Path, SocketAddr) -> PathBuf,
    ) -> Self {
        let address = SocketAddr::new(address, namespace.free_port(address));
        let folder = new_folder();
        let config = configure(folder.path(), address);
        let mut server = Self {
            namespace: namespace.clone(),
            address,
            folder: Arc::new(folder),
            config,
            program,
            daemon: None,
            disk: None,
        };
        server.restart();
        server
    }

    /// The folder of the fleet that it was founded with.
    #[must_use]
    pub fn fleet(&self) -> PathBuf {
        self.folder.path().join(FLEET)
    }

    /// Takes an edge into the fleet, and returns where its credentials are.
    ///
    /// # Panics
    ///
    /// When that is refused.
    #[must_use]
    pub fn enroll(&mut self, name: &str) -> PathBuf {
        let fleet = self.fleet();
        run(paths::daemon("secbeat-orchestrator")
            .command()
            .args(["enroll", name, "--dir"])
            .arg(&fleet));
        self.reload();
        fleet.join("credentials").join(format!("{name}.toml"))
    }

    /// Lets `secbeat-orchestrator` change the fleet's folder, and takes over what it made.
    ///
    /// # Panics
    ///
    /// When it refuses.
    pub fn change_fleet(&mut self, arguments: &[&str]) {
        run(paths::daemon("secbeat-orchestrator")
            .command()
            .args(arguments)
            .arg("--dir")
            .arg(self.fleet()));
        self.reload();
    }

    /// Takes a member out of the fleet.
    ///
    /// # Panics
    ///
    /// When that is refused.
    pub fn expel(&mut self, name: &str) {
        run(paths::daemon("secbeat-orchestrator")
            .command()
            .args(["expel", name, "--dir"])
            .arg(self.fleet()));
        self.reload();
    }

    /// What it has logged since its last start.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Daemon::log).unwrap_or_default()
    }

    /// Lets it read its config again, and waits until it has.
    pub fn reload(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        let reloaded = "Reloaded server configuration";
        let before = daemon.log().matches(reloaded).count();
        daemon.signal(libc::SIGHUP);
        wait_until("nats-server has read its config again", START, || {
            daemon.log().matches(reloaded).count() > before
        });
    }

    /// Where clients of its namespace connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Sends it a signal, such as SIGSTOP.
    pub fn signal(&mut self, signal: i32) {
        if let Some(daemon) = &mut self.daemon {
            daemon.signal(signal);
        }
    }

    /// Publishes one message by the plain protocol.
    ///
    /// # Panics
    ///
    /// When the server does not take it.
    pub fn publish(&self, subject: &str, payload: &[u8]) {
        self.publish_all(std::iter::once((subject.to_owned(), payload.to_owned())));
    }

    /// Publishes subjects and payloads by the plain protocol, over one connection.
    ///
    /// # Panics
    ///
    /// When the server does not take them.
    pub fn publish_all(&self, mut messages: impl Iterator<Item = (String, Vec<u8>)>) {
        let publish = |sink: &mut dyn Write| {
            messages.try_for_each(|(subject, payload)| {
                write!(sink, "PUB {subject} {}\r\n", payload.len())?;
                sink.write_all(&payload)?;
                sink.write_all(b"\r\n")
            })
        };
        let mut answers = self.converse(publish).lines();
        let pong = answers.any(|line| line.is_ok_and(|line| line == "PONG"));
        assert!(pong, "NATS did not take what was published");
    }

    /// Asks for one answer by the plain protocol.
    ///
    /// # Panics
    ///
    /// When none comes, or one that is no JSON.
    #[must_use]
    pub fn request(&self, subject: &str, payload: &[u8]) -> serde_json::Value {
        let mut answers = self.converse(|sink| {
            write!(sink, "SUB answer 1\r\nPUB {subject} answer {}\r\n", payload.len())?;
            sink.write_all(payload)?;
            sink.write_all(b"\r\n")
        });
        let mut line = String::new();
        while !line.starts_with("MSG answer") {
            line.clear();
            assert_ne!(
                answers.read_line(&mut line).expect("an answer"),
                0,
                "no answer to {subject}"
            );
        }
        line.clear();
        answers.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).expect("JSON")
    }

    /// How many messages `stream` keeps whose subjects match `subject`.
    ///
    /// # Panics
    ///
    /// When the server does not say.
    #[must_use]
    pub fn messages(&self, stream: &str, subject: &str) -> u64 {
        let filter = format!("{{\"subjects_filter\":\"{subject}\"}}");
        let info = self.request(&format!("$JS.API.STREAM.INFO.{stream}"), filter.as_bytes());
        let subjects = info["state"]["subjects"].as_object();
        let counts = subjects.into_iter().flat_map(|subjects| subjects.values());
        counts.filter_map(serde_json::Value::as_u64).sum()
    }

    /// A connection that publishes by the plain protocol.
    ///
    /// # Panics
    ///
    /// When the server cannot be reached.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        let mut publisher = Publisher(self.converse(|_| Ok(())));
        publisher.await_pong();
        publisher
    }

    /// Says something and asks for a heartbeat; what is answered is read from what it returns.
    fn converse(&self, say: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> BufReader<TcpStream> {
        let socket = self.namespace.socket(self.address.ip(), Type::STREAM);
        socket.connect(&self.address.into()).expect("connecting to NATS");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(START)).expect("setting a timeout");
        let mut sink = BufWriter::new(&stream);
        sink.write_all(b"CONNECT {\"verbose\":false}\r\n")
            .and_then(|()| say(&mut sink))
            .and_then(|()| sink.write_all(b"PING\r\n"))
            .and_then(|()| sink.flush())
            .expect("speaking to NATS");
        drop(sink);
        BufReader::new(stream)
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

    /// Stops it and deletes all that it stored.
    ///
    /// # Panics
    ///
    /// When that cannot be deleted.
    pub fn lose_store(&mut self) {
        self.kill9();
        fs::remove_dir_all(self.folder.path().join(STORE)).expect("deleting the store");
    }

    /// Starts it (after stopping it, if need be) on the same port and store, and waits until it accepts connections.
    pub fn restart(&mut self) {
        self.stop();
        self.spawn();
        self.await_ready();
    }

    fn spawn(&mut self) {
        let mut command = self.namespace.command(&self.program);
        command.arg("--config").arg(&self.config);
        self.daemon = Some(Daemon::spawn("nats-server", &mut command));
    }

    fn await_ready(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        daemon.wait_for_log("Server is ready", START);
        wait_until("nats-server accepts connections", START, || {
            let socket = self.namespace.socket(self.address.ip(), Type::STREAM);
            socket
                .connect_timeout(&self.address.into(), Duration::from_secs(1))
                .is_ok()
        });
    }
}

fn new_folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("secbeat-nats-").tempdir();
    folder.expect("making a store")
}

/// Lets everybody in.
fn plain_config(folder: &Path, address: SocketAddr) -> PathBuf {
    let config = format!(
        "listen: \"{address}\"\njetstream {{\n  store_dir: \"{}\"\n  sync_interval: always\n  max_memory_store: 512MB\n  max_file_store: 2GB\n}}\n",
        folder.join(STORE).display()
    );
    let path = folder.join("nats.conf");
    fs::write(&path, config).expect("writing nats.conf");
    path
}

fn run(command: &mut Command) {
    let output = command.output().expect("running a command");
    assert!(output.status.success(), "{output:?}");
}

/// A connection that publishes.
#[derive(Debug)]
pub struct Publisher(BufReader<TcpStream>);

impl Publisher {
    /// Publishes messages, and waits until the server has all of them, in this order and before what others publish
    /// afterwards.
    ///
    /// # Panics
    ///
    /// When the server does not take them.
    pub fn publish(&mut self, messages: &[(String, Vec<u8>)]) {
        let mut bytes = Vec::new();
        for (subject, payload) in messages {
            bytes.extend(format!("PUB {subject} {}\r\n", payload.len()).as_bytes());
            bytes.extend(payload);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"PING\r\n");
        self.0.get_mut().write_all(&bytes).expect("publishing");
        self.await_pong();
    }

    fn await_pong(&mut self) {
        let mut line = String::new();
        while line != "PONG\r\n" {
            line.clear();
            let read = self.0.read_line(&mut line).expect("hearing from NATS");
            assert!(read > 0 && !line.starts_with("-ERR"), "NATS refused: {line:?}");
            if line == "PING\r\n" {
                self.0.get_mut().write_all(b"PONG\r\n").expect("answering NATS");
            }
        }
    }
}
