//! Why a line is no request.

/// Longest piece of a bad line that an error quotes, in bytes.
const QUOTED: usize = 64;

/// Why a line is no [`LogLine`](super::LogLine).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    #[error("the line is empty")]
    Empty,
    #[error("`{0}` is no client address")]
    Client(String),
    #[error("no time like {0}")]
    Time(&'static str),
    #[error("`{0}` is no time")]
    BadTime(String),
    #[error("the quoted request does not end")]
    Request,
    #[error("no three-digit status after the request")]
    Status,
    #[error("`{0}` is no status")]
    BadStatus(String),
    #[error("no `client:port [date]` of an HTTP log")]
    HaproxyBegin,
    #[error("no status and quoted request after the date: not of the HTTP log")]
    HaproxyRest,
    #[error(
        "it has not the six quoted texts of Envoy's default format, or quotes within them, which Envoy does not escape"
    )]
    EnvoyQuotes,
    #[error("not a JSON object: {what} at byte {at}")]
    Json { at: u64, what: &'static str },
    #[error("its message is not that of a request")]
    Message,
    #[error("it has no {0}")]
    Missing(&'static str),
    #[error("the value of its {0} is none")]
    BadValue(&'static str),
    #[error("`{literal}` expected after {after}")]
    Literal { literal: String, after: String },
    #[error("a part of a line that a container's runtime divided")]
    Divided,
}

/// The beginning of a text, printable.
pub(super) fn quote(text: &[u8]) -> String {
    text[..text.len().min(QUOTED)].escape_ascii().to_string()
}
