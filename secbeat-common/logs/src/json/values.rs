//! Values of a line's keys, from texts and numbers to a request.

use std::{borrow::Cow, net::IpAddr};

use super::{
    Table,
    keys::{ROLES, Role},
};
use crate::{
    LogError, LogLine, address,
    quoted::{NOT_LOGGED, parse_status, some_text, split_request},
    time::{self, Zone},
};

/// Longest text that may be an address with a port, or a short list of some, in bytes.
pub(super) const MAX_ADDRESS: usize = 96;

/// Longest text that is kept of a value, in bytes: its beginning, or the end of a list of addresses.
pub(super) const MAX_VALUE: usize = 8 * 1024;

/// A value and the rank of its key.
type Found<T> = Option<(u8, T)>;

/// What was found so far. Of several keys of a role the one of the lowest rank counts, and of equal ones the first; a line with
/// two values of an equal key for the client, the time or the status is nobody's.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Values<'a> {
    /// Of the roles that are texts.
    texts: [Found<Cow<'a, [u8]>>; ROLES],
    /// Milliseconds since the Unix epoch.
    at_ms: Found<i64>,
    status: Found<u16>,
    /// Whether a key of that role had a value that says nothing.
    bad_time: bool,
    bad_status: bool,
    /// There is a status, and it is null.
    no_status: bool,
    /// A key of the client, the time or the status is there twice, with two values: a client wrote one of them, into a text
    /// that its server does not escape.
    two_values: bool,
    /// A value that nobody asks for is the address of a client, by the name of its key.
    other_address: bool,
    /// A value under a name that says nothing is an address.
    unnamed: Option<IpAddr>,
    /// Two keys of the client have different addresses.
    two_clients: bool,
    /// The address of a client or of the other end of the connection, by the name of its key, which is not known.
    peer: Option<IpAddr>,
    /// There is a key of the request, whatever its value.
    has_request: bool,
    /// There is one that has a method.
    has_method: bool,
    /// There is the mark of a server.
    has_mark: bool,
}

impl<'a> Values<'a> {
    pub(super) fn into_owned(self) -> Values<'static> {
        let owned = |(rank, text): (u8, Cow<'a, [u8]>)| (rank, Cow::Owned(text.into_owned()));
        Values {
            texts: self.texts.map(|text| text.map(owned)),
            at_ms: self.at_ms,
            status: self.status,
            bad_time: self.bad_time,
            bad_status: self.bad_status,
            no_status: self.no_status,
            two_values: self.two_values,
            other_address: self.other_address,
            unnamed: self.unnamed,
            two_clients: self.two_clients,
            peer: self.peer,
            has_request: self.has_request,
            has_method: self.has_method,
            has_mark: self.has_mark,
        }
    }

    /// Sees the address of a client, by a name that is not known.
    pub(super) const fn see_other_address(&mut self) {
        self.other_address = true;
    }

    /// Whether no client is known yet.
    #[inline]
    pub(super) const fn lacks_client(&self) -> bool {
        self.texts[Role::Client as usize].is_none()
    }

    /// Sees an address under a name that says nothing.
    #[cold]
    pub(super) fn see_unnamed(&mut self, text: &[u8]) {
        let address = parse_last(text);
        self.other_address |= self.unnamed.is_some() && self.unnamed != address;
        self.unnamed = self.unnamed.or(address);
    }

    /// Sees the address of a client or of the other end of the connection, by a name that is not known.
    #[cold]
    pub(super) fn see_peer(&mut self, text: &[u8]) {
        let address = parse_last(text);
        self.two_clients |= self.peer.is_some() && self.peer != address;
        self.peer = self.peer.or(address);
    }

    /// Sees a value of a client's key that another value of one takes the place of.
    #[cold]
    pub(super) fn see_other_client(&mut self, text: &[u8]) {
        let found = self.texts[Role::Client as usize].as_ref();
        let found = found.and_then(|(_, found)| parse_last(found));
        let other = parse_last(text);
        self.two_clients |= found.is_some() && other.is_some() && found != other;
    }

    /// Whether a value of that role and rank would count.
    #[inline]
    pub(super) fn wants(&self, role: Role, rank: u8) -> bool {
        match role {
            Role::Time => is_better(&self.at_ms, rank),
            Role::Status => is_better(&self.status, rank),
            _ => is_better(&self.texts[role as usize], rank),
        }
    }

    /// Whether a value of that role and rank, which must not be there twice, is known.
    #[inline]
    pub(super) fn has(&self, role: Role, rank: u8) -> bool {
        let found = match role {
            Role::Client | Role::Forwarded => self.texts[role as usize].as_ref().map(|(rank, _)| *rank),
            Role::Time => self.at_ms.map(|(rank, _)| rank),
            Role::Status => self.status.map(|(rank, _)| rank),
            _ => None,
        };
        found == Some(rank)
    }

    /// Sees a string again whose role and rank it [has](Self::has).
    #[cold]
    pub(super) fn text_again(&mut self, role: Role, text: Cow<'a, [u8]>, zone: &Zone) {
        match role {
            Role::Time => {
                let at_ms = parse_time(&text, zone);
                self.two_values |= self.at_ms.map(|(_, before)| before) != at_ms;
            }
            Role::Status => {
                let status = status_of(&text);
                self.two_values |= self.status.map(|(_, before)| before) != status;
            }
            _ => {
                let text = bounded(role, text);
                let before = self.texts[role as usize].as_ref();
                self.two_values |= before.is_none_or(|(_, before)| *before != text);
            }
        }
    }

    /// Takes a string that is [wanted](Self::wants).
    #[inline(always)]
    pub(super) fn text(&mut self, role: Role, rank: u8, text: Cow<'a, [u8]>, zone: &Zone) {
        match role {
            Role::Time => {
                let at_ms = parse_time(&text, zone);
                self.bad_time |= at_ms.is_none();
                self.at_ms = at_ms.map(|at_ms| (rank, at_ms)).or(self.at_ms);
            }
            Role::Status => self.put_status(rank, status_of(&text)),
            _ => {
                self.see_key(role);
                if some_text(&text).is_some() {
                    if role == Role::Client && self.texts[role as usize].is_some() {
                        self.see_other_client(&text);
                    }
                    self.texts[role as usize] = Some((rank, bounded(role, text)));
                }
            }
        }
    }

    /// Takes a further text of the list that is the client's: all are as one, with commas between them.
    #[cold]
    pub(super) fn join(&mut self, rank: u8, text: &[u8]) {
        let found = &mut self.texts[Role::Client as usize];
        let list = match found {
            Some((of, before)) if *of == rank => [&**before, b",", text].concat(),
            _ if some_text(text).is_none() => return,
            _ => text.to_vec(),
        };
        *found = Some((rank, bounded(Role::Client, Cow::Owned(list))));
    }

    /// Takes a number, `true`, `false` or `null`.
    #[inline]
    pub(super) fn scalar(&mut self, role: Role, rank: u8, text: &[u8]) {
        match role {
            Role::Time if text == b"null" => {}
            Role::Time => {
                let at_ms = number(text).and_then(time::from_epoch);
                if is_better(&self.at_ms, rank) {
                    self.bad_time |= at_ms.is_none();
                    self.at_ms = at_ms.map(|at_ms| (rank, at_ms)).or(self.at_ms);
                } else if self.has(role, rank) {
                    self.two_values |= self.at_ms.map(|(_, before)| before) != at_ms;
                }
            }
            Role::Status if text == b"null" => self.no_status = true,
            Role::Status => {
                let status = parse_status(text).or_else(|| match number(text)? {
                    0.0 => Some(0),
                    status @ 100.0..1000.0 => Some(status as u16),
                    _ => None,
                });
                self.put_status(rank, status);
            }
            _ => self.see_key(role),
        }
    }

    /// Sees that there is a key of this role.
    #[inline]
    fn see_key(&mut self, role: Role) {
        self.has_mark |= role == Role::Mark;
        self.has_request |= role.is_of_request();
        self.has_method |= matches!(role, Role::Request | Role::Method);
    }

    fn put_status(&mut self, rank: u8, status: Option<u16>) {
        if is_better(&self.status, rank) {
            self.bad_status |= status.is_none();
            self.status = status.map(|status| (rank, status)).or(self.status);
        } else if self.has(Role::Status, rank) {
            self.two_values |= self.status.map(|(_, before)| before) != status;
        }
    }

    /// The text of a role.
    #[cfg(test)]
    pub(super) fn get(&self, role: Role) -> Option<Cow<'_, [u8]>> {
        self.texts[role as usize]
            .as_ref()
            .map(|(_, text)| Cow::Borrowed(&**text))
    }

    fn take(&mut self, role: Role) -> Option<Cow<'a, [u8]>> {
        self.texts[role as usize].take().map(|(_, text)| text)
    }

    /// The request that the line is about.
    pub(super) fn finish(&mut self, table: &Table) -> Result<LogLine<'a>, LogError> {
        self.check_message(table)?;
        if self.two_values {
            return Err(LogError::TwoValues);
        }
        if self.take(Role::AnyHeader).is_some() && !self.has(Role::Client, 0) {
            return Err(LogError::AnyHeader);
        }
        if table.needs_mark && !self.has_mark {
            return Err(LogError::Missing("client address"));
        }
        let client = self.client(table)?;
        let at_ms = self.at_ms.map(|(_, at_ms)| at_ms);
        let at_ms = at_ms
            .or_else(|| self.date_and_clock())
            .ok_or(match self.bad_time {
                true => LogError::BadTime,
                false => LogError::Missing("time"),
            })?;
        let status = match self.status {
            Some((_, status)) => status,
            None if self.no_status => 0,
            None if self.bad_status => return Err(LogError::BadStatus),
            None => return Err(LogError::Missing("status")),
        };
        let (method, path) = match (self.take(Role::Method), self.take(Role::Path)) {
            (Some(method), Some(path)) => (method, path),
            // Some logs call the path alone a request, beside the method.
            (method, path) => {
                let request = self.take(Role::Request);
                let (of_request, rest) = request.map_or_else(Default::default, split_owned);
                (method.unwrap_or(of_request), path.unwrap_or(rest))
            }
        };
        let path: Cow<'a, [u8]> = match table.bare_paths && lacks_slash(&path) {
            true => [&b"/"[..], &*path].concat().into(),
            false => path,
        };
        // A path alone does not say that the method is wrong.
        let tells_method = self.has_request && (self.has_method || path.is_empty());
        let method: Cow<'a, [u8]> = match tells_method {
            // Node.js and others write it so.
            true if method.iter().any(u8::is_ascii_lowercase) => method.to_ascii_uppercase().into(),
            true => method,
            false => NOT_LOGGED.into(),
        };
        let (address, forwarded) = match address::parse_v4(&client) {
            Some(alone) => (alone.into(), None),
            None => (
                parse_last(&client).ok_or(LogError::Client)?,
                address::is_list(&client).then_some(client),
            ),
        };
        Ok(LogLine {
            client: address,
            forwarded,
            at_ms,
            method,
            path,
            status,
            host: self.take(Role::Host),
            user_agent: self.take(Role::UserAgent),
            referer: self.take(Role::Referer),
            unreadable: false,
            ends_in_user: false,
        })
    }

    /// Returns what is known of a line that could not be read as a whole. Its client and status only by the keys that no others
    /// come before, since those may be in what was not read.
    pub(super) fn finish_unreadable(&mut self, table: &Table) -> Option<LogLine<'a>> {
        let first = matches!(self.texts[Role::Client as usize], Some((0, _)));
        let status = match self.status {
            Some((0, status)) => Some(status),
            _ => None,
        };
        self.status = Some((0, status.unwrap_or(0)));
        // It may be in what was not read.
        (self.has_request, self.has_method) = (true, true);
        let line = self.finish(table).ok().filter(|_| first)?;
        Some(LogLine {
            unreadable: status.is_none(),
            ..line
        })
    }

    fn client(&mut self, table: &Table) -> Result<Cow<'a, [u8]>, LogError> {
        if let Some((rank, client)) = self.texts[Role::Client as usize].take() {
            let is_other = |peer| parse_last(&client) != Some(peer);
            let is_contested = self.two_clients || self.peer.is_some_and(is_other);
            return match table.one_client && rank > 0 && is_contested {
                true => Err(LogError::TwoClients),
                false => Ok(client),
            };
        }
        let list = self.take(Role::Forwarded);
        let list = list.ok_or(LogError::Missing("client address"))?;
        // The other end of the connection is what its server appended.
        let is_other = |address| parse_last(&list) != Some(address);
        match self.other_address || self.unnamed.is_some_and(is_other) {
            true => Err(LogError::Forwarded),
            false => Ok(list),
        }
    }

    /// The time of two keys, in UTC, as CloudFront logs it.
    #[cold]
    fn date_and_clock(&mut self) -> Option<i64> {
        let (date, clock) = (self.take(Role::Date)?, self.take(Role::Clock)?);
        time::parse_any(&[&*date, b"T", &*clock, b"Z"].concat(), &Zone::UTC)
    }

    fn check_message(&mut self, table: &Table) -> Result<(), LogError> {
        match (table.message, self.take(Role::Message)) {
            (Some(expected), Some(message)) if *message != *expected => {
                let has_client = self.texts[Role::Client as usize].is_some();
                Err(if has_client {
                    LogError::Message
                } else {
                    LogError::OtherMessage
                })
            }
            _ => Ok(()),
        }
    }
}

/// Whether a text is an address, or a list that ends with one.
#[inline]
pub(super) fn is_address(text: &[u8]) -> bool {
    let begins = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'[' | b':' | b'/');
    text.len() <= MAX_ADDRESS && text.first().is_some_and(begins) && parse_last(text).is_some()
}

/// Whether a path begins with its first name.
pub(super) fn lacks_slash(path: &[u8]) -> bool {
    !matches!(path.first(), None | Some(b'/' | b'*')) && memchr::memmem::find(path, b"://").is_none()
}

/// The last address of a list, or one alone, before which Java writes a slash.
fn parse_last(text: &[u8]) -> Option<IpAddr> {
    address::parse_last(text.strip_prefix(b"/").unwrap_or(text))
}

/// A status, also with its name: `404 Not Found`.
fn status_of(text: &[u8]) -> Option<u16> {
    parse_status(text.split(|byte| *byte == b' ').next()?)
}

#[inline]
fn is_better<T>(found: &Found<T>, rank: u8) -> bool {
    found.as_ref().is_none_or(|(before, _)| rank < *before)
}

/// A time, also in brackets.
#[inline]
pub(super) fn parse_time(text: &[u8], zone: &Zone) -> Option<i64> {
    let bare = text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]"));
    time::parse_any(bare.unwrap_or(text), zone)
}

fn number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Returns what is kept of a text.
#[inline]
fn bounded(role: Role, text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match text.len() <= MAX_VALUE {
        true => text,
        false => cut_off(role, text),
    }
}

/// Returns what is kept of a text that is longer than that.
#[cold]
fn cut_off(role: Role, text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let surplus = text.len() - MAX_VALUE;
    let range = if matches!(role, Role::Client | Role::Forwarded) {
        // Not with the half of an address.
        let comma = memchr::memchr(b',', &text[surplus..]);
        surplus + comma.map_or(MAX_VALUE, |comma| comma + 1)..text.len()
    } else {
        0..MAX_VALUE
    };
    match text {
        Cow::Borrowed(text) => text[range].into(),
        Cow::Owned(text) => text[range].to_vec().into(),
    }
}

/// Splits a request line and keeps what is borrowed so.
fn split_owned(request: Cow<'_, [u8]>) -> (Cow<'_, [u8]>, Cow<'_, [u8]>) {
    match request {
        Cow::Borrowed(request) => {
            let (method, path) = split_request(request);
            (method.into(), path.into())
        }
        Cow::Owned(request) => {
            let (method, path) = split_request(&request);
            (method.to_vec().into(), path.to_vec().into())
        }
    }
}
