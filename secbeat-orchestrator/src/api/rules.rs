//! `/api/v1/rules`: what the detector looks for.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use crate::view::RuleView;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(rules))
}

/// The rules in force.
#[utoipa::path(get, path = "/api/v1/rules", responses((status = OK, body = Vec<RuleView>)))]
async fn rules(State(api): State<Api>) -> Json<Vec<RuleView>> {
    Json(RuleView::all(&api.rules.borrow().config))
}
