//! Lines in wrappers, and lines that were divided or are too long to be kept.

use super::{Format, named, shown, understood};
use crate::{Detection, Formats, OpenLines, Piece};

const COMBINED: &str = r#"203.0.113.7 - - [21/Nov/2026:11:06:56 +0100] "GET /x HTTP/1.1" 404 12 "-" "curl""#;
const SHOWN: &str = "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=– agent=curl";
const UNREADABLE: &str = "203.0.113.7 2026-11-21T10:06:56Z 0 ";

/// What the lines of a log are understood as, those that come in pieces as `pieces` of that many bytes.
fn read(format: &Format, log: &[u8], pieces: usize) -> Vec<String> {
    let formats = Formats::from(format.clone());
    let mut open = OpenLines::default();
    let mut all = Vec::new();
    let mut see = |piece: Piece<'_>| {
        let Some(parsed) = formats.read(piece, &mut open) else {
            return;
        };
        all.push(match parsed {
            Ok(line) if line.unreadable => format!("unreadable {}", shown(&line)),
            Ok(line) => shown(&line),
            Err(error) => format!("! {error}"),
        });
    };
    for line in log
        .strip_suffix(b"\n")
        .unwrap_or(log)
        .split(|byte| *byte == b'\n')
    {
        if line.len() <= pieces {
            see(Piece::Line(line));
            continue;
        }
        let (begin, rest) = line.split_at(pieces);
        see(Piece::Begin(begin));
        let mut more = rest.chunks(pieces).peekable();
        while let Some(piece) = more.next() {
            see(if more.peek().is_some() {
                Piece::More(piece)
            } else {
                Piece::End(piece)
            });
        }
    }
    assert!(!open.is_open());
    all
}

fn docker(text: &str) -> String {
    let line = serde_json::json!({"log": text, "stream": "stdout", "time": "2026-11-21T10:06:56.2Z"});
    line.to_string()
}

#[test]
fn a_line_is_understood_in_every_wrapper_and_in_several() {
    let syslog = |line: &str| format!("<190>Nov 21 11:06:56 web1 nginx: {line}");
    let journal = |line: &str| {
        serde_json::json!({"__CURSOR": "s=1", "__REALTIME_TIMESTAMP": "1", "MESSAGE": line}).to_string()
    };
    let bytes = serde_json::json!({"__REALTIME_TIMESTAMP": "1", "MESSAGE": COMBINED.as_bytes()}).to_string();
    for line in [
        docker(&format!("{COMBINED}\n")),
        format!("2026-01-24T01:34:36.743000000+00:00 stdout F {COMBINED}"),
        syslog(COMBINED),
        format!("<190>1 2026-11-21T11:06:56+01:00 web1 nginx 12 - - {COMBINED}"),
        format!("2026-11-21T11:06:56.123+01:00 web1 nginx: {COMBINED}"),
        format!("web-1  | {COMBINED}"),
        format!("2026-01-24T01:34:36.743000000Z {COMBINED}"),
        format!("web-1  | 2026-01-24T01:34:36.743000000Z {COMBINED}"),
        format!("[pod/web-7d4b9/nginx] {COMBINED}"),
        format!("[12345.678901] web1 nginx[12]: {COMBINED}"),
        format!("Nov 21 2026 11:06:56 web1 nginx: {COMBINED}"),
        journal(COMBINED),
        bytes,
        docker(&format!("{}\n", syslog(COMBINED))),
        docker(&format!("{}\n", syslog(&journal(COMBINED)))),
        syslog(&format!("2026-01-24T01:34:36Z stderr F {}\r", syslog(COMBINED))),
    ] {
        for format in [
            "combined",
            r#"$remote_addr - $remote_user [$time_local] "$request" $status $bytes "$http_referer" "$http_user_agent""#,
        ] {
            let format: Format = format.parse().unwrap();
            assert_eq!(understood(&format, line.as_bytes()), SHOWN, "{line}");
            assert_eq!(read(&format, line.as_bytes(), 10_000), [SHOWN]);
        }
    }
    let four = docker(&format!("{}\n", syslog(&syslog(&syslog(COMBINED)))));
    assert!(understood(&Format::COMBINED, four.as_bytes()).starts_with("! "));
}

#[test]
fn a_line_is_understood_in_what_ships_it() {
    let quoted = serde_json::to_string(COMBINED).unwrap();
    let in_docker = serde_json::to_string(&docker(&format!("{COMBINED}\n"))).unwrap();
    for line in [
        format!(r#"{{"@metadata":{{"beat":"filebeat"}},"message":{quoted},"log":{{"offset":0}}}}"#),
        format!(r#"{{"@metadata":{{"beat":"filebeat"}},"message":{in_docker},"log":{{"offset":0}}}}"#),
        format!(
            r#"{{"host":"web1","message":{quoted},"source_type":"file","timestamp":"2026-11-21T10:06:56Z"}}"#
        ),
        format!(r#"{{"date":1795255616.75,"log":{quoted}}}"#),
        format!(r#"{{"date":1795255616.75,"stream":"stdout","logtag":"F","message":{quoted}}}"#),
        format!(r#"{{"labels":{{"job":"nginx"}},"line":{quoted},"timestamp":"2026-11-21T10:06:56Z"}}"#),
        format!("nginx.0: [1795255616.750000000, {{\"log\":{quoted}}}]"),
        format!("2026-11-21T10:06:56+01:00\tnginx\t{{\"message\":{quoted}}}"),
    ] {
        for format in [
            "combined",
            r#"$remote_addr - $remote_user [$time_local] "$request" $status $bytes "$http_referer" "$http_user_agent""#,
        ] {
            let format: Format = format.parse().unwrap();
            assert_eq!(read(&format, line.as_bytes(), 10_000), [SHOWN], "{line}");
        }
    }
    // What a client sends is escaped once more, and a line of an application is not a wrapper.
    let forged =
        r#"{"date":1795255616.75,"log":"6.6.6.6 - - [21/Nov/2026:11:06:56 +0100] \"GET / HTTP/1.1\" 404 1"}"#;
    let line = COMBINED.replace("curl", &forged.replace('"', r"\x22"));
    assert!(understood(&Format::COMBINED, line.as_bytes()).starts_with("203.0.113.7 "));
    let of_app = format!(r#"{{"time":"2026-11-21T10:06:56Z","level":"info","message":{quoted}}}"#);
    assert!(understood(&Format::COMBINED, of_app.as_bytes()).starts_with("! "));
}

#[test]
fn what_a_shipper_may_have_divided_blames_its_first_client_alone() {
    let shipped = |text: &str| {
        let text = serde_json::to_string(text).unwrap();
        format!(r#"{{"date":1795255616.75,"log":{text}}}"#)
    };
    let forged = COMBINED.replace("203.0.113.7", "6.6.6.6");
    let begin = COMBINED.replace("curl\"", "");
    let part = format!("{begin}{}", "a".repeat(16 * 1024 - begin.len()));
    let log = [COMBINED, &part, &forged, &"x".repeat(8 * 1024), COMBINED]
        .map(shipped)
        .join("\n");
    let all = read(&Format::COMBINED, log.as_bytes(), 100_000);
    assert_eq!((&*all[0], &*all[4]), (SHOWN, SHOWN));
    assert!(all[1].starts_with("unreadable 203.0.113.7 "), "{}", all[1]);
    assert!(all[2].starts_with("! "), "{}", all[2]);
}

#[test]
fn a_long_line_is_read_in_what_ships_it() {
    let long = "a".repeat(200_000);
    let caddy = format!(
        r#"{{"ts":1795255616,"msg":"handled request","request":{{"client_ip":"203.0.113.7","headers":{{"X":["é\n\"\\{long}"]}},"method":"GET","uri":"/x"}},"status":404}}"#
    );
    let combined = COMBINED.replace("curl", &format!("\\x22{long}"));
    let expected = "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=– agent=";
    for (format, line) in [(named("caddy-json"), &caddy), (Format::COMBINED, &combined)] {
        let quoted = serde_json::to_string(line).unwrap();
        for shipped in [
            format!(r#"{{"@metadata":{{"beat":"filebeat"}},"message":{quoted},"log":{{"offset":0}}}}"#),
            format!(r#"{{"message":{quoted},"source_type":"file","timestamp":"2026-11-21T10:06:56Z"}}"#),
            format!(r#"{{"date":1795255616.75,"log":{quoted}}}"#),
            format!("2026-01-24T01:34:36Z stdout F {{\"date\":1795255616.75,\"log\":{quoted}}}"),
        ] {
            for pieces in [1000, 4001, 70_000] {
                let all = read(&format, shipped.as_bytes(), pieces);
                assert!(
                    all.len() == 1 && all[0].starts_with(expected),
                    "{format}: {:.200}",
                    all[0]
                );
            }
        }
        // An application's own.
        let of_app = format!(r#"{{"level":"info","message":{quoted}}}"#);
        assert!(read(&format, of_app.as_bytes(), 70_000)[0].starts_with("! "));
        for shipped in ["y", ""] {
            let nested = format!(
                r#"{{"event":{{"message":{quoted}}},"message":"{shipped}","agent":{{"type":"filebeat"}}}}"#
            );
            let all = read(&format, nested.as_bytes(), 70_000);
            assert!(all[0].starts_with("! "), "{shipped}");
        }
    }
    // What follows the line may be long, too.
    let quoted = serde_json::to_string(COMBINED).unwrap();
    let line = format!(r#"{{"message":{quoted},"agent":{{"type":"filebeat"}},"fields":{{"x":"{long}"}}}}"#);
    assert_eq!(read(&Format::COMBINED, line.as_bytes(), 70_000), [SHOWN]);
}

#[test]
fn parts_that_a_shipper_tells_apart_are_joined() {
    let part = |tag: &str, text: &str| {
        let text = serde_json::to_string(text).unwrap();
        format!(r#"{{"date":1795255616.75,"stream":"stdout","logtag":"{tag}","message":{text}}}"#)
    };
    let (begin, end) = COMBINED.split_at(60);
    let log = format!("{}\n{}", part("P", begin), part("F", end));
    assert_eq!(read(&Format::COMBINED, log.as_bytes(), 10_000), [SHOWN]);
}

#[test]
fn json_is_understood_in_dockers() {
    let traefik = r#"{"ClientHost":"203.0.113.7","StartUTC":"2026-11-21T10:06:56.1Z","RequestMethod":"GET","RequestPath":"/x","DownstreamStatus":404}"#;
    let expected = "203.0.113.7 2026-11-21T10:06:56.1Z 404 GET /x host=– agent=–";
    for line in [
        docker(&format!("{traefik}\n")),
        format!("2026-01-24T01:34:36Z stdout F {traefik}"),
        format!("traefik-1  | {traefik}"),
    ] {
        assert_eq!(
            understood(&named("traefik-json"), line.as_bytes()),
            expected,
            "{line}"
        );
    }
}

#[test]
fn what_dockers_escapes_hide_is_not_taken_for_the_end() {
    // Apache writes a quote as `\"`, and Docker that as `\\\"`.
    let line = r#"203.0.113.7 - - [21/Nov/2026:11:06:56 +0100] "GET /a\" 200 x HTTP/1.1" 404 12 "-" "c""#;
    assert_eq!(
        understood(&Format::COMBINED, docker(&format!("{line}\n")).as_bytes()),
        r#"203.0.113.7 2026-11-21T10:06:56Z 404 GET /a\\\" 200 x host=– agent=c"#
    );
}

#[test]
fn no_client_writes_a_wrapper() {
    // What a client sends stands behind the server's own fields; a line that is understood as it is has no wrapper.
    for forged in [
        "web-1  | 6.6.6.6 - - [21/Nov/2026:11:06:56 +0100] x",
        "<190>Nov 21 11:06:56 web1 nginx: 6.6.6.6 - -",
        "2026-01-24T01:34:36Z stdout F 6.6.6.6 - -",
        r#"{\"log\":\"6.6.6.6 - -"#,
    ] {
        let line = COMBINED.replace("/x", forged).replace("curl", forged);
        let shown = understood(&Format::COMBINED, line.as_bytes());
        assert!(
            shown.starts_with("203.0.113.7 2026-11-21T10:06:56Z 404 "),
            "{shown}"
        );
        let user = COMBINED.replace(" - - ", &format!(" - {forged} "));
        let shown = understood(&Format::COMBINED, user.as_bytes());
        assert!(
            shown.starts_with("203.0.113.7 ") || shown.starts_with("! "),
            "{shown}"
        );
    }
    // Where the first field is what a client sent, only a wrapper that begins with a quote is taken off.
    let format = Format::pattern(r#"$host $remote_addr [$time_local] "$request" $status"#).unwrap();
    let line = r#"web-1  | 6.6.6.6 203.0.113.7 [21/Nov/2026:11:06:56 +0100] "GET / HTTP/1.1" 404"#;
    assert!(understood(&format, line.as_bytes()).starts_with("203.0.113.7 "));
    let line = r#"web-1  | 6.6.6.6 [21/Nov/2026:11:06:56 +0100] "GET / HTTP/1.1" 404"#;
    assert!(understood(&format, line.as_bytes()).contains(" host=web-1  | "));
    let line = r#"x 203.0.113.7 [21/Nov/2026:11:06:56 +0100] "GET / HTTP/1.1" 404"#;
    assert!(understood(&format, docker(&format!("{line}\n")).as_bytes()).starts_with("203.0.113.7 "));
}

/// The log's first field is a list that proxies extend, of which a client wrote the beginning.
#[test]
fn no_client_begins_a_list_with_a_wrapper() {
    let list = |forged: &str| COMBINED.replace("203.0.113.7", &format!("{forged}, 203.0.113.7"));
    for wrapper in [
        "web-1  | ",
        "<190>Nov 21 11:06:56 web1 nginx: ",
        "<190>1 2026-11-21T11:06:56+01:00 6.6.6.6 - - - - ",
        "2026-01-24T01:34:36Z stdout F ",
        "2026-01-24T01:34:36Z stdout P ",
        "2026-01-24T01:34:36.743000000Z ",
        "[pod/web/nginx] ",
        "[12345.678901] web1 nginx: ",
    ] {
        for forged in [
            "6.6.6.6",
            "6.6.6.6 - x",
            "6.6.6.6 x",
            "6.6.6.6 - - -",
            "6.6.6.6 x, 6.6.6.7 - y",
            "x",
        ] {
            let line = list(&format!("{wrapper}{forged}"));
            let long = line.replace("/x", &format!("/x{}", "a".repeat(200_000)));
            for log in [&line, &long, &format!("{line}\n{line}")] {
                let log = format!("{log}\n2026-01-24T01:34:36Z stdout F {COMBINED}");
                for shown in read(&Format::COMBINED, log.as_bytes(), 10_000) {
                    assert!(
                        shown.starts_with("203.0.113.7 ") || shown.starts_with("! "),
                        "{wrapper}{forged}: {shown:.200}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_log_in_wrappers_that_clients_could_write_shows_it_first() {
    let wrapped = |line: &str| format!("2026-01-24T01:34:36Z stdout F {line}");
    let user = wrapped(&COMBINED.replace(" - - ", " - x, 6.6.6.6 - - "));
    let wrapper = "! two readings: a wrapper may stand before the line, or a client may have written it; no line before it \
                   says which";
    let log = format!("{user}\n{}\n{user}", wrapped(COMBINED));
    assert_eq!(
        read(&Format::COMBINED, log.as_bytes(), 10_000),
        [wrapper, SHOWN, SHOWN]
    );
    // A list within a wrapper begins with an address, not with the wrapper.
    let list = wrapped(&COMBINED.replace("203.0.113.7", "203.0.113.66, 10.0.0.5"));
    let parsed = Format::COMBINED.parse(list.as_bytes()).unwrap();
    assert_eq!(parsed.forwarded.as_deref(), Some(&b"203.0.113.66, 10.0.0.5"[..]));
}

#[test]
fn among_bare_lines_no_other_programs_line_is_a_request() {
    let forged = COMBINED.replace("203.0.113.7", "6.6.6.6");
    let others = [
        "2026-11-30 14:00:00 WARNING app: ",
        "2026-11-30T14:00:00Z warn: ",
        "app  | ",
    ]
    .map(|before| format!("{before}{forged}"));
    let shown_forged = SHOWN.replace("203.0.113.7", "6.6.6.6");
    for other in others {
        let log = format!("{COMBINED}\n{other}\n{COMBINED}");
        let shown = read(&Format::COMBINED, log.as_bytes(), 10_000);
        assert!(shown[1].starts_with("! "), "{other}: {shown:?}");
        assert_eq!((&*shown[0], &*shown[2]), (SHOWN, SHOWN), "{other}");
        // Within a wrapper that says nothing, too.
        let log = [COMBINED, &other]
            .map(|line| docker(&format!("{line}\n")))
            .join("\n");
        let shown = read(&Format::COMBINED, log.as_bytes(), 10_000);
        assert!(shown[1].starts_with("! "), "{other}: {shown:?}");
        // Where lines are in such wrappers, it is one of them.
        let log = format!("{other}\n{COMBINED}\n{other}");
        let shown = read(&Format::COMBINED, log.as_bytes(), 10_000);
        assert_eq!(shown, [&*shown_forged, SHOWN, &shown_forged], "{other}");
    }
}

#[test]
fn long_lines_of_layouts_are_their_clients_errors() {
    let long = "a".repeat(200_000);
    for (format, line, expected) in [
        (
            "vhost-combined",
            format!(r#"a.org 203.0.113.7 - - [21/Nov/2026:11:06:56 +0100] "GET /{long} HTTP/1.1" 404 1"#),
            "203.0.113.7 2026-11-21T10:06:56Z 404 GET /aaa",
        ),
        (
            "lighttpd",
            format!(
                r#"203.0.113.7 a.org - [21/Nov/2026:11:06:56 +0100] "GET /{long} HTTP/1.1" 404 1 "-" "-""#
            ),
            "unreadable 203.0.113.7 2026-11-21T10:06:56Z 0 ",
        ),
        (
            "python-http-server",
            format!(r#"203.0.113.7 - - [21/Nov/2026:11:06:56] "GET /" 200 {long} HTTP/1.1" 404 -"#),
            "unreadable 203.0.113.7 2026-11-21T11:06:56Z 0 ",
        ),
        (
            "envoy",
            format!(r#"[2026-11-21T10:06:56Z] "GET /{long} HTTP/1.1" 404 - "6.6.6.6" "a" "i" "h" "u""#),
            "! ",
        ),
    ] {
        let format: Format = format.parse().unwrap();
        let all = read(&format, line.as_bytes(), 10_000);
        assert!(all[0].starts_with(expected), "{format}: {:.200}", all[0]);
    }
}

#[test]
fn a_long_line_has_the_first_of_several_formats_that_understands_it() {
    let formats = Formats::of(["caddy-json", "combined"].map(|name| name.parse().unwrap())).unwrap();
    let text = COMBINED.replace("curl", &"a".repeat(200_000));
    let json = format!(
        r#"{{"ts":1795255616,"msg":"handled request","request":{{"client_ip":"203.0.113.8","headers":{{"X":["{}"]}},"method":"GET","uri":"/x"}},"status":404}}"#,
        "a".repeat(200_000)
    );
    for (line, client) in [(&text, "203.0.113.7"), (&json, "203.0.113.8")] {
        let mut open = OpenLines::default();
        let (begin, end) = line.split_at(100_000);
        assert_eq!(formats.read(Piece::Begin(begin.as_bytes()), &mut open), None);
        let parsed = formats
            .read(Piece::End(end.as_bytes()), &mut open)
            .unwrap()
            .unwrap();
        assert_eq!(
            (parsed.client.to_string(), parsed.status),
            (client.to_owned(), 404)
        );
    }
}

#[test]
fn a_header_says_what_the_lines_after_it_have() {
    let formats = Formats::from("iis".parse::<Format>().unwrap());
    let log = "#Fields: date time c-ip cs(X-Own) sc-status\n2026-11-21 10:06:56 203.0.113.7 6.6.6.6 404\n#Fields: date time\n\
               2026-11-21 10:06:56 203.0.113.7\n#Fields: date time sc-status c-ip x\n2026-11-21 10:06:56 404 203.0.113.8 -";
    let mut open = OpenLines::default();
    let mut all = Vec::new();
    for line in log.lines() {
        all.push(
            match formats.read(Piece::Line(line.as_bytes()), &mut open).unwrap() {
                Ok(line) => line.client.to_string(),
                Err(error) => error.to_string(),
            },
        );
    }
    let header = "the line is a header of the log";
    let no_fields = "the header before the line names no client, time or status that can be read";
    assert_eq!(
        all,
        [header, "203.0.113.7", header, no_fields, header, "203.0.113.8"]
    );
}

#[test]
fn a_header_in_a_wrapper_says_what_the_lines_after_it_have() {
    let header = "#Fields: date time c-ip cs-username s-ip s-port cs-method cs-uri-stem cs-uri-query sc-status sc-substatus time-taken cs(User-Agent)";
    let line = "2026-11-21 10:06:56 203.0.113.7 - 10.0.0.1 80 GET /x 6.6.6.6 404 0 15 curl";
    let wrappers: [fn(&str) -> String; 4] = [
        str::to_owned,
        |line| docker(&format!("{line}\n")),
        |line| format!("2026-01-24T01:34:36Z stdout F {line}"),
        |line| format!("Nov 21 11:06:56 web1 iis: {line}"),
    ];
    for wrapped in wrappers {
        assert!(crate::is_header(wrapped(header).as_bytes()));
        assert!(crate::names_fields(wrapped(header).as_bytes()));
        assert!(!crate::names_fields(
            wrapped("#Version: 1.0 #Fields: c-ip").as_bytes()
        ));
        assert!(!crate::is_header(wrapped(line).as_bytes()));
        let log = format!("{}\n{}", wrapped(header), wrapped(line));
        assert_eq!(
            read(&named("iis"), log.as_bytes(), 10_000),
            ["! the line is a header of the log", SHOWN]
        );
        let (mut detection, mut without) = (Detection::default(), Detection::default());
        log.lines().for_each(|line| detection.see(line.as_bytes()));
        assert_eq!(detection.chosen().unwrap().to_string(), "iis");
        without.see(wrapped(line).as_bytes());
        assert_eq!(without.chosen(), None, "nothing says which columns it has");
        assert_ne!(without.likeliest().to_string(), "iis");
        let shown = understood(&named("iis"), wrapped(line).as_bytes());
        assert!(shown.starts_with("! "), "{shown}");
    }
}

#[test]
fn a_divided_line_is_joined_by_its_stream() {
    let (a, b) = COMBINED.split_at(50);
    let (b, c) = b.split_at(10);
    let cri = |stream: &str, tag: &str, text: &str| format!("2026-01-24T01:34:36Z {stream} {tag} {text}\n");
    let other = COMBINED.replace("203.0.113.7", "192.0.2.9");
    let log = [
        cri("stdout", "P", a),
        cri("stderr", "F", &other),
        cri("stdout", "P", b),
        cri("stderr", "P", &other[..20]),
        cri("stdout", "F", c),
        cri("stderr", "F", &other[20..]),
        cri("stdout", "F", COMBINED),
    ]
    .concat();
    let theirs = SHOWN.replace("203.0.113.7", "192.0.2.9");
    assert_eq!(
        read(&Format::COMBINED, log.as_bytes(), 10_000),
        [&*theirs, SHOWN, &theirs, SHOWN]
    );
    let log = [
        docker(a),
        docker(b),
        docker(&format!("{c}\n")),
        docker(&format!("{COMBINED}\n")),
    ]
    .join("\n");
    assert_eq!(read(&Format::COMBINED, log.as_bytes(), 10_000), [SHOWN, SHOWN]);
    assert_eq!(
        understood(&Format::COMBINED, docker(a).as_bytes()),
        "! a part of a line that a container's runtime divided"
    );
}

#[test]
fn a_part_that_looks_like_a_line_is_none() {
    let forged = r#"6.6.6.6 - - [21/Nov/2026:11:06:56 +0100] x"#;
    let line = format!(
        r#"203.0.113.7 - - [21/Nov/2026:11:06:56 +0100] "GET /{forged} HTTP/1.1" 404 12 " 200 " "c""#
    );
    let at = line.find("6.6.6.6").unwrap();
    let log = format!(
        "2026-01-24T01:34:36Z stdout P {}\n2026-01-24T01:34:36Z stdout F {}\n",
        &line[..at],
        &line[at..]
    );
    let all = read(&Format::COMBINED, log.as_bytes(), 10_000);
    assert_eq!(all.len(), 1);
    assert!(
        all[0].starts_with("203.0.113.7 2026-11-21T10:06:56Z 404 "),
        "{all:?}"
    );
}

#[test]
fn a_divided_line_may_be_longer_than_what_is_kept() {
    let caddy = format!(
        r#"{{"ts":1795255616,"msg":"handled request","request":{{"client_ip":"203.0.113.7","headers":{{"X":["{}"]}},"method":"GET","uri":"/x"}},"status":404}}"#,
        "a".repeat(300_000)
    );
    let mut parts: Vec<String> = caddy
        .as_bytes()
        .chunks(16 * 1024)
        .map(|part| docker(std::str::from_utf8(part).unwrap()))
        .collect();
    let last = parts.pop().unwrap().replace(r#"","stream""#, r#"\n","stream""#);
    let log = format!("{}\n{last}\n", parts.join("\n"));
    assert_eq!(
        read(&named("caddy-json"), log.as_bytes(), 100_000),
        ["203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=– agent=–"]
    );
}

#[test]
fn long_lines_of_nginx_are_read_to_their_status() {
    // Bytes that are written as four, in the path, the referer and the user agent.
    for bytes in [7900, 20_000, 100_000, 1_000_000] {
        let odd = "\\xFF".repeat(bytes);
        let log = format!(
            "{COMBINED}\n{}\n{COMBINED}\n",
            COMBINED
                .replace("/x", &format!("/x{odd}"))
                .replace("\"-\"", &format!("\"{odd}\""))
                .replace("curl", &odd)
        );
        for pieces in [64 * 1024, 100_000] {
            let all = read(&Format::COMBINED, log.as_bytes(), pieces);
            assert_eq!(all.len(), 3);
            assert_eq!((all[0].as_str(), all[2].as_str()), (SHOWN, SHOWN));
            assert!(
                all[1].starts_with("203.0.113.7 2026-11-21T10:06:56Z 404 GET /x\\\\xFF"),
                "{:.200}",
                all[1]
            );
        }
    }
}

#[test]
fn a_status_is_found_wherever_a_long_request_ends() {
    for length in 131_000..131_080 {
        let line = COMBINED.replace("/x", &format!("/x{}\\\"", "a".repeat(length)));
        let all = read(&Format::COMBINED, line.as_bytes(), 10_000);
        assert!(
            all[0].starts_with("203.0.113.7 2026-11-21T10:06:56Z 404 GET /x"),
            "{length}: {:.200}",
            all[0]
        );
    }
}

#[test]
fn a_long_line_that_cannot_be_read_is_its_clients_error() {
    let long = "a".repeat(200_000);
    let pattern =
        Format::pattern(r#"$remote_addr [$time_local] "$request" "$http_referer" $status"#).unwrap();
    let caddy = named("caddy-json");
    for (format, line) in [
        (
            &Format::COMBINED,
            format!(r#"203.0.113.7 - - [21/Nov/2026:11:06:56 +0100] "GET /{long}"#),
        ),
        (
            &Format::COMBINED,
            format!(r#"203.0.113.7 - - [21/Nov/2026:11:06:56 +0100] "GET /{long}" 4"#),
        ),
        (
            &pattern,
            format!(r#"203.0.113.7 [21/Nov/2026:11:06:56 +0100] "GET / HTTP/1.1" "{long}" 404"#),
        ),
        (
            &caddy,
            format!(
                r#"{{"ts":1795255616,"msg":"handled request","request":{{"client_ip":"203.0.113.7","uri":"/{long}"#
            ),
        ),
    ] {
        let all = read(format, line.as_bytes(), 64 * 1024);
        assert_eq!(all.len(), 1);
        assert!(
            all[0].starts_with(&format!("unreadable {UNREADABLE}")),
            "{format}: {:.200}",
            all[0]
        );
    }
    // Nobody's: what names the client may be another key, which comes later; or nothing does.
    for (format, line) in [
        (&Format::COMBINED, long.clone()),
        (
            &caddy,
            format!(
                r#"{{"ts":1795255616,"msg":"handled request","request":{{"remote_ip":"203.0.113.7","uri":"/{long}"#
            ),
        ),
        (
            &caddy,
            format!(r#"{{"ts":1795255616,"msg":"tls","request":{{"client_ip":"203.0.113.7","uri":"/{long}"#),
        ),
        (
            &caddy,
            format!(r#"{{"request":{{"client_ip":"203.0.113.7","uri":"/{long}"}}}}"#),
        ),
    ] {
        let all = read(format, line.as_bytes(), 64 * 1024);
        assert!(
            all.len() == 1 && all[0].starts_with("! "),
            "{format}: {:.200}",
            all[0]
        );
    }
}

#[test]
fn long_json_is_read_up_to_its_limit() {
    let line = |header: usize| {
        format!(
            r#"{{"level":"info","ts":1795255616,"logger":"http.log.access.log0","msg":"handled request","request":{{"remote_ip":"203.0.113.7","client_ip":"203.0.113.7","method":"GET","host":"a","uri":"/x","headers":{{"X-A":["{}"],"User-Agent":["curl"]}}}},"status":404}}"#,
            "a".repeat(header)
        )
    };
    let caddy = named("caddy-json");
    for (wrapper, header) in [("", 66_000), ("", 10_000_000), ("web-1  | ", 1_000_000)] {
        let log = format!("{wrapper}{}", line(header));
        assert_eq!(
            read(&caddy, log.as_bytes(), 64 * 1024),
            ["203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=a agent=curl"],
            "{header}"
        );
    }
    assert_eq!(
        read(&caddy, line(17_000_000).as_bytes(), 64 * 1024),
        ["unreadable 203.0.113.7 2026-11-21T10:06:56Z 0 GET /x host=a agent=–"]
    );
}

#[test]
fn the_rest_of_a_line_whose_beginning_was_not_seen_is_nothing() {
    let formats = Formats::default();
    let mut open = OpenLines::default();
    assert_eq!(formats.read(Piece::More(b"x"), &mut open), None);
    assert_eq!(formats.read(Piece::End(COMBINED.as_bytes()), &mut open), None);
    assert!(!open.is_open());
}

#[test]
fn caddys_console_has_the_time_before_the_object() {
    let request = r#"{"request":{"remote_ip":"203.0.113.7","client_ip":"203.0.113.7","method":"GET","host":"a","uri":"/x"},"status":404}"#;
    let line = format!("2026/11/21 10:06:56.123\tINFO\thttp.log.access.log0\thandled request\t{request}");
    let expected = "203.0.113.7 2026-11-21T10:06:56.123Z 404 GET /x host=a agent=–";
    let caddy = named("caddy-json");
    assert_eq!(understood(&caddy, line.as_bytes()), expected);
    let coloured = line.replace("INFO", "\x1b[34mINFO\x1b[0m");
    assert_eq!(
        understood(&caddy, format!("caddy-1  | {coloured}").as_bytes()),
        expected
    );
    let other = line.replace("handled request", "tls\t{}");
    assert!(understood(&caddy, other.as_bytes()).starts_with("! "));
    let long = line.replace("/x", &format!("/x{}", "a".repeat(200_000)));
    let all = read(&caddy, long.as_bytes(), 64 * 1024);
    assert!(
        all[0].starts_with("203.0.113.7 2026-11-21T10:06:56.123Z 404 GET /xaaa"),
        "{:.200}",
        all[0]
    );
}

#[test]
fn what_no_server_writes_may_stand_before_a_part_and_nothing_else_may() {
    let (begin, end) = COMBINED.split_at(40);
    let parts = |before: &str| {
        let stamp = "2026-01-24T01:34:36Z stdout";
        format!("{before}{stamp} P {begin}\n{before}{stamp} F {end}\n")
    };
    for before in ["\0\0", " \t", "\u{feff}", ""] {
        assert_eq!(
            read(&Format::COMBINED, parts(before).as_bytes(), usize::MAX),
            [SHOWN],
            "{before:?}"
        );
        assert!(!OpenLines::after(parts(before).as_bytes()).is_open());
    }
    let shown = read(&Format::COMBINED, parts("\x0c").as_bytes(), usize::MAX);
    assert!(
        shown.len() == 2 && shown.iter().all(|line| line.starts_with('!')),
        "{shown:?}"
    );
    let first = parts("\x0c");
    let first = first.lines().next().unwrap();
    assert!(!OpenLines::after(first.as_bytes()).is_open());
}
