//! One request: refused, or forwarded to the upstream; and reported.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode, Uri, Version,
    body::Incoming,
    header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT},
    http::uri::{PathAndQuery, Scheme},
};
use hyper_util::{
    client::legacy::{Client, Error as ClientError, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use secbeat_common::{daemon::time::now_ms, wire::LearnedFrom};
use tracing::debug;

use super::{
    Gate, ProxyConfig, ProxyStats, Upstream,
    body::{Activity, AnswerBody, Streamed},
    headers,
};
use crate::{batch::Answer, telemetry::Recorder};

/// The only upstream's index in telemetry.
const UPSTREAM: u16 = 0;
/// How long an idle connection to the upstream is kept for the next request.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// Answers requests.
pub(super) struct Forwarder {
    client: Client<HttpConnector, Streamed>,
    upstream: Upstream,
    response_timeout: Duration,
    idle_timeout: Duration,
    gate: Arc<dyn Gate>,
    recorder: Recorder,
    stats: Arc<ProxyStats>,
}

impl Forwarder {
    pub(super) fn new(config: &ProxyConfig, gate: Arc<dyn Gate>, recorder: Recorder, stats: Arc<ProxyStats>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(config.connect_timeout));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(connector);
        Self {
            client,
            upstream: config.upstream.clone(),
            response_timeout: config.response_timeout,
            idle_timeout: config.idle_timeout,
            gate,
            recorder,
            stats,
        }
    }

    /// Answers one request of `client`. Every answer but the refusal of a banned client is reported, once.
    pub(super) async fn answer(&self, client: IpAddr, request: Request<Incoming>) -> Response<AnswerBody> {
        if self.gate.is_banned(client) {
            self.stats.denied.fetch_add(1, Ordering::Relaxed);
            let mut refusal = own_answer(StatusCode::FORBIDDEN, "Your address is temporarily banned.\n");
            refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return refusal;
        }
        let mut seen = Answer {
            client,
            at_ms: 0,
            status: 0,
            upstream: UPSTREAM,
            learned_from: LearnedFrom::Peer,
            method: request.method().as_str().to_owned(),
            path: request.uri().path().to_owned(),
            host: text(request.headers().get(HOST)),
            user_agent: text(request.headers().get(USER_AGENT)),
        };
        let answer = match self.forward(client, request).await {
            Ok(answer) => answer,
            Err(status) => own_answer(status, status.canonical_reason().unwrap_or_default()),
        };
        seen.status = answer.status().as_u16();
        seen.at_ms = now_ms();
        self.recorder.record(seen);
        answer
    }

    /// Reports a request that could not even be parsed, and was answered 400.
    pub(super) fn record_unparsed(&self, client: IpAddr) {
        self.recorder.record(Answer {
            client,
            at_ms: now_ms(),
            status: StatusCode::BAD_REQUEST.as_u16(),
            upstream: UPSTREAM,
            learned_from: LearnedFrom::Peer,
            method: String::new(),
            path: String::new(),
            host: String::new(),
            user_agent: String::new(),
        });
    }

    async fn forward(&self, client: IpAddr, request: Request<Incoming>) -> Result<Response<AnswerBody>, StatusCode> {
        let (mut head, body) = request.into_parts();
        if head.method == Method::CONNECT {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        // The host of an absolute-form target overrides the header (RFC 9112 §3.2.2).
        if let Some(authority) = head.uri.authority() {
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| StatusCode::BAD_REQUEST)?;
            head.headers.insert(HOST, host);
        }
        head.uri = self.target(&head.uri)?;
        head.version = Version::HTTP_11;
        headers::remove_hop_by_hop(&mut head.headers);
        headers::add_forwarding(&mut head.headers, client);

        let activity = Activity::now();
        let body = Streamed::new(body, self.idle_timeout, activity.clone());
        let answer = self.client.request(Request::from_parts(head, body));
        let answer = tokio::select! {
            answer = answer => answer.map_err(|error| status_of(&error))?,
            () = silence(&activity, self.response_timeout) => return Err(StatusCode::GATEWAY_TIMEOUT),
        };
        let (mut head, body) = answer.into_parts();
        headers::remove_hop_by_hop(&mut head.headers);
        headers::add_via(&mut head.headers);
        let body = Streamed::new(body, self.idle_timeout, Activity::now());
        Ok(Response::from_parts(head, Either::Right(body)))
    }

    /// The same path and query at the upstream.
    fn target(&self, uri: &Uri) -> Result<Uri, StatusCode> {
        let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.upstream.0.clone())
            .path_and_query(path)
            .build()
            .map_err(|_| StatusCode::BAD_REQUEST)
    }
}

/// Ends once nothing has moved for `limit`.
async fn silence(activity: &Activity, limit: Duration) {
    loop {
        let end = activity.last() + limit;
        tokio::time::sleep_until(end).await;
        if activity.last() + limit <= end {
            return;
        }
    }
}

/// What a client is told when the upstream did not answer.
fn status_of(error: &ClientError) -> StatusCode {
    debug!(%error, "the upstream failed");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut) {
            return StatusCode::GATEWAY_TIMEOUT;
        }
        cause = error.source();
    }
    StatusCode::BAD_GATEWAY
}

fn own_answer(status: StatusCode, text: &'static str) -> Response<AnswerBody> {
    let mut answer = Response::new(Either::Left(Full::new(Bytes::from_static(text.as_bytes()))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// A header as text, whatever bytes it holds.
fn text(value: Option<&HeaderValue>) -> String {
    value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}
