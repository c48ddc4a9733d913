//! One address listened on: connections in, HTTP out of them.

use std::{
    convert::Infallible,
    error::Error as StdError,
    future::pending,
    io,
    net::{IpAddr, SocketAddr, TcpStream as StdTcpStream},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Context;
use arc_swap::ArcSwap;
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use secbeat_daemon::tls::ServerTls;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsStream;

use super::{
    super::{
        client_address::{Connection, proxied_client},
        gate::until_refused,
    },
    DRAIN,
    config::ListenerConfig,
    forward::Forwarder,
    headers::Scheme,
    limits::{Held, Sources},
    speaking,
    stream::{Negotiated, Stream},
    visit::Visit,
    workers::Workers,
};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// Pause after `accept` failed for lack of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How connections are taken; a reload replaces it for the next ones.
pub(super) struct Manner {
    tls: Option<ServerTls>,
    h2c: bool,
    proxy_protocol: bool,
}

impl Manner {
    /// # Errors
    ///
    /// When a certificate cannot be used.
    pub(super) fn new(config: &ListenerConfig) -> anyhow::Result<Self> {
        let tls = match config.certificates.as_slice() {
            [] => None,
            files => Some(ServerTls::new(files, &["h2", "http/1.1"])?),
        };
        Ok(Self {
            tls,
            h2c: config.h2c,
            proxy_protocol: config.proxy_protocol,
        })
    }

    /// Reads certificates that have changed.
    pub(super) fn refresh(&self) {
        if let Some(tls) = &self.tls {
            tls.refresh();
        }
    }
}

/// What all listeners share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) slots: Arc<Semaphore>,
    pub(super) sources: Arc<Sources>,
    pub(super) workers: Arc<Workers>,
}

/// Serves `listener` until `stop` says so; then gives open requests [`DRAIN`] to end.
pub(super) async fn run(
    listener: TcpListener,
    manner: Arc<ArcSwap<Manner>>,
    shared: Shared,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let stopped = stop.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &shared.slots) => accepted,
        };
        let Some((stream, peer, slot)) = accepted else {
            continue;
        };
        let forwarder = &shared.forwarder;
        forwarder.stats.connections.fetch_add(1, Relaxed);
        let most = forwarder.site.load().config.max_connections_per_source.get();
        let held = match forwarder.rule.trusted.contains(peer) {
            // Many clients come by a proxy.
            true => None,
            false => match shared.sources.hold(peer, most) {
                Some(held) => Some(held),
                None => {
                    forwarder.stats.over_limit.fetch_add(1, Relaxed);
                    continue;
                }
            },
        };
        let open = Open {
            forwarder: forwarder.clone(),
            stop: stopped.clone(),
            _slot: slot,
            held,
            sources: shared.sources.clone(),
            most,
        };
        let manner = manner.load_full();
        shared.workers.spawn(&mut connections, stream, move |stream| {
            open.serve(stream, peer, manner)
        });
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(DRAIN, drained).await.is_err() {
        tracing::warn!(
            open = connections.len(),
            "requests were cut off: they did not end in time"
        );
    }
    connections.shutdown().await;
}

/// The next connection, once there is room for one; `None` after an error that the next call may not meet.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(StdTcpStream, IpAddr, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => match stream.into_std() {
            Ok(stream) => Some((stream, peer.ip().to_canonical(), slot)),
            Err(error) => {
                tracing::warn!(%error, "cannot hand a connection over");
                None
            }
        },
        // The client was gone before it was accepted.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => None,
        Err(error) => {
            tracing::warn!(%error, "cannot accept connections");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

type BoxError = Box<dyn StdError + Send + Sync>;

/// What an open connection holds.
struct Open {
    forwarder: Arc<Forwarder>,
    stop: watch::Receiver<bool>,
    /// For as long as it is open.
    _slot: OwnedSemaphorePermit,
    /// `None` of a trusted proxy, until that names the client.
    held: Option<Held>,
    sources: Arc<Sources>,
    /// Connections of one source.
    most: u32,
}

impl Open {
    async fn serve(mut self, mut stream: TcpStream, peer: IpAddr, manner: Arc<Manner>) {
        let (header_timeout, idle_timeout) = {
            let site = self.forwarder.site.load();
            (site.config.header_timeout, site.config.idle_timeout)
        };
        // A client that takes nothing of its answer is cut off by the kernel (tcp(7), TCP_USER_TIMEOUT).
        let options = SockRef::from(&stream).set_tcp_user_timeout(Some(idle_timeout));
        if let Err(error) = options.and_then(|()| stream.set_nodelay(true)) {
            tracing::debug!(%error, "cannot set socket options");
        }
        let mut connection = Connection::direct(peer);
        if manner.proxy_protocol {
            let trusted = &self.forwarder.rule.trusted;
            match proxied_client(&mut stream, peer, trusted, header_timeout).await {
                Ok(from) => {
                    if let Ok(client) = from
                        && !trusted.contains(client.address)
                    {
                        self.held = self.sources.hold(client.address, self.most);
                        if self.held.is_none() {
                            self.forwarder.stats.over_limit.fetch_add(1, Relaxed);
                            return;
                        }
                    }
                    connection.from = from;
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection is refused");
                    return self.forwarder.clients.count_refused();
                }
            }
        }
        let Some((stream, scheme)) = greet(stream, &manner, header_timeout).await else {
            return;
        };
        let visit = Arc::new(Visit::new(connection, scheme, &self.forwarder.rule.trusted));
        let h2c = manner.h2c;
        drop(manner);
        self.converse(&visit, stream, h2c, header_timeout).await;
        if let Some(tunnel) = visit.take_tunnel() {
            let gate = self.forwarder.gate.clone();
            let banned = async {
                match visit.tunnels_client() {
                    Some(client) => until_refused(gate, client).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = banned => {}
                ended = tunnel.run() => if let Err(error) = ended {
                    tracing::trace!(%error, "an upgraded connection ended badly");
                },
                // There is no telling when it would end by itself.
                _ = self.stop.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// Speaks HTTP on `stream` until one side ends it.
    async fn converse(&mut self, visit: &Arc<Visit>, stream: Stream, h2c: bool, header_timeout: Duration) {
        let service = {
            let (forwarder, visit) = (self.forwarder.clone(), visit.clone());
            service_fn(move |request: Request<Incoming>| {
                let (forwarder, visit) = (forwarder.clone(), visit.clone());
                async move { Ok::<_, Infallible>(forwarder.answer(&visit, request).await) }
            })
        };
        let negotiated = stream.negotiated();
        let io = TokioIo::new(stream);
        let outcome = match negotiated {
            Negotiated::Http1 if h2c => {
                let builder = speaking::either(header_timeout);
                let serving = builder.serve_connection_with_upgrades(io, service);
                self.drive(
                    visit,
                    pin!(serving),
                    |serving| serving.graceful_shutdown(),
                    Some(header_timeout),
                )
                .await
            }
            Negotiated::Http1 => {
                let serving = speaking::http1(header_timeout)
                    .serve_connection(io, service)
                    .with_upgrades();
                self.drive(visit, pin!(serving), |serving| serving.graceful_shutdown(), None)
                    .await
            }
            Negotiated::Http2 => {
                let serving = speaking::http2().serve_connection(io, service);
                self.drive(
                    visit,
                    pin!(serving),
                    |serving| serving.graceful_shutdown(),
                    Some(header_timeout),
                )
                .await
            }
        };
        if let Err(error) = outcome {
            tracing::trace!(%error, "a connection ended badly");
            if let Some(error) = error.downcast_ref::<hyper::Error>() {
                self.forwarder.record_malformed(&visit.connection, error);
            }
        }
    }

    /// Drives `serving` to its end; has it `finish` when the listener stops, or after `idle` in which no request and no
    /// answer was under way, where hyper does not see to that.
    async fn drive<S, E>(
        &mut self,
        visit: &Visit,
        mut serving: Pin<&mut S>,
        finish: impl Fn(Pin<&mut S>),
        idle: Option<Duration>,
    ) -> Result<(), BoxError>
    where
        S: Future<Output = Result<(), E>>,
        E: Into<BoxError>,
    {
        let mut finishing = false;
        let quiet = || async {
            match idle {
                Some(idle) => visit.idle(idle).await,
                None => pending().await,
            }
        };
        let mut silence = pin!(quiet());
        let mut stopped = pin!(async { self.stop.wait_for(|stop| *stop).await.is_ok() });
        loop {
            tokio::select! {
                biased;
                outcome = serving.as_mut() => return outcome.map_err(E::into),
                _ = stopped.as_mut(), if !finishing => {
                    finishing = true;
                    finish(serving.as_mut());
                }
                // Who does not even finish then is cut off.
                () = silence.as_mut() => {
                    if finishing {
                        return Ok(());
                    }
                    finishing = true;
                    finish(serving.as_mut());
                    silence.set(quiet());
                }
                () = visit.flooded() => {
                    self.forwarder.stats.over_limit.fetch_add(1, Relaxed);
                    self.forwarder.record_without_request(&visit.connection, TOO_MANY_REQUESTS);
                    return Ok(());
                }
            }
        }
    }
}

/// Shakes hands, where that is the manner.
async fn greet(stream: TcpStream, manner: &Manner, within: Duration) -> Option<(Stream, Scheme)> {
    let Some(tls) = &manner.tls else {
        return Some((Stream::Plain(stream), Scheme::Http));
    };
    match timeout(within, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => {
            let stream = Box::new(TlsStream::Server(stream));
            return Some((Stream::Tls(stream), Scheme::Https));
        }
        Ok(Err(error)) => tracing::trace!(%error, "a TLS handshake failed"),
        Err(_) => tracing::trace!("a TLS handshake took too long"),
    }
    None
}

/// What telemetry is told of a client that gives up request after request.
const TOO_MANY_REQUESTS: u16 = 429;

/// Listens on `addr`, without blocking; on `[::]` also for IPv4.
///
/// # Errors
///
/// When the address cannot be listened on; the error names it.
pub(crate) fn listen(addr: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    bound(addr).with_context(|| format!("listening on {addr}"))
}

fn bound(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
