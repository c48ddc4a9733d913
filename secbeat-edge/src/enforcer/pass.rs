//! Reconciliation: the kernel is compared with what is desired and repaired, a few thousand bans at a time, so that a
//! million of them do not keep an order waiting.

use std::{
    time::{Duration, Instant},
    vec,
};

use secbeat_common::prefix::Prefix;
use tracing::{debug, error, warn};

use super::Enforcer;
use crate::kernel::{Walk, boot_now};
use secbeat_edge_core::{BAN_MAPS, Drift, Fill, Pass, Surroundings};

/// Missing bans that are written in one step.
const REPAIRED_AT_ONCE: usize = 4096;

/// A reconciliation under way.
#[derive(Debug)]
pub struct Reconciliation {
    began: Instant,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Comparing(Walk, Pass),
    Repairing(vec::IntoIter<Prefix>, Done),
    Ended(Done),
}

/// What a comparison found.
#[derive(Clone, Copy, Debug)]
struct Done {
    drift: Drift,
    fill: [Fill; BAN_MAPS.len()],
}

/// What reconciliation has found and done since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReconcileStats {
    /// Reconciliations that came to their end.
    pub completed: u64,
    /// Reconciliations that the kernel cut short.
    pub failed: u64,
    /// What the last one found.
    pub drift: Drift,
    /// How long it took, orders that were taken in between included.
    pub took: Duration,
    /// Bans that had been in the kernel, were still desired and found missing, over all reconciliations.
    pub evicted: u64,
    /// How full the ban maps were, in the order of [`BAN_MAPS`], before anything was repaired.
    pub fill: [Fill; BAN_MAPS.len()],
}

impl Enforcer {
    /// Begins a reconciliation; one that is under way begins anew.
    pub(super) fn reconcile(&mut self) {
        let Some(kernel) = &mut self.kernel else { return };
        match kernel.program.jiffy_clock() {
            Ok(clock) => kernel.clock = clock,
            Err(error) => return self.cut_short(&error),
        }
        self.reconciliation = Some(Reconciliation {
            began: Instant::now(),
            stage: Stage::Comparing(kernel.bans.begin(), self.reconciler.begin()),
        });
    }

    /// Whether there is a step to take.
    pub(super) fn is_reconciling(&self) -> bool {
        self.reconciliation.is_some()
    }

    /// Goes one step on, a few milliseconds' worth.
    pub(super) fn reconcile_on(&mut self) {
        let Some(Reconciliation { began, stage }) = self.reconciliation.take() else {
            return;
        };
        let next = match stage {
            Stage::Comparing(walk, pass) => self.compare(walk, pass),
            Stage::Repairing(missing, done) => Ok(self.repair(missing, done)),
            ended @ Stage::Ended(_) => Ok(ended),
        };
        match next {
            Ok(Stage::Ended(done)) => self.reconciled(done, began.elapsed()),
            Ok(stage) => self.reconciliation = Some(Reconciliation { began, stage }),
            Err(error) => self.cut_short(&error),
        }
    }

    fn compare(&mut self, mut walk: Walk, mut pass: Pass) -> anyhow::Result<Stage> {
        let Some(kernel) = &mut self.kernel else {
            anyhow::bail!("there is no kernel side")
        };
        if let Some(found) = kernel.bans.next(&mut walk)? {
            let changes = self.reconciler.compare(
                &mut pass,
                &found,
                boot_now(),
                &Surroundings {
                    protects: |target: &Prefix| self.protected.covers(target),
                    is_stamped: |target: &Prefix, stamp| kernel.allowed.is_current(target, stamp),
                },
            );
            self.apply(&changes);
            return Ok(Stage::Comparing(walk, pass));
        }
        kernel.bans.settle(&walk)?;
        let fill = kernel.bans.fill(&walk);
        let (drift, missing) = self.reconciler.finish(pass, boot_now());
        if drift.is_harmful() {
            warn!(
                missing = drift.missing,
                evicted = drift.evicted,
                differing = drift.differing,
                foreign = drift.foreign,
                "the kernel's bans had drifted: repairing"
            );
        }
        Ok(Stage::Repairing(missing.into_iter(), Done { drift, fill }))
    }

    fn repair(&mut self, mut missing: vec::IntoIter<Prefix>, done: Done) -> Stage {
        let some: Vec<_> = missing.by_ref().take(REPAIRED_AT_ONCE).collect();
        let changes = self.reconciler.repair(&some, boot_now());
        self.apply(&changes);
        match missing.len() {
            0 => Stage::Ended(done),
            _ => Stage::Repairing(missing, done),
        }
    }

    fn reconciled(&mut self, Done { drift, fill }: Done, took: Duration) {
        for ((name, before), now) in BAN_MAPS.iter().zip(&self.stats.fill).zip(&fill) {
            if now.is_crowded() && !before.is_crowded() {
                warn!(
                    map = name,
                    bans = now.entries,
                    slots = now.slots,
                    "over half full; an LRU map evicts bans before it is full: raise kernel.ban_slots"
                );
            }
        }
        debug!(?drift, ?fill, ?took, "reconciled");
        self.stats = ReconcileStats {
            completed: self.stats.completed + 1,
            failed: self.stats.failed,
            drift,
            took,
            evicted: self.stats.evicted + drift.evicted as u64,
            fill,
        };
    }

    fn cut_short(&mut self, error: &anyhow::Error) {
        self.reconciliation = None;
        self.stats.failed += 1;
        error!("comparing the kernel's bans with the desired ones: {error:#}");
    }
}
