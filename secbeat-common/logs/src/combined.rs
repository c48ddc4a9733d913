//! The common and combined log formats of Apache and nginx, and Traefik's common log format.
//!
//! `[host] client ident user [time] "request" status bytes "referer" "user agent"`, the last two only in the combined
//! format; whatever follows is ignored.

use std::net::IpAddr;

use memchr::{memchr, memchr_iter};

use super::{
    LogError, LogLine, address,
    cut::{CutLine, Place},
    quoted::{some_text, split_request, split_status, unquote},
    time::{TIME_LEN, parse_time},
};

/// Parses one line without surrounding space. Nothing a client can send in its request, referer or user agent changes
/// the other fields, since servers escape quotes. A line that is cut off after the status still counts as a request.
///
/// # Errors
///
/// What keeps it from being a request of a known client at a known time with a known status.
#[inline]
pub(super) fn parse(line: &[u8]) -> Result<LogLine<'_>, LogError> {
    let (mut line, rest) = parse_until_status(line)?;
    line.user_agent = find_user_agent(rest).map(Into::into);
    Ok(line)
}

/// As [`parse`], without looking for a user agent.
#[inline]
pub(super) fn parse_common(line: &[u8]) -> Result<LogLine<'_>, LogError> {
    parse_until_status(line).map(|(line, _)| line)
}

/// Parses the beginning of a line whose end is not known, as far as it says whose it is.
///
/// # Errors
///
/// When it does not.
pub(super) fn parse_cut(head: &[u8]) -> Result<CutLine, LogError> {
    let Begin { client, host, rest } = split_client(head)?;
    let (at_ms, rest) = find_time(rest).ok_or(LogError::Time(
        "[10/Oct/2023:11:06:56 +0200] before the quoted request",
    ))?;
    let (request, place) = match unquote(rest) {
        Some((request, after)) => (request, Place::in_status(after)),
        None => (rest, Place::in_request(rest)),
    };
    let (method, path) = split_request(request);
    let line = LogLine {
        client,
        forwarded: None,
        unreadable: true,
        at_ms,
        method: method.into(),
        path: path.into(),
        status: 0,
        host: host.map(Into::into),
        user_agent: None,
    };
    Ok(CutLine::new(line, place))
}

#[inline]
fn parse_until_status(line: &[u8]) -> Result<(LogLine<'_>, &[u8]), LogError> {
    let Begin { client, host, rest } = split_client(line)?;
    let (at_ms, rest) = find_time(rest).ok_or(LogError::Time(
        "[10/Oct/2023:11:06:56 +0200] before the quoted request",
    ))?;
    let (request, rest) = unquote(rest).ok_or(LogError::Request)?;
    let (status, rest) = split_status(rest).ok_or(LogError::Status)?;
    let (method, path) = split_request(request);
    let line = LogLine {
        client,
        forwarded: None,
        unreadable: false,
        at_ms,
        method: method.into(),
        path: path.into(),
        status,
        host: host.map(Into::into),
        user_agent: None,
    };
    Ok((line, rest))
}

/// The client, the virtual host if one stands before it, and what follows.
struct Begin<'a> {
    client: IpAddr,
    host: Option<&'a [u8]>,
    rest: &'a [u8],
}

#[inline]
fn split_client(line: &[u8]) -> Result<Begin<'_>, LogError> {
    if let Some((client, rest)) = address::split_v4(line)
        && rest.starts_with(b" - ")
    {
        return Ok(Begin {
            client: IpAddr::V4(client),
            host: None,
            rest,
        });
    }
    let (first, rest) = split_field(line);
    if first.ends_with(b",") {
        // A list as X-Forwarded-For has it.
        let mut end = first.len();
        while line[..end].ends_with(b",") && end < line.len() {
            let (next, _) = split_field(&line[end + 1..]);
            end += 1 + next.len();
        }
        return Ok(Begin {
            client: address::parse_last(&line[..end])?,
            host: None,
            rest: &line[end..],
        });
    }
    // After the client comes the name that identd gave it, if ever; after a host, the client.
    let (second, after) = split_field(rest.strip_prefix(b" ").unwrap_or(rest));
    match address::parse(second) {
        Some(client) => Ok(Begin {
            client,
            host: some_text(first),
            rest: after,
        }),
        None => Ok(Begin {
            client: address::parse_last(first)?,
            host: None,
            rest,
        }),
    }
}

/// Splits before the first space.
fn split_field(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(memchr(b' ', text).unwrap_or(text.len()))
}

/// The time, and what follows the quote that opens the request. User names may contain spaces and brackets, but no bare
/// quote, so only the server's own time stands before one.
#[inline]
fn find_time(text: &[u8]) -> Option<(i64, &[u8])> {
    let anonymous = text.strip_prefix(b" - - [").and_then(time_and_rest);
    anonymous.or_else(|| memchr_iter(b'[', text).find_map(|open| time_and_rest(&text[open + 1..])))
}

/// What follows the opening bracket, split after the opening quote.
#[inline]
fn time_and_rest(text: &[u8]) -> Option<(i64, &[u8])> {
    let (time, rest) = text.split_at_checked(TIME_LEN)?;
    let rest = rest.strip_prefix(b"] \"")?;
    Some((parse_time(time)?, rest))
}

/// The second quoted text in ` bytes "referer" "user agent"`.
fn find_user_agent(text: &[u8]) -> Option<&[u8]> {
    let opened = |text| Some(&text[memchr(b'"', text)? + 1..]);
    let (_, rest) = unquote(opened(text)?)?;
    let (user_agent, _) = unquote(opened(rest)?)?;
    some_text(user_agent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Format;

    const AT: i64 = 1_696_928_816_000;

    fn line(rest: &str) -> String {
        format!("203.0.113.7 - - [10/Oct/2023:11:06:56 +0200] {rest}")
    }

    fn parse(line: &[u8]) -> Result<LogLine<'_>, LogError> {
        Format::COMBINED.parse(line)
    }

    fn error(line: &str) -> String {
        parse(line.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_combined_line_has_everything() {
        let line = line(r#""GET /a?b=c HTTP/1.1" 404 125 "https://example.org/" "Mozilla/5.0 (X11)""#);
        let expected = LogLine {
            client: "203.0.113.7".parse().unwrap(),
            forwarded: None,
            unreadable: false,
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
    fn a_virtual_host_may_stand_first() {
        for (first, host) in [
            ("www.example.org", Some("www.example.org")),
            ("www.example.org:443", Some("www.example.org:443")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("-", None),
        ] {
            let line = format!("{first} {}", line(r#""GET / HTTP/1.1" 200 1"#));
            let parsed = parse(line.as_bytes()).unwrap();
            assert_eq!(parsed.host.as_deref(), host.map(str::as_bytes), "{first}");
            assert_eq!(parsed.client, "203.0.113.7".parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn of_forwarded_addresses_the_last_is_the_client() {
        for clients in [
            "6.6.6.6, 203.0.113.7",
            "6.6.6.6,203.0.113.7",
            "unknown, 6.6.6.6, [2001:db8::1]:80, 203.0.113.7:4711",
        ] {
            let line = line(r#""GET / HTTP/1.1" 200 1"#).replace("203.0.113.7", clients);
            assert_eq!(
                parse(line.as_bytes()).unwrap().client,
                "203.0.113.7".parse::<IpAddr>().unwrap(),
                "{clients}"
            );
        }
        assert_eq!(error("6.6.6.6,"), "`6.6.6.6,` is no client address");
        assert_eq!(error("6.6.6.6, "), "`6.6.6.6,` is no client address");
    }

    #[test]
    fn no_answer_is_status_0() {
        for status in ["-", "000"] {
            let line = line(&format!("\"GET / HTTP/1.1\" {status} - \"-\" \"curl\""));
            let parsed = parse(line.as_bytes()).unwrap();
            assert_eq!(
                (parsed.status, parsed.user_agent.as_deref()),
                (0, Some(&b"curl"[..])),
                "{status}"
            );
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        assert_eq!(error(" \r"), "the line is empty");
        assert_eq!(
            error("www.example.org - -"),
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
            r#""GET /" -1"#,
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
