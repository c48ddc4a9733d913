//! What stands in the body of a request is never taken for a head, however early its answer comes.

use std::time::Duration;

use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use super::{
    super::config::ServerUrl,
    http2::{DATA, END_HEADERS, END_STREAM, HEADERS, block},
    http2_server::{connection, request},
    lab::Lab,
};

const SHORT: Duration = Duration::from_millis(100);

/// A head in the name of another client, of which some bytes would be percent-encoded.
const HEAD: &str = "GET /<<\"\"> HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.77\r\n\r\n";

/// A request of a client that a trusted proxy names, as far as its body of `length` bytes.
fn post(length: usize) -> String {
    let fields = "Host: a\r\nX-Forwarded-For: 198.51.100.66";
    format!("POST /up HTTP/1.1\r\n{fields}\r\nContent-Length: {length}\r\n\r\n")
}

#[tokio::test]
async fn a_body_that_comes_after_its_answer_is_not_a_head() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    let mut lab = Lab::trusting(&["127.0.0.1"], |config| {
        config.upstreams[0].servers = vec![url.parse::<ServerUrl>().unwrap().into()];
        config.header_timeout = SHORT;
    })
    .await;
    let mut client = lab.client().await;
    client.send(&post(2 * HEAD.len())).await;
    let mut server = connection(&listener, 100).await;
    let stream = loop {
        if let (HEADERS, _, stream, _) = server.read().await.expect("a request") {
            break stream;
        }
    };
    let answer = block(&[(":status", "204")]);
    let flags = END_HEADERS | END_STREAM;
    server.frame(HEADERS, flags, stream, &answer).await;
    assert!(client.head().await.starts_with("HTTP/1.1 204 "));
    client.send(HEAD).await;
    // It may take longer than a head.
    tokio::time::sleep(3 * SHORT).await;
    client.send(HEAD).await;
    let mut body = Vec::new();
    loop {
        let (kind, flags, of, payload) = server.read().await.expect("the body");
        if (kind, of) == (DATA, stream) {
            body.extend(payload);
            if flags & END_STREAM != 0 {
                break;
            }
        }
    }
    assert_eq!(String::from_utf8_lossy(&body), HEAD.repeat(2));
    // The next request is the client's own.
    client.send(&post(0)).await;
    let (stream, _) = request(&mut server).await;
    server.frame(HEADERS, flags, stream, &answer).await;
    assert!(client.head().await.starts_with("HTTP/1.1 204 "));
    for _ in 0..2 {
        let seen = lab.queue.next().await;
        assert_eq!(
            (seen.client.to_string().as_str(), seen.status),
            ("198.51.100.66", 204)
        );
    }
    assert!(lab.queue.is_empty());
}

#[tokio::test]
async fn a_body_that_a_redirection_does_not_want_is_not_a_head() {
    /// As much of it is taken.
    const TAKEN: usize = 64 * 1024 * 1024;
    let mut lab = Lab::trusting(&["127.0.0.1"], |config| {
        config.listeners[0].redirect_to_https = Some(443);
    })
    .await;
    // All of it is taken, and the next request is the client's own.
    let mut client = lab.client().await;
    for _ in 0..2 {
        client.send(&post(HEAD.len())).await;
        assert!(client.head().await.starts_with("HTTP/1.1 308 "));
        client.send(HEAD).await;
    }
    // Of more, what is left ends the connection.
    let mut client = lab.client().await;
    let rest = format!(" {}\n{}{HEAD}", "<".repeat(200), "\r\n".repeat(150));
    client.send(&post(TAKEN + rest.len())).await;
    assert!(client.head().await.starts_with("HTTP/1.1 308 "));
    let block = vec![b'x'; 64 * 1024];
    for _ in 0..TAKEN / block.len() {
        // What a slow machine has not sent in time ends the connection as well.
        if client.0.write_all(&block).await.is_err() {
            break;
        }
    }
    // The proxy may have closed by then.
    let _ = client.0.write_all(rest.as_bytes()).await;
    assert_eq!(client.rest().await, "");
    for _ in 0..3 {
        let seen = lab.queue.next().await;
        assert_eq!(
            (seen.client.to_string().as_str(), seen.status),
            ("198.51.100.66", 308)
        );
    }
    assert!(lab.queue.is_empty());
    assert!(lab.is_unasked().await);
}

#[tokio::test]
async fn a_body_behind_another_request_is_not_a_head() {
    let mut lab = Lab::trusting(&["127.0.0.1"], |_| ()).await;
    let mut client = lab.client().await;
    // Both heads come at once, and the body is there before the second one is a request.
    client.send(&(post(0) + &post(HEAD.len()))).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    client.send(HEAD).await;
    tokio::time::sleep(SHORT).await;
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    client.head().await;
    upstream.head().await;
    assert_eq!(upstream.until(HEAD).await, HEAD);
    upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    client.head().await;
    for _ in 0..2 {
        assert_eq!(lab.queue.next().await.client.to_string(), "198.51.100.66");
    }
    assert!(lab.queue.is_empty());
}
