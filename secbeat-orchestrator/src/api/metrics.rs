//! `GET /metrics`, for Prometheus.

use axum::{extract::State, response::IntoResponse};
use secbeat_daemon::metrics::{Metric, answer, scrape};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure};
use crate::{
    bus_watch::Kind,
    config::DIGESTED,
    engine::Input,
    view::{
        ApiStats, AuditCopyView, AuditView, BusServerView, EdgeView, FeedState, FeedView, NotifyView,
        PropagationView, SignatureStats, Standing, StateView, Stats,
    },
};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// The statistics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", responses((status = OK, body = String, content_type = "text/plain")))]
async fn metrics(State(api): State<Api>) -> Result<impl IntoResponse, Failure> {
    let stats = api.stats().await?;
    let propagation = api.ask(|reply| Input::Propagation { reply }).await?;
    Ok(answer(render(&stats, &PropagationView::new(&propagation))))
}

/// The text of one scrape.
fn render(stats: &ApiStats, propagation: &PropagationView) -> String {
    scrape(|| {
        Metric::heap("secbeat_orchestrator_heap_bytes");
        bus(stats);
        bus_servers(&stats.bus_servers);
        detection(&stats.engine);
        ledger(&stats.engine);
        signatures(&stats.signatures);
        feeds(&stats.feeds);
        audit(&stats.audit);
        fleet(&stats.engine);
        telemetry(&stats.engine.edges);
        enforcement(propagation);
        notifications(&stats.notify);
        audit_copies(&stats.audit_copies);
    })
}

fn bus(stats: &ApiStats) {
    Metric::gauge("secbeat_orchestrator_bus_connected", "1 while NATS is connected.")
        .holds([], stats.bus_connected);
    let clock = Metric::gauge(
        "secbeat_orchestrator_clock_offset_seconds",
        "How far this host's clock is ahead of the NATS server's; missing before the first measure.",
    );
    if let Some(offset) = stats.clock {
        clock.is([], offset.seconds());
    }
    Metric::gauge(
        "secbeat_orchestrator_ready",
        "1 while a ban could be made and reach the edges.",
    )
    .holds([], stats.not_ready.is_none());
    let end = Metric::gauge(
        "secbeat_orchestrator_bus_certificate_expiry_timestamp_seconds",
        "When a certificate of NATS ends, in Unix time.",
    );
    for certificate in &stats.bus_certificates {
        let at = certificate.expires_at_seconds as f64;
        end.is([("certificate", &certificate.name)], at);
    }
    let trouble = Metric::gauge(
        "secbeat_orchestrator_bus_trouble",
        "1 while NATS has a bucket or stream offline, stores nothing in one or is slow to, or a server is unreached or behind.",
    );
    for kind in Kind::all() {
        let name = kind.name();
        let is_there = stats.bus_troubles.iter().any(|trouble| trouble.kind == name);
        trouble.holds([("trouble", name)], is_there);
    }
    let partitions = &stats.leases.partitions;
    let owned = partitions.iter().filter(|partition| partition.epoch.is_some());
    Metric::gauge(
        "secbeat_orchestrator_partitions_owned",
        "Partitions whose sources this orchestrator judges.",
    )
    .is([], owned.count() as f64);
    Metric::gauge(
        "secbeat_orchestrator_partitions_unowned",
        "Partitions without an owner: for their sources, each edge decides by itself, unless its `detect.local` is `off`.",
    )
    .is([], stats.leases.unowned().count() as f64);
    Metric::gauge("secbeat_orchestrator_members", "Orchestrators that are up.")
        .is([], stats.leases.members.len() as f64);
    let differs = Metric::gauge(
        "secbeat_orchestrator_config_differs",
        "Other orchestrators whose config differs from this one's, by the key.",
    );
    for key in DIGESTED {
        let differing = &stats.leases.differing;
        let count = differing.iter().filter(|it| it.keys.iter().any(|it| it == key));
        differs.is([("key", key)], count.count() as f64);
    }
    Metric::gauge(
        "secbeat_orchestrator_config_refused",
        "1 while the config that was read last is refused, and the one before is in use.",
    )
    .holds([], stats.refused_config.is_some());
    Metric::counter(
        "secbeat_orchestrator_garbage_total",
        "Invalid messages from NATS.",
    )
    .count([], stats.garbage);
    Metric::counter(
        "secbeat_orchestrator_skipped_parts_total",
        "Parts of messages that only a later release knows.",
    )
    .count([], stats.skipped_parts);
    Metric::counter(
        "secbeat_orchestrator_wrong_tokens_total",
        "Requests that showed a token which the API does not know.",
    )
    .count([], stats.wrong_tokens);
    let looked_up = Metric::counter(
        "secbeat_orchestrator_crawler_lookups_total",
        "Banned clients that may be crawlers, by what looking them up said.",
    );
    for (outcome, count) in &stats.crawlers {
        looked_up.count([("outcome", outcome)], *count);
    }
    let bad_file = Metric::gauge(
        "secbeat_orchestrator_geo_file_unusable",
        "1 while a file of [geo] cannot be used; the last good one stays in use.",
    );
    for file in &stats.geo {
        bad_file.holds([("file", &file.key)], file.error.is_some());
    }
    let refused = Metric::counter(
        "secbeat_orchestrator_refused_commands_total",
        "Rejected commands, by reason.",
    );
    for (reason, count) in &stats.refused_commands {
        refused.count([("reason", reason)], *count);
    }
}

fn bus_servers(servers: &[BusServerView]) {
    let reached = Metric::gauge(
        "secbeat_orchestrator_bus_server_reached",
        "1 while the others hear of a server of the NATS cluster.",
    );
    let behind = Metric::gauge(
        "secbeat_orchestrator_bus_server_behind",
        "Writes that the copies of a server of the NATS cluster lack.",
    );
    for server in servers {
        let name = server.name.as_str();
        reached.holds([("server", name)], server.reached);
        behind.is([("server", name)], server.behind.values().sum::<u64>() as f64);
    }
}

fn feeds(feeds: &[FeedView]) {
    let networks = Metric::gauge(
        "secbeat_orchestrator_feed_networks",
        "Networks that edges have of a feed.",
    );
    let fresh = Metric::gauge(
        "secbeat_orchestrator_feed_fresh_timestamp_seconds",
        "When the source of a feed last had what was taken, in Unix time.",
    );
    let state = Metric::gauge(
        "secbeat_orchestrator_feed_state",
        "1 for the state of a feed: waiting, fresh, failing, refused or ended.",
    );
    let edges = Metric::gauge(
        "secbeat_orchestrator_feed_edges_without",
        "Edges that do not have the list of a feed in force.",
    );
    let packets = Metric::counter(
        "secbeat_orchestrator_feed_packets_total",
        "Packets from the networks of a feed, over the edges that are up.",
    );
    for feed in feeds {
        let name = feed.name.as_str();
        networks.is([("feed", name)], feed.networks as f64);
        if let Some(at_ms) = feed.fresh_at_ms {
            fresh.is([("feed", name)], at_ms as f64 / 1000.0);
        }
        for one in [
            FeedState::Waiting,
            FeedState::Fresh,
            FeedState::Failing,
            FeedState::Refused,
            FeedState::Ended,
        ] {
            state.holds([("feed", name), ("state", one.name())], feed.state == one);
        }
        edges.is([("feed", name)], feed.other_edges as f64);
        packets.count([("feed", name)], feed.packets);
    }
}

fn signatures(stats: &SignatureStats) {
    Metric::gauge(
        "secbeat_orchestrator_signatures_published",
        "Signatures that the fleet published.",
    )
    .is([], stats.published as f64);
    Metric::gauge(
        "secbeat_orchestrator_signatures_disabled",
        "Signatures that are disabled on all edges.",
    )
    .is([], stats.disabled as f64);
    Metric::gauge(
        "secbeat_orchestrator_edges_with_other_signatures",
        "Edges that do not have the fleet's signatures of now.",
    )
    .is([], stats.differing_edges as f64);
    let lifted = Metric::counter(
        "secbeat_orchestrator_signature_lifted_total",
        "Lifted bans by a signature among their evidence; of the 32 signatures with the most.",
    );
    for (id, count) in &stats.lifted {
        lifted.count([("signature", id)], *count);
    }
}

fn detection(stats: &Stats) {
    for (name, means, value) in [
        (
            "secbeat_orchestrator_batches_total",
            "Batches of telemetry taken in.",
            stats.batches,
        ),
        (
            "secbeat_orchestrator_events_total",
            "Answers that edges reported one by one.",
            stats.events,
        ),
        (
            "secbeat_orchestrator_waf_events_total",
            "Requests to which web application firewalls objected.",
            stats.waf_events,
        ),
        (
            "secbeat_orchestrator_service_events_total",
            "Attempts that logs of services told of.",
            stats.service_events,
        ),
        (
            "secbeat_orchestrator_possible_successes_total",
            "Requests that a signature recognised and that were answered as if they had succeeded.",
            stats.possible_successes,
        ),
        (
            "secbeat_orchestrator_evicted_sources_total",
            "Sources forgotten because of detect.max_sources.",
            stats.evicted_sources,
        ),
        (
            "secbeat_orchestrator_braked_total",
            "Findings that a safety limit kept from a ban.",
            stats.braked,
        ),
    ] {
        Metric::counter(name, means).count([], value);
    }
    Metric::gauge(
        "secbeat_orchestrator_tracked_sources",
        "Sources that the detector watches.",
    )
    .is([], stats.tracked_sources as f64);
    let findings = Metric::counter(
        "secbeat_orchestrator_findings_total",
        "Findings, and what became of them.",
    );
    for (rule, outcomes) in &stats.rules {
        for (outcome, count) in [
            ("banned", outcomes.banned),
            ("observed", outcomes.observed),
            ("already_banned", outcomes.already_banned),
            ("suppressed", outcomes.suppressed),
        ] {
            findings.count([("rule", rule), ("outcome", outcome)], count);
        }
    }
    let held_back = Metric::gauge(
        "secbeat_orchestrator_held_back",
        "Findings that a safety limit holds back.",
    );
    for name in ["rate", "share", "edge", "network", "networks"] {
        let held = stats.held_back_by.get(name).copied().unwrap_or_default();
        held_back.is([("brake", name)], held as f64);
    }
    let brake = Metric::gauge(
        "secbeat_orchestrator_brake",
        "1 for the safety limit that holds right now.",
    );
    for name in ["rate", "share"] {
        brake.holds([("brake", name)], stats.brake.as_deref() == Some(name));
    }
}

fn ledger(stats: &Stats) {
    Metric::gauge("secbeat_orchestrator_bans", "Bans in force.").is([], stats.active_bans as f64);
    Metric::gauge(
        "secbeat_orchestrator_unwritten_bans",
        "Bans and unbans that NATS has not acknowledged yet.",
    )
    .is([], stats.unwritten as f64);
    Metric::gauge(
        "secbeat_orchestrator_ledger_behind",
        "1 while the ledger lacks bans that NATS has.",
    )
    .holds([], stats.behind_since.is_some());
    Metric::counter(
        "secbeat_orchestrator_audit_lost_total",
        "Audit records that NATS did not take.",
    )
    .count([], stats.audit_lost);
}

fn audit(parts: &[AuditView]) {
    let bytes = Metric::gauge("secbeat_orchestrator_audit_bytes", "Bytes of audit records.");
    let max_bytes = Metric::gauge(
        "secbeat_orchestrator_audit_max_bytes",
        "Bytes of audit records that are kept at most.",
    );
    let oldest = Metric::gauge(
        "secbeat_orchestrator_audit_oldest_seconds",
        "When the oldest audit record was made, in Unix time.",
    );
    let short = Metric::gauge(
        "secbeat_orchestrator_audit_short",
        "1 while audit records go before their time, for want of room.",
    );
    for part in parts {
        let name = part.part.as_str();
        bytes.is([("part", name)], part.bytes as f64);
        max_bytes.is([("part", name)], part.max_bytes as f64);
        if let Some(at_ms) = part.oldest_ms {
            oldest.is([("part", name)], at_ms as f64 / 1000.0);
        }
        short.holds([("part", name)], part.short);
    }
}

fn fleet(stats: &Stats) {
    let up = Metric::gauge(
        "secbeat_orchestrator_edge_up",
        "1 for an edge that is up, else 0.",
    );
    let drifting = Metric::gauge(
        "secbeat_orchestrator_edge_drifting",
        "1 for an edge that has held other bans than the ledger for longer than edges.drift_grace.",
    );
    let off = Metric::gauge(
        "secbeat_orchestrator_edge_clock_offset_seconds",
        "How far an edge's clock is ahead of the NATS server's, as it last said; missing before its first measure.",
    );
    for Standing {
        edge_id,
        state,
        drifting_since,
        clock,
        ..
    } in &stats.fleet
    {
        if let Some(clock) = clock {
            off.is([("edge", edge_id)], clock.seconds());
        }
        up.holds([("edge", edge_id)], *state == StateView::Up);
        drifting.holds([("edge", edge_id)], drifting_since.is_some());
    }
}

fn telemetry(edges: &[EdgeView]) {
    let requests = Metric::counter(
        "secbeat_orchestrator_edge_requests_total",
        "Requests that an edge counted.",
    );
    let lost = Metric::counter(
        "secbeat_orchestrator_edge_answers_lost_total",
        "Answers that an edge says it could not report.",
    );
    let ignored = Metric::counter(
        "secbeat_orchestrator_edge_requests_ignored_total",
        "Requests that did not count.",
    );
    let missing = Metric::gauge(
        "secbeat_orchestrator_edge_missing_batches",
        "Batches that never came, by the gaps in their sequences.",
    );
    for edge in edges {
        let id = edge.edge_id.as_str();
        requests.count([("edge", id)], edge.requests);
        lost.count([("edge", id)], edge.lost);
        ignored.count([("edge", id), ("reason", "too_old")], edge.too_old);
        ignored.count([("edge", id), ("reason", "too_wide")], edge.too_wide);
        missing.is([("edge", id)], edge.missing_batches as f64);
    }
}

fn audit_copies(copies: &[AuditCopyView]) {
    let records = Metric::counter(
        "secbeat_orchestrator_audit_copied_total",
        "Audit records that were written to a copy, attempts that failed, and records that NATS dropped before.",
    );
    let failing = Metric::gauge(
        "secbeat_orchestrator_audit_copy_failing",
        "1 while the last attempt to write a copy of the audit failed.",
    );
    let behind = Metric::gauge(
        "secbeat_orchestrator_audit_copy_behind",
        "Audit records that wait in NATS for a copy.",
    );
    for copy in copies {
        let name = copy.name.as_str();
        for (outcome, count) in [
            ("written", copy.written),
            ("failed", copy.failed),
            ("lost", copy.lost),
        ] {
            records.count([("copy", name), ("outcome", outcome)], count);
        }
        failing.holds([("copy", name)], copy.failing.is_some());
        behind.is([("copy", name)], copy.behind as f64);
    }
}

fn notifications(receivers: &[NotifyView]) {
    let messages = Metric::counter(
        "secbeat_orchestrator_notifications_total",
        "Notifications by receiver and outcome: delivered, attempts that failed, and given up.",
    );
    let failing = Metric::gauge(
        "secbeat_orchestrator_notify_failing",
        "1 while the last attempt to tell a receiver failed.",
    );
    let missed = Metric::counter(
        "secbeat_orchestrator_notices_missed_total",
        "Bans and troubles that a receiver was not told of, since they came too fast.",
    );
    for receiver in receivers {
        let (name, kind) = (receiver.name.as_str(), receiver.kind.as_str());
        for (outcome, count) in [
            ("delivered", receiver.sent),
            ("failed", receiver.failed),
            ("given_up", receiver.given_up),
        ] {
            messages.count([("receiver", name), ("kind", kind), ("outcome", outcome)], count);
        }
        failing.holds([("receiver", name), ("kind", kind)], receiver.failing.is_some());
        missed.count([("receiver", name), ("kind", kind)], receiver.missed);
    }
}

fn enforcement(propagation: &PropagationView) {
    let seconds = Metric::seconds(
        "secbeat_orchestrator_enforcement_seconds",
        "From the decision of a ban until an edge's kernel has it, by percentile since the start.",
    );
    let answers = Metric::counter(
        "secbeat_orchestrator_acknowledgements_total",
        "What an edge made of bans.",
    );
    for edge in &propagation.edges {
        let id = edge.edge_id.as_str();
        for (percentile, ms) in [
            ("50", edge.p50_ms),
            ("95", edge.p95_ms),
            ("99", edge.p99_ms),
            ("100", edge.max_ms),
        ] {
            seconds.is([("edge", id), ("percentile", percentile)], ms as f64 / 1000.0);
        }
        for (outcome, count) in [
            ("enforced", edge.count),
            ("refused", edge.refused),
            ("failed", edge.failed),
        ] {
            answers.count([("edge", id), ("outcome", outcome)], count);
        }
    }
}
