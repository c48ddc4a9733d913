//! The REST API. Each group of endpoints has its file, which exports its routes.

mod access;
pub(crate) mod allowlist;
pub mod audit;
pub(crate) mod bans;
mod edges;
mod events;
pub(crate) mod feeds;
mod filter;
mod findings;
mod lift;
mod lists;
mod metrics;
mod openapi;
mod overview;
mod peer;
mod probes;
mod propagation;
mod reports;
mod rules;
mod rules_try;
pub(crate) mod session;
pub(crate) mod signatures;
mod site;
pub(crate) mod sort;
mod sources;
mod stats;
mod wrong_tokens;

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::{Router, middleware};
use secbeat_bus::{AuditLog, Bus, BusClock, RefusedCommands};
pub use secbeat_daemon::api::Failure;
use secbeat_daemon::{
    api::{as_problems, ask},
    geo::Geo,
    reload::RefusedConfig,
};
use tokio::sync::{oneshot, watch};
use utoipa_axum::router::OpenApiRouter;

use self::access::Access;
pub use self::{access::Caller, events::Lagged};
pub(crate) use self::{site::Site, wrong_tokens::WrongTokens};
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
    overview::Hub,
    reports::Reports,
    rules::InForce,
    sessions::Sessions,
    signatures::{self as signatures_of_fleet, Counts},
    token::Token,
    watches::Watches,
    web,
};

/// Time that an answer may take; writes go on beyond it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time that an answer to an order that was carried out waits for its audit record.
const RECORDING: Duration = Duration::from_secs(2);

/// State of the API.
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
    /// Troubles that keep telemetry from being read.
    pub troubles: Troubles,
    pub audit: AuditLog,
    pub watches: Watches,
    pub rules: watch::Receiver<InForce>,
    pub refused_config: watch::Receiver<Option<RefusedConfig>>,
    pub refused: RefusedCommands,
    pub wrong_tokens: WrongTokens,
    pub notified: NotifyStats,
    pub copied: CopyStats,
    pub geo: Geo,
    pub looked_up: CrawlerCounts,
    pub tokens: watch::Receiver<Vec<Token>>,
    pub sessions: Sessions,
    /// Address of the web page.
    pub site: Site,
    pub hub: Hub,
    pub reports: Reports,
}

/// All endpoints, and their description.
fn endpoints() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(probes::routes())
        .merge(openapi::routes())
        .merge(session::routes())
        .merge(overview::routes())
        .merge(reports::routes())
        .merge(stats::routes())
        .merge(bans::routes())
        .merge(lift::routes())
        .merge(allowlist::routes())
        .merge(lists::routes())
        .merge(rules::routes())
        .merge(rules_try::routes())
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

/// The description of the API (OpenAPI 3.1), as `/api/v1/openapi.json` serves it.
///
/// # Errors
///
/// Returns an error if it cannot be written as JSON.
pub fn description() -> Result<String, serde_json::Error> {
    openapi::document().to_json()
}

/// The API and the web page as a function, to be served or tested, also on `socket`.
pub(crate) fn router(api: Api, socket: Option<PathBuf>) -> Router {
    let (sessions, site) = (api.sessions.clone(), api.site.clone());
    let access = Access::new(
        api.tokens.clone(),
        socket,
        api.wrong_tokens.clone(),
        (sessions, site),
    );
    Router::from(endpoints())
        .with_state(api)
        .fallback(web::serve)
        .layer(middleware::from_fn_with_state(
            Arc::new(access),
            access::authorize,
        ))
        .layer(middleware::from_fn(as_problems))
        .layer(middleware::from_fn(web::closed))
}

impl Api {
    pub(crate) async fn ask<T>(&self, input: impl FnOnce(oneshot::Sender<T>) -> Input) -> Result<T, Failure> {
        Ok(ask(&self.engine.inputs, PATIENCE, input).await?)
    }

    /// Whether the audit has what was decided so far, or soon has. Otherwise the records wait in this process, and are written later.
    pub(crate) async fn is_recorded(&self) -> bool {
        let asked = ask(&self.engine.inputs, RECORDING, |reply| Input::Recorded { reply });
        asked.await.is_ok()
    }
}
