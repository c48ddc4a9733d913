//! Envoy's default format as text:
//! `[time] "METHOD PATH PROTOCOL" status flags received sent ms ms "x-forwarded-for" "agent" "id" "authority" "upstream"`.

use memchr::memchr_iter;

use super::{
    LogError, LogLine, address,
    quoted::{parse_status, some_text, split_request},
    time::{self, Zone},
};

/// Quotes that a line has: six quoted texts.
const QUOTES: usize = 12;

/// Parses one line without surrounding space. The client is the last address of `X-Forwarded-For`. Envoy escapes no
/// quotes in this format, so that a client could end a text and begin another: a line with more than its own quotes is
/// refused.
pub(super) fn parse<'a>(line: &'a [u8], zone: &Zone) -> Result<LogLine<'a>, LogError> {
    const TIME: LogError = LogError::Time("[2026-01-24T01:34:36.743Z] first");
    let rest = line.strip_prefix(b"[").ok_or(TIME)?;
    let close = memchr::memchr(b']', rest).ok_or(TIME)?;
    let (time, rest) = (&rest[..close], &rest[close + 1..]);
    let at_ms = time::parse_any(time, zone).ok_or(TIME)?;
    let mut quotes = [0; QUOTES];
    let mut count = 0;
    for at in memchr_iter(b'"', rest) {
        *quotes.get_mut(count).ok_or(LogError::EnvoyQuotes)? = at;
        count += 1;
    }
    if count != QUOTES {
        return Err(LogError::EnvoyQuotes);
    }
    let quoted = |n: usize| &rest[quotes[2 * n] + 1..quotes[2 * n + 1]];
    let after_request = rest[quotes[1] + 1..quotes[2]].trim_ascii_start();
    let status = after_request.split(|byte| *byte == b' ').next();
    let status = status.and_then(parse_status).ok_or(LogError::Status)?;
    let (method, path) = split_request(quoted(0));
    Ok(LogLine {
        client: address::parse_last(quoted(1))?,
        forwarded: None,
        unreadable: false,
        at_ms,
        method: method.into(),
        path: path.into(),
        status,
        host: some_text(quoted(4)).map(Into::into),
        user_agent: some_text(quoted(2)).map(Into::into),
    })
}
