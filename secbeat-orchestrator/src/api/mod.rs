//! The REST API. Each group of endpoints has its file, which exports its routes.

mod access;
pub(crate) mod allowlist;
pub mod audit;
pub(crate) mod bans;
mod edges;
mod events;
pub(crate) mod feeds;
mod findings;
mod lists;
mod metrics;
mod openapi;
mod probes;
mod propagation;
mod rules;
pub(crate) mod signatures;
pub(crate) mod sort;
mod sources;
mod stats;

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::{Router, middleware};
use secbeat_bus::{AuditLog, Bus, BusClock, RefusedCommands};
pub use secbeat_daemon::api::Failure;
use secbeat_daemon::{
    api::{as_problems, ask},
    geo::Geo,
};
use tokio::sync::{oneshot, watch};
use utoipa_axum::router::OpenApiRouter;

use self::access::Access;
pub(crate) use self::access::WrongTokens;
pub use self::{access::Caller, events::Lagged};
use crate::{
    allowlist::Keeper,
    audit_out::CopyStats,
    crawlers::CrawlerCounts,
    engine::{EngineHandle, Happening, Input},
    events::Events,
    feeds::Feeds,
    intake::Troubles,
    leases::Shares,
    notify::NotifyStats,
    rules::InForce,
    signatures::{self as signatures_of_fleet, Counts},
    token::Token,
    watches::Watches,
};

/// How long an answer may take; writes go on beyond it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the API answers from.
#[derive(Clone)]
pub(crate) struct Api {
    pub engine: EngineHandle,
    pub bus: Bus,
    pub clock: BusClock,
    pub events: Events<Happening>,
    pub allowlist: Keeper,
    pub signatures: signatures_of_fleet::Keeper,
    pub signature_counts: Counts,
    pub feeds: Feeds,
    pub leases: watch::Receiver<Shares>,
    /// What keeps telemetry from being read.
    pub troubles: Troubles,
    pub audit: AuditLog,
    pub watches: Watches,
    pub rules: watch::Receiver<InForce>,
    pub refused: RefusedCommands,
    pub wrong_tokens: WrongTokens,
    pub notified: NotifyStats,
    pub copied: CopyStats,
    pub geo: Geo,
    pub looked_up: CrawlerCounts,
}

/// All endpoints, and their description.
fn endpoints() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(probes::routes())
        .merge(openapi::routes())
        .merge(stats::routes())
        .merge(bans::routes())
        .merge(allowlist::routes())
        .merge(lists::routes())
        .merge(rules::routes())
        .merge(signatures::routes())
        .merge(feeds::routes())
        .merge(events::routes())
        .merge(edges::routes())
        .merge(propagation::routes())
        .merge(sources::routes())
        .merge(findings::routes())
        .merge(audit::routes())
        .merge(metrics::routes())
}

/// The API as a function, to be served or tested, also on `socket`.
pub(crate) fn router(api: Api, tokens: watch::Receiver<Vec<Token>>, socket: Option<PathBuf>) -> Router {
    let access = Arc::new(Access::new(tokens, socket, api.wrong_tokens.clone()));
    Router::from(endpoints())
        .with_state(api)
        .layer(middleware::from_fn_with_state(access, access::authorize))
        .layer(middleware::from_fn(as_problems))
}

impl Api {
    pub(crate) async fn ask<T>(&self, input: impl FnOnce(oneshot::Sender<T>) -> Input) -> Result<T, Failure> {
        Ok(ask(&self.engine.inputs, PATIENCE, input).await?)
    }
}
