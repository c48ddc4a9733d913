//! The local API, on loopback and on a Unix socket.

mod allowlist;
mod failure;
mod metrics;

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, put},
};
use secbeat_bus::{Allowlist, Bus, BusClock, Garbage};
use secbeat_common::prefix::Prefix;
use secbeat_daemon::{
    api::{Act, Failure, Ways, as_problems, bad_request, named_target, refuse},
    config::HumanDuration,
    expiry::{CertificateView, Expiry},
    metrics::answer as scraped,
    protect::{Allowed, Protected},
    reload::RefusedConfig,
    time::{now_ms, wall_ms},
};
use secbeat_edge_core::{LocalBan, Origin};
use tokio::{sync::watch, task::spawn_blocking};
use tracing::{info, warn};

pub(crate) use self::allowlist::Keeper;
use self::failure::{unfulfilled, unfulfilled_yet};
use crate::{
    bus::Publisher,
    enforcer::{EnforcerHandle, NotSwitched},
    kernel::{Attachment, Pins, memory, moment_now, packets, read_lists},
    l7::L7Bans,
    lists::Lists,
    notes::Notes,
    signatures::Signatures,
    sources::{InputStats, reports::EventStats},
    stand_in::{Local, Tap},
    telemetry::TelemetryStats,
    unwatched::Unwatched,
    view::{
        AccessLogView, AllowedView, BanRequest, BanView, Commented, DetectionView, ListsView, ModeRequest,
        ProxyView, StatsView, TelemetryView, UnbanRequest, Unbanned, allowed_views,
    },
};

/// Time that a graceful end of the API may take.
pub(crate) const DRAIN: Duration = Duration::from_secs(2);

/// The parts whose state the API shows and changes.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) edge_id: String,
    pub(crate) enforcer: EnforcerHandle,
    pub(crate) bus: Bus,
    pub(crate) clock: BusClock,
    /// Expiry of the certificates of NATS.
    pub(crate) certificates: watch::Receiver<Vec<Expiry>>,
    pub(crate) publisher: Publisher,
    pub(crate) garbage: Arc<Garbage>,
    pub(crate) telemetry: Arc<TelemetryStats>,
    pub(crate) signatures: Signatures,
    pub(crate) inputs: InputStats,
    pub(crate) waf: Arc<EventStats>,
    pub(crate) services: Arc<EventStats>,
    pub(crate) http: Arc<L7Bans>,
    pub(crate) protected: Arc<Protected>,
    /// The allowlist of the config.
    pub(crate) configured: Arc<[Allowed]>,
    /// The allowlist of this host's operators.
    pub(crate) allowlist: Keeper,
    /// The fleet's allowlist, once it was read.
    pub(crate) fleet: watch::Receiver<Option<Allowlist>>,
    /// `None` where the HTTP layer alone enforces.
    pub(crate) pins: Option<Pins>,
    /// `None` where the HTTP layer alone enforces.
    pub(crate) lists: Option<Lists>,
    /// Path of the API's Unix socket.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) notes: Notes,
    pub(crate) unwatched: Unwatched,
    /// The config that a reload refused last.
    pub(crate) refused_config: watch::Receiver<Option<RefusedConfig>>,
    /// This edge's own detector, and when it decides.
    pub(crate) stand_in: (Local, Tap),
}

/// The API as a function, to be served or tested.
pub(crate) fn router(api: Api) -> Router {
    let ways = Ways {
        socket: api.socket.clone(),
        token: None,
    };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/api/v1/stats", get(stats))
        .route("/api/v1/allowed", get(list_allowed))
        .route("/api/v1/allowlist", get(allowlist::list).post(allowlist::add))
        .route("/api/v1/allowlist/{*network}", delete(allowlist::remove))
        .route("/metrics", get(metrics))
        .route("/api/v1/mode", put(set_mode))
        .route("/api/v1/bans", get(bans).post(ban))
        .route("/api/v1/bans/{*target}", delete(unban))
        .layer(middleware::from_fn_with_state(Arc::new(ways), admit))
        .layer(middleware::from_fn(as_problems))
        .with_state(api)
}

/// Lets in those who may do this. Nothing that the edge tells quotes a client's request.
async fn admit(State(ways): State<Arc<Ways>>, request: Request, next: Next) -> Response {
    let (act, role) = match request.method().is_safe() {
        true => (Act::Read, "read"),
        false => (Act::Change, "operate"),
    };
    match ways.admit(&request, act, role) {
        Ok(_) => next.run(request).await,
        Err(refused) => refuse(request, refused).await,
    }
}

impl Api {
    fn list_views(&self) -> ListsView {
        let tables = self.pins.as_ref().and_then(|pins| {
            read_lists(pins)
                .inspect_err(|error| warn!("the lists in force cannot be read: {error:#}"))
                .ok()?
        });
        let owner = self.lists.as_ref().map(Lists::state);
        ListsView::new(tables.as_ref(), owner.as_deref())
            .inspect_err(|error| warn!("the lists in force cannot be read: {error:#}"))
            .unwrap_or_default()
    }

    async fn stats(&self) -> Result<StatsView, Failure> {
        let report = self.enforcer.report().await?;
        let xdp = report.attachments.iter().cloned().map(Into::into).collect();
        let InputStats {
            proxy,
            servers,
            certificates,
            access_logs,
            clients,
            authz,
        } = &self.inputs;
        let wall_ms = wall_ms();
        let unattributed = clients.unattributed();
        Ok(StatsView {
            edge_id: self.edge_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            enforcer: report.into(),
            packets: packets(self.pins.as_ref()).into(),
            lists: self.list_views(),
            kernel_memory: self.pins.as_ref().map(memory).unwrap_or_default(),
            xdp,
            bus_connected: self.bus.is_connected(),
            clock: self.clock.offset(),
            bus_certificates: CertificateView::all(&self.certificates),
            detection: DetectionView::new(self.stand_in.0, self.stand_in.1.status()),
            telemetry: TelemetryView::new(&self.telemetry, self.publisher.lost()),
            signatures: self.signatures.in_force(),
            waf: (&*self.waf).into(),
            services: (&*self.services).into(),
            access_logs: access_logs
                .iter()
                .map(|log| AccessLogView::new(log, wall_ms))
                .collect(),
            proxy: ProxyView::new(proxy, servers.as_ref(), certificates.as_deref()),
            l7_denied: proxy.denied(),
            l7_observed: self.http.observed(),
            unattributed: unattributed
                .map(|(why, count)| (why.name().to_owned(), count))
                .collect(),
            proxy_protocol_refused: clients.refused(),
            authz: (&**authz).into(),
            garbage: self.garbage.count(),
            skipped_parts: self.garbage.skipped(),
            refused_config: self.refused_config.borrow().as_ref().map(Into::into),
            unwatched: self.unwatched.lines(),
        })
    }
}

/// Ready once the enforcer answers and while every configured interface is protected and the kernel has all bans and the allowlist; the proxy was bound before this API.
async fn readyz(State(api): State<Api>) -> Result<&'static str, Failure> {
    let report = api.enforcer.report().await?;
    let unready = |why: String, code: &'static str| {
        Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, why).with_code(code))
    };
    match (
        Attachment::unprotected(&report.attachments),
        report.allowlist_failed,
    ) {
        (Some(why), _) => unready(format!("not protected: {why}"), "not_protected"),
        (None, _) if report.status.unwritten > 0 => {
            let unwritten = report.status.unwritten;
            unready(
                format!("not protected: the kernel refused {unwritten} bans"),
                "not_protected",
            )
        }
        (None, Some(why)) => unready(
            format!("allowlisted clients may be dropped: {why}"),
            "allowlist_unwritten",
        ),
        (None, None) => Ok("ready\n"),
    }
}

async fn set_mode(
    State(api): State<Api>,
    Json(request): Json<ModeRequest>,
) -> Result<Json<ModeRequest>, Failure> {
    let (mode, interface) = (request.mode, request.interface.clone());
    let Some(interface) = interface else {
        let set = api.enforcer.set_mode(mode).await;
        set.map_err(|error| unfulfilled(&error))?;
        return Ok(Json(request));
    };
    match api.enforcer.set_interface_mode(interface, mode).await? {
        Ok(()) => Ok(Json(request)),
        Err(NotSwitched::Kernel(why)) => Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, why)),
        Err(error) => Err(bad_request("interface", error)),
    }
}

/// Prometheus' text format.
async fn metrics(State(api): State<Api>) -> Result<impl IntoResponse, Failure> {
    Ok(scraped(metrics::render(&api.stats().await?)))
}

async fn stats(State(api): State<Api>) -> Result<Json<StatsView>, Failure> {
    api.stats().await.map(Json)
}

async fn list_allowed(State(api): State<Api>) -> Json<Vec<AllowedView>> {
    let now = now_ms();
    let local = api.allowlist.known(now).await;
    let commented = Commented {
        configured: &api.configured,
        fleet: &api.fleet.borrow().clone().unwrap_or_default(),
        local: &local,
    };
    Json(allowed_views(&api.protected.nets(), &commented, now))
}

async fn bans(State(api): State<Api>) -> Result<Json<Vec<BanView>>, Failure> {
    let (bans, now) = (api.enforcer.list().await?, moment_now());
    Ok(Json(
        bans.iter().map(|ban| BanView::of_active(ban, now)).collect(),
    ))
}

async fn ban(
    State(api): State<Api>,
    Json(request): Json<BanRequest>,
) -> Result<(StatusCode, Json<BanView>), Failure> {
    let target = named_target("target", &request.target, false)?;
    let HumanDuration(duration) = request
        .duration
        .parse()
        .map_err(|error: String| bad_request("duration", error))?;
    let ban = LocalBan {
        target,
        duration,
        note: request.note,
        shortens: request.shorten,
    };
    let ban = api.enforcer.ban(ban).await;
    let ban = ban.map_err(|error| unfulfilled_yet(&error))?;
    let (now, view) = (
        moment_now(),
        BanView::of_desired(&target, &ban, None, moment_now()),
    );
    if !ban.note.is_empty() {
        let remembered = spawn_blocking(move || api.notes.remember(&target, ban.ends, &ban.note, now.boot));
        if let Ok(Err(error)) = remembered.await {
            warn!(%target, "cannot store the note of a ban, which the next start will lack: {error:#}");
        }
    }
    Ok((StatusCode::CREATED, Json(view)))
}

async fn unban(
    State(api): State<Api>,
    Path(target): Path<String>,
    Query(UnbanRequest { note }): Query<UnbanRequest>,
) -> Result<Json<Unbanned>, Failure> {
    let target: Prefix = target.parse().map_err(|error| bad_request("target", error))?;
    match api
        .enforcer
        .unban(target)
        .await
        .map_err(|error| unfulfilled_yet(&error))?
    {
        None => {
            let bans = api.enforcer.list().await?;
            let why = target.not_banned(bans.iter().map(|ban| ban.target));
            Err(Failure::new(StatusCode::NOT_FOUND, why).with_code("not_banned"))
        }
        Some(origin) => {
            if !note.is_empty() {
                info!(target: "audit", %target, note, "why it was unbanned on this host");
            }
            Ok(Json(Unbanned {
                target: target.to_string(),
                fleet_ban: matches!(origin, Origin::Fleet(_)),
            }))
        }
    }
}
