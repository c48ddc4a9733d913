//! HAProxy's HTTP log (`option httplog`, `option httpslog`), with or without what syslog puts before it:
//! `client:port [date] frontend backend/server timers status … "request"`.

use memchr::{memchr, memchr_iter, memrchr};

use super::{
    LogError, LogLine, address,
    cut::SHORTEST_CUT,
    quoted::{parse_status, split_request_of_haproxy},
    time::{self, Zone},
};

/// Fields between the date and the status: frontend, backend/server, timers.
const BEFORE_STATUS: usize = 3;

/// Parses one line without surrounding space. HAProxy encodes quotes in what clients send, so the first quote opens the
/// request; a line that is cut off within the request is one, too, as is a long one that is cut off within the headers that were
/// captured before it.
pub(super) fn parse<'a>(line: &'a [u8], zone: &Zone) -> Result<LogLine<'a>, LogError> {
    let (client, at_ms, rest) = memchr_iter(b'[', line)
        .find_map(|open| begin(line, open, zone))
        .ok_or(LogError::HaproxyBegin)?;
    let (fields, request) = match memchr(b'"', rest) {
        Some(quote) => (&rest[..quote], &rest[quote + 1..]),
        None if line.len() >= SHORTEST_CUT && memchr(b'{', rest).is_some() => (rest, &b""[..]),
        None => return Err(LogError::HaproxyRest),
    };
    let mut fields = fields
        .split(|byte| *byte == b' ')
        .filter(|field| !field.is_empty());
    let status = fields.nth(BEFORE_STATUS).ok_or(LogError::HaproxyRest)?;
    let status = parse_status(status).ok_or(LogError::HaproxyRest)?;
    let request = &request[..memchr(b'"', request).unwrap_or(request.len())];
    let (method, host, path) = split_request_of_haproxy(request);
    Ok(LogLine {
        client,
        forwarded: None,
        unreadable: false,
        ends_in_user: false,
        at_ms,
        method: method.into(),
        path: path.into(),
        status,
        host: host.map(Into::into),
        user_agent: None,
        referer: None,
    })
}

/// Client, time and what follows, if the bracket at `open` is that before the date.
fn begin<'a>(line: &'a [u8], open: usize, zone: &Zone) -> Option<(std::net::IpAddr, i64, &'a [u8])> {
    let before = line[..open].strip_suffix(b" ")?;
    let client = &before[memrchr(b' ', before).map_or(0, |space| space + 1)..];
    let client = address::parse_before_port(client)?;
    let rest = &line[open + 1..];
    let close = memchr(b']', rest)?;
    let at_ms = time::parse_any(&rest[..close], zone)?;
    Some((client, at_ms, rest[close + 1..].strip_prefix(b" ")?))
}
