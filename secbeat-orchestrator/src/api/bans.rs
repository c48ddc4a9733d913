//! `/api/v1/bans`: list, ban, unban.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, get},
};
use secbeat_common::{
    daemon::{api::bad_request, config::HumanDuration},
    prefix::Prefix,
};
use serde::{Deserialize, Serialize};

use super::{ACTOR, Api, Failure, view::BanView};
use crate::engine::Input;

/// `POST /api/v1/bans`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BanRequest {
    /// An address, which stands for its source, or a CIDR.
    pub target: String,
    /// As `4h`.
    pub duration: String,
    #[serde(default)]
    pub note: String,
}

/// The answer to `DELETE /api/v1/bans/…`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Unbanned {
    pub target: String,
}

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/bans", get(bans).post(ban))
        .route("/api/v1/bans/{*target}", delete(unban))
}

async fn bans(State(api): State<Api>) -> Result<Json<Vec<BanView>>, Failure> {
    Ok(Json(api.ask(|reply| Input::List { reply }).await?))
}

async fn ban(
    State(api): State<Api>,
    Json(request): Json<BanRequest>,
) -> Result<(StatusCode, Json<BanView>), Failure> {
    let target: Prefix = request
        .target
        .parse()
        .map_err(|error| bad_request("target", error))?;
    let HumanDuration(duration) = request
        .duration
        .parse()
        .map_err(|error: String| bad_request("duration", error))?;
    let ban = api
        .ask(|reply| Input::Ban {
            target,
            duration,
            note: request.note,
            actor: ACTOR.to_owned(),
            reply,
        })
        .await?
        .map_err(|error| Failure(StatusCode::CONFLICT, error))?;
    Ok((StatusCode::CREATED, Json(ban)))
}

async fn unban(State(api): State<Api>, Path(target): Path<String>) -> Result<Json<Unbanned>, Failure> {
    let target: Prefix = target.parse().map_err(|error| bad_request("target", error))?;
    match api
        .ask(|reply| Input::Unban {
            target,
            actor: ACTOR.to_owned(),
            reply,
        })
        .await?
    {
        Ok(Some(ban)) => Ok(Json(Unbanned { target: ban.target })),
        Ok(None) => Err(Failure(StatusCode::NOT_FOUND, format!("{target} is not banned"))),
        Err(error) => Err(Failure(StatusCode::SERVICE_UNAVAILABLE, error)),
    }
}
