//! One comparison of the kernel with what is desired: as many steps as its caller likes, with orders taken in between.
//!
//! [`begin`](Reconciler::begin), [`compare`](Reconciler::compare) for all that the kernel holds, then
//! [`finish`](Reconciler::finish), and [`repair`](Reconciler::repair) for all that was missing.

use std::time::Duration;

use secbeat_common::{
    maps::origin,
    prefix::Prefix,
    wire::{Layer, Reason},
};

use super::{Change, Enforced, Origin, Reconciler};
use crate::kernel::{BootTime, KernelBan};

/// Ends that differ by less are the same end: wall and boot clock are read one after the other.
const SAME_END: Duration = Duration::from_secs(1);

/// What a comparison with the kernel found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// Desired, but not in the kernel.
    pub missing: usize,
    /// Those of the missing that had been there: an LRU map has evicted them, or somebody has removed them.
    pub evicted: usize,
    /// In the kernel with another end, or for somebody else.
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
pub struct Pass {
    drift: Drift,
}

/// What this host knows beside its bans.
pub struct Surroundings<P, S> {
    /// Whether this host protects all of a prefix.
    pub protects: P,
    /// Whether a ban's [`unallowed_in`](secbeat_common::maps::Ban::unallowed_in) is as it should be.
    pub is_stamped: S,
}

impl Reconciler {
    /// Begins a comparison; one that was under way is void.
    pub fn begin(&mut self) -> Pass {
        self.pass = self.pass.wrapping_add(1);
        Pass::default()
    }

    /// Compares some of the kernel's bans with the desired ones and says what to change at once.
    ///
    /// Bans in the kernel that were added on this host and that this process does not know yet (it has just started, or
    /// the command line wrote them) are adopted, with the end that the kernel has. Fleet bans that nobody desires are
    /// removed, but only once the bus has been heard: until then they are all there is.
    pub fn compare<P, S>(
        &mut self,
        pass: &mut Pass,
        kernel: &[(Prefix, KernelBan)],
        now: BootTime,
        around: &Surroundings<P, S>,
    ) -> Vec<Change>
    where
        P: Fn(&Prefix) -> bool,
        S: Fn(&Prefix, u32) -> bool,
    {
        let mut changes = Vec::new();
        for (target, ban) in kernel {
            let desired = self.get(target);
            let wanted = desired.filter(|desired| desired.layer == Layer::Kernel && desired.ends > now);
            if let Some(wanted) = wanted {
                let ends = self.kernel_end(target, wanted);
                let same = ends.since(ban.ends).max(ban.ends.since(ends)) < SAME_END
                    && ban.origin == wanted.origin.code();
                if !same || !(around.is_stamped)(target, ban.unallowed_in) {
                    changes.push(Change::Put(*target, wanted.clone()));
                }
                pass.drift.differing += usize::from(!same);
                if let Some(claims) = self.claims.get_mut(target) {
                    claims.seen_in = Some(self.pass);
                }
            } else if ban.ends <= now {
                pass.drift.ended += 1;
                changes.push(Change::Remove(*target));
            } else if desired.is_none() && !(around.protects)(target) && ban.origin == origin::LOCAL {
                self.claims.entry(*target).or_default().local = Some(adopted(ban));
                changes.push(self.change(*target));
            } else if desired.is_some() || (around.protects)(target) || self.synced {
                pass.drift.foreign += 1;
                changes.push(Change::Remove(*target));
            }
        }
        changes
    }

    /// Ends the comparison when all that the kernel holds has been compared: what was found, and what is missing.
    #[must_use]
    pub fn finish(&self, pass: Pass, now: BootTime) -> (Drift, Vec<Prefix>) {
        let Pass { mut drift } = pass;
        let mut missing = Vec::new();
        for (target, claims) in &self.claims {
            let wanted = claims
                .enforced()
                .is_some_and(|ban| ban.layer == Layer::Kernel && ban.ends > now);
            if wanted && claims.seen_in != Some(self.pass) {
                missing.push(*target);
                drift.evicted += usize::from(claims.seen_in.is_some());
            }
        }
        drift.missing = missing.len();
        (drift, missing)
    }

    /// What to write for those of `missing` that are still wanted; orders may have come since they were found missing.
    pub fn repair(&mut self, missing: &[Prefix], now: BootTime) -> Vec<Change> {
        let mut changes = Vec::new();
        for target in missing {
            let wanted = self
                .get(target)
                .is_some_and(|ban| ban.layer == Layer::Kernel && ban.ends > now);
            if wanted {
                changes.push(self.change(*target));
            }
        }
        changes
    }

    /// The kernel did not take the ban of `target`.
    pub fn not_written(&mut self, target: &Prefix) {
        if let Some(claims) = self.claims.get_mut(target) {
            claims.seen_in = None;
        }
    }
}

fn adopted(ban: &KernelBan) -> Enforced {
    Enforced {
        ends: ban.ends,
        reason: Reason::from_code(ban.reason).unwrap_or(Reason::Manual),
        strikes: ban.strikes,
        layer: Layer::Kernel,
        origin: Origin::Local,
        note: String::new(),
    }
}
