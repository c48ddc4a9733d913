//! The common and combined log formats of Apache and nginx, and Traefik's common log format.
//!
//! `client ident user [time] "request" status bytes "referer" "user agent"`, the last two only in the combined format;
//! whatever follows is ignored. `vhost-combined` has a virtual host before the client.
//!
//! The client is where the layout has it. A user name is written by the client and may look like the fields of another
//! layout; see [`Doubt`].

use std::net::IpAddr;

use memchr::{memchr, memmem, memrchr, memrchr2};

use super::{
    LogError, LogLine, address,
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
    let (mut line, rest) = parse_until_status(line, zone, doubt)?;
    line.user_agent = find_user_agent(rest).map(Into::into);
    Ok(line)
}

/// As [`parse`], without looking for a user agent.
#[inline]
pub(super) fn parse_common<'a>(line: &'a [u8], zone: &Zone, doubt: Doubt) -> Result<LogLine<'a>, LogError> {
    parse_until_status(line, zone, doubt).map(|(line, _)| line)
}

/// As [`parse`], with a virtual host and a space before the client.
pub(super) fn parse_vhost<'a>(line: &'a [u8], zone: &Zone, doubt: Doubt) -> Result<LogLine<'a>, LogError> {
    let begin = split_begin(line, zone, |before| find_client_after_host(before, doubt))?;
    let (mut line, rest) = parse_request(begin)?;
    line.user_agent = find_user_agent(rest).map(Into::into);
    Ok(line)
}

/// As [`parse_common`], of a server that escapes no quotes: the last quote ends the request.
pub(super) fn parse_unescaped<'a>(
    line: &'a [u8],
    zone: &Zone,
    doubt: Doubt,
) -> Result<LogLine<'a>, LogError> {
    let begin = split_begin(line, zone, |before| find_client(before, doubt))?;
    let close = memrchr(b'"', begin.rest).ok_or(LogError::Request)?;
    let (request, status) = (&begin.rest[..close], &begin.rest[close + 1..]);
    let (status, _) = split_status(status).ok_or(LogError::Status)?;
    Ok(new_line(begin.client, begin.at_ms, request, status))
}

#[inline]
fn parse_until_status<'a>(
    line: &'a [u8],
    zone: &Zone,
    doubt: Doubt,
) -> Result<(LogLine<'a>, &'a [u8]), LogError> {
    let begin = match split_usual(line) {
        Some(begin) => begin,
        None => split_begin(line, zone, |before| find_client(before, doubt))?,
    };
    parse_request(begin)
}

/// What stands before the request, and the request without its opening quote and what follows it.
#[derive(Clone, Copy)]
struct Begin<'a> {
    client: Client<'a>,
    at_ms: i64,
    rest: &'a [u8],
}

/// The client, the list that it was read from, and a virtual host.
#[derive(Clone, Copy)]
struct Client<'a> {
    address: IpAddr,
    forwarded: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
}

impl Client<'_> {
    const fn single(address: IpAddr) -> Self {
        Self {
            address,
            forwarded: None,
            host: None,
        }
    }
}

#[inline]
fn parse_request(begin: Begin<'_>) -> Result<(LogLine<'_>, &[u8]), LogError> {
    let Begin { client, at_ms, rest } = begin;
    let (request, rest) = unquote(rest).ok_or(LogError::Request)?;
    let (status, rest) = split_status(rest).ok_or(LogError::Status)?;
    Ok((new_line(client, at_ms, request, status), rest))
}

#[inline]
fn new_line<'a>(client: Client<'a>, at_ms: i64, request: &'a [u8], status: u16) -> LogLine<'a> {
    let (method, path) = split_request(request);
    LogLine {
        client: client.address,
        at_ms,
        method: method.into(),
        path: path.into(),
        status,
        host: client.host.map(Into::into),
        user_agent: None,
        forwarded: client.forwarded.map(Into::into),
    }
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
/// one, so the first bracket that closes before a quote is that of the server's own time.
#[inline(never)]
fn split_begin<'a>(
    line: &'a [u8],
    zone: &Zone,
    find_client: impl FnOnce(&'a [u8]) -> Result<Client<'a>, LogError>,
) -> Result<Begin<'a>, LogError> {
    const TIME: LogError = LogError::Time("[10/Oct/2023:11:06:56 +0200] before the quoted request");
    let close = memmem::find(line, b"] \"").ok_or(TIME)?;
    let open = memrchr(b'[', &line[..close]).ok_or(TIME)?;
    let at_ms = time::parse_any(&line[open + 1..close], zone).ok_or(TIME)?;
    Ok(Begin {
        client: find_client(&line[..open])?,
        at_ms,
        rest: &line[close + 3..],
    })
}

/// The client of `CLIENT IDENT USER `, or of `A, B, CLIENT - USER `, as logs have it whose first field is
/// `X-Forwarded-For`.
fn find_client(before: &[u8], doubt: Doubt) -> Result<Client<'_>, LogError> {
    let (first, rest) = split_field(before);
    let (second, user) = split_field(rest);
    let Some(address) = address::parse_with_port(first).filter(|_| !second.ends_with(b",")) else {
        return find_client_of_list(before);
    };
    // nginx, and Apache without identd, write `-`. Anything else may be a field of another layout.
    if doubt == Doubt::Yes || !matches!(second, b"-" | b"") {
        if address::parse_with_port(second).is_some() {
            return Err(LogError::TwoReadings(1, 2));
        }
        if let Some(field) = find_address(user) {
            return Err(LogError::TwoReadings(1, 3 + field));
        }
    }
    Ok(Client::single(address))
}

/// The client at the end of a list, if there is exactly one place where the list can end and no other address that `-`
/// follows, as the client of another layout: clients choose all entries but the last, and the user name.
fn find_client_of_list(before: &[u8]) -> Result<Client<'_>, LogError> {
    let ends_with_address = |end: &usize| {
        let word = memrchr2(b' ', b',', &before[..*end]).map_or(0, |at| at + 1);
        address::parse_with_port(&before[word..*end]).is_some()
    };
    let mut ends = find_overlapping(before, b" - ").filter(ends_with_address);
    let end = ends.next().ok_or(LogError::OtherLayout(1))?;
    let list = &before[..end];
    let last = count_fields(before, end);
    if let Some(other) = ends.next() {
        return Err(LogError::TwoReadings(last, count_fields(before, other)));
    }
    if let Some(field) = find_address(&before[end + 3..]) {
        return Err(LogError::TwoReadings(last, last + 2 + field));
    }
    let address = Some(list).filter(|list| address::is_list(list));
    let address = address
        .and_then(address::parse_last)
        .ok_or(LogError::OtherLayout(1))?;
    Ok(Client {
        address,
        forwarded: Some(list),
        host: None,
    })
}

/// The client of `HOST CLIENT - USER `. A host has no space in it; since nginx before 1.21.1 takes one that has, a user name
/// that reads `… ADDRESS - …` makes two readings.
fn find_client_after_host(before: &[u8], doubt: Doubt) -> Result<Client<'_>, LogError> {
    let (host, rest) = split_field(before);
    let (client, rest) = split_field(rest);
    let address = address::parse_with_port(client).ok_or(LogError::OtherLayout(2))?;
    let (ident, user) = split_field(rest);
    if ident != b"-" || host.is_empty() || user.is_empty() {
        return Err(LogError::OtherLayout(2));
    }
    let rival = match doubt {
        Doubt::No => find_address_before_dash(user),
        Doubt::Yes => find_address(user),
    };
    if let Some(field) = rival {
        return Err(LogError::TwoReadings(2, 4 + field));
    }
    Ok(Client {
        address,
        forwarded: None,
        host: some_text(host),
    })
}

/// Splits at the first space, which belongs to neither part.
fn split_field(text: &[u8]) -> (&[u8], &[u8]) {
    memchr(b' ', text).map_or((text, b""), |at| (&text[..at], &text[at + 1..]))
}

/// The place, from 0, of the first field that is or ends with an address.
fn find_address(text: &[u8]) -> Option<usize> {
    let mut fields = text.split(|byte| *byte == b' ');
    fields.position(|field| {
        let mut entries = field.split(|byte| *byte == b',');
        entries.any(|entry| address::parse_with_port(entry).is_some())
    })
}

/// As [`find_address`], of an address that `-` follows.
fn find_address_before_dash(text: &[u8]) -> Option<usize> {
    let fields: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
    fields
        .windows(2)
        .position(|fields| fields[1] == b"-" && address::parse_with_port(fields[0]).is_some())
}

/// Fields up to `end`.
fn count_fields(text: &[u8], end: usize) -> usize {
    1 + memchr::memchr_iter(b' ', &text[..end]).count()
}

/// Where a text occurs, overlaps included.
fn find_overlapping<'a>(text: &'a [u8], what: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    text.windows(what.len())
        .enumerate()
        .filter(move |(_, window)| *window == what)
        .map(|(at, _)| at)
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
            at_ms: AT,
            method: b"GET".into(),
            path: b"/a?b=c".into(),
            status: 404,
            host: None,
            user_agent: Some(b"Mozilla/5.0 (X11)".into()),
            forwarded: None,
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

    /// The client of a line that begins so, or why it has none.
    fn client(format: &str, begin: &str) -> String {
        let (name, doubt) = format
            .strip_suffix('?')
            .map_or((format, false), |name| (name, true));
        let format: Format = name.parse().unwrap();
        let format = if doubt { format.with_doubt() } else { format };
        let line = format!("{begin} [10/Oct/2023:11:06:56 +0200] \"GET / HTTP/1.1\" 404 1");
        let parsed = format.parse(line.as_bytes());
        parsed.map_or_else(|error| error.to_string(), |line| line.client.to_string())
    }

    const TWO_FIRST: &str =
        "two readings: the client may be field 1 or field 2; state a format in which it is clear";

    #[test]
    fn the_client_stands_first() {
        for begin in [
            "203.0.113.7 - -",
            "203.0.113.7:4711 - -",
            "203.0.113.7 -",
            "203.0.113.7 ident -",
            "203.0.113.7 - \"\"",
            "203.0.113.7 - a [b] c",
            "203.0.113.7 - 198.51.100.66",
            "203.0.113.7 - 198.51.100.66 - -",
            "203.0.113.7 - x, 198.51.100.66 - -",
        ] {
            assert_eq!(client("combined", begin), "203.0.113.7", "{begin}");
            assert_eq!(client("common", begin), "203.0.113.7", "{begin}");
        }
        for begin in [
            "203.0.113.7 198.51.100.66 -",
            "203.0.113.7 198.51.100.66 - -",
            "198.51.100.66:443 203.0.113.7:42918 - -",
        ] {
            assert_eq!(client("combined", begin), TWO_FIRST, "{begin}");
        }
        for begin in ["www.example.org - -", "- - -", "x 203.0.113.9 192.0.2.12 - -"] {
            assert_eq!(
                client("combined", begin),
                "the line is a request, but field 1 is no single address",
                "{begin}"
            );
        }
    }

    #[test]
    fn in_doubt_an_address_in_the_user_name_is_another_reading() {
        for (begin, field) in [
            ("198.51.100.67 - x, 203.0.113.7 - -", 4),
            ("198.51.100.66 - 203.0.113.7 - -", 3),
            ("203.0.113.9 - - 192.0.2.12 - -", 4),
            ("203.0.113.9 - 6.6.6.6,[2001:db8::1]:80", 3),
        ] {
            let expected = format!(
                "two readings: the client may be field 1 or field {field}; state a format in which it is clear"
            );
            assert_eq!(client("combined?", begin), expected, "{begin}");
        }
        assert_eq!(client("combined?", "203.0.113.7 - a b - c"), "203.0.113.7");
        // Without the `-` of nginx and Apache, the second field may be anything.
        for begin in [
            "198.51.100.68 x 203.0.113.7 - -",
            "198.51.100.68 x y, 203.0.113.7 - -",
        ] {
            assert!(client("combined", begin).starts_with("two readings"), "{begin}");
        }
    }

    #[test]
    fn of_a_list_the_last_is_the_client_if_its_end_is_certain() {
        for begin in [
            "6.6.6.6, 203.0.113.7 - -",
            "6.6.6.6,203.0.113.7 - -",
            "6.6.6.6,203.0.113.7 -",
            "unknown, 6.6.6.6, [2001:db8::1]:80, 203.0.113.7:4711 - user",
            "198.51.100.66 x, 203.0.113.7 - -",
            "a b, 203.0.113.7 - -",
            "a - b, 203.0.113.7 - -",
        ] {
            assert_eq!(client("combined", begin), "203.0.113.7", "{begin}");
        }
        for begin in [
            "x, 198.51.100.66 - y, 203.0.113.7 - -",
            "x, 203.0.113.7 - y, 198.51.100.66 - z",
            "x, 198.51.100.67 - 203.0.113.7 - -",
        ] {
            let shown = client("combined", begin);
            assert!(shown.starts_with("two readings: "), "{begin}: {shown}");
        }
        for begin in [
            "6.6.6.6, - -",
            "6.6.6.6, ",
            "x, 198.51.100.67 203.0.113.7 - -",
            "203.0.113.9, 192.0.2.12 198.51.100.4 - -",
        ] {
            let expected = "the line is a request, but field 1 is no single address";
            assert_eq!(client("combined", begin), expected, "{begin}");
        }
        let line = br#"203.0.113.66, 10.0.0.5 - - [10/Oct/2023:11:06:56 +0200] "GET / HTTP/1.1" 404 1"#;
        let parsed = parse(line).unwrap();
        assert_eq!(parsed.forwarded.as_deref(), Some(&b"203.0.113.66, 10.0.0.5"[..]));
        let beyond = parsed.client_beyond(|address| address.to_string().starts_with("10."));
        assert_eq!(beyond, Some("203.0.113.66".parse().unwrap()));
    }

    #[test]
    fn a_virtual_host_may_stand_first() {
        for (first, host) in [
            ("www.example.org", Some("www.example.org")),
            ("www.example.org:443", Some("www.example.org:443")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("-", None),
        ] {
            let line = format!("{first} {}", line(r#""GET / HTTP/1.1" 200 1 "-" "curl""#));
            let format: Format = "vhost-combined".parse().unwrap();
            let parsed = format.parse(line.as_bytes()).unwrap();
            assert_eq!(parsed.host.as_deref(), host.map(str::as_bytes), "{first}");
            assert_eq!(parsed.client, "203.0.113.7".parse::<IpAddr>().unwrap());
            assert_eq!(parsed.user_agent.as_deref(), Some(&b"curl"[..]));
        }
        assert_eq!(
            client("vhost-combined", "198.51.100.66:443 203.0.113.7:42918 - -"),
            "203.0.113.7"
        );
        assert_eq!(
            client("vhost-combined", "a 203.0.113.7 - 198.51.100.66"),
            "203.0.113.7"
        );
        for begin in [
            "203.0.113.7 - -",
            "x y 203.0.113.7 - -",
            "a 203.0.113.7 203.0.113.8 - -",
            "a 203.0.113.7 -",
        ] {
            let expected = "the line is a request, but field 2 is no single address";
            assert_eq!(client("vhost-combined", begin), expected, "{begin}");
        }
        for (format, begin) in [
            ("vhost-combined", "x 198.51.100.67 - 203.0.113.7 - -"),
            ("vhost-combined?", "a 203.0.113.7 - 198.51.100.66"),
        ] {
            assert!(client(format, begin).starts_with("two readings: "), "{begin}");
        }
    }

    #[test]
    fn lines_of_another_layout_call_for_doubt() {
        let calls = |begin: &str| {
            let line = format!("{begin} [10/Oct/2023:11:06:56 +0200] \"GET / HTTP/1.1\" 404 1");
            Format::calls_for_doubt(&parse(line.as_bytes()))
        };
        for begin in ["203.0.113.7 - -", "203.0.113.7 - x, 1.2.3.4 - -"] {
            assert!(!calls(begin), "{begin}");
        }
        for begin in [
            "6.6.6.6, 203.0.113.7 - -",
            "a.org 203.0.113.7 - -",
            "203.0.113.7 203.0.113.8 - -",
        ] {
            assert!(calls(begin), "{begin}");
        }
        assert!(!Format::calls_for_doubt(&parse(b"junk")));
    }

    #[test]
    fn times_come_in_all_shapes() {
        for (time, expected) in [
            ("10/Oct/2023:11:06:56.500 +0200", AT + 500),
            ("10/Oct/2023:09:06:56", AT),
            ("10/Oct/2023 09:06:56", AT),
            ("2023-10-10 11:06:56.5 +0200", AT + 500),
            ("Tue Oct 10 09:06:56 2023", AT),
            ("1696928816", AT),
        ] {
            let line = line("\"GET / HTTP/1.1\" 404 1").replace("10/Oct/2023:11:06:56 +0200", time);
            assert_eq!(parse(line.as_bytes()).unwrap().at_ms, expected, "{time}");
        }
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
