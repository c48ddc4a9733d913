//! Apache's `LogFormat` and HAProxy's `log-format`.

use super::{Format, understood};

const SHOWN: &str = "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=– agent=–";

fn shown(pattern: &str, line: &str) -> String {
    understood(&Format::pattern(pattern).unwrap(), line.as_bytes())
}

fn refused(pattern: &str) -> String {
    Format::pattern(pattern).unwrap_err().to_string()
}

#[test]
fn apaches_formats_can_be_copied() {
    for (pattern, line) in [
        (
            r#"%h %l %u %t "%r" %>s %b"#,
            r#"203.0.113.7 - - [21/Nov/2026:11:06:56 +0100] "GET /x HTTP/1.1" 404 12"#,
        ),
        (
            r#"%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{Cookie}i\""#,
            r#"203.0.113.7 - "" [21/Nov/2026:11:06:56 +0100] "GET /x HTTP/1.1" 404 12 "-" "\"""#,
        ),
        (
            r#"%a %{c}a %l %u %t "%r" %s %>s %b"#,
            r#"203.0.113.7 10.0.0.9 - a b [21/Nov/2026:11:06:56 +0100] "GET /x HTTP/1.1" 302 404 12"#,
        ),
        (
            r#"%p:%a:%{remote}p %{%d/%b/%Y:%H:%M:%S}t.%{msec_frac}t %{%z}t "%m %U%q %H" %>s %D"#,
            r#"443:203.0.113.7:4711 21/Nov/2026:11:06:56.000 +0100 "GET /x HTTP/1.1" 404 12"#,
        ),
        (
            r#"%{[%Y-%m-%d %H:%M:%S]}t %h "%r" %>s %!200,304,302{Referer}i"#,
            r#"[2026-11-21 10:06:56] 203.0.113.7 "GET /x HTTP/1.1" 404 -"#,
        ),
        (
            r#"%{usec}t "%{X-Forwarded-For}i" %400,501{User-agent}n "%r" %>s"#,
            r#"1795255616000000 "203.0.113.7" - "GET /x HTTP/1.1" 404"#,
        ),
        (
            r#"%{sec}t "%{X-Forwarded-For}i" 100%% "%r" %>s"#,
            r#"1795255616 "6.6.6.6, 203.0.113.7" 100% "GET /x HTTP/1.1" 404"#,
        ),
    ] {
        assert_eq!(shown(pattern, line), SHOWN, "{pattern}");
    }
    assert_eq!(
        shown(
            r#"%v:%p %h %l %u %t "%r" %>s %b "%{User-Agent}i" "%{Host}i""#,
            r#"web:443 203.0.113.7 - - [21/Nov/2026:11:06:56 +0100] "GET /x HTTP/1.1" 404 12 "curl" "www.example.org""#
        ),
        SHOWN.replace("host=– agent=–", "host=www.example.org agent=curl")
    );
}

#[test]
fn apaches_formats_that_a_client_could_move_are_refused() {
    assert_eq!(
        refused(r#"%{Host}i %h %l %u %t "%r" %>s"#),
        "`%h` cannot be read safely: a client can write `%{Host}i` and `%l` around it, and so move it; put `%{Host}i` between \
         quotes or behind `%h`"
    );
    assert_eq!(
        refused(r#"%{X-Forwarded-For}i %l %u %t "%r" %>s"#),
        "a client can write a part of `%{X-Forwarded-For}i`, so that its end cannot be found; put it between quotes"
    );
    assert_eq!(refused(r#"%h %{%"#), "`%` in the pattern is followed by no name");
    assert_eq!(
        refused("%h %t"),
        "the pattern has no status: `$status`, `%>s` or `%ST`"
    );
}

#[test]
fn haproxys_formats_can_be_copied() {
    let http = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r";
    for captured in ["", "{www.example.org|curl 198.51.100.66} ", "{a} {b} "] {
        let line = format!(
            r#"203.0.113.7:33317 [21/Nov/2026:10:06:56.000] www~ app/web1 0/0/1/2/3 404 123 - - ---- 1/1/0/0/0 0/0 {captured}"GET /x\ HTTP/1.1""#
        );
        assert_eq!(shown(http, &line), SHOWN.replace("/x", r"/x\\"), "{captured}");
    }
    // The first two as HAProxy 2.6 wrote them; the second is its `option httplog clf`.
    for (pattern, line) in [
        (
            "%{+Q}o %ci - - [%T] %HM %HU %HV %ST %B",
            r#""203.0.113.7" - - [21/Nov/2026:10:06:56 +0000] "GET" "/x" "HTTP/1.1" 404 56"#,
        ),
        (
            r#"%{+Q}o %{-Q}ci - - [%T] %r %ST %B "" "" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl"#,
            r#"203.0.113.7 - - [21/Nov/2026:10:06:56 +0000] "GET /x HTTP/1.1" 404 56 "" "" 57850 101 "b" "b" "<NOSRV>" 0 -1 -1 -1 0 LR-- 1 1 0 0 0 0 0 "" "" "#,
        ),
        (
            r#"%[src] %Ts.%ms %ST %{+Q}[capture.req.hdr(0)] %{+Q}r"#,
            r#"203.0.113.7 1795255616.000 404 "a #22 b" "GET /x HTTP/1.1""#,
        ),
    ] {
        assert_eq!(shown(pattern, line), SHOWN, "{pattern}");
    }
    // Read from the quote to the left.
    assert_eq!(
        shown(
            "%{+E}[req.hdr(host)] %ci:%cp [%tr] %ST %{+Q}r",
            r#"198.51.100.66:1 [21/Nov/2026:10:06:56.000] 200 2001:db8::7:1 [21/Nov/2026:10:06:56.000] 404 "GET /x HTTP/1.1""#
        ),
        SHOWN
            .replace("203.0.113.7", "2001:db8::7")
            .replace("host=–", "host=198.51.100.66:1 [21/Nov/2026:10:06:56.000] 200")
    );
    assert_eq!(
        refused("%[req.hdr(host)] %ci:%cp [%tr] %ST %r"),
        "`%ci` cannot be read safely: a client can write `%req.hdr(host)` and `%r` around it, and so move it; put \
         `%req.hdr(host)` between quotes or behind `%ci`"
    );
}

/// `+Q` sets quotes around an expression and escapes none in it.
#[test]
fn haproxys_formats_in_which_a_client_writes_bare_quotes_are_refused() {
    let reason = |before: &str, field: &str| {
        format!(
            "HAProxy writes quotes that a client sends into `{before}` as they are, so that `{field}` behind it could be moved: write \
             `%{{+Q,+E}}` before its name, end it with the converter `json()`, or put it behind `{field}`"
        )
    };
    for (pattern, before, field) in [
        (
            "%{+Q}[capture.req.hdr(0)] %ci:%cp [%tr] %ST %B %{+Q}r",
            "%capture.req.hdr(0)",
            "%ST",
        ),
        (
            r#""%[capture.req.hdr(0),lower]" %ci:%cp [%tr] %ST %B"#,
            "%capture.req.hdr(0),lower",
            "%ST",
        ),
        ("%{+Q}CC %ci:%cp [%tr] %ST %B %{+Q}r", "%CC", "%ST"),
        ("%ci:%cp [%tr] %{+Q}[url] %ST", "%url", "%ST"),
        ("%{+Q}o %ci:%cp [%tr] %[query] %ST", "%query", "%ST"),
        (
            "[%tr] %ST %{+Q}[req.hdr(x-forwarded-for)]",
            "%req.hdr(x-forwarded-for)",
            "%req.hdr(x-forwarded-for)",
        ),
    ] {
        assert_eq!(refused(pattern), reason(before, field), "{pattern}");
    }
    let line = |agent: &str| {
        format!(r#""{agent}" 203.0.113.7:33905 [21/Nov/2026:10:06:56.000] 404 56 "GET /x HTTP/1.1""#)
    };
    let forged = r#"x\" 6.6.6.6:80 [30/Nov/2026:06:30:00.000] 404 1 \"GET /"#;
    for pattern in [
        "%{+Q,+E}[capture.req.hdr(0)] %ci:%cp [%tr] %ST %B %{+Q}r",
        "%{+Q,+E}o %[capture.req.hdr(0)] %{-Q}ci:%cp [%tr] %ST %B %r",
        r#""%[capture.req.hdr(0),json(utf8s)]" %ci:%cp [%tr] %ST %B %{+Q}r"#,
    ] {
        assert_eq!(shown(pattern, &line(forged)), SHOWN, "{pattern}");
    }
    for pattern in [
        r#""%[capture.req.hdr(0),url_enc]" %ci:%cp [%tr] %ST %B %{+Q}r"#,
        r#""%[fe_name]" %ci:%cp [%tr] %ST %B %{+Q}r"#,
    ] {
        assert_eq!(shown(pattern, &line("a%22b")), SHOWN, "{pattern}");
    }
}

/// What stands in a unique ID, and what the PROXY protocol carries besides addresses, may be a client's; of headers, the last line is the
/// proxy's.
#[test]
fn what_haproxy_got_from_a_client_is_nothing_of_its_own() {
    for id in [
        "%ID",
        "%[fc_pp_authority]",
        "%[fc_pp_unique_id]",
        "%[ssl_fc_cipherlist_str]",
    ] {
        refused(&format!("{id} %ci:%cp [%tr] %ST %{{+Q}}r"));
        assert!(
            Format::pattern(&format!("%ci:%cp [%tr] %ST {id}")).is_ok(),
            "{id}"
        );
    }
    for own in ["%[ssl_fc_cipher]", "%[ssl_fc_protocol]", "%[fc_http_major]"] {
        assert!(
            Format::pattern(&format!("{own} %ci:%cp [%tr] %ST %{{+Q}}r")).is_ok(),
            "{own}"
        );
    }
    for arguments in ["x-forwarded-for,1", "x-forwarded-forger", "x-forwarded-for,0"] {
        let pattern = format!(r#"[%tr] %ST "%[req.hdr({arguments}),json(utf8s)]" %B"#);
        assert!(
            refused(&pattern).starts_with("the pattern has no client"),
            "{arguments}"
        );
    }
    for arguments in ["x-forwarded-for", "X-Forwarded-For, -1"] {
        let pattern = format!(r#"[%tr] %ST "%[req.hdr({arguments}),json(utf8s)]" %B"#);
        let line = r#"[21/Nov/2026:10:06:56.000] 404 "6.6.6.6, 203.0.113.7" 12"#;
        assert!(shown(&pattern, line).starts_with("203.0.113.7 "), "{arguments}");
    }
}

#[test]
fn a_request_that_other_texts_follow_without_quotes_is_none() {
    let line = "203.0.113.7 404 GET /x HTTP/1.1 www.example.org/x [21/Nov/2026:11:06:56 +0100] 'curl'";
    let read = shown("%h %s %r %v%U %t '%{User-Agent}i'", line);
    assert!(
        read.starts_with("203.0.113.7 2026-11-21T10:06:56Z 404 - "),
        "{read}"
    );
    let hestia = r#"%h %l %u %t %r "%>s" %b"#;
    let line = r#"203.0.113.7 - - [21/Nov/2026:11:06:56 +0100] GET /x HTTP/1.1 "404" 12"#;
    assert_eq!(shown(hestia, line), SHOWN);
}

#[test]
fn the_proxy_protocol_counts_more_than_a_header() {
    assert_eq!(
        shown(
            r#""$http_x_forwarded_for" $proxy_protocol_addr - $remote_user [$time_local] "$request" $status"#,
            r#""6.6.6.6" 203.0.113.7 - - [21/Nov/2026:11:06:56 +0100] "GET /x HTTP/1.1" 404"#,
        ),
        SHOWN
    );
}
