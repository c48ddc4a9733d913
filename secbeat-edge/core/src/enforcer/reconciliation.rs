//! Reconciliation: the kernel is compared with the desired bans and repaired, a few thousand bans at a time, so that a
//! million of them do not keep an order waiting.

use std::{time::Duration, vec};

use secbeat_common::prefix::Prefix;

use super::{
    Enforcer,
    effect::{Fact, Step},
    status::ReconcileStats,
    writes::Turn,
};
use crate::{BAN_MAPS, BootTime, Drift, Fill, ObservedBan, reconcile::Pass};

/// Missing bans that are written in one step.
const REPAIRED_AT_ONCE: usize = 4096;

/// A reconciliation under way.
#[derive(Debug)]
pub(super) struct Reconciliation {
    began: BootTime,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Comparing(Pass),
    Repairing(vec::IntoIter<Prefix>, Comparison),
}

/// The result of a comparison.
#[derive(Clone, Copy, Debug)]
struct Comparison {
    drift: Drift,
    fill: [Fill; BAN_MAPS.len()],
}

impl Enforcer {
    /// Begins a reconciliation; one that is under way begins again.
    pub(super) fn reconcile(&mut self, turn: &mut Turn<'_>) {
        if !self.has_kernel {
            return;
        }
        self.reconciliation = Some(Reconciliation {
            began: turn.now.boot,
            stage: Stage::Comparing(self.reconciler.begin()),
        });
        turn.next = Some(Step::BeginRead);
    }

    /// Compares some of the kernel's bans.
    pub(super) fn compare(&mut self, bans: &[ObservedBan], turn: &mut Turn<'_>) {
        let Some(Reconciliation {
            stage: Stage::Comparing(pass),
            ..
        }) = &mut self.reconciliation
        else {
            return;
        };
        let (allowlist, unwritten) = (&self.allowlist, &self.unwritten);
        let has_to_go = |target: &Prefix| allowlist.covers(target) || unwritten.contains(target);
        let is_spoiled = |target: &Prefix| self.spoiled.contains(target);
        let changes = self
            .reconciler
            .compare(pass, bans, turn.now.boot, has_to_go, is_spoiled);
        for change in changes {
            self.apply(&change, turn);
        }
        turn.next = Some(Step::ReadOn);
    }

    /// All of the kernel's bans were compared.
    pub(super) fn compared(&mut self, fill: [Fill; BAN_MAPS.len()], turn: &mut Turn<'_>) {
        let Some(Reconciliation {
            began,
            stage: Stage::Comparing(pass),
        }) = self.reconciliation.take()
        else {
            return;
        };
        let (drift, missing) = self.reconciler.finish(pass, turn.now.boot);
        if drift.is_harmful() {
            turn.report(Fact::Drifted(drift));
        }
        let stage = Stage::Repairing(missing.into_iter(), Comparison { drift, fill });
        self.reconciliation = Some(Reconciliation { began, stage });
        turn.next = Some(Step::Repair);
    }

    /// Writes some of the missing bans.
    pub(super) fn repair(&mut self, turn: &mut Turn<'_>) {
        let Some(Reconciliation {
            began,
            stage: Stage::Repairing(missing, comparison),
        }) = &mut self.reconciliation
        else {
            return;
        };
        let (began, comparison) = (*began, *comparison);
        let some: Vec<_> = missing.by_ref().take(REPAIRED_AT_ONCE).collect();
        let is_done = missing.as_slice().is_empty();
        for change in self.reconciler.repair(&some, turn.now.boot) {
            self.apply(&change, turn);
        }
        if is_done {
            self.reconciliation = None;
            self.reconciled(comparison, turn.now.boot.since(began), turn);
        } else {
            turn.next = Some(Step::Repair);
        }
    }

    fn reconciled(&mut self, Comparison { drift, fill }: Comparison, took: Duration, turn: &mut Turn<'_>) {
        for ((map, before), now) in BAN_MAPS.iter().zip(&self.stats.fill).zip(&fill) {
            if now.is_crowded() && !before.is_crowded() {
                turn.report(Fact::Crowded { map, fill: *now });
            }
        }
        self.stats = ReconcileStats {
            completed: self.stats.completed + 1,
            failed: self.stats.failed,
            drift,
            took,
            evicted: self.stats.evicted + drift.evicted as u64,
            fill,
        };
        turn.report(Fact::Reconciled(self.stats));
    }

    pub(super) fn unreadable(&mut self, why: String, turn: &mut Turn<'_>) {
        if self.reconciliation.take().is_some() {
            self.stats.failed += 1;
            turn.report(Fact::ReconcileFailed(why));
        }
    }
}
