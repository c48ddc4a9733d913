//! Serving an API: HTTP/1.1, in TLS where there is a certificate, with bounds on what clients can hold.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use super::{
    super::tls::ServerTls,
    peer::{LocalPeer, Trust},
    socket::{LocalSocket, SocketFile},
};

/// Connections served at once; others wait.
const MAX_CONNECTIONS: usize = 1024;
/// The same of programs on the Unix socket that may change nothing; more are hung up on, so that they keep nobody out.
const MAX_STRANGERS: usize = 64;
/// Time that a client may take for the TLS handshake, and for the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after `accept` failed for lack of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Fields of a request's head. The parser fills room for all of them each time.
const MAX_FIELDS: usize = 1000;
/// Interval at which it is seen whether certificates have changed, and that the socket's file is still there.
const LOOK: Duration = Duration::from_secs(5);

/// Source of connections.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// Goes with it.
    file: Option<SocketFile>,
    slots: Arc<Semaphore>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Local(UnixListener, Trust),
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
enum Peer {
    Tcp(SocketAddr),
    Local(LocalPeer),
}

/// A connection, and its place among those that are served at once.
struct Accepted {
    stream: Box<dyn Stream>,
    peer: Peer,
    slot: Option<OwnedSemaphorePermit>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self {
            socket: Socket::Tcp(listener),
            file: None,
            slots: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        }
    }
}

impl TryFrom<LocalSocket> for Listener {
    type Error = io::Error;

    /// To be called in a runtime.
    fn try_from(socket: LocalSocket) -> io::Result<Self> {
        let (listener, trust, file) = socket.split();
        Ok(Self {
            socket: Socket::Local(UnixListener::from_std(listener)?, trust),
            file: Some(file),
            slots: Arc::new(Semaphore::new(MAX_STRANGERS)),
        })
    }
}

impl Listener {
    /// Listens again on a Unix socket whose file somebody has removed: nobody else would find the daemon.
    fn renew(&mut self) {
        let Some(path) = self.file.as_ref().map(|file| file.path().to_owned()) else {
            return;
        };
        if !matches!(path.try_exists(), Ok(false)) {
            return;
        }
        // It must not remove the new one.
        self.file = None;
        let renewed = LocalSocket::open(&path).and_then(|socket| {
            let (listener, trust, file) = socket.split();
            Ok((Socket::Local(UnixListener::from_std(listener)?, trust), file))
        });
        match renewed {
            Ok((socket, file)) => {
                (self.socket, self.file) = (socket, Some(file));
                warn!(socket = %path.display(), "the API's socket was removed: made again");
            }
            Err(error) => {
                warn!("the API's socket was removed, and cannot be made again before a restart: {error:#}");
            }
        }
    }

    /// The next connection; `None` if it is not taken.
    async fn accept(&self) -> io::Result<Option<Accepted>> {
        let slots = self.slots.clone();
        match &self.socket {
            Socket::Tcp(listener) => {
                // The semaphore is never closed.
                let slot = slots.acquire_owned().await.ok();
                let (stream, peer) = listener.accept().await?;
                // Answers are small, and the streamed ones wait for nobody.
                let _ = stream.set_nodelay(true);
                Ok(Some(Accepted {
                    stream: Box::new(stream),
                    peer: Peer::Tcp(peer),
                    slot,
                }))
            }
            Socket::Local(listener, trust) => {
                let (stream, _) = listener.accept().await?;
                let peer = match trust.peer(&stream) {
                    Ok(peer) => peer,
                    Err(error) => {
                        debug!("the kernel does not say who has connected to the API: {error}");
                        return Ok(None);
                    }
                };
                let slot = match peer.is_trusted() {
                    true => None,
                    false => match slots.try_acquire_owned() {
                        Ok(slot) => Some(slot),
                        Err(_) => {
                            debug!("a connection to the API was one too many");
                            return Ok(None);
                        }
                    },
                };
                Ok(Some(Accepted {
                    stream: Box::new(stream),
                    peer: Peer::Local(peer),
                    slot,
                }))
            }
        }
    }
}

/// Serves `router` until `stop`, and then until the requests under way are answered. Handlers may ask for
/// [`ConnectInfo<SocketAddr>`], the other end of a connection over TCP, and find a [`LocalPeer`] among the extensions of a
/// request over a Unix socket.
pub async fn serve(
    listener: impl Into<Listener>,
    tls: Option<ServerTls>,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    let mut listener = listener.into();
    let graceful = GracefulShutdown::new();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = look.tick() => {
                if let Some(tls) = &tls {
                    tls.refresh();
                }
                listener.renew();
                continue;
            }
            () = &mut stop => break,
        };
        let Accepted { stream, peer, slot } = match accepted {
            Ok(Some(accepted)) => accepted,
            Ok(None) => continue,
            Err(error) => {
                warn!("accepting a connection of the API failed: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (acceptor, router, watcher) = (
            tls.as_ref().map(ServerTls::acceptor),
            router.clone(),
            graceful.watcher(),
        );
        tokio::spawn(async move {
            connection(stream, peer, acceptor, router, watcher).await;
            drop(slot);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn connection(
    stream: Box<dyn Stream>,
    peer: Peer,
    tls: Option<TlsAcceptor>,
    router: Router,
    watcher: Watcher,
) {
    match tls {
        None => talk(stream, peer, router, watcher).await,
        Some(acceptor) => match timeout(PATIENCE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => talk(stream, peer, router, watcher).await,
            Ok(Err(error)) => debug!("a TLS handshake with the API failed: {error}"),
            Err(_) => debug!("a TLS handshake with the API took too long"),
        },
    }
}

async fn talk(stream: impl Stream + 'static, peer: Peer, router: Router, watcher: Watcher) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let extensions = request.extensions_mut();
        match peer {
            Peer::Tcp(address) => drop(extensions.insert(ConnectInfo(address))),
            Peer::Local(peer) => drop(extensions.insert(peer)),
        }
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        // Web servers pass on what their clients send when they ask.
        .max_headers(MAX_FIELDS)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        debug!("a connection of the API failed: {error}");
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn a_socket_whose_file_was_removed_is_listened_on_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let mut listener = Listener::try_from(LocalSocket::open(&path).unwrap()).unwrap();
        listener.renew();
        std::fs::remove_file(&path).unwrap();
        listener.renew();
        let connected = UnixStream::connect(&path).await.unwrap();
        assert!(listener.accept().await.unwrap().is_some());
        drop((connected, listener));
        assert!(!path.exists());
    }
}
