//! Present alerts.

use secbeat_bus::broker::broker;
use secbeat_common::wire::Presence;
use secbeat_daemon::program;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ApiStats, FeedState, FeedView, FleetEdge, SignatureAgreement, StateView};

/// Something that an operator should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// In a word, for programs.
    pub alert: String,
    /// The daemon, bucket, stream, server, feed or file that it is about.
    pub about: String,
    /// RFC 3339, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The problem, in a sentence.
    pub what: String,
}

/// Returns what is wrong with this orchestrator and with the `edges`, the worst first.
#[must_use]
pub fn alerts(stats: &ApiStats, edges: &[FleetEdge]) -> Vec<Alert> {
    let here = |alert: &str, what| Alert {
        alert: alert.to_owned(),
        about: stats.leases.instance.clone(),
        since: None,
        what,
    };
    let mut alerts = Vec::new();
    if let Some(why) = &stats.not_ready {
        alerts.push(here("not-ready", format!("no ban can be made now: {why}")));
    }
    if let Some(brake) = &stats.engine.brake {
        let what = format!("a safety limit is reached ({brake}): automatic bans are suppressed");
        alerts.push(here("safety-limit", what));
    }
    if stats.engine.held_back > 0 {
        let (held, limits) = (stats.engine.held_back, stats.engine.limits());
        let what =
            format!("{held} clients wait for a safety limit{limits}, and are banned as soon as it allows");
        alerts.push(here("held-back", what));
    }
    if let Some(refused) = &stats.refused_config {
        alerts.push(Alert {
            since: Some(refused.since.clone()),
            ..here("config-refused", of_config(&refused.why))
        });
    }
    alerts.extend(of_bus(stats));
    for feed in &stats.feeds {
        let Some((alert, what)) = of_feed(feed) else {
            continue;
        };
        alerts.push(Alert {
            alert: alert.to_owned(),
            about: feed.name.clone(),
            since: feed.trouble.as_ref().map(|trouble| trouble.since.clone()),
            what,
        });
    }
    if let Some(clock) = stats.clock.filter(|clock| clock.is_wrong()) {
        let what = format!("its clock is wrong: {clock}; set it right (NTP)");
        alerts.push(here("clock-off", what));
    }
    if edges.is_empty() {
        let what = "no edge has sent a heartbeat: bans reach no kernel".to_owned();
        alerts.push(here("no-edges", what));
    }
    // On one host, both parts read one file.
    let refused = stats.refused_config.as_ref().filter(|_| program::is_one_host());
    let told = refused.map(|refused| refused.why.as_str());
    alerts.extend(edges.iter().flat_map(|edge| of_edge(edge, told)));
    alerts
}

/// Returns what is wrong with NATS, with what is kept on it, and with what leaves it.
fn of_bus(stats: &ApiStats) -> Vec<Alert> {
    let mut alerts = Vec::new();
    let mut alert = |alert: &str, about: &str, what: String| {
        alerts.push(Alert {
            alert: alert.to_owned(),
            about: about.to_owned(),
            since: None,
            what,
        });
    };
    let not_ready = stats.not_ready.as_deref().unwrap_or_default();
    // What keeps bans from being made was told with that.
    let troubles = stats.bus_troubles.iter();
    for trouble in troubles.filter(|trouble| !not_ready.contains(&trouble.text)) {
        alert(
            &format!("bus-{}", trouble.kind),
            &trouble.of,
            trouble.text.clone(),
        );
    }
    for part in stats.audit.iter().filter(|part| part.short) {
        let what = format!(
            "records of {} go back only to {}: raise max_bytes of the stream",
            part.part,
            part.oldest.as_deref().unwrap_or("now")
        );
        alert("audit-short", &part.stream, what);
    }
    for certificate in stats.bus_certificates.iter().filter(|it| it.soon) {
        let what = format!(
            "this certificate of {} expires at {}",
            broker(),
            certificate.expires_at
        );
        alert("certificate-expires", &certificate.name, what);
    }
    for other in &stats.leases.differing {
        let keys = other.keys.join(", ");
        let what = format!("its config differs from this one's in {keys}: give all orchestrators the same");
        alert("config-differs", &other.orchestrator, what);
    }
    for copy in &stats.audit_copies {
        if let Some(why) = &copy.failing {
            let what = format!("the audit is not copied to {}: {why}", copy.place);
            alert("audit-not-copied", &copy.name, what);
        }
    }
    for receiver in &stats.notify {
        if let Some(why) = &receiver.failing {
            let what = format!("it does not accept notifications: {why}");
            alert("notifications-fail", &receiver.name, what);
        }
    }
    alerts
}

/// Attempts after which a source that cannot be read is told of: servers have bad minutes.
const BAD_MINUTES: u32 = 3;

/// Milliseconds after its start by which an edge that can read the fleet's bans has read them and said so.
const READING_MS: u64 = 15_000;

fn of_config(why: &str) -> String {
    format!("the config was read again and refused; the one before is in use: {why}")
}

fn of_feed(feed: &FeedView) -> Option<(&'static str, String)> {
    let why = feed.trouble.as_ref().map_or("", |trouble| trouble.why.as_str());
    let attempts = feed.trouble.as_ref().map_or(0, |trouble| trouble.attempts);
    match feed.state {
        FeedState::Ended => Some(("feed-ended", format!("its last list has expired: {why}"))),
        FeedState::Refused => Some((
            "feed-refused",
            format!("the list at its source is refused: {why}"),
        )),
        FeedState::Failing if attempts >= BAD_MINUTES => {
            Some(("feed-stale", format!("its source cannot be read: {why}")))
        }
        FeedState::Failing | FeedState::Fresh | FeedState::Waiting => None,
    }
}

/// Returns what is wrong with `edge`, but for a config that is refused for the reason `told`.
fn of_edge(edge: &FleetEdge, told: Option<&str>) -> Vec<Alert> {
    let standing = &edge.standing;
    let alert = |alert: &str, since: Option<&String>, what: String| Alert {
        alert: alert.to_owned(),
        about: standing.edge_id.clone(),
        since: since.cloned(),
        what,
    };
    match standing.state {
        StateView::Up => {}
        StateView::Stopped => {
            let what = "it was stopped: its kernel keeps its bans, and receives no new ones".to_owned();
            return vec![alert("edge-stopped", Some(&standing.since), what)];
        }
        StateView::Down => {
            let what =
                "it sends no heartbeat: its kernel keeps its bans, and may receive no new ones".to_owned();
            return vec![alert("edge-down", Some(&standing.since), what)];
        }
    }
    let mut alerts = Vec::new();
    let Presence {
        interfaces,
        bans,
        feeds,
        logs,
        refused_config,
        started_at_ms,
        at_ms,
        ..
    } = &edge.record;
    let is_told = |why: &&String| told.is_some_and(|told| told.starts_with(why.as_str()));
    if let Some(why) = refused_config.as_ref().filter(|why| !is_told(why)) {
        alerts.push(alert("config-refused", None, of_config(why)));
    }
    for log in logs {
        if let Some(trouble) = &log.trouble {
            let what = format!("log {}: {trouble}", log.name);
            alerts.push(alert("log-not-read", None, what));
        }
    }
    for feed in feeds {
        if let Some(trouble) = &feed.trouble {
            let what = format!("feed {} is not in force: {trouble}", feed.name);
            alerts.push(alert("feed-not-in-force", None, what));
        }
    }
    for interface in interfaces {
        if let Some(why) = &interface.unprotected {
            let what = format!("{} is not protected: {why}", interface.name);
            alerts.push(alert("not-protected", None, what));
        }
    }
    if !edge.cannot_read.is_empty() {
        let kinds = edge.cannot_read.join(", ");
        let what = format!("its release cannot read these messages of this one: {kinds}");
        alerts.push(alert("cannot-read", None, what));
    }
    if let Some(since) = &standing.drifting_since {
        let what = "it has other bans than the ledger".to_owned();
        alerts.push(alert("drift", Some(since), what));
    }
    if let Some(clock) = standing.clock.filter(|clock| clock.is_wrong()) {
        let what = format!("its clock is wrong: {clock}; set it right (NTP)");
        alerts.push(alert("clock-off", None, what));
    }
    if edge.signatures == SignatureAgreement::Differs {
        let what = "it does not have the fleet's signatures of now".to_owned();
        alerts.push(alert("other-signatures", None, what));
    }
    if bans.unwritten > 0 {
        let what = format!("its kernel does not take {} bans", bans.unwritten);
        alerts.push(alert("not-in-kernel", None, what));
    }
    if !bans.synced && at_ms.abs_diff(*started_at_ms) >= READING_MS {
        let what = "it has not read all of the fleet's bans yet".to_owned();
        alerts.push(alert("not-synced", None, what));
    }
    alerts
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::{ClockOffset, FollowedLog};
    use serde_json::{Value, json};

    use secbeat_daemon::reload::RefusedConfigView;

    use super::*;
    use crate::view::FeedTroubleView;

    fn stats(not_ready: Option<&str>, brake: Option<&str>) -> ApiStats {
        let stats = json!({
            "active_bans": 0, "tracked_sources": 0, "evicted_sources": 0, "batches": 0, "events": 0,
            "findings": 0, "suppressed": 0, "braked": 0, "brake": brake, "restored": true, "unwritten": 0,
            "audit_lost": 0, "edges": [], "bus_connected": true, "not_ready": not_ready, "garbage": 0,
            "leases": { "instance": "a-1", "members": [], "partitions": [] }
        });
        serde_json::from_value(stats).unwrap()
    }

    fn edge(state: &str, drifting_since: Option<&str>, interfaces: &Value) -> FleetEdge {
        let edge = json!({
            "edge_id": "web-1", "state": state, "since": "2026-11-20T10:00:00.000Z", "drifting_since": drifting_since,
            "agreement": { "verdict": "agrees" }, "clock_ahead_ms": 0, "telemetry": null,
            "record": {
                "edge_id": "web-1", "boot_id": "01920000-0000-7000-8000-000000000001", "version": "0.1.0",
                "started_at_ms": 1, "at_ms": 2, "enforcement": "kernel", "observe_only": false, "interfaces": interfaces,
                "bans": {
                    "active": 0, "set_aside": 0, "unwritten": 0, "synced": true,
                    "fleet": { "issued_before_ms": 0, "ending_from_ms": 0, "bans": 0, "digest": "" }
                },
                "allowlist": 0, "drops": { "packets": 0, "bytes": 0 }, "telemetry_lost": 0,
                "spool": { "batches": 0, "bytes": 0 }, "bus_revision": 0
            }
        });
        serde_json::from_value(edge).unwrap()
    }

    #[test]
    fn feeds_in_trouble_are_told_of() {
        let told = |state: FeedState, attempts| {
            let feed = FeedView {
                state,
                trouble: Some(FeedTroubleView {
                    why: "it answered 500".to_owned(),
                    since: "2026-11-20T10:00:00.000Z".to_owned(),
                    attempts,
                }),
                ..FeedView::default()
            };
            of_feed(&feed).map(|(alert, _)| alert)
        };
        assert_eq!(told(FeedState::Failing, 2), None);
        assert_eq!(told(FeedState::Failing, 3), Some("feed-stale"));
        assert_eq!(told(FeedState::Refused, 1), Some("feed-refused"));
        assert_eq!(told(FeedState::Ended, 9), Some("feed-ended"));
        assert_eq!(told(FeedState::Fresh, 9), None);
    }

    #[test]
    fn what_is_wrong_with_nats_and_the_configs_is_told_once() {
        let parts = json!({
            "bus_troubles": [
                { "kind": "offline", "of": "secbeat_bans", "text": "secbeat_bans is offline on NATS: x" },
                { "kind": "unwritable", "of": "SECBEAT_AUDIT", "text": "NATS stores nothing in SECBEAT_AUDIT: y" },
                { "kind": "unreached", "of": "nats-3", "text": "the NATS server nats-3 is not reached" },
            ],
            "bus_servers": [{ "name": "nats-3", "reached": false, "leads": 0, "keeps": 9, "behind": { "secbeat_bans": 4 } }],
            "audit": [
                { "part": "lists", "stream": "SECBEAT_AUDIT_LISTS", "bytes": 9, "max_bytes": 9, "short": true },
                { "part": "bans", "stream": "SECBEAT_AUDIT_BANS", "bytes": 1, "max_bytes": 9, "short": false },
            ],
            "bus_certificates": [
                { "name": "fleet-ca", "expires_at": "2026-12-01T00:00:00Z", "expires_at_seconds": 1, "soon": true },
            ],
            "leases": {
                "instance": "a-1", "members": [], "partitions": [],
                "differing": [{ "orchestrator": "b-1", "keys": ["rule"] }],
            },
            "audit_copies": [{
                "name": "file", "place": "/x", "is_ours": true, "written": 0, "failed": 1, "lost": 0, "behind": 2,
                "failing": "no space",
            }],
            "notify": [{
                "name": "ops", "kind": "webhook", "sent": 0, "failed": 3, "given_up": 0, "missed": 0, "waiting": 1,
                "failing": "it answered 500",
            }],
        });
        let stats = stats(Some("secbeat_bans is offline on NATS: x"), None);
        let mut all = serde_json::to_value(&stats).unwrap();
        for (name, part) in parts.as_object().unwrap() {
            all[name] = part.clone();
        }
        let all: ApiStats = serde_json::from_value(all).unwrap();
        let well = edge("up", None, &json!([]));
        let told = alerts(&all, std::slice::from_ref(&well));
        let told: Vec<_> = told
            .iter()
            .map(|alert| format!("{} {}", alert.alert, alert.about))
            .collect();
        assert_eq!(
            told,
            [
                "not-ready a-1",
                "bus-unwritable SECBEAT_AUDIT",
                "bus-unreached nats-3",
                "audit-short SECBEAT_AUDIT_LISTS",
                "certificate-expires fleet-ca",
                "config-differs b-1",
                "audit-not-copied file",
                "notifications-fail ops",
            ]
        );
    }

    #[test]
    fn clients_that_wait_are_told_with_the_limits_that_hold_them_back() {
        let well = edge("up", None, &json!([]));
        let mut stats = stats(None, None);
        stats.engine.held_back = 9;
        stats.engine.held_back_by = [("edge".to_owned(), 2), ("network".to_owned(), 7)].into();
        let told = alerts(&stats, std::slice::from_ref(&well));
        let [alert] = &told[..] else { panic!("{told:?}") };
        assert_eq!(alert.alert, "held-back");
        assert!(
            alert
                .what
                .starts_with("9 clients wait for a safety limit (edge 2, network 7), "),
            "{}",
            alert.what
        );
    }

    #[test]
    fn an_edge_has_time_to_read_the_bans_after_its_start() {
        let mut reads = edge("up", None, &json!([]));
        reads.record.bans.synced = false;
        // Also when the host's clock was set back since.
        for (age_ms, is_told) in [(0, false), (14_999, false), (15_000, true), (-3_600_000, true)] {
            reads.record.at_ms = reads.record.started_at_ms + age_ms;
            let told = alerts(&stats(None, None), std::slice::from_ref(&reads));
            let told: Vec<_> = told.iter().map(|alert| alert.alert.as_str()).collect();
            assert_eq!(told, ["not-synced"][..usize::from(is_told)], "{age_ms}");
        }
    }

    #[test]
    fn a_refused_config_is_told_with_its_reason() {
        let well = edge("up", None, &json!([]));
        let mut stats = stats(None, None);
        stats.refused_config = Some(RefusedConfigView {
            since: "2026-11-20T10:00:00.000Z".to_owned(),
            why: "x.toml:3: rule.threshold: invalid value 0".to_owned(),
        });
        let told = alerts(&stats, std::slice::from_ref(&well));
        let [alert] = &told[..] else { panic!("{told:?}") };
        assert_eq!((&alert.alert[..], &alert.about[..]), ("config-refused", "a-1"));
        assert_eq!(alert.since.as_deref(), Some("2026-11-20T10:00:00.000Z"));
        assert!(
            alert
                .what
                .ends_with("in use: x.toml:3: rule.threshold: invalid value 0"),
            "{}",
            alert.what
        );
    }

    #[test]
    fn a_config_that_an_edge_refused_is_told_too_and_once() {
        let why = "x.toml:3: proxy.tls: no such file";
        let mut refuses = edge("up", None, &json!([]));
        refuses.record.refused_config = Some(why.to_owned());
        let told = alerts(&stats(None, None), std::slice::from_ref(&refuses));
        let [alert] = &told[..] else { panic!("{told:?}") };
        assert_eq!((&alert.alert[..], &alert.about[..]), ("config-refused", "web-1"));
        assert!(alert.what.ends_with(why), "{}", alert.what);
        assert_eq!(of_edge(&refuses, Some("x.toml:4: another reason")), told);
        assert_eq!(of_edge(&refuses, Some(why)), []);
    }

    #[test]
    fn a_clock_that_is_a_second_off_is_told_whichever_daemon_has_it() {
        let off = |ahead_ms| {
            let error_ms = 1;
            Some(ClockOffset { ahead_ms, error_ms })
        };
        let mut here = stats(None, None);
        let mut there = edge("up", None, &json!([]));
        (here.clock, there.standing.clock) = (off(999), off(-999));
        assert_eq!(alerts(&here, std::slice::from_ref(&there)), []);
        (here.clock, there.standing.clock) = (off(1_000), off(-7_000));
        let told = alerts(&here, std::slice::from_ref(&there));
        let about: Vec<_> = told
            .iter()
            .map(|alert| (&alert.alert[..], &alert.about[..]))
            .collect();
        assert_eq!(about, [("clock-off", "a-1"), ("clock-off", "web-1")]);
        assert!(
            told.iter()
                .all(|alert| alert.what.ends_with("set it right (NTP)")),
            "{told:?}"
        );
    }

    #[test]
    fn what_is_wrong_is_told_and_nothing_else() {
        let told = |stats: &ApiStats, edges: &[FleetEdge]| {
            let alerts = alerts(stats, edges);
            alerts
                .iter()
                .map(|alert| format!("{} {}", alert.alert, alert.about))
                .collect::<Vec<_>>()
        };
        let well = edge("up", None, &json!([{ "name": "eth0", "mode": "native" }]));
        let mut blind = well.clone();
        blind.record.logs = vec![
            FollowedLog {
                name: "nginx".to_owned(),
                ..FollowedLog::default()
            },
            FollowedLog {
                name: "caddy".to_owned(),
                trouble: Some("permission denied".to_owned()),
                ..FollowedLog::default()
            },
        ];
        assert_eq!(told(&stats(None, None), &[blind]), ["log-not-read web-1"]);
        assert_eq!(told(&stats(None, None), std::slice::from_ref(&well)), [""; 0]);
        assert_eq!(told(&stats(None, None), &[]), ["no-edges a-1"]);
        let bare = json!([{ "name": "eth0", "mode": "none", "unprotected": "no program is attached" }]);
        assert_eq!(
            told(
                &stats(Some("NATS is unreachable"), Some("rate")),
                &[
                    edge("down", Some("2026-11-20T10:00:00.000Z"), &bare),
                    edge("up", Some("2026-11-20T10:00:00.000Z"), &bare),
                    edge("stopped", None, &json!([])),
                    well,
                ]
            ),
            [
                "not-ready a-1",
                "safety-limit a-1",
                "edge-down web-1",
                "not-protected web-1",
                "drift web-1",
                "edge-stopped web-1"
            ]
        );
    }
}
