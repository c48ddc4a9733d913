//! `/api/v1/session`: signing in to the dashboard, and out; and all sessions.

use std::net::SocketAddr;

use axum::{
    Extension, Json,
    extract::{ConnectInfo, Path, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{SET_COOKIE, USER_AGENT},
    },
    response::{IntoResponse, Response},
};
use secbeat_daemon::{
    api::bad_request,
    time::{now_ms, rfc3339},
};
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    Api, Failure,
    peer::{Peer, not_signed_in},
};
use crate::{
    clock::boot_ms,
    sessions::{Holder, LIFE, Session},
    token::{Token, find},
};

/// Longest token or code, in bytes.
const MAX_SECRET: usize = 256;

/// `POST /api/v1/session`: one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignIn {
    /// A token of `[[api.token]]`.
    #[serde(default)]
    token: Option<String>,
    /// The code of a link that `secbeat dashboard` printed.
    #[serde(default)]
    link: Option<String>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionView {
    /// Id of the session.
    pub id: Uuid,
    /// The token's name, or the user who made the link; the audit has it.
    pub name: String,
    /// `read`, `operate` or `admin`.
    pub role: String,
    /// Whether a one-time link opened it; else a token did.
    pub by_link: bool,
    /// User agent of the browser.
    pub agent: String,
    /// RFC 3339, as all times here.
    pub began_at: String,
    /// Time at which it was last used.
    pub used_at: String,
    /// Time at which it ends at the latest.
    pub expires_at: String,
    /// Time at which it ends unless it is used before.
    pub ends_unused_at: String,
    /// Whether it is the one of this request.
    pub is_current: bool,
}

/// A link that opens one session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Link {
    /// Link to open in a browser, once.
    pub url: String,
    /// The one-time code.
    pub code: String,
    /// Who and what the session will be.
    pub name: String,
    /// Role of the session that it opens.
    pub role: String,
    /// RFC 3339.
    pub expires_at: String,
}

impl SessionView {
    fn new(session: &Session, current: Option<Uuid>) -> Self {
        let (wall_ms, now_ms) = (now_ms(), boot_ms());
        let at = |ms: i64| rfc3339(wall_ms + (ms - now_ms));
        Self {
            id: session.id,
            name: session.holder.name.clone(),
            role: session.holder.role.name().to_owned(),
            by_link: session.by_link,
            agent: session.agent.clone(),
            began_at: at(session.began_ms),
            used_at: at(session.used_ms),
            expires_at: at(session.ends_ms),
            ends_unused_at: at(session.ends_unused_ms()),
            is_current: current == Some(session.id),
        }
    }
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(session, sign_in, sign_out))
        .routes(routes!(link))
        .routes(routes!(sessions))
        .routes(routes!(end))
}

/// Who is signed in with this browser, and until when.
#[utoipa::path(
    get, path = "/api/v1/session",
    responses(
        (status = OK, body = SessionView),
        (status = NO_CONTENT, description = "This browser shows no session"),
    )
)]
async fn session(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Failure> {
    if api.site.cookie(&headers).is_none() {
        // It only asks. Browsers tell their users of each error.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let session = api.signed_in(&headers)?;
    Ok(Json(SessionView::new(&session, Some(session.id))).into_response())
}

/// Sign in with a token or a one-time link; the response sets the cookie.
#[utoipa::path(
    post, path = "/api/v1/session", request_body = SignIn,
    responses((status = NO_CONTENT, description = "Signed in; `Set-Cookie` has the session"))
)]
async fn sign_in(
    State(api): State<Api>,
    address: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    Json(request): Json<SignIn>,
) -> Result<Response, Failure> {
    let (secret, by_link) = match (&request.token, &request.link) {
        (Some(token), None) => (token, false),
        (None, Some(link)) => (link, true),
        _ => return Err(bad_request("token", "say either `token` or `link`")),
    };
    if secret.len() > MAX_SECRET {
        return Err(bad_request("token", format!("longer than {MAX_SECRET} bytes")));
    }
    let holder = match by_link {
        true => api.sessions.redeem(secret, &api.tokens.borrow(), boot_ms()),
        false => find(&api.tokens.borrow(), secret.trim()).map(holder),
    };
    let Some(holder) = holder else {
        let peer = address.map(|Extension(ConnectInfo(peer))| peer);
        api.wrong_tokens.slow(peer).await?;
        let (code, why) = match by_link {
            true => (
                "wrong_link",
                "this link was used before, or is older than 5 minutes: `secbeat dashboard`, or `secbeat-orchestrator dashboard`, prints another one",
            ),
            false => ("wrong_token", "the orchestrator does not know this token"),
        };
        return Err(Failure::new(StatusCode::UNAUTHORIZED, why).with_code(code));
    };
    // The browser forgets it: nobody could end it there.
    let former = api.signed_in(&headers).ok();
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    let (secret, session) = api
        .sessions
        .open(holder, by_link, agent.unwrap_or_default(), boot_ms())?;
    let Holder { name, role, .. } = &session.holder;
    info!(target: "audit", actor = name, role = role.name(), session = %session.id, by_link, "signed in to the dashboard");
    if let Some(former) = former {
        api.sessions.end(former.id, boot_ms());
    }
    set_cookie(&api.site.set_cookie(&headers, &secret, LIFE.as_secs()))
}

/// Sign out.
#[utoipa::path(
    delete, path = "/api/v1/session",
    responses((status = NO_CONTENT, description = "The session of this browser has ended"))
)]
async fn sign_out(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Failure> {
    if let Ok(session) = api.signed_in(&headers) {
        api.sessions.end(session.id, boot_ms());
        info!(target: "audit", actor = session.holder.name, session = %session.id, "signed out of the dashboard");
    }
    set_cookie(&api.site.set_cookie(&headers, "", 0))
}

/// Make a one-time link that opens a session with the role of the caller.
#[utoipa::path(
    post, path = "/api/v1/session/links",
    responses((status = CREATED, description = "The link works once, within 5 minutes", body = Link))
)]
async fn link(
    State(api): State<Api>,
    peer: Option<Extension<Peer>>,
) -> Result<(StatusCode, Json<Link>), Failure> {
    let Some(Extension(Peer {
        holder,
        session: None,
    })) = peer
    else {
        let why = "a link is made on the socket, or with a token: a session cannot make one";
        return Err(Failure::new(StatusCode::FORBIDDEN, why));
    };
    let (wall_ms, now_ms) = (now_ms(), boot_ms());
    let (name, role) = (holder.name.clone(), holder.role);
    let (code, ends_ms) = api.sessions.link(holder, now_ms)?;
    info!(target: "audit", actor = name, role = role.name(), "made a link to the dashboard");
    let link = Link {
        url: format!("{}/#link={code}", api.site.url()),
        code,
        name,
        role: role.name().to_owned(),
        expires_at: rfc3339(wall_ms + (ends_ms - now_ms)),
    };
    Ok((StatusCode::CREATED, Json(link)))
}

/// All sessions of the dashboard, latest first.
#[utoipa::path(get, path = "/api/v1/sessions", responses((status = OK, body = Vec<SessionView>)))]
async fn sessions(State(api): State<Api>, peer: Option<Extension<Peer>>) -> Json<Vec<SessionView>> {
    let current = peer.and_then(|Extension(peer)| peer.session);
    let sessions = api.sessions.list(&api.tokens.borrow(), boot_ms());
    Json(
        sessions
            .iter()
            .map(|session| SessionView::new(session, current))
            .collect(),
    )
}

/// End a session.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}",
    params(("id" = Uuid, Path, description = "As the list of sessions shows it")),
    responses((status = OK, description = "The session has ended", body = SessionView))
)]
async fn end(
    State(api): State<Api>,
    super::Caller(actor): super::Caller,
    Path(id): Path<Uuid>,
) -> Result<Json<SessionView>, Failure> {
    let Some(session) = api.sessions.end(id, boot_ms()) else {
        return Err(Failure::new(
            StatusCode::NOT_FOUND,
            format!("there is no session {id}"),
        ));
    };
    info!(target: "audit", actor, session = %id, of = session.holder.name, "ended a session of the dashboard");
    Ok(Json(SessionView::new(&session, None)))
}

impl Api {
    fn signed_in(&self, headers: &HeaderMap) -> Result<Session, Failure> {
        let session = self
            .site
            .cookie(headers)
            .and_then(|secret| self.sessions.find(secret, &self.tokens.borrow(), boot_ms()));
        session.ok_or_else(not_signed_in)
    }
}

fn holder(token: &Token) -> Holder {
    Holder {
        name: token.name.as_str().to_owned(),
        role: token.role,
        token: Some(token.hash),
    }
}

fn set_cookie(cookie: &str) -> Result<Response, Failure> {
    let cookie = HeaderValue::from_str(cookie).map_err(anyhow::Error::from)?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}
