//! Lines of the combined format and its kin.

use proptest::prelude::*;

use super::*;
use crate::{Format, Formats};

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
        ends_in_user: false,
        at_ms: AT,
        method: b"GET".into(),
        path: b"/a?b=c".into(),
        status: 404,
        host: None,
        user_agent: Some(b"Mozilla/5.0 (X11)".into()),
        referer: Some(b"https://example.org/".into()),
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
        "203.0.113.7 443 - -",
        "203.0.113.7 0.003 - -",
        "203.0.113.7 HIT - bob",
    ] {
        assert_eq!(client("combined", begin), "203.0.113.7", "{begin}");
        assert_eq!(client("common", begin), "203.0.113.7", "{begin}");
    }
    for begin in [
        "203.0.113.7 198.51.100.66 -",
        "203.0.113.7 198.51.100.66 - -",
        "198.51.100.66:443 203.0.113.7:42918 - -",
        "198.51.100.66 some.name - -",
        "198.51.100.66 unix: - -",
        "203.0.113.7 www.example.org - bob",
    ] {
        assert_eq!(client("combined", begin), TWO_FIRST, "{begin}");
    }
    let stated = r#"$remote_addr $host - $remote_user [$time_local] "$request" $status $rest"#;
    assert_eq!(client(stated, "203.0.113.7 www.example.org - bob"), "203.0.113.7");
    for begin in ["www.example.org - -", "- - -", "x 203.0.113.9 - -"] {
        assert_eq!(
            client("combined", begin),
            "the line is a request, but field 1 is not a single address",
            "{begin}"
        );
    }
    assert_eq!(client("combined", "x 203.0.113.9 192.0.2.12 - -"), NOT_FIRST);
}

const NOT_FIRST: &str = "the line does not begin as its format does, with the client's address in field 1";

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
        "-, 203.0.113.7 - -",
    ] {
        assert_eq!(client("combined", begin), "203.0.113.7", "{begin}");
    }
    for begin in [
        "5.5.5.5, 198.51.100.66 - y, 203.0.113.7 - -",
        "5.5.5.5, 203.0.113.7 - y, 198.51.100.66 - z",
        "5.5.5.5, 198.51.100.67 - 203.0.113.7 - -",
    ] {
        let shown = client("combined", begin);
        assert!(shown.starts_with("two readings: "), "{begin}: {shown}");
    }
    for begin in [
        "6.6.6.6, - -",
        "6.6.6.6, ",
        "x, 198.51.100.67 203.0.113.7 - -",
        "203.0.113.9, 192.0.2.12 198.51.100.4 - -",
        "198.51.100.66 x, 203.0.113.7 - -",
        "a b, 203.0.113.7 - -",
        "a - b, 203.0.113.7 - -",
        "/x, 203.0.113.7 - -",
    ] {
        assert_eq!(client("combined", begin), NOT_FIRST, "{begin}");
    }
    let line = br#"203.0.113.66, 10.0.0.5 - - [10/Oct/2023:11:06:56 +0200] "GET / HTTP/1.1" 404 1"#;
    let mut parsed = parse(line).unwrap();
    assert_eq!(parsed.forwarded.as_deref(), Some(&b"203.0.113.66, 10.0.0.5"[..]));
    parsed
        .see_through(|address| address.to_string().starts_with("10."))
        .unwrap();
    assert_eq!(parsed.client.to_string(), "203.0.113.66");
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
    assert_eq!(
        client("vhost-combined", "203.0.113.7 - -"),
        "the line is a request, but field 2 is not a single address"
    );
    for begin in [
        "x y 203.0.113.7 - -",
        "a 203.0.113.7 203.0.113.8 - -",
        "a 203.0.113.7 -",
        "/a 203.0.113.7 - -",
    ] {
        let expected = NOT_FIRST.replace('1', "2");
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

/// nginx's, Apache's, Django's and gunicorn's lines beside those of the access log, into which clients write paths and names.
const BROUGHT_ABOUT: [&str; 9] = [
    r#"2026/11/30 14:03:39 [error] 2#2: *1 open() "/html/,6.6.6.6 - - [30/Nov/2026:14:03:39 +0000] "GET /x HTTP/1.1" 404 1 "" failed (2: No such file or directory), client: 203.0.113.7, server: , request: "GET /x HTTP/1.1", host: "a""#,
    r#"2026/11/30 14:08:35 [error] 2#2: *7 user ",6.6.6.6 - - [1796047715] "GET /x HTTP/1.1" 404 1 "" was not found in "/ht", client: 203.0.113.7, server: , request: "GET /p/ HTTP/1.1", host: "a""#,
    r#"2026/11/30 14:00:00 [error] 30#30: *1 open() "/usr/share/nginx/html/[30/Nov/2026:14:00:00 +0000] "x" failed (2: No such file or directory), client: 203.0.113.7, server: localhost, request: "GET /x HTTP/1.1", host: "a""#,
    r#"[Mon Nov 30 14:10:52.479679 2026] [authz_core:error] [pid 3:tid 3] [client 203.0.113.7:49398] AH01630: client denied by server configuration: /html/deny/,6.6.6.6 - - [30/Nov/2026:14:10:52 +0000] "GET /x HTTP/1.1" 404 1 ""#,
    r#"Not Found: /,6.6.6.6 - - [30/Nov/2026:14:10:52 +0000] "GET /x HTTP/1.1" 404 1 ""#,
    r#"Not Found: /a - - [30/Nov/2026:14:10:52 +0000] "GET /x HTTP/1.1" 404 1 ""#,
    r#"Invalid HTTP request line: 'x,6.6.6.6 - - [30/Nov/2026:14:10:52 +0000] "GET /x HTTP/1.1" 404 1 "'"#,
    r#"INFO - /[30/Nov/2026:14:10:52 +0000] "GET /x HTTP/1.1" 404 1 ""#,
    r#"INFO 203.0.113.7 /x 6.6.6.6 - - [30/Nov/2026:14:10:52 +0000] "GET /x HTTP/1.1" 404 1 ""#,
];

#[test]
fn lines_of_other_kinds_blame_nobody_and_call_for_no_doubt() {
    let pattern = r#"$remote_addr - $remote_user [$time_local] "$request" $status $rest"#;
    for name in ["combined", "common", "ingress-nginx", "vhost-combined", pattern] {
        let format: Format = name.parse().unwrap();
        for line in BROUGHT_ABOUT {
            let cri = format!("2026-11-30T14:03:39.1Z stderr F {line}");
            let syslog = format!("Nov 30 14:03:39 web1 nginx: {line}");
            for line in [line, &cri, &syslog] {
                for format in [format.clone(), format.clone().with_doubt()] {
                    let parsed = format.parse(line.as_bytes());
                    assert!(parsed.is_err(), "{name} of {line}: {parsed:?}");
                    assert!(!Format::calls_for_doubt(&parsed), "{name} of {line}: {parsed:?}");
                }
            }
        }
    }
    let user =
        r#"203.0.113.7 - 6.6.6.6 [30/Nov/2026:14:00:01 +0000] "GET /wp HTTP/1.1" 404 153 "-" "curl/8""#;
    let mut formats = Formats::from(Format::COMBINED);
    for line in BROUGHT_ABOUT {
        let parsed = formats.parse(line.as_bytes());
        formats.doubt_if_called_for(&parsed);
    }
    assert_eq!(
        formats.parse(user.as_bytes()).unwrap().client.to_string(),
        "203.0.113.7"
    );
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

    #[test]
    fn a_usual_line_is_read_as_any_other(
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), Just(b'-')]), 0..5),
        len in any::<prop::sample::Index>(),
    ) {
        let mut line = br#"203.0.113.7 - - [10/Oct/2023:11:06:56 +0200] "GET /a?b HTTP/1.1" 404 12 "https://a.example/" "Mozilla/5.0 (X11)" "-""#.to_vec();
        for (at, byte) in changes {
            *at.get_mut(&mut line) = byte;
        }
        line.truncate(line.len() - len.index(line.len()) / 3);
        let begin = split_usual(&line);
        if let Some(begin) = begin && let Some(usual) = parse_usual(begin) {
            prop_assert_eq!(Ok(usual), parse_request(begin, find_headers));
        }
    }
}
