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
            "$msec|$status|$remote_addr|$request_method|$request_uri",
            "1696928816.5|404|::ffff:203.0.113.7|GET|/a"
        ),
        "203.0.113.7 2023-10-10T09:06:56.5Z 404 GET /a host=– agent=–"
    );
    assert_eq!(
        shown(
            "$time_iso8601 $status $remote_addr",
            "2023-10-10T11:06:56+02:00 200 2001:db8::7"
        ),
        "2001:db8::7 2023-10-10T09:06:56Z 200 -  host=– agent=–"
    );
}

#[test]
fn a_line_that_is_cut_off_after_the_status_is_a_request() {
    let cut = LINE.split_once(" 125").unwrap().0.to_owned() + " ";
    assert_eq!(
        shown(PATTERN, &(cut + "12")),
        SHOWN.replace(r#"curl \\\"8\\\""#, "–")
    );
    assert_eq!(shown(PATTERN, &LINE[..20]), "! field 2 is not an address");
}

#[test]
fn a_user_name_cannot_fake_the_time() {
    let line = LINE.replace("- - [", "- x [01/Jan/1970:00:00:00 +0000] [");
    assert_eq!(shown(PATTERN, &line), SHOWN);
}

#[test]
fn what_does_not_match_is_named() {
    for (from, to, expected) in [
        (
            "203.0.113.7",
            "localhost",
            "! the line does not begin as its format does, with the client's address in field 2",
        ),
        (
            "203.0.113.7",
            "6.6.6.6, 203.0.113.7",
            "! the line does not begin as its format does, with the client's address in field 2",
        ),
        ("10/Oct", "10/Okt", "! ` [` expected after `$remote_user`"),
        ("] \"GET", "]\"GET", "! `] ` expected after `$time_local`"),
        (
            " 404 ",
            " x ",
            "! invalid status: expected a number from 100 to 999",
        ),
        (
            "/a HTTP/1.1\" ",
            "/a HTTP/1.1 ",
            "! ` ` expected after the quote behind `$request`",
        ),
    ] {
        assert_eq!(shown(PATTERN, &LINE.replace(from, to)), expected, "{to}");
    }
    assert_eq!(
        shown(&format!("x{PATTERN}"), LINE),
        "! `x` expected after the beginning"
    );
}

/// Why a pattern is refused.
fn refused(pattern: &str) -> String {
    Format::pattern(pattern).unwrap_err().to_string()
}

#[test]
fn a_pattern_that_cannot_work_is_refused() {
    for (pattern, expected) in [
        (
            "$remote_addr $status",
            "the pattern has no time: `$time_local`, `$time_iso8601`, `$msec`, `%t` or `%tr`",
        ),
        (
            "[$time_local] $status",
            "the pattern has no client: `$remote_addr`, `%h` or `%ci`",
        ),
        (
            "$remote_addr [$time_local]",
            "the pattern has no status: `$status`, `%>s` or `%ST`",
        ),
        (
            "$remote_addr$status [$msec]",
            "nothing stands between `$remote_addr` and `$status`, so that the end of the first cannot be found",
        ),
        (
            "$host$remote_addr $status [$msec]",
            "nothing stands between `$host` and `$remote_addr`, so that the end of the first cannot be found",
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
        assert_eq!(refused(pattern), expected, "{pattern}");
    }
}

#[test]
fn a_pattern_of_another_program_names_it() {
    for (pattern, program) in [
        (r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s"#, "gunicorn"),
        (
            r#"[%START_TIME%] "%REQ(:METHOD)% %REQ(:PATH)%" %RESPONSE_CODE%"#,
            "Envoy",
        ),
        (r#"%h %l %u %t "%r" %s %b "%{i,Referer}""#, "Undertow"),
        (r#"%h %^[%d:%t %^] "%r" %s %b"#, "GoAccess"),
        ("%>a %[ui %[un [%tl] \"%rm %ru\" %>Hs", "Squid"),
    ] {
        let reason = refused(pattern);
        assert!(
            reason.starts_with(&format!("invalid pattern: it is {program}'s")),
            "{reason}"
        );
    }
}

/// A `Content-Length` is logged as it was sent, also if it is no number.
#[test]
fn a_header_of_the_request_is_no_word_of_the_server() {
    for name in ["content_length", "req_id"] {
        let pattern = format!(r#"${name} $remote_addr - $remote_user [$time_local] "$request" $status"#);
        let reason = refused(&pattern);
        let expected = format!("`$remote_addr` cannot be read safely: a client can write `${name}` and ");
        assert!(reason.starts_with(&expected), "{reason}");
    }
    let line = r#"203.0.113.7 [21/Nov/2026:11:06:56 +0100] "GET /x HTTP/1.1" 404 1 6.6.6.6 - x"#;
    let pattern = r#"$remote_addr [$time_local] "$request" $status $content_length"#;
    assert!(shown(pattern, line).starts_with("203.0.113.7 2026-11-21T10:06:56Z 404 GET /x "));
}

#[test]
fn a_log_of_nginx_that_escapes_nothing_is_refused() {
    for escape in ["escape=none", "x escape=none"] {
        let statement = format!("log_format {escape} '$remote_addr [$time_local] \"$request\" $status';");
        assert_eq!(
            refused(&statement),
            "`escape=none` writes what clients send as it is, so that a request could be any line: state `escape=json`"
        );
    }
}

#[test]
fn a_pattern_in_which_a_client_could_move_a_field_is_refused() {
    for (pattern, expected) in [
        (
            r#"$http_host $remote_addr - $remote_user [$time_local] "$request" $status"#,
            "`$remote_addr` cannot be read safely: a client can write `$http_host` and `$remote_user` around it, and so move \
             it; put `$http_host` between quotes or behind `$remote_addr`",
        ),
        (
            r#"$remote_user $remote_addr [$time_local] $request $status"#,
            "`$remote_addr` cannot be read safely: a client can write `$remote_user` and `$request` around it, and so move \
             it; put `$remote_user` between quotes or behind `$remote_addr`",
        ),
        (
            r#"$remote_addr [$time_local] $request $status"#,
            "`$status` cannot be read safely: a client can write `$request` before it, and so move it; put `$request` between \
             quotes or behind `$status`",
        ),
        (
            r#"$host|$remote_addr|$time_iso8601|$status|$request_uri"#,
            "`$remote_addr` cannot be read safely: a client can write `$host` and `$request_uri` around it, and so move it; \
             put `$host` between quotes or behind `$remote_addr`",
        ),
        (
            r#"$proxy_add_x_forwarded_for - $remote_user [$time_local] "$request" $status"#,
            "a client can write a part of `$proxy_add_x_forwarded_for`, so that its end cannot be found; put it between \
             quotes",
        ),
        (
            r#"[$time_local] "$request" $status $remote_addr"#,
            "nothing follows `$remote_addr`, so that a line that is cut off would name another client; put it between quotes",
        ),
    ] {
        assert_eq!(refused(pattern), expected, "{pattern}");
    }
}

#[test]
fn nginxs_formats_can_be_copied() {
    for (pattern, line) in [
        (
            r#"$remote_addr [$time_local] $msec "$request" $status"#,
            r#"203.0.113.7 [10/Oct/2023:11:06:56 +0200] 1696928816.500 "GET /a HTTP/1.1" 404"#,
        ),
        (
            r#"$remote_addr $msec [$time_local] "$request_method $scheme://$host$request_uri" $status $msec"#,
            r#"203.0.113.7 1696928816.500 [10/Oct/2023:11:06:56 +0200] "GET https://example.org/a" 404 1696928817.000"#,
        ),
        (
            r#"src="$remote_addr" [$time_local] at=$msec status="$status" "$request" $status"#,
            r#"src="203.0.113.7" [10/Oct/2023:11:06:56 +0200] at=1696928816.500 status="404" "GET /a HTTP/1.1" 200"#,
        ),
        (
            r#"$remote_addr $msec "$request" $status "$remote_addr""#,
            r#"203.0.113.7 1696928816.500 "GET /a HTTP/1.1" 404 "203.0.113.8""#,
        ),
        (
            r#"$remote_addr - $remote_user $msec \"$request\" $upstream_status $status\t$upstream_addr\t$http_user_agent"#,
            "203.0.113.7 - a b 1696928816.500 \"GET /a HTTP/1.1\" 502, 404 : 404 404\t10.0.0.1:80, 10.0.0.2:80\tcurl",
        ),
        (
            r#"$http_host	$remote_addr	$msec	$status	$request_method $request_uri	$remote_port"#,
            "example.org\t203.0.113.7\t1696928816.500\t404\tGET /a\t4711",
        ),
        (
            r#"$remote_addr:$remote_port $msec $status $server_name "$request""#,
            r#"203.0.113.7:4711 1696928816.500 404 example.org "GET /a HTTP/1.1""#,
        ),
        (
            r#"[$msec] "$request" $status "$proxy_add_x_forwarded_for""#,
            r#"[1696928816.500] "GET /a HTTP/1.1" 404 "6.6.6.6, 203.0.113.7""#,
        ),
    ] {
        let shown = shown(pattern, line);
        assert!(
            shown.starts_with("203.0.113.7 2023-10-10T09:06:56.5Z 404 GET /a host="),
            "{pattern}: {shown}"
        );
    }
}

#[test]
fn a_host_ends_where_the_path_begins() {
    assert_eq!(
        shown(
            r#"$remote_addr [$time_local] "$request_method $scheme://$host$request_uri" $status"#,
            r#"203.0.113.7 [10/Oct/2023:11:06:56 +0200] "GET https://example.org:8443/a/b" 404"#
        ),
        "203.0.113.7 2023-10-10T09:06:56Z 404 GET /a/b host=example.org:8443 agent=–"
    );
}

#[test]
fn a_time_may_be_of_two_fields() {
    for between in [' ', '\t'] {
        let line = format!(r#"404 2023-10-10{between}09:06:56.805 203.0.113.7 "GET /a HTTP/1.1""#);
        assert_eq!(
            shown(r#"$status $time_iso8601 $remote_addr "$request""#, &line),
            "203.0.113.7 2023-10-10T09:06:56.805Z 404 GET /a host=– agent=–"
        );
    }
}

#[test]
fn any_time_field_takes_any_shape() {
    for time in [
        "10/Oct/2023:11:06:56.000 +0200",
        "10/Oct/2023 09:06:56",
        "10/10/2023:11:06:56 +0200",
        "2023/10/10 09:06:56",
        "2023-10-10 11:06:56.000 +0200",
        "Tue Oct 10 09:06:56 2023",
        "1696928816",
    ] {
        for name in ["time_local", "time_iso8601", "msec"] {
            let pattern = format!(r#"$remote_addr - $remote_user [${name}] "$request" $status"#);
            let line = format!(r#"203.0.113.7 - - [{time}] "GET /a HTTP/1.1" 404"#);
            assert_eq!(
                shown(&pattern, &line),
                "203.0.113.7 2023-10-10T09:06:56Z 404 GET /a host=– agent=–",
                "{time}"
            );
            let pattern = format!(r#"$remote_addr - $remote_user ${name} "$request" $status"#);
            let line = format!(r#"203.0.113.7 - a 9 {time} "GET /a HTTP/1.1" 404"#);
            assert!(shown(&pattern, &line).contains("T09:06:56Z 404"), "{time}");
        }
    }
}

#[test]
fn apaches_empty_user_name_is_two_quotes() {
    assert_eq!(
        shown(
            r#"$remote_addr - $remote_user [$time_local] "$request" $status"#,
            r#"203.0.113.7 - "" [10/Oct/2023:11:06:56 +0200] "GET /a HTTP/1.1" 401"#
        ),
        "203.0.113.7 2023-10-10T09:06:56Z 401 GET /a host=– agent=–"
    );
}

#[test]
fn a_time_between_two_texts_of_a_client_is_the_latest() {
    let pattern = r#"$remote_addr - $remote_user [$time_local] $http_host "$request" $status"#;
    for (user, host) in [
        ("-", "example.org"),
        ("x [10/Oct/2023:11:06:00 +0200] y", "example.org"),
        ("-", "x [10/Oct/2023:11:06:00 +0200] y"),
    ] {
        let line =
            format!(r#"203.0.113.7 - {user} [10/Oct/2023:11:06:56 +0200] {host} "GET /a HTTP/1.1" 404"#);
        let shown = shown(pattern, &line);
        assert!(
            shown.starts_with("203.0.113.7 2023-10-10T09:06:56Z 404 GET /a host="),
            "{shown}"
        );
    }
}

#[test]
fn in_doubt_an_address_in_what_a_client_writes_is_another_reading() {
    let pattern = r#"$remote_addr - $remote_user [$time_local] "$request" $status"#;
    let format = Format::pattern(pattern).unwrap();
    let line = r#"203.0.113.67 - x, 203.0.113.7 - - [10/Oct/2023:11:06:56 +0200] "GET / HTTP/1.1" 404"#;
    assert!(understood(&format, line.as_bytes()).starts_with("203.0.113.67 "));
    let doubted = understood(&format.with_doubt(), line.as_bytes());
    assert_eq!(
        doubted,
        "! two readings: the client may be field 1 or field 4; state a format in which it is clear"
    );
    // Before 1.21.1, nginx takes a host with spaces.
    let pattern = format!("$host {pattern}");
    let line = r#"x 203.0.113.67 - 203.0.113.7 - - [10/Oct/2023:11:06:56 +0200] "GET / HTTP/1.1" 404"#;
    assert!(shown(&pattern, line).starts_with("! two readings: "));
}

#[test]
fn a_statement_of_a_config_is_a_pattern() {
    let line = br#"203.0.113.7 - - [21/Nov/2026:11:06:56 +0100] "GET /x HTTP/1.1" 404 12 "-" "curl""#;
    for text in [
        r#"log_format main '$remote_addr - $remote_user [$time_local] "$request" ' '$status $body_bytes_sent "$http_referer" "$http_user_agent"';"#,
        r#"'$remote_addr - $remote_user [$time_local] "$request" ' '$status $body_bytes_sent "$http_referer" "$http_user_agent"'"#,
        r#"LogFormat "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\"" combined"#,
        r#"$proxy_protocol_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#,
    ] {
        let format: Format = text.parse().unwrap();
        assert_eq!(
            understood(&format, line),
            "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=– agent=curl",
            "{text}"
        );
        assert_eq!(format.to_string(), text);
    }
    let both = r#"$proxy_protocol_addr $remote_addr - [$time_local] "$request" $status $rest"#;
    let line = br#"198.51.100.9 203.0.113.7 - [21/Nov/2026:11:06:56 +0100] "GET /x HTTP/1.1" 404 12"#;
    let shown = understood(&both.parse().unwrap(), line);
    assert!(shown.starts_with("203.0.113.7 "), "{shown}");
}
