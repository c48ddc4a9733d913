//! A proxy under test, with both its sides in the test's hands.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::Duration,
};

use secbeat_common::prefix::Prefix;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinHandle,
};

use super::super::{
    Proxy, ProxyConfig, ProxyStats, Reloader, Servers, acme::Challenges, config::ServerUrl, listen,
};
use crate::{
    signatures::Signatures,
    sources::client_address::{Client, ClientRule},
    sources::gate::{Admission, Gate},
    telemetry::{Queue, Recorder},
};

/// Long enough for any machine; whatever waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

pub(super) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: example.org\r\n\r\n")
}

pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} takes too long"))
}

#[derive(Default)]
pub(super) struct Bans(Mutex<HashSet<IpAddr>>, watch::Sender<()>);

impl Bans {
    pub(super) fn ban(&self, client: &str) {
        self.0.lock().unwrap().insert(client.parse().unwrap());
        self.1.send_replace(());
    }
}

impl Gate for Bans {
    fn admission(&self, client: Client) -> Admission {
        match self.refuses(client) {
            true => Admission::Refused,
            false => Admission::Served,
        }
    }

    fn refuses(&self, client: Client) -> bool {
        self.0.lock().unwrap().contains(&client.address)
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.1.subscribe()
    }
}

pub(super) struct Lab {
    pub(super) proxy: SocketAddr,
    pub(super) queue: Queue,
    pub(super) signatures: Signatures,
    pub(super) gate: Arc<Bans>,
    pub(super) stats: Arc<ProxyStats>,
    pub(super) reloader: Reloader,
    pub(super) servers: Servers,
    pub(super) challenges: Arc<Challenges>,
    pub(super) config: ProxyConfig,
    upstream: Option<TcpListener>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

impl Lab {
    pub(super) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut ProxyConfig)) -> Self {
        Self::trusting(&[], change).await
    }

    /// Whose sockets are kept for the next process.
    pub(super) async fn kept(change: impl FnOnce(&mut ProxyConfig)) -> Self {
        Self::start(&[], true, change).await
    }

    /// Behind proxies in these networks.
    pub(super) async fn trusting(trusted: &[&str], change: impl FnOnce(&mut ProxyConfig)) -> Self {
        Self::start(trusted, false, change).await
    }

    async fn start(trusted: &[&str], are_kept: bool, change: impl FnOnce(&mut ProxyConfig)) -> Self {
        let rule = ClientRule {
            trusted: trusted
                .iter()
                .map(|network| network.parse::<Prefix>().unwrap())
                .collect(),
            ..ClientRule::default()
        };
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", upstream.local_addr().unwrap());
        let mut config = ProxyConfig::new("127.0.0.1:0".parse().unwrap(), base.parse().unwrap());
        // So that clients share the connections to the upstream.
        config.workers = NonZeroUsize::MIN;
        change(&mut config);
        let (recorder, queue) = Recorder::channel(NonZeroUsize::new(100).unwrap());
        let signatures = recorder.signatures().clone();
        let gate = Arc::<Bans>::default();
        let lab_config = config.clone();
        let sockets = config
            .listeners
            .iter()
            .map(|listener| listen(listener.address).unwrap());
        let proxy = Proxy::new(sockets.collect(), config, rule, gate.clone(), recorder).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (addr, stats, reloader) = (proxy.local_addrs()[0], proxy.stats(), proxy.reloader());
        let (servers, challenges) = (proxy.servers(), proxy.acme.challenges.clone());
        let running = tokio::spawn(proxy.run(async { stopped.await.unwrap_or_default() }, are_kept));
        Self {
            proxy: addr,
            queue,
            signatures,
            gate,
            stats,
            reloader,
            servers,
            challenges,
            config: lab_config,
            upstream: Some(upstream),
            stop: Some(stop),
            running: Some(running),
        }
    }

    pub(super) async fn client(&self) -> Conn {
        self.client_at(self.proxy.ip()).await
    }

    pub(super) async fn client_at(&self, host: IpAddr) -> Conn {
        Conn(
            soon("connecting", TcpStream::connect((host, self.proxy.port())))
                .await
                .unwrap(),
        )
    }

    /// The next connection that the proxy opens to its upstream.
    pub(super) async fn upstream(&self) -> Conn {
        let listener = self.upstream.as_ref().unwrap();
        Conn(soon("the proxy's connection", listener.accept()).await.unwrap().0)
    }

    /// Whether the proxy has opened no connection to its upstream. What it is to refuse has been refused by then.
    pub(super) async fn is_unasked(&self) -> bool {
        let accepting = self.upstream.as_ref().unwrap().accept();
        tokio::time::timeout(Duration::from_millis(20), accepting)
            .await
            .is_err()
    }

    /// A server beside the one that the proxy knows, and its URL.
    pub(super) async fn another() -> (TcpListener, ServerUrl) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (listener, url.parse().unwrap())
    }

    pub(super) fn close_upstream(&mut self) {
        self.upstream = None;
    }

    pub(super) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(super) async fn refused(&self) {
        let refused = async {
            while TcpStream::connect(self.proxy).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        soon("closing the listener", refused).await;
    }

    pub(super) async fn stopped(&mut self) {
        soon("stopping", self.running.take().unwrap()).await.unwrap();
    }

    /// The error of a second proxy at the same address.
    pub(super) fn bind_again(&self) -> String {
        listen(self.proxy).err().unwrap().to_string()
    }
}

pub(super) struct Conn(pub(super) TcpStream);

/// The next connection to `listener`.
pub(super) async fn accept(listener: &TcpListener) -> Conn {
    Conn(soon("the proxy's connection", listener.accept()).await.unwrap().0)
}

impl Conn {
    pub(super) async fn send(&mut self, text: &str) {
        soon("sending", self.0.write_all(text.as_bytes())).await.unwrap();
    }

    /// Everything up to and with `end`, and nothing beyond it.
    pub(super) async fn until(&mut self, end: &str) -> String {
        self.until_any(&[end]).await
    }

    /// As [`until`](Self::until), whichever of `ends` comes first.
    pub(super) async fn until_any(&mut self, ends: &[&str]) -> String {
        let mut text = Vec::new();
        while !ends.iter().any(|end| text.ends_with(end.as_bytes())) {
            let byte = soon("reading", self.0.read_u8()).await;
            text.push(
                byte.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&text))),
            );
        }
        String::from_utf8(text).unwrap()
    }

    pub(super) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Everything until the other side closes or resets.
    pub(super) async fn rest(&mut self) -> String {
        let mut text = Vec::new();
        let _ = soon("the end of the connection", self.0.read_to_end(&mut text)).await;
        String::from_utf8(text).unwrap()
    }

    /// Sends no more, but still reads.
    pub(super) fn close_writing(self) -> Option<Self> {
        socket2::SockRef::from(&self.0)
            .shutdown(std::net::Shutdown::Write)
            .unwrap();
        Some(self)
    }

    /// Neither sends nor reads any more.
    pub(super) fn close(self) -> Option<Self> {
        drop(self);
        None
    }

    /// Writes until the other side takes no more for the time being; how much that was.
    pub(super) async fn fill(&mut self, most: usize) -> usize {
        let block = [b'x'; 64 * 1024];
        let mut sent = 0;
        while sent < most {
            match tokio::time::timeout(
                Duration::from_millis(500),
                self.0.write(&block[..block.len().min(most - sent)]),
            )
            .await
            {
                Ok(written) => sent += written.unwrap(),
                Err(_) => break,
            }
        }
        sent
    }
}
