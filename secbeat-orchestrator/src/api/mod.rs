//! The REST API on loopback.

pub mod view;

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use secbeat_common::{
    daemon::{bus::Bus, cli::ApiError, config::HumanDuration},
    prefix::Prefix,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::engine::{EngineHandle, Input};
use view::{ApiStats, BanView};

/// How long an answer may take; writes go on beyond it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Who signs what comes in by the API.
const ACTOR: &str = "api";

/// What the API answers from.
#[derive(Clone)]
pub struct Api {
    pub engine: EngineHandle,
    pub bus: Bus,
}

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

/// The API as a function, to be served or tested.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/api/v1/stats", get(stats))
        .route("/api/v1/bans", get(bans).post(ban))
        .route("/api/v1/bans/{*target}", delete(unban))
        .with_state(api)
}

/// An error answer.
struct Failure(StatusCode, String);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(ApiError { error: self.1 })).into_response()
    }
}

fn bad(key: &str, error: impl std::fmt::Display) -> Failure {
    Failure(StatusCode::BAD_REQUEST, format!("{key}: {error}"))
}

impl Api {
    async fn ask<T>(&self, input: impl FnOnce(oneshot::Sender<T>) -> Input) -> Result<T, Failure> {
        let unavailable = |why: &str| Failure(StatusCode::SERVICE_UNAVAILABLE, why.to_owned());
        let (reply, answer) = oneshot::channel();
        self.engine
            .inputs
            .send(input(reply))
            .await
            .map_err(|_| unavailable("the orchestrator is shutting down"))?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(unavailable("another order for the same target came in between")),
            Err(_) => Err(unavailable(
                "NATS has not acknowledged it yet; it is tried until it does",
            )),
        }
    }
}

async fn readyz(State(api): State<Api>) -> Result<&'static str, Failure> {
    let unready = |why: &str| Err(Failure(StatusCode::SERVICE_UNAVAILABLE, why.to_owned()));
    if !api.bus.is_connected() {
        return unready("NATS is unreachable");
    }
    if !api.ask(|reply| Input::Stats { reply }).await?.restored {
        return unready("the ledger is still being read from NATS");
    }
    Ok("ready\n")
}

async fn stats(State(api): State<Api>) -> Result<Json<ApiStats>, Failure> {
    let engine = api.ask(|reply| Input::Stats { reply }).await?;
    Ok(Json(ApiStats {
        engine,
        bus_connected: api.bus.is_connected(),
        garbage: api.engine.garbage.count(),
    }))
}

async fn bans(State(api): State<Api>) -> Result<Json<Vec<BanView>>, Failure> {
    Ok(Json(api.ask(|reply| Input::List { reply }).await?))
}

async fn ban(
    State(api): State<Api>,
    Json(request): Json<BanRequest>,
) -> Result<(StatusCode, Json<BanView>), Failure> {
    let target: Prefix = request.target.parse().map_err(|error| bad("target", error))?;
    let HumanDuration(duration) = request
        .duration
        .parse()
        .map_err(|error: String| bad("duration", error))?;
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
    let target: Prefix = target.parse().map_err(|error| bad("target", error))?;
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
