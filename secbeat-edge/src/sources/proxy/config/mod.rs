//! Configuration of the proxy.

mod acme;
mod contradiction;
mod file;
mod headers;
mod listeners;
#[cfg(test)]
mod tests;
mod url;
mod values;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::{NonZeroU8, NonZeroU32, NonZeroUsize},
    path::PathBuf,
    thread,
    time::Duration,
};

use hyper::http::uri::Authority;
use schemars::JsonSchema;
use secbeat_daemon::tls::CertificateFiles;
use serde::Deserialize;

pub(super) use self::url::Transport;
pub(crate) use self::{
    acme::{AcmeConfig, Challenge, ExternalAccount},
    file::ProxyFile,
    headers::{HeaderRules, spelling},
    url::{Place, ServerUrl},
};

/// Where the proxy listens, what it stands before, and how long it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    /// No two share an address.
    pub listeners: Vec<ListenerConfig>,
    /// No two share a name.
    pub upstreams: Vec<UpstreamConfig>,
    pub routes: Vec<RouteConfig>,
    /// How long clients are told to come by TLS alone (RFC 6797), if at all.
    pub hsts: Option<Duration>,
    /// Bodies of the proxy's own answers, by status.
    pub error_pages: BTreeMap<u16, PathBuf>,
    /// Timeout to reach a server.
    pub connect_timeout: Duration,
    /// Timeout of a client's whole request head, of the first byte of its connection, and of its TLS handshake.
    pub header_timeout: Duration,
    /// Timeout between two requests on a client's connection.
    pub keep_alive: Duration,
    /// Timeout of the upstream's response head; starts again whenever the upstream takes more of the request's body.
    pub response_timeout: Duration,
    /// Timeout of a body or an upgraded connection without a byte, no matter which side is to blame.
    pub idle_timeout: Duration,
    /// Time for open connections to end when the proxy stops.
    pub drain: Duration,
    /// Most connections; further clients wait in the kernel's accept queue.
    pub max_connections: NonZeroU32,
    /// Connections of one source (an IPv4 address, an IPv6 /64) beyond these are closed.
    pub max_connections_per_source: NonZeroU32,
    /// Threads that serve connections.
    pub workers: NonZeroUsize,
    /// Where every answer is logged, if anywhere.
    pub access_log: Option<PathBuf>,
    pub access_log_format: LogFormat,
    pub headers: HeaderRules,
    /// Certificates that the proxy gets itself, if it does.
    pub acme: Option<AcmeConfig>,
}

/// How the access log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// nginx's and Apache's, and behind it the host and the duration.
    Combined,
    /// An object per line, with nginx's names, and what else is known.
    Json,
}

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// `[::]` takes IPv4 too.
    pub address: SocketAddr,
    /// The first serves clients that ask for no name, or for none that a certificate has.
    pub certificates: Vec<CertificateFiles>,
    /// Whether it uses the certificates that the proxy gets itself.
    pub acme: bool,
    /// Where those will be.
    pub obtained: Vec<CertificateFiles>,
    /// Whether HTTP/2 is taken in plain text, by prior knowledge (RFC 9113 §3.3).
    pub h2c: bool,
    /// Whether connections begin with a PROXY header of a trusted proxy; others are closed.
    pub proxy_protocol: bool,
    /// Port to which requests are redirected, at the same place by TLS; `None` if they are not.
    pub redirect_to_https: Option<u16>,
}

impl ListenerConfig {
    /// Whether it speaks TLS, or else plain HTTP.
    pub(crate) fn has_tls(&self) -> bool {
        self.acme || !self.certificates.is_empty()
    }
}

/// Servers that answer alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    pub name: String,
    pub servers: Vec<ServerConfig>,
    /// Whether a client's requests go to the same server for as long as that is up.
    pub sticky: bool,
    /// The host that servers are asked for, in place of the client's.
    pub upstream_host: Option<Authority>,
    /// Certificates, in PEM, of those who may vouch for `https://` servers; the system's unless set.
    pub ca: Option<PathBuf>,
    pub health: Option<HealthConfig>,
}

/// A server, and how much of the requests it gets beside others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    pub url: ServerUrl,
    pub weight: NonZeroU8,
}

impl From<ServerUrl> for ServerConfig {
    /// With the usual weight, 1.
    fn from(url: ServerUrl) -> Self {
        Self {
            url,
            weight: NonZeroU8::MIN,
        }
    }
}

/// How servers are asked whether they are well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthConfig {
    /// GET this; any answer below 400 is a good one.
    pub path: String,
    pub interval: Duration,
    pub timeout: Duration,
    /// Bad answers in a row that take a server out.
    pub fail: NonZeroU32,
    /// Good answers in a row that bring it back.
    pub pass: NonZeroU32,
}

/// Which requests go where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    pub host: HostPattern,
    /// A prefix of whole segments: `/api` is for `/api` and `/api/x`, not for `/apis`.
    pub path: String,
    /// Index into [`ProxyConfig::upstreams`].
    pub upstream: usize,
    /// The proxy's, unless it says otherwise.
    pub response_timeout: Option<Duration>,
    pub idle_timeout: Option<Duration>,
    /// Largest body of a request, in bytes; any size unless set.
    pub max_body: Option<u64>,
}

/// Whom a route is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Host name, in lower case, without a port.
    Exact(String),
    /// `*.example.org` as `example.org`: every name below it, at any depth.
    Below(String),
    Any,
}

impl ProxyConfig {
    /// One plain listener before one server, and the defaults: 5 s to connect, 10 s for a request head, 75 s to the next one, 30 s for an
    /// answer, 60 s idle, 10 000 connections, 1 000 of them from one source.
    #[must_use]
    pub fn new(listen: SocketAddr, server: ServerUrl) -> Self {
        let upstream = UpstreamConfig {
            name: server.to_string(),
            servers: vec![server.into()],
            sticky: false,
            upstream_host: None,
            ca: None,
            health: None,
        };
        let route = RouteConfig {
            host: HostPattern::Any,
            path: "/".to_owned(),
            upstream: 0,
            response_timeout: None,
            idle_timeout: None,
            max_body: None,
        };
        Self {
            listeners: vec![ListenerConfig {
                address: listen,
                certificates: Vec::new(),
                acme: false,
                obtained: Vec::new(),
                h2c: false,
                proxy_protocol: false,
                redirect_to_https: None,
            }],
            upstreams: vec![upstream],
            routes: vec![route],
            hsts: None,
            error_pages: BTreeMap::new(),
            connect_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            response_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            drain: Duration::from_secs(10),
            max_connections: const { NonZeroU32::new(10_000).unwrap() },
            max_connections_per_source: const { NonZeroU32::new(1_000).unwrap() },
            workers: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            access_log: None,
            access_log_format: LogFormat::Combined,
            headers: HeaderRules::default(),
            acme: None,
        }
    }

    /// Returns what telemetry calls the upstreams, in their order, and last what it calls everything else.
    #[must_use]
    pub fn telemetry_names(&self) -> Vec<String> {
        let names = self.upstreams.iter().map(|upstream| upstream.name.clone());
        names.chain([NO_UPSTREAM.to_owned()]).collect()
    }
}

/// The name in telemetry of what was answered without an upstream, or by one that a reload has added.
pub(crate) const NO_UPSTREAM: &str = "other";
