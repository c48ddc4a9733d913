//! `GET /api/v1/edges`.

#![expect(unused_qualifications, reason = "what utoipa makes of the query")]

use axum::{
    Json,
    extract::{Query, State},
};
use secbeat_common::wire::{FleetSignatures, have_all};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure, filter::labels};
use crate::{clock::boot_ms, engine::Input, view::FleetEdge};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(edges))
}

/// The query of `GET /api/v1/edges`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
struct Question {
    /// Only edges with this label, such as `site=berlin`; several as `role=web,site=berlin`.
    label: Option<String>,
}

/// The edges: which are up, what they enforce, and whether their bans agree with the ledger's.
#[utoipa::path(get, path = "/api/v1/edges", params(Question), responses((status = OK, body = Vec<FleetEdge>)))]
async fn edges(
    State(api): State<Api>,
    Query(question): Query<Question>,
) -> Result<Json<Vec<FleetEdge>>, Failure> {
    let mut edges = api.edges().await?;
    if let Some(label) = question.label {
        let meant = labels(&label)?;
        edges.retain(|edge| have_all(&edge.record.labels, &meant));
    }
    Ok(Json(edges))
}

impl Api {
    /// The edges that were heard of.
    pub(crate) async fn edges(&self) -> Result<Vec<FleetEdge>, Failure> {
        let api = self;
        let edges = api.ask(|reply| Input::Edges { reply }).await?;
        let published = api
            .signatures
            .known
            .borrow()
            .set
            .as_ref()
            .map(FleetSignatures::digest);
        let edges = edges.iter().map(|(edge, telemetry)| {
            FleetEdge::new(edge, telemetry.as_ref(), published.as_deref(), boot_ms())
        });
        Ok(edges.collect())
    }
}
