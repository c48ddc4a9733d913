//! `/healthz` and `/readyz`, for whoever watches the process.

use axum::{Router, extract::State, http::StatusCode, routing::get};

use super::{Api, Failure};
use crate::engine::Input;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
}

async fn readyz(State(api): State<Api>) -> Result<&'static str, Failure> {
    let unready = |why: &str| Err(Failure(StatusCode::SERVICE_UNAVAILABLE, why.to_owned()));
    if !api.bus.is_connected() {
        return unready("NATS is unreachable");
    }
    if !api.ask(|reply| Input::Stats { reply }).await?.restored {
        return unready("the ledger is still being read from NATS");
    }
    let unowned: Vec<_> = api.leases.borrow().unowned().map(|n| n.to_string()).collect();
    if !unowned.is_empty() {
        let unowned = unowned.join(" ");
        return unready(&format!("no orchestrator owns these partitions: {unowned}"));
    }
    Ok("ready\n")
}
