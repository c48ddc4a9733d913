//! What the proxy is told.

use std::{fmt, net::SocketAddr, num::NonZeroU32, str::FromStr, time::Duration};

use hyper::{
    Uri,
    http::uri::{Authority, Scheme},
};

use super::super::client_address::ClientRule;

/// Where the proxy listens, what it stands before, and how long it waits.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// `[::]` takes IPv4 too.
    pub listen: SocketAddr,
    pub upstream: Upstream,
    /// Index of the upstream's name in the telemetry's [`Identity`](crate::batch::Identity).
    pub upstream_index: u16,
    /// To reach the upstream.
    pub connect_timeout: Duration,
    /// For a client's whole request head, and between two requests on its connection.
    pub header_timeout: Duration,
    /// For the upstream's answer head; counts anew whenever the upstream takes more of the request's body.
    pub response_timeout: Duration,
    /// With no byte of a body moving, whoever is to blame.
    pub idle_timeout: Duration,
    /// Clients beyond these wait in the kernel's accept queue.
    pub max_connections: NonZeroU32,
    /// Whose word on the client of a request counts.
    pub clients: ClientRule,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: bool,
}

impl ProxyConfig {
    /// The defaults: 5 s to connect, 10 s for a request head, 30 s for an answer, 60 s idle, 10 000 connections.
    #[must_use]
    pub fn new(listen: SocketAddr, upstream: Upstream) -> Self {
        Self {
            listen,
            upstream,
            upstream_index: 0,
            connect_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            max_connections: const { NonZeroU32::new(10_000).unwrap() },
            clients: ClientRule::default(),
            proxy_protocol: false,
        }
    }
}

/// Base of an upstream: `http://host` or `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream(Authority);

/// Why a text is no [`Upstream`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    #[error("`{0}` is no URL; write it as http://host:port")]
    Syntax(String),
    #[error("`{0}` is not an http:// URL; the upstream is spoken to in plain HTTP/1.1")]
    Scheme(String),
    #[error("`{0}` has a user name, path or query; write it as http://host:port")]
    Extra(String),
}

impl Upstream {
    /// Host (of an IPv6 address without brackets) and TCP port.
    #[must_use]
    pub fn host_and_port(&self) -> (String, u16) {
        let host = self.0.host().trim_start_matches('[').trim_end_matches(']');
        (host.to_owned(), self.0.port_u16().unwrap_or(80))
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.0
    }
}

impl FromStr for Upstream {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        let syntax = || UpstreamError::Syntax(text.to_owned());
        let parts = text.parse::<Uri>().map_err(|_| syntax())?.into_parts();
        let authority = parts
            .authority
            .filter(|authority| !authority.host().is_empty())
            .ok_or_else(syntax)?;
        if parts.scheme != Some(Scheme::HTTP) {
            return Err(UpstreamError::Scheme(text.to_owned()));
        }
        let extra = authority.as_str().contains('@') || parts.path_and_query.is_some_and(|path| path != "/");
        if extra {
            return Err(UpstreamError::Extra(text.to_owned()));
        }
        // `http` takes any digits, or none, for a port.
        if authority.port_u16().is_none_or(|port| port == 0) && authority.as_str() != authority.host() {
            return Err(syntax());
        }
        Ok(Self(authority))
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_plain_http_base() {
        for (text, host, port) in [
            ("http://127.0.0.1:3000", "127.0.0.1", 3000),
            ("http://[::1]:3000/", "::1", 3000),
            ("HTTP://app.internal", "app.internal", 80),
        ] {
            let upstream: Upstream = text.parse().unwrap();
            assert_eq!(upstream.host_and_port(), (host.to_owned(), port), "{text}");
            assert_eq!(upstream.to_string().parse(), Ok(upstream), "{text}");
        }
    }

    #[test]
    fn other_upstreams_are_refused_by_what_is_wrong() {
        let error = |text: &str| text.parse::<Upstream>().unwrap_err();
        for text in [
            "",
            "/",
            "app",
            "127.0.0.1:3000",
            "http://",
            "http://:80",
            "http://a:0",
            "http://a:70000",
            "http://a:",
            "http://a b",
        ] {
            assert!(
                matches!(error(text), UpstreamError::Syntax(_) | UpstreamError::Scheme(_)),
                "{text}"
            );
        }
        assert_eq!(
            error("https://a:1"),
            UpstreamError::Scheme("https://a:1".to_owned())
        );
        for text in ["http://a/x", "http://a/?q", "http://u@a"] {
            assert_eq!(error(text), UpstreamError::Extra(text.to_owned()));
        }
    }
}
