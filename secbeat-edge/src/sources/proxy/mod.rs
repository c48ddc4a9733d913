//! A streaming reverse proxy that reports every answer and asks a gate on every request.
//!
//! In: HTTP/1.1, and HTTP/2 over TLS or, where allowed, by prior knowledge. Out: HTTP/1.1, and HTTP/2 over TLS.
//! Framing follows RFC 9112: what hyper's parser takes in two readings is refused or, as §6.1 allows for
//! Content-Length beside Transfer-Encoding, read as chunked alone and the connection closed after the answer; the upstream
//! gets framing of the proxy's own making.
//!
//! [`listener`] takes connections, [`forward`] answers their requests by [`route`] and [`upstream`], and [`reload`]
//! replaces what a [`site`] holds.

mod access_log;
mod acme;
mod answer;
mod attempt;
mod bans;
mod blame;
mod config;
mod connection;
mod copies;
mod download;
mod forward;
mod frames;
mod headers;
mod heard;
mod hearing;
mod informational;
mod interim;
mod limits;
mod listener;
mod logged;
mod phase;
mod reload;
mod replies;
mod roots;
mod route;
mod servers;
mod silence;
mod site;
mod speaking;
mod stats;
mod stream;
mod taking;
mod target;
#[cfg(test)]
mod tests;
mod tunnel;
mod upload;
mod upstream;
mod visit;
mod workers;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use anyhow::Context;
use arc_swap::ArcSwap;
use tokio::{net::TcpListener, sync::Semaphore};
use uuid::Uuid;

use self::{
    acme::Acme,
    bans::Bans,
    connection::Manner,
    forward::Forwarder,
    listener::Shared,
    reload::{Orders, Running},
    site::Site,
    workers::Workers,
};
pub(crate) use self::{
    acme::{Book, CertificateState},
    config::{Challenge, ListenerConfig, NO_UPSTREAM, Place, ProxyConfig, ProxyFile},
    listener::listen,
    reload::Reloader,
    servers::{ServerState, Servers},
    site::check_page,
    stats::ProxyStats,
};
use super::{
    client_address::{ClientRule, ClientStats},
    gate::Gate,
};
use crate::telemetry::Recorder;

/// Largest head, in bytes, of a request or of an upstream's answer; also the read buffer of a connection.
const MAX_HEAD: usize = 64 * 1024;
/// Most fields of a head in HTTP/1: far beyond those of browsers behind any number of proxies. For each head the parser fills 64 bytes a field,
/// also of those that do not come; of answers only where a server has sent more than 100.
const MAX_FIELDS: usize = 1000;
/// Interval at which certificates are looked at for a change.
const LOOK: Duration = Duration::from_secs(2);

/// A proxy that listens.
pub(crate) struct Proxy {
    listening: Vec<Listening>,
    shared: Shared,
    names: Vec<String>,
    reloads: (Reloader, Orders),
    acme: Acme,
}

/// An address listened on.
struct Listening {
    socket: TcpListener,
    /// As configured: its port may be 0.
    address: SocketAddr,
    manner: Arc<ArcSwap<Manner>>,
}

impl Proxy {
    /// Takes over sockets made by [`listen`], one for each of the config's listeners. `rule` says whose word on the client
    /// of a request counts. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if the runtime cannot take a socket, or a certificate or the access log cannot be had.
    pub(crate) fn new(
        sockets: Vec<std::net::TcpListener>,
        config: ProxyConfig,
        rule: ClientRule,
        gate: Arc<dyn Gate>,
        recorder: Recorder,
    ) -> anyhow::Result<Self> {
        let acme = Acme::new(config.acme.as_ref());
        let listening = sockets
            .into_iter()
            .zip(&config.listeners)
            .map(|(socket, listener)| {
                let manner = Manner::new(listener, &acme.challenges)
                    .with_context(|| format!("proxy.listener at {}", listener.address))?;
                Ok(Listening {
                    socket: TcpListener::from_std(socket).context("taking the listening socket")?,
                    address: listener.address,
                    manner: Arc::new(ArcSwap::from_pointee(manner)),
                })
            })
            .collect::<anyhow::Result<_>>()?;
        let names = config.telemetry_names();
        let most = usize::try_from(config.max_connections.get()).unwrap_or(usize::MAX);
        let stats = Arc::<ProxyStats>::default();
        let worker_count = config.workers;
        let workers = Workers::start(worker_count)?;
        let site = Site::new(config, &names, None, &stats)?;
        let forwarder = Forwarder {
            site: ArcSwap::from_pointee(site),
            bans: Arc::new(Bans::watch(gate.clone(), worker_count)),
            gate,
            recorder,
            stats,
            rule,
            clients: Arc::default(),
            sources: Arc::default(),
            challenges: acme.challenges.clone(),
            room: Arc::default(),
            ids: (Uuid::new_v4().as_u64_pair().0, AtomicU64::new(0)),
        };
        Ok(Self {
            listening,
            shared: Shared {
                forwarder: Arc::new(forwarder),
                slots: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
                workers: Arc::new(workers),
            },
            names,
            reloads: reload::channel(),
            acme,
        })
    }

    /// The addresses listened on, with the ports that the system chose for port 0.
    #[must_use]
    pub(crate) fn local_addrs(&self) -> Vec<SocketAddr> {
        let address = |listening: &Listening| listening.socket.local_addr().unwrap_or(listening.address);
        self.listening.iter().map(address).collect()
    }

    /// Counters.
    #[must_use]
    pub(crate) fn stats(&self) -> Arc<ProxyStats> {
        self.shared.forwarder.stats.clone()
    }

    /// Returns what is known of the servers.
    #[must_use]
    pub(crate) fn servers(&self) -> Servers {
        Servers::of(&self.shared.forwarder)
    }

    /// Counters of clients behind proxies.
    #[must_use]
    pub(crate) fn client_stats(&self) -> Arc<ClientStats> {
        self.shared.forwarder.clients.clone()
    }

    /// Returns what is known of the certificates that it gets itself.
    #[must_use]
    pub(crate) fn certificates(&self) -> Arc<Book> {
        self.acme.book.clone()
    }

    /// Replaces the config of the running proxy.
    #[must_use]
    pub(crate) fn reloader(&self) -> Reloader {
        self.reloads.0.clone()
    }

    /// Serves until `shutdown` completes; then gives open connections the config's time to end. What comes meanwhile is still served
    /// if the sockets are kept for a next process, and else refused.
    pub(crate) async fn run(self, shutdown: impl Future<Output = ()>, are_kept: bool) {
        let mut orders = self.reloads.1;
        let mut running = Running::new(self.listening, self.shared, self.names, self.acme);
        let mut look = tokio::time::interval(LOOK);
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(order) = orders.recv() => {
                    let done = running.reload(order.config);
                    let _ = order.reply.send(done);
                }
                _ = look.tick() => running.refresh_certificates(),
            }
        }
        running.stop(are_kept).await;
    }
}
