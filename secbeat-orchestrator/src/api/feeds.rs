//! `/api/v1/feeds`: lists that others publish, as the fleet has them.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use secbeat_common::prefix::Prefix;
use secbeat_daemon::time::now_ms;
use secbeat_orchestrator_core::presence::{self, Edge};
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Caller, Failure};
use crate::{
    engine::Input,
    feeds::{Looked, Refusal, Tested},
    view::{FeedTestView, FeedView},
};

/// Networks that came or went of which each is named.
const NAMED: usize = 1000;

/// `POST /api/v1/feeds/{name}/update`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateRequest {
    /// Take the list even if it is much smaller than the last one.
    #[serde(default)]
    pub force: bool,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match refusal {
            Refusal::Unknown(_) => (StatusCode::NOT_FOUND, "unknown_feed"),
            Refusal::Disconnected => (StatusCode::SERVICE_UNAVAILABLE, "nats_unreachable"),
            Refusal::Contended(_) => (StatusCode::CONFLICT, "contended"),
            Refusal::Unacknowledged(_) => (StatusCode::SERVICE_UNAVAILABLE, "unacknowledged"),
            Refusal::Unread(_) => (StatusCode::SERVICE_UNAVAILABLE, "unread"),
        };
        Self::new(status, refusal.to_string()).with_code(code)
    }
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(update))
        .routes(routes!(test))
}

/// The configured feeds, their state, and which edges have them.
#[utoipa::path(get, path = "/api/v1/feeds", operation_id = "list_feeds", responses((status = OK, body = Vec<FeedView>)))]
async fn list(State(api): State<Api>) -> Result<Json<Vec<FeedView>>, Failure> {
    let edges = api.ask(|reply| Input::Edges { reply }).await?;
    let edges: Vec<_> = edges.into_iter().map(|(edge, _)| edge).collect();
    Ok(Json(api.feed_views(&edges)))
}

/// One feed, and how much of it other feeds contain.
#[utoipa::path(
    get, path = "/api/v1/feeds/{name}", params(("name" = String, Path, description = "Name of a feed")),
    responses((status = OK, body = FeedView))
)]
async fn show(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<FeedView>, Failure> {
    let mut view = api.feed_view(&name).await?;
    view.overlaps = Some(api.feeds.overlaps(&name).await?);
    Ok(Json(view))
}

/// Fetch a feed now, and send it to the edges.
#[utoipa::path(
    post, path = "/api/v1/feeds/{name}/update", request_body = UpdateRequest,
    params(("name" = String, Path, description = "Name of a feed")),
    responses((status = OK, description = "The feed was fetched; `trouble` says why nothing was taken over", body = FeedView))
)]
async fn update(
    State(api): State<Api>,
    Caller(actor): Caller,
    Path(name): Path<String>,
    Json(request): Json<UpdateRequest>,
) -> Result<Json<FeedView>, Failure> {
    // That it is one of the config.
    api.feed_view(&name).await?;
    info!(target: "audit", actor, feed = name, force = request.force, "a feed is brought up to date");
    let (feeds, asked) = (api.feeds.clone(), name.clone());
    // What is on the bus must be known here, even if the one who asked does not wait for the answer.
    let updating = tokio::spawn(async move { feeds.update(&asked, request.force).await });
    updating.await.map_err(anyhow::Error::from)??;
    Ok(Json(api.feed_view(&name).await?))
}

/// Fetch a feed and report what it contains, without changing anything.
#[utoipa::path(
    post, path = "/api/v1/feeds/{name}/test", params(("name" = String, Path, description = "Name of a feed")),
    responses((status = OK, body = FeedTestView))
)]
async fn test(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<FeedTestView>, Failure> {
    Ok(Json(api.feeds.test(&name).await?.into()))
}

impl From<Tested> for FeedTestView {
    fn from(tested: Tested) -> Self {
        let named = |networks: &[Prefix]| networks.iter().take(NAMED).map(ToString::to_string).collect();
        let not = |why: String| Self {
            why: Some(why),
            ..Self::default()
        };
        match tested.looked {
            Looked::Taken(taken) => Self {
                taken: true,
                added: tested.added.len(),
                added_networks: named(&tested.added),
                removed: tested.removed.len(),
                removed_networks: named(&tested.removed),
                ..taken.sifted.into()
            },
            Looked::Refused(why) => not(format!("not taken: {why}")),
            Looked::Unreadable(why) => not(why),
            Looked::Unchanged => not("the source answered as if it had been asked before".to_owned()),
        }
    }
}

impl Api {
    async fn feed_view(&self, name: &str) -> Result<FeedView, Failure> {
        let edges = self.ask(|reply| Input::Edges { reply }).await?;
        let edges: Vec<_> = edges.into_iter().map(|(edge, _)| edge).collect();
        let view = self.feed_views(&edges).into_iter().find(|view| view.name == name);
        Ok(view.ok_or_else(|| Refusal::Unknown(name.to_owned()))?)
    }

    /// The feeds of the config.
    pub(super) fn feed_views(&self, edges: &[Edge]) -> Vec<FeedView> {
        let now_ms = now_ms();
        let up = || {
            edges
                .iter()
                .filter(|edge| edge.state == presence::State::Up)
                .map(|edge| &edge.record)
        };
        let entries = self.feeds.entries();
        let views = entries.iter().map(|entry| {
            let view = match self.feeds.record(&entry.name) {
                Some(record) => FeedView::new(&record, now_ms),
                None => FeedView::waiting(entry),
            };
            view.with_edges(up())
        });
        views.collect()
    }
}
