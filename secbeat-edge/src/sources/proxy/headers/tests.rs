use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;

use super::*;

const RULES: HeaderRules = HeaderRules {
    set: Vec::new(),
    remove: Vec::new(),
    via: true,
};

fn head(target: &str, fields: &[(&str, &str)]) -> request::Parts {
    let request = Request::builder().uri(target);
    fields
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value))
        .body(())
        .unwrap()
        .into_parts()
        .0
}

fn forwarded(target: &str, fields: &[(&str, &str)]) -> request::Parts {
    let mut head = head(target, fields);
    let host = target_host(&head).unwrap();
    let forwarded = Forwarded {
        peer: &HeaderValue::from_static("198.51.100.7"),
        client: None,
        scheme: Scheme::Http,
        named_in: None,
    };
    let trailers = to_upstream(&mut head, &host, &forwarded, &RULES).unwrap();
    let server = Authority::from_static("app:3000");
    for_http1(&mut head, &Empty::<Bytes>::new(), &host, trailers, &server);
    head
}

#[test]
fn fields_of_one_hop_end_here() {
    let mut headers = head(
        "/",
        &[
            ("connection", "close, X-Mine"),
            ("connection", " ,keep-alive,bad name"),
            ("x-mine", "1"),
            ("keep-alive", "1"),
            ("proxy-connection", "1"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("proxy-authenticate", "1"),
            ("proxy-authorization", "1"),
            ("authorization", "kept"),
            ("trailer", "kept"),
        ],
    )
    .headers;
    strip_hop_by_hop(&mut headers);
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["authorization", "trailer"]);
}

#[test]
fn the_upstream_learns_who_asked() {
    let head = forwarded(
        "/a?b",
        &[
            ("host", "example.org"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-for", "192.0.2.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "forged"),
            ("via", "1.0 fred"),
            ("te", "gzip, Trailers"),
        ],
    );
    assert_eq!(head.uri, "/a?b");
    for (name, value) in [
        ("host", "example.org"),
        ("x-forwarded-for", "198.51.100.7"),
        ("x-real-ip", "198.51.100.7"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "example.org"),
        ("via", "1.0 fred, 1.1 secbeat"),
        ("te", "trailers"),
        ("connection", "te"),
    ] {
        let values: Vec<_> = head.headers.get_all(name).iter().collect();
        assert_eq!(values, [value], "{name}");
    }
}

#[test]
fn no_other_spelling_of_a_field_that_frames_reaches_a_server() {
    let fields = [
        ("host", "a"),
        ("transfer_encoding", "chunked"),
        ("transfer.encoding", "chunked"),
        ("content_length", "5"),
        ("proxy~connection", "close"),
        ("keep_alive", "5"),
        ("x_scheme", "https"),
        ("x-url-scheme", "https"),
        ("x-forward-for", "192.0.2.1"),
    ];
    let head = forwarded("/", &fields);
    for (name, _) in &fields[1..] {
        assert!(!head.headers.contains_key(*name), "{name}");
    }
    assert_eq!(head.headers["host"], "a");
}

#[test]
fn no_field_by_which_a_cdn_names_clients_reaches_a_server() {
    let fields = [
        ("host", "a"),
        ("ali-cdn-real-ip", "192.0.2.1"),
        ("cdn-src-ip", "192.0.2.1"),
        ("cloudfront-forwarded-proto", "https"),
        ("cloudfront-viewer-address", "192.0.2.1:443"),
        ("do-connecting-ip", "192.0.2.1"),
        ("do_connecting_ip", "192.0.2.1"),
        ("incap-client-ip", "192.0.2.1"),
        ("wl-proxy-ssl", "true"),
        ("x-appengine-remote-addr", "192.0.2.1"),
        ("x-arr-ssl", "2048"),
        ("x-azure-socketip", "192.0.2.1"),
        ("x-host", "b.example"),
        ("x-http-host-override", "b.example"),
        ("x-sucuri-clientip", "192.0.2.1"),
    ];
    let head = forwarded("/", &fields);
    for (name, _) in &fields[1..] {
        assert!(!head.headers.contains_key(*name), "{name}");
    }
    assert_eq!(head.headers["host"], "a");
}

#[test]
fn the_host_of_an_absolute_target_wins() {
    let head = forwarded("http://a.example:81/x", &[("host", "b.example")]);
    assert_eq!(
        (&head.headers["host"], head.uri.to_string().as_str()),
        (&HeaderValue::from_static("a.example:81"), "/x")
    );
}

#[test]
fn only_a_plain_request_for_another_protocol_may_switch() {
    let wanted = |fields: &[(&str, &str)]| wanted_upgrade(&head("/", fields), true);
    let asks = ("connection", "keep-alive, Upgrade");
    assert_eq!(wanted(&[asks, ("upgrade", "websocket")]).unwrap(), "websocket");
    for protocol in ["h2c", "HTTP/2.0", "TLS/1.0", "websocket, h2c"] {
        assert_eq!(wanted(&[asks, ("upgrade", protocol)]), None, "{protocol}");
    }
    assert_eq!(wanted(&[asks]), None);
    assert_eq!(wanted(&[("upgrade", "websocket")]), None);
    assert_eq!(wanted(&[asks, ("upgrade", "a"), ("upgrade", "b")]), None);
    let with_body = head("/", &[asks, ("upgrade", "websocket")]);
    assert_eq!(wanted_upgrade(&with_body, false), None);
    let mut old = head("/", &[asks, ("upgrade", "websocket")]);
    old.version = Version::HTTP_10;
    assert_eq!(wanted_upgrade(&old, true), None);
}

#[test]
fn an_http2_server_gets_no_field_of_http1() {
    let mut head = forwarded("/a?b", &[("host", "example.org"), ("te", "trailers")]);
    let server = Authority::from_static("app:3000");
    let host = HeaderValue::from_static("example.org");
    for_http2(&mut head, &host, Trailers::Taken, &server, uri::Scheme::HTTPS).unwrap();
    assert_eq!(head.uri, "https://example.org/a?b");
    for name in ["host", "connection", "transfer-encoding"] {
        assert!(!head.headers.contains_key(name), "{name}");
    }
    assert_eq!(head.headers["te"], "trailers");
}

#[test]
fn an_http2_request_names_one_host_and_its_cookies_become_one_line() {
    let http2 = |fields: &[(&str, &str)]| {
        let mut head = head("http://a.example/", fields);
        head.version = Version::HTTP_2;
        head
    };
    assert_eq!(target_host(&http2(&[])).unwrap(), "a.example");
    assert_eq!(
        target_host(&http2(&[("host", "A.example")])).unwrap(),
        "a.example"
    );
    assert_eq!(target_host(&http2(&[("host", "b")])), Err(Refusal::Malformed));
    let mut head = http2(&[("cookie", "a=1"), ("cookie", "b=2")]);
    let forwarded = Forwarded {
        peer: &HeaderValue::from_static("::1"),
        client: None,
        scheme: Scheme::Https,
        named_in: None,
    };
    to_upstream(
        &mut head,
        &HeaderValue::from_static("a.example"),
        &forwarded,
        &RULES,
    )
    .unwrap();
    let cookies: Vec<_> = head.headers.get_all("cookie").iter().collect();
    assert_eq!(cookies, ["a=1; b=2"]);
    assert_eq!(head.headers["via"], "2.0 secbeat");
}

#[test]
fn a_trusted_proxy_knows_how_the_client_came_and_nobody_else() {
    let fields = [
        ("host", "internal"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "a.example"),
    ];
    for (trusted, sent, expected) in [
        (true, &fields[..], ["https", "a.example"]),
        (true, &fields[..1], ["http", "internal"]),
        (false, &fields[..], ["http", "internal"]),
    ] {
        let mut head = head("/", sent);
        let named_in = X_FORWARDED_FOR;
        let forwarded = Forwarded {
            peer: &HeaderValue::from_static("198.51.100.7"),
            client: None,
            scheme: Scheme::Http,
            named_in: trusted.then_some(&named_in),
        };
        to_upstream(
            &mut head,
            &HeaderValue::from_static("internal"),
            &forwarded,
            &RULES,
        )
        .unwrap();
        let learned = ["x-forwarded-proto", "x-forwarded-host"].map(|name| &head.headers[name]);
        assert_eq!(learned, expected, "trusted: {trusted}");
    }
}

#[test]
fn a_connection_field_cannot_take_the_host_away() {
    assert_eq!(
        forwarded("/", &[("host", "a"), ("connection", "host")]).headers["host"],
        "a"
    );
}

#[test]
fn requests_without_one_good_host_are_refused() {
    for fields in [
        &[][..],
        &[("host", "a"), ("host", "a")],
        &[("host", "a b")],
        &[("host", "u@a")],
        &[("host", "a/b")],
        &[("host", "a:80x")],
        &[("host", "a:+80")],
        &[("host", "a:99999")],
        &[("host", "a:80:80")],
        &[("host", "[zz]")],
        &[("host", "[::1]x")],
        &[("host", "[::1]:x")],
    ] {
        assert_eq!(
            target_host(&head("/", fields)),
            Err(Refusal::Malformed),
            "{fields:?}"
        );
    }
    for target in ["ftp://a/", "http://u@a/", "*"] {
        assert_eq!(
            target_host(&head(target, &[("host", "a")])),
            Err(Refusal::Malformed),
            "{target}"
        );
    }
    for host in ["", "a:", "a:80", "[::1]", "[2001:db8::1]:8080"] {
        assert_eq!(
            target_host(&head("/", &[("host", host)])),
            Ok(HeaderValue::from_static(host))
        );
    }
}

#[test]
fn what_is_taken_for_a_host_at_first_sight_is_one() {
    let pieces = [
        "",
        "a",
        "A-1",
        "192.0.2.7",
        ".",
        ":",
        "80",
        "9999",
        "65536",
        "@",
        "[::1]",
        "%",
        "_",
        "+",
    ];
    let mut plain = 0;
    for first in pieces {
        for second in pieces {
            for third in pieces {
                let value = HeaderValue::try_from(format!("{first}{second}{third}")).unwrap();
                if is_plain_host(value.as_bytes()) {
                    assert!(is_any_host(&value), "{value:?}");
                    plain += 1;
                }
            }
        }
    }
    assert!(plain > 500, "{plain}");
}

#[test]
fn hops_are_counted_where_the_client_counts_them() {
    for (method, sent, expected) in [
        (Method::TRACE, "0", Err(Refusal::LastHop)),
        (Method::OPTIONS, "0", Err(Refusal::LastHop)),
        (Method::OPTIONS, "10", Ok("9")),
        (Method::OPTIONS, "x", Ok("x")),
        (Method::GET, "0", Ok("0")),
    ] {
        let mut head = head("/", &[("max-forwards", sent)]);
        head.method = method.clone();
        let forwarded = Forwarded {
            peer: &HeaderValue::from_static("198.51.100.7"),
            client: None,
            scheme: Scheme::Http,
            named_in: None,
        };
        let host = HeaderValue::from_static("a.example");
        let told = to_upstream(&mut head, &host, &forwarded, &RULES);
        let told = told.map(|_| head.headers["max-forwards"].to_str().unwrap());
        assert_eq!(told, expected, "{method} {sent}");
    }
}

/// What a server gets of such a request.
fn told(fields: &[(&str, &str)], trusted: bool, rules: &HeaderRules) -> HeaderMap {
    let mut head = head("/", fields);
    let named_in = X_FORWARDED_FOR;
    let forwarded = Forwarded {
        peer: &HeaderValue::from_static("198.51.100.7"),
        client: trusted.then_some(HeaderValue::from_static("203.0.113.9")),
        scheme: Scheme::Https,
        named_in: trusted.then_some(&named_in),
    };
    to_upstream(
        &mut head,
        &HeaderValue::from_static("a.example"),
        &forwarded,
        rules,
    )
    .unwrap();
    head.headers
}

#[test]
fn a_client_says_nothing_of_who_it_is_or_how_it_came() {
    let forged = [
        ("forwarded", "for=203.0.113.9"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-port", "22"),
        ("x-forwarded-prefix", "/admin"),
        ("x-forwarded-ssl", "on"),
        ("x-real-ip", "203.0.113.9"),
        ("true-client-ip", "203.0.113.9"),
        ("cf-connecting-ip", "203.0.113.9"),
        ("proxy", "http://203.0.113.9/"),
        ("x_forwarded_for", "203.0.113.9"),
        ("x_forwarded_proto", "ftp"),
        ("x-forwarded_host", "evil.example"),
        ("x_real_ip", "203.0.113.9"),
        ("true_client_ip", "203.0.113.9"),
        ("wl-proxy-client-ip", "203.0.113.9"),
        ("x~forwarded~for", "203.0.113.9"),
        ("x.real.ip", "203.0.113.9"),
        ("cf.connecting-ip", "203.0.113.9"),
        ("true!client*ip", "203.0.113.9"),
    ];
    let kept = [("user-agent", "curl"), ("x-request_id", "1")];
    let sent = [&forged[..], &kept].concat();
    let headers = told(&sent, false, &HeaderRules::default());
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "user-agent",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-real-ip",
            "x-request_id",
        ]
    );
    assert_eq!(headers["x-forwarded-for"], "198.51.100.7");
    assert_eq!(headers["x-real-ip"], "198.51.100.7");
    assert_eq!(headers["x-forwarded-proto"], "https");

    let headers = told(&sent, true, &HeaderRules::default());
    assert_eq!(headers["x-forwarded-for"], "203.0.113.9, 198.51.100.7");
    assert_eq!(headers["x-forwarded-port"], "22");
    let stays = |name: &str| name == "x-real-ip" || (name.starts_with("x-forwarded-") && !name.contains('_'));
    for (name, _) in forged.iter().filter(|(name, _)| !stays(name)) {
        assert!(!headers.contains_key(*name), "{name} of a trusted proxy");
    }
}

#[test]
fn a_server_learns_the_client_whom_a_trusted_proxy_names_and_no_other() {
    let sent = [("x-forwarded-for", "203.0.113.9"), ("x-real-ip", "192.0.2.1")];
    for sent in [&sent[..], &sent[..1]] {
        let headers = told(sent, true, &HeaderRules::default());
        assert_eq!(headers["x-real-ip"], "203.0.113.9");
    }
}

#[test]
fn a_connection_field_cannot_take_away_what_a_trusted_proxy_says() {
    let sent = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "http"),
        ("x-mine", "1"),
        ("connection", "x-forwarded-for, X-Forwarded-Proto, x-mine"),
    ];
    for (trusted, clients, scheme) in [
        (true, "203.0.113.9, 198.51.100.7", "http"),
        (false, "198.51.100.7", "https"),
    ] {
        let headers = told(&sent, trusted, &HeaderRules::default());
        assert_eq!(headers["x-forwarded-for"], clients);
        assert_eq!(headers["x-forwarded-proto"], scheme);
        assert!(!headers.contains_key("x-mine"));
    }
}

#[test]
fn a_server_gets_one_length_and_no_blanks_around_values() {
    let sent = [
        ("content-length", "0"),
        ("content-length", "0"),
        ("x-a", " \tv w\t "),
        ("x-b", "  "),
    ];
    let headers = told(&sent, false, &HeaderRules::default());
    assert_eq!(
        headers.get_all("content-length").iter().collect::<Vec<_>>(),
        ["0"]
    );
    assert_eq!(headers["x-a"], "v w");
    assert_eq!(headers["x-b"], "");
    let mut head = head("/", &[("content-length", "0"), ("content-length", "1")]);
    let forwarded = Forwarded {
        peer: &HeaderValue::from_static("198.51.100.7"),
        client: None,
        scheme: Scheme::Http,
        named_in: None,
    };
    let refused = to_upstream(&mut head, &HeaderValue::from_static("a"), &forwarded, &RULES);
    assert_eq!(refused, Err(Refusal::Malformed));
    let mut trailers =
        HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static(" 1 "))]);
    clean_trailers(&mut trailers, None);
    assert_eq!(trailers["x-sum"], "1");
}

#[test]
fn a_list_of_fields_is_as_long_as_http2_counts_it() {
    let mut head = head("https://a.example/b?c", &[("x-a", "12345")]);
    let alone = list_size(&head);
    head.headers.remove("x-a");
    assert_eq!(alone - list_size(&head), 3 + 5 + 32);
    let target = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "a.example"),
        (":path", "/b?c"),
    ];
    let target: usize = target
        .iter()
        .map(|(name, value)| name.len() + value.len() + 32)
        .sum();
    assert!(list_size(&head) >= target);
}

#[test]
fn an_id_of_a_request_is_told_once() {
    for fields in [
        &[("x-request-id", "1")][..],
        &[("x-request-id", "1"), ("connection", "x-request-id")],
    ] {
        let ids = told(fields, true, &HeaderRules::default());
        assert_eq!(ids.get_all("x-request-id").iter().collect::<Vec<_>>(), ["1"]);
    }
}

#[test]
fn the_owner_has_the_last_word_on_fields() {
    let rules = HeaderRules {
        set: vec![(
            HeaderName::from_static("x-forwarded-proto"),
            HeaderValue::from_static("https"),
        )],
        remove: vec![HeaderName::from_static("x-debug")],
        via: false,
    };
    let spellings = ["x-debug", "x_debug", "x.debug", "x~debug"];
    let sent = [&spellings.map(|name| (name, "1"))[..], &[("via", "1.1 other")]].concat();
    let headers = told(&sent, false, &rules);
    assert_eq!(headers["x-forwarded-proto"], "https");
    for name in spellings {
        assert!(!headers.contains_key(name), "{name}");
    }
    assert_eq!(headers["via"], "1.1 other", "of proxies before this one");
    // Also of a field that it spells in its own way.
    let rules = HeaderRules {
        set: vec![(
            HeaderName::from_static("x_auth_gw"),
            HeaderValue::from_static("secret"),
        )],
        remove: vec![HeaderName::from_static("x_debug")],
        via: false,
    };
    let names = ["x-auth-gw", "x_auth_gw", "x.auth.gw", "x-debug", "x_debug"];
    let headers = told(&names.map(|name| (name, "1")), false, &rules);
    let left = names.map(|name| headers.get(name).map(HeaderValue::as_bytes));
    assert_eq!(left, [None, Some(&b"secret"[..]), None, None, None]);
    let headers = told(&[("via", "1.1 other")], false, &RULES);
    assert_eq!(headers["via"], "1.1 other, 1.1 secbeat");
}

#[test]
fn trailers_say_nothing_of_who_asks_nor_what_belongs_in_a_head() {
    let rules = HeaderRules {
        set: vec![(
            HeaderName::from_static("x-auth-gw"),
            HeaderValue::from_static("secret"),
        )],
        remove: vec![HeaderName::from_static("x-debug")],
        via: false,
    };
    let sent = [
        "grpc-status",
        "x-checksum",
        "x-forwarded-for",
        "x_real_ip",
        "x.real.ip",
        "te",
        "x-auth-gw",
        "x_auth_gw",
        "x-auth.gw",
        "x-debug",
        "authorization",
        "content-length",
        "content_type",
        "cookie",
        "expect",
        "host",
        "x-request-id",
        "x_request_id",
    ];
    let mut trailers = head("/", &sent.map(|name| (name, "1")));
    clean_trailers(&mut trailers.headers, Some(&rules));
    let left: Vec<_> = trailers.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(left, ["grpc-status", "x-checksum"]);
}
