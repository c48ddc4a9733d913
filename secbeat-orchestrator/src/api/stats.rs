//! `/api/v1/stats`: what the daemon counts.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure};
use crate::{
    engine::Input,
    view::{ApiStats, LeasesView, Stats},
};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(stats))
}

/// What the daemon counts.
#[utoipa::path(get, path = "/api/v1/stats", responses((status = OK, body = ApiStats)))]
async fn stats(State(api): State<Api>) -> Result<Json<ApiStats>, Failure> {
    Ok(Json(api.stats().await?))
}

impl Api {
    /// What the daemon counts.
    ///
    /// # Errors
    ///
    /// When the engine does not answer.
    pub(crate) async fn stats(&self) -> Result<ApiStats, Failure> {
        let counted = self.ask(|reply| Input::Stats { reply }).await?;
        let refused = self.refused.counts();
        Ok(ApiStats {
            engine: Stats::new(counted),
            bus_connected: self.bus.is_connected(),
            leases: LeasesView::from(&*self.leases.borrow()),
            garbage: self.engine.garbage.count(),
            skipped_parts: self.engine.garbage.skipped(),
            refused_commands: refused
                .map(|(reason, count)| (reason.name().to_owned(), count))
                .collect(),
        })
    }
}
