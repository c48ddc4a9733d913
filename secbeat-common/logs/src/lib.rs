//! Access logs as typed values.
//!
//! A [`Format`] turns one line into a [`LogLine`] or says why it cannot; [`Lines`] splits a stream in bounded memory, and
//! [`Detection`] finds out which format a log has.

#![forbid(unsafe_code)]

mod address;
mod caution;
mod combined;
mod cut;
mod detect;
mod error;
mod format;
mod formats;
mod gin;
mod haproxy;
mod json;
mod layout;
mod lines;
mod long;
mod marks;
#[cfg(any(test, feature = "fuzzing"))]
#[expect(clippy::expect_used, clippy::panic, reason = "an oracle of tests")]
mod oracle;
mod quoted;
mod rest;
pub mod services;
mod stated;
#[cfg(test)]
mod tests;
mod time;
mod uwsgi;
pub mod waf;
mod wrap;

use std::{borrow::Cow, net::IpAddr};

#[cfg(any(test, feature = "fuzzing"))]
pub use self::oracle::{check, check_attack, check_json, check_pattern, check_wrapped};
pub use self::{
    caution::Caution,
    detect::{Conflict, DETECTED_FROM, Detection, FormatChoice, Whole},
    error::LogError,
    format::{Format, FormatError},
    formats::Formats,
    json::key_map::{JsonKeys, KeysError},
    layout::PatternError,
    lines::{Lines, MAX_LINE},
    long::{OpenLines, Piece},
    stated::KeyMap,
    time::parse_time,
};

/// One request of an access log. Text is as it stands in the log, a server's own escapes of odd bytes included; only the
/// escapes of JSON are undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// IPv4-mapped addresses as IPv4.
    pub client: IpAddr,
    /// The list that the client was read from, as it was logged, if it has more than one entry. Only the last entry was
    /// written by the server itself or by the proxy next to it.
    pub forwarded: Option<Cow<'a, [u8]>>,
    /// When the request began or was logged, whichever the format has, in milliseconds since the Unix epoch; some formats
    /// have whole seconds only.
    pub at_ms: i64,
    /// Empty if the request line is not `METHOD PATH PROTOCOL`; `-` if the log has neither method nor path.
    pub method: Cow<'a, [u8]>,
    /// The request target; whatever the client sent instead of a request line; empty if it sent nothing.
    pub path: Cow<'a, [u8]>,
    /// 0 if the server logged no answer.
    pub status: u16,
    /// The line names its client, and the rest of it could not be read: an error of that client.
    pub unreadable: bool,
    /// The line is [unreadable](Self::unreadable) since its server wrote a line feed of the user name as it was sent.
    pub ends_in_user: bool,
    /// The virtual host, with its port if the server logs one; that of [`path`](Self::path), if that is a whole URL and no other is
    /// logged. `None` if there is none, or if the format has none.
    pub host: Option<Cow<'a, [u8]>>,
    /// `None` if there is none, or if the format has none.
    pub user_agent: Option<Cow<'a, [u8]>>,
    /// The page that the client says it came from. `None` if there is none, or if the format has none.
    pub referer: Option<Cow<'a, [u8]>>,
}

impl LogLine<'_> {
    /// Sees the client through trusted proxies: of a list, it is the first address from the right that is not among them.
    ///
    /// # Errors
    ///
    /// [`LogError::NoClient`] if there is no such address, or if something that is not an address comes before it, and
    /// [`LogError::Proxy`] if the line names a trusted proxy alone.
    pub fn see_through(&mut self, is_trusted: impl Fn(IpAddr) -> bool) -> Result<(), LogError> {
        match &self.forwarded {
            Some(list) => {
                self.client = address::last_untrusted(list, is_trusted).ok_or(LogError::NoClient)?;
            }
            None if is_trusted(self.client) => return Err(LogError::Proxy),
            None => {}
        }
        Ok(())
    }

    /// Takes the host of a path that is a whole URL, unless the server logged one.
    #[inline]
    fn find_host(&mut self) {
        if self.host.is_none() && !matches!(self.path.first(), None | Some(b'/')) {
            self.host = match &self.path {
                Cow::Borrowed(path) => quoted::authority(path).map(Cow::Borrowed),
                Cow::Owned(path) => quoted::authority(path).map(|host| Cow::Owned(host.to_vec())),
            };
        }
    }

    /// The error of a client whose line has no time, at that of the line before it or of its arrival.
    fn without_time(client: IpAddr, at_ms: i64, ends_in_user: bool) -> Self {
        Self {
            client,
            forwarded: None,
            at_ms,
            method: Cow::Borrowed(b""),
            path: Cow::Borrowed(b""),
            status: 0,
            unreadable: true,
            ends_in_user,
            host: None,
            user_agent: None,
            referer: None,
        }
    }

    /// As it is, without the line.
    #[must_use]
    pub fn into_owned(self) -> LogLine<'static> {
        let owned = |text: Cow<'_, [u8]>| Cow::Owned(text.into_owned());
        LogLine {
            client: self.client,
            forwarded: self.forwarded.map(owned),
            at_ms: self.at_ms,
            method: owned(self.method),
            path: owned(self.path),
            status: self.status,
            unreadable: self.unreadable,
            ends_in_user: self.ends_in_user,
            host: self.host.map(owned),
            user_agent: self.user_agent.map(owned),
            referer: self.referer.map(owned),
        }
    }

    /// The line, borrowed from this one.
    fn borrow(&self) -> LogLine<'_> {
        LogLine {
            client: self.client,
            forwarded: self.forwarded.as_deref().map(Cow::Borrowed),
            at_ms: self.at_ms,
            method: Cow::Borrowed(&self.method),
            path: Cow::Borrowed(&self.path),
            status: self.status,
            unreadable: self.unreadable,
            ends_in_user: self.ends_in_user,
            host: self.host.as_deref().map(Cow::Borrowed),
            user_agent: self.user_agent.as_deref().map(Cow::Borrowed),
            referer: self.referer.as_deref().map(Cow::Borrowed),
        }
    }
}

/// Whether a line is a header, as IIS and CloudFront write it, in wrappers or without.
#[must_use]
pub fn is_header(line: &[u8]) -> bool {
    format::header(line).is_some()
}

/// Whether a header says which fields the lines after it have.
#[must_use]
pub fn names_fields(line: &[u8]) -> bool {
    format::fields_of_header(line).is_some()
}
