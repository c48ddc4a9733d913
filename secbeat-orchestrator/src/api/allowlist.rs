//! `/api/v1/allowlist`: the clients that no edge of the fleet bans.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use secbeat_common::{prefix::Prefix, wire::Reason};
use secbeat_daemon::{
    allowing::{AllowRequest, AllowView, Disallowed},
    api::bad_request,
    time::now_ms,
};
use secbeat_orchestrator_core::ledger::{ActiveBan, BanQuery};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Caller, Failure};
use crate::{allowlist::Refusal, engine::Input, signatures::LOOKED_UP};

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match refusal {
            Refusal::Disconnected => (StatusCode::SERVICE_UNAVAILABLE, "nats_unreachable"),
            Refusal::Unread => (StatusCode::SERVICE_UNAVAILABLE, "restoring"),
            Refusal::Unacknowledged(_) => (StatusCode::SERVICE_UNAVAILABLE, "unacknowledged"),
            Refusal::NotThere(_) => (StatusCode::NOT_FOUND, "not_allowlisted"),
            Refusal::Full => (StatusCode::CONFLICT, "allowlist_full"),
            Refusal::Everybody { .. } => (StatusCode::CONFLICT, "everybody"),
        };
        Self::new(status, refusal.to_string()).with_code(code)
    }
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(remove))
}

/// The fleet-wide allowlist, sorted by network.
#[utoipa::path(get, path = "/api/v1/allowlist", operation_id = "list_allowlist", responses((status = OK, body = Vec<AllowView>)))]
async fn list(State(api): State<Api>) -> Result<Json<Vec<AllowView>>, Failure> {
    let now = now_ms();
    let entries = api.allowlist.entries(now)?;
    Ok(Json(
        entries.iter().map(|entry| AllowView::new(entry, now)).collect(),
    ))
}

/// Add a client or a network to the fleet-wide allowlist. It replaces an entry of the same network.
#[utoipa::path(
    post, path = "/api/v1/allowlist", request_body = AllowRequest,
    responses((status = CREATED, description = "The entry is stored", body = AllowView))
)]
async fn add(
    State(api): State<Api>,
    Caller(actor): Caller,
    Json(request): Json<AllowRequest>,
) -> Result<(StatusCode, Json<AllowView>), Failure> {
    let now = now_ms();
    let list = request.list;
    let entry = request.entry(actor, now)?;
    let (view, network) = (AllowView::new(&entry, now), entry.network);
    let allowlist = api.allowlist.clone();
    to_the_end(async move { allowlist.add(entry, list).await }).await?;
    api.bans_within_were_wrong(network).await;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Remove a network from the fleet-wide allowlist. Its bans that are in force are enforced again.
#[utoipa::path(
    delete, path = "/api/v1/allowlist/{*network}",
    params(("network" = String, Path, description = "An address or a CIDR, as the list shows it; its slash may stand as it is")),
    responses((status = OK, description = "The entry is removed", body = Disallowed))
)]
async fn remove(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(network): Path<String>,
) -> Result<Json<Disallowed>, Failure> {
    let network: Prefix = network.parse().map_err(|error| bad_request("network", error))?;
    to_the_end(async move { api.allowlist.remove(network, actor).await }).await?;
    Ok(Json(Disallowed {
        network: network.to_string(),
    }))
}

impl Api {
    /// Counts that rules' bans within a network were wrong, whose clients are allowlisted now. Those that people made are in force
    /// still: nobody lifted them.
    async fn bans_within_were_wrong(&self, network: Prefix) {
        let query = BanQuery {
            within: Some(network),
            limit: Some(LOOKED_UP),
            ..BanQuery::default()
        };
        if let Ok(mut found) = self.ask(|reply| Input::List { query, reply }).await {
            found.bans.retain(|ban| ban.command.reason != Reason::Manual);
            self.were_wrong(found.bans);
        }
    }

    /// Counts that `bans` were wrong, for signatures without waiting for that.
    pub(super) fn were_wrong(&self, bans: Vec<ActiveBan>) {
        for ban in &bans {
            self.reports.tally.lifted(ban.command.id, ban.command.reason);
        }
        let counts = self.signature_counts.clone();
        tokio::spawn(async move { counts.lifted(bans).await });
    }
}

/// What the bus has must be audited, even if the one who asked does not wait for the answer.
async fn to_the_end(
    change: impl Future<Output = Result<(), Refusal>> + Send + 'static,
) -> Result<(), Failure> {
    let changed = tokio::spawn(change).await.map_err(anyhow::Error::from)?;
    Ok(changed?)
}
