use std::time::Duration;

use super::lab::{Lab, OK, get, soon};

const WEBSOCKET: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[tokio::test]
async fn an_upgraded_connection_passes_bytes_both_ways_and_holds_its_slot() {
    let mut lab = Lab::with(|config| config.max_connections = std::num::NonZeroU32::MIN).await;
    let mut client = lab.client().await;
    client.send(WEBSOCKET).await;
    let mut upstream = lab.upstream().await;
    let head = upstream.head().await.to_lowercase();
    for there in [
        "connection: upgrade\r\n",
        "upgrade: websocket\r\n",
        "sec-websocket-key: ",
    ] {
        assert!(head.contains(there), "{there} not in {head}");
    }
    // The first bytes come with the answer.
    upstream.send(&format!("{SWITCHING}hello")).await;
    let head = client.head().await.to_lowercase();
    assert!(head.starts_with("http/1.1 101 switching protocols\r\n"), "{head}");
    for there in [
        "connection: upgrade\r\n",
        "upgrade: websocket\r\n",
        "sec-websocket-accept: ",
    ] {
        assert!(head.contains(there), "{there} not in {head}");
    }
    assert_eq!(client.until("hello").await, "hello");
    client.send("GET /not-http\r\n\r\n").await;
    assert_eq!(upstream.until("\r\n\r\n").await, "GET /not-http\r\n\r\n");
    assert_eq!(lab.queue.next().await.status, 101);

    let mut waiting = lab.client().await;
    waiting.send(&get("/waiting")).await;
    upstream.send("more").await;
    assert_eq!(client.until("more").await, "more");
    assert_eq!(lab.stats.connections(), 1, "the slot is taken");
    drop(upstream);
    assert_eq!(client.rest().await, "");
    drop(client);
    let mut upstream = lab.upstream().await;
    assert!(upstream.head().await.starts_with("GET /waiting "));
}

#[tokio::test]
async fn a_server_may_decline_to_switch() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send(WEBSOCKET).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream.send(OK).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    client.send(&get("/next")).await;
    assert!(upstream.head().await.starts_with("GET /next "));
}

#[tokio::test]
async fn http2_is_not_smuggled_in_by_an_upgrade() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
        .await;
    let mut upstream = lab.upstream().await;
    let head = upstream.head().await.to_lowercase();
    assert!(
        !head.contains("upgrade") && !head.contains("http2-settings"),
        "{head}"
    );
}

#[tokio::test]
async fn a_server_switches_to_what_was_asked_for_alone() {
    for (answer, expected) in [
        (SWITCHING.replace("websocket", "h2c"), "HTTP/1.1 502 "),
        (SWITCHING.replace("websocket", "websocket, h2c"), "HTTP/1.1 502 "),
        (SWITCHING.replace("websocket", "WebSocket"), "HTTP/1.1 101 "),
        (SWITCHING.replace("HTTP/1.1", "HTTP/1.0"), "HTTP/1.1 101 "),
    ] {
        let lab = Lab::new().await;
        let mut client = lab.client().await;
        client.send(WEBSOCKET).await;
        let mut upstream = lab.upstream().await;
        upstream.head().await;
        upstream.send(&answer).await;
        let head = client.head().await;
        assert!(head.starts_with(expected), "{answer}: {head}");
    }
}

#[tokio::test]
async fn an_upgraded_connection_ends_when_nothing_moves_and_when_the_proxy_stops() {
    for idle in [Duration::from_millis(100), Duration::from_secs(600)] {
        let mut lab = Lab::with(|config| {
            config.idle_timeout = idle;
            config.drain = Duration::from_millis(100);
        })
        .await;
        let mut client = lab.client().await;
        client.send(WEBSOCKET).await;
        let mut upstream = lab.upstream().await;
        upstream.head().await;
        upstream.send(SWITCHING).await;
        client.head().await;
        if idle > Duration::from_secs(1) {
            lab.stop();
            lab.stopped().await;
        }
        assert_eq!(client.rest().await, "");
        assert_eq!(upstream.rest().await, "");
    }
}

#[tokio::test]
async fn a_ban_cuts_an_upgraded_connection() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send(WEBSOCKET).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream.send(&format!("{SWITCHING}hello")).await;
    client.until("hello").await;
    lab.gate.ban("127.0.0.1");
    assert_eq!(client.rest().await, "");
    assert_eq!(upstream.rest().await, "");
}

#[tokio::test]
async fn an_upgraded_connection_counts_for_the_client_that_a_proxy_names() {
    let lab = Lab::trusting(&["127.0.0.1"], |config| {
        config.max_connections_per_source = std::num::NonZeroU32::MIN;
    })
    .await;
    let websocket = WEBSOCKET.replace("Host: a\r\n", "Host: a\r\nX-Forwarded-For: 198.51.100.7\r\n");
    let mut first = lab.client().await;
    first.send(&websocket).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream.send(&format!("{SWITCHING}hello")).await;
    first.until("hello").await;
    let mut second = lab.client().await;
    second.send(&websocket).await;
    assert!(second.head().await.starts_with("HTTP/1.1 429 "));
    drop((first, upstream));
    let freed = async {
        loop {
            let mut third = lab.client().await;
            third.send(&websocket).await;
            tokio::select! {
                mut upstream = lab.upstream() => return upstream.head().await,
                head = third.head() => assert!(head.starts_with("HTTP/1.1 429 "), "{head}"),
            }
        }
    };
    soon("its place", freed).await;
}
