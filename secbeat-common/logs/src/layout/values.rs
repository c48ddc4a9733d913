//! Values of a line so far.

use std::{borrow::Cow, net::IpAddr};

use super::{
    super::{
        LogError, LogLine, address,
        quoted::{NOT_LOGGED, parse_status, some_text, split_request, split_request_of_haproxy},
        time::{self, Zone},
    },
    field::Role,
};

/// Values of a line's fields, by their roles.
pub(super) struct Values<'a, 'z> {
    zone: &'z Zone,
    client: Option<IpAddr>,
    forwarded: Option<&'a [u8]>,
    /// The list to which the client's own address would be added.
    before: Option<&'a [u8]>,
    at_ms: Option<i64>,
    has_date: bool,
    status: Option<u16>,
    /// Whether a field with a method was set.
    has_method: bool,
    method: &'a [u8],
    path: &'a [u8],
    host: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
    referer: Option<&'a [u8]>,
}

impl<'a, 'z> Values<'a, 'z> {
    /// Without any; `has_request` says whether a field is the request or a part of it.
    pub(super) const fn new(zone: &'z Zone, has_request: bool) -> Self {
        Self {
            zone,
            client: None,
            forwarded: None,
            before: None,
            at_ms: None,
            has_date: false,
            status: None,
            has_method: false,
            method: if has_request { b"" } else { NOT_LOGGED },
            path: b"",
            host: None,
            user_agent: None,
            referer: None,
        }
    }

    pub(super) const fn zone(&self) -> &'z Zone {
        self.zone
    }

    /// Whether what every request has is known.
    pub(super) const fn is_request(&self) -> bool {
        self.client.is_some() && self.at_ms.is_some() && self.status.is_some()
    }

    /// Whether a time was set that is a date, and no number since the epoch.
    pub(super) const fn has_date(&self) -> bool {
        self.has_date
    }

    /// Takes a client's address, or the last one of a list.
    pub(super) fn set_client(&mut self, value: &'a [u8]) -> Option<()> {
        self.client = Some(address::parse_last(value)?);
        self.forwarded = address::is_list(value).then_some(value);
        Some(())
    }

    pub(super) fn set(&mut self, role: Role, value: &'a [u8]) -> Result<(), LogError> {
        match role {
            Role::Client => self.set_client(value).ok_or(LogError::Client)?,
            Role::Forwarded => self.before = some_text(value),
            Role::Time => {
                let time = time::parse_any(value, self.zone);
                self.at_ms = Some(time.ok_or(LogError::BadTime)?);
                self.has_date = value.contains(&b':');
            }
            Role::Status => self.status = Some(parse_status(value).ok_or(LogError::BadStatus)?),
            Role::Request => {
                let (method, host, path) = split_request_of_haproxy(value);
                self.set_method(method);
                self.path = path;
                self.host = self.host.or(host);
            }
            Role::RequestUrl => {
                let (method, url) = split_request(value);
                self.set_method(method);
                self.set_url(url);
            }
            Role::Method => self.set_method(some_text(value).unwrap_or_default()),
            Role::Url => self.set_url(value),
            Role::Path => self.path = some_text(value).unwrap_or_default(),
            Role::Host => self.host = some_text(value).or(self.host),
            Role::UserAgent => self.user_agent = some_text(value),
            Role::Referer => self.referer = some_text(value),
            Role::Nothing => {}
        }
        Ok(())
    }

    const fn set_method(&mut self, method: &'a [u8]) {
        self.method = method;
        self.has_method = true;
    }

    /// `https://HOST/PATH`; anything else is a path.
    fn set_url(&mut self, url: &'a [u8]) {
        let schemes: [&[u8]; 4] = [b"https://", b"http://", b"wss://", b"ws://"];
        match schemes.iter().find_map(|scheme| url.strip_prefix(*scheme)) {
            Some(rest) => {
                let slash = memchr::memchr(b'/', rest).unwrap_or(rest.len());
                self.host = some_text(&rest[..slash]).or(self.host);
                self.path = &rest[slash..];
            }
            None => self.path = some_text(url).unwrap_or_default(),
        }
    }

    pub(super) fn finish(self) -> Result<LogLine<'a>, LogError> {
        let client = self.client.ok_or(LogError::Missing("client address"))?;
        let forwarded = self.before.map(|before| {
            let list = [before, b",", client.to_string().as_bytes()].concat();
            Cow::Owned(list)
        });
        // A path alone does not say that the method is wrong.
        let method = match self.has_method || self.path.is_empty() {
            true => self.method,
            false => NOT_LOGGED,
        };
        Ok(LogLine {
            client,
            forwarded: forwarded.or(self.forwarded.map(Cow::Borrowed)),
            at_ms: self.at_ms.ok_or(LogError::Missing("time"))?,
            method: method.into(),
            path: self.path.into(),
            status: self.status.ok_or(LogError::Missing("status"))?,
            unreadable: false,
            ends_in_user: false,
            host: self.host.map(Into::into),
            user_agent: self.user_agent.map(Into::into),
            referer: self.referer.map(Into::into),
        })
    }

    /// As [`finish`](Self::finish), of a line whose status may come later.
    pub(super) fn finish_cut(self) -> Result<LogLine<'a>, LogError> {
        let unreadable = self.status.is_none();
        let status = self.status.or(Some(0));
        let line = Self { status, ..self }.finish()?;
        Ok(LogLine { unreadable, ..line })
    }
}
