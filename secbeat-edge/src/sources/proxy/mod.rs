//! A streaming HTTP/1.1 reverse proxy that reports every answer and refuses banned clients on every request.

mod body;
mod forward;
mod headers;
mod serve;

use std::{
    fmt,
    future::Future,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use hyper::{Uri, http::uri::Authority};
use tokio::net::TcpListener;

use crate::telemetry::Recorder;

/// Decides on every request whether its client is served at all.
pub trait Gate: Send + Sync + 'static {
    /// Whether `client` is banned right now.
    fn is_banned(&self, client: IpAddr) -> bool;
}

/// Where requests are forwarded to: `http://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream(Authority);

/// Why a text is no upstream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no upstream such as http://127.0.0.1:8000 (no path, no https)")]
pub struct UpstreamError(String);

impl FromStr for Upstream {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        let error = || UpstreamError(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| error())?;
        let plain = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
        let authority = uri.authority().filter(|authority| plain && !authority.as_str().contains('@'));
        authority.cloned().map(Self).ok_or_else(error)
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

impl Upstream {
    /// The host, without the brackets of an IPv6 address, and the port.
    #[must_use]
    pub fn host_and_port(&self) -> (String, u16) {
        let host = self.0.host().trim_start_matches('[').trim_end_matches(']');
        (host.to_owned(), self.0.port_u16().unwrap_or(80))
    }
}

/// What the proxy is told.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    pub listen: SocketAddr,
    pub upstream: Upstream,
    /// To connect to the upstream.
    pub connect_timeout: Duration,
    /// For a client to send a request's head, counted from the end of its last answer; idle connections end with it.
    pub header_timeout: Duration,
    /// For the upstream to start its answer, counted from the last byte of the request's body.
    pub response_timeout: Duration,
    /// Without a byte of a body in either direction.
    pub idle_timeout: Duration,
    pub max_connections: NonZeroU32,
}

impl ProxyConfig {
    /// The defaults for everything else.
    #[must_use]
    pub fn new(listen: SocketAddr, upstream: Upstream) -> Self {
        Self {
            listen,
            upstream,
            connect_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            max_connections: NonZeroU32::MIN.saturating_add(9_999),
        }
    }
}

/// What the proxy counts.
#[derive(Debug, Default)]
pub struct ProxyStats {
    denied: AtomicU64,
}

impl ProxyStats {
    /// Requests refused because their client is banned.
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }
}

/// A proxy that listens already.
pub struct Proxy {
    listener: TcpListener,
    config: ProxyConfig,
    gate: Arc<dyn Gate>,
    recorder: Recorder,
    stats: Arc<ProxyStats>,
}

impl Proxy {
    /// # Errors
    ///
    /// When the address cannot be listened on.
    pub async fn bind(config: ProxyConfig, gate: Arc<dyn Gate>, recorder: Recorder) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
        Ok(Self { listener, config, gate, recorder, stats: Arc::default() })
    }

    /// Where it listens; the configured address, with the port that was found where that is 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.config.listen)
    }

    /// The counts, shared.
    #[must_use]
    pub fn stats(&self) -> Arc<ProxyStats> {
        self.stats.clone()
    }

    /// Serves until `shutdown`, then lets requests under way finish, within bounds.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let forwarder = forward::Forwarder::new(&self.config, self.gate, self.recorder, self.stats);
        serve::serve(self.listener, &self.config, forwarder, shutdown).await;
    }
}
