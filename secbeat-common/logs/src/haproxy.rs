//! HAProxy's HTTP log (`option httplog`, `option httpslog`): `client:port [date] frontend backend/server timers status … "request"`.
//!
//! The client is the first field and the date the second: captured headers behind them may look like both. A client of a Unix socket
//! has no address.

use memchr::memchr;

use super::{
    LogError, LogLine, address,
    cut::SHORTEST_CUT,
    quoted::{parse_status, split_request_of_haproxy},
    time::{self, Zone},
    wrap::{is_haproxys_tag, without_priority},
};

/// Fields between the date and the status: frontend, backend/server, timers.
const BEFORE_STATUS: usize = 3;

/// Parses one line without surrounding space. HAProxy encodes quotes in what clients send, so the first quote opens the
/// request; a line that is cut off within the request is one, too, as is a long one that is cut off within the headers that were
/// captured before it.
pub(super) fn parse<'a>(line: &'a [u8], zone: &Zone) -> Result<LogLine<'a>, LogError> {
    let (client, at_ms, rest) = begin(without_header(line), zone).ok_or(LogError::HaproxyBegin)?;
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

/// Returns what follows a priority, and a time or a program's name before the client: `<6>2026-11-21T11:06:56.123456+01:00 ` is
/// HAProxy's own `format timed`, and `haproxy[12]: ` rsyslog's `%syslogtag%%msg%`.
fn without_header(line: &[u8]) -> &[u8] {
    let line = without_priority(line).unwrap_or(line);
    let first = &line[..memchr(b' ', line).unwrap_or(0)];
    let is_of_time = |byte: &u8| byte.is_ascii_digit() || b"-:.+TZ".contains(byte);
    let is_time = first.len() >= 19 && first[10] == b'T' && first.iter().all(is_of_time);
    let is_tag = first.ends_with(b"]:") || is_haproxys_tag(first);
    match is_time || is_tag {
        true => line[first.len()..].trim_ascii_start(),
        false => line,
    }
}

/// Client, time and what follows.
fn begin<'a>(line: &'a [u8], zone: &Zone) -> Option<(std::net::IpAddr, i64, &'a [u8])> {
    let space = memchr(b' ', line)?;
    let client = address::parse_before_port(&line[..space])?;
    let rest = line[space + 1..].strip_prefix(b"[")?;
    let close = memchr(b']', rest)?;
    let at_ms = time::parse_any(&rest[..close], zone)?;
    Some((client, at_ms, rest[close + 1..].strip_prefix(b" ")?))
}
