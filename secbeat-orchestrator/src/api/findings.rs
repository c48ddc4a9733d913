//! `/api/v1/findings`: what the rules found lately, and what became of it.

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::get,
};
use secbeat_common::daemon::api::bad_request;
use serde::Deserialize;

use super::{Api, Failure};
use crate::{
    engine::Input,
    evidence::{FindingFilter, FindingView},
};

/// Findings in an answer unless told otherwise.
const LIMIT: usize = 100;

/// The question.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// A source, or a network around several.
    source: Option<String>,
    rule: Option<String>,
    limit: Option<usize>,
}

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/api/v1/findings", get(findings))
}

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
    Ok(Json(api.ask(input).await?))
}
