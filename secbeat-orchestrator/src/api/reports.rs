//! `/api/v1/reports`: what happened in a day, a week, a month or a year.
#![expect(unused_qualifications, reason = "what utoipa makes of the query")]

use axum::{
    Json,
    extract::{Query, State},
    http::{
        StatusCode,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use secbeat_daemon::{api::bad_request, time::now_ms};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure, PATIENCE};
use crate::{
    reports::{Length, Period},
    view::Report,
};

/// The question.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Question {
    /// `day` (the last 24 hours; the default), `week`, `month`, `year`, or a duration such as `7d`, up to `400d`.
    period: Option<String>,
    format: Option<ReportFormat>,
}

/// Format of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ReportFormat {
    #[default]
    Json,
    Csv,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(reports))
}

/// A report on a period: bans by rule, edge and hour, repeat offenders, lifted bans, time to enforcement, packets spared.
#[utoipa::path(
    get, path = "/api/v1/reports", params(Question),
    responses((status = OK, content((Report = "application/json"), (String = "text/csv")), description = "With `format=csv`: lines `section,name,at,value`"))
)]
async fn reports(State(api): State<Api>, Query(question): Query<Question>) -> Result<Response, Failure> {
    let length = question.period.as_deref().unwrap_or("day");
    let length = length
        .parse::<Length>()
        .map_err(|error| bad_request("period", error))?;
    let unavailable = |why: String| Failure::new(StatusCode::SERVICE_UNAVAILABLE, why);
    let read = async {
        // What is so until now is in it.
        api.reports.keep().await?;
        let period = Period::before(now_ms(), length);
        let rows = api.reports.rows(&period).await?;
        anyhow::Ok(Report::new(&rows, period.step.name(), period.until_ms).located(&api.geo))
    };
    let report = tokio::time::timeout(PATIENCE, read)
        .await
        .map_err(|_| unavailable("reading what the report is made of takes too long".to_owned()))?
        .map_err(|error| unavailable(format!("{error:#}")))?;
    Ok(match question.format.unwrap_or_default() {
        ReportFormat::Json => Json(report).into_response(),
        ReportFormat::Csv => {
            let head = [
                (CONTENT_TYPE, "text/csv; charset=utf-8"),
                (CONTENT_DISPOSITION, "attachment; filename=\"secbeat-report.csv\""),
            ];
            (head, report.csv()?).into_response()
        }
    })
}
