//! A request's way to a server of its upstream, and a second one where the first led nowhere.

use std::{
    error::Error as StdError,
    io,
    net::IpAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use hyper::{
    Request, Response, StatusCode, Version,
    body::Incoming,
    header::{self, HeaderValue},
    http::request::Parts,
    upgrade::OnUpgrade,
};
use secbeat_common::prefix::Prefix;

use super::{
    ProxyStats,
    answer::to_client,
    copies::Room,
    download::Download,
    headers::{
        Refusal, Trailers, ask_for_upgrade, elements, for_http1, for_http2, list, list_size,
        strip_hop_by_hop, to_upstream, wanted_upgrade,
    },
    informational::pass_on,
    site::{Destination, Site},
    tunnel::Tunnel,
    upload::{ClientBody, Progress, Trouble, Whole},
    upstream::{
        ConnectError, Connection, ConnectionPolicy, Exchanged, Lease, Server, Verdict, verdict, wait_late,
    },
    visit::Visit,
};

/// The reason why there is no answer of the upstream to pass on.
#[derive(Debug)]
pub(super) enum Failure {
    Refused(Refusal),
    NoRoute,
    /// The client's body stopped coming.
    SlowClient,
    /// The client's body is malformed.
    BadBody,
    /// The client has gone, or has given its request up.
    GaveUp,
    /// The upstream could not be reached, or broke off before its answer.
    Unreachable(Box<dyn StdError + Send + Sync>),
    /// The connection to it broke off, which requests of other clients shared: nobody knows which of them was the reason.
    Shared(Box<dyn StdError + Send + Sync>),
    /// The upstream took too long.
    Late,
    /// The client's body is larger than may be.
    TooLarge,
    /// The client was banned meanwhile.
    Banned,
}

/// A request to be passed on.
pub(super) struct UpstreamRequest<'a> {
    pub(super) head: Parts,
    pub(super) body: Whole,
    /// Whom it is for.
    pub(super) host: HeaderValue,
    /// For what is kept of the body.
    pub(super) room: &'a Arc<Room>,
}

/// A request on its way.
struct Way<'a> {
    visit: &'a Visit,
    to: Destination<'a>,
    host: HeaderValue,
    trailers: Trailers,
    upgrade: Option<(HeaderValue, OnUpgrade)>,
    /// Whether it may be sent again although a server may have seen it (RFC 9110 §9.2.2).
    repeatable: bool,
    /// Whether its client hears of interim answers.
    hears_interims: bool,
    room: &'a Arc<Room>,
}

/// What came of one attempt.
enum Outcome {
    Answer(Response<Download>),
    Failed(Failure),
    /// Nothing was answered, and the request is whole.
    Again(Parts, ClientBody, Failure),
    /// The server has not processed the request, and it is whole. Whether it may be why the server has ended the connection.
    Refused(Parts, ClientBody, bool),
}

/// An attempt without an answer.
type Failed = (
    hyper::Error,
    Option<Box<Request<ClientBody>>>,
    Option<Parts>,
    bool,
);

/// Number of times that a server may refuse one request before that is its answer.
const REFUSALS: u32 = 8;

/// Passes a request of `client` on, and to another server or connection if the first gives no answer. Notes who was `asked` last.
pub(super) async fn forward<'a>(
    site: &Site,
    to: Destination<'a>,
    stats: &ProxyStats,
    visit: &Visit,
    client: IpAddr,
    UpstreamRequest {
        mut head,
        body,
        mut host,
        room,
    }: UpstreamRequest<'_>,
    asked: &mut Option<&'a Arc<Server>>,
) -> Result<Response<Download>, Failure> {
    // Over HTTP/2 there is nothing to switch to: the server gets the request as if nobody had asked (RFC 9110 §7.8).
    let protocol = wanted_upgrade(&head, body.is_over()).filter(|_| to.upstream.speaks_http1());
    let is_http1 = head.version == Version::HTTP_11;
    let upgrade = protocol.and_then(|protocol| Some((protocol, head.extensions.remove::<OnUpgrade>()?)));
    let trailers =
        to_upstream(&mut head, &host, &visit.forwarded(client), &site.headers).map_err(Failure::Refused)?;
    if body.least() > to.max_body {
        return Err(Failure::TooLarge);
    }
    let upstream = to.upstream;
    if let Some(own) = &upstream.config.upstream_host {
        // An authority has no byte that a field could not have.
        host = HeaderValue::from_str(own.as_str()).unwrap_or(host);
    }
    let mut body = ClientBody::new(body, to.idle_timeout, to.max_body, &site.headers);
    let mut held = None;
    if is_http1 {
        let waits = head
            .headers
            .get(header::EXPECT)
            .is_some_and(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        pass_on(&mut head, &mut body, visit.hearing.interims.clone(), waits);
        held = body.progress().filter(|_| waits);
    }
    let mut way = Way {
        visit,
        to,
        host,
        trailers,
        upgrade,
        repeatable: head.method.is_idempotent(),
        hears_interims: is_http1,
        room,
    };
    let mut policy = match way.upgrade {
        Some(_) => ConnectionPolicy::Http1,
        None => ConnectionPolicy::Any,
    };
    let Some(mut server) = upstream.pick(client, None) else {
        return Err(Failure::Unreachable("the upstream has no server".into()));
    };
    let (mut again, mut accused, mut refusals) = (false, false, 0);
    let source = Some(Prefix::single(client));
    loop {
        *asked = Some(server);
        let last = accused || again || (policy == ConnectionPolicy::Http1 && !upstream.has_several());
        let mut next_policy = ConnectionPolicy::Fresh;
        let (failure, other) = match server.connection(policy, source).await {
            Ok(connection) => {
                let used = connection.is_used();
                if matches!(connection, Connection::Http2(_)) {
                    // If the request has broken the connection, it breaks no other one that is shared.
                    next_policy = ConnectionPolicy::Alone;
                }
                let may_repeat = !last && (used || upstream.has_several());
                let may_refuse = refusals < REFUSALS;
                match way
                    .attempt(server, connection, head, body, may_repeat, may_refuse)
                    .await
                {
                    Outcome::Answer(mut response) => {
                        // The client may send the body all the same, or its next request (RFC 9110 §10.1.1).
                        if held.as_ref().is_some_and(|progress| progress.is_held()) {
                            let close = HeaderValue::from_static("close");
                            response.headers_mut().insert(header::CONNECTION, close);
                        }
                        return Ok(response);
                    }
                    Outcome::Failed(failure) => return Err(failure),
                    Outcome::Refused(same_head, whole_body, is_accused) => {
                        (head, body) = (same_head, whole_body);
                        way.inform_again(&mut head, &mut body);
                        refusals += 1;
                        if is_accused {
                            (policy, accused, refusals) = (ConnectionPolicy::Alone, true, REFUSALS);
                        }
                        stats.retries.fetch_add(1, Relaxed);
                        continue;
                    }
                    Outcome::Again(same_head, whole_body, failure) => {
                        (head, body) = (same_head, whole_body);
                        way.inform_again(&mut head, &mut body);
                        (failure, !used)
                    }
                }
            }
            Err(error) => {
                // That others were first says nothing of the server.
                if !matches!(error, ConnectError::Busy) {
                    server.pause();
                }
                (Failure::of_connecting(error), true)
            }
        };
        let next = match other {
            true => upstream.pick(client, Some(server)),
            false => Some(server),
        };
        let (Some(next), false) = (next.filter(|next| !other || !Arc::ptr_eq(next, server)), again) else {
            return Err(failure);
        };
        tracing::trace!(?failure, "a request is sent again");
        stats.retries.fetch_add(1, Relaxed);
        server = next;
        again = true;
        if policy == ConnectionPolicy::Any {
            policy = next_policy;
        }
    }
}

impl Way<'_> {
    async fn attempt(
        &mut self,
        server: &Arc<Server>,
        connection: Connection,
        mut head: Parts,
        body: ClientBody,
        may_repeat: bool,
        may_refuse: bool,
    ) -> Outcome {
        let progress = body.progress();
        let timeout = self.to.response_timeout;
        let authority = server.url.authority();
        let exchanged = match connection {
            Connection::Http1(mut connection) => {
                for_http1(&mut head, &body, &self.host, self.trailers, authority);
                if let Some((protocol, _)) = &self.upgrade {
                    ask_for_upgrade(&mut head.headers, protocol.clone());
                }
                let may_need = may_repeat && (self.repeatable || connection.is_used());
                let copy = self.copy(may_need, &mut head, progress.as_deref());
                let request = Request::from_parts(head, body);
                let exchanged = connection.exchange(request, progress.as_deref(), timeout).await;
                match exchanged {
                    Exchanged::Answered(response) => {
                        forget(progress.as_deref());
                        return self.answer(response, Lease::Http1(connection, server.clone()));
                    }
                    Exchanged::Switched(response, stream, ahead) => {
                        return self.switch(response, |client, idle| Tunnel {
                            client,
                            server: *stream,
                            ahead,
                            idle,
                        });
                    }
                    Exchanged::Failed {
                        error,
                        unsent,
                        is_untouched,
                    } => {
                        let copy = copy.filter(|_| self.repeatable || is_untouched);
                        (error, unsent, copy, false)
                    }
                    Exchanged::Late => return Outcome::Failed(Failure::Late),
                }
            }
            Connection::Http2(stream) => {
                let scheme = server.url.scheme();
                if let Err(refusal) = for_http2(&mut head, &self.host, self.trailers, authority, scheme) {
                    return Outcome::Failed(Failure::Refused(refusal));
                }
                if !stream.takes(list_size(&head)) {
                    return Outcome::Failed(Failure::Refused(Refusal::TooLong));
                }
                let may_need_copy = may_refuse || (may_repeat && self.repeatable);
                let copy = self.copy(may_need_copy, &mut head, progress.as_deref());
                let request = Request::from_parts(head, body);
                let mut sender = stream.sender();
                let response = pin!(sender.try_send_request(request));
                let mut error = tokio::select! {
                    biased;
                    answer = response => match answer {
                        Ok(response) => {
                            forget(progress.as_deref());
                            return self.answer(response, Lease::Http2 { _stream: stream });
                        }
                        Err(error) => error,
                    },
                    () = wait_late(progress.as_deref(), timeout) => return Outcome::Failed(Failure::Late),
                };
                let unsent = error.take_message();
                let said = verdict(error.error());
                let is_shared = stream.is_shared() && matches!(said, Verdict::Accused | Verdict::Broken);
                let is_refused = matches!(said, Verdict::Refused | Verdict::Accused);
                if may_refuse && (unsent.is_some() || is_refused) {
                    stream.retire();
                    let is_accused = unsent.is_none() && said == Verdict::Accused;
                    let whole = match (unsent, copy) {
                        (Some(request), _) => Some(request.into_parts()),
                        (None, Some(head)) => {
                            let body = self.body_again(progress.as_deref()).await;
                            body.map(|body| (head, body))
                        }
                        (None, None) => None,
                    };
                    return match whole {
                        Some((head, body)) => Outcome::Refused(head, body, is_accused),
                        None => {
                            let failure = Failure::of(error.into_error(), progress.as_deref());
                            Outcome::Failed(failure.of_all(is_shared))
                        }
                    };
                }
                let copy = copy.filter(|_| may_repeat && self.repeatable);
                (error.into_error(), unsent.map(Box::new), copy, is_shared)
            }
        };
        self.again(exchanged, progress.as_deref(), may_repeat).await
    }

    /// Returns what comes of an attempt that has failed: the error, the request if none of it was sent or else its head, and
    /// whether others had a part in the connection's end.
    async fn again(
        &self,
        (error, unsent, copy, is_shared): Failed,
        progress: Option<&Progress>,
        may_repeat: bool,
    ) -> Outcome {
        let garbled = error.is_parse();
        let failure = Failure::of(error, progress).of_all(is_shared);
        let is_of_upstream = matches!(failure, Failure::Unreachable(_) | Failure::Shared(_));
        if !is_of_upstream || garbled || !may_repeat {
            return Outcome::Failed(failure);
        }
        if let Some(request) = unsent {
            let (head, body) = request.into_parts();
            return Outcome::Again(head, body, failure);
        }
        let Some(head) = copy else {
            return Outcome::Failed(failure);
        };
        match self.body_again(progress).await {
            Some(body) => Outcome::Again(head, body, failure),
            None => Outcome::Failed(failure),
        }
    }

    /// The head for another attempt, whose body is kept as well. Few requests need it, so it goes without what can be made again.
    fn copy(&self, may_need: bool, head: &mut Parts, progress: Option<&Progress>) -> Option<Parts> {
        if let Some(progress) = progress.filter(|_| may_need) {
            progress.keep(self.room.clone());
        }
        may_need.then(|| {
            let extensions = std::mem::take(&mut head.extensions);
            let copy = head.clone();
            head.extensions = extensions;
            copy
        })
    }

    /// Has the client hear of interim answers to another attempt, if the head is a copy.
    fn inform_again(&self, head: &mut Parts, body: &mut ClientBody) {
        if self.hears_interims && head.extensions.is_empty() {
            pass_on(head, body, self.visit.hearing.interims.clone(), false);
        }
    }

    /// The body for another attempt, if all of it is still there.
    async fn body_again(&self, progress: Option<&Progress>) -> Option<ClientBody> {
        let Some(progress) = progress else {
            return Some(ClientBody::Empty);
        };
        let whole = progress.take_whole().await?;
        Some(ClientBody::again(whole, self.to.idle_timeout))
    }

    fn answer(&self, response: Response<Incoming>, lease: Lease) -> Outcome {
        let (mut head, body) = response.into_parts();
        if let Err(error) = to_client(&mut head) {
            return Outcome::Failed(Failure::Unreachable(error.into()));
        }
        let body = Download::new(body, self.to.idle_timeout, Some(lease));
        let body = match head.status {
            // RFC 9110 §15.3.5 and §15.4.5. An HTTP/2 server can send one all the same.
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => body.none(),
            _ => body,
        };
        Outcome::Answer(Response::from_parts(head, body))
    }

    fn switch(
        &mut self,
        response: Response<Incoming>,
        tunnel: impl FnOnce(OnUpgrade, std::time::Duration) -> Tunnel,
    ) -> Outcome {
        let (mut head, body) = response.into_parts();
        let chosen = head.headers.get(header::UPGRADE).cloned();
        let (Some((asked, client)), Some(chosen)) = (self.upgrade.take(), chosen) else {
            let error = "the upstream switched protocols unasked";
            return Outcome::Failed(Failure::Unreachable(error.into()));
        };
        // RFC 9110 §7.8.
        let is_asked = |name: &[u8]| elements(&asked).any(|asked| asked.eq_ignore_ascii_case(name));
        if !list(&head.headers, &header::UPGRADE).all(is_asked) {
            let error = "the upstream switched to a protocol that the client did not ask for";
            return Outcome::Failed(Failure::Unreachable(error.into()));
        }
        head.version = Version::HTTP_11;
        strip_hop_by_hop(&mut head.headers);
        head.extensions.clear();
        ask_for_upgrade(&mut head.headers, chosen);
        self.visit.set_tunnel(tunnel(client, self.to.idle_timeout));
        let body = Download::new(body, self.to.idle_timeout, None);
        Outcome::Answer(Response::from_parts(head, body))
    }
}

/// An answer begins: whatever comes of it, its request is not sent again.
fn forget(progress: Option<&Progress>) {
    if let Some(progress) = progress {
        progress.forget();
    }
}

impl Failure {
    /// Finds out who is to blame: by what was wrong with the client's body, or from the chain of causes.
    fn of(error: hyper::Error, progress: Option<&Progress>) -> Self {
        match progress.and_then(Progress::trouble) {
            Some(Trouble::Stalled) => return Self::SlowClient,
            Some(Trouble::TooLarge) => return Self::TooLarge,
            Some(Trouble::Malformed) => return Self::BadBody,
            Some(Trouble::Gone) => return Self::GaveUp,
            None => {}
        }
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
        while let Some(error) = cause {
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

    /// The same of a connection's end, where that `is_shared` with requests of other clients.
    fn of_all(self, is_shared: bool) -> Self {
        match self {
            Self::Unreachable(error) if is_shared => Self::Shared(error),
            other => other,
        }
    }

    fn of_connecting(error: ConnectError) -> Self {
        match error {
            ConnectError::Late | ConnectError::Busy => Self::Late,
            error => Self::Unreachable(error.into()),
        }
    }
}
