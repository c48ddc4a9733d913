//! Access logs as typed values.

mod combined;
mod lines;
mod time;

use std::net::IpAddr;

pub use self::{
    combined::parse,
    lines::{Line, Lines, MAX_LINE},
    time::parse_time,
};

/// One request of an access log; text as it stands there, escapes included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// IPv4-mapped addresses as IPv4.
    pub client: IpAddr,
    /// When the server logged it, milliseconds since the Unix epoch; these formats have whole seconds.
    pub at_ms: i64,
    /// Empty if the request line is not `METHOD PATH PROTOCOL`.
    pub method: &'a [u8],
    /// The request target; whatever the client sent instead of a request line; empty if it sent nothing.
    pub path: &'a [u8],
    pub status: u16,
    /// `None` if there is none, or if the format has none.
    pub user_agent: Option<&'a [u8]>,
}

/// Why a line is no [`LogLine`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    #[error("the line is empty")]
    Empty,
    #[error("`{0}` is no client address")]
    Client(String),
    #[error("no time like [10/Oct/2023:11:06:56 +0200] before the quoted request")]
    Time,
    #[error("the quoted request does not end")]
    Request,
    #[error("no three-digit status after the request")]
    Status,
    #[error("the line is longer than {MAX_LINE} bytes")]
    TooLong,
}
