//! Who is refused before there is a request is reported all the same.

use std::{num::NonZeroU32, time::Duration};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    http2::{END_HEADERS, END_STREAM, Frames, GET, HEADERS, PREFACE, RST_STREAM, SETTINGS, block},
    lab::{Lab, OK, get, soon},
};

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_slow_head_is_cut_off_and_reported() {
    let log = tempfile::tempdir().unwrap();
    let path = log.path().join("access.log");
    let mut lab = Lab::with(|config| {
        config.header_timeout = SHORT;
        config.access_log = Some(path.clone());
    })
    .await;
    let mut client = lab.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").await;
    assert_eq!(client.rest().await, "");
    let seen = lab.queue.next().await;
    assert_eq!(
        (seen.client.to_string().as_str(), seen.status),
        ("127.0.0.1", 408)
    );
    // So is the second head of a connection, however little comes at a time.
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream.send(OK).await;
    client.head().await;
    assert_eq!(lab.queue.next().await.status, 200);
    for byte in ["G", "E", "T", " ", "/", " "] {
        client.send(byte).await;
        tokio::time::sleep(SHORT / 5).await;
    }
    assert_eq!(client.rest().await, "");
    assert_eq!(lab.queue.next().await.status, 408);
    assert!(lab.queue.is_empty());
    let logged = async {
        while std::fs::read_to_string(&path).unwrap().matches(" 408 ").count() < 2 {
            tokio::time::sleep(SHORT).await;
        }
    };
    soon("both are in the access log", logged).await;
}

#[tokio::test]
async fn who_says_nothing_is_not_reported() {
    let mut lab = Lab::with(|config| config.header_timeout = SHORT).await;
    let mut client = lab.client().await;
    assert_eq!(client.rest().await, "");
    drop(lab.client().await);
    let mut client = lab.client().await;
    client.send("\r\n\r\n").await;
    assert_eq!(client.rest().await, "");
    // Were these reported, they would be before this one, of which only half has come.
    let mut client = lab.client().await;
    client.send("GET / HTTP/1.1\r\nHost").await;
    drop(client);
    assert_eq!(lab.queue.next().await.status, 400);
}

#[tokio::test]
async fn a_slow_head_is_reported_whatever_it_is_of() {
    let frame = |length: u8, flags: u8| [0, 0, length, HEADERS, flags, 0, 0, 0, 1];
    let in_http2 = |frame: &[u8]| [PREFACE, &[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0], frame].concat();
    let whole = [
        &frame(11, END_STREAM)[..],
        b"\x82\x86\x84\x41\x06\x61\x2e\x63\x6f\x6d\x00",
    ]
    .concat();
    for (h2c, said) in [
        (false, b"PRI /x HTTP/1.1\r\nHost: a\r\nX: ".to_vec()),
        (false, PREFACE[..10].to_vec()),
        (true, PREFACE[..10].to_vec()),
        (true, b"PRI /x HTTP/1.1\r\nHost: a\r\nX: ".to_vec()),
        (true, in_http2(&frame(11, END_HEADERS))),
        (true, in_http2(&whole)),
        (true, in_http2(&[0])),
    ] {
        let mut lab = Lab::with(|config| {
            config.header_timeout = SHORT;
            config.listeners[0].h2c = h2c;
        })
        .await;
        let mut client = lab.client().await;
        client.0.write_all(&said).await.unwrap();
        let _ = soon("the end", client.0.read_to_end(&mut Vec::new())).await;
        assert_eq!(lab.queue.next().await.status, 408, "{}", said.escape_ascii());
        assert!(lab.queue.is_empty());
    }
}

#[tokio::test]
async fn a_slow_head_behind_a_request_is_reported() {
    let mut lab = Lab::with(|config| config.header_timeout = SHORT).await;
    let mut client = lab.client().await;
    client.send(&(get("/") + &get("/") + "GET / HTTP/1.1\r\n")).await;
    let mut upstream = lab.upstream().await;
    for _ in 0..2 {
        upstream.head().await;
        // It takes its time, as a head may not.
        tokio::time::sleep(2 * SHORT).await;
        upstream.send(OK).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(lab.queue.next().await.status, 200);
    }
    assert_eq!(client.rest().await, "");
    assert_eq!(lab.queue.next().await.status, 408);
}

#[tokio::test]
async fn who_goes_away_has_given_up_whatever_came_behind_the_request() {
    for more in ["\r\n", "G", &get("/next")] {
        let mut lab = Lab::new().await;
        let mut client = lab.client().await;
        client.send(&(get("/") + more)).await;
        let mut upstream = lab.upstream().await;
        upstream.head().await;
        client.send(more).await;
        drop(client);
        assert_eq!(upstream.rest().await, "", "the upstream is told");
        assert_eq!(lab.queue.next().await.status, 499);
        assert!(lab.queue.is_empty());
    }
}

#[tokio::test]
async fn a_target_is_seen_whatever_bytes_it_has() {
    // Empty lines before it are none of it, and a large head has as much room as any.
    for (before, padding) in [("", 0), ("\r\n", 0), ("", 8200), ("", 30_000)] {
        let mut lab = Lab::new().await;
        let mut client = lab.client().await;
        let fields = format!(
            " HTTP/1.1\r\nHost: a\r\nX: <\r\nY: {}\r\n\r\n",
            "y".repeat(padding)
        );
        let request = [before.as_bytes(), b"GET /caf\xe9?q=<script>", fields.as_bytes()].concat();
        client.0.write_all(&request).await.unwrap();
        let mut upstream = lab.upstream().await;
        let head = upstream.head().await;
        assert!(
            head.starts_with("GET /caf%E9?q=%3Cscript%3E HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(head.contains("x: <\r\n"), "{head}");
        upstream
            .send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            .await;
        assert_eq!(lab.queue.next().await.request.unwrap().path, "/caf%E9");
    }
}

#[tokio::test]
async fn an_empty_line_behind_a_body_is_not_a_head() {
    let mut lab = Lab::with(|config| {
        config.header_timeout = SHORT;
        config.keep_alive = 6 * SHORT;
    })
    .await;
    let mut client = lab.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
        .await;
    let mut upstream = lab.upstream().await;
    upstream.until("body").await;
    client.send("\r\n").await;
    tokio::time::sleep(SHORT).await;
    upstream.send(OK).await;
    client.head().await;
    assert_eq!(client.rest().await, "");
    assert_eq!(lab.queue.next().await.status, 200);
    assert!(lab.queue.is_empty());
}

#[tokio::test]
async fn a_connection_is_kept_longer_than_a_head_may_take() {
    let mut lab = Lab::with(|config| {
        config.header_timeout = SHORT;
        config.keep_alive = 6 * SHORT;
    })
    .await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream.send(OK).await;
    client.head().await;
    tokio::time::sleep(3 * SHORT).await;
    client.send(&get("/")).await;
    upstream.head().await;
    upstream.send(OK).await;
    client.head().await;
    assert_eq!(client.rest().await, "");
    assert_eq!(
        [lab.queue.next().await.status, lab.queue.next().await.status],
        [200, 200]
    );
    assert!(lab.queue.is_empty());
}

#[tokio::test]
async fn a_connection_may_be_kept_for_less_than_a_head_may_take() {
    let lab = Lab::with(|config| config.keep_alive = SHORT).await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream.send(OK).await;
    client.head().await;
    let start = std::time::Instant::now();
    assert_eq!(client.rest().await, "");
    assert!(
        start.elapsed() < lab.config.header_timeout / 2,
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn connections_over_the_limit_of_a_source_are_reported() {
    let mut lab = Lab::with(|config| config.max_connections_per_source = NonZeroU32::MIN).await;
    let first = lab.client().await;
    assert_eq!(lab.client().await.rest().await, "");
    let seen = lab.queue.next().await;
    assert_eq!(
        (seen.client.to_string().as_str(), seen.status),
        ("127.0.0.1", 429)
    );
    drop(first);
}

#[tokio::test]
async fn a_client_that_a_header_names_has_so_many_requests_at_a_time() {
    let mut lab = Lab::trusting(&["127.0.0.1"], |config| {
        config.max_connections_per_source = NonZeroU32::MIN;
    })
    .await;
    let request = |client: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n");
    let mut first = lab.client().await;
    first.send(&request("198.51.100.7")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    let mut second = lab.client().await;
    second.send(&request("198.51.100.7")).await;
    assert!(second.head().await.starts_with("HTTP/1.1 429 "));
    let seen = lab.queue.next().await;
    assert_eq!(
        (seen.client.to_string().as_str(), seen.status),
        ("198.51.100.7", 429)
    );
    let mut other = lab.client().await;
    other.send(&request("198.51.100.8")).await;
    let mut another = lab.upstream().await;
    another.head().await;
    another.send(OK).await;
    assert!(other.head().await.starts_with("HTTP/1.1 200 "));
    upstream.send(OK).await;
    first.head().await;
    first.send(&request("198.51.100.7")).await;
    let upstream = async {
        tokio::select! {
            head = upstream.head() => head,
            head = another.head() => head,
        }
    };
    soon("its next request", upstream).await;
}

#[tokio::test]
async fn whom_a_trusted_proxy_names_in_a_head_that_is_refused_is_reported() {
    let mut lab = Lab::trusting(&["127.0.0.1"], |_| ()).await;
    let named = "X-Forwarded-For: 198.51.100.66, 198.51.100.77\r\n";
    for (head, status) in [
        (
            format!("GET /x HTTP/1.1\r\nHost: a\r\n{named}X-Bad : 1\r\n\r\n"),
            400,
        ),
        (
            format!("GET /x HTTP/1.1\r\n{named}Content-Length: a\r\n\r\n"),
            400,
        ),
    ] {
        let mut client = lab.client().await;
        client.send(&head).await;
        client.rest().await;
        let seen = lab.queue.next().await;
        assert_eq!(
            (seen.client.to_string().as_str(), seen.status),
            ("198.51.100.77", status),
            "{head}"
        );
    }
    // Nor does a request before make another client of it.
    let mut client = lab.client().await;
    let first = "GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n";
    client.send(first).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream.send(OK).await;
    client.head().await;
    assert_eq!(lab.queue.next().await.client.to_string(), "198.51.100.1");
    client
        .send(&format!("GET /x HTTP/1.1\r\n{named}X-Bad : 1\r\n\r\n"))
        .await;
    client.rest().await;
    assert_eq!(lab.queue.next().await.client.to_string(), "198.51.100.77");
    // Who hides it is nobody: not the proxy, and not whom a part of the text names.
    let mut client = lab.client().await;
    client
        .send(&format!("GET /x HTTP/1.1\r\nX: \n{named}X-Bad : 1\r\n\r\n"))
        .await;
    client.rest().await;
    assert!(lab.queue.is_empty());
}

#[tokio::test]
async fn a_head_of_many_small_fields_is_no_large_one() {
    let mut lab = Lab::new().await;
    let mut client = lab.client().await;
    let fields: String = (0..500).map(|i| format!("X-{i}: {i}\r\n")).collect();
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n");
    client.send(&request).await;
    let mut first = lab.upstream().await;
    assert!(first.head().await.to_lowercase().contains("x-499: 499\r\n"));
    first.send(&answer).await;
    assert!(client.head().await.to_lowercase().contains("x-499: 499\r\n"));
    assert_eq!(lab.queue.next().await.status, 200);
    // From then on the server's connections have room for such answers, and are kept.
    client.send(&request).await;
    let mut second = lab.upstream().await;
    for is_last in [false, true] {
        second.head().await;
        second.send(&answer).await;
        assert!(client.head().await.to_lowercase().contains("x-499: 499\r\n"));
        assert_eq!(lab.queue.next().await.status, 200);
        if !is_last {
            client.send(&request).await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_reset_though_the_connection_lives() {
    let lab = Lab::with(|config| {
        config.listeners[0].h2c = true;
        config.idle_timeout = Duration::from_millis(200);
    })
    .await;
    let mut client = Frames::new(&lab).await;
    // INITIAL_WINDOW_SIZE: none.
    client.frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).await;
    client
        .frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&GET))
        .await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n")
        .await;
    for expected in [HEADERS, RST_STREAM] {
        assert_eq!(client.of_stream(1).await.unwrap().0, expected);
    }
    assert_eq!(upstream.rest().await, "", "the upstream is told");
    client
        .frame(HEADERS, END_HEADERS | END_STREAM, 3, &block(&GET))
        .await;
    lab.upstream().await.head().await;
}
