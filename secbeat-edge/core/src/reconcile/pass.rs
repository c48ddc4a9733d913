//! One comparison of the kernel with the desired bans: as many steps as its caller likes, with orders taken in between.
//!
//! [`begin`](Reconciler::begin), [`compare`](Reconciler::compare) for all that the kernel holds, then
//! [`finish`](Reconciler::finish), and [`repair`](Reconciler::repair) for all that was missing.

use std::sync::Arc;

use secbeat_common::{
    maps::origin,
    prefix::Prefix,
    wire::{Layer, Reason},
};

use super::{Change, Enforced, Origin, Reconciler, nets::kernel_end};
use crate::{BootTime, KernelBan, ObservedBan, Stamp, notes::SAME_END};

/// The differences that a comparison with the kernel found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// Desired, but not in the kernel.
    pub missing: usize,
    /// Those of the missing that had been there: an LRU map evicted them, or another program removed them.
    pub evicted: usize,
    /// In the kernel with another end or another origin.
    pub differing: usize,
    /// In the kernel, but not desired.
    pub foreign: usize,
    /// In the kernel after their end; harmless, since the program compares the end itself.
    pub ended: usize,
}

impl Drift {
    /// Bans that were not enforced as they should have been.
    #[must_use]
    pub fn is_harmful(&self) -> bool {
        self.missing + self.differing + self.foreign > 0
    }
}

/// A comparison under way.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    drift: Drift,
    /// Whether it left bans alone because no snapshot of the bus has told yet whether they are desired.
    has_unknown: bool,
}

impl Reconciler {
    /// Begins a comparison; one that was under way is void.
    pub(crate) fn begin(&mut self) -> Pass {
        self.pass = self.pass.wrapping_add(1);
        Pass::default()
    }

    /// Compares some of the kernel's bans with the desired ones and returns what to change at once.
    ///
    /// Bans in the kernel that were added on this host and that this process does not know yet (it has just started, or
    /// the command line wrote them) are adopted, with the end that the kernel has. Unknown bans of the fleet are removed,
    /// but only once a snapshot of the bus was read: until then the kernel alone knows them. So are bans of this host that it
    /// [disowns](Self::disowning). `has_to_go` tells of which
    /// targets the kernel must hold no ban unless it is desired: those that are allowlisted, or whose removal failed. `is_spoiled` tells of
    /// which ones the bus has an entry that nobody can read: the kernel alone knows of their bans, which stay.
    pub(crate) fn compare(
        &mut self,
        pass: &mut Pass,
        kernel: &[ObservedBan],
        now: BootTime,
        has_to_go: impl Fn(&Prefix) -> bool,
        is_spoiled: impl Fn(&Prefix) -> bool,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for ObservedBan { target, ban, stamp } in kernel {
            let claims = self.claims.get_mut(target);
            if let Some((claims, due)) =
                claims.and_then(|claims| claims.due_in_kernel(now).map(|due| (claims, due)))
            {
                claims.seen_in = Some(self.pass);
                let ends = kernel_end(&self.nets, target, due.ends);
                let same =
                    ends.since(ban.ends).max(ban.ends.since(ends)) < SAME_END && ban.origin == due.origin;
                pass.drift.differing += usize::from(!same);
                if !same || *stamp == Stamp::Outdated {
                    changes.extend(claims.enforced().map(|ban| Change::Put(*target, ban.clone())));
                }
                continue;
            }
            let has_to_go = self.claims.contains_key(target) || has_to_go(target);
            if ban.ends <= now {
                pass.drift.ended += 1;
                changes.push(Change::Remove(*target));
            } else if !has_to_go && ban.origin == origin::LOCAL && !self.disowns {
                let claims = self.claims.entry(*target).or_default();
                let note = self.notes.shared(target, ban.ends).cloned().unwrap_or_default();
                claims.set_local(adopted(ban, note));
                claims.seen_in = Some(self.pass);
                changes.push(self.change(*target));
            } else if has_to_go || (self.synced && !is_spoiled(target)) {
                pass.drift.foreign += 1;
                changes.push(Change::Remove(*target));
            } else {
                pass.has_unknown = true;
            }
        }
        changes
    }

    /// Ends the comparison when all bans of the kernel were compared. Returns what was found, and which targets are missing.
    #[expect(clippy::needless_pass_by_value, reason = "a comparison ends once")]
    pub(crate) fn finish(&mut self, pass: Pass, now: BootTime) -> (Drift, Vec<Prefix>) {
        let Pass {
            mut drift,
            has_unknown,
        } = pass;
        self.has_unknown = has_unknown;
        self.disowns &= has_unknown || !self.synced;
        let mut missing = Vec::new();
        for (target, claims) in &self.claims {
            if claims.seen_in != Some(self.pass) && claims.due_in_kernel(now).is_some() {
                missing.push(*target);
                drift.evicted += usize::from(claims.seen_in.is_some());
            }
        }
        missing.sort_unstable();
        drift.missing = missing.len();
        (drift, missing)
    }

    /// Returns what to write for those of `missing` that are still due: orders may have come since they were found missing.
    pub(crate) fn repair(&mut self, missing: &[Prefix], now: BootTime) -> Vec<Change> {
        let mut changes = Vec::new();
        for target in missing {
            let Some(claims) = self.claims.get_mut(target) else {
                continue;
            };
            if claims.seen_in != Some(self.pass) && claims.due_in_kernel(now).is_some() {
                claims.seen_in = None;
                changes.extend(claims.enforced().map(|ban| Change::Put(*target, ban.clone())));
            }
        }
        changes
    }

    /// Notes that the kernel has taken the ban of `target`.
    pub(crate) fn written(&mut self, target: &Prefix) {
        if let Some(claims) = self.claims.get_mut(target) {
            claims.seen_in = Some(self.pass);
        }
    }
}

fn adopted(ban: &KernelBan, note: Arc<str>) -> Enforced {
    Enforced {
        ends: ban.ends,
        reason: Reason::from_code(ban.reason).unwrap_or(Reason::Manual),
        strikes: ban.strikes,
        layer: Layer::Kernel,
        origin: Origin::Local,
        note,
    }
}
