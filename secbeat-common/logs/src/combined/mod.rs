//! The common and combined log formats of Apache and nginx, and Traefik's common log format.
//!
//! `client ident user [time] "request" status bytes "referer" "user agent"`, the last two only in the combined format;
//! whatever follows is ignored. `vhost-combined` has a virtual host before the client.
//!
//! The client is where the layout has it. A user name is written by the client and may look like the fields of another
//! layout; see [`Doubt`]. Some servers write what clients send as it is; see [`raw`].

mod client;
mod raw;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, net::IpAddr};

use memchr::{memmem, memrchr};

use self::{
    client::{Client, find_client, find_client_after_host},
    raw::{find_status, has_raw_quotes, without_decoration},
};
pub(super) use self::{
    client::{UNIX, is_of_other_layout},
    raw::{is_traefiks, no_time},
};
use super::{
    LogError, LogLine, address,
    cut::{CutLine, Place},
    marks::first_quotes,
    quoted::{some_text, split_request, split_status, unquote},
    time::{self, TIME_LEN, Zone, parse_time},
};

/// Whether the log may have another layout than it is read in, in which a client could have chosen what is read as the
/// client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The layout is certain: a user name cannot make its line unreadable.
    #[default]
    No,
    /// A line is not understood if its user name contains an address: another layout would have the client there.
    Yes,
}

/// Parses one line without surrounding space. Nothing a client can send in its request, referer or user agent changes
/// the other fields, since servers escape quotes. A line that is cut off after the status still counts as a request.
///
/// # Errors
///
/// What keeps it from being a request of a known client at a known time with a known status.
#[inline]
pub(super) fn parse<'a>(line: &'a [u8], zone: &Zone, doubt: Doubt) -> Result<LogLine<'a>, LogError> {
    // Nothing of it is moved on the way: that takes longer than to read it.
    let usual = split_usual(line).filter(|begin| !has_raw_quotes(begin.rest));
    match usual.and_then(parse_usual) {
        Some(line) => Ok(line),
        None => parse_any(line, zone, doubt, find_headers),
    }
}

/// A line that may begin otherwise, with quotes that may be raw, and headers that `find_headers` finds.
#[inline(never)]
fn parse_any<'a>(
    line: &'a [u8],
    zone: &Zone,
    doubt: Doubt,
    find_headers: impl FnOnce(&'a [u8]) -> Headers<'a>,
) -> Result<LogLine<'a>, LogError> {
    let begin = match split_usual(line) {
        Some(begin) => begin,
        None => split_begin(line, zone, 0, |before| find_client(before, doubt))?,
    };
    match has_raw_quotes(begin.rest) {
        true => Ok(unreadable(begin)),
        false => parse_request(begin, find_headers),
    }
}

/// Returns what most lines are: with three quoted texts and no escapes.
#[inline]
fn parse_usual(begin: Begin<'_>) -> Option<LogLine<'_>> {
    let Begin { client, at_ms, rest } = begin;
    let [end, referer, referer_end, user_agent, user_agent_end] = first_quotes(rest)?;
    let (status, _) = split_status(&rest[end + 1..])?;
    let (method, path) = split_request(&rest[..end]);
    Some(LogLine {
        client: client.address,
        forwarded: client.forwarded.map(Cow::Borrowed),
        at_ms,
        method: Cow::Borrowed(method),
        path: Cow::Borrowed(path),
        status,
        unreadable: false,
        ends_in_user: false,
        host: client.host.map(Cow::Borrowed),
        user_agent: some_text(&rest[user_agent + 1..user_agent_end]).map(Cow::Borrowed),
        referer: some_text(&rest[referer + 1..referer_end]).map(Cow::Borrowed),
    })
}

/// As [`parse`], without looking for a referer and a user agent.
#[inline]
pub(super) fn parse_common<'a>(line: &'a [u8], zone: &Zone, doubt: Doubt) -> Result<LogLine<'a>, LogError> {
    let usual = split_usual(line).filter(|begin| !has_raw_quotes(begin.rest));
    match usual.and_then(parse_usual_request) {
        Some(line) => Ok(line),
        None => parse_any(line, zone, doubt, |_| (None, None)),
    }
}

/// Returns what most lines are whose headers do not count.
#[inline]
fn parse_usual_request(begin: Begin<'_>) -> Option<LogLine<'_>> {
    let Begin { client, at_ms, rest } = begin;
    let (request, after) = unquote(rest)?;
    let (status, _) = split_status(after)?;
    Some(new_line(client, at_ms, request, status))
}

/// As [`parse`], with a virtual host and a space before the client.
pub(super) fn parse_vhost<'a>(line: &'a [u8], zone: &Zone, doubt: Doubt) -> Result<LogLine<'a>, LogError> {
    let begin = split_begin(line, zone, 1, |before| find_client_after_host(before, doubt))?;
    parse_request(begin, find_headers)
}

/// As [`parse_common`], of a server that escapes no quotes: the last quote ends the request.
pub(super) fn parse_unescaped<'a>(
    line: &'a [u8],
    zone: &Zone,
    doubt: Doubt,
) -> Result<LogLine<'a>, LogError> {
    let begin = split_begin(line, zone, 0, |before| find_client(before, doubt))?;
    let close = memrchr(b'"', begin.rest).ok_or(LogError::Request)?;
    let (request, status) = (&begin.rest[..close], &begin.rest[close + 1..]);
    let (status, size) = split_status(status).ok_or(LogError::Status)?;
    // A number alone behind the last quote is what others write there, as a time or a port.
    let size = size.trim_ascii();
    let is_size = size == b"-" || !size.is_empty() && size.iter().all(u8::is_ascii_digit);
    match is_size {
        true => Ok(new_line(begin.client, begin.at_ms, request, status)),
        false => Err(LogError::Status),
    }
}

/// Parses the beginning of a [line](parse) whose end is not known, as far as it says whose it is.
///
/// # Errors
///
/// Returns an error if it does not.
pub(super) fn parse_cut(head: &[u8], zone: &Zone, doubt: Doubt) -> Result<CutLine, LogError> {
    split_begin(head, zone, 0, |before| find_client(before, doubt)).map(cut_line)
}

/// As [`parse_cut`], with a virtual host and a space before the client.
pub(super) fn parse_cut_vhost(head: &[u8], zone: &Zone, doubt: Doubt) -> Result<CutLine, LogError> {
    split_begin(head, zone, 1, |before| find_client_after_host(before, doubt)).map(cut_line)
}

/// As [`parse_cut`], of a server that escapes no quotes: nobody knows where the request ends.
pub(super) fn parse_cut_unescaped(head: &[u8], zone: &Zone, doubt: Doubt) -> Result<CutLine, LogError> {
    let begin = split_begin(head, zone, 0, |before| find_client(before, doubt))?;
    Ok(CutLine::new(unreadable(begin), Place::Anywhere))
}

/// The line, of which nothing after the opening quote of the request can be told apart.
#[cold]
fn unreadable(begin: Begin<'_>) -> LogLine<'_> {
    LogLine {
        unreadable: true,
        ..new_line(begin.client, begin.at_ms, begin.rest, 0)
    }
}

/// What stands before the request, and the request without its opening quote and what follows it.
#[derive(Clone, Copy)]
struct Begin<'a> {
    client: Client<'a>,
    at_ms: i64,
    rest: &'a [u8],
}

/// The line, whose headers `find_headers` finds in what follows the status.
#[inline]
fn parse_request<'a>(
    begin: Begin<'a>,
    find_headers: impl FnOnce(&'a [u8]) -> Headers<'a>,
) -> Result<LogLine<'a>, LogError> {
    let Begin { client, at_ms, rest } = begin;
    let (request, after) = unquote(rest).ok_or(LogError::Request)?;
    let Some((status, rest)) = split_status(after) else {
        // Where the server writes quotes as it got them, the client itself may have written the first.
        return find_status(rest)
            .map(|()| unreadable(begin))
            .ok_or(LogError::Status);
    };
    let (method, path) = split_request(request);
    let (referer, user_agent) = find_headers(rest);
    // Made where it is returned: it is too large to be moved at each step.
    Ok(LogLine {
        client: client.address,
        forwarded: client.forwarded.map(Cow::Borrowed),
        at_ms,
        method: Cow::Borrowed(method),
        path: Cow::Borrowed(path),
        status,
        unreadable: false,
        ends_in_user: false,
        host: client.host.map(Cow::Borrowed),
        user_agent: user_agent.map(Cow::Borrowed),
        referer: referer.map(Cow::Borrowed),
    })
}

#[inline]
fn new_line<'a>(client: Client<'a>, at_ms: i64, request: &'a [u8], status: u16) -> LogLine<'a> {
    let (method, path) = split_request(request);
    LogLine {
        client: client.address,
        forwarded: client.forwarded.map(Into::into),
        at_ms,
        method: method.into(),
        path: path.into(),
        status,
        unreadable: false,
        ends_in_user: false,
        host: client.host.map(Into::into),
        user_agent: None,
        referer: None,
    }
}

/// The line of which only the beginning is known, up to somewhere after the opening quote of the request.
fn cut_line(begin: Begin<'_>) -> CutLine {
    let Begin { client, at_ms, rest } = begin;
    let (request, place) = match unquote(rest) {
        Some((request, after)) => (request, Place::in_status(after)),
        None => (rest, Place::in_request(rest)),
    };
    let line = LogLine {
        unreadable: true,
        ..new_line(client, at_ms, request, 0)
    };
    CutLine::new(line, place)
}

/// Splits what most lines begin with: `203.0.113.7 - - [10/Oct/2023:11:06:56 +0200] "`.
#[inline]
fn split_usual(line: &[u8]) -> Option<Begin<'_>> {
    let (client, rest) = address::split_v4(line)?;
    let (time, rest) = rest.strip_prefix(b" - - [")?.split_at_checked(TIME_LEN)?;
    let rest = rest.strip_prefix(b"] \"")?;
    Some(Begin {
        client: Client::single(IpAddr::V4(client)),
        at_ms: parse_time(time)?,
        rest,
    })
}

/// Splits any other beginning. User names may contain spaces and brackets, but no bare quote but Apache's `""` for an empty
/// one, so the first bracket that closes before a quote is that of the server's own time. So many fields stand
/// before the client.
#[inline(never)]
fn split_begin<'a>(
    line: &'a [u8],
    zone: &Zone,
    fields_before: usize,
    find_client: impl FnOnce(&'a [u8]) -> Result<Client<'a>, LogError>,
) -> Result<Begin<'a>, LogError> {
    const TIME: LogError = LogError::Time("[10/Oct/2023:11:06:56 +0200] before the quoted request");
    let line = without_decoration(line);
    let close = memmem::find(line, b"] \"").ok_or_else(|| no_time(line, fields_before, zone, TIME))?;
    let open = memrchr(b'[', &line[..close]).ok_or(TIME)?;
    let at_ms = time::parse_any(&line[open + 1..close], zone).ok_or(TIME)?;
    Ok(Begin {
        client: find_client(&line[..open])?,
        at_ms,
        rest: &line[close + 3..],
    })
}

/// Referer and user agent.
type Headers<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// The quoted texts in ` bytes "referer" "user agent"`.
#[inline]
fn find_headers<'a>(text: &'a [u8]) -> Headers<'a> {
    // A few bytes away: a search by vectors is slower.
    let opened = |text: &'a [u8]| Some(&text[text.iter().position(|byte| *byte == b'"')? + 1..]);
    let Some(rest) = opened(text) else {
        return (None, None);
    };
    let (referer, rest) = match rest {
        [b'-', b'"', b' ', b'"', rest @ ..] => (None, Some(rest)),
        _ => match unquote(rest) {
            Some((referer, rest)) => (some_text(referer), opened(rest)),
            None => (None, None),
        },
    };
    let user_agent = rest
        .and_then(unquote)
        .and_then(|(user_agent, _)| some_text(user_agent));
    (referer, user_agent)
}
