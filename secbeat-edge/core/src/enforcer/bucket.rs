//! The bans bucket: which of its commands are taken, and what is acknowledged.
//!
//! A command is acknowledged once, when it is new to this process: as enforced, once the kernel (or the HTTP layer, where
//! that is all) has it; as refused, with the reason, and again as enforced if the reason goes; or as failed. The first
//! snapshot after a start holds bans that are new to the process alone, and mostly in the kernel already: of those only
//! bans issued less than [`RECENT_MS`] ago are acknowledged.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use secbeat_common::{
    fence::Fence,
    prefix::Prefix,
    wire::{BlockCommand, Enforcement},
};

use super::{
    Enforcer,
    effect::Fact,
    event::{BucketId, BucketUpdate},
    writes::{TakenCommand, Turn, Waiting},
};
use crate::{Moment, Refusal, reconcile::Change};

/// How long after its issue the fleet may still wait for the acknowledgement of a ban.
const RECENT_MS: i64 = 60_000;
/// How long after its expiry a ban may still arrive without anything being wrong: the bus keeps it for up to a second.
const CLOCK_TOLERANCE_MS: i64 = 2_000;

/// A snapshot of the bucket that is being read.
#[derive(Debug)]
pub(super) struct Snapshot {
    bucket: BucketId,
    /// Targets that may have a ban in the bucket.
    present: HashSet<Prefix>,
}

/// A command that has arrived.
struct Arrival {
    command: Box<BlockCommand>,
    received: SystemTime,
    /// Whether it was received before.
    is_known: bool,
    /// Whether the fleet waits for an acknowledgement.
    awaited: bool,
}

impl Enforcer {
    pub(super) fn update(&mut self, update: BucketUpdate, turn: &mut Turn<'_>) {
        match update {
            BucketUpdate::SnapshotBegin(bucket) => self.begin_snapshot(bucket, turn),
            BucketUpdate::Put {
                command,
                revision,
                received,
            } => {
                self.is_present(command.target);
                self.spoiled.remove(&command.target);
                self.revision = self.revision.max(revision);
                let arrival = self.arrival(command, received, turn.now);
                if self.fence.admits(&arrival.command, revision) {
                    self.take(arrival, turn);
                } else {
                    self.take_stale(arrival, turn);
                }
            }
            BucketUpdate::Removed { target, revision } => {
                self.revision = self.revision.max(revision);
                self.deferred.remove(&target);
                self.spoiled.remove(&target);
                self.withdraw(target, turn);
            }
            BucketUpdate::Spoiled { target } => {
                self.is_present(target);
                self.spoiled.insert(target);
            }
            BucketUpdate::SnapshotEnd => self.end_snapshot(turn),
            BucketUpdate::TimeSet => {
                for change in self.reconciler.reckon_anew(turn.now) {
                    self.apply(&change, turn);
                }
            }
        }
    }

    /// The bucket has a ban of `target` no more.
    fn withdraw(&mut self, target: Prefix, turn: &mut Turn<'_>) {
        if let Some(change) = self.reconciler.withdraw(&target) {
            turn.report(Fact::Lifted(target));
            self.apply(&change, turn);
        }
    }

    fn is_present(&mut self, target: Prefix) {
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.present.insert(target);
        }
    }

    fn begin_snapshot(&mut self, bucket: BucketId, turn: &mut Turn<'_>) {
        if self.bucket.replace(bucket).is_some_and(|before| before != bucket) {
            // The revisions of another bucket begin again.
            self.fence = Fence::default();
            self.revision = 0;
        }
        if self.is_replaced(bucket) {
            turn.report(Fact::BucketReplaced);
        }
        self.snapshot = Some(Snapshot {
            bucket,
            present: HashSet::new(),
        });
    }

    /// Whether `bucket` is another one than that of the first snapshot. It has forgotten bans that were not lifted: what it
    /// does not hold says nothing.
    fn is_replaced(&self, bucket: BucketId) -> bool {
        self.first_bucket.is_some_and(|first| first != bucket)
    }

    fn end_snapshot(&mut self, turn: &mut Turn<'_>) {
        let Some(Snapshot { bucket, present }) = self.snapshot.take() else {
            return;
        };
        if self.is_replaced(bucket) {
            return;
        }
        self.first_bucket = Some(bucket);
        turn.report(Fact::SnapshotRead { bans: present.len() });
        self.deferred.retain(|target, _| present.contains(target));
        self.spoiled.retain(|target| present.contains(target));
        for change in self.reconciler.complete_snapshot(&present) {
            self.apply(&change, turn);
        }
        self.reconcile(turn);
    }

    /// Takes a ban again that was refused while its target was allowlisted.
    pub(super) fn take_again(&mut self, command: BlockCommand, turn: &mut Turn<'_>) {
        let received =
            UNIX_EPOCH + Duration::from_millis(u64::try_from(turn.now.wall_ms).unwrap_or_default());
        let arrival = self.arrival(Box::new(command), received, turn.now);
        self.take(arrival, turn);
    }

    fn arrival(&self, command: Box<BlockCommand>, received: SystemTime, now: Moment) -> Arrival {
        let is_live = self.snapshot.is_none() || self.reconciler.is_synced();
        Arrival {
            is_known: self.reconciler.has_command(&command.target, command.id),
            awaited: is_live || now.wall_ms.saturating_sub(command.issued_at_ms) < RECENT_MS,
            command,
            received,
        }
    }

    fn accept(&mut self, command: &BlockCommand, now: Moment) -> Result<Option<Change>, Refusal> {
        let allowlist = &self.allowlist;
        self.reconciler
            .accept(command, now, |target| allowlist.covers(target))
    }

    fn take(&mut self, arrival: Arrival, turn: &mut Turn<'_>) {
        self.deferred.remove(&arrival.command.target);
        match self.accept(&arrival.command, turn.now) {
            Ok(None) => {}
            Ok(Some(mut change)) => {
                if let Some(yielded) = self.reconciler.yield_to_fleet(&arrival.command.target) {
                    turn.report(Fact::TakenOver(arrival.command.target));
                    change = yielded;
                }
                self.apply(&change, turn);
                turn.when_written(Waiting::Command(TakenCommand {
                    command: arrival.command,
                    received: arrival.received,
                    awaited: arrival.awaited,
                }));
            }
            Err(Refusal::Expired) => {
                let command = &arrival.command;
                report_expired(command, turn);
                // It took the place of the ban that is enforced. One that was to end later cannot be over before that one
                // is: this host's clock is wrong.
                let ends_later = |ends_ms| command.expires_at_ms >= ends_ms;
                if !arrival.is_known && !self.reconciler.fleet_end(&command.target).is_some_and(ends_later) {
                    self.withdraw(command.target, turn);
                }
            }
            // The one that it enforced before was for more edges, or it had other labels then.
            Err(Refusal::OtherScope) => {
                let target = arrival.command.target;
                if let Some(change) = self.reconciler.leave_to_others(&target) {
                    turn.report(Fact::Lifted(target));
                    self.apply(&change, turn);
                }
            }
            Err(refusal) => self.refuse(arrival, refusal, turn),
        }
    }

    /// Takes a command of an orchestrator that had lost its partition. What is enforced stays.
    fn take_stale(&mut self, arrival: Arrival, turn: &mut Turn<'_>) {
        self.deferred.remove(&arrival.command.target);
        match self.reconciler.refuse_stale(&arrival.command, turn.now) {
            Refusal::Expired => report_expired(&arrival.command, turn),
            refusal => self.refuse(arrival, refusal, turn),
        }
    }

    fn refuse(&mut self, arrival: Arrival, refusal: Refusal, turn: &mut Turn<'_>) {
        let Arrival {
            command,
            received,
            is_known,
            awaited,
        } = arrival;
        if awaited && !is_known {
            turn.acknowledge(&command, received, Enforcement::Refused(refusal.to_string()));
        }
        if refusal == Refusal::Stale && !is_known {
            turn.report(Fact::StaleCommand);
        }
        let target = command.target;
        if matches!(refusal, Refusal::Allowlisted(_)) {
            self.deferred.insert(target, *command);
        }
        turn.report(Fact::Refused { target, refusal });
    }
}

/// When a ban expires, its key leaves the bucket a moment later. One that comes long after its end tells of a wrong clock.
fn report_expired(command: &BlockCommand, turn: &mut Turn<'_>) {
    let late_ms = turn.now.wall_ms.saturating_sub(command.expires_at_ms);
    if late_ms > CLOCK_TOLERANCE_MS {
        let target = command.target;
        turn.report(Fact::ExpiredCommand { target, late_ms });
    }
}
