//! One request: gate, upstream, answer, record.

use std::{
    error::Error as StdError,
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{self, HeaderValue},
};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use secbeat_common::daemon::time::now_ms;

use super::{
    super::client_address::{Client, ClientStats, Connection},
    Gate, ProxyConfig,
    body::{BodyError, Progress, TimedBody},
    headers::{Refusal, strip_hop_by_hop, target_host, to_upstream},
};
use crate::{batch::Answer, l7::Admission, telemetry::Recorder};

pub(super) type AnswerBody = Either<TimedBody, Full<Bytes>>;

/// Counters of the proxy, since the start.
#[derive(Debug, Default)]
pub struct ProxyStats {
    pub(super) connections: AtomicU64,
    denied: AtomicU64,
    upstream_failures: AtomicU64,
}

impl ProxyStats {
    /// Connections accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Requests answered 403 because their client is banned.
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.denied.load(Relaxed)
    }

    /// Requests answered 502 or 504 by the proxy itself.
    #[must_use]
    pub fn upstream_failures(&self) -> u64 {
        self.upstream_failures.load(Relaxed)
    }
}

/// What all connections share.
pub(super) struct Forwarder {
    pub(super) config: ProxyConfig,
    pub(super) gate: Arc<dyn Gate>,
    pub(super) recorder: Recorder,
    pub(super) stats: Arc<ProxyStats>,
    pub(super) clients: Arc<ClientStats>,
    pub(super) client: legacy::Client<HttpConnector, TimedBody>,
}

/// What telemetry wants to know of a request once it is answered; all parts are reference-counted.
struct Asked {
    client: Client,
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
}

/// Why there is no answer of the upstream to pass on.
#[derive(Debug)]
enum Failure {
    Refused(Refusal),
    /// The client's body stopped coming.
    SlowClient,
    /// The client's body broke off or is malformed.
    BadBody,
    /// The upstream could not be reached, or broke off before its answer.
    Unreachable(Box<dyn StdError + Send + Sync>),
    /// The upstream took too long.
    Late,
}

impl Forwarder {
    /// Answers one request.
    pub(super) async fn answer(
        &self,
        connection: Connection,
        request: Request<Incoming>,
    ) -> Response<AnswerBody> {
        let client = self.config.clients.client(&connection, request.headers());
        let asked = client.map(|client| Asked {
            client,
            method: request.method().clone(),
            uri: request.uri().clone(),
            host: request.headers().get(header::HOST).cloned(),
            user_agent: request.headers().get(header::USER_AGENT).cloned(),
        });
        let admission = client.map_or(Admission::Served, |client| self.gate.admission(client));
        let response = match admission {
            Admission::Served => self
                .forward(connection.last_hop(), request)
                .await
                .unwrap_or_else(|failure| self.explain(&failure)),
            Admission::Refused | Admission::RefusedAsPeer => {
                self.stats.denied.fetch_add(1, Relaxed);
                last_words(StatusCode::FORBIDDEN, "banned\n")
            }
        };
        match asked {
            Ok(_) if admission == Admission::Refused => {}
            Ok(asked) => self.record(&asked, response.status()),
            Err(nobody) => self.clients.count(nobody),
        }
        response
    }

    async fn forward(
        &self,
        client: IpAddr,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, Failure> {
        let (mut head, body) = request.into_parts();
        let host = target_host(&head).map_err(Failure::Refused)?;
        let upstream = self.config.upstream.authority();
        to_upstream(&mut head, &body, host, client, upstream).map_err(Failure::Refused)?;
        let progress = Arc::new(Progress::new());
        let body = TimedBody::watched(body, self.config.idle_timeout, progress.clone());

        let response = tokio::select! {
            biased;
            response = self.client.request(Request::from_parts(head, body)) => response.map_err(Failure::of)?,
            () = progress.upstream_late(self.config.response_timeout) => return Err(Failure::Late),
        };
        if response.status().is_informational() {
            return Err(Failure::Unreachable(
                "the upstream switched protocols unasked".into(),
            ));
        }
        let (mut head, body) = response.into_parts();
        strip_hop_by_hop(&mut head.headers);
        Ok(Response::from_parts(
            head,
            Either::Left(TimedBody::new(body, self.config.idle_timeout)),
        ))
    }

    fn explain(&self, failure: &Failure) -> Response<AnswerBody> {
        match failure {
            Failure::Refused(Refusal::Malformed) | Failure::BadBody => {
                last_words(StatusCode::BAD_REQUEST, "bad request\n")
            }
            Failure::Refused(Refusal::Connect) => {
                last_words(StatusCode::NOT_IMPLEMENTED, "no tunnels here\n")
            }
            Failure::SlowClient => last_words(StatusCode::REQUEST_TIMEOUT, "request timeout\n"),
            Failure::Unreachable(error) => {
                tracing::debug!(
                    error = error.as_ref() as &dyn StdError,
                    "the upstream does not answer"
                );
                self.stats.upstream_failures.fetch_add(1, Relaxed);
                last_words(StatusCode::BAD_GATEWAY, "bad gateway\n")
            }
            Failure::Late => {
                self.stats.upstream_failures.fetch_add(1, Relaxed);
                last_words(StatusCode::GATEWAY_TIMEOUT, "gateway timeout\n")
            }
        }
    }

    fn record(&self, asked: &Asked, status: StatusCode) {
        let text = |value: &Option<HeaderValue>| {
            value
                .as_ref()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .unwrap_or_default()
        };
        let is_error = status.is_client_error() || status.is_server_error();
        let (host, user_agent) = if is_error {
            (text(&asked.host), text(&asked.user_agent))
        } else {
            Default::default()
        };
        self.recorder.record(Answer {
            client: asked.client.address,
            at_ms: now_ms(),
            status: status.as_u16(),
            method: asked.method.as_str(),
            path: asked.uri.path(),
            host: asked
                .uri
                .authority()
                .map_or(&host, |authority| authority.as_str()),
            user_agent: &user_agent,
            upstream: self.config.upstream_index,
            learned_from: asked.client.learned_from,
        });
    }

    /// Records what hyper refuses by itself, before there is a request: its parser's 400 and 431.
    pub(super) fn record_malformed(&self, connection: &Connection, error: &hyper::Error) {
        if !error.is_parse() {
            return;
        }
        // Without its headers, what a trusted proxy passed on is nobody's.
        let client = match self.config.clients.client(connection, &HeaderMap::new()) {
            Ok(client) if self.gate.admission(client) == Admission::Refused => return,
            Ok(client) => client,
            Err(nobody) => return self.clients.count(nobody),
        };
        let status = if error.is_parse_too_large() { 431 } else { 400 };
        self.recorder.record(Answer {
            client: client.address,
            at_ms: now_ms(),
            status,
            method: "",
            path: "",
            host: "",
            user_agent: "",
            upstream: self.config.upstream_index,
            learned_from: client.learned_from,
        });
    }
}

impl Failure {
    /// Finds out who is to blame from the chain of causes.
    fn of(error: legacy::Error) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
        while let Some(error) = cause {
            match error.downcast_ref::<BodyError>() {
                Some(BodyError::Stalled) => return Self::SlowClient,
                Some(BodyError::Broken(_)) => return Self::BadBody,
                None => {}
            }
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
            {
                return Self::Late;
            }
            cause = error.source();
        }
        Self::Unreachable(error.into())
    }
}

/// An answer of the proxy's own, after which the connection closes.
fn last_words(status: StatusCode, text: &'static str) -> Response<AnswerBody> {
    let mut response = Response::new(Either::Right(Full::new(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
