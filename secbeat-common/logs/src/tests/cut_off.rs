//! Lines of which what carried them cut the end off, wherever that is.

use crate::Format;

const WRAPPERS: [&str; 3] = [
    "",
    "<134>Nov 21 11:06:56 web nginx: ",
    "2026-11-21T11:06:56+01:00 web nginx: ",
];
const PATTERN: &str = "$remote_addr $host [$time_local] \"$request\" $status \"$http_user_agent\"";

/// Each format's line, as its server writes it for a client that asks for a long path.
fn lines() -> [(&'static str, String); 4] {
    let request = format!("\"GET /{} HTTP/1.1\" 404", "a\\\"b".repeat(200));
    let time = "[21/Nov/2026:11:06:56 +0100]";
    [
        (
            "combined",
            format!("203.0.113.7 - - {time} {request} 153 \"-\" \"curl\""),
        ),
        (
            "vhost-combined",
            format!("a.org 203.0.113.7 - - {time} {request} 153 \"-\" \"curl\""),
        ),
        (
            "lighttpd",
            format!("203.0.113.7 a.org - {time} {request} 153 \"-\" \"curl\""),
        ),
        (PATTERN, format!("203.0.113.7 a.org {time} {request} \"curl\"")),
    ]
}

#[test]
fn a_long_line_that_is_cut_off_is_its_clients_wherever_that_is() {
    for (name, line) in lines() {
        let format: Format = name.parse().unwrap();
        let status = line.find(" 404").unwrap();
        for wrapper in WRAPPERS {
            let whole = format!("{wrapper}{line}");
            for end in 480..whole.len() {
                let parsed = format.parse(&whole.as_bytes()[..end]);
                let place = format!("{name} behind {wrapper:?} up to byte {end}: {parsed:?}");
                let parsed = parsed.unwrap_or_else(|_| panic!("{place}"));
                assert_eq!(parsed.client.to_string(), "203.0.113.7", "{place}");
                let is_read = end >= wrapper.len() + status + " 404".len();
                // A pattern's status may be the beginning of a longer one until something follows it.
                let may_be_read = is_read || end > wrapper.len() + status;
                assert!(parsed.unreadable != is_read || may_be_read, "{place}");
                assert_eq!(parsed.status, if parsed.unreadable { 0 } else { 404 }, "{place}");
            }
        }
    }
}

#[test]
fn a_short_line_that_ends_early_is_of_another_layout() {
    let time = "[21/Nov/2026:11:06:56 +0100]";
    for line in [
        format!("203.0.113.7 - - {time} \"GET / HTTP/1.1"),
        format!("203.0.113.7 - - {time} \"GET / HTTP/1.1\""),
        format!("203.0.113.7 - - {time} \"GET / HTTP/1.1\" 40"),
        // Not for want of an end.
        format!(
            "203.0.113.7 - - {time} \"GET /{} HTTP/1.1\" http 404",
            "a".repeat(500)
        ),
    ] {
        assert!(Format::COMBINED.parse(line.as_bytes()).is_err(), "{line}");
    }
}
