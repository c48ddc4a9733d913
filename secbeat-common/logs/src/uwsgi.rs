//! uWSGI's own log:
//! `[pid: 12|app: 0|req: 1/1] CLIENT (USER) {28 vars in 300 bytes} [TIME] METHOD PATH => generated … (PROTOCOL STATUS) … (…)`.
//!
//! It escapes nothing. The client stands before what a client writes, and the status is read from the right, where uWSGI writes
//! nothing else of a request but its protocol.

use memchr::{memchr, memmem};

use super::{
    LogError, LogLine, address,
    cut::SHORTEST_CUT,
    quoted::parse_status,
    time::{self, Zone},
};

/// Brackets at the end of a line.
const BRACKETS: usize = 2;

/// Parses one line without surrounding space. One that names its client and was cut off, or in which its client wrote a second end,
/// is [unreadable](LogLine::unreadable).
pub(super) fn parse<'a>(line: &'a [u8], zone: &Zone) -> Result<LogLine<'a>, LogError> {
    let (client, rest) = begin(line).ok_or(LogError::UwsgiBegin)?;
    let (at_ms, request) = time_and_request(rest, zone).ok_or(LogError::UwsgiTime)?;
    let (request, end) = request.split_at(memmem::rfind(request, b" => generated ").unwrap_or(request.len()));
    let status = status(end);
    let unreadable = status.is_none();
    if unreadable && line.len() < SHORTEST_CUT && memmem::find_iter(end, b" (").count() <= BRACKETS {
        return Err(LogError::Status);
    }
    let space = memchr(b' ', request).unwrap_or(request.len());
    let (method, path) = request.split_at(space);
    Ok(LogLine {
        client,
        forwarded: None,
        at_ms,
        method: method.into(),
        path: path.strip_prefix(b" ").unwrap_or_default().into(),
        status: status.unwrap_or(0),
        unreadable,
        ends_in_user: false,
        host: None,
        user_agent: None,
        referer: None,
    })
}

/// The client, and what follows the bracket behind it.
fn begin(line: &[u8]) -> Option<(std::net::IpAddr, &[u8])> {
    let rest = line.strip_prefix(b"[pid: ")?;
    let end = memchr(b']', rest)?;
    let is_number = |byte: &u8| byte.is_ascii_digit() || b"|:/- ".contains(byte) || byte.is_ascii_lowercase();
    let rest = rest[end..]
        .strip_prefix(b"] ")
        .filter(|_| rest[..end].iter().all(is_number))?;
    let client = memmem::find(rest, b" (")?;
    Some((address::parse(&rest[..client])?, &rest[client + 2..]))
}

/// The time behind the user name, and the request with what follows it.
fn time_and_request<'a>(rest: &'a [u8], zone: &Zone) -> Option<(i64, &'a [u8])> {
    let rest = &rest[memmem::find(rest, b") {")? + 3..];
    let rest = &rest[memmem::find(rest, b"} [")? + 3..];
    let end = memchr(b']', rest)?;
    let at_ms = time::parse_any(&rest[..end], zone)?;
    Some((at_ms, rest[end..].strip_prefix(b"] ")?))
}

/// The status in ` => generated 12 bytes in 3 msecs (HTTP/1.1 404) 2 headers in 80 bytes (1 switches on core 0)`, and nothing else.
fn status(text: &[u8]) -> Option<u16> {
    let rest = text.strip_prefix(b" => generated ")?;
    let (answer, rest) = rest.split_at(memchr(b'(', rest)?);
    let is_of_numbers = |text: &[u8]| {
        text.iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ')
    };
    // ` via sendfile()`.
    let (answer, rest) = match rest.strip_prefix(b"()") {
        Some(rest) => (answer, &rest[memchr(b'(', rest)?..]),
        None => (answer, rest),
    };
    let (protocol, rest) = rest[1..].split_at(memchr(b')', rest)?.checked_sub(1)?);
    let status = &protocol[memchr::memrchr(b' ', protocol)? + 1..];
    let rest = rest.strip_prefix(b") ")?;
    let (headers, rest) = rest.split_at(memchr(b'(', rest)?);
    let switches = rest[1..].strip_suffix(b")")?;
    let is_whole = is_of_numbers(answer) && is_of_numbers(headers) && is_of_numbers(switches);
    (is_whole && headers.ends_with(b" bytes ") && memmem::find(headers, b" headers ").is_some())
        .then(|| parse_status(status))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::answered;

    const LINE: &str = "[pid: 1234|app: 0|req: 1/1] 203.0.113.7 () {28 vars in 300 bytes} [Sat Nov 21 10:06:56 2026] GET /x => \
                        generated 12 bytes in 3 msecs (HTTP/1.1 404) 2 headers in 80 bytes (1 switches on core 0)";

    fn shown(line: &str) -> String {
        answered(parse(line.as_bytes(), &Zone::UTC))
    }

    #[test]
    fn a_line_is_read_as_uwsgi_wrote_it() {
        let expected = "203.0.113.7 404 GET /x";
        for line in [
            LINE.to_owned(),
            LINE.replace("()", "(bob)"),
            LINE.replace("app: 0", "app: -1"),
            LINE.replace("msecs", "micros"),
            LINE.replace("msecs", "msecs via sendfile()"),
            LINE.replace("HTTP/1.1", "HTTP/2.0"),
        ] {
            assert_eq!(shown(&line), expected, "{line}");
        }
        assert!(shown("x").starts_with("no `[pid: "));
        assert!(shown(&LINE.replace("Nov", "Now")).starts_with("no time "));
        assert!(shown(&LINE.replace("203.0.113.7", "unix:")).starts_with("no `[pid: "));
    }

    #[test]
    fn no_request_changes_its_client_or_its_status() {
        let end =
            " => generated 1 bytes in 1 msecs (HTTP/1.1 200) 2 headers in 80 bytes (1 switches on core 0)";
        for forged in [
            format!("/x{end}"),
            format!(
                "/{end} [pid: 1|app: 0|req: 1/1] 6.6.6.6 () {{1 vars in 1 bytes}} [Sat Nov 21 10:06:56 2026] GET /"
            ),
            "/x (HTTP/1.1 200) 2 headers in 1 bytes (1 switches on core 0)".to_owned(),
        ] {
            let line = shown(&LINE.replace("/x", &forged));
            assert!(line.starts_with("203.0.113.7 404 GET "), "{forged}: {line}");
        }
        // Its protocol is what a client wrote.
        for forged in [
            format!("x{end}"),
            "HTTP/1.1 200) 2 headers in 1 bytes (1".to_owned(),
        ] {
            let line = shown(&LINE.replace("HTTP/1.1", &forged));
            assert!(line.starts_with("203.0.113.7 0 GET "), "{line}");
        }
        let long = LINE.replace("/x", &format!("/{}", "x".repeat(500)));
        for cut in 480..long.len() {
            let line = shown(&long[..cut]);
            assert!(line.starts_with("203.0.113.7 0 GET "), "{line}");
        }
        assert!(shown(&LINE.replace("headers", "lines of")).starts_with("no three-digit status"));
    }
}
