//! Cautions about a log, beyond how its lines are read.

use memchr::{memchr, memmem};
use strum::{IntoStaticStr, VariantArray};

use super::{Format, Formats, LogError, LogLine, address, combined, quoted::NOT_LOGGED, wrap};

/// A weakness of a log, which its server has to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(const_into_str)]
pub enum Caution {
    #[strum(
        serialize = "the client comes from a header, which it may have written itself: state `client = \"header\"`, and see that \
                         the proxy next to it writes the last address (Envoy: `use_remote_address: true`)"
    )]
    ClientFromHeader,
    #[strum(
        serialize = "without `trusted_proxies_strict` (2.8 or newer), Caddy takes the first address of `X-Forwarded-For`, which a client \
                         writes where the proxy in front appends: set it, or have Caddy read a header that the proxy overwrites"
    )]
    CaddyHeader,
    #[strum(
        serialize = "Gin takes the client's address from `X-Forwarded-For` of any client unless its program calls `SetTrustedProxies`: see \
                         that it does, with nil if no proxy is in front, or read the log of the server in front"
    )]
    GinHeader,
    #[strum(
        serialize = "Traefik's common log format escapes nothing that clients send, so that they can make their lines unreadable and, \
                         with a user name, write lines of others: have it log JSON (`explain --suggest traefik`)"
    )]
    Traefik,
    #[strum(
        serialize = "a line ends within what its client wrote, so that clients can write lines of others: have the server log JSON, or \
                         no user name (gunicorn: an `access_log_format` without `%(u)s`)"
    )]
    LineFeeds,
    #[strum(
        serialize = "a line has more quotes than its server writes: it does not escape those of clients, who can make their \
                         lines unreadable; have it log JSON"
    )]
    Quotes,
    #[strum(
        serialize = "the client is the last of a list without quotes, as `X-Forwarded-For` in the first field: a client whose header is \
                         more than addresses hides its requests; have it logged between quotes, as \
                         `\"%{X-Forwarded-For}i\" %l %u %t \"%r\" %>s`, and state that as the format"
    )]
    BareList,
    #[strum(
        serialize = "two keys that may be the client's have different addresses, so that a client who sends `X-Forwarded-For` may hide its \
                         requests: name the client's key in `[access_log.keys]`"
    )]
    TwoClients,
    #[strum(
        serialize = "a line has neither method nor path, by the keys or fields that the format knows: rules that go by either find nothing; \
                     name their keys in `[access_log.keys]`, or state the format"
    )]
    NoRequest,
}

impl Caution {
    /// Returns what the formats of a log ask for.
    #[must_use]
    pub fn of_formats(formats: &Formats) -> Option<Self> {
        if formats.iter().any(Format::is_gins) {
            return Some(Self::GinHeader);
        }
        if formats.iter().any(Format::reads_client_from_header) {
            return Some(Self::ClientFromHeader);
        }
        let reads_none = |format: &Format| !format.reads_request();
        formats.iter().any(reads_none).then_some(Self::NoRequest)
    }

    /// Returns what the formats of a log ask for whose clients are said to come from a header.
    #[must_use]
    pub fn of_header(formats: &Formats) -> Option<Self> {
        if formats.iter().any(Format::is_caddys) {
            return Some(Self::CaddyHeader);
        }
        Self::of_formats(formats).filter(|caution| *caution != Self::ClientFromHeader)
    }

    /// Returns what a line asks for, as it was read.
    #[must_use]
    pub fn of_line(line: &[u8], parsed: &Result<LogLine<'_>, LogError>) -> Option<Self> {
        let unwrapped = wrap::unwrap(line);
        let text = unwrapped.as_ref().map_or(line, |unwrapped| &unwrapped.text);
        match parsed {
            _ if combined::is_traefiks(text) => Some(Self::Traefik),
            Err(LogError::MayGoOn(_)) => None,
            Err(error) if error.ends_in_text_of_client() => Some(Self::LineFeeds),
            Err(LogError::TwoClients) => Some(Self::TwoClients),
            Ok(line) if line.ends_in_user => Some(Self::LineFeeds),
            Ok(line) if line.unreadable => Some(Self::Quotes),
            Ok(_) if is_of_header(text) => Some(Self::ClientFromHeader),
            Ok(line)
                if line
                    .forwarded
                    .as_deref()
                    .is_some_and(|list| text.starts_with(list)) =>
            {
                Some(Self::BareList)
            }
            Ok(line) if *line.method == *NOT_LOGGED && line.path.is_empty() => Some(Self::NoRequest),
            _ => None,
        }
    }

    /// In words, for the operator.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.into_str()
    }
}

/// Whether Caddy or Traefik logged a client that is not the other end of the connection.
fn is_of_header(text: &[u8]) -> bool {
    const KEYS: [[&[u8]; 2]; 2] = [
        [b"\"client_ip\":\"", b"\"remote_ip\":\""],
        [b"\"ClientHost\":\"", b"\"ClientAddr\":\""],
    ];
    let address = |key: &[u8]| {
        let value = &text[memmem::find(text, key)? + key.len()..];
        address::parse_last(&value[..memchr(b'"', value)?])
    };
    KEYS.into_iter().any(|[client, peer]| {
        let both = address(client).zip(address(peer));
        both.is_some_and(|(client, peer)| client != peer)
    })
}
