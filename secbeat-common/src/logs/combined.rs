//! The common and combined log formats of Apache and nginx.
//!
//! `client ident user [time] "request" status bytes "referer" "user agent"`, the last two only in the combined format;
//! whatever follows is ignored.

use std::net::IpAddr;

use memchr::{memchr, memchr_iter, memchr2_iter};

use super::{
    LogError, LogLine,
    time::{TIME_LEN, parse_time},
};

/// Longest piece of a bad line that an error quotes, in bytes.
const QUOTED: usize = 64;

/// Parses one line, without its line feed. Nothing a client can send in its request, referer or user agent changes
/// the other fields, since servers escape quotes. A line that is cut off after the status still counts as a request.
///
/// # Errors
///
/// What keeps it from being a request of a known client at a known time with a known status.
pub(super) fn parse(line: &[u8]) -> Result<LogLine<'_>, LogError> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Err(LogError::Empty);
    }
    let (client, rest) = line.split_at(memchr(b' ', line).unwrap_or(line.len()));
    let client = parse_client(client)?;
    let (at_ms, rest) = find_time(rest).ok_or(LogError::Time)?;
    let (request, rest) = unquote(rest).ok_or(LogError::Request)?;
    let (status, rest) = parse_status(rest).ok_or(LogError::Status)?;
    let (method, path) = split_request(request);
    Ok(LogLine {
        client,
        at_ms,
        method: method.into(),
        path: path.into(),
        status,
        host: None,
        user_agent: find_user_agent(rest).map(Into::into),
    })
}

fn parse_client(text: &[u8]) -> Result<IpAddr, LogError> {
    let address = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse::<IpAddr>().ok());
    address
        .map(|address| address.to_canonical())
        .ok_or_else(|| LogError::Client(text[..text.len().min(QUOTED)].escape_ascii().to_string()))
}

/// The time, and what follows the quote that opens the request. User names may contain spaces and brackets, but no bare
/// quote, so only the server's own time stands before one.
fn find_time(text: &[u8]) -> Option<(i64, &[u8])> {
    memchr_iter(b'[', text).find_map(|open| {
        let (time, rest) = text.get(open + 1..)?.split_at_checked(TIME_LEN)?;
        let rest = rest.strip_prefix(b"] \"")?;
        Some((parse_time(time)?, rest))
    })
}

/// Splits after the opening quote: what is quoted, and what follows the closing quote.
fn unquote(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut escaped = None;
    for at in memchr2_iter(b'"', b'\\', text) {
        match text[at] {
            _ if escaped == Some(at) => {}
            b'\\' => escaped = Some(at + 1),
            _ => return Some((&text[..at], &text[at + 1..])),
        }
    }
    None
}

fn parse_status(text: &[u8]) -> Option<(u16, &[u8])> {
    let (status, rest) = text.strip_prefix(b" ")?.split_at_checked(3)?;
    let ends = rest.first().is_none_or(|byte| *byte == b' ');
    let digits = status.iter().all(u8::is_ascii_digit);
    (ends && digits).then(|| {
        let status = status.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0'));
        (status, rest)
    })
}

/// Method and path; an empty method and everything if it is not `METHOD PATH PROTOCOL` or `METHOD PATH`.
fn split_request(request: &[u8]) -> (&[u8], &[u8]) {
    if request == b"-" {
        return (b"", b"");
    }
    let Some(space) = memchr(b' ', request) else {
        return (b"", request);
    };
    let (method, target) = (&request[..space], &request[space + 1..]);
    let is_token = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_');
    if method.is_empty() || !method.iter().all(is_token) {
        return (b"", request);
    }
    // A path may contain spaces, so the protocol is what follows the last one.
    match memchr::memrchr(b' ', target) {
        Some(space) if target[space + 1..].starts_with(b"HTTP/") => (method, &target[..space]),
        _ => (method, target),
    }
}

/// The second quoted text in ` bytes "referer" "user agent"`.
fn find_user_agent(text: &[u8]) -> Option<&[u8]> {
    let opened = |text| Some(&text[memchr(b'"', text)? + 1..]);
    let (_, rest) = unquote(opened(text)?)?;
    let (user_agent, _) = unquote(opened(rest)?)?;
    (!matches!(user_agent, b"" | b"-")).then_some(user_agent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AT: i64 = 1_696_928_816_000;

    fn line(rest: &str) -> String {
        format!("203.0.113.7 - - [10/Oct/2023:11:06:56 +0200] {rest}")
    }

    fn error(line: &str) -> String {
        parse(line.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_combined_line_has_everything() {
        let line = line(r#""GET /a?b=c HTTP/1.1" 404 125 "https://example.org/" "Mozilla/5.0 (X11)""#);
        let expected = LogLine {
            client: "203.0.113.7".parse().unwrap(),
            at_ms: AT,
            method: b"GET".into(),
            path: b"/a?b=c".into(),
            status: 404,
            host: None,
            user_agent: Some(b"Mozilla/5.0 (X11)".into()),
        };
        assert_eq!(parse(line.as_bytes()), Ok(expected.clone()));
        assert_eq!(
            parse(format!("{line} \"-\" 0.003\r").as_bytes()),
            Ok(expected),
            "more fields"
        );
    }

    #[test]
    fn a_common_line_has_no_user_agent() {
        for rest in [
            r#""GET / HTTP/1.0" 200 -"#,
            r#""GET / HTTP/1.0" 200"#,
            r#""GET / HTTP/1.0" 200 12 "-" "-""#,
        ] {
            let line = line(rest);
            let parsed = parse(line.as_bytes()).unwrap();
            assert_eq!((parsed.status, parsed.user_agent), (200, None), "{rest}");
        }
    }

    #[test]
    fn clients_may_be_ipv6_and_mapped_ones_are_ipv4() {
        for (client, expected) in [
            ("2001:db8::7", "2001:db8::7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
        ] {
            let line = line(r#""GET / HTTP/1.1" 200 1"#).replace("203.0.113.7", client);
            assert_eq!(
                parse(line.as_bytes()).unwrap().client,
                expected.parse::<IpAddr>().unwrap()
            );
        }
    }

    #[test]
    fn request_lines_come_in_all_shapes() {
        for (request, method, path) in [
            ("-", "", ""),
            ("", "", ""),
            (r"\x16\x03\x01", "", r"\x16\x03\x01"),
            (r"\x16 \x03 HTTP/1.1", "", r"\x16 \x03 HTTP/1.1"),
            ("GET /a b HTTP/1.1", "GET", "/a b"),
            ("GET /old", "GET", "/old"),
            (r#"GET /\"quoted\" HTTP/1.1"#, "GET", r#"/\"quoted\""#),
            (r"GET /back\\ HTTP/1.1", "GET", r"/back\\"),
            (r"GET /back\\", "GET", r"/back\\"),
        ] {
            let line = line(&format!("\"{request}\" 400 0 \"-\" \"a \\\" b\""));
            let parsed = parse(line.as_bytes()).unwrap();
            let expected = (method.as_bytes(), path.as_bytes(), 400, Some(&b"a \\\" b"[..]));
            assert_eq!(
                (
                    &*parsed.method,
                    &*parsed.path,
                    parsed.status,
                    parsed.user_agent.as_deref()
                ),
                expected,
                "{request}"
            );
        }
    }

    #[test]
    fn paths_need_not_be_utf8() {
        let line = [line("\"GET /").as_bytes(), b"\xff\xfe HTTP/1.1\" 200 1"].concat();
        assert_eq!(parse(&line).unwrap().path.as_ref(), b"/\xff\xfe");
    }

    #[test]
    fn a_user_name_cannot_fake_the_time() {
        let line = "203.0.113.7 - x [01/Jan/1970:00:00:00 +0000] [ [10/Oct/2023:11:06:56 +0200] \"GET / HTTP/1.1\" 401 0";
        assert_eq!(parse(line.as_bytes()).unwrap().at_ms, AT);
    }

    #[test]
    fn errors_say_what_is_wrong() {
        assert_eq!(error(" \r"), "the line is empty");
        assert_eq!(
            error("www.example.org 203.0.113.7 - -"),
            "`www.example.org` is no client address"
        );
        assert_eq!(
            error("203.0.113.7"),
            "no time like [10/Oct/2023:11:06:56 +0200] before the quoted request"
        );
        assert_eq!(
            error("203.0.113.7 - - [31/Feb/2023:11:06:56 +0200] \"GET / HTTP/1.1\" 200 1"),
            "no time like [10/Oct/2023:11:06:56 +0200] before the quoted request"
        );
        assert_eq!(
            error(&line(r#""GET / HTTP/1.1\" 200 1"#)),
            "the quoted request does not end"
        );
        for rest in [
            r#""GET /""#,
            r#""GET /" "#,
            r#""GET /" 20"#,
            r#""GET /" 2000 1"#,
            r#""GET /" 2x0 1"#,
            r#""GET /"200 1"#,
        ] {
            assert_eq!(
                error(&line(rest)),
                "no three-digit status after the request",
                "{rest}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_line_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn nothing_quoted_changes_the_other_fields(
            request in "[ -~]{0,40}", agent in "[ -~]{0,40}", status in 100..600u16,
        ) {
            let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let line = line(&format!("\"{}\" {status} 5 \"-\" \"{}\"", escape(&request), escape(&agent)));
            let parsed = parse(line.as_bytes()).unwrap();
            prop_assert_eq!((parsed.at_ms, parsed.status), (AT, status));
            let agent = (!matches!(agent.as_str(), "" | "-")).then(|| escape(&agent));
            prop_assert_eq!(parsed.user_agent.as_deref(), agent.as_deref().map(str::as_bytes));
        }
    }
}
