//! Subjects, streams and buckets on the bus.

use std::time::Duration;

use crate::prefix::Prefix;

/// Partitions of the telemetry: all events of one source travel in one of them.
pub const PARTITIONS: u16 = 16;

/// Memory stream that keeps telemetry for twice the longest window.
pub const TELEMETRY_STREAM: &str = "SECBEAT_TELEMETRY";
/// What [`TELEMETRY_STREAM`] captures.
pub const TELEMETRY_ALL: &str = "secbeat.telemetry.>";

/// What the subjects of telemetry begin with.
const TELEMETRY: &str = "secbeat.telemetry.";
/// The last token of [`late_telemetry`].
const LATE: &str = "late";

/// Where every edge publishes what its web application firewalls report. One subject for all partitions: such events are
/// rare, each orchestrator reads all of them and keeps those of the sources that it owns. [`TELEMETRY_STREAM`] captures it.
pub const WAF_EVENTS: &str = "secbeat.events.waf";

/// File stream of every decision, for people and for restarts.
pub const AUDIT_STREAM: &str = "SECBEAT_AUDIT";
/// What [`AUDIT_STREAM`] captures.
pub const AUDIT_ALL: &str = "secbeat.audit.>";

/// Key-value bucket of active bans: [`Prefix::key`] → `BlockCommand`, with a TTL of the rest of the ban.
pub const BANS_BUCKET: &str = "secbeat_bans";
/// The stream behind [`BANS_BUCKET`].
pub const BANS_STREAM: &str = "KV_secbeat_bans";
/// What the server republishes: every write to [`BANS_BUCKET`].
pub const BANS_ALL: &str = "$KV.secbeat_bans.>";
/// Where the server republishes it: `nats sub 'secbeat.commands.block.>'` shows bans live.
pub const COMMANDS_ALL: &str = "secbeat.commands.block.>";

/// Key-value bucket of what edges are told about the detector's rules.
pub const RULES_BUCKET: &str = "secbeat_rules";
/// The key of the `Interest` in [`RULES_BUCKET`].
pub const INTEREST_KEY: &str = "interest";
/// Key-value bucket of the edges that are there: edge id → `Presence`, with a TTL of [`PRESENCE_TTL`].
pub const EDGES_BUCKET: &str = "secbeat_edges";
/// How long an edge's record stays without being renewed.
pub const PRESENCE_TTL: Duration = Duration::from_secs(15);
/// How often an edge renews it.
pub const PRESENCE_INTERVAL: Duration = Duration::from_secs(5);

/// Every edge's acknowledgements.
pub const ACKS_ALL: &str = "secbeat.acks.*";

/// Where `edge_id` publishes the telemetry of `partition`. `edge_id` is one subject token (see [`is_token`]).
#[must_use]
pub fn telemetry(edge_id: &str, partition: u16) -> String {
    format!("{TELEMETRY}{edge_id}.{partition}")
}

/// Where `edge_id` publishes telemetry of `partition` that waited for the bus.
#[must_use]
pub fn late_telemetry(edge_id: &str, partition: u16) -> String {
    format!("{}.{LATE}", telemetry(edge_id, partition))
}

/// Whether `subject` is one of [`late_telemetry`].
#[must_use]
pub fn is_late(subject: &str) -> bool {
    subject
        .rsplit_once('.')
        .is_some_and(|(telemetry, last)| last == LATE && telemetry.starts_with(TELEMETRY))
}

/// Where an edge acknowledges what its kernel enforces.
#[must_use]
pub fn acks(edge_id: &str) -> String {
    format!("secbeat.acks.{edge_id}")
}

/// Where an audit record of `kind` goes.
#[must_use]
pub fn audit(kind: &str) -> String {
    format!("secbeat.audit.{kind}")
}

/// Where a write of `target`'s ban goes (below [`BANS_ALL`]).
#[must_use]
pub fn ban(target: &Prefix) -> String {
    format!("$KV.{BANS_BUCKET}.{}", target.key())
}

/// Whether `text` can stand as one token of a subject, as an edge id must.
#[must_use]
pub fn is_token(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_golden() {
        assert_eq!(telemetry("edge-1", 7), "secbeat.telemetry.edge-1.7");
        assert_eq!(late_telemetry("edge-1", 7), "secbeat.telemetry.edge-1.7.late");
        assert!(is_late(&late_telemetry("late", 7)) && !is_late(&telemetry("late", 7)));
        assert_eq!(format!("{TELEMETRY}>"), TELEMETRY_ALL);
        assert_eq!(acks("edge-1"), "secbeat.acks.edge-1");
        assert_eq!(acks("*"), ACKS_ALL);
        assert_eq!(
            ban(&"198.51.100.7".parse().unwrap()),
            "$KV.secbeat_bans.v4.c6336407.32"
        );
        assert_eq!(format!("$KV.{BANS_BUCKET}.>"), BANS_ALL);
        assert_eq!(format!("KV_{BANS_BUCKET}"), BANS_STREAM);
    }

    #[test]
    fn edge_ids_that_would_break_a_subject_are_refused() {
        for id in ["", "a.b", "a b", "*", ">", "é", &"x".repeat(65)] {
            assert!(!is_token(id), "{id:?}");
        }
        assert!(is_token("web-01_eu"));
    }
}
