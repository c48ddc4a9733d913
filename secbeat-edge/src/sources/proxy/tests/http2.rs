//! HTTP/2 by literal frames (RFC 9113 §4.1), on a listener that takes it by prior knowledge.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use std::time::Duration;

use super::lab::{Conn, Lab, OK, get, soon};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// Frames of either side.
pub(super) struct Frames(pub(super) Conn);

/// Type, flags, stream and payload.
type Frame = (u8, u8, u32, Vec<u8>);

impl Frames {
    /// Those of a client.
    pub(super) async fn new(lab: &Lab) -> Self {
        let mut client = Self(lab.client().await);
        soon("sending", client.0.0.write_all(PREFACE)).await.unwrap();
        client.frame(SETTINGS, 0, 0, &[]).await;
        client
    }

    pub(super) async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.bytes(&frame(kind, flags, stream, payload)).await;
    }

    pub(super) async fn bytes(&mut self, bytes: &[u8]) {
        // A connection that was closed meanwhile shows in what is read.
        let _ = soon("sending", self.0.0.write_all(bytes)).await;
    }

    pub(super) async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        soon("a frame", self.0.0.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        soon("a frame", self.0.0.read_exact(&mut payload)).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some((head[3], head[4], stream, payload))
    }

    /// The next frame of `stream`, or the end of the connection.
    pub(super) async fn of_stream(&mut self, stream: u32) -> Option<Frame> {
        loop {
            match self.read().await? {
                (GOAWAY, ..) => return None,
                frame if frame.2 == stream => return Some(frame),
                _ => {}
            }
        }
    }
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header block of literals without indexing (RFC 7541 §6.2.2).
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let mut coded = match u8::try_from(text.len()) {
            Ok(length) if length < 127 => vec![length],
            _ => {
                let rest = text.len() - 127;
                assert!(rest < 128 * 128);
                vec![
                    127,
                    u8::try_from(rest % 128).unwrap() | 128,
                    u8::try_from(rest / 128).unwrap(),
                ]
            }
        };
        coded.extend(text.as_bytes());
        coded
    };
    let field = |(name, value): &(&str, &str)| [vec![0], text(name), text(value)].concat();
    fields.iter().flat_map(field).collect()
}

pub(super) const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "example.org"),
    (":path", "/a?b"),
];

pub(super) async fn lab() -> Lab {
    Lab::with(|config| config.listeners[0].h2c = true).await
}

/// The status that an answer's header block begins with: indexed (RFC 7541 appendix A), or literal.
fn status(block: &[u8]) -> String {
    match block[0] {
        0x88 => "200".to_owned(),
        0x8c => "400".to_owned(),
        0x8d => "404".to_owned(),
        _ => format!("{block:?}"),
    }
}

#[tokio::test]
async fn a_request_goes_on_in_http1_and_its_answer_comes_back() {
    let mut lab = lab().await;
    let mut client = Frames::new(&lab).await;
    let fields = [
        &GET[..],
        &[("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers")],
    ]
    .concat();
    client
        .frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields))
        .await;
    let mut upstream = lab.upstream().await;
    let head = upstream.head().await;
    assert!(head.starts_with("GET /a?b HTTP/1.1\r\n"), "{head}");
    for there in [
        "host: example.org\r\n",
        "cookie: a=1; b=2\r\n",
        "te: trailers\r\n",
    ] {
        assert!(head.contains(there), "{there} not in {head}");
    }
    assert!(!head.contains("\r\n:"), "{head}");
    upstream
        .send("HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
        .await;
    let (kind, _, _, payload) = client.of_stream(1).await.unwrap();
    assert_eq!((kind, status(&payload)), (HEADERS, "200".to_owned()));
    let (kind, _, _, payload) = client.of_stream(1).await.unwrap();
    assert_eq!((kind, payload.as_slice()), (DATA, &b"hi"[..]));
    let seen = lab.queue.next().await;
    assert_eq!(
        (seen.status, seen.client.to_string().as_str()),
        (200, "127.0.0.1")
    );
}

#[tokio::test]
async fn what_http1_would_read_otherwise_reaches_no_server() {
    let swap = |name: &str, value: &'static str| {
        GET.map(|field| if field.0 == name { (field.0, value) } else { field })
            .to_vec()
    };
    let with = |field: (&'static str, &'static str)| [&GET[..], &[field]].concat();
    for fields in [
        with(("transfer-encoding", "chunked")),
        with(("connection", "close")),
        with(("keep-alive", "5")),
        with(("proxy-connection", "close")),
        with(("upgrade", "websocket")),
        with(("te", "gzip")),
        with(("X-Upper", "1")),
        with(("x", "a\r\nb: c")),
        with(("x", "a\nb: c")),
        with(("x y", "1")),
        with(("x:y", "1")),
        with((":path", "/second")),
        with((":status", "200")),
        with((":unknown", "1")),
        with(("host", "other.example")),
        with(("content-length", "1")),
        with(("content-length", "+0")),
        [&GET[..], &[("content-length", "0"), ("content-length", "5")]].concat(),
        swap(":path", "/a b HTTP/1.1\r\nx: y"),
        swap(":path", "/a b"),
        swap(":path", ""),
        swap(":path", "*"),
        swap(":method", "GET /x HTTP/1.1\r\nx:"),
        swap(":method", "GET / HTTP/1.1"),
        swap(":authority", "a b"),
        swap(":authority", "u@a"),
        swap(":scheme", "ht tp"),
        [&[("x", "before")], &GET[..]].concat(),
        GET[1..].to_vec(),
        GET[..3].to_vec(),
    ] {
        let lab = lab().await;
        let mut client = Frames::new(&lab).await;
        client
            .frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields))
            .await;
        match client.of_stream(1).await {
            None | Some((RST_STREAM, ..)) => {}
            Some((HEADERS, _, _, payload)) => assert_eq!(status(&payload), "400", "{fields:?}"),
            other => panic!("{fields:?} got {other:?}"),
        }
        assert!(lab.is_unasked().await, "{fields:?} reached the server");
    }
}

#[tokio::test]
async fn a_body_of_another_length_than_said_is_never_whole() {
    for (length, body) in [("5", "abc"), ("2", "abc")] {
        let lab = lab().await;
        let mut client = Frames::new(&lab).await;
        let mut fields = GET.to_vec();
        fields[0] = (":method", "POST");
        fields.push(("content-length", length));
        client.frame(HEADERS, END_HEADERS, 1, &block(&fields)).await;
        client.frame(DATA, END_STREAM, 1, body.as_bytes()).await;
        match client.of_stream(1).await {
            None | Some((RST_STREAM, ..)) => {}
            Some((HEADERS, _, _, payload)) => assert_eq!(status(&payload), "400"),
            other => panic!("{length} got {other:?}"),
        }
        let mut upstream = lab.upstream().await;
        let sent = upstream.rest().await;
        let whole = sent.split_once("\r\n\r\n").is_some_and(|(head, sent)| {
            head.contains(&format!("content-length: {length}")) && sent.len() >= length.parse().unwrap()
        });
        assert!(!whole, "{sent:?}");
    }
}

#[tokio::test]
async fn a_flood_of_resets_ends_the_connection() {
    let mut lab = lab().await;
    let mut client = Frames::new(&lab).await;
    let fields = block(&GET);
    for i in 0..2000 {
        let stream = 2 * i + 1;
        client
            .frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields)
            .await;
        client.frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]).await;
        if i % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
    while client.read().await.is_some() {}
    lab.close_upstream();
}

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    let mut lab = lab().await;
    let mut client = Frames::new(&lab).await;
    client.frame(HEADERS, END_STREAM, 1, &block(&GET)).await;
    let filler = block(&[("x", &"x".repeat(8000))]);
    for _ in 0..100 {
        client.frame(CONTINUATION, 0, 1, &filler).await;
    }
    while let Some((kind, _, _, payload)) = client.read().await {
        assert_ne!(kind, DATA, "{payload:?}");
    }
    assert!(lab.is_unasked().await);
    assert_eq!(lab.queue.next().await.status, 429);
}

#[tokio::test]
async fn what_http2_forbids_is_reported() {
    for (kind, flags, stream, payload) in [
        (DATA, 0, 0, &b"of no stream"[..]),
        (HEADERS, END_HEADERS, 2, &[]),
        (HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"),
        (SETTINGS, 0, 0, b"short"),
    ] {
        let mut lab = lab().await;
        let mut client = Frames::new(&lab).await;
        client.frame(kind, flags, stream, payload).await;
        while client.read().await.is_some() {}
        let seen = lab.queue.next().await;
        assert_eq!(
            (seen.client.to_string().as_str(), seen.status),
            ("127.0.0.1", 400),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn requests_that_are_none_are_reported_and_the_connection_goes_on() {
    let mut lab = lab().await;
    let mut client = Frames::new(&lab).await;
    let path = |path: &'static str| [GET[0], GET[1], GET[2], (":path", path)];
    let flags = END_HEADERS | END_STREAM;
    client.frame(HEADERS, flags, 1, &block(&path("/<script>"))).await;
    assert_eq!(client.of_stream(1).await.unwrap().0, RST_STREAM);
    assert_eq!(lab.queue.next().await.status, 400);
    // A list of headers that is too long.
    client.frame(HEADERS, END_STREAM, 3, &block(&GET)).await;
    let filler = block(&[("x", &"x".repeat(12_000))]);
    client.frame(CONTINUATION, 0, 3, &filler).await;
    client.frame(CONTINUATION, 0, 3, &filler).await;
    client.frame(CONTINUATION, END_HEADERS, 3, &filler).await;
    assert_eq!(client.of_stream(3).await.unwrap().0, HEADERS);
    assert_eq!(lab.queue.next().await.status, 400);
    client.frame(HEADERS, flags, 5, &block(&GET)).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream.send(OK).await;
    assert_eq!(client.of_stream(5).await.unwrap().0, HEADERS);
    assert_eq!(lab.queue.next().await.status, 200);
    assert!(lab.queue.is_empty());
}

#[tokio::test]
async fn http2_without_leave_is_refused() {
    let mut lab = Lab::new().await;
    let mut client = lab.client().await;
    soon("sending", client.0.write_all(PREFACE)).await.unwrap();
    let answer = client.rest().await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 505 ") || answer.is_empty(),
        "{answer}"
    );
    assert!(lab.is_unasked().await);
    assert_eq!(lab.queue.next().await.status, 400);
}

#[tokio::test]
async fn a_listener_of_both_takes_http1_as_ever() {
    let lab = lab().await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream.send(OK).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn who_resets_or_leaves_before_the_answer_has_given_up() {
    for leaves in [false, true] {
        let mut lab = lab().await;
        let mut client = Frames::new(&lab).await;
        client
            .frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&GET))
            .await;
        let mut upstream = lab.upstream().await;
        upstream.head().await;
        match leaves {
            true => drop(client),
            false => client.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]).await,
        }
        assert_eq!(upstream.rest().await, "", "the upstream is told");
        assert_eq!(lab.queue.next().await.status, 499);
        assert!(lab.queue.is_empty());
    }
}

#[tokio::test]
async fn an_upload_that_is_reset_is_given_up() {
    let mut lab = lab().await;
    let mut client = Frames::new(&lab).await;
    let post = [(":method", "POST"), GET[1], GET[2], GET[3]];
    client.frame(HEADERS, END_HEADERS, 1, &block(&post)).await;
    client.frame(DATA, 0, 1, b"half").await;
    let mut upstream = lab.upstream().await;
    upstream.until("half\r\n").await;
    client.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]).await;
    assert_eq!(lab.queue.next().await.status, 499);
    assert!(lab.queue.is_empty());
}

/// Bytes of a chunk of an upstream's answer.
async fn send_chunk(upstream: &mut Conn) {
    upstream.send("4\r\ntick\r\n").await;
}

#[tokio::test]
async fn an_answer_may_take_longer_than_a_head_and_an_idle_connection_may_not() {
    const HEAD: Duration = Duration::from_millis(200);
    const TICKS: usize = 12;
    let lab = Lab::with(|config| {
        config.listeners[0].h2c = true;
        config.header_timeout = HEAD;
        config.keep_alive = HEAD;
    })
    .await;
    let mut http2 = Frames::new(&lab).await;
    http2
        .frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&GET))
        .await;
    let mut upstream_of_http2 = lab.upstream().await;
    upstream_of_http2.head().await;
    let mut http1 = lab.client().await;
    http1.send(&get("/")).await;
    let mut upstream_of_http1 = lab.upstream().await;
    upstream_of_http1.head().await;
    for upstream in [&mut upstream_of_http2, &mut upstream_of_http1] {
        upstream
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
    }
    for _ in 0..TICKS {
        tokio::time::sleep(HEAD / 2).await;
        send_chunk(&mut upstream_of_http2).await;
        send_chunk(&mut upstream_of_http1).await;
    }
    for upstream in [&mut upstream_of_http2, &mut upstream_of_http1] {
        upstream.send("0\r\n\r\n").await;
    }
    let mut body = Vec::new();
    loop {
        let (kind, flags, _, payload) = http2.of_stream(1).await.expect("the answer is whole");
        if kind == DATA {
            body.extend(payload);
            if flags & END_STREAM != 0 {
                break;
            }
        }
    }
    assert_eq!(body, "tick".repeat(TICKS).as_bytes());
    http1.head().await;
    let body = http1.until("0\r\n\r\n").await;
    assert_eq!(body, "4\r\ntick\r\n".repeat(TICKS) + "0\r\n\r\n");
    // And then they end, since nothing more is asked.
    assert!(http2.of_stream(3).await.is_none());
    assert_eq!(http1.rest().await, "");
}

#[tokio::test]
async fn what_one_client_of_a_proxy_sends_is_not_blamed_on_another() {
    let lab = Lab::trusting(&["127.0.0.1"], |config| config.listeners[0].h2c = true).await;
    let mut proxy = Frames::new(&lab).await;
    let of = |client: &'static str, more: &[(&'static str, &'static str)]| {
        block(&[&GET[..], &[("x-forwarded-for", client)], more].concat())
    };
    let flags = END_HEADERS | END_STREAM;
    proxy.frame(HEADERS, flags, 1, &of("198.51.100.1", &[])).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    // The whole connection ends by this.
    proxy
        .frame(HEADERS, flags, 3, &of("198.51.100.2", &[("x", "1\n2")]))
        .await;
    assert_eq!(upstream.rest().await, "");
    while proxy.read().await.is_some() {}
    assert!(lab.queue.is_empty());
}
