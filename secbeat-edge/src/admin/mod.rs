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
    api::{Failure, as_problems, bad_request, no_browsers},
    bus::Bus,
    config::HumanDuration,
    garbage::Garbage,
    metrics::answer as scraped,
    protect::{Allowed, Protected},
    time::now_ms,
};
use secbeat_edge_core::{FilterMode, Moment, OrderError, Origin, Refusal};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    bus::Publisher,
    enforcer::{ActiveBan, EnforcerHandle, Unfulfilled},
    kernel::{Pins, XdpReport, attachments, boot_now},
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
use view::{AuthzView, BanView, ProxyView, Stats, Telemetry, Waf};

/// What the API answers from.
#[derive(Clone)]
pub struct Admin {
    pub edge_id: String,
    pub enforcer: EnforcerHandle,
    pub bus: Bus,
    pub publisher: Publisher,
    pub garbage: Arc<Garbage>,
    pub telemetry: Arc<TelemetryStats>,
    pub inputs: InputStats,
    pub waf: Arc<WafStats>,
    pub http: Arc<L7Bans>,
    pub protected: Arc<Protected>,
    /// What the config protects.
    pub configured: Arc<[Allowed]>,
    /// The fleet's allowlist, once it was heard.
    pub fleet: watch::Receiver<Option<Allowlist>>,
    /// `None` where the HTTP layer alone enforces.
    pub pins: Option<Pins>,
}

/// Counters of the inputs.
#[derive(Clone)]
pub struct InputStats {
    pub proxy: Arc<ProxyStats>,
    /// `None` without a proxy.
    pub servers: Option<Servers>,
    pub access_logs: Arc<[Arc<Health>]>,
    pub clients: Arc<ClientStats>,
    pub authz: Arc<AuthzStats>,
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

/// An order that was not carried out: 422 for a target that can never be banned, 409 for one that cannot be now, and 503
/// for what may succeed later.
#[expect(clippy::needless_pass_by_value, reason = "it is mapped over errors")]
fn unfulfilled(error: Unfulfilled) -> Failure {
    let (status, code) = match &error {
        Unfulfilled::Unanswered(unanswered) => return (*unanswered).into(),
        Unfulfilled::Order(OrderError::NotWritten(_)) => (StatusCode::SERVICE_UNAVAILABLE, "kernel_failed"),
        Unfulfilled::Order(OrderError::Refused(refusal)) => match refusal {
            Refusal::Unbannable(..) => (StatusCode::UNPROCESSABLE_ENTITY, "unbannable"),
            Refusal::Allowlisted(_) => (StatusCode::CONFLICT, "allowlisted"),
            Refusal::TooManyNets(_) => (StatusCode::CONFLICT, "too_many_networks"),
            Refusal::Expired => (StatusCode::CONFLICT, "expired"),
            Refusal::OtherScope => (StatusCode::CONFLICT, "other_scope"),
            Refusal::Overridden => (StatusCode::CONFLICT, "overridden"),
            Refusal::Stale => (StatusCode::CONFLICT, "stale"),
        },
    };
    Failure::new(status, error.to_string()).with_code(code)
}

impl Admin {
    async fn stats(&self) -> Result<Stats, Failure> {
        let report = self.enforcer.report().await?;
        let xdp = XdpReport::read(self.pins.as_ref())?;
        Ok(Stats {
            edge_id: self.edge_id.clone(),
            enforcer: report.into(),
            packets: xdp.packets.into(),
            xdp: xdp.attachments,
            bus_connected: self.bus.is_connected(),
            telemetry: Telemetry::new(&self.telemetry, self.publisher.lost()),
            waf: Waf {
                recorded: self.waf.recorded(),
                dropped: self.waf.dropped(),
            },
            access_logs: self
                .inputs
                .access_logs
                .iter()
                .map(|log| log.view(now_ms()))
                .collect(),
            proxy: ProxyView::new(&self.inputs.proxy, self.inputs.servers.as_ref()),
            l7_denied: self.inputs.proxy.denied(),
            l7_observed: self.http.observed(),
            unattributed: self
                .inputs
                .clients
                .unattributed()
                .map(|(why, count)| (why.name().to_owned(), count))
                .collect(),
            proxy_protocol_refused: self.inputs.clients.refused(),
            authz: AuthzView {
                allowed: self.inputs.authz.allowed(),
                denied: self.inputs.authz.denied(),
                unattributed: self.inputs.authz.unattributed(),
            },
            garbage: self.garbage.count(),
            skipped_parts: self.garbage.skipped(),
        })
    }
}

/// Ready once the enforcer answers, as long as nobody has detached the program; the proxy was bound before this API.
async fn readyz(State(admin): State<Admin>) -> Result<&'static str, Failure> {
    admin.enforcer.report().await?;
    if let Some(pins) = &admin.pins
        && attachments(pins)?.is_empty()
    {
        let detached = Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the XDP program was detached");
        return Err(detached.with_code("detached"));
    }
    Ok("ready\n")
}

async fn set_mode(
    State(admin): State<Admin>,
    Json(request): Json<ModeRequest>,
) -> Result<Json<ModeRequest>, Failure> {
    let mode = request.mode;
    admin.enforcer.set_mode(mode).await.map_err(unfulfilled)?;
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
    let (bans, now) = (admin.enforcer.list().await?, now());
    let view = |ban: &ActiveBan| BanView::of_desired(&ban.target, &ban.ban, ban.counts.as_ref(), now);
    Ok(Json(bans.iter().map(view).collect()))
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
    let ban = admin.enforcer.ban(target, duration, request.note).await;
    let ban = BanView::of_desired(&target, &ban.map_err(unfulfilled)?, None, now());
    Ok((StatusCode::CREATED, Json(ban)))
}

async fn unban(State(admin): State<Admin>, Path(target): Path<String>) -> Result<Json<Unbanned>, Failure> {
    let target: Prefix = target.parse().map_err(|error| bad_request("target", error))?;
    match admin.enforcer.unban(target).await.map_err(unfulfilled)? {
        None => {
            let unknown = Failure::new(StatusCode::NOT_FOUND, format!("{target} is not banned here"));
            Err(unknown.with_code("not_banned"))
        }
        Some(origin) => Ok(Json(Unbanned {
            target: target.to_string(),
            fleet_ban: matches!(origin, Origin::Fleet(_)),
        })),
    }
}

fn now() -> Moment {
    Moment {
        wall_ms: now_ms(),
        boot: boot_now(),
    }
}

/// How long a graceful end of the API may take.
pub const DRAIN: Duration = Duration::from_secs(2);
