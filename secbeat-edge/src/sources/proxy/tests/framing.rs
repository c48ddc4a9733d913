use hyper::header::{HeaderName, HeaderValue};

use super::lab::{Lab, OK, get};

#[tokio::test]
async fn answers_without_a_body_keep_their_framing() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut upstream = lab.upstream().await;
    for (answer, length) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
            Some("content-length: 1234\r\n"),
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", None),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"x\"\r\n\r\n",
            None,
        ),
    ] {
        upstream.head().await;
        upstream.send(answer).await;
        let head = client.head().await.to_lowercase();
        assert_eq!(head.lines().next(), answer.to_lowercase().lines().next());
        assert!(
            length.is_none_or(|length| head.contains(length)) && !head.contains("transfer-encoding"),
            "{head}"
        );
        // The next answer comes right behind this head, so there was no body.
        client.send(&get("/")).await;
    }
    upstream.head().await;
    upstream.send(OK).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_length_beside_chunked_framing_smuggles_nothing() {
    // RFC 9112 §6.1: Transfer-Encoding alone counts, and the connection closes after the answer.
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ] {
        let lab = Lab::new().await;
        let mut client = lab.client().await;
        client
            .send(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\n"))
            .await;
        client.send(&get("/smuggled")).await;
        let mut upstream = lab.upstream().await;
        let head = upstream.head().await.to_lowercase();
        assert!(
            !head.contains("content-length: 4") && head.starts_with("post / "),
            "{head}"
        );
        assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
        assert_eq!(upstream.until("0\r\n\r\n").await, "0\r\n\r\n");
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend")
            .await;
        assert!(
            client
                .head()
                .await
                .to_lowercase()
                .contains("connection: close\r\n")
        );
        assert_eq!(client.rest().await, "end", "the smuggled request is not answered");
    }
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_refused_and_recorded() {
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
    ] {
        let mut lab = Lab::new().await;
        let mut client = lab.client().await;
        client.send(request).await;
        let head = client.head().await.to_lowercase();
        assert!(
            head.starts_with("http/1.1 400 ") || head.starts_with("http/1.0 400 "),
            "{request:?} got {head:?}"
        );
        client.rest().await;
        assert_eq!(lab.queue.next().await.status, 400, "{request:?}");
        assert!(lab.queue.is_empty(), "{request:?} is recorded twice");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    for end in ["", "\r\n\r\n"] {
        let mut lab = Lab::new().await;
        let mut client = lab.client().await;
        let field = "x".repeat(66_000);
        client
            .send(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {field}{end}"))
            .await;
        assert!(client.head().await.starts_with("HTTP/1.1 431 "));
        assert_eq!(lab.queue.next().await.status, 431);
    }
}

#[tokio::test]
async fn a_server_may_ask_for_another_protocol() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream
        .send("HTTP/1.1 426 Upgrade Required\r\nUpgrade: IRC/6.9\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n")
        .await;
    let head = client.head().await.to_lowercase();
    for there in ["upgrade: irc/6.9\r\n", "connection: upgrade\r\n"] {
        assert!(head.contains(there), "{head}");
    }
}

#[tokio::test]
async fn a_malformed_upload_is_the_clients_fault() {
    let mut lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await;
    let mut upstream = lab.upstream().await;
    upstream.until("first\r\n").await;
    client.send("nonsense\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 400 "));
    assert_eq!(lab.queue.next().await.status, 400);
}

#[tokio::test]
async fn targets_reach_the_upstream_in_origin_form() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send("GET http://b.example/x?y HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let mut upstream = lab.upstream().await;
    let head = upstream.head().await;
    assert!(
        head.starts_with("GET /x?y HTTP/1.1\r\n") && head.to_lowercase().contains("host: b.example\r\n"),
        "{head}"
    );
    upstream.send(OK).await;
    client.head().await;
    client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = upstream.head().await;
    assert!(head.starts_with("OPTIONS * HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn a_get_with_a_chunked_body_keeps_it() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
        .await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    assert_eq!(upstream.until("0\r\n\r\n").await, "2\r\nhi\r\n0\r\n\r\n");
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_a_body_that_ends_with_the_connection() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let mut upstream = lab.upstream().await;
    let head = upstream.head().await.to_lowercase();
    assert!(
        head.starts_with("get / http/1.1\r\n") && head.contains("host: 127.0.0.1:"),
        "{head}"
    );
    assert!(
        !head.contains("x-forwarded-host"),
        "the client named none: {head}"
    );
    upstream
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
        .await;
    let head = client.head().await.to_lowercase();
    assert!(
        head.starts_with("http/1.0 200 ok\r\n") && !head.contains("transfer-encoding"),
        "{head}"
    );
    assert_eq!(client.rest().await, "hi");
}

#[tokio::test]
async fn a_client_of_http_1_0_keeps_its_connection_if_it_asks_and_bodies_have_lengths() {
    const GET: &str = "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n";
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send(GET).await;
    let mut upstream = lab.upstream().await;
    for body in [
        "Content-Length: 2\r\n\r\nhi",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ] {
        upstream.head().await;
        upstream.send(&format!("HTTP/1.1 200 OK\r\n{body}")).await;
        let head = client.head().await.to_lowercase();
        let is_kept = body.starts_with("Content-Length");
        assert!(head.starts_with("http/1.0 200 ok\r\n"), "{head}");
        assert_eq!(head.contains("connection: keep-alive\r\n"), is_kept, "{head}");
        match is_kept {
            true => {
                assert_eq!(client.until("hi").await, "hi");
                client.send(GET).await;
            }
            false => assert_eq!(client.rest().await, "hi"),
        }
    }
    // The proxy's own responses end it.
    let mut client = lab.client().await;
    client
        .send("GET * HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .await;
    let answer = client.rest().await.to_lowercase();
    assert!(
        answer.starts_with("http/1.0 400 ") && !answer.contains("keep-alive"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_later_version_of_http_1_is_read_as_1_1() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send("GET / HTTP/1.2\r\nHost: a\r\n\r\n").await;
    let mut upstream = lab.upstream().await;
    assert!(upstream.head().await.starts_with("GET / HTTP/1.1\r\n"));
    upstream.send(OK).await;
    let head = client.head().await.to_lowercase();
    assert!(
        head.starts_with("http/1.1 200 ok\r\n") && !head.contains("connection: close"),
        "{head}"
    );
}

#[tokio::test]
async fn requests_in_other_codings_than_chunked_are_refused() {
    for codings in [
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
    ] {
        let mut lab = Lab::new().await;
        let mut client = lab.client().await;
        client
            .send(&format!(
                "POST / HTTP/1.1\r\nHost: a\r\n{codings}\r\n2\r\nab\r\n0\r\n\r\n"
            ))
            .await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 501 "), "{codings}: {answer}");
        assert!(lab.is_unasked().await);
        assert_eq!(lab.queue.next().await.status, 501);
    }
}

#[tokio::test]
async fn of_an_answers_length_and_chunked_coding_the_coding_counts() {
    for length in [0, 1, 10] {
        let lab = Lab::new().await;
        let mut client = lab.client().await;
        client.send(&get("/")).await;
        let mut upstream = lab.upstream().await;
        upstream.head().await;
        upstream
            .send(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
            ))
            .await;
        let head = client.head().await.to_lowercase();
        assert!(
            head.starts_with("http/1.1 200 ") && !head.contains("content-length"),
            "{head}"
        );
        assert_eq!(client.until("0\r\n\r\n").await, "2\r\nab\r\n0\r\n\r\n");
    }
}

#[tokio::test]
async fn an_answer_in_another_coding_than_chunked_is_a_502() {
    for codings in ["gzip, chunked", "chunked, chunked", "gzip"] {
        let mut lab = Lab::new().await;
        let mut client = lab.client().await;
        client.send(&get("/")).await;
        let mut upstream = lab.upstream().await;
        upstream.head().await;
        upstream
            .send(&format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: {codings}\r\n\r\n2\r\nab\r\n0\r\n\r\n"
            ))
            .await;
        assert!(client.head().await.starts_with("HTTP/1.1 502 "), "{codings}");
        assert_eq!(lab.queue.next().await.status, 502);
    }
}

#[tokio::test]
async fn lengths_that_are_the_same_become_one_and_others_are_no_answer() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    let mut upstream = None;
    for (fields, expected) in [
        ("Content-Length: 2, 2\r\n", "200"),
        ("Content-Length: 2\r\nContent-Length: 2\r\n", "200"),
        ("Content-Length: 2, 3\r\n", "502"),
    ] {
        client.send(&get("/")).await;
        let server = match &mut upstream {
            Some(server) => server,
            none => none.insert(lab.upstream().await),
        };
        server.head().await;
        server.send(&format!("HTTP/1.1 200 OK\r\n{fields}\r\nok")).await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {expected} ")), "{head}");
        if expected == "200" {
            assert_eq!(head.matches("content-length: 2\r\n").count(), 1, "{head}");
            client.until("ok").await;
        }
    }
}

#[tokio::test]
async fn a_server_has_its_own_words_for_a_status() {
    let lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut upstream = lab.upstream().await;
    for (said, passed_on) in [
        ("299 Nearly OK", "299 Nearly OK"),
        ("299", "299 "),
        ("200", "200 OK"),
    ] {
        upstream.head().await;
        upstream
            .send(&format!("HTTP/1.1 {said}\r\nContent-Length: 0\r\n\r\n"))
            .await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {passed_on}\r\n")), "{head}");
        client.send(&get("/")).await;
    }
}

#[tokio::test]
async fn a_trailer_stands_in_for_no_field_that_the_owner_sets() {
    let lab = Lab::with(|config| {
        let secret = HeaderValue::from_static("secret");
        config.headers.set = vec![(HeaderName::from_static("x-auth-gw"), secret)];
    })
    .await;
    let mut client = lab.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Auth-Gw, X_Auth_Gw, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let mut upstream = lab.upstream().await;
    assert!(upstream.head().await.contains("x-auth-gw: secret\r\n"));
    client
        .send("4\r\nbody\r\n0\r\nX-Auth-Gw: forged\r\nX_Auth_Gw: forged\r\nX-Sum: 1\r\n\r\n")
        .await;
    let body = upstream.until("x-sum: 1\r\n\r\n").await.to_lowercase();
    assert!(!body.contains("forged"), "{body}");
}
