//! Who is let in (RFC 6750), and to what.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
        request::Parts,
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use parking_lot::Mutex;
use secbeat_daemon::api::{Act, LocalPeer, Ways, refuse};
use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use tracing::warn;

use super::Failure;
use crate::token::{Role, Token, find};

/// Who signs what nobody signs: what a user did whose name cannot be found out.
const ANYBODY: &str = "api";
/// What only an admin changes: what all later decisions go by.
const FOR_ADMINS: [&str; 2] = ["/api/v1/allowlist", "/api/v1/signatures/published"];
/// How long the answer to a wrong token waits.
const PAUSE: Duration = Duration::from_secs(1);
/// From one line of the log about wrong tokens to the next.
const TELL: Duration = Duration::from_secs(10);
/// What answers with paths and user agents of requests.
const QUOTES_REQUESTS: [&str; 2] = ["/api/v1/audit", "/api/v1/sources"];

/// Whoever makes a request, as handlers see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(pub String);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let caller = parts.extensions.get().cloned();
        Ok(caller.unwrap_or_else(|| Self(ANYBODY.to_owned())))
    }
}

/// The role that a request takes; `None` if everybody may make it. `path` may be a route's pattern.
pub(super) fn required(method: &Method, path: &str) -> Option<Role> {
    if matches!(path, "/healthz" | "/readyz") {
        return None;
    }
    if method.is_safe() {
        return Some(Role::Read);
    }
    let admins = FOR_ADMINS.iter().any(|root| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    Some(if admins { Role::Admin } else { Role::Operate })
}

/// What a request is about to do, for those who need no token. What clients requested is in what the API quotes as evidence.
fn act(method: &Method, path: &str) -> Act {
    let quotes =
        |root: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    match method.is_safe() {
        false => Act::Change,
        true if QUOTES_REQUESTS.into_iter().any(quotes) => Act::ReadRequests,
        true => Act::Read,
    }
}

/// Whom the API lets in.
#[derive(Debug)]
pub(super) struct Access {
    tokens: watch::Receiver<Vec<Token>>,
    ways: Ways,
    wrong: WrongTokens,
}

/// Who has been let in.
#[derive(Debug, PartialEq, Eq)]
enum Admitted {
    Anybody,
    Local(LocalPeer),
    Token(Caller),
}

impl Access {
    pub(super) fn new(
        tokens: watch::Receiver<Vec<Token>>,
        socket: Option<PathBuf>,
        wrong: WrongTokens,
    ) -> Self {
        let ways = Ways {
            socket,
            token: Some("secbeat-orchestrator token create NAME --role operate"),
        };
        Self { tokens, ways, wrong }
    }

    /// A token that is shown decides; else the kernel's word on who is at the other end of a socket. Where there are tokens,
    /// everybody else needs one; where there are none, anybody on this host may read.
    fn admit(&self, request: &Request) -> Result<Admitted, Refusal> {
        let (method, path, headers) = (request.method(), request.uri().path(), request.headers());
        let peer = request.extensions().get::<LocalPeer>();
        let is_trusted = peer.is_some_and(LocalPeer::is_trusted);
        let tokens = self.tokens.borrow();
        if tokens.is_empty() || (is_trusted && !headers.contains_key(AUTHORIZATION)) {
            let admitted = self.ways.admit(request, act(method, path));
            return match admitted {
                Ok(peer) => Ok(peer.map_or(Admitted::Anybody, Admitted::Local)),
                Err(refused) => Err(Refusal::NotPermitted(refused)),
            };
        }
        match required(method, path) {
            None => Ok(Admitted::Anybody),
            Some(required) => caller(&tokens, headers, required).map(Admitted::Token),
        }
    }
}

/// Lets in whoever may do what is asked for. A layer for [`axum::middleware::from_fn_with_state`].
pub(super) async fn authorize(
    State(access): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match access.admit(&request) {
        Ok(Admitted::Anybody) => None,
        Ok(Admitted::Token(caller)) => Some(caller),
        Ok(Admitted::Local(_)) if request.method().is_safe() => None,
        // Users may be known by a server elsewhere.
        Ok(Admitted::Local(peer)) => spawn_blocking(move || peer.user()).await.ok().map(Caller),
        Err(refused) => {
            if refused == Refusal::WrongToken {
                let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
                access.wrong.count(peer.map(|peer| peer.0));
                sleep(PAUSE).await;
            }
            return refuse(request, refused).await;
        }
    };
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

/// Tokens that were shown and are none. Whoever guesses is slowed, counted, and told of in the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct WrongTokens(Arc<Mutex<Wrong>>);

#[derive(Debug, Default)]
struct Wrong {
    count: u64,
    /// How many the log has told of, and when it last did.
    told: u64,
    told_at: Option<Instant>,
}

impl WrongTokens {
    /// How many there were.
    pub(crate) fn seen(&self) -> u64 {
        self.0.lock().count
    }

    fn count(&self, peer: Option<SocketAddr>) {
        let mut wrong = self.0.lock();
        wrong.count += 1;
        if wrong.told_at.is_some_and(|at| at.elapsed() < TELL) {
            return;
        }
        let since = wrong.count - wrong.told;
        (wrong.told, wrong.told_at) = (wrong.count, Some(Instant::now()));
        let peer = peer.map_or_else(|| "the socket".to_owned(), |peer| peer.ip().to_string());
        warn!(
            from = peer,
            wrong_tokens = since,
            "somebody shows a token that the API does not know"
        );
    }
}

/// Why somebody is not let in.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    NotPermitted(Failure),
    NoToken,
    WrongToken,
    TooLittle {
        name: String,
        role: Role,
        required: Role,
    },
}

fn caller(tokens: &[Token], headers: &HeaderMap, required: Role) -> Result<Caller, Refusal> {
    let shown = headers.get(AUTHORIZATION).ok_or(Refusal::NoToken)?;
    let shown = shown.to_str().map_err(|_| Refusal::WrongToken)?;
    let (scheme, shown) = shown.split_once(' ').ok_or(Refusal::WrongToken)?;
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Refusal::NoToken);
    }
    let Token { name, role, .. } = find(tokens, shown.trim()).ok_or(Refusal::WrongToken)?;
    let name = name.as_str().to_owned();
    if *role < required {
        return Err(Refusal::TooLittle {
            name,
            role: *role,
            required,
        });
    }
    Ok(Caller(name))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (challenge, failure) = match self {
            Self::NotPermitted(failure) => return failure.into_response(),
            Self::NoToken => (
                "Bearer realm=\"secbeat\"",
                Failure::new(
                    StatusCode::UNAUTHORIZED,
                    "this takes a token: --token-file, SECBEAT_TOKEN, or `Authorization: Bearer …`; on the socket, root and the group `secbeat` need none"
                        .to_owned(),
                ),
            ),
            Self::WrongToken => (
                "Bearer realm=\"secbeat\", error=\"invalid_token\"",
                Failure::new(
                    StatusCode::UNAUTHORIZED,
                    "the orchestrator does not know this token".to_owned(),
                ),
            ),
            Self::TooLittle { name, role, required } => (
                "Bearer realm=\"secbeat\", error=\"insufficient_scope\"",
                Failure::new(
                    StatusCode::FORBIDDEN,
                    format!(
                        "the token `{name}` has the role `{}`; this takes `{}`",
                        role.name(),
                        required.name()
                    ),
                ),
            ),
        };
        let mut response = failure.into_response();
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::TokenHash;

    #[test]
    fn reading_takes_read_changing_operate_and_the_allowlist_admin() {
        let role = |method, path| required(&method, path);
        assert_eq!(role(Method::GET, "/healthz"), None);
        assert_eq!(role(Method::GET, "/api/v1/bans"), Some(Role::Read));
        assert_eq!(role(Method::GET, "/nowhere"), Some(Role::Read));
        assert_eq!(role(Method::POST, "/api/v1/bans"), Some(Role::Operate));
        assert_eq!(
            role(Method::DELETE, "/api/v1/bans/192.0.2.1"),
            Some(Role::Operate)
        );
        assert_eq!(role(Method::GET, "/api/v1/allowlist"), Some(Role::Read));
        assert_eq!(role(Method::POST, "/api/v1/allowlist"), Some(Role::Admin));
        assert_eq!(
            role(Method::DELETE, "/api/v1/allowlist/{*target}"),
            Some(Role::Admin)
        );
        assert_eq!(role(Method::POST, "/api/v1/allowlisted"), Some(Role::Operate));
        assert_eq!(
            role(Method::PUT, "/api/v1/signatures/published"),
            Some(Role::Admin)
        );
        assert_eq!(
            role(Method::POST, "/api/v1/signatures/disable"),
            Some(Role::Operate)
        );
    }

    #[test]
    fn what_quotes_requests_is_more_than_reading() {
        for (method, path, expected) in [
            (Method::GET, "/api/v1/stats", Act::Read),
            (Method::GET, "/api/v1/findings", Act::Read),
            (Method::GET, "/api/v1/audits", Act::Read),
            (Method::GET, "/api/v1/audit", Act::ReadRequests),
            (Method::HEAD, "/api/v1/sources/192.0.2.1", Act::ReadRequests),
            (Method::POST, "/api/v1/audit", Act::Change),
            (Method::PATCH, "/api/v1/bans", Act::Change),
        ] {
            assert_eq!(act(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_token_lets_in_up_to_its_role() {
        let tokens = [Token {
            name: "ci".parse().unwrap(),
            role: Role::Operate,
            hash: TokenHash::of("right"),
        }];
        let with = |header: &str, required| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, header.parse().unwrap());
            caller(&tokens, &headers, required)
        };
        let ci = || Ok(Caller("ci".to_owned()));
        assert_eq!(with("Bearer right", Role::Operate), ci());
        assert_eq!(with("bearer  right", Role::Read), ci());
        assert_eq!(with("Bearer wrong", Role::Read), Err(Refusal::WrongToken));
        assert_eq!(with("Bearer", Role::Read), Err(Refusal::WrongToken));
        assert_eq!(with("Basic right", Role::Read), Err(Refusal::NoToken));
        assert_eq!(
            with("Bearer right", Role::Admin),
            Err(Refusal::TooLittle {
                name: "ci".to_owned(),
                role: Role::Operate,
                required: Role::Admin
            })
        );
        assert_eq!(
            caller(&tokens, &HeaderMap::new(), Role::Read),
            Err(Refusal::NoToken)
        );
    }
}
