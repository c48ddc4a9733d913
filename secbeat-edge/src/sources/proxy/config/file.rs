//! `[proxy]` as it is written, and what one key cannot say alone.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    time::Duration,
};

use hyper::http::uri::Authority;
use schemars::JsonSchema;
use secbeat_daemon::config::{ConfigError, HumanDuration, schema};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor, value::SeqAccessDeserializer},
};

use super::{
    HealthConfig, HostPattern, ListenerConfig, LogFormat, NO_UPSTREAM, ProxyConfig, RouteConfig, ServerUrl,
    UpstreamConfig,
    acme::AcmeFile,
    contradiction::{Contradiction, loops},
    headers::HeadersFile,
    listeners::{ListenerFile, listeners},
    values::{ServerFile, host, pages, path},
};

/// The table `[proxy]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProxyFile {
    /// Address to listen on, in plain HTTP. Clients of other hosts reach it only if you name an address of this host, or
    /// `[::]` for all.
    #[schemars(with = "Option<schema::Listen>")]
    listen: Option<SocketAddr>,
    /// Require a PROXY header (version 1 or 2) of a trusted proxy on each connection. Others are closed.
    proxy_protocol: Option<bool>,
    /// Several addresses to listen on, in place of `listen`.
    #[serde(default)]
    listener: Vec<ListenerFile>,
    /// One server, or named tables for several.
    upstream: Upstreams,
    /// Which requests go to which upstream. An exact host wins over a wildcard, and a wildcard over any host;
    /// then the longest path wins, by whole segments. A single upstream needs no route.
    #[serde(default)]
    route: Vec<RouteFile>,
    /// Timeout to connect to a server, TLS handshake included.
    connect_timeout: Option<HumanDuration>,
    /// Timeout for a client's TLS handshake and for its request head.
    header_timeout: Option<HumanDuration>,
    /// Close a client's connection when this long after a response no other request came.
    keep_alive: Option<HumanDuration>,
    /// Timeout for the head of a server's response.
    response_timeout: Option<HumanDuration>,
    /// Close a connection after this long without data (bodies, WebSocket).
    idle_timeout: Option<HumanDuration>,
    /// At a stop or restart, time for open requests, downloads and WebSockets to end.
    drain_timeout: Option<HumanDuration>,
    /// Open connections. Further clients wait in the kernel's queue.
    max_connections: Option<NonZeroU32>,
    /// Open connections of one source (an IPv4 address, an IPv6 /64). Further ones are closed.
    max_connections_per_source: Option<NonZeroU32>,
    /// Threads that serve connections. Default: one for each core.
    workers: Option<NonZeroUsize>,
    /// Write an access log: the combined format, and behind it the host in quotes and the duration in seconds.
    /// Reopened after it was moved away, and on SIGHUP. Default: none.
    #[schemars(with = "Option<schema::File>")]
    access_log: Option<PathBuf>,
    /// `json` writes an object per line, with a request id that the server gets as `X-Request-Id`, and the upstream, server,
    /// its time and the outcome.
    access_log_format: Option<LogFormat>,
    /// Fields of requests to servers.
    #[serde(default)]
    headers: HeadersFile,
    /// Tell clients to use TLS for so long (`Strict-Transport-Security`), in responses over TLS without that field.
    /// Default: don't.
    hsts: Option<HumanDuration>,
    /// Certificates from a certificate authority that speaks ACME (RFC 8555), such as Let's Encrypt, for listeners with `acme =
    /// true`. Default: none.
    acme: Option<AcmeFile>,
    /// Files with the bodies of the proxy's own responses, by status: `502 = "/etc/secbeat/502.html"`. Read at the start and on SIGHUP.
    #[serde(default, deserialize_with = "pages")]
    #[schemars(with = "std::collections::BTreeMap<String, schema::File>")]
    error_pages: BTreeMap<u16, PathBuf>,
}

/// `upstream = "http://…"`, or `[[proxy.upstream]]`.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
enum Upstreams {
    One(#[schemars(with = "schema::Server")] ServerUrl),
    Named(Vec<UpstreamFile>),
}

impl<'de> Deserialize<'de> for Upstreams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Upstreams;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL such as \"http://127.0.0.1:8000\", or tables [[proxy.upstream]]")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Upstreams, E> {
                text.parse().map(Upstreams::One).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, tables: A) -> Result<Upstreams, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(tables)).map(Upstreams::Named)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UpstreamFile {
    /// Its name in routes and telemetry.
    name: String,
    /// Interchangeable servers, used in turn (round robin): `http://…`, `https://…`, `h2c://…` (HTTP/2 in plain text),
    /// `unix:/path/of/a/socket`.
    /// `{ url = "…", weight = 3 }` gets three times the requests of one with weight 1, the default; up to 100.
    #[schemars(with = "Vec<schema::WeightedServer>")]
    servers: Vec<ServerFile>,
    /// Send each client (an IPv4 address, an IPv6 /64) to the same server for as long as that is up.
    #[serde(default)]
    sticky: bool,
    /// The host that servers are asked for, in place of the client's: `Host`, and the name in TLS stays the server's.
    #[serde(default, deserialize_with = "host")]
    #[schemars(with = "Option<schema::Host>")]
    upstream_host: Option<Authority>,
    /// CA certificates (PEM) for `https://` servers. Default: the system's.
    #[schemars(with = "Option<schema::File>")]
    ca: Option<PathBuf>,
    /// Health check. A server that fails it gets no requests. Default: none.
    health: Option<HealthFile>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HealthFile {
    /// Path to request.
    #[serde(deserialize_with = "path")]
    #[schemars(with = "schema::HttpPath")]
    path: String,
    /// Time between two checks.
    #[serde(default = "health_interval")]
    interval: HumanDuration,
    /// Timeout of a check.
    #[serde(default = "health_timeout")]
    timeout: HumanDuration,
    /// Failures in a row after which the server is down.
    #[serde(default = "health_fail")]
    fail: NonZeroU32,
    /// Successes in a row after which it is up again.
    #[serde(default = "health_pass")]
    pass: NonZeroU32,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RouteFile {
    /// A host, or `*.example.org` for every host below it. Default: any host.
    #[serde(default = "any_host")]
    #[schemars(with = "schema::Host")]
    host: HostPattern,
    /// Path that the route matches, with all below it.
    #[serde(default = "root", deserialize_with = "path")]
    #[schemars(with = "schema::HttpPath")]
    path: String,
    /// Name of the upstream.
    upstream: String,
    /// Timeout for the head of a server's response. Default: the proxy's.
    response_timeout: Option<HumanDuration>,
    /// Timeout without data. Default: the proxy's.
    idle_timeout: Option<HumanDuration>,
    /// Largest body of a request, in bytes; the response to a larger one is 413. Default: any size.
    max_body: Option<u64>,
}

const fn health_interval() -> HumanDuration {
    HumanDuration(Duration::from_secs(5))
}

const fn health_timeout() -> HumanDuration {
    HumanDuration(Duration::from_secs(2))
}

const fn health_fail() -> NonZeroU32 {
    const { NonZeroU32::new(3).unwrap() }
}

const fn health_pass() -> NonZeroU32 {
    const { NonZeroU32::new(2).unwrap() }
}

fn any_host() -> HostPattern {
    HostPattern::Any
}

fn root() -> String {
    "/".to_owned()
}

impl ProxyFile {
    /// Checks what stands in the file at `path`, and fills in the defaults. What the proxy has to keep lies in `state_dir`.
    ///
    /// # Errors
    ///
    /// Returns an error if keys contradict each other.
    pub(crate) fn check(&self, path: &Path, state_dir: &Path) -> Result<ProxyConfig, ConfigError> {
        self.checked(state_dir)
            .map_err(|Contradiction(key, message)| ConfigError::contradiction(path, &key, message))
    }

    fn checked(&self, state_dir: &Path) -> Result<ProxyConfig, Contradiction> {
        let listen = self.listen.unwrap_or(DEFAULT_LISTEN);
        let mut config = match &self.upstream {
            Upstreams::One(server) => {
                if !self.route.is_empty() {
                    let message = "routes lead to named upstreams: write [[proxy.upstream]] instead of upstream = \"…\"";
                    return Err(Contradiction::new("proxy.route[0]", message));
                }
                ProxyConfig::new(listen, server.clone())
            }
            Upstreams::Named(upstreams) => {
                let upstreams = named(upstreams)?;
                let routes = self.routes(&upstreams)?;
                let Some(first) = upstreams.first().and_then(|upstream| upstream.servers.first()) else {
                    return Err(Contradiction::new("proxy.upstream", "there is no upstream"));
                };
                let unset = ProxyConfig::new(listen, first.url.clone());
                ProxyConfig {
                    upstreams,
                    routes,
                    ..unset
                }
            }
        };
        if !self.listener.is_empty() {
            if self.listen.is_some() {
                let message = "an address stands either here or in [[proxy.listener]]";
                return Err(Contradiction::new("proxy.listen", message));
            }
            if self.proxy_protocol.is_some() {
                let message = "with [[proxy.listener]] it stands there";
                return Err(Contradiction::new("proxy.proxy_protocol", message));
            }
            config.listeners = listeners(&self.listener)?;
        } else if let Some(listener) = config.listeners.first_mut() {
            listener.proxy_protocol = self.proxy_protocol.unwrap_or_default();
        }
        let acme = self.acme.as_ref();
        let acme = acme.map(|acme| acme.check(&mut config.listeners, state_dir));
        config.acme = acme.transpose()?;
        let uses = |listener: &ListenerConfig| listener.acme;
        if let (Some(index), None) = (config.listeners.iter().position(uses), &config.acme) {
            let key = format!("proxy.listener[{index}].acme");
            return Err(Contradiction::new(key, "there is no [proxy.acme]"));
        }
        let set = |slot: &mut Duration, value: Option<HumanDuration>| {
            if let Some(HumanDuration(value)) = value {
                *slot = value;
            }
        };
        set(&mut config.connect_timeout, self.connect_timeout);
        set(&mut config.header_timeout, self.header_timeout);
        set(&mut config.keep_alive, self.keep_alive);
        set(&mut config.response_timeout, self.response_timeout);
        set(&mut config.idle_timeout, self.idle_timeout);
        set(&mut config.drain, self.drain_timeout);
        config.max_connections = self.max_connections.unwrap_or(config.max_connections);
        config.max_connections_per_source = self
            .max_connections_per_source
            .unwrap_or(config.max_connections_per_source);
        config.workers = self.workers.unwrap_or(config.workers);
        config.access_log.clone_from(&self.access_log);
        config.access_log_format = self.access_log_format.unwrap_or(config.access_log_format);
        config.headers = self.headers.check()?;
        config.hsts = self.hsts.map(|HumanDuration(hsts)| hsts);
        config.error_pages.clone_from(&self.error_pages);
        if let Some((server, listener)) = loops(&config) {
            let message =
                format!("{server} is the proxy's own address, {listener}: requests would never end");
            return Err(Contradiction::new("proxy.upstream", message));
        }
        Ok(config)
    }

    fn routes(&self, upstreams: &[UpstreamConfig]) -> Result<Vec<RouteConfig>, Contradiction> {
        if let ([_], []) = (upstreams, self.route.as_slice()) {
            return Ok(vec![RouteConfig {
                host: HostPattern::Any,
                path: root(),
                upstream: 0,
                response_timeout: None,
                idle_timeout: None,
                max_body: None,
            }]);
        }
        let mut seen = HashSet::new();
        let mut used = HashSet::new();
        let route = |(index, route): (usize, &RouteFile)| {
            let key = |name: &str| format!("proxy.route[{index}].{name}");
            let upstream = upstreams
                .iter()
                .position(|upstream| upstream.name == route.upstream);
            let upstream = upstream.ok_or_else(|| {
                let message = format!("there is no [[proxy.upstream]] named `{}`", route.upstream);
                Contradiction::new(key("upstream"), message)
            })?;
            if !seen.insert((route.host.clone(), route.path.clone())) {
                return Err(Contradiction::new(
                    key("path"),
                    "another route has the same host and path",
                ));
            }
            used.insert(upstream);
            Ok(RouteConfig {
                host: route.host.clone(),
                path: route.path.clone(),
                upstream,
                response_timeout: route.response_timeout.map(|timeout| timeout.0),
                idle_timeout: route.idle_timeout.map(|timeout| timeout.0),
                max_body: route.max_body,
            })
        };
        let routes = self
            .route
            .iter()
            .enumerate()
            .map(route)
            .collect::<Result<_, _>>()?;
        if let Some(unused) = (0..upstreams.len()).find(|index| !used.contains(index)) {
            let message = format!("no [[proxy.route]] leads to `{}`", upstreams[unused].name);
            return Err(Contradiction::new(
                format!("proxy.upstream[{unused}].name"),
                message,
            ));
        }
        Ok(routes)
    }
}

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);

fn named(upstreams: &[UpstreamFile]) -> Result<Vec<UpstreamConfig>, Contradiction> {
    let upstream = |(index, upstream): (usize, &UpstreamFile)| {
        let key = |name: &str| format!("proxy.upstream[{index}].{name}");
        let name = &upstream.name;
        if name.is_empty() || name.len() > MAX_NAME || name == NO_UPSTREAM {
            let message =
                format!("invalid name `{name}`: expected 1 to {MAX_NAME} bytes other than `{NO_UPSTREAM}`");
            return Err(Contradiction::new(key("name"), message));
        }
        if upstreams[..index].iter().any(|earlier| earlier.name == *name) {
            let message = format!("two upstreams are named `{name}`");
            return Err(Contradiction::new(key("name"), message));
        }
        if upstream.servers.is_empty() {
            return Err(Contradiction::new(key("servers"), "there is no server"));
        }
        Ok(UpstreamConfig {
            name: name.clone(),
            servers: upstream
                .servers
                .iter()
                .map(|ServerFile(server)| server.clone())
                .collect(),
            sticky: upstream.sticky,
            upstream_host: upstream.upstream_host.clone(),
            ca: upstream.ca.clone(),
            health: upstream.health.as_ref().map(|health| HealthConfig {
                path: health.path.clone(),
                interval: health.interval.0,
                timeout: health.timeout.0,
                fail: health.fail,
                pass: health.pass,
            }),
        })
    };
    upstreams.iter().enumerate().map(upstream).collect()
}

/// Longest name of an upstream, in bytes: every batch of telemetry carries all names.
const MAX_NAME: usize = 256;
