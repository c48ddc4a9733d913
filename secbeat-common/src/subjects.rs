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

/// Where all edges publish what their web application firewalls report, see [`waf_events`]. [`TELEMETRY_STREAM`] captures it.
pub const WAF_ALL: &str = "secbeat.events.waf.*";
const WAF: &str = "secbeat.events.waf.";
/// Where all edges publish what logs of services report, see [`service_events`]. [`TELEMETRY_STREAM`] captures it.
pub const SERVICE_ALL: &str = "secbeat.events.service.*";
const SERVICE: &str = "secbeat.events.service.";

/// Key-value bucket of who owns which partition: [`partition_lease`] and [`member`] → `Lease`.
pub const LEASES_BUCKET: &str = "secbeat_leases";
/// The key in [`LEASES_BUCKET`] of how far the audit was sent to a syslog server: JSON, `created` of the audit in nanoseconds since the
/// Unix epoch and `sequence`. It is not a lease.
pub const AUDIT_POSITION_KEY: &str = "audit.syslog";
/// The key in [`LEASES_BUCKET`] of how often each signature was met, and how often that was wrong: JSON. It is not a lease.
pub const SIGNATURE_COUNTS_KEY: &str = "counts.signatures";
/// The bucket with the rows that reports are made of: `hour.` and `day.` with the time, as `day.2026-11-20`.
pub const REPORTS_BUCKET: &str = "secbeat_reports";
const PARTITION_LEASE: &str = "partition.";
const MEMBER: &str = "member.";

/// Key-value bucket of active bans: [`Prefix::key`] → `BlockCommand`, with a TTL of the rest of the ban.
pub const BANS_BUCKET: &str = "secbeat_bans";
/// The stream behind [`BANS_BUCKET`].
pub const BANS_STREAM: &str = "KV_secbeat_bans";
/// What the server republishes: every write to [`BANS_BUCKET`].
pub const BANS_ALL: &str = "$KV.secbeat_bans.>";
/// Subject at which the server republishes it: `nats sub 'secbeat.commands.block.>'` shows bans live.
pub const COMMANDS_ALL: &str = "secbeat.commands.block.>";

/// Key-value bucket of what edges are told about the detector's rules.
pub const RULES_BUCKET: &str = "secbeat_rules";
/// The key of the `Interest` in [`RULES_BUCKET`].
pub const INTEREST_KEY: &str = "interest";
/// The key of the [`SourceLengths`](crate::sources::SourceLengths) in [`RULES_BUCKET`].
pub const SOURCES_KEY: &str = "sources";
/// The key of the `FleetSignatures` in [`RULES_BUCKET`].
pub const SIGNATURES_KEY: &str = "signatures";
/// The key of the `Detection` in [`RULES_BUCKET`].
pub const DETECTION_KEY: &str = "detection";
const FEED: &str = "feed.";
/// Key-value bucket of the networks of feeds: [`feed_chunk`] → bytes of the packed networks.
pub const FEEDS_BUCKET: &str = "secbeat_feeds";
/// Key-value bucket of the edges that are there: edge id → `Presence`, with a TTL of [`PRESENCE_TTL`].
pub const EDGES_BUCKET: &str = "secbeat_edges";
/// The stream behind [`EDGES_BUCKET`].
pub const EDGES_STREAM: &str = "KV_secbeat_edges";
/// Every write to [`EDGES_BUCKET`].
pub const EDGES_ALL: &str = "$KV.secbeat_edges.>";
/// Time that an edge's record stays without being renewed.
pub const PRESENCE_TTL: Duration = Duration::from_secs(15);
/// Interval at which an edge renews it.
pub const PRESENCE_INTERVAL: Duration = Duration::from_secs(5);

/// Every edge's acknowledgements.
pub const ACKS_ALL: &str = "secbeat.acks.*";
/// Key-value bucket of the fleet's allowlist: [`Prefix::key`] → `AllowEntry`, with a TTL of what is left of it.
pub const ALLOW_BUCKET: &str = "secbeat_allow";
/// The stream behind [`ALLOW_BUCKET`].
pub const ALLOW_STREAM: &str = "KV_secbeat_allow";
/// Every write to [`ALLOW_BUCKET`].
pub const ALLOW_ALL: &str = "$KV.secbeat_allow.>";

/// Returns where answers to the member of the fleet called `name` go.
#[must_use]
pub fn inbox(name: &str) -> String {
    format!("_INBOX_{name}")
}

/// Returns where `edge_id` publishes the telemetry of `partition`. `edge_id` is one subject token (see [`is_token`]).
#[must_use]
pub fn telemetry(edge_id: &str, partition: u16) -> String {
    format!("{TELEMETRY}{edge_id}.{partition}")
}

/// All that `edge_id` publishes of telemetry.
#[must_use]
pub fn telemetry_by(edge_id: &str) -> String {
    format!("{TELEMETRY}{edge_id}.>")
}

/// Returns where `edge_id` publishes what its web application firewalls report. One subject for all partitions: such events are
/// rare, each orchestrator reads all of them and keeps those of the sources that it owns.
#[must_use]
pub fn waf_events(edge_id: &str) -> String {
    format!("{WAF}{edge_id}")
}

/// Returns where `edge_id` publishes what logs of its services report, as [`waf_events`].
#[must_use]
pub fn service_events(edge_id: &str) -> String {
    format!("{SERVICE}{edge_id}")
}

/// Whether it is a subject that [`service_events`] made.
#[must_use]
pub fn is_of_services(subject: &str) -> bool {
    subject.starts_with(SERVICE)
}

/// The edge that publishes on a subject that [`telemetry`], [`late_telemetry`], [`waf_events`] or [`service_events`] made. The server lets
/// nobody else.
#[must_use]
pub fn edge_of(subject: &str) -> Option<&str> {
    let rest = subject
        .strip_prefix(TELEMETRY)
        .or_else(|| subject.strip_prefix(WAF))
        .or_else(|| subject.strip_prefix(SERVICE))?;
    rest.split('.').next()
}

/// Returns where a write of `edge_id`'s record in [`EDGES_BUCKET`] goes.
#[must_use]
pub fn presence(edge_id: &str) -> String {
    format!("$KV.{EDGES_BUCKET}.{edge_id}")
}

/// Returns where `edge_id` publishes telemetry of `partition` that waited for the bus.
#[must_use]
pub fn late_telemetry(edge_id: &str, partition: u16) -> String {
    format!("{}.{LATE}", telemetry(edge_id, partition))
}

/// Returns what the owner of `partition` reads: the telemetry of all edges, live and late.
#[must_use]
pub fn telemetry_of(partition: u16) -> [String; 2] {
    [telemetry("*", partition), late_telemetry("*", partition)]
}

/// The partition of a subject that [`telemetry`] or [`late_telemetry`] made.
#[must_use]
pub fn partition_of(subject: &str) -> Option<u16> {
    let mut tokens = subject.strip_prefix(TELEMETRY)?.split('.').skip(1);
    tokens.next()?.parse().ok()
}

/// The key of the record of the feed `name` in [`RULES_BUCKET`]. `name` is one [token](is_token).
#[must_use]
pub fn feed(name: &str) -> String {
    format!("{FEED}{name}")
}

/// The name of the feed whose record stands under `key`: the inverse of [`feed`].
#[must_use]
pub fn feed_name(key: &str) -> Option<&str> {
    key.strip_prefix(FEED).filter(|name| is_token(name))
}

/// The key of a chunk of the networks of the feed `name` in [`FEEDS_BUCKET`]. There are two slots, of which one is in force.
#[must_use]
pub fn feed_chunk(name: &str, slot: u8, number: u64) -> String {
    format!("{name}.{slot}.{number}")
}

/// The key of the lease of `partition` in [`LEASES_BUCKET`].
#[must_use]
pub fn partition_lease(partition: u16) -> String {
    format!("{PARTITION_LEASE}{partition}")
}

/// The key under which the orchestrator `id` says in [`LEASES_BUCKET`] that it lives. `id` is one [token](is_token).
#[must_use]
pub fn member(id: &str) -> String {
    format!("{MEMBER}{id}")
}

/// Returns where a write of `key` of [`LEASES_BUCKET`] goes.
#[must_use]
pub fn lease(key: &str) -> String {
    format!("$KV.{LEASES_BUCKET}.{key}")
}

/// Subject of a key of [`LEASES_BUCKET`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseKey {
    /// See [`partition_lease`].
    Partition(u16),
    /// See [`member`].
    Member(String),
}

impl LeaseKey {
    /// The inverse of [`partition_lease`] and [`member`].
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        if let Some(id) = key.strip_prefix(MEMBER) {
            return is_token(id).then(|| Self::Member(id.to_owned()));
        }
        let partition = key.strip_prefix(PARTITION_LEASE)?.parse().ok()?;
        (partition < PARTITIONS).then_some(Self::Partition(partition))
    }
}

/// Whether `subject` is one of [`late_telemetry`].
#[must_use]
pub fn is_late(subject: &str) -> bool {
    subject
        .rsplit_once('.')
        .is_some_and(|(telemetry, last)| last == LATE && telemetry.starts_with(TELEMETRY))
}

/// Returns where an edge acknowledges what its kernel enforces.
#[must_use]
pub fn acks(edge_id: &str) -> String {
    format!("secbeat.acks.{edge_id}")
}

/// A part of the audit: a stream with limits of its own, so that many records of one kind push out none of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AuditPart {
    /// Orders of operators: single bans and unbans, the allowlist, and each list as a whole. Earlier releases wrote everything here.
    Orders,
    /// Bans that rules decided.
    Bans,
    /// Findings that banned nobody.
    Findings,
    /// The single bans, unbans and entries of lists.
    Lists,
}

impl AuditPart {
    pub const ALL: [Self; 4] = [Self::Orders, Self::Bans, Self::Findings, Self::Lists];

    /// The name that users meet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Bans => "bans",
            Self::Findings => "findings",
            Self::Lists => "lists",
        }
    }

    #[must_use]
    pub const fn stream(self) -> &'static str {
        match self {
            Self::Orders => "SECBEAT_AUDIT",
            Self::Bans => "SECBEAT_AUDIT_BANS",
            Self::Findings => "SECBEAT_AUDIT_FINDINGS",
            Self::Lists => "SECBEAT_AUDIT_LISTS",
        }
    }

    const fn root(self) -> &'static str {
        match self {
            Self::Orders => "secbeat.audit",
            Self::Bans => "secbeat.audit-bans",
            Self::Findings => "secbeat.audit-findings",
            Self::Lists => "secbeat.audit-lists",
        }
    }

    /// Returns what [`stream`](Self::stream) captures.
    #[must_use]
    pub fn all(self) -> String {
        format!("{}.>", self.root())
    }

    /// Whether it has records of `kind`.
    #[must_use]
    pub fn holds(self, kind: &str) -> bool {
        match self {
            Self::Orders => true,
            Self::Bans => kind == "ban",
            Self::Findings => matches!(kind, "observed" | "suppressed"),
            Self::Lists => matches!(kind, "ban" | "unban" | "allow"),
        }
    }

    /// Returns where a record of `kind` goes that is about a target of this key, or about the list of this id.
    #[must_use]
    pub fn record(self, kind: &str, of: &str) -> String {
        format!("{}.{kind}.{of}", self.root())
    }

    /// Returns where its records of `kind` (of all kinds unless given) about `target` (about everybody unless given) are found.
    /// Earlier releases named the kind alone: those subjects are among them, and what is found there has still to be sifted.
    #[must_use]
    pub fn records(self, kind: Option<&str>, target: Option<&Prefix>) -> Vec<String> {
        let kind = kind.unwrap_or("*");
        let target = target.map_or_else(|| ">".to_owned(), Prefix::key);
        let mut found = vec![self.record(kind, &target)];
        if self == Self::Orders {
            found.push(format!("{}.{kind}", self.root()));
        }
        found
    }
}

/// Returns where a write of `target`'s ban goes (below [`BANS_ALL`]).
#[must_use]
pub fn ban(target: &Prefix) -> String {
    format!("$KV.{BANS_BUCKET}.{}", target.key())
}

/// Returns where a write of the allowlist's entry for `network` goes (below [`ALLOW_ALL`]).
#[must_use]
pub fn allow(network: &Prefix) -> String {
    format!("$KV.{ALLOW_BUCKET}.{}", network.key())
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
        assert_eq!(
            AuditPart::Lists.record("unban", "v4.c6336400.24"),
            "secbeat.audit-lists.unban.v4.c6336400.24"
        );
        assert_eq!(
            AuditPart::Orders.records(None, Some(&"198.51.100.0/24".parse().unwrap())),
            ["secbeat.audit.*.v4.c6336400.24", "secbeat.audit.*"]
        );
        assert_eq!(
            AuditPart::Bans.records(Some("ban"), None),
            ["secbeat.audit-bans.ban.>"]
        );
        assert_eq!(format!("$KV.{BANS_BUCKET}.>"), BANS_ALL);
        assert_eq!(format!("KV_{BANS_BUCKET}"), BANS_STREAM);
        assert_eq!(
            allow(&"203.0.113.0/24".parse().unwrap()),
            "$KV.secbeat_allow.v4.cb007100.24"
        );
        assert_eq!(format!("$KV.{ALLOW_BUCKET}.>"), ALLOW_ALL);
        assert_eq!(format!("KV_{ALLOW_BUCKET}"), ALLOW_STREAM);
    }

    #[test]
    fn partitions_are_read_off_subjects_and_keys() {
        assert_eq!(
            telemetry_of(7),
            ["secbeat.telemetry.*.7", "secbeat.telemetry.*.7.late"]
        );
        for subject in [telemetry("12", 7), late_telemetry("12", 7)] {
            assert_eq!(partition_of(&subject), Some(7), "{subject}");
        }
        for subject in [
            "secbeat.events.waf.e",
            "secbeat.events.service.e",
            "secbeat.telemetry.7",
            "secbeat.telemetry.e.x",
        ] {
            assert_eq!(partition_of(subject), None, "{subject}");
        }
        assert_eq!(partition_lease(7), "partition.7");
        assert_eq!(lease("partition.7"), "$KV.secbeat_leases.partition.7");
        assert_eq!(LeaseKey::parse("partition.7"), Some(LeaseKey::Partition(7)));
        assert_eq!(member("a-1"), "member.a-1");
        assert_eq!(
            LeaseKey::parse("member.a-1"),
            Some(LeaseKey::Member("a-1".to_owned()))
        );
        for key in [
            "partition.16",
            "partition.-1",
            "member.",
            "member.a.b",
            AUDIT_POSITION_KEY,
            SIGNATURE_COUNTS_KEY,
        ] {
            assert_eq!(LeaseKey::parse(key), None, "{key}");
        }
    }

    #[test]
    fn feeds_have_keys_that_lead_back() {
        assert_eq!(feed("drop"), "feed.drop");
        assert_eq!(feed_name("feed.drop"), Some("drop"));
        assert_eq!(feed_chunk("drop", 1, 7), "drop.1.7");
        for key in ["feed.", "feed.a.b", "interest", SIGNATURES_KEY] {
            assert_eq!(feed_name(key), None, "{key}");
        }
    }

    #[test]
    fn edge_ids_that_would_break_a_subject_are_refused() {
        for id in ["", "a.b", "a b", "*", ">", "é", &"x".repeat(65)] {
            assert!(!is_token(id), "{id:?}");
        }
        assert!(is_token("web-01_eu"));
    }
}
