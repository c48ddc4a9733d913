//! Text formats with names, by literal lines.

use super::{named, understood};
use crate::{Caution, Detection, Formats, LogError};

const SHOWN: &str = "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=www.example.org agent=curl";

fn shown(name: &str, line: &str) -> String {
    understood(&named(name), line.as_bytes())
}

#[test]
fn nginx_proxy_manager_writes_two_formats() {
    for line in [
        r#"[21/Nov/2026:11:06:56 +0100] - 404 404 - GET https www.example.org "/x" [Client 203.0.113.7] [Length 12] [Gzip -] [Sent-to 10.0.0.5] "curl" "-""#,
        r#"[21/Nov/2026:11:06:56 +0100] - 502, 404 404 - GET https www.example.org "/x" [Client 203.0.113.7] [Length 12] [Gzip 2.10] [Sent-to app one] "curl" "-""#,
        r#"[21/Nov/2026:11:06:56 +0100] HIT - 404 - GET https www.example.org "/x" [Client 203.0.113.7] [Length 12] [Gzip -] [Sent-to 10.0.0.5] "curl" "-""#,
        r#"[21/Nov/2026:11:06:56 +0100] 404 - GET https www.example.org "/x" [Client 203.0.113.7] [Length 0] [Gzip -] "curl" "-""#,
    ] {
        assert_eq!(shown("nginx-proxy-manager", line), SHOWN, "{line}");
    }
    let aborted = r#"[21/Nov/2026:11:06:56 +0100] - - - - GET https www.example.org "/x" [Client 203.0.113.7] [Length 0] [Gzip -] [Sent-to 10.0.0.5] "curl" "-""#;
    assert_eq!(
        shown("nginx-proxy-manager", aborted),
        SHOWN.replace(" 404 ", " 0 ")
    );
}

#[test]
fn controllers_and_gateways_on_nginx() {
    let ingress = r#"203.0.113.7 - - [21/Nov/2026:11:06:56 +0100] "GET /x HTTP/1.1" 404 12 "-" "curl" 75 0.001 [default-web-80] [] 10.244.0.5:8080 12 0.001 404 f47a"#;
    assert_eq!(
        shown("ingress-nginx", ingress),
        SHOWN.replace("www.example.org", "–")
    );
    let apisix = r#"203.0.113.7 - - [21/Nov/2026:11:06:56 +0100] www.example.org "GET /x HTTP/1.1" 404 12 0.001 "-" "curl" 10.0.0.1:80 404 0.001 "http://www.example.org""#;
    assert_eq!(shown("apisix", apisix), SHOWN);
}

#[test]
fn lighttpd_has_the_host_behind_the_client() {
    for host in ["www.example.org", "198.51.100.66"] {
        let line = format!(
            r#"203.0.113.7 {host} - [21/Nov/2026:11:06:56 +0100] "GET /x HTTP/1.1" 404 12 "-" "curl""#
        );
        assert_eq!(shown("lighttpd", &line), SHOWN.replace("www.example.org", host));
    }
}

#[test]
fn istio_names_the_address_of_the_connection() {
    let line = r#"[2026-11-21T10:06:56.000Z] "GET /x HTTP/1.1" 404 NR route_not_found - "-" 0 0 0 - "6.6.6.6,10.0.0.9" "curl" "f47a" "www.example.org" "-" - - 10.0.0.1:8080 203.0.113.7:33210 - default"#;
    assert_eq!(shown("istio", line), SHOWN);
    assert_eq!(shown("envoy", line), SHOWN);
    let forged = line.replace("curl", r#"" "f47a" "x" "-" - - 10.0.0.1:8080 198.51.100.66:1 - "#);
    assert_eq!(
        shown("istio", &forged),
        "! not the number of quotes that the format has, and its server does not escape those of clients"
    );
}

#[test]
fn pythons_server_escapes_no_quotes() {
    for (request, expected) in [
        ("GET /x HTTP/1.1", "404 GET /x"),
        ("GET /x\" 200 - HTTP/1.1", "404 GET /x\\\" 200 -"),
    ] {
        let line = format!(r#"203.0.113.7 - - [21/Nov/2026 10:06:56] "{request}" 404 -"#);
        assert_eq!(
            shown("python-http-server", &line),
            format!("203.0.113.7 2026-11-21T10:06:56Z {expected} host=– agent=–")
        );
    }
    // What other servers log behind the user agent is not a status.
    let port = r#"203.0.113.7 - - [21/Nov/2026 10:06:56] "GET /x HTTP/1.1" 404 12 "-" "curl" 443"#;
    assert!(shown("python-http-server", port).starts_with("! "));
    let combined = r#"203.0.113.7 - - [21/Nov/2026 10:06:56] "GET /x HTTP/1.1" 404 -"#;
    assert!(shown("combined", combined).starts_with("203.0.113.7 2026-11-21T10:06:56Z 404 "));
}

#[test]
fn amazons_load_balancers() {
    let alb = r#"h2 2026-11-21T10:06:56.000000Z app/lb/50dc 203.0.113.7:46532 10.0.0.66:9000 0.000 0.001 0.000 404 404 34 366 "GET https://www.example.org/x HTTP/2.0" "curl" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:x "Root=1" "www.example.org" "arn" 1 2026-11-21T10:06:55.9Z "forward" "-" "-""#;
    assert_eq!(shown("aws-alb", alb), SHOWN);
    let (_, elb) = alb.split_once(' ').unwrap();
    assert_eq!(shown("aws-alb", elb), SHOWN);
    let port = shown("aws-alb", &alb.replace("org/x", "org:443/x"));
    assert_eq!(
        port,
        SHOWN.replace("host=www.example.org", "host=www.example.org:443")
    );
    let refused = shown("aws-alb", &alb.replace(" 404 404 ", " - - "));
    assert_eq!(refused, SHOWN.replace(" 404 ", " 0 "));
}

#[test]
fn squid_pads_the_time_that_an_answer_took() {
    for took in [
        "     0", "    12", "   123", "  1234", " 12345", "123456", "1234567",
    ] {
        let line = format!(
            "1795255616.000 {took} 203.0.113.7 TCP_MISS/404 512 GET http://www.example.org/x frank HIER_DIRECT/10.0.0.5 text/html"
        );
        assert_eq!(
            shown("squid", &line),
            SHOWN.replace("agent=curl", "agent=–"),
            "{took}"
        );
    }
    let tunnel = "1795255616.000      0 203.0.113.7 TCP_DENIED/403 3953 CONNECT www.example.org:25 - HIER_NONE/- text/html";
    let expected = "203.0.113.7 2026-11-21T10:06:56Z 403 CONNECT www.example.org:25 host=– agent=–";
    assert_eq!(shown("squid", tunnel), expected);
}

#[test]
fn amazons_store() {
    let line = r#"79a5 shop [21/Nov/2026:10:06:56 +0000] 203.0.113.7 - 3E57 REST.GET.OBJECT x "GET /x HTTP/1.1" 404 NoSuchKey 243 - 7 - "-" "curl" - s9lz+5cj= SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader shop.s3.amazonaws.com TLSV1.2 - -"#;
    assert_eq!(shown("aws-s3", line), SHOWN.replace("www.example.org", "–"));
}

#[test]
fn gin_names_the_client_before_what_a_client_writes() {
    let line = r#"[GIN] 2026/11/21 - 10:06:56 | 404 |    1.234ms |     203.0.113.7 | GET      "/x""#;
    let expected = "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=– agent=–";
    let berlin = jiff::tz::TimeZone::fixed(jiff::tz::offset(1));
    for wrapped in [
        line.to_owned(),
        format!("app-1  | {line}"),
        format!("Nov 21 10:06:56 host app[12]: {line}"),
    ] {
        assert_eq!(shown("gin", &wrapped), expected, "{wrapped}");
    }
    let local = named("gin").with_time_zone(berlin);
    assert_eq!(
        understood(&local, line.replace("- 10:", "- 11:").as_bytes()),
        expected
    );
    // Before 1.6, clients could write lines.
    let old = line.replace("\"/x\"", "/x");
    let mut detection = Detection::default();
    detection.see(old.as_bytes());
    assert_eq!(detection.likeliest().to_string(), "gin");
    assert_eq!(shown("gin", &old), format!("! {}", LogError::Gin));
    let formats = Formats::from(named("gin"));
    assert_eq!(Caution::of_formats(&formats), Some(Caution::GinHeader));
    assert_eq!(Caution::of_header(&formats), Some(Caution::GinHeader));
}

#[test]
fn cpanels_times_have_the_month_first() {
    for (time, at) in [("11/21/2026", "2026-11-21"), ("11/05/2026", "2026-11-05")] {
        let line = format!(
            r#"203.0.113.7 - frank%40example.org [{time}:10:06:56 -0000] "GET /cpsess1/x HTTP/1.1" 404 0 "-" "curl" "s" "-" 2083"#
        );
        assert_eq!(
            shown("combined", &line),
            format!("203.0.113.7 {at}T10:06:56Z 404 GET /cpsess1/x host=– agent=curl")
        );
    }
}

#[test]
fn w3cs_fields_are_those_of_the_header() {
    let iis = "2026-11-21 10:06:56 10.0.0.1 GET /x a=b 443 - 203.0.113.7 curl - 404 0 2 15";
    assert_eq!(shown("iis", iis), SHOWN.replace("host=www.example.org", "host=–"));
    let header = b"#Fields: date time c-ip cs-method cs-uri-stem cs-host cs(User-Agent) sc-status time-taken";
    let format = named("iis");
    assert_eq!(format.parse(header), Err(LogError::Header));
    let format = format.after_header(header).unwrap();
    let line = b"2026-11-21 10:06:56 203.0.113.7 GET /x www.example.org curl 404 15";
    assert_eq!(understood(&format, line), SHOWN);
    assert_eq!(format.to_string(), "iis");
    assert_eq!(
        format
            .after_header(b"#Fields: date time c-ip")
            .unwrap_err()
            .to_string(),
        "the pattern has no status: `$status`, `%>s` or `%ST`"
    );

    // Behind a load balancer, whose address is that of the connection.
    let with_peer = b"#Fields: date time c-ip cs-method cs-uri-stem sc-status time-taken X-Forwarded-For";
    let format = named("iis").after_header(with_peer).unwrap();
    let line = b"2026-11-21 10:06:56 10.0.0.5 GET /x 404 15 6.6.6.6,+203.0.113.7";
    let mut parsed = format.parse(line).unwrap();
    assert_eq!(parsed.client.to_string(), "10.0.0.5");
    let is_proxy = |address: std::net::IpAddr| address.to_string() == "10.0.0.5";
    parsed.see_through(is_proxy).unwrap();
    assert_eq!(parsed.client.to_string(), "203.0.113.7");
    let mut direct = format
        .parse(b"2026-11-21 10:06:56 10.0.0.5 GET /x 404 15 -")
        .unwrap();
    assert_eq!(direct.see_through(is_proxy), Err(LogError::Proxy));
    let alone = b"#Fields: date time cs-method cs-uri-stem sc-status cs(X-Forwarded-For) time-taken";
    let format = named("iis").after_header(alone).unwrap();
    let line = b"2026-11-21 10:06:56 GET /x 404 6.6.6.6,+203.0.113.7 15";
    assert_eq!(format.parse(line).unwrap().client.to_string(), "203.0.113.7");
    let other_case =
        b"#Fields: Date Time C-IP cs-method cs-uri-stem cs-host CS(User-Agent) sc-status time-taken";
    let format = named("iis").after_header(other_case).unwrap();
    let line = b"2026-11-21 10:06:56 203.0.113.7 GET /x www.example.org curl 404 15";
    assert_eq!(understood(&format, line), SHOWN);
    let linked = b"2026-11-21 10:06:56 fe80::1%4 GET /x www.example.org curl 404 15";
    assert_eq!(
        understood(&format, linked),
        SHOWN.replace("203.0.113.7", "fe80::1")
    );

    let cloudfront =
        "2026-11-21\t10:06:56\tFRA2\t392\t203.0.113.7\tGET\twww.example.org\t/x\t404\t-\tcurl\t-\t-\tHit\tid";
    assert_eq!(shown("cloudfront", cloudfront), SHOWN);
    for header in ["#Version: 1.0", "#Software: x", "#Date: 2026-11-21 10:06:56"] {
        assert_eq!(
            named("cloudfront").parse(header.as_bytes()),
            Err(LogError::Header)
        );
    }
}
