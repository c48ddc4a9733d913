//! `GET /api/v1/propagation`.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure};
use crate::{engine::Input, view::PropagationView};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(propagation))
}

/// How long bans take from the decision into each edge's kernel, and who has not answered.
#[utoipa::path(get, path = "/api/v1/propagation", responses((status = OK, body = PropagationView)))]
async fn propagation(State(api): State<Api>) -> Result<Json<PropagationView>, Failure> {
    let propagation = api.ask(|reply| Input::Propagation { reply }).await?;
    Ok(Json(PropagationView::new(&propagation)))
}
