//! `GET /api/v1/edges`.

use axum::{Json, extract::State};
use secbeat_common::wire::FleetSignatures;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure};
use crate::{clock::boot_ms, engine::Input, view::FleetEdge};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(edges))
}

/// The edges: which are up, what they enforce, and whether their bans agree with the ledger's.
#[utoipa::path(get, path = "/api/v1/edges", responses((status = OK, body = Vec<FleetEdge>)))]
async fn edges(State(api): State<Api>) -> Result<Json<Vec<FleetEdge>>, Failure> {
    Ok(Json(api.edges().await?))
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
