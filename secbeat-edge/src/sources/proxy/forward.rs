//! One request: gate, route, answer, record.

use std::{
    borrow::Cow,
    future::pending,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri, Version,
    ext::ReasonPhrase,
    header::{self, Entry::Vacant, HeaderValue},
    http::{
        request::Parts,
        uri::{Authority, PathAndQuery},
    },
};
use secbeat_common::{
    rules::CLIENT_GAVE_UP,
    wire::{LearnedFrom, MatchedSignature},
};
use secbeat_daemon::time::now_ms;
use secbeat_edge_core::ObservedResponse;
use tokio::time::Instant;

use super::{
    super::client_address::{Client, ClientRule, ClientStats, Connection, Unattributed},
    ProxyStats,
    access_log::{AccessLog, Details, Entry, Outcome, RequestLine, ServedBy},
    acme::Challenges,
    answer::{asks_to_keep, for_http10},
    attempt::{self, Failure, forward},
    bans::Bans,
    copies::Room,
    download::Download,
    headers::{Refusal, X_REQUEST_ID, is_cross_site, strip_spellings, target_host},
    limits::Sources,
    logged::Logged,
    site::Site,
    taking::Taking,
    upload::{Refused, Whole},
    upstream::{Server, Upstream},
    visit::{Claim, Exchange, Visit},
};
use crate::{
    signatures::HeadMatches,
    sources::gate::{Admission, Gate},
    telemetry::Recorder,
};

pub(super) type AnswerBody = Logged<Either<Download, Full<Bytes>>>;

/// What all connections share.
pub(super) struct Forwarder {
    pub(super) site: ArcSwap<Site>,
    pub(super) gate: Arc<dyn Gate>,
    pub(super) bans: Arc<Bans>,
    pub(super) recorder: Recorder,
    pub(super) stats: Arc<ProxyStats>,
    pub(super) rule: ClientRule,
    pub(super) clients: Arc<ClientStats>,
    /// Open connections by source; of those that a header names, open requests.
    pub(super) sources: Arc<Sources>,
    /// What a certificate authority may ask for.
    pub(super) challenges: Arc<Challenges>,
    /// For what is kept of requests' bodies.
    pub(super) room: Arc<Room>,
    /// Of requests: what only this process has, and how many there were.
    pub(super) ids: (u64, AtomicU64),
}

/// What telemetry and the access log want to know of a request once it is answered; all parts are reference-counted.
struct RequestRecord {
    client: Client,
    method: Method,
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    /// What is recognised in the request, whatever the answer.
    signatures: HeadMatches,
    /// Whether a page of another site made its client send it, as that says.
    cross_site: bool,
    since: Instant,
    details: Option<Box<Details>>,
}

impl Forwarder {
    /// Answers one request of the connection `visit`, which has begun as `exchange`. A client that gives up before is reported, too: this
    /// future is dropped then.
    pub(super) async fn answer(
        &self,
        visit: &Visit,
        mut exchange: Exchange,
        request: Request<Whole>,
    ) -> Response<AnswerBody> {
        let (mut head, body) = request.into_parts();
        let site = self.site.load_full();
        let mut unanswered = self.unanswered(visit, &site, &mut head);
        let client = unanswered.client;
        let (version, client_address) = (head.version, nearest(visit, client).address);
        let may_keep = version == Version::HTTP_10 && asks_to_keep(&head.headers);
        let changed = visit.bans.changed();
        let admission = client.map_or(Admission::Served, |client| self.gate.admission(client));
        let is_over_limit = !self.hold(&mut exchange, client, &site);
        let mut outcome = Outcome::Refused;
        // Whether it counts as a request alone, and not as an error.
        let mut is_aborted = false;
        let mut response = match admission {
            Admission::Served if is_over_limit => {
                self.stats.over_limit.fetch_add(1, Relaxed);
                last_words(
                    &site,
                    version,
                    StatusCode::TOO_MANY_REQUESTS,
                    "too many requests at a time\n",
                )
            }
            Admission::Served => {
                let refused = body.refused();
                let banned = async {
                    match client {
                        Ok(client) => visit.bans.until_refused_after(changed, client).await,
                        Err(_) => pending().await,
                    }
                };
                let answer = async {
                    // Before anything that would send the certificate authority elsewhere.
                    if let Some(answer) = self.challenges.http_answer(head.uri.path()) {
                        return Ok(challenge_answer(answer));
                    }
                    let host = target_host(&head).map_err(Failure::Refused)?;
                    let name = host.to_str().unwrap_or_default();
                    if let Some(port) = visit.redirects(&head.headers) {
                        return to_https(name, port, &head.uri).ok_or(Failure::Refused(Refusal::Malformed));
                    }
                    let to = site.find(name, head.uri.path()).ok_or(Failure::NoRoute)?;
                    unanswered.upstream = to.upstream.index;
                    let request = attempt::UpstreamRequest {
                        head,
                        body,
                        host,
                        room: &self.room,
                    };
                    let mut server = None;
                    let answer = forward(
                        &site,
                        to,
                        &self.stats,
                        visit,
                        client_address,
                        request,
                        &mut server,
                    )
                    .await;
                    unanswered.was_asked(to.upstream, server);
                    Ok(answer?.map(Either::Left))
                };
                let answered = unless(pin!(answer), pin!(banned), refused.as_ref()).await;
                match answered {
                    Ok(response) => {
                        outcome = Outcome::Answered;
                        response
                    }
                    Err(failure @ (Failure::Unreachable(_) | Failure::Shared(_) | Failure::Late)) => {
                        outcome = Outcome::UpstreamFailed;
                        // Another client's request may be why.
                        is_aborted = matches!(failure, Failure::Shared(_));
                        self.explain(&site, version, &failure)
                    }
                    Err(failure @ Failure::Banned) => {
                        outcome = Outcome::Banned;
                        is_aborted = true;
                        self.explain(&site, version, &failure)
                    }
                    Err(failure @ Failure::GaveUp) => {
                        outcome = Outcome::GaveUp;
                        self.explain(&site, version, &failure)
                    }
                    Err(failure) => self.explain(&site, version, &failure),
                }
            }
            Admission::Refused | Admission::RefusedAsPeer => {
                body.refuse();
                outcome = Outcome::Banned;
                self.explain(&site, version, &Failure::Banned)
            }
        };
        if let Some(hsts) = site.hsts.as_ref().filter(|_| visit.is_https())
            && let Vacant(field) = response.headers_mut().entry(header::STRICT_TRANSPORT_SECURITY)
        {
            field.insert(hsts.clone());
        }
        if version == Version::HTTP_10 {
            for_http10(&mut response, may_keep);
        }
        let status = response.status().as_u16();
        unanswered.outcome = outcome;
        let reported = match is_aborted {
            true => CLIENT_GAVE_UP,
            false => status,
        };
        let end = unanswered.end(status, (admission != Admission::Refused).then_some(reported));
        if outcome != Outcome::GaveUp {
            exchange.answered();
        }
        let watched = client.ok().filter(|_| outcome != Outcome::Banned);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            visit.claim_tunnel(Claim {
                client: watched,
                _held: exchange.held.take(),
            });
        }
        let idle = match response.body() {
            Either::Left(download) => download.idle(),
            Either::Right(_) => site.config.idle_timeout,
        };
        response.map(|body| Logged::new(body, end, exchange, watched, Taking::begin(idle)))
    }

    /// Gives a request an id, which the server gets too; that of a trusted proxy stays.
    fn details(&self, visit: &Visit, headers: &mut HeaderMap) -> Box<Details> {
        let own = || {
            let number = self.ids.1.fetch_add(1, Relaxed);
            // Hexadecimal digits are fit for a field.
            HeaderValue::try_from(format!("{:016x}{number:016x}", self.ids.0)).ok()
        };
        let id = match headers.get(X_REQUEST_ID) {
            Some(id) if visit.is_trusted() => Some(id.clone()),
            _ => own(),
        };
        strip_spellings(headers, &X_REQUEST_ID);
        if let Some(id) = &id {
            headers.insert(X_REQUEST_ID, id.clone());
        }
        Box::new(Details {
            id,
            ..Details::default()
        })
    }

    /// Counts a request of a client that a header names, who has no connection of its own here. Whether it may have it.
    fn hold(&self, exchange: &mut Exchange, client: Result<Client, Unattributed>, site: &Site) -> bool {
        match client {
            Ok(client) if client.learned_from == LearnedFrom::Header => {
                let most = site.config.max_connections_per_source.get();
                let held = self.sources.hold(client.address, most);
                let may = held.is_some();
                exchange.held = held;
                may
            }
            _ => true,
        }
    }

    fn explain(&self, site: &Site, version: Version, failure: &Failure) -> Own {
        let say = |status, text| last_words(site, version, status, text);
        match failure {
            Failure::Refused(Refusal::Malformed) | Failure::BadBody => {
                say(StatusCode::BAD_REQUEST, "bad request\n")
            }
            Failure::Refused(Refusal::Coding) => {
                say(StatusCode::NOT_IMPLEMENTED, "unknown transfer coding\n")
            }
            Failure::Refused(Refusal::LastHop) => {
                say(StatusCode::NOT_IMPLEMENTED, "no servers beyond this proxy\n")
            }
            Failure::Refused(Refusal::TooLong) => say(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "request header fields too large\n",
            ),
            Failure::Refused(Refusal::Connect) => say(StatusCode::NOT_IMPLEMENTED, "no tunnels here\n"),
            // Few will see it: who has closed its sending side alone.
            Failure::GaveUp => {
                let mut response = say(
                    StatusCode::from_u16(CLIENT_GAVE_UP).unwrap_or_default(),
                    "the request was given up\n",
                );
                // hyper says `<none>` where no reason is usual.
                let reason = ReasonPhrase::from_static(b"");
                response.extensions_mut().insert(reason);
                response
            }
            Failure::TooLarge => say(StatusCode::PAYLOAD_TOO_LARGE, "request body too large\n"),
            Failure::Banned => {
                self.stats.denied.fetch_add(1, Relaxed);
                say(StatusCode::FORBIDDEN, "banned\n")
            }
            Failure::NoRoute => say(StatusCode::NOT_FOUND, "no such site\n"),
            Failure::SlowClient => say(StatusCode::REQUEST_TIMEOUT, "request timeout\n"),
            Failure::Unreachable(error) | Failure::Shared(error) => {
                tracing::debug!(%error, "the upstream does not answer");
                self.stats.upstream_failures.fetch_add(1, Relaxed);
                say(StatusCode::BAD_GATEWAY, "bad gateway\n")
            }
            Failure::Late => {
                self.stats.upstream_failures.fetch_add(1, Relaxed);
                say(StatusCode::GATEWAY_TIMEOUT, "gateway timeout\n")
            }
        }
    }

    /// Reports a request that its client gave up before it was looked at, as if it had been.
    pub(super) fn given_up(&self, visit: &Visit, request: Request<Whole>) {
        let (mut head, _body) = request.into_parts();
        let site = self.site.load_full();
        let mut unanswered = self.unanswered(visit, &site, &mut head);
        if unanswered.client.is_ok_and(|client| self.gate.refuses(client)) {
            // Requests of banned clients are not reported.
            unanswered.asked = None;
        }
    }

    /// Notes a request that begins.
    fn unanswered<'a>(&'a self, visit: &'a Visit, site: &'a Site, head: &mut Parts) -> Unanswered<'a> {
        let client = self.rule.client(&visit.connection, &head.headers);
        let asked = RequestRecord {
            client: nearest(visit, client),
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            host: head.headers.get(header::HOST).cloned(),
            user_agent: head.headers.get(header::USER_AGENT).cloned(),
            referer: site
                .access_log
                .as_ref()
                .and_then(|_| head.headers.get(header::REFERER).cloned()),
            signatures: self.recorder.signatures().of_head(head),
            cross_site: is_cross_site(&head.headers),
            since: Instant::now(),
            details: match &site.access_log {
                Some(log) if log.has_details() => Some(self.details(visit, &mut head.headers)),
                _ => None,
            },
        };
        Unanswered {
            forwarder: self,
            visit,
            site,
            client,
            upstream: site.no_upstream,
            outcome: Outcome::GaveUp,
            asked: Some(asked),
        }
    }

    fn record<'a>(&self, asked: &'a RequestRecord, status: u16, upstream: u16) {
        let text = |value: &'a Option<HeaderValue>| match value {
            Some(value) => String::from_utf8_lossy(value.as_bytes()),
            None => Cow::default(),
        };
        let signatures = self.signatures(asked, status);
        let (host, user_agent) = if !signatures.is_empty() || self.recorder.keeps_text(status) {
            (text(&asked.host), text(&asked.user_agent))
        } else {
            Default::default()
        };
        self.recorder.record(ObservedResponse {
            client: asked.client.address,
            at_ms: now_ms(),
            status,
            method: asked.method.as_str(),
            path: asked.uri.path(),
            host: asked
                .uri
                .authority()
                .map_or(&host, |authority| authority.as_str()),
            user_agent: &user_agent,
            upstream,
            learned_from: asked.client.learned_from,
            signatures: &signatures,
            cross_site: asked.cross_site,
        });
    }

    /// Returns what the request matched: as it was asked, and as it was answered.
    fn signatures<'a>(&self, asked: &'a RequestRecord, status: u16) -> Cow<'a, [MatchedSignature]> {
        let HeadMatches {
            matched,
            waits_for_status,
        } = &asked.signatures;
        if !waits_for_status {
            return Cow::Borrowed(matched);
        }
        let bytes = |value: &'a Option<HeaderValue>| value.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
        let answered = self.recorder.signatures().find(&secbeat_signatures::Request {
            method: asked.method.as_str().as_bytes(),
            target: asked
                .uri
                .path_and_query()
                .map_or("", PathAndQuery::as_str)
                .as_bytes(),
            status,
            user_agent: bytes(&asked.user_agent),
            // Where there is one, the request goes there (RFC 9112 §3.2.2).
            host: asked
                .uri
                .authority()
                .map_or_else(|| bytes(&asked.host), |authority| authority.as_str().as_bytes()),
            ..secbeat_signatures::Request::default()
        });
        let more: Vec<_> = answered
            .into_iter()
            .filter(|more| !matched.contains(more))
            .collect();
        match more.is_empty() {
            true => Cow::Borrowed(matched),
            false => Cow::Owned([&matched[..], &more].concat()),
        }
    }

    /// Counts, records and logs that a client has too many connections, or gives up too many requests.
    pub(super) fn refuse_for_number(&self, connection: &Connection) {
        self.stats.over_limit.fetch_add(1, Relaxed);
        self.record_without_request(
            connection,
            &HeaderMap::new(),
            StatusCode::TOO_MANY_REQUESTS.as_u16(),
        );
    }

    /// Records and logs that a client was refused before there was a request: with its parser's 400 or 431, for being too slow (408),
    /// for misusing the protocol, or for asking too much of the proxy (429). `fields` are those of the head, if there was any.
    pub(super) fn record_without_request(&self, connection: &Connection, fields: &HeaderMap, status: u16) {
        let site = self.site.load();
        let client = self.rule.client(connection, fields);
        if let Some(log) = &site.access_log {
            let client = client.map_or(connection.last_hop(), |client| client.address);
            log.write(Entry::without_request(client, now_ms(), status));
        }
        let client = match client {
            Ok(client) if self.gate.admission(client) == Admission::Refused => return,
            Ok(client) => client,
            Err(reason) => return self.clients.count(reason),
        };
        self.recorder.record(ObservedResponse {
            client: client.address,
            at_ms: now_ms(),
            status,
            method: "",
            path: "",
            host: "",
            user_agent: "",
            upstream: site.no_upstream,
            learned_from: client.learned_from,
            signatures: &[],
            cross_site: false,
        });
    }
}

type Own = Response<Either<Download, Full<Bytes>>>;

/// Waits for an `answer`, unless the client is `banned` before: then the rest of its request's body is let go.
async fn unless(
    answer: Pin<&mut impl Future<Output = Result<Own, Failure>>>,
    banned: Pin<&mut impl Future<Output = ()>>,
    body: Option<&Refused>,
) -> Result<Own, Failure> {
    tokio::select! {
        biased;
        answer = answer => answer,
        () = banned => {
            if let Some(body) = body {
                body.tell();
            }
            Err(Failure::Banned)
        }
    }
}

/// Returns the nearest address that is known, which the access log names.
fn nearest(visit: &Visit, client: Result<Client, Unattributed>) -> Client {
    client.unwrap_or_else(|_| Client::peer(visit.connection.last_hop()))
}

/// A request that is not answered yet. If it goes without an answer, its client has given it up.
struct Unanswered<'a> {
    forwarder: &'a Forwarder,
    visit: &'a Visit,
    site: &'a Site,
    client: Result<Client, Unattributed>,
    /// The index in telemetry of who is to answer.
    upstream: u16,
    outcome: Outcome,
    /// `None` once it is reported.
    asked: Option<RequestRecord>,
}

impl Unanswered<'_> {
    /// A server has answered, or failed to.
    fn was_asked(&mut self, upstream: &Upstream, server: Option<&Arc<Server>>) {
        if let Some(asked) = &mut self.asked
            && let (Some(details), Some(server)) = (&mut asked.details, server)
        {
            details.served_by = Some(ServedBy {
                upstream: upstream.config.name.clone(),
                server: server.url.to_string(),
                took: asked.since.elapsed(),
            });
        }
    }

    /// Reports an answer with the status `reported`, if it is to be reported. Returns what the access log, if there is one, is to be
    /// told at its end.
    fn end(&mut self, status: u16, reported: Option<u16>) -> Option<(Arc<AccessLog>, Entry, Instant)> {
        let asked = self.asked.take()?;
        match (self.client, reported) {
            (Ok(_), Some(reported)) => self.forwarder.record(&asked, reported, self.upstream),
            (Ok(_), None) => {}
            (Err(reason), _) => self.forwarder.clients.count(reason),
        }
        let log = self.site.access_log.clone()?;
        let since = asked.since;
        Some((log, asked.into_entry(status, self.outcome), since))
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        // What the proxy cuts off is no fault of this client.
        let is_cut = self.visit.is_cut();
        let status = match is_cut {
            true => {
                self.outcome = Outcome::CutOff;
                StatusCode::SERVICE_UNAVAILABLE.as_u16()
            }
            false => CLIENT_GAVE_UP,
        };
        if let Some((log, entry, _)) = self.end(status, (!is_cut).then_some(status)) {
            log.write(entry);
        }
    }
}

impl RequestRecord {
    fn into_entry(self, status: u16, outcome: Outcome) -> Entry {
        Entry {
            client: self.client.address,
            at_ms: now_ms(),
            request: Some(RequestLine {
                method: self.method,
                uri: self.uri,
                version: self.version,
            }),
            host: self.host,
            referer: self.referer,
            user_agent: self.user_agent,
            status,
            bytes: 0,
            took: self.since.elapsed(),
            outcome,
            details: self.details,
        }
    }
}

/// An answer of the proxy's own, after which an HTTP/1 connection closes.
fn last_words(site: &Site, version: Version, status: StatusCode, text: &'static str) -> Own {
    let (kind, body) = match site.page(status.as_u16()) {
        Some(page) => (page.kind.clone(), page.body.clone()),
        None => (
            HeaderValue::from_static("text/plain"),
            Bytes::from_static(text.as_bytes()),
        ),
    };
    let mut response = Response::new(Either::Right(Full::new(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if version != Version::HTTP_2 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    headers.insert(header::CONTENT_TYPE, kind);
    response
}

/// Returns what a certificate authority asked for (RFC 8555, section 8.3).
fn challenge_answer(answer: Bytes) -> Own {
    let mut response = Response::new(Either::Right(Full::new(answer)));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The same place by TLS at `port`; `None` where there is none.
fn to_https(host: &str, port: u16, target: &Uri) -> Option<Own> {
    let authority = host.parse::<Authority>().ok()?;
    // With the slash that `http://host?query` leaves out.
    let path = target
        .path_and_query()
        .map_or_else(|| "/".to_owned(), ToString::to_string);
    let host = authority.host();
    let location = match port {
        443 => format!("https://{host}{path}"),
        other => format!("https://{host}:{other}{path}"),
    };
    let mut response = Response::new(Either::Right(Full::new(Bytes::new())));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let location = HeaderValue::try_from(location)
        .ok()
        .filter(|_| path.starts_with('/'))?;
    response.headers_mut().insert(header::LOCATION, location);
    Some(response)
}
