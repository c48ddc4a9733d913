//! Meaning of a layout's fields, and their writers.

use super::Quotes;

/// What a field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    /// What the other end of the connection, which is the client otherwise, forwarded: a list of addresses.
    Forwarded,
    Time,
    Status,
    Request,
    /// A request line with a whole URL in it.
    RequestUrl,
    Method,
    Path,
    /// A path, or a whole URL.
    Url,
    Host,
    UserAgent,
    Referer,
    Nothing,
}

impl Role {
    /// Whether it says what a client asked for.
    pub(super) const fn is_of_request(self) -> bool {
        matches!(
            self,
            Self::Request | Self::RequestUrl | Self::Method | Self::Path | Self::Url
        )
    }

    /// Whether a client must not be able to choose it.
    pub(super) const fn is_trusted(self) -> bool {
        matches!(self, Self::Client | Self::Time | Self::Status)
    }
}

/// How a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One address, with or without a port.
    Address,
    /// One address without a port, as lighttpd writes it.
    BareAddress,
    /// As `X-Forwarded-For` has it: a client may have written all but the last entry.
    AddressList,
    Time,
    Status,
    /// Text without a space, which the server writes itself.
    Token,
    /// Text without a space, which a client chooses.
    ClientToken,
    /// Digits.
    Number,
    /// Letters, hyphens and underscores.
    Method,
    /// A path or an asterisk, without a space.
    Stem,
    /// A text for each of the servers that were tried, as nginx writes it: `502, 404 : 200`.
    Upstreams,
    /// Whatever a client sends.
    Free,
}

impl Kind {
    pub(super) const fn is_written_by_clients(self) -> bool {
        matches!(self, Self::AddressList | Self::ClientToken | Self::Free)
    }

    /// Whether a text without a space may be one of its kind, if that has a shape of its own.
    pub(super) fn may_be(self, value: &[u8]) -> bool {
        match self {
            Self::Number => !value.is_empty() && value.iter().all(u8::is_ascii_digit),
            Self::Method => {
                let is_of_token = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_');
                value.first().is_some_and(u8::is_ascii_alphabetic) && value.iter().all(is_of_token)
            }
            Self::Stem => value.starts_with(b"/") || matches!(value, b"*" | b"-"),
            _ => true,
        }
    }
}

/// A field of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// As the layout's text has it, for errors.
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) kind: Kind,
    /// Of fields that say the same, the one with the highest rank counts; of equal ones the first.
    pub(super) rank: u8,
    /// What the server does with a quote in it, if that is not what it does in the others.
    pub(super) quotes: Option<Quotes>,
}

impl Field {
    /// Whether it is a client of whom another server, or a header, tells.
    pub(super) fn is_forwarded_client(&self) -> bool {
        self.role == Role::Client && (self.rank == 0 || self.name.strip_prefix('$') == Some(PROXY_PROTOCOL))
    }

    /// A variable of nginx. Names that nginx does not have are fields that a client may write.
    pub(super) fn of_nginx(name: &str) -> Self {
        let (role, kind, rank) = match name {
            "remote_addr" => (Role::Client, Kind::Address, 2),
            "remote_ip" => (Role::Client, Kind::BareAddress, 2),
            // As the load balancer before nginx says, before any header.
            PROXY_PROTOCOL => (Role::Client, Kind::Address, 1),
            "proxy_add_x_forwarded_for" | "http_x_forwarded_for" | "http_x_real_ip" => {
                (Role::Client, Kind::AddressList, 0)
            }
            "msec" => (Role::Time, Kind::Time, 2),
            "time_iso8601" => (Role::Time, Kind::Time, 1),
            "time_local" => (Role::Time, Kind::Time, 0),
            "status" => (Role::Status, Kind::Status, 0),
            "request" => (Role::Request, Kind::Free, 0),
            "request_url" => (Role::RequestUrl, Kind::Free, 0),
            "request_method" => (Role::Method, Kind::ClientToken, 0),
            "request_uri" | "uri" => (Role::Path, Kind::Free, 0),
            "url" => (Role::Url, Kind::Free, 0),
            "server_name" => (Role::Host, Kind::Token, 0),
            "host" => (Role::Host, Kind::ClientToken, 0),
            "http_host" => (Role::Host, Kind::Free, 0),
            "http_user_agent" => (Role::UserAgent, Kind::Free, 0),
            "http_referer" => (Role::Referer, Kind::Free, 0),
            "server_protocol" => (Role::Nothing, Kind::ClientToken, 0),
            name if name.starts_with("upstream_") => (Role::Nothing, upstream(name), 0),
            name if TOKENS.contains(&name) => (Role::Nothing, Kind::Token, 0),
            _ => (Role::Nothing, Kind::Free, 0),
        };
        Self {
            name: format!("${name}"),
            role,
            kind,
            rank,
            quotes: None,
        }
    }
}

const PROXY_PROTOCOL: &str = "proxy_protocol_addr";

/// Headers, trailers and cookies are what the server behind sent, which may be what a client sent to that.
fn upstream(name: &str) -> Kind {
    const FREE: [&str; 3] = ["upstream_http_", "upstream_trailer_", "upstream_cookie_"];
    if FREE.iter().any(|prefix| name.starts_with(prefix)) {
        Kind::Free
    } else {
        Kind::Upstreams
    }
}

/// What nginx writes itself, without a space; and `token`, for servers that have no name for it. `content_length` is not one of
/// them: it is the header as it was sent.
const TOKENS: [&str; 32] = [
    "body_bytes_sent",
    "bytes_received",
    "bytes_sent",
    "connection",
    "connection_requests",
    "connection_time",
    "gzip_ratio",
    "hostname",
    "http2",
    "http3",
    "https",
    "is_args",
    "namespace",
    "nginx_version",
    "pid",
    "pipe",
    "proxy_alternative_upstream_name",
    "proxy_upstream_name",
    "realip_remote_addr",
    "realip_remote_port",
    "remote_port",
    "request_completion",
    "request_id",
    "request_length",
    "request_time",
    "scheme",
    "server_addr",
    "server_port",
    "ssl_cipher",
    "ssl_protocol",
    "ssl_session_reused",
    "token",
];
