//! Checks over several keys.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Place, ProxyConfig, ServerUrl};

/// Keys that contradict each other: which to name, and why.
pub(super) struct Contradiction(pub(super) String, pub(super) String);

impl Contradiction {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self(key.into(), message.into())
    }
}

/// A server that is the proxy itself, as far as that shows in its URL, and the listener that it is.
pub(super) fn loops(config: &ProxyConfig) -> Option<(&ServerUrl, SocketAddr)> {
    let servers = config.upstreams.iter().flat_map(|upstream| &upstream.servers);
    let servers = servers.map(|server| &server.url);
    let mut pairs = servers.flat_map(|server| {
        config
            .listeners
            .iter()
            .map(move |listener| (server, listener.address))
    });
    pairs.find(|(server, listener)| {
        let Place::Tcp { host, port } = server.place() else {
            return false;
        };
        let ip = match host.as_str() {
            "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            host => host.parse::<IpAddr>().ok(),
        };
        // Who connects to no address in particular reaches the loopback one.
        let ip = ip.map(|ip| match ip.to_canonical() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        });
        ip.is_some_and(|ip| {
            port == listener.port()
                && (ip == listener.ip().to_canonical()
                    || (listener.ip().is_unspecified() && ip.is_loopback()))
        })
    })
}
