//! Carrying changes out: at L7 at once, in the kernel in batches.

use std::collections::HashSet;

use secbeat_common::prefix::Prefix;
use tracing::error;

use super::{Enforcer, KernelSide};
use secbeat_edge_core::{BootTime, Change, Enforced, Entry, KernelBan};

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
                Change::Put(target, ban) => self.l7.put(*target, ban.ends, ban.layer),
                Change::Remove(target) => self.l7.remove(target),
            }
        }
        let mut outcome = Outcome::default();
        if let Some(kernel) = &mut self.kernel {
            let reconciler = &self.reconciler;
            let entries = changes.iter().flat_map(|change| reconciler.entries(change));
            kernel.write(entries, &mut outcome);
        }
        for target in &outcome.written {
            self.reconciler.written(target);
        }
        if !self.unwritten.is_empty() {
            for change in changes {
                self.unwritten.remove(&change.target());
            }
        }
        if !outcome.failed.targets.is_empty() {
            self.unwritten.extend(&outcome.failed.targets);
            error!("{}; reconciliation will try again", outcome.failed.why);
        }
        outcome.failed
    }
}

/// What became of entries.
#[derive(Debug, Default)]
struct Outcome {
    written: Vec<Prefix>,
    failed: Failed,
}

/// Entries that wait to be written together.
#[derive(Debug, Default)]
struct Waiting {
    new: Vec<(Prefix, KernelBan)>,
    known: Vec<(Prefix, KernelBan)>,
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
    fn write<'a>(&mut self, entries: impl Iterator<Item = Entry<'a>>, outcome: &mut Outcome) {
        let mut waiting = Waiting::default();
        for entry in entries {
            match entry {
                Entry::Put {
                    target,
                    ban,
                    ends,
                    is_new,
                } => {
                    let put = (target, self.ban(&target, ban, ends));
                    if is_new {
                        waiting.new.push(put);
                    } else {
                        waiting.known.push(put);
                    }
                }
                Entry::Remove(target) => {
                    self.put_all(std::mem::take(&mut waiting), outcome);
                    if let Err(error) = self.bans.remove(&target) {
                        outcome.failed.add([target], &error);
                    }
                }
            }
        }
        self.put_all(waiting, outcome);
    }

    fn put_all(&mut self, Waiting { new, known }: Waiting, outcome: &mut Outcome) {
        let unwritten = [
            self.bans.put_all_new(&new, &self.clock),
            self.bans.put_all(&known, &self.clock),
        ];
        for unwritten in unwritten.into_iter().filter_map(Result::err) {
            let targets = unwritten.targets.clone();
            outcome.failed.add(targets, &unwritten.into());
        }
        let written = new.iter().chain(&known).map(|(target, _)| *target);
        if outcome.failed.targets.is_empty() {
            outcome.written.extend(written);
        } else {
            let failed = &outcome.failed.targets;
            outcome
                .written
                .extend(written.filter(|target| !failed.contains(target)));
        }
    }
}
