//! JSON by literal lines.

use super::{named, understood};

const NGINX: &str = r#"{"time_iso8601":"2026-11-20T10:00:07+01:00","remote_addr":"203.0.113.7","request":"GET /a?b=c HTTP/1.1","status":"404","http_host":"example.org","http_user_agent":"curl/8"}"#;

#[test]
fn nginx_variables_say_what_they_are() {
    let expected = "203.0.113.7 2026-11-20T09:00:07Z 404 GET /a?b=c host=example.org agent=curl/8";
    assert_eq!(understood(&named("nginx-json"), NGINX.as_bytes()), expected);
    let other = r#"{"msec":1795165207.5,"remote_addr":"::ffff:203.0.113.7","request_method":"GET","request_uri":"/a","request":"no","status":404,"http_host":"-","host":null,"server_name":"example.org","upstream":{"status":200},"user_agent":""}"#;
    assert_eq!(
        understood(&named("nginx-json"), other.as_bytes()),
        "203.0.113.7 2026-11-20T09:00:07.5Z 404 GET /a host=example.org agent=–",
        "the first variable that is there counts, and only those of the line itself"
    );
}

#[test]
fn escapes_are_undone_and_text_need_not_be_utf8() {
    let line = NGINX
        .replace("/a?b=c", r#"/\"\u00e9\/\ud800"#)
        .replace("curl/8", "curl\\t");
    assert_eq!(
        understood(&named("nginx-json"), line.as_bytes()),
        r#"203.0.113.7 2026-11-20T09:00:07Z 404 GET /\"\xc3\xa9/\xed\xa0\x80 host=example.org agent=curl\t"#
    );
    let (before, after) = NGINX.split_once("curl/8").unwrap();
    let line = [
        before.as_bytes(),
        b"\xff\xfe",
        after.trim_end_matches('}').as_bytes(),
        b",\"other\":\"\xff\"}",
    ]
    .concat();
    assert_eq!(
        understood(&named("nginx-json"), &line),
        r"203.0.113.7 2026-11-20T09:00:07Z 404 GET /a?b=c host=example.org agent=\xff\xfe"
    );
}

#[test]
fn a_path_that_looks_like_json_stays_a_path() {
    let line = NGINX.replace("/a?b=c", r#"/\",\"remote_addr\":\"6.6.6.6\",\"x\":\""#);
    let shown = understood(&named("nginx-json"), line.as_bytes());
    assert!(shown.starts_with("203.0.113.7 "), "{shown}");
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    for (from, to, expected) in [
        ("\"remote_addr\"", "\"addr\"", "! it has no client address"),
        ("203.0.113.7", "unix:", "! the client is no address"),
        ("\"time_iso8601\"", "\"when\"", "! it has no time"),
        ("2026-11-20T10", "2026-13-20T10", "! the time has no known shape"),
        ("\"status\"", "\"state\"", "! it has no status"),
        ("\"404\"", "\"40\"", "! the status is no number from 100 to 999"),
        ("\"404\"", "1404", "! the status is no number from 100 to 999"),
        ("\"404\"", "\"404", "! byte 120: no JSON object"),
        ("curl/8\"}", "curl/8\"} x", "! byte 174: no JSON object"),
    ] {
        let line = NGINX.replace(from, to);
        assert_eq!(
            understood(&named("nginx-json"), line.as_bytes()),
            expected,
            "{to}"
        );
    }
    assert_eq!(
        understood(&named("nginx-json"), b"[1]"),
        "! byte 1: no JSON object"
    );
    let deep = [b"{\"x\":".as_slice(), &[b'['; 60_000]].concat();
    assert!(understood(&named("nginx-json"), &deep).ends_with(": no JSON object"));
}

#[test]
fn caddys_error_log_is_no_access_log() {
    let line = r#"{"ts":1693840791.75,"logger":"http.log.error","msg":"dial tcp: refused","request":{"remote_ip":"203.0.113.7","method":"GET","host":"a","uri":"/","headers":{}},"status":502}"#;
    let caddy = named("caddy-json");
    assert_eq!(
        understood(&caddy, line.as_bytes()),
        "! the message is not that of a request"
    );
    let line = line.replace("dial tcp: refused", "handled request");
    assert_eq!(
        understood(&caddy, line.as_bytes()),
        "203.0.113.7 2023-09-04T15:19:51.75Z 502 GET / host=a agent=–"
    );
    let old = line.replace(
        "\"remote_ip\":\"203.0.113.7\"",
        "\"remote_addr\":\"[2001:db8::7]:4711\"",
    );
    assert!(understood(&caddy, old.as_bytes()).starts_with("2001:db8::7 "));
}

#[test]
fn envoy_and_istio_name_their_keys_differently() {
    for line in [
        r#"{":authority":"a","downstream_remote_address":"203.0.113.7:1","method":"GET","response_code":200,"start_time":"2025-12-31T16:37:40.479Z","user-agent":"curl","x-envoy-origin-path":"/x","x-forwarded-for":"6.6.6.6"}"#,
        r#"{"authority":"a","downstream_remote_address":"203.0.113.7:1","method":"GET","response_code":"200","start_time":"2025-12-31T16:37:40.479Z","user_agent":"curl","path":"/x"}"#,
    ] {
        assert_eq!(
            understood(&named("envoy-json"), line.as_bytes()),
            "203.0.113.7 2025-12-31T16:37:40.479Z 200 GET /x host=a agent=curl"
        );
    }
}
