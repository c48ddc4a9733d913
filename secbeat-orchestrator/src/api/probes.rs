//! `/healthz` and `/readyz`, for whoever watches the process.

use axum::{extract::State, http::StatusCode};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure};
use crate::{engine::Input, view::LeasesView};

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

/// Whether bans can be made and lifted: NATS answers and the ledger has been read.
#[utoipa::path(get, path = "/readyz", responses((status = OK, body = String, content_type = "text/plain")))]
async fn readyz(State(api): State<Api>) -> Result<&'static str, Failure> {
    let unready = |why: &str| Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, why));
    if !api.bus.is_connected() {
        return unready("NATS is unreachable");
    }
    if !api.ask(|reply| Input::Stats { reply }).await?.decider.restored {
        return unready("the ledger is still being read from NATS");
    }
    let leases = LeasesView::from(&*api.leases.borrow());
    let unowned: Vec<_> = leases.unowned().map(|n| n.to_string()).collect();
    if !unowned.is_empty() {
        let unowned = unowned.join(" ");
        return unready(&format!("no orchestrator owns these partitions: {unowned}"));
    }
    Ok("ready\n")
}
