//! Where a server is.

use std::{fmt, str::FromStr};

use hyper::{
    Uri,
    http::uri::{Authority, Scheme},
};
use serde::{Deserialize, Deserializer, de::Error as _};

/// Base of a server: `http://host`, `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    transport: Transport,
    authority: Authority,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Transport {
    Plain,
    Tls,
}

/// Why a text is no [`ServerUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("`{0}` is no URL; write it as http://host:port")]
    Syntax(String),
    #[error("`{0}` is neither an http:// nor an https:// URL")]
    Scheme(String),
    #[error("`{0}` has a user name, path or query; write it as http://host:port")]
    Extra(String),
}

impl ServerUrl {
    /// Host (of an IPv6 address without brackets) and TCP port.
    #[must_use]
    pub fn host_and_port(&self) -> (String, u16) {
        let host = self
            .authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let usual = match self.transport {
            Transport::Plain => 80,
            Transport::Tls => 443,
        };
        (host.to_owned(), self.authority.port_u16().unwrap_or(usual))
    }

    pub(in super::super) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(in super::super) fn transport(&self) -> Transport {
        self.transport
    }
}

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let syntax = || UrlError::Syntax(text.to_owned());
        let parts = text.parse::<Uri>().map_err(|_| syntax())?.into_parts();
        let authority = parts
            .authority
            .filter(|authority| !authority.host().is_empty())
            .ok_or_else(syntax)?;
        let transport = match parts.scheme {
            Some(scheme) if scheme == Scheme::HTTP => Transport::Plain,
            Some(scheme) if scheme == Scheme::HTTPS => Transport::Tls,
            _ => return Err(UrlError::Scheme(text.to_owned())),
        };
        let extra = authority.as_str().contains('@') || parts.path_and_query.is_some_and(|path| path != "/");
        if extra {
            return Err(UrlError::Extra(text.to_owned()));
        }
        // `http` takes any digits, or none, for a port.
        if authority.port_u16().is_none_or(|port| port == 0) && authority.as_str() != authority.host() {
            return Err(syntax());
        }
        Ok(Self { transport, authority })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Plain => "http",
            Transport::Tls => "https",
        };
        write!(f, "{scheme}://{}", self.authority)
    }
}

impl<'de> Deserialize<'de> for ServerUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_http_or_https_base() {
        for (text, host, port) in [
            ("http://127.0.0.1:3000", "127.0.0.1", 3000),
            ("http://[::1]:3000/", "::1", 3000),
            ("HTTP://app.internal", "app.internal", 80),
            ("https://app.internal", "app.internal", 443),
        ] {
            let upstream: ServerUrl = text.parse().unwrap();
            assert_eq!(upstream.host_and_port(), (host.to_owned(), port), "{text}");
            assert_eq!(upstream.to_string().parse(), Ok(upstream), "{text}");
        }
    }

    #[test]
    fn other_servers_are_refused_by_what_is_wrong() {
        let error = |text: &str| text.parse::<ServerUrl>().unwrap_err();
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
                matches!(error(text), UrlError::Syntax(_) | UrlError::Scheme(_)),
                "{text}"
            );
        }
        assert_eq!(error("ftp://a:1"), UrlError::Scheme("ftp://a:1".to_owned()));
        for text in ["http://a/x", "http://a/?q", "http://u@a"] {
            assert_eq!(error(text), UrlError::Extra(text.to_owned()));
        }
    }
}
