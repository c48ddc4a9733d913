//! The REST API. Each group of endpoints has its file, which exports its routes.

pub mod audit;
pub mod bans;
pub mod edges;
mod events;
mod findings;
mod probes;
pub mod propagation;
mod sources;
mod stats;
pub mod view;

use std::time::Duration;

use axum::{Router, middleware};
pub use secbeat_common::daemon::api::Failure;
use secbeat_common::daemon::{
    api::{as_problems, ask},
    bus::Bus,
};
use tokio::sync::{oneshot, watch};

pub use self::events::Lagged;
use crate::{
    bus::Streams,
    engine::{EngineHandle, Input},
    events::Events,
    leases::shell::LeasesView,
};

/// How long an answer may take; writes go on beyond it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Who signs what comes in by the API.
const ACTOR: &str = "api";

/// What the API answers from.
#[derive(Clone)]
pub struct Api {
    pub engine: EngineHandle,
    pub bus: Bus,
    pub events: Events,
    pub leases: watch::Receiver<LeasesView>,
    pub streams: Streams,
}

/// The API as a function, to be served or tested.
pub fn router(api: Api) -> Router {
    Router::new()
        .merge(probes::routes())
        .merge(stats::routes())
        .merge(bans::routes())
        .merge(events::routes())
        .merge(edges::routes())
        .merge(propagation::routes())
        .merge(sources::routes())
        .merge(findings::routes())
        .merge(audit::routes())
        .layer(middleware::from_fn(as_problems))
        .with_state(api)
}

impl Api {
    async fn ask<T>(&self, input: impl FnOnce(oneshot::Sender<T>) -> Input) -> Result<T, Failure> {
        Ok(ask(&self.engine.inputs, PATIENCE, input).await?)
    }
}
