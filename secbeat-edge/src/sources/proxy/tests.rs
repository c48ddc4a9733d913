//! The proxy between raw TCP clients and raw TCP upstreams on loopback.

mod bans;
mod challenges;
mod drain;
mod failures;
mod framing;
mod http2;
mod http2_server;
mod keys;
mod lab;
mod long_bodies;
mod refused;
mod reload;
mod resets;
mod retry;
mod smuggling;
mod streaming;
mod tls;
mod upgrade;

use lab::{Lab, OK, get};

use crate::signatures::SignaturesConfig;
use secbeat_daemon::time::now_ms;
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn every_answer_is_recorded_once() {
    let mut lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send("GET /a/b?secret HTTP/1.1\r\nHost: example.org\r\nUser-Agent: probe/1\r\n\r\n")
        .await;
    let mut upstream = lab.upstream().await;
    let request = upstream.head().await;
    assert!(request.starts_with("GET /a/b?secret HTTP/1.1\r\n"), "{request}");
    upstream
        .send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 404 Not Found\r\n"));

    let seen = lab.queue.next().await;
    assert_eq!(
        (seen.client.to_string().as_str(), seen.status, seen.upstream),
        ("127.0.0.1", 404, 0)
    );
    assert!((now_ms() - seen.at_ms).abs() < 10_000);
    let text = seen.request.unwrap();
    let text = [&text.method, &text.path, &text.host, &text.user_agent].map(String::as_str);
    assert_eq!(text, ["GET", "/a/b", "example.org", "probe/1"]);

    client.send(&get("/good")).await;
    upstream.head().await;
    upstream.send(OK).await;
    client.head().await;
    let seen = lab.queue.next().await;
    assert_eq!((seen.status, seen.request.is_none()), (200, true));
    assert!(lab.queue.is_empty());
    assert_eq!(lab.stats.connections(), 1);
}

#[tokio::test]
async fn what_a_request_gives_away_is_recorded_by_its_headers_its_query_and_its_answer() {
    let mut lab = Lab::new().await;
    lab.signatures.apply(&SignaturesConfig::default());
    let mut client = lab.client().await;
    let mut connection = None;
    for (request, answer, expected) in [
        (
            "/a?x=1\r\nX-Middleware-Subrequest: middleware",
            OK,
            &["cve-nextjs-middleware"][..],
        ),
        ("/a?f=php://filter/x", OK, &["php-wrapper"]),
        ("/wp-login.php", OK, &[]),
        (
            "/wp-login.php",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            &["wp-not-here"],
        ),
    ] {
        let (target, header) = request.split_once("\r\n").unwrap_or((request, "Accept: */*"));
        client
            .send(&format!(
                "GET {target} HTTP/1.1\r\nHost: example.org\r\n{header}\r\n\r\n"
            ))
            .await;
        if connection.is_none() {
            connection = Some(lab.upstream().await);
        }
        let upstream = connection.as_mut().unwrap();
        upstream.head().await;
        upstream.send(answer).await;
        client.head().await;
        let seen = lab.queue.next().await.request.unwrap_or_default();
        let ids: Vec<_> = seen
            .signatures
            .iter()
            .map(|signature| signature.id.as_str())
            .collect();
        assert_eq!(ids, expected, "{request}");
        assert!(!seen.path.contains('?'), "{}", seen.path);
    }
}

#[tokio::test]
async fn signatures_see_the_host_that_a_request_goes_to() {
    let folder = tempfile::tempdir().unwrap();
    let own = "[[signature]]\nid = \"of-b\"\ntitle = \"t\"\nclass = \"other\"\nseverity = \"low\"\nreference = \"r\"\n\
        any = [{ in = \"host\", contains = \"b.example\" }]\n";
    std::fs::write(folder.path().join("own.toml"), own).unwrap();
    let mut lab = Lab::new().await;
    lab.signatures.apply(&SignaturesConfig {
        directory: folder.path().to_owned(),
        ..SignaturesConfig::default()
    });
    let mut client = lab.client().await;
    let mut connection = None;
    for (target, host, expected) in [
        ("/x", "b.example", &["of-b"][..]),
        ("http://b.example/x", "a.example", &["of-b"]),
        ("http://a.example/x", "b.example", &[]),
    ] {
        client
            .send(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        if connection.is_none() {
            connection = Some(lab.upstream().await);
        }
        let upstream = connection.as_mut().unwrap();
        upstream.head().await;
        upstream.send(OK).await;
        client.head().await;
        let seen = lab.queue.next().await.request.unwrap_or_default();
        let ids: Vec<_> = seen
            .signatures
            .iter()
            .map(|signature| signature.id.as_str())
            .collect();
        assert_eq!(ids, expected, "{target} {host}");
    }
}

#[tokio::test]
async fn both_sides_keep_their_connections_alive() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send(&get("/0")).await;
    let mut upstream = lab.upstream().await;
    for i in 0..3 {
        // The same two connections throughout: the listener is not asked again.
        assert!(upstream.head().await.starts_with(&format!("GET /{i} ")));
        upstream.send(OK).await;
        let head = client.head().await;
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\n") && !head.to_lowercase().contains("connection: close"),
            "{head}"
        );
        client.send(&get(&format!("/{}", i + 1))).await;
    }
}

#[tokio::test]
async fn a_ban_holds_from_the_next_request_of_an_open_connection() {
    let mut lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream.send(OK).await;
    client.head().await;
    assert_eq!(lab.queue.next().await.status, 200);

    lab.gate.ban("127.0.0.1");
    client.send(&get("/")).await;
    let head = client.head().await.to_lowercase();
    assert!(
        head.starts_with("http/1.1 403 forbidden\r\n") && head.contains("connection: close\r\n"),
        "{head}"
    );
    assert_eq!(client.rest().await, "banned\n");
    assert_eq!(lab.stats.denied(), 1);
    assert!(
        lab.queue.is_empty(),
        "a refusal by ban is no news to the detector"
    );
}

#[tokio::test]
async fn one_hop_fields_end_here_in_both_directions() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    let fields = "Connection: keep-alive, X-Secret\r\nX-Secret: 1\r\nUpgrade: websocket\r\nKeep-Alive: 5\r\nTE: gzip\r\n";
    client
        .send(&format!(
            "GET / HTTP/1.1\r\nHost: example.org\r\n{fields}X-Kept: 1\r\n\r\n"
        ))
        .await;
    let mut upstream = lab.upstream().await;
    let head = upstream.head().await.to_lowercase();
    for gone in ["connection:", "x-secret", "upgrade", "keep-alive", "te:"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
    for there in [
        "host: example.org\r\n",
        "x-kept: 1\r\n",
        "x-forwarded-for: 127.0.0.1\r\n",
        "x-forwarded-proto: http\r\n",
        "x-forwarded-host: example.org\r\n",
        "x-real-ip: 127.0.0.1\r\n",
    ] {
        assert!(head.contains(there), "{there} not in {head}");
    }
    upstream
        .send("HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-End: 1\r\nContent-Length: 0\r\n\r\n")
        .await;
    let head = client.head().await.to_lowercase();
    assert!(!head.contains("x-hop") && head.contains("x-end: 1\r\n"), "{head}");
}

#[tokio::test]
async fn ipv6_and_ipv4_clients_come_by_one_socket() {
    let mut lab = Lab::with(|config| config.listeners[0].address = "[::]:0".parse().unwrap()).await;
    for (host, client) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1")] {
        let mut stream = lab.client_at(host.parse().unwrap()).await;
        stream
            .send("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n")
            .await;
        assert!(stream.head().await.starts_with("HTTP/1.1 501 "));
        assert_eq!(lab.queue.next().await.client.to_string(), client);
    }
}

#[tokio::test]
async fn a_stop_lets_open_requests_end_and_takes_no_new_ones() {
    let mut lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    lab.stop();
    lab.refused().await;
    upstream
        .send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(client.rest().await, "end");
    lab.stopped().await;
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let lab = Lab::new().await;
    let error = lab.bind_again();
    assert_eq!(error, format!("listening on {}", lab.proxy));
}

#[tokio::test]
async fn connections_of_one_source_beyond_its_limit_are_closed_and_counted() {
    let lab = Lab::with(|config| config.max_connections_per_source = std::num::NonZeroU32::MIN).await;
    let mut first = lab.client().await;
    first.send(&get("/first")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    let mut second = lab.client().await;
    assert_eq!(second.rest().await, "");
    assert_eq!(lab.stats.over_limit(), 1);
    upstream.send(OK).await;
    assert!(first.head().await.starts_with("HTTP/1.1 200 OK"));
    drop(first);
    // The proxy learns of the end only when it reads it.
    loop {
        let mut third = lab.client().await;
        let _ = third.0.write_all(get("/third").as_bytes()).await;
        tokio::select! {
            head = upstream.head() => {
                assert!(head.starts_with("GET /third "));
                break;
            }
            rest = third.rest() => assert_eq!(rest, ""),
        }
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let lab = Lab::with(|config| config.max_connections = std::num::NonZeroU32::MIN).await;
    let mut first = lab.client().await;
    first.send(&get("/first")).await;
    let mut upstream = lab.upstream().await;
    assert!(upstream.head().await.starts_with("GET /first "));
    let mut second = lab.client().await;
    second.send(&get("/second")).await;
    upstream.send(OK).await;
    first.head().await;
    first.send(&get("/third")).await;
    assert!(
        upstream.head().await.starts_with("GET /third "),
        "the second has no slot yet"
    );
    upstream.send(OK).await;
    first.head().await;
    drop(first);
    assert!(upstream.head().await.starts_with("GET /second "));
    upstream.send(OK).await;
    second.head().await;
}

#[tokio::test]
async fn the_limit_of_a_source_holds_for_whom_a_proxy_header_names() {
    let lab = Lab::trusting(&["127.0.0.1"], |config| {
        config.listeners[0].proxy_protocol = true;
        config.max_connections_per_source = std::num::NonZeroU32::new(2).unwrap();
    })
    .await;
    let connect = async |client: &str| {
        let mut conn = lab.client().await;
        let header = format!("PROXY TCP4 {client} 192.0.2.1 4711 443\r\n");
        conn.send(&(header + &get("/"))).await;
        conn
    };
    let mut held = Vec::new();
    for client in ["198.51.100.7", "198.51.100.7", "198.51.100.8"] {
        let conn = connect(client).await;
        let mut upstream = lab.upstream().await;
        assert!(upstream.head().await.to_lowercase().contains(client));
        held.push((conn, upstream));
    }
    assert_eq!(connect("198.51.100.7").await.rest().await, "");
    assert!(lab.is_unasked().await);
    assert_eq!(lab.stats.over_limit(), 1);
    drop(held);
}
