//! What takes long is not cut: every kind of listener, and every way in which bodies may flow, for many times longer than a head may
//! take and a connection may be idle.

use std::{convert::Infallible, pin::Pin, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, future::join_all, stream};
use http_body_util::{BodyExt as _, Either, Empty, StreamBody};
use hyper::{
    Request, Response, Uri,
    body::{Frame, Incoming},
    client::conn::{http1, http2},
    header,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{
    super::config::ServerUrl,
    lab::{Lab, soon},
    tls::{Authority, connect},
};

/// For a head, and between two requests.
const HEAD: Duration = Duration::from_millis(200);
const TICK: Duration = Duration::from_millis(100);
/// Six times as long as a head.
const TICKS: usize = 12;

type Ticks = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>;
type Body = Either<StreamBody<Ticks>, Empty<Bytes>>;

fn ticks() -> Body {
    let ticks = stream::iter(0..TICKS).then(|_| async {
        tokio::time::sleep(TICK).await;
        Ok(Frame::data(Bytes::from_static(b"tick")))
    });
    Either::Left(StreamBody::new(Box::pin(ticks)))
}

/// A server: `/down` sends ticks, `/up` says how many bytes came, `/both` sends back what comes as it comes, and anything else that
/// asks for it is switched to another protocol, in which it does the same.
async fn serve(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(|mut request: Request<Incoming>| async move {
            Ok::<_, Infallible>(match request.uri().path() {
                "/down" => Response::new(ticks()),
                "/up" => {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let count = Frame::data(body.len().to_string().into());
                    let count: Ticks = Box::pin(stream::once(async { Ok(count) }));
                    Response::new(Either::Left(StreamBody::new(count)))
                }
                "/both" => {
                    let frames = request.into_body().into_data_stream();
                    let frames: Ticks = Box::pin(frames.map(|data| Ok(Frame::data(data.unwrap()))));
                    Response::new(Either::Left(StreamBody::new(frames)))
                }
                _ => {
                    tokio::spawn(async move {
                        let mut stream = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
                        let mut tick = [0; 4];
                        while stream.read_exact(&mut tick).await.is_ok() {
                            stream.write_all(&tick).await.unwrap();
                        }
                    });
                    let mut response = Response::new(Either::Right(Empty::new()));
                    *response.status_mut() = hyper::StatusCode::SWITCHING_PROTOCOLS;
                    for (name, value) in [(header::CONNECTION, "upgrade"), (header::UPGRADE, "ticks")] {
                        response.headers_mut().insert(name, value.parse().unwrap());
                    }
                    response
                }
            })
        });
        let serving = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::spawn(serving);
    }
}

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    version: Version,
    request: Request<Body>,
) -> Response<Incoming> {
    let io = TokioIo::new(stream);
    match version {
        Version::Http1 => {
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection.with_upgrades());
            sender.send_request(request).await.unwrap()
        }
        Version::Http2 => {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            let answer = sender.send_request(request).await.unwrap();
            // Its connection lives as long as this, and the answer is not over yet.
            tokio::spawn(async move {
                tokio::time::sleep(2 * TICK * u32::try_from(TICKS).unwrap()).await;
                drop(sender);
            });
            answer
        }
    }
}

/// Sees one exchange through.
async fn see_through(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    version: Version,
    path: &'static str,
) {
    let mut request = Request::new(match path {
        "/up" | "/both" => ticks(),
        _ => Either::Right(Empty::new()),
    });
    if path != "/down" && path != "/switch" {
        *request.method_mut() = hyper::Method::POST;
    }
    *request.uri_mut() = match version {
        Version::Http1 => Uri::from_static(path),
        Version::Http2 => format!("http://a.example{path}").parse().unwrap(),
    };
    if version == Version::Http1 {
        request
            .headers_mut()
            .insert(header::HOST, "a.example".parse().unwrap());
    }
    if path == "/switch" {
        for (name, value) in [(header::CONNECTION, "upgrade"), (header::UPGRADE, "ticks")] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer = ask(stream, version, request).await;
        let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
        for _ in 0..TICKS {
            tokio::time::sleep(TICK).await;
            stream.write_all(b"tick").await.unwrap();
            let mut tick = [0; 4];
            stream.read_exact(&mut tick).await.unwrap();
            assert_eq!(&tick, b"tick");
        }
        return;
    }
    let body = ask(stream, version, request)
        .await
        .into_body()
        .collect()
        .await
        .unwrap_or_else(|error| panic!("{path} over {version:?} is cut: {error}"));
    let expected = match path {
        "/up" => (4 * TICKS).to_string(),
        _ => "tick".repeat(TICKS),
    };
    assert_eq!(body.to_bytes(), expected, "{path} over {version:?}");
}

#[tokio::test]
async fn whatever_moves_may_take_its_time() {
    const PATHS: [&str; 4] = ["/down", "/up", "/both", "/switch"];
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.issue(folder.path(), "a", &["a.example"]);
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: ServerUrl = format!("http://{}", server.local_addr().unwrap())
        .parse()
        .unwrap();
    tokio::spawn(serve(server));
    let lab = |h2c: bool, tls: bool| {
        let (files, url) = (files.clone(), url.clone());
        Lab::with(move |config| {
            config.upstreams[0].servers = vec![url.into()];
            config.listeners[0].h2c = h2c;
            config.listeners[0].certificates = Vec::from_iter(tls.then_some(files));
            config.header_timeout = HEAD;
            config.keep_alive = HEAD;
            config.response_timeout = 100 * TICK;
            config.idle_timeout = 5 * TICK;
        })
    };
    let (plain, h2c, tls) = (
        lab(false, false).await,
        lab(true, false).await,
        lab(false, true).await,
    );
    let mut exchanges: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    for path in PATHS {
        for (lab, version) in [
            (&plain, Version::Http1),
            (&h2c, Version::Http1),
            (&h2c, Version::Http2),
        ] {
            if path == "/switch" && version == Version::Http2 {
                continue;
            }
            exchanges.push(Box::pin(async move {
                see_through(TcpStream::connect(lab.proxy).await.unwrap(), version, path).await;
            }));
        }
        for (version, protocol) in [(Version::Http1, "http/1.1"), (Version::Http2, "h2")] {
            if path == "/switch" && version == Version::Http2 {
                continue;
            }
            let (lab, client) = (&tls, authority.client(&[protocol]));
            exchanges.push(Box::pin(async move {
                let stream = connect(lab, &client, "a.example").await.unwrap();
                see_through(stream, version, path).await;
            }));
        }
    }
    soon("all of them", join_all(exchanges)).await;
}
