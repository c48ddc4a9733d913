//! What a ban ends.

use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tokio::{net::TcpStream, time::timeout};

use super::{
    super::{config::ServerUrl, hearing::UNWANTED},
    http2::{END_HEADERS, END_STREAM, Frames, GET, HEADERS, block},
    lab::{Lab, OK, get},
};

#[tokio::test]
async fn a_ban_ends_a_request_that_waits_for_its_answer() {
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
    ] {
        let mut lab = Lab::new().await;
        let mut client = lab.client().await;
        client.send(request).await;
        let mut upstream = lab.upstream().await;
        upstream.head().await;
        let start = Instant::now();
        lab.gate.ban("198.51.100.7");
        lab.gate.ban("127.0.0.1");
        upstream.rest().await;
        let answer = client.rest().await;
        assert!(
            answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("\r\n\r\nbanned\n"),
            "{answer:?}"
        );
        assert!(
            start.elapsed() < UNWANTED,
            "the rest of the body is not waited for"
        );
        assert_eq!(lab.stats.denied(), 1);
        let seen = lab.queue.next().await;
        assert_eq!(
            (seen.status, seen.upstream),
            (499, 0),
            "a request, and not an error"
        );
        assert!(lab.queue.is_empty());
    }
}

#[tokio::test]
async fn a_ban_ends_a_request_that_waits_for_a_connection() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    // Its queue is full: it answers to nobody.
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    let mut lab = Lab::with(|config| {
        let url = format!("http://{address}").parse::<ServerUrl>().unwrap();
        config.upstreams[0].servers = vec![url.into()];
        config.connect_timeout = Duration::from_secs(60);
    })
    .await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    lab.gate.ban("127.0.0.1");
    assert!(client.rest().await.starts_with("HTTP/1.1 403 "));
    assert_eq!(lab.queue.next().await.status, 499);
}

#[tokio::test]
async fn a_ban_ends_the_requests_of_its_own_client_alone() {
    let mut lab = Lab::trusting(&["127.0.0.1"], |config| config.listeners[0].h2c = true).await;
    let mut proxy = Frames::new(&lab).await;
    let mut upstreams = Vec::new();
    for (stream, client) in [(1, "198.51.100.1"), (3, "198.51.100.2")] {
        let fields = block(&[&GET[..], &[("x-forwarded-for", client)]].concat());
        proxy
            .frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields)
            .await;
        let mut upstream = lab.upstream().await;
        assert!(upstream.head().await.contains(client));
        upstreams.push(upstream);
    }
    lab.gate.ban("198.51.100.1");
    assert!(matches!(proxy.of_stream(1).await, Some((HEADERS, ..))));
    assert_eq!(upstreams[0].rest().await, "");
    upstreams[1].send(OK).await;
    assert!(matches!(proxy.of_stream(3).await, Some((HEADERS, ..))));
    for (client, status) in [("198.51.100.1", 499), ("198.51.100.2", 200)] {
        let seen = lab.queue.next().await;
        assert_eq!((seen.client.to_string().as_str(), seen.status), (client, status));
    }
    assert_eq!(lab.stats.denied(), 1);
}
