//! One client's connection: from its first byte to its last.

use std::{
    convert::Infallible,
    error::Error as StdError,
    future::{pending, poll_fn},
    io,
    net::IpAddr,
    pin::{Pin, pin},
    sync::{Arc, atomic::AtomicBool},
    task::Poll,
    time::Duration,
};

use hyper::{
    HeaderMap, Request,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{rt::TokioIo, server::conn::auto};
use secbeat_daemon::tls::ServerTls;
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    sync::{OwnedSemaphorePermit, watch},
    task::coop::has_budget_remaining,
    time::{Instant, timeout_at},
};
use tokio_rustls::{
    LazyConfigAcceptor, TlsStream,
    rustls::{self, server::Acceptor},
    server,
};

use super::{
    super::client_address::{Connection, proxied_client},
    acme::Challenges,
    blame::{BAD_REQUEST, REQUEST_TIMEOUT, verdict},
    config::ListenerConfig,
    forward::Forwarder,
    headers::Scheme,
    heard::{ClientStream, Speech},
    limits::Held,
    phase::Phase,
    speaking,
    stream::{Negotiated, Stream},
    upload::Whole,
    visit::{Exchange, Visit},
};

/// How connections are taken; a reload replaces it for the next ones.
pub(super) struct Manner {
    tls: Option<ServerTls>,
    /// What a certificate authority may ask for by TLS.
    challenges: Option<Arc<Challenges>>,
    h2c: bool,
    proxy_protocol: bool,
    redirect_to_https: Option<u16>,
}

impl Manner {
    /// # Errors
    ///
    /// Returns an error if a certificate cannot be used.
    pub(super) fn new(config: &ListenerConfig, challenges: &Arc<Challenges>) -> anyhow::Result<Self> {
        let (files, obtained) = (&config.certificates, &config.obtained);
        let tls = config
            .has_tls()
            .then(|| ServerTls::with_obtained(files, obtained, &["h2", "http/1.1", "http/1.0"]))
            .transpose()?;
        Ok(Self {
            tls,
            challenges: config.acme.then(|| challenges.clone()),
            h2c: config.h2c,
            proxy_protocol: config.proxy_protocol,
            redirect_to_https: config.redirect_to_https,
        })
    }

    /// Reads certificates that have changed.
    pub(super) fn refresh(&self) {
        if let Some(tls) = &self.tls {
            tls.refresh();
        }
    }
}

type BoxError = Box<dyn StdError + Send + Sync>;

/// What a listener tells its connections.
#[derive(Clone)]
pub(super) struct Course {
    pub(super) phase: watch::Receiver<Phase>,
    /// Whether it cuts off what is still open: the fault of no client.
    pub(super) cuts: Arc<AtomicBool>,
}

/// What an open connection holds.
pub(super) struct Open {
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) course: Course,
    /// Whether it came when the proxy was ending already: it is for one request.
    pub(super) is_late: bool,
    /// For as long as it is open.
    pub(super) _slot: OwnedSemaphorePermit,
    /// `None` of a trusted proxy, until that names the client.
    pub(super) held: Option<Held>,
    /// Connections of one source.
    pub(super) most: u32,
}

impl Open {
    pub(super) async fn serve(mut self, mut stream: TcpStream, peer: IpAddr, manner: Arc<Manner>) {
        let (header_timeout, idle_timeout, keep_alive) = {
            let config = &self.forwarder.site.load().config;
            (config.header_timeout, config.idle_timeout, config.keep_alive)
        };
        // A client that takes nothing of its answer is cut off by the kernel (tcp(7), TCP_USER_TIMEOUT).
        let options = SockRef::from(&stream).set_tcp_user_timeout(Some(idle_timeout));
        if let Err(error) = options.and_then(|()| stream.set_nodelay(true)) {
            tracing::debug!(%error, "cannot set socket options");
        }
        let mut connection = Connection::direct(peer);
        if manner.proxy_protocol {
            let trusted = &self.forwarder.rule.trusted;
            match Box::pin(proxied_client(&mut stream, peer, trusted, header_timeout)).await {
                Ok(from) => {
                    if let Ok(client) = from
                        && !trusted.contains(client.address)
                    {
                        self.held = self.forwarder.sources.hold(client.address, self.most);
                        if self.held.is_none() {
                            connection.from = from;
                            return self.forwarder.refuse_for_number(&connection);
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
        // In a box, as all that a connection does once: the memory is free again while it waits for requests.
        let (stream, scheme) = match Box::pin(greet(stream, &manner, header_timeout)).await {
            Ok(greeted) => greeted,
            Err(None) => return,
            Err(Some(status)) => {
                return self
                    .forwarder
                    .record_without_request(&connection, &HeaderMap::new(), status);
            }
        };
        let rule = &self.forwarder.rule;
        let cuts = self.course.cuts.clone();
        let bans = self.forwarder.bans.clone();
        let visit = Visit::new(connection, scheme, rule, manner.redirect_to_https, cuts, bans);
        let visit = Arc::new(visit);
        let h2c = manner.h2c;
        drop(manner);
        let patience = Patience {
            head: header_timeout,
            between: keep_alive,
        };
        self.converse(&visit, stream, h2c, patience).await;
        if let Some((tunnel, claim)) = visit.take_tunnel() {
            let banned = async {
                match claim.client {
                    Some(client) => visit.bans.until_refused(client).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = banned => {}
                ended = Box::pin(tunnel.run()) => if let Err(error) = ended {
                    tracing::trace!(%error, "an upgraded connection ended badly");
                },
            }
        }
    }

    /// Speaks HTTP on `stream` until one side ends it.
    async fn converse(&mut self, visit: &Arc<Visit>, stream: Stream, h2c: bool, patience: Patience) {
        let service = {
            // Together, and of this connection alone: cores that count the same references wait for each other.
            let shared = Arc::new((self.forwarder.clone(), visit.clone()));
            service_fn(move |request: Request<Incoming>| {
                let visit = &shared.1;
                visit.hearing.came();
                // At once, and not when this is polled: hyper may read the body first.
                let exchange = visit.begin();
                let request = request.map(|body| Whole::new(body, &visit.hearing));
                let mut arrived = Arrived {
                    shared: shared.clone(),
                    request: Some((exchange, request)),
                };
                async move {
                    let taken = arrived.request.take();
                    let (forwarder, visit) = &*arrived.shared;
                    match taken {
                        Some((exchange, request)) => {
                            // In a box: hyper moves this future, and keeps room for it between requests.
                            Ok::<_, Infallible>(Box::pin(forwarder.answer(visit, exchange, request)).await)
                        }
                        None => pending().await,
                    }
                }
            })
        };
        let negotiated = stream.negotiated();
        let speech = match negotiated {
            Negotiated::Http1 if h2c => Speech::Either(0),
            Negotiated::Http1 => Speech::Http1,
            Negotiated::Http2 => Speech::http2(),
        };
        let io = TokioIo::new(ClientStream::new(
            stream,
            visit.hearing.clone(),
            speech,
            patience.head,
        ));
        let status = match negotiated {
            Negotiated::Http1 if h2c => {
                let builder = speaking::either(visit.hearing.clone(), visit.is_trusted());
                let serving = builder.serve_connection_with_upgrades(io, service);
                let finish = |serving: Pin<&mut _>| auto::UpgradeableConnection::graceful_shutdown(serving);
                self.drive(visit, pin!(serving), finish, patience).await
            }
            Negotiated::Http1 => {
                let serving = speaking::http1().serve_connection(io, service).with_upgrades();
                let finish =
                    |serving: Pin<&mut http1::UpgradeableConnection<_, _>>| serving.graceful_shutdown();
                self.drive(visit, pin!(serving), finish, patience).await
            }
            Negotiated::Http2 => {
                let serving =
                    speaking::http2(visit.hearing.clone(), visit.is_trusted()).serve_connection(io, service);
                let finish = |serving: Pin<&mut http2::Connection<_, _, _>>| serving.graceful_shutdown();
                self.drive(visit, pin!(serving), finish, patience).await
            }
        };
        if let Some(status) = status {
            if visit.is_trusted() {
                // What else is open on it is of other clients.
                visit.cut();
            }
            self.forwarder
                .record_without_request(&visit.connection, &visit.hearing.fields(), status);
        }
    }

    /// Drives `serving` to its end; has it `finish` when the listener stops, or when no request and no answer was under way for
    /// too long. Returns the status for what ended it, if the client is to blame.
    async fn drive<S, E>(
        &mut self,
        visit: &Visit,
        mut serving: Pin<&mut S>,
        finish: impl Fn(Pin<&mut S>),
        patience: Patience,
    ) -> Option<u16>
    where
        S: Future<Output = Result<(), E>>,
        E: Into<BoxError>,
    {
        let mut finishing = false;
        let mut silence = pin!(visit.hearing.idle(patience.head, patience.between));
        let is_late = self.is_late;
        // To ask for news costs nothing. To wait for them takes a lock of all connections, which need not be at each turn.
        let (news, mut waits) = (self.course.phase.clone(), false);
        let mut stopped = pin!(async {
            let ended = self
                .course
                .phase
                .wait_for(|phase| *phase != Phase::Serving)
                .await
                .is_ok();
            if is_late {
                visit.hearing.first().await;
            }
            ended
        });
        loop {
            tokio::select! {
                biased;
                outcome = serving.as_mut() => return verdict(&visit.hearing, outcome.err().map(E::into)),
                refused = poll_fn(|_| match visit.hearing.refused() {
                    0 => Poll::Pending,
                    refused => Poll::Ready(refused),
                }), if !finishing => for _ in 0..refused {
                    self.forwarder.record_without_request(&visit.connection, &HeaderMap::new(), BAD_REQUEST);
                },
                // Then hyper is to read, and learns that there is nothing more to.
                () = visit.hearing.shut() => {}
                _ = poll_fn(|cx| {
                    let has_news = is_late || !matches!(news.has_changed(), Ok(false));
                    if waits && !has_news {
                        return Poll::Pending;
                    }
                    // Without a budget, it is to be polled again.
                    waits = has_budget_remaining();
                    stopped.as_mut().poll(cx)
                }), if !finishing => {
                    finishing = true;
                    finish(serving.as_mut());
                }
                // Who does not even finish then is cut off.
                () = silence.as_mut() => {
                    if finishing {
                        return None;
                    }
                    finishing = true;
                    finish(serving.as_mut());
                    silence.set(visit.hearing.idle(patience.head, patience.head));
                }
                () = visit.flooded() => {
                    self.forwarder.refuse_for_number(&visit.connection);
                    return None;
                }
            }
        }
    }
}

/// A request that nothing has looked at yet. hyper lets go of it if the client has gone by then.
struct Arrived {
    shared: Arc<(Arc<Forwarder>, Arc<Visit>)>,
    /// `None` once it is looked at.
    request: Option<(Exchange, Request<Whole>)>,
}

impl Drop for Arrived {
    fn drop(&mut self) {
        if let Some((_exchange, request)) = self.request.take() {
            let (forwarder, visit) = &*self.shared;
            forwarder.given_up(visit, request);
        }
    }
}

/// Time that a client may let us wait.
#[derive(Clone, Copy)]
struct Patience {
    /// For a whole head, and for the first byte of the first one.
    head: Duration,
    /// From the end of an answer to the next request.
    between: Duration,
}

/// Shakes hands, where that is the manner.
///
/// # Errors
///
/// Returns an error if there is no HTTP to speak: the status for that, if the client is to blame.
async fn greet(
    stream: TcpStream,
    manner: &Manner,
    within: Duration,
) -> Result<(Stream, Scheme), Option<u16>> {
    let Some(tls) = &manner.tls else {
        return Ok((Stream::Plain(stream), Scheme::Http));
    };
    let end = Instant::now() + within;
    // Browsers open connections that they may need, and probes see whether somebody accepts: silence is not an offence.
    match timeout_at(end, stream.peek(&mut [0])).await {
        Ok(Ok(1)) => {}
        _ => return Err(None),
    }
    let accepting = async {
        match manner.challenges.as_deref() {
            Some(challenges) if challenges.may_come_by_tls() => {
                accept_or_answer(stream, tls, challenges).await
            }
            _ => tls.acceptor().accept(stream).await.map(Some),
        }
    };
    match timeout_at(end, accepting).await {
        Ok(Ok(None)) => Err(None),
        Ok(Ok(Some(stream))) => {
            let stream = Box::new(TlsStream::Server(stream));
            Ok((Stream::Tls(stream), Scheme::Https))
        }
        Ok(Err(error)) => {
            tracing::trace!(%error, "a TLS handshake failed");
            let error = error.get_ref().and_then(|error| error.downcast_ref());
            // What is not TLS at all. Who trusts another certificate, or speaks another version, means no harm.
            Err(matches!(
                error,
                Some(
                    rustls::Error::InvalidMessage(_)
                        | rustls::Error::InappropriateMessage { .. }
                        | rustls::Error::InappropriateHandshakeMessage { .. }
                        | rustls::Error::PeerMisbehaved(_)
                )
            )
            .then_some(BAD_REQUEST))
        }
        Err(_) => Err(Some(REQUEST_TIMEOUT)),
    }
}

/// Shakes hands while a challenge is open. `None` where the handshake was the answer to that: it is the whole connection (RFC 8737,
/// section 3).
async fn accept_or_answer(
    stream: TcpStream,
    tls: &ServerTls,
    challenges: &Challenges,
) -> io::Result<Option<server::TlsStream<TcpStream>>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let Some(answer) = challenges.tls_answer(&start.client_hello()) else {
        return start.into_stream(tls.acceptor().config().clone()).await.map(Some);
    };
    let mut answered = start.into_stream(answer).await?;
    answered.shutdown().await?;
    Ok(None)
}
