//! `GET /metrics`: the [`StatsView`] that the API shows, for Prometheus.

mod detection;
mod lists;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use secbeat_daemon::{
    cli::printable,
    metrics::{Metric, scrape},
};
use secbeat_edge_core::FilterMode;

use crate::view::{AccessLogView, ProxyView, SpoolView, StatsView};

/// The text of one scrape.
pub(super) fn render(stats: &StatsView) -> String {
    scrape(|| {
        Metric::heap("secbeat_edge_heap_bytes");
        kernel(stats);
        lists::render(stats);
        bans(stats);
        proxy(&stats.proxy);
        reconciliation(stats);
        telemetry(stats);
        detection::render(&stats.detection);
        stats.access_logs.iter().for_each(access_log);
        signatures(stats);
        waf(stats);
        Metric::gauge(
            "secbeat_edge_config_refused",
            "1 while the config that was read last is refused, and the one before is in use.",
        )
        .holds([], stats.refused_config.is_some());
        describe_gauge!(
            "secbeat_edge_unwatched_services",
            "Services of this host whose logs are not read."
        );
        gauge!("secbeat_edge_unwatched_services").set(stats.unwatched.len() as f64);
    })
}

fn kernel(stats: &StatsView) {
    describe_counter!(
        "secbeat_edge_packets_total",
        "Packets by the XDP program's verdict."
    );
    for (verdict, packets) in &stats.packets.verdicts {
        counter!("secbeat_edge_packets_total", "verdict" => verdict.clone()).absolute(*packets);
    }
    describe_counter!(
        "secbeat_edge_dropped_bytes_total",
        "Bytes of the packets that were dropped."
    );
    counter!("secbeat_edge_dropped_bytes_total").absolute(stats.packets.dropped_bytes);
    describe_gauge!(
        "secbeat_edge_xdp_attached",
        "1 for each configured interface on which the program runs (mode `native`, `tc` or `generic`); 0, with mode `none`, where bans are not enforced."
    );
    for attachment in &stats.xdp {
        let (interface, mode) = (
            printable(&attachment.interface).into_owned(),
            attachment.mode.clone(),
        );
        gauge!("secbeat_edge_xdp_attached", "interface" => interface, "mode" => mode)
            .set(u8::from(attachment.protected));
    }
    describe_gauge!(
        "secbeat_edge_interface_observing",
        "1 for each configured interface on which bans are only observed, while others enforce them; else 0."
    );
    for attachment in &stats.xdp {
        let interface = printable(&attachment.interface).into_owned();
        gauge!("secbeat_edge_interface_observing", "interface" => interface)
            .set(u8::from(attachment.observes));
    }
    describe_gauge!(
        "secbeat_edge_observing",
        "1 while bans are only observed, 0 while they are enforced."
    );
    gauge!("secbeat_edge_observing").set(u8::from(stats.enforcer.mode == FilterMode::Observe));
    describe_counter!(
        "secbeat_edge_drop_events_total",
        "Sampled drops by the reason of the ban."
    );
    for (reason, events) in &stats.enforcer.events.by_reason {
        counter!("secbeat_edge_drop_events_total", "reason" => reason.clone()).absolute(*events);
    }
    describe_counter!(
        "secbeat_edge_drop_events_lost_total",
        "Sampled drops that found the ring buffer full."
    );
    counter!("secbeat_edge_drop_events_lost_total").absolute(stats.packets.lost_events);
}

fn bans(stats: &StatsView) {
    describe_gauge!("secbeat_edge_bans", "Bans in force on this edge.");
    gauge!("secbeat_edge_bans").set(stats.enforcer.blocked_ips as f64);
    describe_counter!(
        "secbeat_edge_refused_commands_total",
        "Commands that were rejected, by reason."
    );
    for (reason, count) in &stats.enforcer.refused_commands {
        counter!("secbeat_edge_refused_commands_total", "reason" => reason.clone()).absolute(*count);
    }
    describe_gauge!("secbeat_edge_protected_networks", "Allowlisted networks.");
    gauge!("secbeat_edge_protected_networks").set(stats.enforcer.protected_networks as f64);
    describe_gauge!(
        "secbeat_edge_allowlist_unwritten",
        "1 while the kernel does not have the whole allowlist, so that it may drop packets of clients on it; else 0."
    );
    gauge!("secbeat_edge_allowlist_unwritten").set(u8::from(stats.enforcer.allowlist_failed.is_some()));
    describe_counter!(
        "secbeat_edge_l7_denied_total",
        "Requests that the proxy refused with 403."
    );
    counter!("secbeat_edge_l7_denied_total").absolute(stats.l7_denied);
    describe_counter!(
        "secbeat_edge_l7_observed_total",
        "Requests that the proxy would have refused, in observe mode."
    );
    counter!("secbeat_edge_l7_observed_total").absolute(stats.l7_observed);
    describe_counter!(
        "secbeat_edge_unattributed_total",
        "Requests of trusted proxies without a usable client address, by reason. They count for no client."
    );
    for (why, requests) in &stats.unattributed {
        counter!("secbeat_edge_unattributed_total", "why" => why.clone()).absolute(*requests);
    }
    describe_counter!(
        "secbeat_edge_proxy_protocol_refused_total",
        "Connections closed for the want of a PROXY header of a trusted proxy."
    );
    counter!("secbeat_edge_proxy_protocol_refused_total").absolute(stats.proxy_protocol_refused);
    describe_counter!(
        "secbeat_edge_authz_total",
        "Responses of /authz; unattributed ones allow, because no client was named."
    );
    for (answer, count) in [
        ("allowed", stats.authz.allowed),
        ("denied", stats.authz.denied),
        ("unattributed", stats.authz.unattributed),
    ] {
        counter!("secbeat_edge_authz_total", "answer" => answer).absolute(count);
    }
}

fn proxy(proxy: &ProxyView) {
    for (name, value, about) in [
        (
            "secbeat_edge_proxy_connections_total",
            proxy.connections,
            "Connections that the proxy accepted.",
        ),
        (
            "secbeat_edge_proxy_upstream_failures_total",
            proxy.upstream_failures,
            "Requests that the proxy answered 502 or 504 for the want of an upstream's answer.",
        ),
        (
            "secbeat_edge_proxy_retries_total",
            proxy.retries,
            "Requests that the proxy sent a second time.",
        ),
        (
            "secbeat_edge_proxy_over_limit_total",
            proxy.over_limit,
            "Connections closed because their source had too many, or gave up too many requests.",
        ),
        (
            "secbeat_edge_proxy_access_log_dropped_total",
            proxy.access_log_dropped,
            "Answers missing from the proxy's access log, which could not keep up.",
        ),
    ] {
        describe_counter!(name, about);
        counter!(name).absolute(value);
    }
    describe_gauge!(
        "secbeat_edge_proxy_server_up",
        "1 for each server of an upstream that gets requests, 0 for one that is passed over."
    );
    for server in &proxy.servers {
        let (upstream, url) = (server.upstream.clone(), server.url.clone());
        gauge!("secbeat_edge_proxy_server_up", "upstream" => upstream, "server" => url)
            .set(u8::from(server.up));
    }
    certificates(proxy);
}

fn certificates(proxy: &ProxyView) {
    if proxy.certificates.is_empty() {
        return;
    }
    describe_gauge!(
        "secbeat_edge_proxy_certificate_expiry_timestamp_seconds",
        "When a certificate that the proxy gets itself ends; 0 where there is none yet."
    );
    describe_gauge!(
        "secbeat_edge_proxy_certificate_failures",
        "Attempts to get a certificate that have failed since one succeeded."
    );
    for certificate in &proxy.certificates {
        let name = || certificate.name.clone();
        let until = certificate.valid_until_ms.unwrap_or_default() as f64 / 1000.0;
        gauge!("secbeat_edge_proxy_certificate_expiry_timestamp_seconds", "name" => name()).set(until);
        gauge!("secbeat_edge_proxy_certificate_failures", "name" => name())
            .set(f64::from(certificate.failures));
    }
    describe_counter!(
        "secbeat_edge_proxy_certificate_orders_total",
        "Orders of certificates, by outcome."
    );
    for (outcome, orders) in [
        ("obtained", proxy.orders.obtained),
        ("failed", proxy.orders.failed),
    ] {
        counter!("secbeat_edge_proxy_certificate_orders_total", "outcome" => outcome).absolute(orders);
    }
}

fn reconciliation(stats: &StatsView) {
    let reconcile = &stats.enforcer.reconcile;
    describe_counter!(
        "secbeat_edge_reconciliations_total",
        "Comparisons of the kernel's bans with the desired ones."
    );
    for (outcome, count) in [("completed", reconcile.completed), ("failed", reconcile.failed)] {
        counter!("secbeat_edge_reconciliations_total", "outcome" => outcome).absolute(count);
    }
    describe_gauge!(
        "secbeat_edge_reconcile_seconds",
        "How long the last reconciliation took."
    );
    gauge!("secbeat_edge_reconcile_seconds").set(reconcile.took_ms as f64 / 1000.0);
    describe_gauge!(
        "secbeat_edge_drift",
        "Bans that the last reconciliation found wrong, and repaired."
    );
    for (kind, bans) in [
        ("missing", reconcile.missing),
        ("differing", reconcile.differing),
        ("foreign", reconcile.foreign),
        ("ended", reconcile.ended),
    ] {
        gauge!("secbeat_edge_drift", "kind" => kind).set(bans as f64);
    }
    describe_counter!(
        "secbeat_edge_evictions_total",
        "Bans that the kernel lost before their end."
    );
    counter!("secbeat_edge_evictions_total").absolute(reconcile.evicted);
    describe_gauge!(
        "secbeat_edge_map_entries",
        "Entries of a ban map at the last reconciliation."
    );
    describe_gauge!("secbeat_edge_map_slots", "Slots of a ban map.");
    for map in &reconcile.maps {
        gauge!("secbeat_edge_map_entries", "map" => map.name.clone()).set(map.entries as f64);
        gauge!("secbeat_edge_map_slots", "map" => map.name.clone()).set(f64::from(map.slots));
    }
}

fn telemetry(stats: &StatsView) {
    describe_gauge!("secbeat_edge_bus_connected", "1 while NATS is connected.");
    gauge!("secbeat_edge_bus_connected").set(u8::from(stats.bus_connected));
    describe_gauge!(
        "secbeat_edge_clock_offset_seconds",
        "How far the host's clock is ahead of the NATS server's; missing before the first measure."
    );
    if let Some(clock) = stats.clock {
        gauge!("secbeat_edge_clock_offset_seconds").set(clock.seconds());
    }
    describe_gauge!(
        "secbeat_edge_bus_certificate_expiry_timestamp_seconds",
        "When a certificate of NATS ends, in Unix time."
    );
    for certificate in &stats.bus_certificates {
        let name = certificate.name.clone();
        gauge!("secbeat_edge_bus_certificate_expiry_timestamp_seconds", "certificate" => name)
            .set(certificate.expires_at_seconds as f64);
    }
    describe_counter!(
        "secbeat_edge_answers_total",
        "Responses recorded, or lost before NATS had them."
    );
    for (fate, answers) in [
        ("recorded", stats.telemetry.recorded),
        ("dropped", stats.telemetry.dropped),
    ] {
        counter!("secbeat_edge_answers_total", "fate" => fate).absolute(answers);
    }
    describe_counter!(
        "secbeat_edge_answers_lost_total",
        "Responses that were lost, by reason."
    );
    for (reason, answers) in &stats.telemetry.lost {
        counter!("secbeat_edge_answers_lost_total", "reason" => reason.clone()).absolute(*answers);
    }
    describe_counter!(
        "secbeat_edge_batches_late_total",
        "Batches of telemetry that waited in the spool before they were sent to NATS."
    );
    counter!("secbeat_edge_batches_late_total").absolute(stats.telemetry.batches_late);
    spool(&stats.telemetry.spool);
    describe_counter!(
        "secbeat_edge_batches_sent_total",
        "Batches of telemetry sent to NATS."
    );
    counter!("secbeat_edge_batches_sent_total").absolute(stats.telemetry.batches_sent);
    describe_counter!(
        "secbeat_edge_messages_lost_total",
        "Messages other than telemetry lost on their way to NATS."
    );
    counter!("secbeat_edge_messages_lost_total").absolute(stats.telemetry.messages_lost);
    describe_counter!("secbeat_edge_garbage_total", "Invalid messages from NATS.");
    counter!("secbeat_edge_garbage_total").absolute(stats.garbage);
    describe_counter!(
        "secbeat_edge_skipped_parts_total",
        "Parts of messages that only a later release knows."
    );
    counter!("secbeat_edge_skipped_parts_total").absolute(stats.skipped_parts);
}

fn signatures(stats: &StatsView) {
    Metric::gauge("secbeat_edge_signatures", "Signatures that are looked for.")
        .is([], stats.signatures.count as f64);
    Metric::gauge(
        "secbeat_edge_signature_problems",
        "Files and signatures that are wrong, and are left out.",
    )
    .is([], stats.signatures.problems as f64);
}

fn waf(stats: &StatsView) {
    describe_counter!(
        "secbeat_edge_waf_events_total",
        "Transactions in which a web application firewall's rules matched, recorded, or dropped on their way to NATS."
    );
    for (fate, events) in [("recorded", stats.waf.recorded), ("dropped", stats.waf.dropped)] {
        counter!("secbeat_edge_waf_events_total", "fate" => fate).absolute(events);
    }
    describe_counter!(
        "secbeat_edge_service_events_total",
        "Attempts that logs of services told of, recorded, or dropped on their way to NATS."
    );
    for (fate, events) in [
        ("recorded", stats.services.recorded),
        ("dropped", stats.services.dropped),
    ] {
        counter!("secbeat_edge_service_events_total", "fate" => fate).absolute(events);
    }
}

fn access_log(log: &AccessLogView) {
    let name = || log.name.clone();
    describe_counter!("secbeat_edge_log_lines_total", "Lines of a log, by fate.");
    for (fate, lines) in [
        (
            "reported",
            log.parsed
                .saturating_sub(log.too_old + log.unattributed + log.ambiguous),
        ),
        ("too_old", log.too_old),
        ("unattributed", log.unattributed),
        ("ambiguous", log.ambiguous),
        ("unparsed", log.unparsed),
        ("unreadable", log.unreadable),
        ("too_long", log.too_long),
    ] {
        counter!("secbeat_edge_log_lines_total", "log" => name(), "fate" => fate).absolute(lines);
    }
    describe_counter!(
        "secbeat_edge_log_rotations_total",
        "How often a file was replaced or truncated, or the journal opened again."
    );
    for (kind, times) in [
        ("renamed", log.rotations),
        ("truncated", log.truncations),
        ("restarted", log.restarts),
    ] {
        counter!("secbeat_edge_log_rotations_total", "log" => name(), "kind" => kind).absolute(times);
    }
    describe_gauge!("secbeat_edge_log_files", "Files of an access log that are open.");
    gauge!("secbeat_edge_log_files", "log" => name()).set(log.files as f64);
    describe_gauge!(
        "secbeat_edge_log_behind_bytes",
        "Bytes of a log that are not yet read."
    );
    gauge!("secbeat_edge_log_behind_bytes", "log" => name()).set(log.bytes_behind as f64);
    describe_gauge!("secbeat_edge_log_readable", "0 while a log cannot be read.");
    gauge!("secbeat_edge_log_readable", "log" => name()).set(u8::from(log.error.is_none()));
    if let Some(share) = log.recent_unparsed_share {
        describe_gauge!(
            "secbeat_edge_log_recent_unparsed_ratio",
            "Share of the last 100 lines of a log that was not understood."
        );
        gauge!("secbeat_edge_log_recent_unparsed_ratio", "log" => name()).set(share);
    }
    if let Some(median) = log.median_delay_ms {
        describe_gauge!(
            "secbeat_edge_log_median_delay_seconds",
            "Median age of the last 20 lines when they were written, by their own times; negative if those are in the future."
        );
        gauge!("secbeat_edge_log_median_delay_seconds", "log" => name()).set(median as f64 / 1000.0);
    }
    if let (Some(delay), Some(silent)) = (log.delay_ms, log.silent_ms) {
        describe_gauge!(
            "secbeat_edge_log_delay_seconds",
            "How old the last line was when it was read, by its own time."
        );
        gauge!("secbeat_edge_log_delay_seconds", "log" => name()).set(delay as f64 / 1000.0);
        describe_gauge!(
            "secbeat_edge_log_silent_seconds",
            "Time since the last line of a log."
        );
        gauge!("secbeat_edge_log_silent_seconds", "log" => name()).set(silent as f64 / 1000.0);
    }
}

fn spool(spool: &SpoolView) {
    describe_gauge!(
        "secbeat_edge_spool_batches",
        "Batches that wait on disk for NATS."
    );
    gauge!("secbeat_edge_spool_batches").set(spool.batches as f64);
    describe_gauge!("secbeat_edge_spool_bytes", "Bytes that wait on disk for NATS.");
    gauge!("secbeat_edge_spool_bytes").set(spool.bytes as f64);
    describe_gauge!(
        "secbeat_edge_spool_failing",
        "1 while the spool's folder cannot be used."
    );
    gauge!("secbeat_edge_spool_failing").set(u8::from(spool.failing));
    describe_counter!(
        "secbeat_edge_spool_torn_total",
        "Segments of the spool that ended in the middle of a record."
    );
    counter!("secbeat_edge_spool_torn_total").absolute(spool.torn);
}
