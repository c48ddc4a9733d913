use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::net::TcpListener;

use super::{
    super::config::HealthConfig,
    lab::{Conn, Lab, OK, accept, get, soon},
};

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";

/// A connection to the upstream that was used before and that the upstream closes with its next request.
async fn stale(lab: &Lab, client: &mut Conn, request: &str) {
    client.send(&get("/")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream.send(OK).await;
    client.head().await;
    client.send(request).await;
    upstream.head().await;
    drop(upstream);
}

#[tokio::test]
async fn a_request_that_a_used_connection_lost_is_sent_again() {
    for request in [
        get("/again"),
        "DELETE /again HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
    ] {
        let lab = Lab::new().await;
        let mut client = lab.client().await;
        stale(&lab, &mut client, &request).await;
        let mut upstream = lab.upstream().await;
        assert!(upstream.head().await.contains(" /again "));
        // Its client still hears of interim answers.
        upstream.send("HTTP/1.1 103 Early Hints\r\n\r\n").await;
        assert_eq!(client.head().await, "HTTP/1.1 103 Early Hints\r\n\r\n");
        upstream.send(OK).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(lab.stats.retries(), 1);
    }
}

#[tokio::test]
async fn what_may_not_happen_twice_is_not_sent_again() {
    let mut lab = Lab::new().await;
    let mut client = lab.client().await;
    stale(&lab, &mut client, POST).await;
    assert!(client.head().await.starts_with("HTTP/1.1 502 "));
    assert_eq!(lab.queue.next().await.status, 200);
    assert_eq!(lab.queue.next().await.status, 502);
    assert_eq!(lab.stats.retries(), 0);
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_passed_over_for_any_request() {
    let (listener, url) = Lab::another().await;
    let mut lab = Lab::with(|config| config.upstreams[0].servers.push(url.into())).await;
    lab.close_upstream();
    let mut client = lab.client().await;
    for _ in 0..4 {
        client.send(POST).await;
        let mut server = accept(&listener).await;
        server.until("body").await;
        server
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(lab.stats.retries(), 1, "the dead server is asked no more");
    assert_eq!(lab.stats.upstream_failures(), 0);
}

#[tokio::test]
async fn servers_take_turns() {
    let (listener, url) = Lab::another().await;
    let lab = Lab::with(|config| config.upstreams[0].servers.push(url.into())).await;
    let mut client = lab.client().await;
    for _ in 0..2 {
        client.send(&get("/")).await;
        let mut first = lab.upstream().await;
        first.head().await;
        first
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .await;
        client.head().await;
        client.send(&get("/")).await;
        let mut second = accept(&listener).await;
        second.head().await;
        second
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .await;
        client.head().await;
    }
}

/// A server that answers everything with `name`, and its health checks by `healthy`.
async fn answering(listener: TcpListener, name: &'static str, healthy: Arc<AtomicBool>) {
    loop {
        let mut connection = accept(&listener).await;
        let healthy = healthy.clone();
        tokio::spawn(async move {
            let status = match connection.head().await.starts_with("GET /healthz ") && !healthy.load(Relaxed)
            {
                true => "503 Service Unavailable",
                false => "200 OK",
            };
            let length = name.len();
            connection
                .send(&format!(
                    "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{name}"
                ))
                .await;
        });
    }
}

#[tokio::test]
async fn a_server_that_fails_its_checks_is_taken_out_and_comes_back() {
    let ((one, url_one), (two, url_two)) = (Lab::another().await, Lab::another().await);
    let lab = Lab::with(|config| {
        config.upstreams[0].servers = vec![url_one.into(), url_two.into()];
        config.upstreams[0].health = Some(HealthConfig {
            path: "/healthz".to_owned(),
            interval: Duration::from_millis(20),
            timeout: Duration::from_secs(5),
            fail: NonZeroU32::MIN,
            pass: NonZeroU32::MIN,
        });
    })
    .await;
    let healthy = Arc::new(AtomicBool::new(true));
    tokio::spawn(answering(one, "one", healthy.clone()));
    tokio::spawn(answering(two, "two", Arc::new(AtomicBool::new(true))));
    let mut client = lab.client().await;
    let turns = async |client: &mut Conn| {
        let mut turns = [String::new(), String::new()];
        for turn in &mut turns {
            client.send(&get("/")).await;
            client.head().await;
            *turn = client.until_any(&["one", "two"]).await;
        }
        turns.sort();
        turns
    };
    for (is_healthy, expected) in [(false, ["two", "two"]), (true, ["one", "two"])] {
        healthy.store(is_healthy, Relaxed);
        let judged = async { while turns(&mut client).await != expected {} };
        soon("the server's state is noticed", judged).await;
        let up: Vec<_> = lab.servers.states().iter().map(|state| state.up).collect();
        assert_eq!(up, [is_healthy, true]);
    }
}
