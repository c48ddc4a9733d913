//! Servers that write what clients send as it is, and lines in quotes of their own.

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::super::{
    LogError, address,
    quoted::{ends_with_protocol, split_status},
    time::{self, Zone},
};

/// Bytes of the shortest line that a relay of syslog cut off within the user name, as rsyslog does at 8 KiB. No user name of a
/// server that writes its line feeds has so many: it is sent in base64, in a header of 8 KiB at most.
const SHORTEST_CUT_IN_USER: usize = 7000;

/// Bytes between brackets in which a time is looked for.
const LONGEST_TIME: usize = 64;

/// Digits of a time since the epoch, in seconds.
const EPOCH_DIGITS: usize = 10;

/// Quotes of a line of Traefik behind the one that opens the request.
const TRAEFIKS_QUOTES: usize = 9;

/// Whether `rest`, what follows the opening quote of a request, is Traefik's and has more quotes than Traefik writes: it does not
/// escape those of clients, so that the first status may be what a client wrote.
#[inline]
pub(super) fn has_raw_quotes(rest: &[u8]) -> bool {
    rest.ends_with(b"ms") && has_more_quotes_than_traefik(rest)
}

#[cold]
fn has_more_quotes_than_traefik(rest: &[u8]) -> bool {
    is_traefiks(rest) && memchr_iter(b'"', rest).count() > TRAEFIKS_QUOTES
}

/// Whether a line ends as those of Traefik's common log format do: `… 1 "router@docker" "http://172.17.0.2:80" 1ms`.
pub(crate) fn is_traefiks(line: &[u8]) -> bool {
    /// Returns what stands before a space and a number.
    fn before_number(text: &[u8]) -> Option<&[u8]> {
        let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        text[..text.len() - digits]
            .strip_suffix(b" ")
            .filter(|_| digits > 0)
    }
    /// Returns what stands before a space and a quoted text.
    fn before_quoted(text: &[u8]) -> Option<&[u8]> {
        let text = text.strip_suffix(b"\"")?;
        text[..memrchr(b'"', text)?].strip_suffix(b" ")
    }
    let rest = line.strip_suffix(b"ms").and_then(before_number);
    let rest = rest.and_then(before_quoted).and_then(before_quoted);
    rest.and_then(before_number)
        .is_some_and(|rest| rest.ends_with(b"\""))
}

/// Whether, somewhere behind the opening quote of a request that has no status at its first quote, another quote ends a request
/// and has a status: the first is what a client wrote. A server that escapes quotes writes no such line, whatever its layout is,
/// since a line has one request.
#[cold]
pub(super) fn find_status(rest: &[u8]) -> Option<()> {
    let mut quotes = memchr_iter(b'"', rest);
    quotes.find_map(|quote| {
        let (request, after) = (&rest[..quote], &rest[quote + 1..]);
        (ends_with_protocol(request) && split_status(after).is_some()).then_some(())
    })
}

/// Without what OpenLiteSpeed may write before a line: a quote that ends behind it, and `["example.org"] `.
pub(super) fn without_decoration(line: &[u8]) -> &[u8] {
    match line {
        [b'[', b'"', rest @ ..] => after_host_in_brackets(rest).unwrap_or(line),
        // What another layout quotes in front has its end before the time.
        [b'"', rest @ ..] if quote_is_of_request(rest) => rest,
        _ => line,
    }
}

fn after_host_in_brackets(text: &[u8]) -> Option<&[u8]> {
    let end = memchr(b'"', text)?;
    let is_of_host = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:".contains(byte);
    let rest = text[end..].strip_prefix(b"\"] ")?;
    text[..end].iter().all(is_of_host).then_some(rest)
}

/// Whether the first quote is the one that opens the request behind the time.
fn quote_is_of_request(text: &[u8]) -> bool {
    memchr(b'"', text).is_some_and(|quote| text[..quote].ends_with(b"] "))
}

/// Returns why a line has no time: `error`, unless it ends within its user name. So many fields stand before the client.
#[cold]
pub(crate) fn no_time(line: &[u8], fields_before: usize, zone: &Zone, error: LogError) -> LogError {
    ends_in_user(line, fields_before, zone).unwrap_or(error)
}

/// Returns what a line is that is nothing but `ADDRESS - USER`, the server's own text before the time, and ends there.
fn ends_in_user(line: &[u8], fields_before: usize, zone: &Zone) -> Option<LogError> {
    if memchr(b'"', line).is_some() {
        return None;
    }
    let mut rest = line;
    for _ in 0..fields_before {
        rest = &rest[memchr(b' ', rest).filter(|len| *len > 0)? + 1..];
    }
    let (client, rest) = rest.split_at(memchr(b' ', rest)?);
    let client = address::parse(client)?;
    // The space behind an empty name is taken off.
    let user = rest.strip_prefix(b" -")?;
    let user = if user.is_empty() {
        user
    } else {
        user.strip_prefix(b" ")?
    };
    if is_other_text(user, zone) {
        return None;
    }
    // Where clients write what stands before the address, as in a list, a user name can look like the server's own text.
    let names_others = user
        .split(|byte| matches!(byte, b' ' | b','))
        .any(|word| address::parse_with_port(word).is_some());
    match (names_others, line.len() >= SHORTEST_CUT_IN_USER) {
        (false, true) => Some(LogError::CutInUser(client)),
        (true, true) => None,
        (false, false) => Some(LogError::EndsInUser(Some(client))),
        (true, false) => Some(LogError::EndsInUser(None)),
    }
}

/// Whether what follows `ADDRESS - ` is not a user name but what other programs log: a time, or a request without quotes.
fn is_other_text(user: &[u8], zone: &Zone) -> bool {
    let digits = user.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_epoch = digits >= EPOCH_DIGITS && matches!(user.get(digits), Some(b' ' | b'.'));
    is_epoch || memmem::find(user, b" HTTP/").is_some() || has_time(user, zone)
}

/// Whether a text has `[TIME] `, of which the last space may be missing at its end.
fn has_time(text: &[u8], zone: &Zone) -> bool {
    memchr_iter(b'[', text).any(|open| {
        let rest = &text[open + 1..];
        let end = memchr(b']', &rest[..rest.len().min(LONGEST_TIME)]);
        end.is_some_and(|end| {
            matches!(rest.get(end + 1), None | Some(b' ')) && time::parse_any(&rest[..end], zone).is_some()
        })
    })
}
