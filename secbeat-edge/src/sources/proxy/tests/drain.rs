//! How the proxy ends, so that another process can go on.

use std::time::Duration;

use super::{
    super::ProxyConfig,
    lab::{Lab, OK, get},
};

const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf";

#[tokio::test]
async fn a_stop_lets_open_requests_end_and_refuses_new_ones() {
    let mut lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream.send(HALF).await;
    client.until("half").await;
    lab.stop();
    lab.refused().await;
    upstream.send("half").await;
    assert_eq!(client.rest().await, "half");
    lab.stopped().await;
}

#[tokio::test]
async fn where_sockets_are_kept_clients_are_served_while_open_requests_end() {
    let mut lab = Lab::kept(|config| config.header_timeout = Duration::from_millis(200)).await;
    let mut idle = lab.client().await;
    idle.send(&get("/")).await;
    let mut first = lab.upstream().await;
    first.head().await;
    first.send(OK).await;
    idle.head().await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    first.head().await;
    first.send(HALF).await;
    client.until("half").await;
    lab.stop();
    assert_eq!(
        idle.rest().await,
        "",
        "who asks for nothing is told to come again"
    );
    for _ in 0..3 {
        let mut late = lab.client().await;
        late.send(&get("/")).await;
        let mut upstream = lab.upstream().await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .await;
        assert!(late.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
        assert_eq!(late.rest().await, "", "its next connection is another process's");
    }
    first.send("half").await;
    assert_eq!(client.rest().await, "half");
    lab.stopped().await;
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_off() {
    let drain = |config: &mut ProxyConfig| config.drain = Duration::from_millis(100);
    for are_kept in [false, true] {
        let mut lab = match are_kept {
            true => Lab::kept(drain).await,
            false => Lab::with(drain).await,
        };
        let mut client = lab.client().await;
        client.send(&get("/")).await;
        let mut upstream = lab.upstream().await;
        upstream.head().await;
        upstream.send(HALF).await;
        client.until("half").await;
        let mut waiting = lab.client().await;
        waiting.send(&get("/")).await;
        let mut second = lab.upstream().await;
        second.head().await;
        lab.stop();
        assert_eq!(client.rest().await, "");
        assert_eq!(waiting.rest().await, "");
        lab.stopped().await;
        assert_eq!(lab.queue.next().await.status, 200);
        assert!(lab.queue.is_empty(), "who was cut off has given nothing up");
    }
}
