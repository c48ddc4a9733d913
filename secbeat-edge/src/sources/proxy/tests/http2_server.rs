//! Servers that speak HTTP/2, by literal frames.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener},
    task::JoinSet,
    time::timeout,
};

use super::{
    super::config::ServerUrl,
    http2::{
        DATA, END_HEADERS, END_STREAM, Frames, GET, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, block,
    },
    lab::{Lab, OK, accept, get, soon},
};

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];

pub(super) async fn lab() -> (Lab, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    let lab =
        Lab::with(|config| config.upstreams[0].servers = vec![url.parse::<ServerUrl>().unwrap().into()])
            .await;
    (lab, listener)
}

/// The next connection to a server that takes so many streams at a time.
pub(super) async fn connection(listener: &TcpListener, streams: u8) -> Frames {
    let mut frames = Frames(accept(listener).await);
    let mut preface = [0; PREFACE.len()];
    soon("the preface", frames.0.0.read_exact(&mut preface))
        .await
        .unwrap();
    assert_eq!(preface, PREFACE);
    frames.frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, streams]).await;
    frames
}

/// The next request: its stream and its body.
pub(super) async fn request(frames: &mut Frames) -> (u32, Vec<u8>) {
    let mut body = Vec::new();
    loop {
        let (kind, flags, stream, payload) = frames.read().await.expect("a request");
        if kind == DATA {
            body.extend(payload);
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            return (stream, body);
        }
    }
}

async fn answer(frames: &mut Frames, stream: u32) {
    let flags = END_HEADERS | END_STREAM;
    frames
        .frame(HEADERS, flags, stream, &block(&[(":status", "204")]))
        .await;
}

#[tokio::test]
async fn what_a_server_refuses_or_goes_away_before_is_sent_again_whatever_the_method() {
    for goes_away in [false, true] {
        let (lab, listener) = lab().await;
        let mut client = lab.client().await;
        client.send(POST).await;
        let mut first = connection(&listener, 100).await;
        let (stream, body) = request(&mut first).await;
        assert_eq!(body, b"body");
        match goes_away {
            // The last stream that it may have processed is none.
            true => first.frame(GOAWAY, 0, 0, &[0; 8]).await,
            false => first.frame(RST_STREAM, 0, stream, &REFUSED_STREAM).await,
        }
        let mut second = connection(&listener, 100).await;
        let (stream, body) = request(&mut second).await;
        assert_eq!(body, b"body", "whole again");
        answer(&mut second, stream).await;
        assert!(client.head().await.starts_with("HTTP/1.1 204 "));
        assert_eq!(lab.stats.retries(), 1);
    }
}

/// At least so many bytes of the next request's body, for which there is room: its stream, and them.
async fn upload(frames: &mut Frames, least: usize) -> (u32, Vec<u8>) {
    let (mut of, mut body) = (0, Vec::new());
    while body.len() < least {
        let (kind, _, stream, payload) = frames.read().await.expect("a request");
        match kind {
            HEADERS => {
                of = stream;
                let room = u32::try_from(least).unwrap().to_be_bytes();
                frames.frame(WINDOW_UPDATE, 0, 0, &room).await;
                frames.frame(WINDOW_UPDATE, 0, stream, &room).await;
            }
            DATA => body.extend(payload),
            _ => {}
        }
    }
    (of, body)
}

#[tokio::test]
async fn what_a_server_has_taken_of_a_large_body_before_it_refuses_is_sent_again() {
    let body = "0123456789abcdef".repeat(64 * 1024);
    for goes_away in [false, true] {
        let (lab, listener) = lab().await;
        let (mut answers, mut requests) = lab.client().await.0.into_split();
        let length = body.len();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        let request = head + &body;
        let sending = tokio::spawn(async move {
            requests.write_all(request.as_bytes()).await.unwrap();
            requests
        });
        let mut first = connection(&listener, 100).await;
        let (stream, _) = upload(&mut first, length / 2).await;
        match goes_away {
            // The last stream that it may have processed is none; ENHANCE_YOUR_CALM.
            true => first.frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11]).await,
            false => first.frame(RST_STREAM, 0, stream, &REFUSED_STREAM).await,
        }
        let mut second = connection(&listener, 100).await;
        let (stream, sent) = upload(&mut second, length).await;
        assert!(sent == body.as_bytes(), "whole again");
        answer(&mut second, stream).await;
        let mut head = [0; 13];
        soon("an answer", answers.read_exact(&mut head)).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 204 ");
        drop(sending.await.unwrap());
        assert_eq!(lab.stats.retries(), 1);
    }
}

#[tokio::test]
async fn what_a_server_may_have_processed_is_not_sent_again() {
    for goes_away in [false, true] {
        let (lab, listener) = lab().await;
        let mut client = lab.client().await;
        client.send(POST).await;
        let mut first = connection(&listener, 100).await;
        let (stream, _) = request(&mut first).await;
        match goes_away {
            // This stream is the last that it may have processed; INTERNAL_ERROR.
            true => first.frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 2]).await,
            false => first.frame(RST_STREAM, 0, stream, &[0, 0, 0, 2]).await,
        }
        drop(first);
        assert!(client.head().await.starts_with("HTTP/1.1 502 "));
        assert_eq!(lab.stats.retries(), 0);
    }
}

#[tokio::test]
async fn a_request_that_ends_a_connection_is_sent_once_more_and_alone() {
    let (mut lab, listener) = lab().await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut servers = Vec::new();
    for _ in 0..2 {
        let mut server = connection(&listener, 100).await;
        request(&mut server).await;
        // The last stream that it may have processed is none; PROTOCOL_ERROR.
        server.frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 1]).await;
        servers.push(server);
    }
    assert!(client.head().await.starts_with("HTTP/1.1 502 "));
    assert_eq!(lab.stats.retries(), 1);
    assert_eq!(lab.queue.next().await.status, 502);
}

/// Two servers, of which the first one gets the first request.
async fn two_servers() -> (Lab, [TcpListener; 2]) {
    let any = "127.0.0.1:0";
    let listeners = [
        TcpListener::bind(any).await.unwrap(),
        TcpListener::bind(any).await.unwrap(),
    ];
    let urls = listeners
        .each_ref()
        .map(|listener| format!("h2c://{}", listener.local_addr().unwrap()));
    let lab = Lab::with(|config| {
        let servers = urls.iter().map(|url| url.parse::<ServerUrl>().unwrap().into());
        config.upstreams[0].servers = servers.collect();
    })
    .await;
    (lab, listeners)
}

#[tokio::test]
async fn a_request_that_its_server_did_not_process_goes_to_another_one_if_that_has_gone() {
    let (lab, [one, two]) = two_servers().await;
    let mut client = lab.client().await;
    client.send(POST).await;
    let mut first = connection(&one, 100).await;
    request(&mut first).await;
    drop(one);
    // The last stream that it may have processed is none; INTERNAL_ERROR.
    first.frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2]).await;
    let mut second = connection(&two, 100).await;
    let (stream, body) = request(&mut second).await;
    assert_eq!(body, b"body");
    answer(&mut second, stream).await;
    assert!(client.head().await.starts_with("HTTP/1.1 204 "));
    assert_eq!(lab.stats.retries(), 2);
}

#[tokio::test]
async fn who_comes_from_a_server_that_has_gone_shares_the_connection_to_another_one() {
    let (lab, [there, gone]) = two_servers().await;
    drop(gone);
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut server = connection(&there, 100).await;
    for retries in 0..2 {
        let (stream, _) = request(&mut server).await;
        answer(&mut server, stream).await;
        assert!(client.head().await.starts_with("HTTP/1.1 204 "));
        assert_eq!(lab.stats.retries(), retries);
        client.send(&get("/")).await;
    }
}

#[tokio::test]
async fn a_server_stays_up_though_many_wait_for_its_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    let lab = Lab::with(|config| {
        config.upstreams[0].servers = vec![url.parse::<ServerUrl>().unwrap().into()];
        config.connect_timeout = Duration::from_millis(250);
    })
    .await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut server = connection(&listener, 1).await;
    request(&mut server).await;
    // Each of these needs a connection of its own, and a server that does not say how many streams it takes is waited for.
    let mut waiting = JoinSet::new();
    for _ in 0..8 {
        let mut client = lab.client().await;
        client.send(&get("/")).await;
        waiting.spawn(async move { client.head().await });
    }
    let head = waiting.join_next().await.unwrap().unwrap();
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
    assert!(lab.servers.states().iter().all(|state| state.up));
}

#[tokio::test]
async fn the_end_of_a_connection_is_an_error_of_none_of_the_clients_that_share_it() {
    for (sources, status) in [
        (["198.51.100.1", "198.51.100.2"], 499),
        (["198.51.100.1", "198.51.100.1"], 502),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("h2c://{}", listener.local_addr().unwrap());
        let mut lab = Lab::trusting(&["127.0.0.1"], |config| {
            config.upstreams[0].servers = vec![url.parse::<ServerUrl>().unwrap().into()];
        })
        .await;
        let mut clients = [lab.client().await, lab.client().await];
        clients[0].send(&get("/warm")).await;
        let mut server = connection(&listener, 100).await;
        let (stream, _) = request(&mut server).await;
        answer(&mut server, stream).await;
        clients[0].head().await;
        for (client, source) in clients.iter_mut().zip(sources) {
            let fields = format!("Host: a\r\nX-Forwarded-For: {source}\r\nContent-Length: 4");
            client
                .send(&format!("POST / HTTP/1.1\r\n{fields}\r\n\r\nbody"))
                .await;
        }
        request(&mut server).await;
        request(&mut server).await;
        // It may have processed both; INTERNAL_ERROR.
        server.frame(GOAWAY, 0, 0, &[0, 0, 0, 9, 0, 0, 0, 2]).await;
        drop(server);
        for client in &mut clients {
            assert!(client.head().await.starts_with("HTTP/1.1 502 "));
        }
        for _ in sources {
            let seen = lab.queue.next().await;
            let client = seen.client.to_string();
            assert!(seen.status == status && sources.contains(&&*client), "{seen:?}");
        }
        assert!(lab.queue.is_empty());
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_for_a_server_is_a_431_and_does_not_reach_it() {
    let (mut lab, listener) = lab().await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut server = connection(&listener, 100).await;
    let (stream, _) = request(&mut server).await;
    // MAX_HEADER_LIST_SIZE: 1000.
    server.frame(SETTINGS, 0, 0, &[0, 6, 0, 0, 3, 232]).await;
    answer(&mut server, stream).await;
    client.head().await;
    let long = "x".repeat(600);
    client
        .send(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"))
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 431 "));
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let (next, _) = request(&mut server).await;
    assert_eq!(next, stream + 2, "nothing came between");
    answer(&mut server, next).await;
    client.head().await;
    for status in [204, 431, 204] {
        assert_eq!(lab.queue.next().await.status, status);
    }
}

#[tokio::test]
async fn who_waits_for_a_connection_waits_no_longer_than_that_may_take() {
    const CONNECT: Duration = Duration::from_millis(400);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    socket.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(socket.into()).unwrap();
    let address = listener.local_addr().unwrap();
    let lab = Lab::with(|config| {
        let url = format!("h2c://{address}");
        config.upstreams[0].servers = vec![url.parse::<ServerUrl>().unwrap().into()];
        config.connect_timeout = CONNECT;
    })
    .await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut server = connection(&listener, 100).await;
    let (stream, _) = request(&mut server).await;
    answer(&mut server, stream).await;
    client.head().await;
    drop(server);
    // Its queue is full: it answers to nobody.
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(CONNECT / 4, TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    let start = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = lab.client().await;
        client.send(&get("/")).await;
        clients.push(client);
    }
    for client in &mut clients {
        assert!(client.head().await.starts_with("HTTP/1.1 504 "));
    }
    assert!(start.elapsed() < 3 * CONNECT, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_server_that_refuses_every_time_is_a_502() {
    let (lab, listener) = lab().await;
    let mut client = lab.client().await;
    client.send(POST).await;
    let refusing = async {
        loop {
            let mut frames = connection(&listener, 100).await;
            let (stream, _) = request(&mut frames).await;
            frames.frame(RST_STREAM, 0, stream, &REFUSED_STREAM).await;
        }
    };
    tokio::select! {
        head = client.head() => assert!(head.starts_with("HTTP/1.1 502 "), "{head}"),
        () = refusing => {}
    }
}

#[tokio::test]
async fn a_further_connection_is_opened_when_all_streams_are_taken() {
    let (lab, listener) = lab().await;
    let mut clients = [lab.client().await, lab.client().await, lab.client().await];
    clients[0].send(&get("/warm")).await;
    let mut first = connection(&listener, 1).await;
    let (stream, _) = request(&mut first).await;
    answer(&mut first, stream).await;
    clients[0].head().await;
    clients[0].send(&get("/slow")).await;
    let (slow, _) = request(&mut first).await;
    let mut second = {
        clients[1].send(&get("/fast")).await;
        connection(&listener, 1).await
    };
    let (stream, _) = request(&mut second).await;
    answer(&mut second, stream).await;
    assert!(clients[1].head().await.starts_with("HTTP/1.1 204 "));
    // Which is used again.
    clients[2].send(&get("/fast")).await;
    let (stream, _) = request(&mut second).await;
    answer(&mut second, stream).await;
    assert!(clients[2].head().await.starts_with("HTTP/1.1 204 "));
    answer(&mut first, slow).await;
    assert!(clients[0].head().await.starts_with("HTTP/1.1 204 "));
}

#[tokio::test]
async fn a_new_server_gets_no_more_streams_than_it_allows() {
    let (lab, listener) = lab().await;
    let mut clients = [lab.client().await, lab.client().await];
    for client in &mut clients {
        client.send(&get("/")).await;
    }
    let mut first = connection(&listener, 1).await;
    let (one, _) = request(&mut first).await;
    let mut second = connection(&listener, 1).await;
    let (two, _) = request(&mut second).await;
    answer(&mut second, two).await;
    answer(&mut first, one).await;
    for client in &mut clients {
        assert!(client.head().await.starts_with("HTTP/1.1 204 "));
    }
}

#[tokio::test]
async fn answers_that_nobody_takes_hold_up_no_other_of_their_connection() {
    let (lab, listener) = lab().await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    let mut server = connection(&listener, 100).await;
    let (mut of_stream, mut of_all) = (65_535, 65_535);
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    loop {
        match server.read().await.expect("a request") {
            (SETTINGS, 0, _, settings) => {
                let mut settings = settings.chunks(6);
                // SETTINGS_INITIAL_WINDOW_SIZE.
                if let Some(window) = settings.find(|setting| setting.starts_with(&[0, 4])) {
                    of_stream = number(&window[2..]);
                }
            }
            (WINDOW_UPDATE, _, 0, increment) => of_all += number(&increment),
            (HEADERS, ..) => break,
            _ => {}
        }
    }
    assert!(of_all / of_stream > 1000, "{of_stream} of {of_all}");
}

#[tokio::test]
async fn a_body_that_is_too_large_for_its_route_is_a_413_whatever_the_server_speaks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: ServerUrl = format!("h2c://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let lab = Lab::with(|config| {
        config.upstreams[0].servers = vec![url.into()];
        config.routes[0].max_body = Some(4);
    })
    .await;
    let mut client = lab.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let mut server = connection(&listener, 100).await;
    while server.read().await.expect("a request").0 != HEADERS {}
    client.send("5\r\nlarge\r\n0\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn a_response_that_can_have_no_content_has_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    let lab = Lab::with(|config| {
        config.listeners[0].h2c = true;
        config.upstreams[0].servers = vec![url.parse::<ServerUrl>().unwrap().into()];
    })
    .await;
    let mut client = Frames::new(&lab).await;
    client
        .frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&GET))
        .await;
    let mut server = connection(&listener, 100).await;
    let (stream, _) = request(&mut server).await;
    server
        .frame(HEADERS, END_HEADERS, stream, &block(&[(":status", "204")]))
        .await;
    server.frame(DATA, END_STREAM, stream, b"content").await;
    let (kind, flags, ..) = client.of_stream(1).await.unwrap();
    assert_eq!((kind, flags & END_STREAM), (HEADERS, END_STREAM));
}

#[tokio::test]
async fn a_server_may_listen_on_a_socket_in_the_file_system() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let url = format!("unix:{}", path.display());
    let lab =
        Lab::with(|config| config.upstreams[0].servers = vec![url.parse::<ServerUrl>().unwrap().into()])
            .await;
    let mut client = lab.client().await;
    client.send(&get("/a")).await;
    let (mut server, _) = soon("the proxy's connection", listener.accept()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("reading", server.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(
        head.starts_with("GET /a HTTP/1.1\r\n") && head.contains("host: example.org\r\n"),
        "{head}"
    );
    server.write_all(OK.as_bytes()).await.unwrap();
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn who_asks_for_another_protocol_gets_an_answer_in_http2_all_the_same() {
    let (lab, listener) = lab().await;
    let mut client = lab.client().await;
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    let mut server = connection(&listener, 100).await;
    let (stream, _) = request(&mut server).await;
    answer(&mut server, stream).await;
    assert!(client.head().await.starts_with("HTTP/1.1 204 "));
}
