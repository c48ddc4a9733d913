//! One comparison of the kernel with what is desired: as many steps as its caller likes, with orders taken in between.
//!
//! [`begin`](Reconciler::begin), [`compare`](Reconciler::compare) for all that the kernel holds, then
//! [`finish`](Reconciler::finish), and [`repair`](Reconciler::repair) for all that was missing.

use std::{sync::Arc, time::Duration};

use secbeat_common::{
    maps::origin,
    prefix::Prefix,
    wire::{Layer, Reason},
};

use super::{Change, Enforced, Origin, Reconciler, nets::kernel_end};
use crate::{BootTime, KernelBan};

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
    /// Whether it met bans that it left alone because nobody has said yet whether they are desired.
    strangers: bool,
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
            let claims = self.claims.get_mut(target);
            if let Some((claims, wanted)) =
                claims.and_then(|claims| claims.wanted_in_kernel(now).map(|wanted| (claims, wanted)))
            {
                claims.seen_in = Some(self.pass);
                let ends = kernel_end(&self.nets, target, wanted.ends);
                let same =
                    ends.since(ban.ends).max(ban.ends.since(ends)) < SAME_END && ban.origin == wanted.origin;
                pass.drift.differing += usize::from(!same);
                if !same || !(around.is_stamped)(target, ban.unallowed_in) {
                    changes.extend(claims.enforced().map(|ban| Change::Put(*target, ban.clone())));
                }
                continue;
            }
            let (desired, protected) = (self.claims.contains_key(target), (around.protects)(target));
            if ban.ends <= now {
                pass.drift.ended += 1;
                changes.push(Change::Remove(*target));
            } else if !desired && !protected && ban.origin == origin::LOCAL {
                let claims = self.claims.entry(*target).or_default();
                claims.set_local(adopted(ban));
                claims.seen_in = Some(self.pass);
                changes.push(self.change(*target));
            } else if desired || protected || self.synced {
                pass.drift.foreign += 1;
                changes.push(Change::Remove(*target));
            } else {
                pass.strangers = true;
            }
        }
        changes
    }

    /// Ends the comparison when all that the kernel holds has been compared: what was found, and what is missing.
    #[expect(clippy::needless_pass_by_value, reason = "a comparison ends once")]
    pub fn finish(&mut self, pass: Pass, now: BootTime) -> (Drift, Vec<Prefix>) {
        let Pass { mut drift, strangers } = pass;
        self.strangers = strangers;
        let mut missing = Vec::new();
        for (target, claims) in &self.claims {
            if claims.seen_in != Some(self.pass) && claims.wanted_in_kernel(now).is_some() {
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
            let Some(claims) = self.claims.get_mut(target) else {
                continue;
            };
            if claims.seen_in != Some(self.pass) && claims.wanted_in_kernel(now).is_some() {
                claims.seen_in = None;
                changes.extend(claims.enforced().map(|ban| Change::Put(*target, ban.clone())));
            }
        }
        changes
    }

    /// The kernel has taken the ban of `target`.
    pub fn written(&mut self, target: &Prefix) {
        if let Some(claims) = self.claims.get_mut(target) {
            claims.seen_in = Some(self.pass);
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
        note: Arc::default(),
    }
}
