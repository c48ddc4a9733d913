//! Servers that write what clients send as it is, and lines in quotes of their own.

use memchr::{memchr, memchr_iter, memrchr};

use super::super::{
    LogError, address,
    quoted::{ends_with_protocol, split_status},
};

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
    /// What stands before a space and a number.
    fn before_number(text: &[u8]) -> Option<&[u8]> {
        let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        text[..text.len() - digits]
            .strip_suffix(b" ")
            .filter(|_| digits > 0)
    }
    /// What stands before a space and a quoted text.
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

/// Why a line has no time: `error`, unless it ends within its user name.
#[cold]
pub(super) fn no_time(line: &[u8], error: LogError) -> LogError {
    if memchr(b'"', line).is_some() {
        return error;
    }
    let mut fields = line.split(|byte| *byte == b' ').take(3);
    let fields = [(); 3].map(|()| fields.next().unwrap_or_default());
    let is_head = |client: &[u8], ident: &[u8]| ident == b"-" && address::parse_with_port(client).is_some();
    match is_head(fields[0], fields[1]) || is_head(fields[1], fields[2]) {
        true => LogError::EndsInUser,
        false => error,
    }
}
