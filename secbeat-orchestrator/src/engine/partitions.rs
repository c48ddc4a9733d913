//! Which partitions' sources the engine judges.

use secbeat_common::{daemon::time::now_ms, prefix::Prefix, subjects::PARTITIONS, wire::Layer};
use tracing::{info, warn};

use super::{Engine, resets::Reset};
use crate::{
    detect::{Finding, Rule},
    leases::{Standing, boot_ms, shell::Ownership},
};

/// Findings that wait for a lapsed lease; past it further ones are forgotten.
const MAX_PARKED: usize = 100_000;

/// What came to a partition, and waits for it.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    /// Those whose windows are kept.
    watched: [bool; PARTITIONS as usize],
    /// Findings of partitions whose lease has lapsed, with the time at which the server received what led to them.
    parked: Vec<(Finding, i64)>,
}

impl Engine {
    /// A partition has come or gone.
    pub(super) fn owned(&mut self, ownership: Ownership) {
        match ownership {
            Ownership::Taken { partition, epoch } => {
                self.ledger.set_epoch(partition, epoch);
                if !std::mem::replace(&mut self.partitions.watched[usize::from(partition)], true) {
                    self.begin(partition);
                }
                self.judge_parked(partition);
                self.write_lost(|n| n == partition);
                self.adopt_stale(partition);
            }
            Ownership::Lost { partition } => {
                self.partitions.watched[usize::from(partition)] = false;
                self.partitions
                    .parked
                    .retain(|(finding, _)| of(finding) != partition);
                self.detector.forget_partition(partition);
            }
        }
    }

    /// Begins to watch the sources of `partition`: with nothing but what is known to be paid for.
    fn begin(&mut self, partition: u16) {
        self.detector.forget_partition(partition);
        self.edges.forget_partition(partition);
        for (target, reset) in self.resets.of(partition, self.detector.sources()) {
            self.apply(target, reset);
        }
    }

    /// Whether the sources of `partition` are watched.
    pub(super) fn watches(&self, partition: u16) -> bool {
        self.partitions.watched.get(usize::from(partition)) == Some(&true)
    }

    /// Judges a finding if this orchestrator owns its source's partition for certain. If that has become uncertain, the
    /// finding waits until it is certain again, or somebody else's.
    pub(super) fn found(&mut self, finding: &Finding, received_ms: i64) {
        match self.tenures.standing(of(finding), boot_ms()) {
            Standing::Owner { .. } => self.judge(finding, received_ms),
            Standing::Lapsed if self.partitions.parked.len() < MAX_PARKED => {
                self.partitions.parked.push((*finding, received_ms));
            }
            Standing::Lapsed => warn!("too many findings wait for the lease of their partition"),
            Standing::Stranger => {}
        }
    }

    fn judge_parked(&mut self, partition: u16) {
        let all = std::mem::take(&mut self.partitions.parked);
        let (waited, others) = all.into_iter().partition(|(finding, _)| of(finding) == partition);
        self.partitions.parked = others;
        let waited: Vec<_> = waited;
        if !waited.is_empty() {
            info!(partition, findings = waited.len(), "the lease is back");
        }
        for (finding, received_ms) in waited {
            self.found(&finding, received_ms);
        }
    }

    /// `target` is banned until then; what it does before does not count.
    pub(super) fn ignore_until(&mut self, target: Prefix, until_ms: i64, layer: Layer) {
        self.reset(target, Reset::Banned { until_ms, layer });
    }

    /// `target` was unbanned at `at_ms`; what it did before, and does within the grace, does not count.
    pub(super) fn forget(&mut self, target: Prefix, at_ms: i64) {
        let until_ms = at_ms.saturating_add(self.unban_grace_ms);
        self.reset(target, Reset::Lifted { until_ms });
    }

    /// `rule` has said what it would have done to `source`; until then it looks away.
    pub(super) fn observe_until(&mut self, source: Prefix, rule: Rule, until_ms: i64) {
        self.reset(source, Reset::Observed { rule, until_ms });
    }

    /// Sources of partitions that others watch take no place in the detector.
    fn reset(&mut self, target: Prefix, reset: Reset) {
        self.resets.note(target, reset);
        let is_source = self.detector.sources().is_source(&target);
        if !is_source || self.watches(target.partition(PARTITIONS)) {
            self.apply(target, reset);
        }
    }

    fn apply(&mut self, target: Prefix, reset: Reset) {
        match reset {
            Reset::Banned { until_ms, layer } => self.detector.ignore_until(target, until_ms, layer),
            Reset::Lifted { until_ms } => self.detector.forget(target, until_ms),
            Reset::Observed { rule, until_ms } => self.detector.observe_until(target, rule, until_ms),
        }
    }

    /// Forgets what no telemetry is old enough for.
    pub(super) fn prune_resets(&mut self) {
        self.resets.prune(now_ms() - self.max_age_ms);
    }
}

fn of(finding: &Finding) -> u16 {
    finding.source.partition(PARTITIONS)
}
