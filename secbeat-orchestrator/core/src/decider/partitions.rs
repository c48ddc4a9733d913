//! Partitions whose sources the decider judges.

use secbeat_common::{
    prefix::Prefix,
    subjects::PARTITIONS,
    wire::{BlockCommand, Layer, Scope},
};
use tracing::{info, warn};

use super::{Decider, Turn};
use crate::{
    analyzers::{Finding, Reset, Rule},
    leases::{Ownership, Standing},
    ledger::{ActiveBan, HeldBack},
};

/// Findings that wait for a lapsed lease; past it further ones are forgotten.
const MAX_PARKED: usize = 100_000;

/// Telemetry that waits for its partition.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    /// Those whose windows are kept.
    watched: [bool; PARTITIONS as usize],
    /// Findings of partitions whose lease has lapsed.
    pub(super) parked: Vec<Found>,
    /// When the server received the latest batch of each, and the latest one that is in the journal although it comes again:
    /// milliseconds since the Unix epoch.
    received_ms: [i64; PARTITIONS as usize],
    journaled_ms: [i64; PARTITIONS as usize],
    /// Since when each is watched; what came before was counted by the orchestrator that owned it then.
    since_ms: [i64; PARTITIONS as usize],
}

impl Partitions {
    /// Notes a batch of `partition`. Returns whether it is in the journal already.
    pub(super) fn receive(&mut self, partition: u16, received_ms: i64) -> bool {
        let at = usize::from(partition);
        if let Some(latest) = self.received_ms.get_mut(at) {
            *latest = received_ms.max(*latest);
        }
        self.journaled_ms
            .get(at)
            .is_some_and(|journaled| received_ms <= *journaled)
    }

    /// Whether what the server received at `received_ms` came while `partition` was watched here.
    pub(super) fn is_news(&self, partition: u16, received_ms: i64) -> bool {
        let since = self.since_ms.get(usize::from(partition));
        since.is_some_and(|since| received_ms >= *since)
    }

    /// What came of `partition` so far comes again.
    pub(super) fn seen_again(&mut self, partition: u16) {
        let at = usize::from(partition);
        if let (Some(journaled), Some(received)) = (self.journaled_ms.get_mut(at), self.received_ms.get(at)) {
            *journaled = *received;
        }
    }

    /// Nothing of `partition` is known.
    fn forget(&mut self, partition: u16) {
        let at = usize::from(partition);
        for known in [&mut self.received_ms, &mut self.journaled_ms] {
            if let Some(known) = known.get_mut(at) {
                *known = 0;
            }
        }
    }
}

/// A finding, and what completed it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) finding: Finding,
    /// The edge that reported it.
    pub(super) edge: String,
    /// Time at which the server received it.
    pub(super) received_ms: i64,
    /// Whether it was judged before, and held back by a brake.
    pub(super) again: bool,
}

impl Decider {
    /// A partition has come or gone.
    pub(super) fn owned(&mut self, ownership: Ownership, turn: &mut Turn<'_>) {
        match ownership {
            Ownership::Taken { partition, epoch } => {
                self.ledger.set_epoch(partition, epoch);
                if !std::mem::replace(&mut self.partitions.watched[usize::from(partition)], true) {
                    self.partitions.since_ms[usize::from(partition)] = turn.now.wall_ms;
                    self.begin(partition);
                }
                self.judge_parked(partition, turn);
                self.write_lost(|n| n == partition, turn);
                self.adopt_stale(partition, turn);
            }
            Ownership::Lost { partition } => {
                self.partitions.watched[usize::from(partition)] = false;
                self.partitions
                    .parked
                    .retain(|found| of(&found.finding) != partition);
                self.ledger
                    .forget_held(|source| source.partition(PARTITIONS) == partition);
                self.analyzer.forget_partition(partition);
                self.partitions.forget(partition);
            }
        }
    }

    /// Begins to watch the sources of `partition`: with nothing but what is known to be paid for.
    pub(super) fn begin(&mut self, partition: u16) {
        self.analyzer.forget_partition(partition);
        self.telemetry.forget_partition(partition);
        for (target, reset) in self.resets.of(partition, self.sources) {
            self.analyzer.reset(target, reset);
        }
        for ActiveBan { command, .. } in self.ledger.active() {
            if command.target.partition(PARTITIONS) == partition
                && let Some(edges) = self.fleet.meant(&command.scope)
            {
                self.analyzer
                    .banned_on(command.target, &edges, command.expires_at_ms);
            }
        }
    }

    /// Whether the sources of `partition` are watched.
    pub(super) fn watches(&self, partition: u16) -> bool {
        self.partitions.watched.get(usize::from(partition)) == Some(&true)
    }

    /// Judges a finding if this orchestrator owns its source's partition for certain. If that has become uncertain, the
    /// finding waits until it is certain again, or somebody else's.
    pub(super) fn found(&mut self, finding: Finding, edge: &str, received_ms: i64, turn: &mut Turn<'_>) {
        let Some(finding) = self.for_labels(finding) else {
            return;
        };
        let found = Found {
            finding,
            edge: edge.to_owned(),
            received_ms,
            again: false,
        };
        self.judge_if_owned(found, turn);
    }

    /// `finding` with the edges that the labels of its rule leave; `None` where none of those has them that have seen enough.
    fn for_labels(&self, mut finding: Finding) -> Option<Finding> {
        let rule = self.rules.iter().find(|rule| rule.rule == finding.rule);
        let Some(labels) = rule.map(|rule| &rule.labels).filter(|labels| !labels.is_empty()) else {
            return Some(finding);
        };
        let meant = Scope::of_labels(labels.clone());
        finding.scope = match finding.scope.edges() {
            None => meant,
            Some(seen) => {
                let labelled = self.fleet.meant(&meant).unwrap_or_default();
                let ids = labelled.into_iter().filter(|id| seen.contains(id));
                Scope::of_edges(ids.collect())
            }
        };
        (finding.scope != Scope::of_edges(Vec::new())).then_some(finding)
    }

    fn judge_if_owned(&mut self, found: Found, turn: &mut Turn<'_>) {
        match self.leases.standing(of(&found.finding), turn.now.boot_ms) {
            Standing::Owner { .. } => self.judge(found, turn),
            Standing::Lapsed if self.partitions.parked.len() < MAX_PARKED => {
                self.partitions.parked.push(found);
            }
            Standing::Lapsed => warn!("too many findings wait for the lease of their partition"),
            Standing::Stranger => {}
        }
    }

    fn judge_parked(&mut self, partition: u16, turn: &mut Turn<'_>) {
        let all = std::mem::take(&mut self.partitions.parked);
        let (waited, others) = all.into_iter().partition(|found| of(&found.finding) == partition);
        self.partitions.parked = others;
        let waited: Vec<_> = waited;
        if !waited.is_empty() {
            info!(partition, findings = waited.len(), "the lease is back");
        }
        for found in waited {
            self.judge_if_owned(found, turn);
        }
    }

    /// Judges what a brake has held back and does not any more. Bans start now.
    pub(super) fn judge_held(&mut self, turn: &mut Turn<'_>) {
        if self.ledger.held_back() == 0 {
            return;
        }
        let now_ms = turn.now.wall_ms;
        self.ledger.forget_stale(now_ms);
        let well_behaved = Some(self.analyzer.well_behaved(now_ms));
        while let Some(HeldBack { finding, edge }) = self.ledger.let_go(well_behaved, now_ms) {
            let found = Found {
                finding,
                edge: edge.unwrap_or_default(),
                received_ms: now_ms,
                again: true,
            };
            self.judge_if_owned(found, turn);
        }
    }

    /// A ban is in force: what its target does before its end does not count, or what it does on the edges that enforce it.
    pub(super) fn pay(&mut self, target: Prefix, until_ms: i64, layer: Layer, edges: Option<&[String]>) {
        match edges {
            None => self.reset(target, Reset::Banned { until_ms, layer }),
            Some(edges) => self.analyzer.banned_on(target, edges, until_ms),
        }
    }

    /// As [`pay`](Self::pay).
    pub(super) fn account_for(&mut self, command: &BlockCommand) {
        let edges = self.fleet.meant(&command.scope);
        self.pay(
            command.target,
            command.expires_at_ms,
            command.layer,
            edges.as_deref(),
        );
    }

    /// `target` was unbanned at `at_ms`; what it did before, and does within the grace, does not count.
    pub(super) fn forget(&mut self, target: Prefix, at_ms: i64) {
        self.ledger.forget_held(|source| target.covers(source));
        let until_ms = at_ms.saturating_add(self.unban_grace_ms);
        self.reset(target, Reset::Lifted { until_ms });
    }

    /// `rule` has said what it would have done to `source`; until then it looks away.
    pub(super) fn observe_until(&mut self, source: Prefix, rule: Rule, until_ms: i64) {
        self.reset(source, Reset::Observed { rule, until_ms });
    }

    /// Sources of partitions that others watch take no place in the analyzers.
    fn reset(&mut self, target: Prefix, reset: Reset) {
        self.resets.note(target, reset);
        let is_source = self.sources.is_source(&target);
        if !is_source || self.watches(target.partition(PARTITIONS)) {
            self.analyzer.reset(target, reset);
        }
    }
}

fn of(finding: &Finding) -> u16 {
    finding.source.partition(PARTITIONS)
}
