//! What single keys of the config change.

use std::{fs, time::Duration};

use super::{
    super::config::LogFormat,
    lab::{Lab, OK, accept, get, soon},
};

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_route_has_its_own_times() {
    let lab = Lab::with(|config| config.routes[0].response_timeout = Some(SHORT)).await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let _upstream = lab.upstream().await;
    assert!(client.head().await.starts_with("HTTP/1.1 504 "));

    let lab = Lab::with(|config| config.routes[0].idle_timeout = Some(SHORT)).await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream
        .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    client.head().await;
    assert_eq!(client.rest().await, "half");
}

#[tokio::test]
async fn a_body_larger_than_a_route_takes_is_a_413() {
    for (fields, body, asks) in [
        ("Content-Length: 4", "body", true),
        ("Content-Length: 5", "", false),
        ("Transfer-Encoding: chunked", "5\r\nlarge\r\n0\r\n\r\n", true),
    ] {
        let mut lab = Lab::with(|config| config.routes[0].max_body = Some(4)).await;
        let mut client = lab.client().await;
        client
            .send(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}"))
            .await;
        if !asks {
            assert!(lab.is_unasked().await, "{fields}");
        }
        if body == "body" {
            let mut upstream = lab.upstream().await;
            upstream.until("body").await;
            upstream.send(OK).await;
            assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        } else {
            assert!(client.head().await.starts_with("HTTP/1.1 413 "), "{fields}");
            assert_eq!(lab.queue.next().await.status, 413);
        }
    }
}

#[tokio::test]
async fn who_sends_too_much_still_finds_the_answer() {
    const MUCH: usize = 5 * 1024 * 1024;
    let mut lab = Lab::with(|config| config.routes[0].max_body = Some(1000)).await;
    let mut client = lab.client().await;
    client
        .send(&format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {MUCH}\r\n\r\n"
        ))
        .await;
    assert_eq!(client.fill(MUCH).await, MUCH, "all of it is taken");
    assert!(client.head().await.starts_with("HTTP/1.1 413 "));
    assert_eq!(client.until("large\n").await, "request body too large\n");
    assert_eq!(lab.queue.next().await.status, 413);
    // What an upstream refuses comes through as well.
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send(&format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\nx",
            MUCH + 1
        ))
        .await;
    let mut upstream = lab.upstream().await;
    upstream.until("x").await;
    upstream
        .send("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        .await;
    drop(upstream);
    assert!(client.head().await.starts_with("HTTP/1.1 413 "));
    assert_eq!(client.fill(MUCH).await, MUCH, "all of it is taken");
}

#[tokio::test]
async fn a_listener_may_redirect_to_tls() {
    let mut lab = Lab::trusting(&["127.0.0.1"], |config| {
        config.listeners[0].redirect_to_https = Some(443)
    })
    .await;
    let mut client = lab.client().await;
    client
        .send("GET /a?b=c HTTP/1.1\r\nHost: example.org:8080\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(
        head.starts_with("HTTP/1.1 308 ") && head.contains("location: https://example.org/a?b=c\r\n"),
        "{head}"
    );
    assert_eq!(lab.queue.next().await.status, 308);
    assert!(lab.is_unasked().await);
    // Of a trusted proxy that has taken the TLS off, a request goes on.
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n\r\n")
        .await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream.send(OK).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    // And what is no place to go to is a 400.
    let mut client = lab.client().await;
    client
        .send("OPTIONS * HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn a_redirection_to_tls_names_a_port_that_is_not_the_usual_one() {
    let lab = Lab::with(|config| config.listeners[0].redirect_to_https = Some(8443)).await;
    for (target, host, location) in [
        ("/a", "example.org:8080", "https://example.org:8443/a"),
        ("/a", "[2001:db8::1]", "https://[2001:db8::1]:8443/a"),
        ("http://example.org?q", "a", "https://example.org:8443/?q"),
    ] {
        let mut client = lab.client().await;
        client
            .send(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        let head = client.head().await;
        assert!(head.contains(&format!("location: {location}\r\n")), "{head}");
    }
}

#[tokio::test]
async fn servers_may_be_asked_for_another_host() {
    let lab = Lab::with(|config| {
        config.upstreams[0].upstream_host = Some("app.internal:8080".parse().unwrap());
    })
    .await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let head = lab.upstream().await.head().await;
    assert!(
        head.contains("host: app.internal:8080\r\n") && head.contains("x-forwarded-host: example.org\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn the_proxys_own_answers_may_have_pages() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("down.html");
    fs::write(&page, "<p>back soon</p>").unwrap();
    let mut lab = Lab::with(|config| {
        config.error_pages.insert(502, page.clone());
    })
    .await;
    lab.close_upstream();
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let head = client.head().await;
    assert!(
        head.starts_with("HTTP/1.1 502 ") && head.contains("content-type: text/html; charset=utf-8\r\n"),
        "{head}"
    );
    assert_eq!(client.rest().await, "<p>back soon</p>");
    fs::remove_file(&page).unwrap();
    let mut config = lab.config.clone();
    config.error_pages.insert(504, page);
    let error = lab.reloader.reload(config).await.unwrap_err();
    assert!(
        format!("{error:#}").contains("proxy.error_pages: reading "),
        "{error:#}"
    );
}

#[tokio::test]
async fn a_client_may_stay_with_a_server() {
    let (listener, url) = Lab::another().await;
    let (other, other_url) = Lab::another().await;
    let lab = Lab::with(|config| {
        config.upstreams[0].servers = vec![url.into(), other_url.into()];
        config.upstreams[0].sticky = true;
    })
    .await;
    let mut server = None;
    for _ in 0..6 {
        let mut client = lab.client().await;
        client.send(&get("/")).await;
        let (first, mut connection) = tokio::select! {
            connection = accept(&listener) => (true, connection),
            connection = accept(&other) => (false, connection),
        };
        assert_eq!(*server.get_or_insert(first), first);
        connection.head().await;
        connection
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .await;
        client.head().await;
    }
    // Until that is gone.
    let gone = server.unwrap();
    let (gone, left) = if gone {
        (listener, other)
    } else {
        (other, listener)
    };
    drop(gone);
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut connection = accept(&left).await;
    connection.head().await;
    connection.send(OK).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_log_of_objects_says_what_became_of_each_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.json");
    let mut lab = Lab::with(|config| {
        config.access_log = Some(path.clone());
        config.access_log_format = LogFormat::Json;
        config.response_timeout = SHORT;
    })
    .await;
    let mut client = lab.client().await;
    client
        .send("GET /good HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\nConnection: x-request-id\r\ntraceparent: 00-1-2-01\r\n\r\n")
        .await;
    let mut upstream = lab.upstream().await;
    let head = upstream.head().await;
    assert!(head.contains("traceparent: 00-1-2-01\r\n"), "{head}");
    let id = head
        .split("x-request-id: ")
        .nth(1)
        .unwrap()
        .split("\r\n")
        .next()
        .unwrap();
    assert!(id.len() == 32, "{head}");
    upstream.send(OK).await;
    client.head().await;
    client.send(&get("/trailers")).await;
    upstream.head().await;
    upstream
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\n\r\n")
        .await;
    client.until("0\r\n\r\n").await;
    client.send(&get("/cut")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream
        .send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        .await;
    client.until("half").await;
    drop(client);
    let mut client = lab.client().await;
    client.send(&get("/late")).await;
    lab.upstream().await.head().await;
    client.head().await;
    let mut client = lab.client().await;
    client.send(&get("/gone")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    drop(client);
    assert_eq!(upstream.rest().await, "");
    let mut client = lab.client().await;
    client.send("GET /refused HTTP/1.1\r\n\r\n").await;
    client.head().await;
    lab.gate.ban("127.0.0.1");
    let mut client = lab.client().await;
    client.send(&get("/banned")).await;
    client.head().await;
    let log = async {
        loop {
            let log = fs::read_to_string(&path).unwrap_or_default();
            if log.lines().count() >= 7 {
                return log;
            }
            tokio::time::sleep(SHORT).await;
        }
    };
    let log = soon("the log", log).await;
    let line = |path: &str| -> serde_json::Value {
        let line = log.lines().find(|line| line.contains(path));
        serde_json::from_str(line.unwrap_or_else(|| panic!("no {path} in {log}"))).unwrap()
    };
    for (path, outcome) in [
        ("/good", "answered"),
        ("/trailers", "answered"),
        ("/cut", "cut-off"),
        ("/late", "upstream-failed"),
        ("/gone", "gave-up"),
        ("/refused", "refused"),
        ("/banned", "banned"),
    ] {
        assert_eq!(line(path)["outcome"], outcome, "{path}");
    }
    let good = line("/good");
    assert_eq!((&good["request_id"], &good["status"]), (&id.into(), &200.into()));
    assert_eq!(
        good["upstream_addr"],
        lab.config.upstreams[0].servers[0].url.to_string()
    );
    assert!(good["upstream_response_time"].as_f64().is_some());
    assert_eq!(line("/late")["upstream_addr"], good["upstream_addr"]);
    drop(lab.queue.next().await);
}
