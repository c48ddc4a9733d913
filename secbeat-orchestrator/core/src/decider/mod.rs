//! The one owner of analyzers and ledger: telemetry and orders go in, bans and audit records come out.
//!
//! [`Decider::handle`] takes one [`Event`] at a [`Moment`] and adds what follows from it to the effects, in the order in
//! which it is to be done. Questions are methods that change nothing.

mod bus;
mod crawlers;
mod decisions;
mod edge_bans;
mod event;
mod fleet;
mod judge;
mod order;
mod orders;
mod partitions;
mod protection;
mod queries;
mod resets;
mod rules;
mod telemetry;
#[cfg(test)]
mod tests;
mod times;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    num::NonZeroU32,
    time::Duration,
};

use secbeat_common::{
    fence::Fence,
    prefix::Prefix,
    sources::SourceLengths,
    wire::{BlockCommand, Interest},
};
use tracing::info;
use uuid::Uuid;

use self::{
    crawlers::Crawlers, decisions::Decisions, partitions::Partitions, protection::Protections,
    resets::Resets, rules::Method,
};
pub use self::{
    crawlers::{Checked, Crawler, CrawlerConfig, Identity, Suspect},
    event::{Announcement, DecidedBan, Effect, Event, Outcomes, Reply, Report, Stats, Ticket},
    order::{Import, ImportMode, Imported, Order, OrderError, Refused, RefusedOrder, Unban},
    queries::{Near, SourceFacts},
    rules::Rules,
};
use crate::{
    Ids, Moment, ProtectedNet,
    analyzers::{Analyzer, DetectConfig, Finding, Providers, RuleConfig, Schedule, Upstreams},
    evidence::Witness,
    leases::LeaseTable,
    ledger::{Ledger, LedgerConfig},
    millis,
    presence::Fleet,
    propagation::Propagation,
    signatures::Signatures,
    telemetry::Edges,
    writer::Urgency,
};

/// Who signs what the analyzers decide.
pub const ACTOR: &str = "secbeat-orchestrator";

/// Configuration of a decider.
#[derive(Clone, Debug)]
pub struct Config {
    pub detect: DetectConfig,
    /// Edges that have to report enough for a ban on all; 1: one edge's word is enough.
    pub agreeing_edges: NonZeroU32,
    /// Whose network a client is in, for rules over clients of one provider.
    pub providers: Providers,
    pub ledger: LedgerConfig,
    /// Never banned because of this host or the config, as far as is known at the start.
    pub protected: Vec<ProtectedNet>,
    /// Greatest age of what counts.
    pub max_age: Duration,
    /// Interval at which quiet sources are forgotten.
    pub cleanup_interval: Duration,
    /// Nothing counts against a target until so long after its unban.
    pub unban_grace: Duration,
    /// Time that an edge may hold other bans than the ledger before that is an alarm.
    pub drift_grace: Duration,
    /// Bytes for the latest events of all sources.
    pub evidence_bytes: usize,
    /// Crawlers that some rules let go.
    pub crawlers: CrawlerConfig,
    /// Whether effects tell the ways of bans, for traces.
    pub traced: bool,
    /// Whether it stands in for a fleet's on one edge: who carries its bans out tells of them.
    pub stands_in: bool,
    /// Random, another one in each process: ids are made of it.
    pub seed: [u8; 16],
}

/// See the [module](self).
#[derive(Debug)]
pub struct Decider {
    analyzer: Box<dyn Analyzer>,
    method: Method,
    /// Those in force.
    rules: Vec<RuleConfig>,
    stands_in: bool,
    sources: SourceLengths,
    upstreams: Upstreams,
    telemetry: Edges,
    fleet: Fleet,
    propagation: Propagation,
    /// Greatest age of what counts.
    max_age_ms: i64,
    /// The longest window of a rule about firewalls' events.
    waf_window_ms: i64,
    /// The longest window of a rule about services' events.
    service_window_ms: i64,
    unban_grace_ms: i64,
    ledger: Ledger,
    witness: Witness,
    crawlers: Crawlers,
    protected: Protections,
    signatures: Signatures,
    ids: Ids,
    decisions: Decisions,
    /// Time at which each source was last audited as suppressed.
    suppressed: HashMap<Prefix, i64>,
    restored: bool,
    /// Since when the ledger lacks bans that the bucket has, milliseconds since the Unix epoch.
    behind_since_ms: Option<i64>,
    leases: LeaseTable,
    partitions: Partitions,
    resets: Resets,
    /// When resets that are too old to matter are forgotten.
    prune: Schedule,
    bucket: Mirror,
    /// The latest bans of other orchestrators, each with when it was heard of: milliseconds of the clock that only moves forward.
    adopted: VecDeque<(i64, BlockCommand)>,
    counts: Counts,
    /// The latest clients with many requests at a time.
    busy: VecDeque<Prefix>,
    /// Empty between two events; kept for its room.
    found: Vec<Finding>,
}

/// Known contents of the bucket of bans.
#[derive(Debug, Default)]
struct Mirror {
    /// The ban of each target, with the revision of its key.
    present: HashMap<Prefix, (Uuid, u64)>,
    fence: Fence,
    /// Targets whose ban edges refuse.
    stale: BTreeSet<Prefix>,
    /// Bans of other orchestrators that a ban of this one, on its way to the same key, has kept from the ledger.
    blocked: HashMap<Prefix, BlockCommand>,
    /// Targets whose key was deleted while a ban of this one was on its way to it.
    deleted: BTreeSet<Prefix>,
    /// Targets under whose key something stands that must not be accepted, and its revision.
    spoiled: BTreeMap<Prefix, u64>,
}

#[derive(Debug, Default)]
struct Counts {
    batches: u64,
    events: u64,
    requests: u64,
    errors: u64,
    waf_events: u64,
    waf_too_old: u64,
    service_events: u64,
    service_too_old: u64,
    service_uncounted: u64,
    possible_successes: u64,
    findings: u64,
    suppressed: u64,
    braked: u64,
    by_rule: BTreeMap<String, Outcomes>,
}

/// One event's time, and where its effects go.
struct Turn<'a> {
    now: Moment,
    effects: &'a mut Vec<Effect>,
}

impl Turn<'_> {
    fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
}

impl Config {
    /// A decider that knows nothing yet.
    #[must_use]
    pub fn build(self) -> Decider {
        let method = Method {
            agreeing_edges: self.agreeing_edges,
            cleanup_interval: self.cleanup_interval,
            providers: self.providers,
        };
        let sources = self.detect.sources;
        let rules = Rules {
            detect: self.detect,
            max_age: self.max_age,
        };
        let (analyzer, schedule) = method.analyzer(&rules);
        let mut decider = Decider {
            analyzer,
            method,
            rules: rules.detect.rules.clone(),
            stands_in: self.stands_in,
            sources,
            upstreams: Upstreams::default(),
            telemetry: Edges::default(),
            fleet: Fleet::new(self.drift_grace),
            propagation: Propagation::default(),
            max_age_ms: millis(self.max_age),
            waf_window_ms: rules.detect.waf_window_ms(),
            service_window_ms: rules.detect.service_window_ms(),
            unban_grace_ms: millis(self.unban_grace),
            ledger: Ledger::new(self.ledger),
            witness: Witness::new(self.evidence_bytes),
            crawlers: Crawlers::new(self.crawlers),
            protected: Protections::new(self.protected),
            signatures: Signatures::default(),
            ids: Ids::new(self.seed),
            decisions: Decisions::new(self.traced),
            suppressed: HashMap::new(),
            restored: false,
            behind_since_ms: None,
            leases: LeaseTable::default(),
            partitions: Partitions::default(),
            resets: Resets::default(),
            prune: schedule,
            bucket: Mirror::default(),
            adopted: VecDeque::new(),
            counts: Counts::default(),
            busy: VecDeque::new(),
            found: Vec::new(),
        };
        decider.protect();
        decider
    }
}

impl Decider {
    /// Takes in what has happened, and adds what is to be done to `effects`.
    pub fn handle(&mut self, event: Event, now: Moment, effects: &mut Vec<Effect>) {
        let turn = &mut Turn { now, effects };
        match event {
            Event::Batch {
                partition,
                mut batch,
                received_ms,
                age_ms,
            } => {
                if self.watches(partition) {
                    self.signatures.sift(&mut batch.events);
                    self.batch(partition, &batch, received_ms, age_ms, turn);
                }
            }
            Event::Waf { batch, received_ms } => self.waf(&batch, received_ms, turn),
            Event::Service { batch, received_ms } => self.service(&batch, received_ms, turn),
            Event::Restore {
                bans,
                audit,
                since_ms,
            } => self.restore(bans, &audit, since_ms, turn),
            Event::Recheck { bans, lifted, audit } => self.recheck(bans, lifted, &audit, turn),
            Event::Banned(written) => self.banned(*written, turn),
            Event::Lifted(gone) => self.lifted(gone, turn),
            Event::Spoiled { target, revision } => {
                self.bucket.spoiled.insert(target, revision);
            }
            Event::UpToDate(true) => self.behind_since_ms = None,
            Event::UpToDate(false) => {
                self.behind_since_ms.get_or_insert(now.wall_ms);
            }
            Event::Observed(record) => self.remember([&*record], now.wall_ms),
            Event::EdgeHeard(record) => self.edge_heard(*record, turn),
            Event::EdgeLeft(edge_id) => self.edge_left(&edge_id, turn),
            Event::Acks { batch, received_ms } => {
                self.propagation.answered(&batch, received_ms);
                self.banned_by_edge(&batch, turn);
            }
            Event::Owned(ownership) => self.owned(ownership, turn),
            Event::Rules(rules) => self.rules_changed(&rules),
            Event::Leases(table) => self.leases = table,
            Event::Protected(networks) => self.protect_here(networks),
            Event::SignaturesDisabled(ids) => self.signatures.disable(ids),
            Event::Allowlist(entries) => self.protect_fleet(&entries, now.wall_ms),
            Event::Crawler(checked) => self.crawler_checked(*checked, turn),
            Event::Decided(record) => turn.push(Effect::Conclude {
                record,
                urgency: Urgency::Now,
            }),
            Event::Done { id, fate } => self.done(id, fate, turn),
            Event::Order { ticket, order } => self.order(ticket, order, turn),
            Event::Drain { ticket } => self.drain(ticket, turn),
            Event::Tick { connected } => self.tick(connected, turn),
        }
    }

    /// Returns which requests edges have to report one by one.
    #[must_use]
    pub fn interest(&self) -> Interest {
        self.analyzer.interest()
    }

    /// Once a second.
    fn tick(&mut self, connected: bool, turn: &mut Turn<'_>) {
        let now_ms = turn.now.wall_ms;
        self.expire(now_ms);
        self.expire_allowlist(now_ms);
        self.write_spoiled(turn);
        self.audit_adopted(turn);
        self.look_for_edges(connected, turn);
        self.judge_held(turn);
        if let Some(before_ms) = self.prune.due(now_ms) {
            self.resets.prune(before_ms);
        }
        let mut found = std::mem::take(&mut self.found);
        self.analyzer.tick(now_ms, &mut found);
        for finding in found.drain(..) {
            self.found(finding, "", now_ms, turn);
        }
        self.found = found;
    }

    /// Ends the bans that are over.
    fn expire(&mut self, now_ms: i64) {
        let over = self.ledger.expire(now_ms);
        if over.is_empty() {
            return;
        }
        for target in &over {
            info!(target: "audit", %target, "ban ended");
        }
        // One walk over the commands, however many bans of a raid end at once.
        let over: HashSet<_> = over.into_iter().collect();
        self.propagation.over(|target| over.contains(target));
    }

    /// Whether all that decisions go by has been read from the bus since the start.
    fn is_restored(&self) -> bool {
        self.restored && self.protected.is_complete()
    }
}
