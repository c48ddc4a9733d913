//! Patterns.

use super::{Format, understood};

const PATTERN: &str = r#"$host ${remote_addr} - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_user_agent" rt=$request_time"#;
const LINE: &str = r#"example.org 203.0.113.7 - - [10/Oct/2023:11:06:56 +0200] "GET /a HTTP/1.1" 404 125 "curl \"8\"" rt=0.003"#;
const SHOWN: &str = r#"203.0.113.7 2023-10-10T09:06:56Z 404 GET /a host=example.org agent=curl \\\"8\\\""#;

fn shown(pattern: &str, line: &str) -> String {
    understood(&Format::pattern(pattern).unwrap(), line.as_bytes())
}

#[test]
fn a_pattern_is_read_field_by_field() {
    assert_eq!(shown(PATTERN, LINE), SHOWN);
    assert_eq!(
        shown(
            "$msec|$status|$request_method|$request_uri|$remote_addr",
            "1696928816.5|404|GET|/a|::ffff:203.0.113.7"
        ),
        "203.0.113.7 2023-10-10T09:06:56.5Z 404 GET /a host=– agent=–"
    );
    assert_eq!(
        shown(
            "$time_iso8601 $status $remote_addr",
            "2023-10-10T11:06:56+02:00 200 2001:db8::7"
        ),
        "2001:db8::7 2023-10-10T09:06:56Z 200 –  host=– agent=–"
    );
}

#[test]
fn a_line_that_is_cut_off_after_the_status_is_a_request() {
    let cut = LINE.split_once(" 125").unwrap().0.to_owned() + " ";
    assert_eq!(
        shown(PATTERN, &(cut + "12")),
        SHOWN.replace(r#"curl \\\"8\\\""#, "–")
    );
    assert_eq!(
        shown(PATTERN, &LINE[..20]),
        "! ` - ` expected after `$remote_addr`"
    );
}

#[test]
fn a_user_name_cannot_fake_the_time() {
    let line = LINE.replace("- - [", "- x [01/Jan/1970:00:00:00 +0000] [");
    assert_eq!(shown(PATTERN, &line), SHOWN);
}

#[test]
fn what_does_not_match_is_named() {
    for (from, to, expected) in [
        ("203.0.113.7", "localhost", "! the client is no address"),
        ("10/Oct", "10/Okt", "! ` [` expected after `$remote_user`"),
        ("] \"GET", "]\"GET", "! ` [` expected after `$remote_user`"),
        (" 404 ", " x ", "! the status is no number from 100 to 999"),
        (
            "/a HTTP/1.1\" ",
            "/a HTTP/1.1 ",
            "! `\\\" ` expected after `$request`",
        ),
    ] {
        assert_eq!(shown(PATTERN, &LINE.replace(from, to)), expected, "{to}");
    }
    assert_eq!(
        shown(&format!("x{PATTERN}"), LINE),
        "! `x` expected after the beginning"
    );
}

#[test]
fn a_pattern_that_cannot_work_is_refused() {
    for (pattern, expected) in [
        (
            "$remote_addr $status",
            "the pattern has no time: `$time_local`, `$time_iso8601` or `$msec`",
        ),
        (
            "[$time_local] $status",
            "the pattern has no client: `$remote_addr`",
        ),
        ("$remote_addr [$time_local]", "the pattern has no `$status`"),
        (
            "$remote_addr$status [$msec]",
            "nothing stands between `$remote_addr` and `$status`, so that nobody can tell where one ends",
        ),
        (
            "$remote_addr $status $msec $time_local",
            "the pattern has `$time_local` twice, or another field that says the same",
        ),
        (
            "$remote_addr $ $status",
            "`$` in the pattern is followed by no name",
        ),
        (
            "${remote_addr $status",
            "`$` in the pattern is followed by no name",
        ),
    ] {
        assert_eq!(
            Format::pattern(pattern).unwrap_err().to_string(),
            expected,
            "{pattern}"
        );
    }
}
