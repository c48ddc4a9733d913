//! Inputs and outputs of the decider.

use std::collections::BTreeMap;

use secbeat_common::{
    prefix::Prefix,
    wire::{
        AckBatch, AllowEntry, AuditRecord, BlockCommand, Presence, ServiceBatch, TelemetryBatch, WafBatch,
    },
};
use uuid::Uuid;

use super::{
    crawlers::{Checked, Suspect},
    order::{Imported, Order, OrderError},
    rules::Rules,
};
use crate::{
    ProtectedNet,
    analyzers::Finding,
    bucket::{Gone, Written},
    leases::{LeaseTable, Ownership},
    ledger::{ActiveBan, Brake, Suppression},
    presence,
    telemetry::EdgeTelemetry,
    writer::{Fate, Urgency, WriteRequest},
};

/// Something that happened. Times are milliseconds since the Unix epoch.
#[derive(Debug)]
pub enum Event {
    /// Telemetry of one partition, with the time at which the server received it, and how long it had waited for the bus
    /// before, unless it is live.
    Batch {
        partition: u16,
        batch: TelemetryBatch,
        received_ms: i64,
        age_ms: Option<u64>,
    },
    /// Events of web application firewalls, with the time at which the server received them.
    Waf { batch: WafBatch, received_ms: i64 },
    /// Events of services, with the time at which the server received them.
    Service { batch: ServiceBatch, received_ms: i64 },
    /// Records on the bus from before this process, once and first. The audit goes back to `since_ms`.
    Restore {
        bans: Vec<Written>,
        audit: Vec<AuditRecord>,
        since_ms: i64,
    },
    /// The same after a reconnect: what the bucket holds, what was deleted in it, and what the audit says of the time in
    /// between. Bans that the bucket lost are written again.
    Recheck {
        bans: Vec<Written>,
        lifted: Vec<Gone>,
        audit: Vec<AuditRecord>,
    },
    /// The bucket has a ban, no matter who wrote it.
    Banned(Box<Written>),
    /// The bucket has a ban no more.
    Lifted(Gone),
    /// Something that must not be accepted took the place of this target's ban in the bucket, if there was one.
    Spoiled { target: Prefix, revision: u64 },
    /// Whether everything was heard that the bucket of bans has. It was, as long as nothing else is told.
    UpToDate(bool),
    /// A rule that only observes would have banned somebody, no matter who recorded it.
    Observed(Box<AuditRecord>),
    /// Other rules hold. No telemetry that was read before may come after this, but all is read again from the beginning of the longest
    /// window.
    Rules(Box<Rules>),
    /// An edge has renewed its record.
    EdgeHeard(Box<Presence>),
    /// An edge has taken its record away.
    EdgeLeft(String),
    /// An edge's acknowledgements, and the time at which they were received.
    Acks { batch: AckBatch, received_ms: i64 },
    /// A partition was taken or lost.
    Owned(Ownership),
    /// Partitions that this orchestrator may act for from now on.
    Leases(LeaseTable),
    /// All that is never banned from now on because of this host or the config.
    Protected(Vec<ProtectedNet>),
    /// The fleet's allowlist, as the bus has it.
    Allowlist(Vec<AllowEntry>),
    /// Operators disabled the signatures with these ids, and no others, on all edges.
    SignaturesDisabled(Vec<String>),
    /// A client that may be a crawler was looked up.
    Crawler(Box<Checked>),
    /// An operator changed the allowlist, and the bus has it.
    Decided(AuditRecord),
    /// The fate of a ban or an unban that was to be written; `id` is the ban's.
    Done { id: Uuid, fate: Fate },
    /// An operator's order; answered once the bus has what follows.
    Order { ticket: Ticket, order: Order },
    /// Answered once nothing that was decided is on its way to the bus any more.
    Drain { ticket: Ticket },
    /// A second has passed.
    Tick { connected: bool },
}

/// Names an order, so that its answer can be told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Action to carry out.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make the bucket say this.
    Write(WriteRequest),
    /// What became of the write of the ban `id` is known, whatever becomes of its answer.
    Settle { target: Prefix, id: Uuid, fate: Fate },
    /// Put a record into the audit.
    Audit { record: AuditRecord, urgency: Urgency },
    /// The same of a decision that the bus has, which all who listen are told, too.
    Conclude { record: AuditRecord, urgency: Urgency },
    /// Tell all who listen.
    Announce(Announcement),
    /// Look a client up: it was banned, and may be a crawler.
    LookUp(Suspect),
    /// Answer an order.
    Reply { ticket: Ticket, reply: Reply },
    /// A new ban is on its way to the bus; only where bans are traced.
    TraceBegun(Box<DecidedBan>),
    /// The ban of this id has reached the bus, or never will, and why; only where bans are traced.
    TraceEnded { id: Uuid, failure: Option<OrderError> },
}

/// An order's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The ban that the bus has.
    Banned(Result<Box<ActiveBan>, OrderError>),
    /// The ban that was lifted; `None` if there was none.
    Unbanned(Result<Option<Box<ActiveBan>>, OrderError>),
    Imported(Result<Imported, OrderError>),
    /// Nothing is on its way to the bus.
    Drained,
}

/// Announcement to the other members.
#[derive(Clone, Debug, PartialEq)]
pub enum Announcement {
    /// A finding, and why nobody is banned for it, if so.
    Finding {
        finding: Box<Finding>,
        suppressed: Option<Suppression>,
    },
    Edge(presence::Event),
}

/// A ban and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedBan {
    pub command: BlockCommand,
    /// For one that the analyzers decided.
    pub report: Option<Report>,
}

/// Report that completed a finding. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The edge that reported it.
    pub edge: String,
    /// Time at which the client did it.
    pub at_ms: i64,
    /// Time at which the server received it.
    pub received_ms: i64,
}

/// Counts of the decider since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    pub active_bans: usize,
    pub tracked_sources: usize,
    pub evicted_sources: u64,
    /// Error responses that did not count because their upstream failed.
    pub excused: u64,
    pub batches: u64,
    pub events: u64,
    /// Requests and error responses, each counted once: without what was read again.
    pub requests: u64,
    pub errors: u64,
    pub waf_events: u64,
    /// Events of firewalls that were as old as the rule's window, and ignored.
    pub waf_too_old: u64,
    pub service_events: u64,
    /// Events of services that were as old as the longest window of a rule about them, and ignored.
    pub service_too_old: u64,
    /// Events of services that came while no rule was about any.
    pub service_uncounted: u64,
    /// Requests that a signature recognised and that were answered as if they had succeeded.
    pub possible_successes: u64,
    pub findings: u64,
    pub suppressed: u64,
    /// Findings that a brake suppressed.
    pub braked: u64,
    /// Outcomes of findings, by rule.
    pub rules: BTreeMap<String, Outcomes>,
    /// The brake that keeps every finding from a ban right now.
    pub brake: Option<Brake>,
    /// Findings that a brake holds back; they are judged when it lets go.
    pub held_back: usize,
    /// Number of them that each brake holds back, by its name.
    pub held_back_by: BTreeMap<&'static str, usize>,
    /// Whether all that decisions go by was read from the bus since the start.
    pub restored: bool,
    /// Since when the ledger lacks bans that the bus has, milliseconds since the Unix epoch.
    pub behind_since_ms: Option<i64>,
    /// Bans and unbans that the bus has not acknowledged yet.
    pub unwritten: usize,
    /// Since when the oldest of those waits that are not of an import; milliseconds since the Unix epoch.
    pub unwritten_since_ms: Option<i64>,
    /// By name.
    pub edges: Vec<(String, EdgeTelemetry)>,
}

/// Outcomes of a rule's findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    pub banned: u64,
    /// The rule only observes.
    pub observed: u64,
    pub already_banned: u64,
    /// Allowlisted, or a brake.
    pub suppressed: u64,
}
