//! Access logs as typed values.
//!
//! A [`Format`] turns one line into a [`LogLine`] or says why it cannot; [`Lines`] splits a stream in bounded memory.

mod combined;
mod format;
mod lines;
mod time;

use std::{borrow::Cow, net::IpAddr};

pub use self::{
    format::{Format, UnknownFormat},
    lines::{Line, Lines, MAX_LINE},
    time::parse_time,
};

/// One request of an access log. Text is as it stands in the log, a server's own escapes of odd bytes included; only the
/// escapes of JSON are undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// IPv4-mapped addresses as IPv4.
    pub client: IpAddr,
    /// When the server logged it, milliseconds since the Unix epoch; some formats have whole seconds only.
    pub at_ms: i64,
    /// Empty if the request line is not `METHOD PATH PROTOCOL`.
    pub method: Cow<'a, [u8]>,
    /// The request target; whatever the client sent instead of a request line; empty if it sent nothing.
    pub path: Cow<'a, [u8]>,
    /// 0 if the server answered nothing.
    pub status: u16,
    /// The virtual host, with its port if the server logs one. `None` if there is none, or if the format has none.
    pub host: Option<Cow<'a, [u8]>>,
    /// `None` if there is none, or if the format has none.
    pub user_agent: Option<Cow<'a, [u8]>>,
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
