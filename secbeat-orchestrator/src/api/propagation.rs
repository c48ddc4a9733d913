//! `GET /api/v1/propagation`.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure};
use crate::{engine::Input, view::PropagationView};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(propagation))
}

/// The time from a decision to the ban in each edge's kernel, and the edges that have not acknowledged it.
#[utoipa::path(get, path = "/api/v1/propagation", responses((status = OK, body = PropagationView)))]
async fn propagation(State(api): State<Api>) -> Result<Json<PropagationView>, Failure> {
    let propagation = api.ask(|reply| Input::Propagation { reply }).await?;
    Ok(Json(PropagationView::new(&propagation)))
}
