use std::time::Duration;

use super::lab::{Conn, Lab, OK, get};

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_a_502() {
    let mut lab = Lab::new().await;
    lab.close_upstream();
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 502 "));
    let seen = lab.queue.next().await;
    assert_eq!((seen.status, seen.request.unwrap().path.as_str()), (502, "/"));
    assert_eq!(lab.stats.upstream_failures(), 1);
}

#[tokio::test]
async fn an_upstream_that_breaks_off_or_talks_nonsense_is_a_502() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "nonsense\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ] {
        let mut lab = Lab::new().await;
        let mut client = lab.client().await;
        client.send(&get("/")).await;
        let mut upstream = lab.upstream().await;
        upstream.head().await;
        upstream.send(answer).await;
        drop(upstream);
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{answer:?}: {head}");
        assert_eq!(lab.queue.next().await.status, 502, "{answer:?}");
        assert!(lab.queue.is_empty());
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_ends_the_connection() {
    let mut lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream
        .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    drop(upstream);
    client.head().await;
    assert_eq!(client.rest().await, "half");
    assert_eq!(lab.queue.next().await.status, 200);
    assert!(lab.queue.is_empty());
}

#[tokio::test]
async fn a_silent_upstream_is_a_504() {
    let mut lab = Lab::with(|config| config.response_timeout = SHORT).await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let _upstream = lab.upstream().await;
    assert!(client.head().await.starts_with("HTTP/1.1 504 "));
    assert_eq!(lab.queue.next().await.status, 504);
}

#[tokio::test]
async fn a_long_upload_does_not_count_against_the_upstream() {
    let lab = Lab::with(|config| config.response_timeout = SHORT).await;
    let mut client = lab.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
        .await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    for byte in ["a", "b", "c", "d"] {
        tokio::time::sleep(SHORT).await;
        client.send(byte).await;
        upstream.until(byte).await;
    }
    upstream.send(OK).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn an_upload_that_stops_is_a_408() {
    let mut lab = Lab::with(|config| config.idle_timeout = SHORT).await;
    let mut client = lab.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
        .await;
    let mut upstream = lab.upstream().await;
    upstream.until("ab").await;
    assert!(client.head().await.starts_with("HTTP/1.1 408 "));
    assert_eq!(lab.queue.next().await.status, 408);
}

#[tokio::test]
async fn an_answer_that_stops_is_cut_off() {
    let lab = Lab::with(|config| config.idle_timeout = SHORT).await;
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
async fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    const MUCH: usize = 256 * 1024 * 1024;
    let lab = Lab::with(|config| config.idle_timeout = Duration::from_secs(1)).await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream
        .send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n"))
        .await;
    upstream.fill(MUCH).await;
    // The proxy lets go of both sides, although the client has not.
    assert_eq!(upstream.rest().await, "");
    drop(client);
}

#[tokio::test]
async fn a_pooled_connection_that_the_upstream_closed_is_replaced() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    for _ in 0..3 {
        client.send(&get("/")).await;
        let mut upstream = lab.upstream().await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .await;
        drop(upstream);
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn an_upload_that_its_client_gives_up_is_no_error() {
    for body in [
        "Content-Length: 9\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let mut lab = Lab::new().await;
        let mut client = lab.client().await;
        client
            .send(&format!("POST / HTTP/1.1\r\nHost: a\r\n{body}"))
            .await;
        let mut upstream = lab.upstream().await;
        upstream.until("half").await;
        drop(client);
        assert_eq!(lab.queue.next().await.status, 499, "{body}");
        assert!(lab.queue.is_empty());
    }
}

#[tokio::test]
async fn who_waits_after_half_an_upload_reads_a_status_line_without_words_of_hyper() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
        .await;
    let mut upstream = lab.upstream().await;
    upstream.until("half").await;
    let answer = client.close_writing().unwrap().rest().await;
    assert!(answer.starts_with("HTTP/1.1 499 \r\n"), "{answer:?}");
}

#[tokio::test]
async fn who_hangs_up_at_once_is_reported() {
    let mut lab = Lab::new().await;
    // Most of these are gone before the proxy has looked at them.
    for _ in 0..20 {
        let mut client = lab.client().await;
        client.send(&get("/slow")).await;
        let _client = client.close_writing();
        assert_eq!(lab.queue.next().await.status, 499);
    }
    assert!(lab.queue.is_empty());
}

#[tokio::test]
async fn who_hangs_up_before_the_answer_has_given_up_and_so_does_the_proxy() {
    for hang_up in [Conn::close_writing, Conn::close] {
        let mut lab = Lab::new().await;
        let mut client = lab.client().await;
        client.send(&get("/slow")).await;
        let mut upstream = lab.upstream().await;
        upstream.head().await;
        let _client = hang_up(client);
        assert_eq!(upstream.rest().await, "", "the upstream is told");
        assert_eq!(lab.queue.next().await.status, 499);
        assert!(lab.queue.is_empty());
    }
}
