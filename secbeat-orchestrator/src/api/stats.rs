//! `/api/v1/stats`: what the daemon counts.

use axum::{Json, Router, extract::State, routing::get};

use super::{Api, Failure, view::ApiStats};
use crate::engine::Input;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/api/v1/stats", get(stats))
}

async fn stats(State(api): State<Api>) -> Result<Json<ApiStats>, Failure> {
    let engine = api.ask(|reply| Input::Stats { reply }).await?;
    Ok(Json(ApiStats {
        engine,
        bus_connected: api.bus.is_connected(),
        leases: api.leases.borrow().clone(),
        garbage: api.engine.garbage.count(),
    }))
}
