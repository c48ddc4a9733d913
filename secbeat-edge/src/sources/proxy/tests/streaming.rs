use super::lab::{Lab, OK, get};

#[tokio::test]
async fn answers_stream_before_the_upstream_is_done() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await;
    client.head().await;
    assert_eq!(client.until("first\r\n").await, "5\r\nfirst\r\n");
    upstream.send("4\r\nlast\r\n0\r\n\r\n").await;
    assert_eq!(client.until("0\r\n\r\n").await, "4\r\nlast\r\n0\r\n\r\n");
}

#[tokio::test]
async fn uploads_stream_before_the_client_is_done() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst")
        .await;
    let mut upstream = lab.upstream().await;
    let head = upstream.head().await.to_lowercase();
    assert!(
        head.contains("content-length: 10\r\n") && !head.contains("transfer-encoding"),
        "{head}"
    );
    assert_eq!(upstream.until("first").await, "first");
    client.send("_last").await;
    assert_eq!(upstream.until("last").await, "_last");
    upstream.send(OK).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn an_answer_may_come_before_the_upload_is_done() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await;
    let mut upstream = lab.upstream().await;
    upstream.until("first\r\n").await;
    upstream
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npong\r\n")
        .await;
    client.until("pong\r\n").await;
    client.send("4\r\nlast\r\n0\r\n\r\n").await;
    assert_eq!(upstream.until("0\r\n\r\n").await, "4\r\nlast\r\n0\r\n\r\n");
    upstream.send("0\r\n\r\n").await;
    assert_eq!(client.until("0\r\n\r\n").await, "0\r\n\r\n");
}

#[tokio::test]
async fn a_slow_reader_holds_the_writer_back_in_both_directions() {
    const MUCH: usize = 256 * 1024 * 1024;
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send(&format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {MUCH}\r\n\r\n"
        ))
        .await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    let sent = client.fill(MUCH).await;
    assert!(
        sent < MUCH / 2,
        "{sent} bytes taken from the client while the upstream read none"
    );

    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream
        .send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n"))
        .await;
    let sent = upstream.fill(MUCH).await;
    assert!(
        sent < MUCH / 2,
        "{sent} bytes taken from the upstream while the client read none"
    );
}

#[tokio::test]
async fn a_client_that_expects_100_continue_is_told_to() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .await;
    let mut upstream = lab.upstream().await;
    let head = upstream.head().await;
    assert!(head.contains("expect: 100-continue\r\n"), "{head}");
    upstream.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body").await;
    assert_eq!(upstream.until("body").await, "body");
    upstream.send(OK).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn who_is_refused_before_the_body_is_not_told_to_send_it() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream
        .send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 401 "));
    // Nobody knows whether what comes next is the body.
    assert!(head.contains("connection: close\r\n"), "{head}");
}

#[tokio::test]
async fn a_server_that_knows_no_100_gets_the_body_after_a_while() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody")
        .await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    assert_eq!(upstream.until("body").await, "body");
}

#[tokio::test]
async fn interim_answers_reach_a_client_before_the_answer() {
    const HINTS: &str =
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: 1\r\nContent-Length: 9\r\n\r\n";
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    let mut upstream = None;
    for together in [false, true] {
        client.send(&get("/")).await;
        let mut server = match upstream.take() {
            Some(kept) => kept,
            None => lab.upstream().await,
        };
        server.head().await;
        let expected = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        match together {
            true => server.send(&[HINTS, HINTS, OK].concat()).await,
            false => {
                server.send(HINTS).await;
                assert_eq!(client.head().await, expected);
                server.send(&[HINTS, OK].concat()).await;
            }
        }
        assert_eq!(client.head().await, expected);
        if together {
            assert_eq!(client.head().await, expected);
        }
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
        upstream = Some(server);
    }
    // HTTP/1.0 knows none (RFC 9110 §15.2).
    let mut client = lab.client().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let mut upstream = upstream.unwrap();
    upstream.head().await;
    upstream.send(&[HINTS, OK].concat()).await;
    assert!(client.head().await.starts_with("HTTP/1.0 200 OK\r\n"));
}

#[tokio::test]
async fn a_ban_cuts_what_is_streamed_to_the_client() {
    const MUCH: usize = 256 * 1024 * 1024;
    let answers = [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\nfirst\r\n"),
    ];
    for answer in answers {
        let lab = Lab::new().await;
        let mut client = lab.client().await;
        client.send(&get("/")).await;
        let mut upstream = lab.upstream().await;
        upstream.head().await;
        upstream.send(&answer).await;
        client.until("first\r\n").await;
        lab.gate.ban("198.51.100.7");
        lab.gate.ban("127.0.0.1");
        assert_eq!(client.rest().await, "", "nothing more, and the end");
        assert_eq!(upstream.rest().await, "", "the upstream is told");
    }
}
