//! Servers that write what clients send as it is: a request frames nobody, and hides nobody.

use super::{Format, named, shown, understood};
use crate::{Caution, Detection, Formats, OpenLines, Piece};

const TIME: &str = "[21/Nov/2026:11:06:56 +0100]";
const SHOWN: &str = "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=– agent=–";

/// Client and status of each line of a log, or why it has none.
fn read(format: &str, log: &str) -> Vec<String> {
    let formats = Formats::from(named(format));
    let (mut open, mut ahead) = (OpenLines::default(), OpenLines::default());
    log.lines()
        .map(|line| {
            let piece = Piece::Line(line.as_bytes());
            let parsed = formats.read(piece, &mut open).unwrap();
            let parsed = parsed.map(crate::LogLine::into_owned);
            assert_eq!(formats.read_apart(piece, &mut ahead), Some(parsed.clone()));
            assert!(open.is_as(&ahead) && ahead.is_as(&open.settled()));
            match parsed {
                Ok(line) if line.unreadable => format!("unreadable {}", line.client),
                Ok(line) => format!("{} {}", line.client, line.status),
                Err(error) => error.to_string().split(&[':', ',']).next().unwrap().to_owned(),
            }
        })
        .collect()
}

const ENDS: &str = "the line ends within its user name";
const BEHIND: &str = "a line before it ends within what a client wrote";

/// gunicorn and Traefik write the user name of a request as it was sent.
#[test]
fn nobody_writes_lines_of_others_into_a_user_name() {
    let honest = format!(r#"203.0.113.8 - - {TIME} "GET /x HTTP/1.1" 404 1 "-" "-""#);
    let forged = honest.replace("203.0.113.8 - -", "6.6.6.6 - x");
    for head in [
        "203.0.113.7 - ".to_owned(),
        "203.0.113.7 - x".to_owned(),
        "203.0.113.7 - x [a".to_owned(),
        format!(r#"203.0.113.7 - x {TIME} "GET /"#),
    ] {
        let ends = if head.contains('"') {
            "the quoted request does not end"
        } else {
            "unreadable 203.0.113.7"
        };
        let log = format!("{honest}\n{head}\n{forged}\n{forged}\n{honest}");
        for format in ["combined", "common"] {
            assert_eq!(
                read(format, &log),
                ["203.0.113.8 404", ends, BEHIND, BEHIND, BEHIND],
                "{head}"
            );
        }
    }
    // In wrappers, too, and behind a host.
    let docker = |line: &str| {
        serde_json::json!({"log": format!("{line}\n"), "stream": "stdout", "time": "2026-11-21T10:06:56.2Z"})
            .to_string()
    };
    let log = [docker("203.0.113.7 - x"), docker(&forged)].join("\n");
    assert_eq!(read("combined", &log), [ENDS, BEHIND]);
    let log = format!("a.org 203.0.113.7 - x\na.org {forged}");
    assert_eq!(read("vhost-combined", &log), [ENDS, BEHIND]);
    // A header is not longer than that.
    let honest_lines = vec![honest.as_str(); 200].join("\n");
    let all = read("combined", &format!("203.0.113.7 - \n{forged}\n{honest_lines}"));
    let refused = all.iter().filter(|line| *line == BEHIND).count();
    assert!((90..110).contains(&refused), "{refused}");
    assert_eq!(all.last().unwrap(), "203.0.113.8 404");
}

#[test]
fn who_ends_lines_in_its_user_name_is_blamed_for_it_and_nobody_else_is() {
    let honest = format!(r#"203.0.113.8 - - {TIME} "GET /x HTTP/1.1" 404 1 "-" "-""#);
    let head = "203.0.113.7 - x";
    // What is behind one may be what its client wrote.
    let log = format!("{honest}\n{head}\n6.6.6.6 - x\n{honest}");
    let expected = ["203.0.113.8 404", "unreadable 203.0.113.7", ENDS, BEHIND];
    assert_eq!(read("combined", &log), expected);
    // In a log that begins with lists, the first address is what a client wrote.
    let log = format!("{honest}\n6.6.6.6 - x, 203.0.113.7 - y\n{honest}");
    assert_eq!(read("combined", &log), ["203.0.113.8 404", ENDS, BEHIND]);
    let format = Formats::from(Format::COMBINED);
    let mut open = OpenLines::default();
    assert!(
        format
            .read(Piece::Line(honest.as_bytes()), &mut open)
            .unwrap()
            .is_ok()
    );
    let parsed = format.read(Piece::Line(head.as_bytes()), &mut open).unwrap();
    assert_eq!(
        Caution::of_line(head.as_bytes(), &parsed),
        Some(Caution::LineFeeds)
    );
    assert!(Format::calls_for_doubt(&parsed));
    assert_eq!(parsed.unwrap().at_ms, 1_795_255_616_000);
    let error = Format::COMBINED.parse(head.as_bytes()).unwrap_err();
    assert_eq!(error.of_client(7).unwrap().at_ms, 7);
}

/// rsyslog ends lines at 8 KiB.
#[test]
fn a_long_line_that_ends_in_its_user_name_was_cut_off() {
    let honest = format!(r#"203.0.113.8 - - {TIME} "GET /x HTTP/1.1" 404 1 "-" "-""#);
    let cut = format!("203.0.113.7 - {}", "x".repeat(7000));
    let expected = ["203.0.113.8 404", "unreadable 203.0.113.7", "203.0.113.8 404"];
    assert_eq!(read("combined", &format!("{honest}\n{cut}\n{honest}")), expected);
    let syslog = |line: &str| format!("<190>Nov 21 11:06:56 web1 nginx: {line}");
    let log = [&honest, &cut, &honest].map(|line| syslog(line)).join("\n");
    assert_eq!(read("combined", &log), expected);
    // There is no time for it.
    let expected = ["the line was cut off within its user name", "203.0.113.8 404"];
    assert_eq!(read("combined", &format!("{cut}\n{honest}")), expected);
}

#[test]
fn a_wrapper_is_no_part_of_what_a_client_wrote() {
    let forged = format!(r#"6.6.6.6 - x {TIME} "GET /\"x HTTP/1.1" 404 1 "-" "-""#);
    let refused = |wrapped: &dyn Fn(&str) -> String| {
        let mut lines = vec![wrapped("203.0.113.7 - x")];
        lines.resize(300, wrapped(&forged));
        let all = read("combined", &lines.join("\n"));
        assert_eq!(all.last().unwrap(), "6.6.6.6 404");
        all.iter().filter(|line| *line == BEHIND).count()
    };
    let expected = refused(&str::to_owned);
    assert_eq!(expected, (8 * 1024_usize).div_ceil(forged.len() + 1));
    let docker = refused(&|line: &str| {
        serde_json::json!({"log": format!("{line}\n"), "stream": "stdout", "time": "2026-11-21T10:06:56.2Z"})
            .to_string()
    });
    let cri = refused(&|line: &str| format!("2026-11-21T10:06:56.1Z stdout F {line}"));
    let syslog = refused(&|line: &str| format!("<190>Nov 21 11:06:56 web1 nginx: {line}"));
    assert_eq!([docker, cri, syslog], [expected; 3]);
}

#[test]
fn a_pattern_knows_a_line_that_ends_in_its_user_name() {
    let honest = format!(r#"203.0.113.8 - - {TIME} "GET /x HTTP/1.1" 404 1 "-" "-""#);
    let forged = honest.replace("203.0.113.8 - -", "6.6.6.6 - x");
    for (format, host) in [
        (
            r#"$remote_addr - $remote_user [$time_local] "$request" $status"#,
            "",
        ),
        (r#"%h %l %u %t "%r" %>s"#, ""),
        (
            r#"$host $remote_addr - $remote_user [$time_local] "$request" $status"#,
            "a.org ",
        ),
    ] {
        for head in ["203.0.113.7 -", "203.0.113.7 - x", "203.0.113.7 - x [a"] {
            let lines = [honest.as_str(), head, forged.as_str()];
            let log = lines.map(|line| format!("{host}{line}")).join("\n");
            let expected = ["203.0.113.8 404", "unreadable 203.0.113.7", BEHIND];
            assert_eq!(read(format, &log), expected, "{format} of {head}");
        }
    }
    // Without a user name, or with a time of another shape.
    for format in [
        r#"$remote_addr $host [$time_local] "$request" $status"#,
        r#"$remote_addr - $remote_user $msec "$request" $status"#,
    ] {
        let error = named(format).parse(b"203.0.113.7 - x").unwrap_err();
        assert!(error.to_string().contains("expected after"), "{format}: {error}");
    }
}

/// Python's http.server writes an error before the request's own line.
#[test]
fn what_is_no_user_name_hides_nothing() {
    for format in ["python-http-server", "combined"] {
        let log = "127.0.0.1 - - [30/Nov/2026 08:11:42] code 404, message File not found\n\
                   127.0.0.1 - - [30/Nov/2026 08:11:42] \"GET /wp-login.php HTTP/1.1\" 404 -";
        let expected = ["no time like [10/Oct/2023", "127.0.0.1 404"];
        assert_eq!(read(format, log), expected, "{format}");
    }
    for line in [
        "::1 - GET /x HTTP/1.1 404 12 - 1.2 ms",
        "10.0.0.1:8080 - listening",
        "203.0.113.7 - 1795255616750 - GET /x 404",
        "a 203.0.113.7 - x",
        "203.0.113.7 -x",
        "203.0.113.7 - - [21/Nov/2026:11:06:56 +0100]",
    ] {
        let expected = "no time like [10/Oct/2023";
        assert_eq!(read("combined", line), [expected], "{line}");
    }
    assert_eq!(
        read("vhost-combined", "203.0.113.7 - x"),
        ["no time like [10/Oct/2023"]
    );
}

#[test]
fn a_log_in_which_a_line_ends_in_its_user_name_is_in_doubt() {
    assert!(Format::calls_for_doubt(
        &Format::COMBINED.parse(b"203.0.113.7 - x")
    ));
    for line in [
        "203.0.113.7",
        "203.0.113.7 GET /x",
        "x - y",
        r#"203.0.113.7 - "x""#,
    ] {
        assert_eq!(read("combined", line), ["no time like [10/Oct/2023"], "{line}");
    }
}

/// aiohttp, and Traefik's common log format.
#[test]
fn a_quote_in_the_request_hides_nobody() {
    for line in [
        format!(r#"203.0.113.7 {TIME} "GET /x" HTTP/1.1" 404 137 "-" "curl""#),
        format!(r#"203.0.113.7 - - {TIME} "POST /wp-login.php?" HTTP/1.1" 401 17"#),
        format!(r#"203.0.113.7 - - {TIME} "POST /?" HTTP/1.1" x HTTP/2" 401 17"#),
        format!(
            r#"203.0.113.7 - - {TIME} "POST /wp-login.php?" HTTP/1.1" 401 17 "-" "-" 1 "r@docker" "http://172.17.0.2:80" 1ms"#
        ),
        // Over HTTP/2, a path may have spaces.
        format!(
            r#"203.0.113.7 - - {TIME} "POST /wp-login.php?" 200 1 "-" " HTTP/2.0" 401 17 "-" "-" 1 "r@docker" "http://172.17.0.2:80" 1ms"#
        ),
        format!(
            r#"203.0.113.7 - - {TIME} "POST / HTTP/1.1" 200 1 "-" "" HTTP/2.0" 401 17 "-" "-" 12 "-" "-" 120ms"#
        ),
    ] {
        for format in ["combined", "common"] {
            assert_eq!(read(format, &line), ["unreadable 203.0.113.7"], "{line}");
        }
        assert_eq!(
            Caution::of_line(line.as_bytes(), &Format::COMBINED.parse(line.as_bytes())),
            Some(match line.ends_with("ms") {
                true => Caution::Traefik,
                false => Caution::Quotes,
            })
        );
    }
    // What escapes, and what is of another layout, is not.
    for (line, expected) in [
        (
            r#""GET /x HTTP/1.1" 404 17 "-" "-" 1 "r@docker" "http://172.17.0.2:80" 1ms"#,
            "203.0.113.7 404",
        ),
        (
            r#""GET /x?\" HTTP/1.1\" 200 HTTP/1.1" 404 17 "-" "-""#,
            "203.0.113.7 404",
        ),
        (
            r#""GET /x HTTP/1.1" 404 17 "-" "a" "b" "c" "d" 5ms"#,
            "203.0.113.7 404",
        ),
        (
            r#""www.example.org" "GET /x HTTP/1.1" x 404"#,
            "no three-digit status after the request",
        ),
        (
            r#""GET /x HTTP/1.1" 0.003 404 12 "-" "curl""#,
            "no three-digit status after the request",
        ),
        (
            r#""GET /x HTTP/1.1" "-" 404 12 "curl""#,
            "no three-digit status after the request",
        ),
    ] {
        let line = format!("203.0.113.7 - - {TIME} {line}");
        assert_eq!(read("combined", &line), [expected], "{line}");
    }
}

#[test]
fn a_quote_before_the_line_and_a_host_in_brackets_are_no_part_of_it() {
    let line = format!(r#"203.0.113.7 - - {TIME} "GET /x HTTP/1.1" 404 1"#);
    for line in [
        format!(r#""{line} "-" "-"""#),
        format!(r#""{line}""#),
        format!(r#"["www.example.org"] {line}"#),
    ] {
        assert_eq!(understood(&Format::COMBINED, line.as_bytes()), SHOWN, "{line}");
    }
    let with_host = format!(r#""www.example.org {line} "-" "-"""#);
    assert_eq!(
        understood(&named("vhost-combined"), with_host.as_bytes()),
        SHOWN.replace("host=–", "host=www.example.org")
    );
    let mut detection = Detection::default();
    detection.see(with_host.as_bytes());
    assert_eq!(detection.chosen().unwrap().to_string(), "vhost-combined");
    // What a client wrote between quotes is no client.
    for begin in [
        r#""6.6.6.6 - x, 203.0.113.7" - -"#,
        r#""6.6.6.6" - -"#,
        r#"["6.6.6.6 - - x"] 203.0.113.7 - -"#,
    ] {
        let line = format!(r#"{begin} {TIME} "GET /x HTTP/1.1" 404 1"#);
        let shown = understood(&Format::COMBINED, line.as_bytes());
        assert!(shown.starts_with("! "), "{begin}: {shown}");
    }
}

#[test]
fn colours_are_no_part_of_a_request() {
    for request in [
        "\x1b[33mGET /x HTTP/1.1\x1b[0m",
        "\x1b[31m\x1b[1mGET /x HTTP/1.1\x1b[0m",
        "\x1b[1;31mGET /x HTTP/1.1",
    ] {
        let line = format!(r#"203.0.113.7 - - [21/Nov/2026 10:06:56] "{request}" 404 -"#);
        for format in ["python-http-server", "combined"] {
            assert_eq!(understood(&named(format), line.as_bytes()), SHOWN, "{request:?}");
        }
    }
    let odd = "\x1b[m".repeat(30_000);
    let line = format!(r#"203.0.113.7 - - {TIME} "{odd}" 404 -"#);
    let parsed = Format::COMBINED.parse(line.as_bytes()).unwrap();
    assert_eq!((parsed.method.len(), parsed.status), (0, 404));
}

/// HAProxy ends lines at 1024 bytes, and writes captured headers before the request.
#[test]
fn long_headers_hide_nobody_from_haproxys_log() {
    let line = |captured: &str| {
        format!(
            "203.0.113.7:55289 [21/Nov/2026:10:06:56.000] h h/<NOSRV> 0/-1/-1/-1/0 404 56 - - LR-- 1/1/0/0/0 0/0 {{{captured}"
        )
    };
    let format = named("haproxy");
    assert_eq!(
        understood(&format, line(&"u".repeat(900)).as_bytes()),
        SHOWN.replace("GET /x", "– ")
    );
    assert!(understood(&format, line("u").as_bytes()).starts_with("! "));
    let tcp = format!(
        "203.0.113.7:55289 [21/Nov/2026:10:06:56.000] fe be/{} 0/0/5007 212 -- 0/0/0/0/3 0/0",
        "s".repeat(400)
    );
    assert!(understood(&format, tcp.as_bytes()).starts_with("! "));
}

#[test]
fn what_a_log_asks_of_its_operator_is_told() {
    let caution = |format: &str, line: &str| {
        let formats = Formats::from(named(format));
        let parsed = formats.parse(line.as_bytes());
        (
            Caution::of_formats(&formats),
            Caution::of_line(line.as_bytes(), &parsed),
        )
    };
    let combined = format!(r#"203.0.113.7 - - {TIME} "GET /x HTTP/1.1" 404 1"#);
    assert_eq!(caution("combined", &combined), (None, None));
    let of_header = |format: &str| Caution::of_header(&Formats::from(named(format)));
    assert_eq!(of_header("caddy-json"), Some(Caution::CaddyHeader));
    assert_eq!(of_header("combined"), None);
    assert_eq!(
        of_header("$proxy_protocol_addr [$msec] \"$request\" $status"),
        None
    );
    assert_eq!(
        caution("combined", "203.0.113.7 - x"),
        (None, Some(Caution::LineFeeds))
    );
    for (format, expected) in [
        ("envoy", Some(Caution::ClientFromHeader)),
        ("istio", None),
        ("iis", None),
        (
            r#""$http_x_forwarded_for" [$msec] $status"#,
            Some(Caution::ClientFromHeader),
        ),
        ("$remote_addr [$msec] $status", Some(Caution::NoRequest)),
        (r#"$remote_addr [$msec] "$request" $status"#, None),
        (
            "$proxy_protocol_addr [$msec] $status",
            Some(Caution::ClientFromHeader),
        ),
    ] {
        assert_eq!(caution(format, "").0, expected, "{format}");
    }
    // A client beside another end of the connection is that of a header.
    for (format, line) in [
        (
            "caddy-json",
            r#"{"ts":1795255616.7,"msg":"handled request","request":{"remote_ip":"10.0.0.5","client_ip":"203.0.113.7","method":"GET","uri":"/x"},"status":404}"#,
        ),
        (
            "traefik-json",
            r#"{"ClientAddr":"10.0.0.5:4711","ClientHost":"203.0.113.7","StartUTC":"2026-11-21T10:06:56Z","RequestMethod":"GET","RequestPath":"/x","DownstreamStatus":404}"#,
        ),
    ] {
        assert_eq!(caution(format, line).1, Some(Caution::ClientFromHeader), "{line}");
        let direct = line.replace("10.0.0.5", "203.0.113.7");
        assert_eq!(caution(format, &direct).1, None, "{direct}");
    }
    assert!(Caution::Traefik.text().contains("have it log JSON"));
    let list = format!(r#"6.6.6.6, 203.0.113.7 - - {TIME} "GET /x HTTP/1.1" 404 1"#);
    for line in [list.clone(), format!("2026-11-21T10:06:56.1Z stdout F {list}")] {
        assert_eq!(caution("combined", &line), (None, Some(Caution::BareList)));
    }
    // What its text says to do instead.
    let quoted = format!(r#""6.6.6.6 - x, 203.0.113.7" - - {TIME} "GET /x HTTP/1.1" 404 1"#);
    let pattern = r#""%{X-Forwarded-For}i" %l %u %t "%r" %>s"#;
    assert!(Caution::BareList.text().contains(pattern));
    assert_eq!(understood(&named(pattern), quoted.as_bytes()), SHOWN);
    assert_eq!(caution(pattern, &quoted), (Some(Caution::ClientFromHeader), None));
}

#[test]
fn a_status_is_that_of_the_line_as_the_shape_of_its_time_says() {
    let line = "1795255616.000 3 203.0.113.7 TCP_MISS/404 512 GET http://a/x - DIRECT/10.0.0.5 text/html";
    let mut detection = Detection::default();
    detection.see(line.as_bytes());
    let format = detection.chosen().unwrap();
    assert_eq!(format.to_string(), "squid");
    assert_eq!(
        shown(&format.parse(line.as_bytes()).unwrap()),
        SHOWN.replace("host=–", "host=a")
    );
    assert!(named("aws-alb").parse(line.as_bytes()).is_err());
}
