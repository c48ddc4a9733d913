//! `/api/v1/stats`: what the daemon counts.

use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

use secbeat_bus::broker::broker;
use secbeat_common::wire::FleetSignatures;
use secbeat_daemon::{expiry::CertificateView, time::now_ms};
use secbeat_orchestrator_core::{
    decider,
    presence::{self, Edge},
};

use super::{Api, Failure};
use crate::{
    engine::{Counted, Input},
    view::{
        ApiStats, AuditView, BusServerView, BusTroubleView, LeasesView, SignatureAgreement, SignatureStats,
        Stats,
    },
};

/// Time that a write may wait for NATS before bans count as not made.
const UNWRITTEN_MS: i64 = 5_000;
/// Time that the ledger may lack bans that NATS has: another orchestrator's import takes a while.
const BEHIND_MS: i64 = 5_000;
/// Signatures with lifted bans that are told one by one.
const LIFTED: usize = 32;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(stats))
}

/// Statistics of the daemon since its start.
#[utoipa::path(get, path = "/api/v1/stats", responses((status = OK, body = ApiStats)))]
async fn stats(State(api): State<Api>) -> Result<Json<ApiStats>, Failure> {
    Ok(Json(api.stats().await?))
}

impl Api {
    /// Returns why no ban could be made at `now_ms` that reaches the edges, if so.
    fn not_ready(&self, counted: &decider::Stats, leases: &LeasesView, now_ms: i64) -> Option<String> {
        if !self.bus.is_connected() {
            return Some(format!("{} is unreachable", broker()));
        }
        if !counted.restored {
            return Some(format!("the ledger is still being read from {}", broker()));
        }
        let health = self.watches.bus.borrow();
        let trouble = health.troubles.iter().find(|trouble| trouble.stops_bans());
        let waiting_ms = counted.unwritten_since_ms.map_or(0, |since| now_ms - since);
        if waiting_ms > UNWRITTEN_MS {
            let seconds = waiting_ms / 1000;
            let why = trouble.map_or_else(String::new, |trouble| format!(": {trouble}"));
            return Some(format!(
                "{} has not taken a ban or an unban for {seconds} s{why}",
                broker()
            ));
        }
        let behind_ms = counted.behind_since_ms.map_or(0, |since| now_ms - since);
        if behind_ms > BEHIND_MS {
            let seconds = behind_ms / 1000;
            return Some(format!(
                "the ledger has lacked bans that {} has for {seconds} s",
                broker()
            ));
        }
        if !leases.is_read {
            return Some(format!(
                "cannot read the owners of the partitions from {}",
                broker()
            ));
        }
        if let Some(trouble) = self.troubles.first() {
            return Some(format!("telemetry cannot be read from {}: {trouble}", broker()));
        }
        if let Some(trouble) = trouble {
            return Some(trouble.to_string());
        }
        let unowned: Vec<_> = leases.unowned().map(|n| n.to_string()).collect();
        (!unowned.is_empty()).then(|| {
            let unowned = unowned.join(" ");
            format!("no orchestrator owns these partitions: {unowned}")
        })
    }

    async fn signature_stats(&self, counted: &Counted) -> SignatureStats {
        let lifted = self.signature_counts.last_known().await.into_iter();
        let mut lifted: Vec<_> = lifted
            .map(|(id, count)| (count.lifted, id))
            .filter(|(lifted, _)| *lifted > 0)
            .collect();
        lifted.sort_unstable_by(|one, other| other.cmp(one));
        let known = self.signatures.known.borrow();
        let set = known.set.as_ref();
        let published = set.map(FleetSignatures::digest);
        let differs = |edge: &&Edge| {
            edge.state == presence::State::Up
                && SignatureAgreement::of(&edge.record, published.as_deref()) == SignatureAgreement::Differs
        };
        SignatureStats {
            published: known.catalogue.published(),
            disabled: set.map_or(0, |set| set.disabled.len()),
            differing_edges: counted.edges.iter().filter(differs).count(),
            lifted: lifted
                .into_iter()
                .take(LIFTED)
                .map(|(lifted, id)| (id, lifted))
                .collect(),
        }
    }

    /// Statistics of the daemon since its start.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not answer.
    pub(crate) async fn stats(&self) -> Result<ApiStats, Failure> {
        let counted = self.ask(|reply| Input::Stats { reply }).await?;
        let signatures = self.signature_stats(&counted).await;
        let feeds = self.feed_views(&counted.edges);
        let refused = self.refused.counts();
        let leases = LeasesView::from(&*self.leases.borrow());
        let health = self.watches.bus.borrow().clone();
        Ok(ApiStats {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            bus_connected: self.bus.is_connected(),
            clock: self.clock.offset(),
            not_ready: self.not_ready(&counted.decider, &leases, now_ms()),
            engine: Stats::new(counted),
            signatures,
            feeds,
            leases,
            bus_certificates: CertificateView::all(&self.watches.certificates),
            bus_troubles: health.troubles.iter().map(BusTroubleView::from).collect(),
            bus_servers: health.servers.into_iter().map(BusServerView::from).collect(),
            audit: self
                .watches
                .audit
                .borrow()
                .iter()
                .map(|fill| AuditView::new(fill, now_ms()))
                .collect(),
            refused_config: self.refused_config.borrow().as_ref().map(Into::into),
            garbage: self.engine.garbage.count(),
            skipped_parts: self.engine.garbage.skipped(),
            wrong_tokens: self.wrong_tokens.seen(),
            refused_commands: refused
                .map(|(reason, count)| (reason.name().to_owned(), count))
                .collect(),
            geo: self.geo.files(),
            crawlers: self
                .looked_up
                .read()
                .map(|(outcome, count)| (outcome.to_owned(), count))
                .into(),
            audit_copies: self.copied.read().into_iter().map(Into::into).collect(),
            notify: self.notified.read().into_iter().map(Into::into).collect(),
        })
    }
}
