//! `/api/v1/stats`: what the daemon counts.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure, view::ApiStats};
use crate::engine::Input;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(stats))
}

/// What the daemon counts.
#[utoipa::path(get, path = "/api/v1/stats", responses((status = OK, body = ApiStats)))]
async fn stats(State(api): State<Api>) -> Result<Json<ApiStats>, Failure> {
    let engine = api.ask(|reply| Input::Stats { reply }).await?;
    Ok(Json(ApiStats {
        engine,
        bus_connected: api.bus.is_connected(),
        leases: api.leases.borrow().clone(),
        garbage: api.engine.garbage.count(),
    }))
}
