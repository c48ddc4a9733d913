//! `/healthz` and `/readyz`, for programs that watch the process.

use axum::{extract::State, http::StatusCode};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
}

/// Whether the process runs.
#[utoipa::path(get, path = "/healthz", responses((status = OK, body = String, content_type = "text/plain")))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether a ban could be made now and reach the edges: NATS answers, reads and writes, and every partition has an owner.
#[utoipa::path(get, path = "/readyz", responses((status = OK, body = String, content_type = "text/plain")))]
async fn readyz(State(api): State<Api>) -> Result<&'static str, Failure> {
    match api.stats().await?.not_ready {
        Some(why) => Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, why)),
        None => Ok("ready\n"),
    }
}
