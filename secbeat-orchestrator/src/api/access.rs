//! Access to the API (RFC 6750).

use std::{convert::Infallible, net::SocketAddr, path::PathBuf, sync::Arc};

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

use secbeat_daemon::{
    api::{Act, LocalPeer, Ways, refuse},
    program,
};
use tokio::{sync::watch, task::spawn_blocking};

use super::{
    Failure, WrongTokens,
    peer::{Peer, local, not_signed_in},
    site::{FETCH_SITE, Site, is_json},
};
use crate::{
    clock::boot_ms,
    sessions::{Holder, Session, Sessions},
    token::{Role, Token, find},
    web::is_page,
};

/// Who signs what nobody signs: what a user did whose name cannot be found out.
const ANYBODY: &str = "api";
/// What only an admin changes: what all later decisions go by.
const FOR_ADMINS: [&str; 2] = ["/api/v1/allowlist", "/api/v1/signatures/published"];
/// Who is signed in, which admins alone see and end.
const SESSIONS: &str = "/api/v1/sessions";
/// Where a browser signs in, asks whether it is, and signs out.
const SESSION: &str = "/api/v1/session";
/// Where a link to sign in with is made, by those who may read.
const LINKS: &str = "/api/v1/session/links";
/// What answers with paths and user agents of requests, or with names of files.
const QUOTES_REQUESTS: [&str; 5] = [
    "/api/v1/audit",
    "/api/v1/sources",
    "/api/v1/reports",
    "/api/v1/rules/logs",
    SESSIONS,
];

/// The author of a request, as handlers see it.
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
    if matches!(path, "/healthz" | "/readyz" | SESSION) || is_page(method, path) {
        return None;
    }
    let is_in = |root: &str| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if is_in(SESSIONS) {
        return Some(Role::Admin);
    }
    if method.is_safe() || path == LINKS {
        return Some(Role::Read);
    }
    let admins = FOR_ADMINS.into_iter().any(is_in);
    Some(if admins { Role::Admin } else { Role::Operate })
}

/// Returns what a request is about to do, for those who need no token. What clients requested is in what the API quotes as
/// evidence.
fn act(method: &Method, path: &str) -> Act {
    let quotes =
        |root: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    match method.is_safe() {
        false => Act::Change,
        true if QUOTES_REQUESTS.into_iter().any(quotes) => Act::ReadRequests,
        true => Act::Read,
    }
}

/// Access rules of the API.
#[derive(Debug)]
pub(super) struct Access {
    tokens: watch::Receiver<Vec<Token>>,
    ways: Ways,
    wrong: WrongTokens,
    sessions: Sessions,
    site: Site,
}

/// Admitted author of a request.
#[derive(Debug, PartialEq, Eq)]
enum Admitted {
    Anybody,
    Local(LocalPeer),
    Token(Holder),
    Session(Box<Session>),
}

impl Access {
    pub(super) fn new(
        tokens: watch::Receiver<Vec<Token>>,
        socket: Option<PathBuf>,
        wrong: WrongTokens,
        (sessions, site): (Sessions, Site),
    ) -> Self {
        let ways = Ways {
            socket,
            token: Some(match program::is_one_host() {
                true => "secbeat token create NAME",
                false => "secbeat-orchestrator token create NAME",
            }),
        };
        Self {
            tokens,
            ways,
            wrong,
            sessions,
            site,
        }
    }

    /// A token that is shown decides; else the kernel's word on who is at the other end of a socket. Where there are tokens,
    /// everybody else needs one; where there are none, anybody on this host may read.
    fn admit(&self, request: &Request) -> Result<Admitted, Refusal> {
        let (method, path, headers) = (request.method(), request.uri().path(), request.headers());
        let peer = request.extensions().get::<LocalPeer>();
        let is_trusted = peer.is_some_and(LocalPeer::is_trusted);
        let tokens = self.tokens.borrow();
        if peer.is_none()
            && !headers.contains_key(AUTHORIZATION)
            && let Some(admitted) = self.admit_browser(request, &tokens)?
        {
            return Ok(admitted);
        }
        if tokens.is_empty() || (is_trusted && !headers.contains_key(AUTHORIZATION)) {
            let role = required(method, path).map_or("read", Role::name);
            let admitted = self.ways.admit(request, act(method, path), role);
            return match admitted {
                Ok(peer) => Ok(peer.map_or(Admitted::Anybody, Admitted::Local)),
                Err(refused) => Err(Refusal::NotPermitted(refused)),
            };
        }
        match required(method, path) {
            None => Ok(Admitted::Anybody),
            Some(required) => holder(&tokens, headers, required).map(Admitted::Token),
        }
    }

    /// Returns what a browser asks: the page is for everybody, and everything else takes a session. `None` if it is not a
    /// browser's.
    fn admit_browser(&self, request: &Request, tokens: &[Token]) -> Result<Option<Admitted>, Refusal> {
        let (method, path, headers) = (request.method(), request.uri().path(), request.headers());
        if is_page(method, path) {
            self.site.check_host(request).map_err(Refusal::NotPermitted)?;
            return Ok(Some(Admitted::Anybody));
        }
        let shown = self.site.cookie(headers);
        let is_browser = shown.is_some() || headers.contains_key(FETCH_SITE) || path == SESSION;
        let Some(required) = required(method, path).filter(|_| is_browser) else {
            if path == SESSION {
                self.site.check(request).map_err(Refusal::NotPermitted)?;
                return Ok(Some(Admitted::Anybody));
            }
            return Ok(None);
        };
        self.site.check(request).map_err(Refusal::NotPermitted)?;
        if !method.is_safe() && *method != Method::DELETE && !is_json(headers) {
            let why = "a session takes bodies of the type application/json alone";
            let failure = Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
            return Err(Refusal::NotPermitted(failure));
        }
        let session = shown.and_then(|secret| self.sessions.find(secret, tokens, boot_ms()));
        let session = session.ok_or_else(|| Refusal::NotPermitted(not_signed_in()))?;
        let Holder { name, role, .. } = &session.holder;
        if *role < required {
            return Err(Refusal::TooLittle {
                name: name.clone(),
                role: *role,
                required,
            });
        }
        Ok(Some(Admitted::Session(Box::new(session))))
    }
}

/// Lets in those who may do what is asked for. A layer for [`axum::middleware::from_fn_with_state`].
pub(super) async fn authorize(
    State(access): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = match access.admit(&request) {
        Ok(Admitted::Anybody) => None,
        Ok(Admitted::Token(holder)) => Some(Peer {
            holder,
            session: None,
        }),
        Ok(Admitted::Session(session)) => Some(Peer {
            session: Some(session.id),
            holder: session.holder,
        }),
        Ok(Admitted::Local(_)) if request.method().is_safe() => None,
        // Users may be known by a server elsewhere.
        Ok(Admitted::Local(peer)) => spawn_blocking(move || peer.user()).await.ok().map(|name| Peer {
            holder: local(name),
            session: None,
        }),
        Err(refused) => {
            if refused == Refusal::WrongToken {
                let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
                let peer = peer.map(|peer| peer.0);
                if let Err(too_many) = access.wrong.slow(peer).await {
                    return refuse(request, too_many).await;
                }
            }
            return refuse(request, refused).await;
        }
    };
    if let Some(peer) = peer {
        request.extensions_mut().insert(Caller(peer.holder.name.clone()));
        request.extensions_mut().insert(peer);
    }
    next.run(request).await
}

/// The reason why somebody is not let in.
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

fn holder(tokens: &[Token], headers: &HeaderMap, required: Role) -> Result<Holder, Refusal> {
    let shown = headers.get(AUTHORIZATION).ok_or(Refusal::NoToken)?;
    let shown = shown.to_str().map_err(|_| Refusal::WrongToken)?;
    let (scheme, shown) = shown.split_once(' ').ok_or(Refusal::WrongToken)?;
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Refusal::NoToken);
    }
    let Token { name, role, hash } = find(tokens, shown.trim()).ok_or(Refusal::WrongToken)?;
    let name = name.as_str().to_owned();
    if *role < required {
        return Err(Refusal::TooLittle {
            name,
            role: *role,
            required,
        });
    }
    Ok(Holder {
        name,
        role: *role,
        token: Some(*hash),
    })
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
        assert_eq!(role(Method::GET, "/nowhere"), None, "the page is for everybody");
        assert_eq!(role(Method::POST, "/nowhere"), Some(Role::Operate));
        assert_eq!(role(Method::GET, "/metrics"), Some(Role::Read));
        assert_eq!(role(Method::POST, "/api/v1/session"), None);
        assert_eq!(role(Method::POST, "/api/v1/session/links"), Some(Role::Read));
        assert_eq!(role(Method::GET, "/api/v1/sessions"), Some(Role::Admin));
        assert_eq!(role(Method::DELETE, "/api/v1/sessions/{id}"), Some(Role::Admin));
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
            (Method::GET, "/api/v1/rules", Act::Read),
            (Method::GET, "/api/v1/rules/logs", Act::ReadRequests),
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
            holder(&tokens, &headers, required).map(|holder| holder.name)
        };
        let ci = || Ok("ci".to_owned());
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
            holder(&tokens, &HeaderMap::new(), Role::Read).err(),
            Some(Refusal::NoToken)
        );
    }
}
