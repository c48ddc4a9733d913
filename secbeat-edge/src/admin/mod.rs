//! The local API on loopback.

pub mod allowed;
mod metrics;
pub mod view;

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    middleware,
    response::IntoResponse,
    routing::{delete, get, put},
};
use secbeat_common::prefix::Prefix;
use secbeat_daemon::{
    allowlist::Allowlist,
    api::{Failure, as_problems, ask, bad_request, no_browsers},
    bus::Bus,
    config::HumanDuration,
    garbage::Garbage,
    metrics::answer as scraped,
    protect::{Allowed, Protected},
    time::now_ms,
};
use secbeat_edge_core::{FilterMode, Origin, Refusal};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    bus::Publisher,
    enforcer::Order,
    kernel::{Attachment, Pins, attachments, read_totals},
    l7::L7Bans,
    sources::{
        access_log::Health,
        authz::AuthzStats,
        client_address::ClientStats,
        proxy::{ProxyStats, Servers},
        waf::WafStats,
    },
    telemetry::TelemetryStats,
};
use allowed::AllowedView;
use view::{AuthzView, BanView, Packets, ProxyView, Stats, Telemetry, Waf};

/// How long an answer may take; orders go on beyond it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the API answers from.
#[derive(Clone)]
pub struct Admin {
    pub edge_id: String,
    pub orders: mpsc::Sender<Order>,
    pub bus: Bus,
    pub publisher: Publisher,
    pub garbage: Arc<Garbage>,
    pub telemetry: Arc<TelemetryStats>,
    pub proxy: Arc<ProxyStats>,
    /// `None` without a proxy.
    pub servers: Option<Servers>,
    pub access_logs: Arc<[Arc<Health>]>,
    pub clients: Arc<ClientStats>,
    pub authz: Arc<AuthzStats>,
    pub waf: Arc<WafStats>,
    pub l7: Arc<L7Bans>,
    pub protected: Arc<Protected>,
    /// What the config protects.
    pub configured: Arc<[Allowed]>,
    /// The fleet's allowlist, once it was heard.
    pub fleet: watch::Receiver<Option<Allowlist>>,
    /// `None` where enforcement is at L7 alone.
    pub pins: Option<Pins>,
}

/// `POST /api/v1/bans`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BanRequest {
    /// An address, which stands for its source, or a CIDR.
    pub target: String,
    /// As `4h`.
    pub duration: String,
    #[serde(default)]
    pub note: String,
}

/// `PUT /api/v1/mode`, and its answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeRequest {
    pub mode: FilterMode,
}

/// The answer to `DELETE /api/v1/bans/…`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Unbanned {
    pub target: String,
    /// The fleet had asked for the ban, and the other edges still enforce it.
    pub fleet_ban: bool,
}

/// The API as a function, to be served or tested.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/api/v1/stats", get(stats))
        .route("/api/v1/allowed", get(list_allowed))
        .route("/metrics", get(metrics))
        .route("/api/v1/mode", put(set_mode))
        .route("/api/v1/bans", get(bans).post(ban))
        .route("/api/v1/bans/{*target}", delete(unban))
        .layer(middleware::from_fn(no_browsers))
        .layer(middleware::from_fn(as_problems))
        .with_state(admin)
}

#[expect(clippy::needless_pass_by_value, reason = "it is mapped over errors")]
fn refused(refusal: Refusal) -> Failure {
    Failure::new(StatusCode::CONFLICT, refusal.to_string())
}

impl Admin {
    /// What is attached right now, which `detach` may have changed.
    fn attachments(&self) -> anyhow::Result<Vec<Attachment>> {
        self.pins.as_ref().map_or(Ok(Vec::new()), attachments)
    }

    pub(crate) async fn stats(&self) -> Result<Stats, Failure> {
        let enforcer = self.ask(|reply| Order::Summary { reply }).await?;
        let xdp = self.attachments()?;
        let packets = match self.pins.as_ref().filter(|_| !xdp.is_empty()).map(read_totals) {
            None => Packets::default(),
            Some(totals) => totals?.into(),
        };
        Ok(Stats {
            edge_id: self.edge_id.clone(),
            enforcer,
            packets,
            xdp,
            bus_connected: self.bus.is_connected(),
            telemetry: Telemetry::new(&self.telemetry, self.publisher.lost()),
            waf: Waf {
                recorded: self.waf.recorded(),
                dropped: self.waf.dropped(),
            },
            access_logs: self.access_logs.iter().map(|log| log.view(now_ms())).collect(),
            proxy: ProxyView::new(&self.proxy, self.servers.as_ref()),
            l7_denied: self.proxy.denied(),
            l7_observed: self.l7.observed(),
            unattributed: self
                .clients
                .unattributed()
                .map(|(why, count)| (why.name().to_owned(), count))
                .collect(),
            proxy_protocol_refused: self.clients.refused(),
            authz: AuthzView {
                allowed: self.authz.allowed(),
                denied: self.authz.denied(),
                unattributed: self.authz.unattributed(),
            },
            garbage: self.garbage.count(),
            skipped_parts: self.garbage.skipped(),
        })
    }

    /// Whether bans are still being worked on.
    pub(crate) async fn is_alive(&self) -> bool {
        self.ask(|reply| Order::Summary { reply }).await.is_ok()
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, Failure> {
        Ok(ask(&self.orders, PATIENCE, order).await?)
    }
}

/// Ready once the enforcer answers, as long as nobody has detached the program; the proxy was bound before this API.
async fn readyz(State(admin): State<Admin>) -> Result<&'static str, Failure> {
    admin.ask(|reply| Order::Summary { reply }).await?;
    if admin.pins.is_some() && admin.attachments()?.is_empty() {
        return Err(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the XDP program was detached".to_owned(),
        ));
    }
    Ok("ready\n")
}

async fn set_mode(
    State(admin): State<Admin>,
    Json(request): Json<ModeRequest>,
) -> Result<Json<ModeRequest>, Failure> {
    let mode = request.mode;
    admin.ask(|reply| Order::SetMode { mode, reply }).await??;
    Ok(Json(request))
}

/// Prometheus' text format.
async fn metrics(State(admin): State<Admin>) -> Result<impl IntoResponse, Failure> {
    Ok(scraped(metrics::render(&admin.stats().await?)))
}

async fn stats(State(admin): State<Admin>) -> Result<Json<Stats>, Failure> {
    admin.stats().await.map(Json)
}

async fn list_allowed(State(admin): State<Admin>) -> Json<Vec<AllowedView>> {
    Json(allowed::views(
        &admin.protected.nets(),
        &admin.configured,
        &admin.fleet.borrow().clone().unwrap_or_default(),
        now_ms(),
    ))
}

async fn bans(State(admin): State<Admin>) -> Result<Json<Vec<BanView>>, Failure> {
    Ok(Json(admin.ask(|reply| Order::List { reply }).await?))
}

async fn ban(
    State(admin): State<Admin>,
    Json(request): Json<BanRequest>,
) -> Result<(StatusCode, Json<BanView>), Failure> {
    let target: Prefix = request
        .target
        .parse()
        .map_err(|error| bad_request("target", error))?;
    let HumanDuration(duration) = request
        .duration
        .parse()
        .map_err(|error: String| bad_request("duration", error))?;
    let ban = admin
        .ask(|reply| Order::Ban {
            target,
            duration,
            note: request.note,
            reply,
        })
        .await?
        .map_err(refused)?;
    Ok((StatusCode::CREATED, Json(ban)))
}

async fn unban(State(admin): State<Admin>, Path(target): Path<String>) -> Result<Json<Unbanned>, Failure> {
    let target: Prefix = target.parse().map_err(|error| bad_request("target", error))?;
    match admin.ask(|reply| Order::Unban { target, reply }).await? {
        None => Err(Failure::new(
            StatusCode::NOT_FOUND,
            format!("{target} is not banned here"),
        )),
        Some(origin) => Ok(Json(Unbanned {
            target: target.to_string(),
            fleet_ban: matches!(origin, Origin::Fleet(_)),
        })),
    }
}

/// How long a graceful end of the API may take.
pub const DRAIN: Duration = Duration::from_secs(2);
