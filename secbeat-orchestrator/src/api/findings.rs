//! `/api/v1/findings`: what the rules found lately, and what became of it.
#![expect(unused_qualifications, reason = "what utoipa makes of the query")]

use axum::{
    Json,
    extract::{Query, State},
};
use secbeat_daemon::api::bad_request;
use secbeat_orchestrator_core::evidence::FindingFilter;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure};
use crate::{engine::Input, view::FindingView};

/// Findings in an answer unless told otherwise.
const LIMIT: usize = 100;

/// The question.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Question {
    /// Only findings for this client or network.
    source: Option<String>,
    /// Only findings of this rule.
    rule: Option<String>,
    /// Most findings, 100 unless set.
    limit: Option<usize>,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(findings))
}

/// Recent findings of the rules, and their outcome, latest first.
#[utoipa::path(get, path = "/api/v1/findings", params(Question), responses((status = OK, body = Vec<FindingView>)))]
async fn findings(
    State(api): State<Api>,
    Query(question): Query<Question>,
) -> Result<Json<Vec<FindingView>>, Failure> {
    let source = question.source.map(|source| source.parse()).transpose();
    let rule = question.rule.map(|rule| rule.parse()).transpose();
    let filter = FindingFilter {
        source: source.map_err(|error| bad_request("source", error))?,
        rule: rule.map_err(|error| bad_request("rule", error))?,
    };
    let limit = question.limit.unwrap_or(LIMIT);
    let input = |reply| Input::Findings { filter, limit, reply };
    let findings = api.ask(input).await?;
    let views = findings.iter().map(|found| FindingView::new(found, &api.geo));
    Ok(Json(views.collect()))
}
