//! A part of a layout that ends at a quote, at a tab or at the line's end.

use std::net::IpAddr;

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::{
    super::{
        LogError, address,
        combined::{Doubt, UNIX},
        quoted::parse_status,
        time::{self, Zone},
    },
    Quotes,
    field::{Field, Kind, Role},
    values::Values,
};

/// Digits that a time since the epoch has, so that a year is none.
const EPOCH_DIGITS: usize = 9;

/// A field and the literal text that follows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) field: Field,
    pub(super) then: Vec<u8>,
}

/// Fields between two quotes, tabs or ends of the line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Segment {
    /// Where it begins, for errors.
    pub(super) begins_after: String,
    /// What stands before the first field.
    pub(super) lead: Vec<u8>,
    pub(super) fields: Vec<Placed>,
    /// The quote or tab that ends it; `None` if the line does.
    pub(super) close: Option<u8>,
    /// Fields from the left before the first that a client may write.
    pub(super) left: usize,
    /// The place of the first field that is read from the right.
    pub(super) right: usize,
    /// Whether a host that is thought to have no space stands before the client.
    pub(super) after_host: bool,
    /// What the server does with a quote in its fields, if that is not what it does in others.
    pub(super) quotes: Option<Quotes>,
}

impl Segment {
    pub(super) const fn close(&self) -> Option<u8> {
        self.close
    }

    /// Whether a text of the layout, or a field of the server's own, stands first.
    pub(super) fn begins_with_server(&self) -> bool {
        let is_own = |placed: &Placed| !placed.field.kind.is_written_by_clients();
        !self.lead.is_empty() || self.fields.first().is_none_or(is_own)
    }

    pub(super) fn closes_with(&self, byte: u8) -> bool {
        self.close == Some(byte)
    }

    /// Bytes at the beginning of a text that are a time of two fields, whatever stands between them.
    pub(super) fn time_len(&self, text: &[u8], zone: &Zone) -> usize {
        let begins = self.lead.is_empty()
            && self
                .fields
                .first()
                .is_some_and(|placed| placed.field.kind == Kind::Time);
        let len = begins.then(|| end_of(Kind::Time, text, zone)).flatten();
        len.unwrap_or(0)
    }

    /// Fields before the client, if it begins with these, `ADDRESS - USER` and `[TIME] `.
    pub(super) fn fields_before_client_and_user(&self) -> Option<usize> {
        let place = |role: Role| {
            let mut fields = self.fields.iter();
            fields.position(|placed| placed.field.role == role)
        };
        let (client, time) = (place(Role::Client)?, place(Role::Time)?);
        let between = self.fields.get(client + 1..time)?;
        let is_free = |placed: &Placed| placed.field.kind == Kind::Free;
        let has_ident = match self.fields[client].then.as_slice() {
            b" - " => true,
            b" " => between.len() > 1 && is_free(&between[0]),
            _ => false,
        };
        let has_brackets = between.last()?.then.ends_with(b"[") && self.fields[time].then.starts_with(b"] ");
        let is_first = self.lead.is_empty() && self.fields[..client].iter().all(|placed| placed.then == b" ");
        (has_ident && has_brackets && is_first && between.iter().any(is_free)).then_some(client)
    }

    pub(super) fn not_closed(&self) -> LogError {
        let close = self.close.unwrap_or(b'"');
        LogError::Literal {
            literal: close.escape_ascii().to_string(),
            after: self.name_before(self.fields.len()),
        }
    }

    /// Reads a part of a line.
    pub(super) fn read<'a>(
        &self,
        text: &'a [u8],
        doubt: Doubt,
        values: &mut Values<'a, '_>,
    ) -> Result<(), LogError> {
        let mut rest = self.read_begin(text, doubt, values)?;
        if self.left == self.fields.len() {
            let is_whole = self.close.is_none() || rest.is_empty();
            return is_whole.then_some(()).ok_or_else(|| self.not_closed());
        }
        for at in (self.right..self.fields.len()).rev() {
            let (before, value) = self.read_right(at, rest, values.zone())?;
            rest = before;
            values.set(self.fields[at].field.role, value)?;
        }
        self.read_free(self.left..self.right, rest, values)
    }

    /// Reads what no client can move from the left; returns what follows it.
    pub(super) fn read_begin<'a>(
        &self,
        text: &'a [u8],
        doubt: Doubt,
        values: &mut Values<'a, '_>,
    ) -> Result<&'a [u8], LogError> {
        let mut rest = text
            .strip_prefix(&*self.lead)
            .ok_or_else(|| self.missing(&self.lead, 0))?;
        for at in 0..self.left {
            let before = rest;
            let (value, after) = self.read_left(at, rest, values.zone()).ok_or_else(|| {
                let is_client = self.fields[at].field.role == Role::Client;
                if is_client && !self.starts_with_address(at, rest) {
                    LogError::Field(count_fields(text, before))
                } else {
                    self.missing(&self.fields[at].then, at + 1)
                }
            })?;
            rest = after;
            values.set(self.fields[at].field.role, value)?;
            if self.fields[at].field.role == Role::Client {
                self.check_rivals(at, text, before, rest, doubt)?;
            }
        }
        Ok(rest)
    }

    /// The literal before a field.
    fn literal_before(&self, at: usize) -> &[u8] {
        match at.checked_sub(1) {
            Some(before) => &self.fields[before].then,
            None => &self.lead,
        }
    }

    fn name_before(&self, at: usize) -> String {
        match at.checked_sub(1) {
            Some(before) => format!("`{}`", self.fields[before].field.name),
            None => self.begins_after.clone(),
        }
    }

    fn missing(&self, literal: &[u8], at: usize) -> LogError {
        LogError::Literal {
            literal: literal.escape_ascii().to_string(),
            after: self.name_before(at),
        }
    }

    fn starts_with_address(&self, at: usize, text: &[u8]) -> bool {
        let end = memmem::find(text, &self.fields[at].then).unwrap_or(text.len());
        address::parse_with_port(&text[..end]).is_some()
    }

    /// A field at the beginning of a text, and what follows its literal.
    fn read_left<'a>(&self, at: usize, text: &'a [u8], zone: &Zone) -> Option<(&'a [u8], &'a [u8])> {
        let Placed { field, then } = &self.fields[at];
        let is_last = at + 1 == self.fields.len();
        if is_last && then.is_empty() {
            // The only field of its part may be a list.
            let is_whole = at == 0 && field.kind == Kind::Address && self.close.is_some();
            let end = if is_whole {
                text.len()
            } else {
                end_of(field.kind, text, zone)?
            };
            return Some(text.split_at(end));
        }
        let end = match field.kind {
            Kind::Address => address_end(text, then, address::parse_with_port)?,
            Kind::BareAddress => address_end(text, then, address::parse)?,
            Kind::Time => time::find_end(text, then, zone)?.1,
            Kind::Upstreams => end_of(field.kind, text, zone)?,
            _ => memmem::find(text, then)?,
        };
        let (value, rest) = text.split_at(end);
        let rest = rest.strip_prefix(&**then)?;
        let is_one = field.kind == Kind::Time || field.kind == Kind::Upstreams || !value.contains(&b' ');
        (is_one && field.kind.may_be(value)).then_some((value, rest))
    }

    /// Returns what stands before a field and its literal at the end of a text, and the field.
    fn read_right<'a>(
        &self,
        at: usize,
        text: &'a [u8],
        zone: &Zone,
    ) -> Result<(&'a [u8], &'a [u8]), LogError> {
        let Placed { field, then } = &self.fields[at];
        let missing = || self.missing(then, at + 1);
        let text = text.strip_suffix(&**then).ok_or_else(missing)?;
        let before = self.literal_before(at);
        let mut end = text.len();
        while let Some(start) = memmem::rfind(&text[..end], before) {
            let value = &text[start + before.len()..];
            if is_a(field.kind, value, zone) {
                return Ok((&text[..start + before.len()], value));
            }
            end = (start + before.len()).saturating_sub(1);
        }
        Err(self.missing(before, at))
    }

    /// Fields that a client may write, and a time among them.
    fn read_free<'a>(
        &self,
        fields: std::ops::Range<usize>,
        text: &'a [u8],
        values: &mut Values<'a, '_>,
    ) -> Result<(), LogError> {
        let mut times = fields
            .clone()
            .filter(|at| self.fields[*at].field.role == Role::Time);
        if let Some(at) = times.next() {
            for TimeMatch { before, value, after } in self.find_times(at, text, values.zone()) {
                if self.read_free(fields.start..at, before, values).is_ok()
                    && self.read_free(at + 1..fields.end, after, values).is_ok()
                {
                    return values.set(Role::Time, value);
                }
            }
            return Err(self.missing(&self.fields[at].then, at + 1));
        }
        let mut rest = text;
        let mut at = fields.start;
        while at < fields.end {
            // Fields with nothing between them are read together.
            let last = (at..fields.end - 1).find(|at| !self.fields[*at].then.is_empty());
            let last = last.unwrap_or(fields.end - 1);
            let then = &self.fields[last].then;
            let missing = || self.missing(then, last + 1);
            let value;
            if last + 1 < fields.end {
                let end = memmem::find(rest, then).ok_or_else(missing)?;
                (value, rest) = (&rest[..end], &rest[end + then.len()..]);
            } else {
                let stripped = rest.strip_suffix(&**then);
                value = stripped
                    .or_else(|| self.close.is_none().then_some(rest))
                    .ok_or_else(missing)?;
            }
            self.set_together(at..last + 1, value, values)?;
            at = last + 1;
        }
        Ok(())
    }

    /// Of fields with nothing between them, the first has everything; but a host ends where a path begins.
    fn set_together<'a>(
        &self,
        mut fields: std::ops::Range<usize>,
        text: &'a [u8],
        values: &mut Values<'a, '_>,
    ) -> Result<(), LogError> {
        let first = self.fields[fields.start].field.role;
        let mut value = text;
        if first == Role::Host && fields.len() > 1 {
            let (host, path) = text.split_at(memchr(b'/', text).unwrap_or(text.len()));
            values.set(first, host)?;
            fields.start += 1;
            value = path;
        }
        values.set(self.fields[fields.start].field.role, value)
    }

    /// The times in a text that the literals around the field surround, the latest first: clients may write earlier ones and
    /// later ones into the fields around it, and a later one hides nothing.
    fn find_times<'a>(&self, at: usize, text: &'a [u8], zone: &Zone) -> impl Iterator<Item = TimeMatch<'a>> {
        let (literal, then) = (self.literal_before(at), &self.fields[at].then);
        let found = memmem::find_iter(text, literal).filter_map(|found| {
            let start = found + literal.len();
            let (at_ms, len) = time::find_end(&text[start..], then, zone)?;
            let found = TimeMatch {
                before: &text[..start],
                value: &text[start..start + len],
                after: &text[start + len + then.len()..],
            };
            Some((at_ms, found))
        });
        let mut all: Vec<(i64, TimeMatch<'a>)> = found.collect();
        all.sort_by_key(|(at_ms, _)| std::cmp::Reverse(*at_ms));
        all.into_iter().map(|(_, found)| found)
    }

    /// Refuses a line in which another layout would have another client.
    fn check_rivals(
        &self,
        at: usize,
        text: &[u8],
        client: &[u8],
        rest: &[u8],
        doubt: Doubt,
    ) -> Result<(), LogError> {
        if !self.after_host && doubt == Doubt::No {
            return Ok(());
        }
        let free = &self.fields[at + 1..];
        let is_written = free
            .iter()
            .any(|placed| placed.field.kind == Kind::Free && placed.field.role != Role::Host);
        if !is_written {
            return Ok(());
        }
        let has_host = self
            .fields
            .get(at + 1)
            .is_some_and(|next| next.field.role == Role::Host);
        if doubt == Doubt::Yes && has_host && rest.starts_with(UNIX) {
            // The first is a host that a client wrote.
            let field = count_fields(text, client);
            return Err(LogError::TwoReadings(field, field + 1));
        }
        let starts = std::iter::once(0).chain(memchr_iter(b' ', rest).map(|space| space + 1));
        for start in starts {
            let word = &rest[start..];
            let is_exact = self.after_host
                && address_end(word, &self.fields[at].then, address::parse_with_port).is_some();
            let end = memchr(b' ', word).unwrap_or(word.len());
            let mut entries = word[..end].split(|byte| *byte == b',');
            let is_any = doubt == Doubt::Yes
                && entries.any(|entry| address::parse_with_port(entry).is_some())
                && !self.is_host(at, rest, start);
            if is_exact || is_any {
                let fields = (count_fields(text, client), count_fields(text, word));
                return Err(match doubt {
                    Doubt::Yes => LogError::TwoReadings(fields.0, fields.1),
                    Doubt::No => LogError::UserReadsTwice(fields.0, fields.1),
                });
            }
        }
        Ok(())
    }

    /// Whether a text begins in the host that follows the client.
    fn is_host(&self, at: usize, rest: &[u8], start: usize) -> bool {
        let Some(Placed { field, then }) = self.fields.get(at + 1) else {
            return false;
        };
        let end = memmem::find(rest, then).unwrap_or(rest.len());
        field.role == Role::Host && start <= end
    }
}

/// A time, and what stands around it.
struct TimeMatch<'a> {
    before: &'a [u8],
    value: &'a [u8],
    after: &'a [u8],
}

/// Returns where a field's value at the beginning of a text ends.
fn end_of(kind: Kind, text: &[u8], zone: &Zone) -> Option<usize> {
    match kind {
        Kind::Time => {
            let (_, rest) = time::split_time(text, zone)?;
            Some(text.len() - rest.len())
        }
        Kind::Upstreams => {
            let token = |from: usize| {
                let rest = &text[from..];
                let end = rest.iter().position(|byte| matches!(byte, b' ' | b','));
                from + end.unwrap_or(rest.len())
            };
            let mut end = token(0);
            loop {
                let rest = &text[end..];
                let separator = [&b", "[..], b" : "]
                    .into_iter()
                    .find(|between| rest.starts_with(between));
                match separator {
                    Some(separator) => end = token(end + separator.len()),
                    None => return Some(end),
                }
            }
        }
        _ => Some(memchr(b' ', text).unwrap_or(text.len())),
    }
}

/// Returns where an address at the beginning of a text ends, if `then` follows it.
fn address_end(text: &[u8], then: &[u8], parse: fn(&[u8]) -> Option<IpAddr>) -> Option<usize> {
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':' | b'[' | b']' | b'%');
    let run = text.iter().position(|byte| !is_part(byte)).unwrap_or(text.len());
    (1..=run)
        .rev()
        .find(|end| text[*end..].starts_with(then) && parse(&text[..*end]).is_some())
}

/// Whether a whole text is a value of that kind.
fn is_a(kind: Kind, value: &[u8], zone: &Zone) -> bool {
    match kind {
        Kind::Address => address::parse_with_port(value).is_some(),
        Kind::BareAddress => address::parse(value).is_some(),
        Kind::Status => parse_status(value).is_some(),
        Kind::Time => {
            let is_year = value.len() < EPOCH_DIGITS && value.iter().all(u8::is_ascii_digit);
            !is_year && time::parse_any(value, zone).is_some()
        }
        Kind::Upstreams => end_of(kind, value, zone) == Some(value.len()),
        _ => memrchr(b' ', value).is_none() && kind.may_be(value),
    }
}

/// The number of the field that begins with `part`, which lies in `text`.
fn count_fields(text: &[u8], part: &[u8]) -> usize {
    let end = text.len() - part.len().min(text.len());
    1 + memchr_iter(b' ', &text[..end]).count()
}
