//! HAProxy and Envoy by literal lines.

use jiff::tz::TimeZone;

use super::{named, understood};

const HAPROXY: &str = r#"203.0.113.7:14853 [14/Jan/2026:12:48:57.127] https-in~ site/web1 170/0/0/3/173 200 739 - - --NN 0/0/0/0/0 0/0 {example.org|curl} {} "GET /a HTTP/1.1""#;
const SHOWN: &str = "203.0.113.7 2026-01-14T12:48:57.127Z 200 GET /a host=– agent=–";

/// What HAProxy writes on its standard output, and rsyslog by its older templates.
const OWN_HEADERS: [&str; 6] = [
    "2026-01-14T12:48:57.123456+01:00 ",
    "<6>2026-01-14T12:48:57.123456+01:00 ",
    "<6>",
    "haproxy[14389]: ",
    "haproxy[14389]:  ",
    "Jan 14 12:48:57 lb1 haproxy[4711] ",
];

#[test]
fn haproxy_with_and_without_a_syslog_header() {
    let haproxy = named("haproxy");
    for before in [
        "",
        "<134>Jan 14 12:48:57 lb1 haproxy[4711]: ",
        "<134>1 2026-01-14T12:48:57+01:00 lb1 haproxy 4711 - - ",
    ]
    .into_iter()
    .chain(OWN_HEADERS)
    {
        assert_eq!(
            understood(&haproxy, format!("{before}{HAPROXY}").as_bytes()),
            SHOWN,
            "{before}"
        );
    }
    let v6 = HAPROXY.replace("203.0.113.7:", "2001:db8::7:");
    assert_eq!(
        understood(&haproxy, v6.as_bytes()),
        SHOWN.replace("203.0.113.7", "2001:db8::7")
    );
}

#[test]
fn haproxys_local_time_is_of_the_zone_given() {
    let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let haproxy = named("haproxy").with_time_zone(berlin);
    assert_eq!(
        understood(&haproxy, HAPROXY.as_bytes()),
        SHOWN.replace("T12:", "T11:")
    );
}

/// Whose browsers send host and path apart.
#[test]
fn haproxys_urls_of_http_2_and_3_are_a_host_and_a_path() {
    for (request, method, path, host) in [
        (
            "GET https://www.example.org/admin?x HTTP/2.0",
            "GET",
            "/admin?x",
            "www.example.org",
        ),
        (
            "GET https://www.example.org:8443/a HTTP/3.0",
            "GET",
            "/a",
            "www.example.org:8443",
        ),
        (
            "GET https://www.example.org HTTP/2.0",
            "GET",
            "/",
            "www.example.org",
        ),
        ("GET /a HTTP/2.0", "GET", "/a", "–"),
        // A client of HTTP/1.1 wrote that itself.
        (
            "GET http://a.example/b HTTP/1.1",
            "GET",
            "http://a.example/b",
            "a.example",
        ),
    ] {
        let line = HAPROXY.replace("GET /a HTTP/1.1", request);
        let shown = SHOWN
            .replace("GET /a", &format!("{method} {path}"))
            .replace("host=–", &format!("host={host}"));
        assert_eq!(understood(&named("haproxy"), line.as_bytes()), shown, "{request}");
        let pattern = format!("203.0.113.7:1 [14/Jan/2026:12:48:57.127] 200 \"{request}\"");
        let pattern_shown = understood(&named("%ci:%cp [%tr] %ST %{+Q}r"), pattern.as_bytes());
        assert_eq!(pattern_shown, shown, "{request}");
    }
    let line =
        "203.0.113.7:1 [14/Jan/2026:12:48:57.127] 200 \"GET\" \"https://www.example.org/a\" \"HTTP/2.0\"";
    assert_eq!(
        understood(
            &named("%ci:%cp [%tr] %ST %{+Q}HM %{+Q}HU %{+Q}HV"),
            line.as_bytes()
        ),
        SHOWN.replace("host=–", "host=www.example.org")
    );
}

#[test]
fn haproxys_odd_requests() {
    let haproxy = named("haproxy");
    for (from, to, expected) in [
        ("\"GET /a HTTP/1.1\"", "\"GET /a", SHOWN.to_owned()),
        (
            "GET /a HTTP/1.1",
            "<BADREQ>",
            SHOWN.replace("GET /a", "– <BADREQ>"),
        ),
        (" 200 ", " -1 ", SHOWN.replace(" 200 ", " 0 ")),
        (
            " 200 739",
            " SSL handshake failure",
            "! no status and quoted request after the date: not of the HTTP log".to_owned(),
        ),
        (
            ":14853",
            "",
            "! no `client:port [date]` of an HTTP log".to_owned(),
        ),
        (
            "14/Jan",
            "14/Foo",
            "! no `client:port [date]` of an HTTP log".to_owned(),
        ),
    ] {
        assert_eq!(
            understood(&haproxy, HAPROXY.replace(from, to).as_bytes()),
            expected,
            "{to}"
        );
    }
}

/// A socket's client has no address, and what captured headers look like is none of its fields.
#[test]
fn captured_headers_are_no_beginning_of_haproxys_line() {
    let captured = r#"{M 6.6.6.6:1 [21/Nov/2026:11:06:56.127] a b/c 0/0/0/0/0 404 x} "GET /x HTTP/1.1""#;
    let rest = format!(
        "[30/Nov/2026:14:03:40.135] fe fe/<NOSRV> 0/-1/-1/-1/0 404 56 - - LR-- 1/1/0/0/0 0/0 {captured}"
    );
    for (client, expected) in [
        ("unix:1", "! no `client:port [date]` of an HTTP log"),
        ("-:22222", "! no `client:port [date]` of an HTTP log"),
        (
            "203.0.113.7:1",
            "203.0.113.7 2026-11-30T14:03:40.135Z 404 GET /x ",
        ),
    ] {
        let headers = ["", "<134>Jan 14 12:48:57 lb1 haproxy[4711]: "].into_iter();
        for before in headers.chain(OWN_HEADERS) {
            let line = format!("{before}{client} {rest}");
            let shown = understood(&named("haproxy"), line.as_bytes());
            assert!(shown.starts_with(expected), "{line}: {shown}");
            let mut detection = crate::Detection::default();
            detection.see(line.as_bytes());
            let chosen = detection.chosen().map(ToString::to_string);
            assert!(
                chosen.is_none() || chosen.as_deref() == Some("haproxy"),
                "{chosen:?}"
            );
        }
    }
}

const ENVOY: &str = r#"[2026-01-24T01:37:00.000Z] "GET /a HTTP/1.1" 200 - 0 512 30 15 "6.6.6.6, 203.0.113.7" "curl" "id" "example.org" "tcp://10.42.0.82:8080""#;

#[test]
fn envoys_client_is_the_last_forwarded_address() {
    let envoy = named("envoy");
    let expected = "203.0.113.7 2026-01-24T01:37:00Z 200 GET /a host=example.org agent=curl";
    assert_eq!(understood(&envoy, ENVOY.as_bytes()), expected);
    let prefixed = format!("2026-01-24T01:37:00.000000000+00:00 stdout F {ENVOY}");
    assert_eq!(understood(&envoy, prefixed.as_bytes()), expected);
    let unanswered = ENVOY.replace(" 200 - ", " 0 DC ");
    assert_eq!(
        understood(&envoy, unanswered.as_bytes()),
        expected.replace(" 200 ", " 0 ")
    );
}

#[test]
fn quotes_of_a_client_move_nothing_in_envoys_text() {
    let envoy = named("envoy");
    for (from, to) in [
        ("/a", r#"/" 404 - 0 0 0 0 "6.6.6.6" ""#),
        ("6.6.6.6", r#"6.6.6.6" "curl"#),
        ("\"curl\"", r#""cu"rl""#),
    ] {
        let shown = understood(&envoy, ENVOY.replace(from, to).as_bytes());
        assert!(shown.starts_with("! not the number of quotes"), "{shown}");
    }
    assert_eq!(
        understood(&envoy, ENVOY.replace("6.6.6.6, 203.0.113.7", "-").as_bytes()),
        "! the client is not an address"
    );
}
