//! Address of a server.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use hyper::{
    Uri,
    http::uri::{Authority, Scheme},
};
use serde::{Deserialize, Deserializer, de::Error as _};

/// Base of a server: `http://host`, `https://host:port`, `h2c://host:port`, `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    transport: Transport,
    /// Of a socket in the file system, `localhost`.
    authority: Authority,
    socket: Option<PathBuf>,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum Transport {
    Plain,
    /// HTTP/2 in plain text, by prior knowledge (RFC 9113 §3.3).
    H2c,
    Tls,
}

/// Address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// Host (of an IPv6 address without brackets) and TCP port.
    Tcp { host: String, port: u16 },
    /// A socket in the file system.
    Unix(&'a Path),
}

/// The reason why a text is not a [`ServerUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("invalid URL `{0}`: expected one such as http://host:port")]
    Syntax(String),
    #[error("`{0}` is neither an http://, https:// or h2c:// URL nor unix:/path/of/a/socket")]
    Scheme(String),
    #[error("`{0}` has a user name, path or query; write it as http://host:port")]
    Extra(String),
}

impl ServerUrl {
    pub(crate) fn place(&self) -> Place<'_> {
        if let Some(path) = &self.socket {
            return Place::Unix(path);
        }
        let host = self
            .authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let usual = match self.transport {
            Transport::Plain | Transport::H2c => 80,
            Transport::Tls => 443,
        };
        Place::Tcp {
            host: host.to_owned(),
            port: self.authority.port_u16().unwrap_or(usual),
        }
    }

    pub(in super::super) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(in super::super) fn transport(&self) -> Transport {
        self.transport
    }

    /// Of requests in HTTP/2.
    pub(in super::super) fn scheme(&self) -> Scheme {
        match self.transport {
            Transport::Plain | Transport::H2c => Scheme::HTTP,
            Transport::Tls => Scheme::HTTPS,
        }
    }
}

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
                return Err(UrlError::Scheme(text.to_owned()));
            }
            return Ok(Self {
                transport: Transport::Plain,
                authority: Authority::from_static("localhost"),
                socket: Some(path.into()),
            });
        }
        let syntax = || UrlError::Syntax(text.to_owned());
        let parts = text.parse::<Uri>().map_err(|_| syntax())?.into_parts();
        let authority = parts
            .authority
            .filter(|authority| !authority.host().is_empty())
            .ok_or_else(syntax)?;
        let transport = match parts.scheme {
            Some(scheme) if scheme == Scheme::HTTP => Transport::Plain,
            Some(scheme) if scheme == Scheme::HTTPS => Transport::Tls,
            Some(scheme) if scheme.as_str().eq_ignore_ascii_case("h2c") => Transport::H2c,
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
        Ok(Self {
            transport,
            authority,
            socket: None,
        })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.socket {
            return write!(f, "unix:{}", path.display());
        }
        let scheme = match self.transport {
            Transport::Plain => "http",
            Transport::H2c => "h2c",
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
            ("h2c://app.internal:50051", "app.internal", 50051),
        ] {
            let upstream: ServerUrl = text.parse().unwrap();
            let host = host.to_owned();
            assert_eq!(upstream.place(), Place::Tcp { host, port }, "{text}");
            assert_eq!(upstream.to_string().parse(), Ok(upstream), "{text}");
        }
    }

    #[test]
    fn a_server_may_be_a_socket() {
        let server: ServerUrl = "unix:/run/app/http.sock".parse().unwrap();
        assert_eq!(server.place(), Place::Unix(Path::new("/run/app/http.sock")));
        assert_eq!(server.to_string().parse(), Ok(server));
        for text in ["unix:", "unix:app.sock", "unix:/run/"] {
            assert_eq!(text.parse::<ServerUrl>(), Err(UrlError::Scheme(text.to_owned())));
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
