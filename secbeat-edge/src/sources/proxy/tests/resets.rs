//! What is reset, and who is to blame for that.

use std::time::Duration;

use super::{
    super::hearing::STREAMS,
    http2::{
        DATA, END_HEADERS, END_STREAM, Frames, GET, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE, block,
        frame, lab,
    },
    http2_server,
    lab::{OK, get},
};

const NO_ERROR: [u8; 4] = [0; 4];
const PROTOCOL_ERROR: [u8; 4] = [0, 0, 0, 1];
const INTERNAL_ERROR: [u8; 4] = [0, 0, 0, 2];
const STREAM_CLOSED: [u8; 4] = [0, 0, 0, 5];
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];
const CANCEL: [u8; 4] = [0, 0, 0, 8];

#[tokio::test]
async fn requests_beyond_the_number_of_streams_are_no_offence() {
    let mut lab = lab().await;
    let mut client = Frames::new(&lab).await;
    let beyond = 8;
    let fields = block(&GET);
    let heads = (0..STREAMS + beyond).map(|i| frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, &fields));
    client.bytes(&heads.collect::<Vec<_>>().concat()).await;
    let mut refused = 0;
    while refused < beyond {
        let (kind, _, stream, code) = client.read().await.expect("the connection goes on");
        if kind == RST_STREAM {
            assert!(
                stream > 2 * STREAMS && code == REFUSED_STREAM,
                "{stream}: {code:?}"
            );
            refused += 1;
        }
    }
    // Were they reported, they would be before this one.
    client.frame(RST_STREAM, 0, 1, &CANCEL).await;
    assert_eq!(lab.queue.next().await.status, 499);
}

#[tokio::test]
async fn heads_that_wait_for_a_slow_network_are_no_offence() {
    let mut lab = lab().await;
    let mut client = Frames::new(&lab).await;
    // INITIAL_WINDOW_SIZE, and the window of the connection: as large as may be.
    client
        .frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])
        .await;
    client.frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0, 0]).await;
    let flags = END_HEADERS | END_STREAM;
    client.frame(HEADERS, flags, 1, &block(&GET)).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream
        .send("HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n\r\n")
        .await;
    assert!(upstream.fill(256 * 1024 * 1024).await < 256 * 1024 * 1024);
    assert_eq!(lab.queue.next().await.status, 200);
    // A PING, whose answer cannot be written, and behind it five requests.
    let heads = (1..6).map(|i| frame(HEADERS, flags, 2 * i + 1, &block(&GET)));
    let said = [frame(6, 0, 0, &[0; 8])].into_iter().chain(heads);
    client.bytes(&said.collect::<Vec<_>>().concat()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(client);
    let mut other = lab.client().await;
    other
        .send("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n")
        .await;
    loop {
        match lab.queue.next().await.status {
            501 => break,
            status => assert_ne!(status, 400),
        }
    }
}

#[tokio::test]
async fn requests_that_are_none_are_reported_among_others() {
    let mut lab = lab().await;
    let mut client = Frames::new(&lab).await;
    let malformed = block(&[GET[0], GET[1], GET[2], (":path", "/<script>")]);
    let flags = END_HEADERS | END_STREAM;
    let heads = [1, 3, 5, 7].map(|stream| {
        let fields = if stream == 5 {
            block(&GET)
        } else {
            malformed.clone()
        };
        frame(HEADERS, flags, stream, &fields)
    });
    client.bytes(&heads.concat()).await;
    for _ in 0..3 {
        assert_eq!(lab.queue.next().await.status, 400);
    }
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    client.frame(RST_STREAM, 0, 5, &CANCEL).await;
    assert_eq!(lab.queue.next().await.status, 499);
    // Before a request that is answered, too.
    let heads = [
        frame(HEADERS, flags, 9, &malformed),
        frame(HEADERS, flags, 11, &block(&GET)),
    ];
    client.bytes(&heads.concat()).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream.send(OK).await;
    let mut statuses = [lab.queue.next().await.status, lab.queue.next().await.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    assert!(lab.queue.is_empty());
}

#[tokio::test]
async fn an_upload_that_is_reset_is_never_whole_and_given_up_whatever_the_code() {
    for code in [NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, STREAM_CLOSED, CANCEL] {
        for length in [None, Some(("content-length", "100"))] {
            let mut lab = lab().await;
            let mut client = Frames::new(&lab).await;
            let mut fields = GET.to_vec();
            fields[0] = (":method", "POST");
            fields.extend(length);
            client.frame(HEADERS, END_HEADERS, 1, &block(&fields)).await;
            client.frame(DATA, 0, 1, b"partial").await;
            let mut upstream = lab.upstream().await;
            upstream.until("partial").await;
            client.frame(RST_STREAM, 0, 1, &code).await;
            let rest = upstream.rest().await;
            assert!(!rest.contains("0\r\n\r\n"), "{code:?}: {rest:?}");
            assert_eq!(lab.queue.next().await.status, 499, "{code:?} {length:?}");
            assert!(lab.queue.is_empty());
        }
    }
}

#[tokio::test]
async fn an_answer_that_its_server_resets_is_never_whole_whatever_the_code() {
    for code in [NO_ERROR, INTERNAL_ERROR, CANCEL] {
        let (lab, listener) = http2_server::lab().await;
        let mut client = lab.client().await;
        client.send(&get("/")).await;
        let mut server = http2_server::connection(&listener, 100).await;
        let (stream, _) = http2_server::request(&mut server).await;
        server
            .frame(HEADERS, END_HEADERS, stream, &block(&[(":status", "200")]))
            .await;
        server.frame(DATA, 0, stream, b"half").await;
        client.head().await;
        assert_eq!(client.until("half\r\n").await, "4\r\nhalf\r\n");
        server.frame(RST_STREAM, 0, stream, &code).await;
        assert_eq!(client.rest().await, "", "{code:?}");
    }
}

#[tokio::test]
async fn an_answer_that_ended_before_its_request_is_whole_though_its_server_closes_at_once() {
    let (lab, listener) = http2_server::lab().await;
    let mut client = lab.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        .await;
    let mut server = http2_server::connection(&listener, 100).await;
    let stream = loop {
        if let (DATA, _, stream, _) = server.read().await.expect("a request") {
            break stream;
        }
    };
    let answer = [
        frame(HEADERS, END_HEADERS, stream, &block(&[(":status", "413")])),
        frame(DATA, 0, stream, b"too"),
        frame(DATA, END_STREAM, stream, b" large"),
    ];
    server.bytes(&answer.concat()).await;
    drop(server);
    assert!(client.head().await.starts_with("HTTP/1.1 413 "));
    let body = client.until("0\r\n\r\n").await;
    assert_eq!(body, "3\r\ntoo\r\n6\r\n large\r\n0\r\n\r\n");
}

#[tokio::test]
async fn an_answer_that_ended_before_its_request_is_whole() {
    let (lab, listener) = http2_server::lab().await;
    let mut client = lab.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        .await;
    let mut server = http2_server::connection(&listener, 100).await;
    let stream = loop {
        if let (DATA, _, stream, _) = server.read().await.expect("a request") {
            break stream;
        }
    };
    server
        .frame(HEADERS, END_HEADERS, stream, &block(&[(":status", "413")]))
        .await;
    server.frame(DATA, END_STREAM, stream, b"too large").await;
    // It wants no more of the request (RFC 9113 §8.1).
    server.frame(RST_STREAM, 0, stream, &NO_ERROR).await;
    assert!(client.head().await.starts_with("HTTP/1.1 413 "));
    assert_eq!(client.until("0\r\n\r\n").await, "9\r\ntoo large\r\n0\r\n\r\n");
}
