//! Carrying changes out: at L7 at once, in the kernel in batches.

use std::collections::HashSet;

use secbeat_common::{prefix::Prefix, wire::Layer};
use tracing::error;

use super::{Enforcer, KernelSide};
use crate::{
    kernel::{BootTime, KernelBan},
    reconcile::{Change, Enforced, Entry},
};

/// Targets whose change the kernel did not take, and why.
#[derive(Debug, Default)]
pub(super) struct Failed {
    targets: HashSet<Prefix>,
    why: String,
}

impl Failed {
    fn add(&mut self, targets: impl IntoIterator<Item = Prefix>, error: &anyhow::Error) {
        self.targets.extend(targets);
        self.why = format!("{error:#}");
    }

    /// Why the change of `target` failed, if it did.
    pub(super) fn reason(&self, target: &Prefix) -> Option<&str> {
        self.targets.contains(target).then_some(&self.why)
    }
}

impl Enforcer {
    /// Carries out changes that the reconciler has already made. What fails is logged, and tried again by the next
    /// reconciliation.
    pub(super) fn apply(&mut self, changes: &[Change]) -> Failed {
        // L7 first, since it cannot fail.
        for change in changes {
            match change {
                Change::Put(target, ban) if self.at_l7 || ban.layer == Layer::L7 => {
                    self.l7.put(*target, ban.ends);
                }
                Change::Put(..) => {}
                Change::Remove(target) => self.l7.remove(target),
            }
        }
        let mut failed = Failed::default();
        if let Some(kernel) = &mut self.kernel {
            let reconciler = &self.reconciler;
            kernel.write(
                changes.iter().flat_map(|change| reconciler.entries(change)),
                &mut failed,
            );
        }
        if !failed.targets.is_empty() {
            error!("{}; reconciliation will try again", failed.why);
        }
        for target in &failed.targets {
            self.reconciler.not_written(target);
        }
        failed
    }
}

impl KernelSide {
    fn ban(&self, target: &Prefix, ban: &Enforced, ends: BootTime) -> KernelBan {
        KernelBan {
            ends,
            reason: ban.reason.code(),
            origin: ban.origin.code(),
            strikes: ban.strikes,
            unallowed_in: self.allowed.stamp(target),
            dropped_packets: 0,
            dropped_bytes: 0,
        }
    }

    /// Writes and removes in order, what is to be written between two removals in one go.
    fn write<'a>(&mut self, entries: impl Iterator<Item = Entry<'a>>, failed: &mut Failed) {
        let mut puts = Vec::new();
        for entry in entries {
            match entry {
                Entry::Put(target, ban, ends) => puts.push((target, self.ban(&target, ban, ends))),
                Entry::Remove(target) => {
                    self.put_all(&mut puts, failed);
                    if let Err(error) = self.bans.remove(&target) {
                        failed.add([target], &error);
                    }
                }
            }
        }
        self.put_all(&mut puts, failed);
    }

    fn put_all(&mut self, puts: &mut Vec<(Prefix, KernelBan)>, failed: &mut Failed) {
        if let Err(unwritten) = self.bans.put_all(puts, &self.clock) {
            let targets = unwritten.targets.clone();
            failed.add(targets, &unwritten.into());
        }
        puts.clear();
    }
}
