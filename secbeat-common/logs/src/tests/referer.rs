//! The page that a client says it came from, in each layout that has it.

use crate::Format;

#[test]
fn a_referer_is_read_where_a_layout_has_it() {
    let combined = r#"203.0.113.7 - - [20/Nov/2026:10:00:00 +0000] "GET /a HTTP/1.1" 200 5 "https://example.org/" "curl/8""#;
    for (format, line) in [
        ("combined", combined),
        (
            r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#,
            combined,
        ),
        (
            r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i""#,
            combined,
        ),
        (
            "nginx-json",
            r#"{"msec":"1795168800.004","remote_addr":"203.0.113.7","status":"200","request_uri":"/a","http_referer":"https://example.org/"}"#,
        ),
        (
            "caddy-json",
            r#"{"ts":1795168800.1,"msg":"handled request","request":{"client_ip":"203.0.113.7","method":"GET","uri":"/a","headers":{"Referer":["https://example.org/"]}},"status":200}"#,
        ),
        (
            "traefik-json",
            r#"{"ClientHost":"203.0.113.7","DownstreamStatus":200,"RequestPath":"/a","StartUTC":"2026-11-20T10:00:00.004Z","request_Referer":"https://example.org/"}"#,
        ),
    ] {
        let format: Format = format.parse().unwrap();
        let parsed = format.parse(line.as_bytes()).unwrap();
        assert_eq!(
            parsed.referer.as_deref(),
            Some(&b"https://example.org/"[..]),
            "{line}"
        );
    }
}

#[test]
fn a_dash_is_no_referer_and_common_has_none() {
    for (format, referer) in [("combined", "-"), ("common", "https://example.org/")] {
        let line = format!(
            r#"203.0.113.7 - - [20/Nov/2026:10:00:00 +0000] "GET /a HTTP/1.1" 200 5 "{referer}" "curl/8""#
        );
        let format: Format = format.parse().unwrap();
        assert_eq!(format.parse(line.as_bytes()).unwrap().referer, None, "{line}");
    }
}
