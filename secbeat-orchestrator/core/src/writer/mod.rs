//! Makes the bucket of bans say what the ledger says.
//!
//! For each target only the latest request counts, and at most one write of it is under way: a retried ban can neither come
//! after its own unban nor replace a newer ban. A write that was not acknowledged is tried again, since nobody knows
//! whether it happened.
//!
//! A write is made on top of what was last heard of its key. If something else is there, another orchestrator wrote it:
//! an automatic ban gives way to any ban in force. An operator's ban gives way to the same ban, and to one that lasts longer or
//! holds on more edges, as if the order had come after it. That also holds for what is heard of while the
//! request waits: see [`WriteRequest::basis`]. An automatic ban is written by the owner of
//! its partition alone, and bears the epoch of that moment.
//!
//! [`Writer::handle`] takes one [`Event`] and adds the operations that follow to the effects; each operation is answered by
//! one event.

mod queue;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use secbeat_common::{
    prefix::Prefix,
    subjects::PARTITIONS,
    wire::{BlockCommand, NO_LEASE},
};
use tracing::debug;
use uuid::Uuid;

use self::queue::Queues;
use crate::{
    Moment,
    bucket::{Found, Held, Put, Revisions},
    leases::{LeaseTable, Standing},
    ledger::{is_same_ban, obstacle},
};

/// Most bans in one batch: the server takes 1000, and half as many keep others waiting half as long.
pub const BATCH: usize = 500;
/// Pause before the first retry of a write, in milliseconds; each further one is twice as long, up to [`LAST_RETRY_MS`].
pub const FIRST_RETRY_MS: i64 = 100;
/// Longest pause before a retry, in milliseconds. A ban waits for as long once NATS has elected a new leader of the bucket.
pub const LAST_RETRY_MS: i64 = 500;
/// Operations under way at most. The server takes them one after the other, so that more would only wait there, and run into
/// the time that an acknowledgement may take.
const UNDER_WAY: usize = 512;
/// The same for those of [`Urgency::Bulk`], so that there is always room for the others.
const BULK_UNDER_WAY: usize = 256;
/// Batches under way at most.
const BATCHES_UNDER_WAY: usize = 2;

/// Desired content of the bucket for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteRequest {
    pub target: Prefix,
    pub write: Write,
    pub urgency: Urgency,
    /// The revision of the key that the decision was made on, as far as was known; 0 if there was none. Where another ban
    /// has been heard of since, none is written before that was read.
    pub basis: u64,
    /// Whether a ban may end another one earlier that was not known when it was decided.
    pub shortens: bool,
}

/// Desired content of a target's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// This ban.
    Ban(Box<BlockCommand>),
    /// Nothing: the ban of this id, which would have expired at `expires_at_ms`, was lifted at `at_ms` (milliseconds since the
    /// Unix epoch), and any older one with it.
    Lift {
        id: Uuid,
        at_ms: i64,
        expires_at_ms: i64,
    },
}

/// Urgency of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody is attacking, or waits for the answer.
    Now,
    /// One of very many; it waits for all others.
    Bulk,
}

/// Outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The bucket has the ban, at this revision of its key.
    Written { revision: u64 },
    /// The bucket has no ban any more.
    Lifted,
    /// The ban expired before the server took it, or took its end.
    Ended,
    /// A later request for the same target took its place before the server had acknowledged it.
    Superseded,
    /// The bucket had the ban, and another orchestrator has lifted it meanwhile.
    Revoked,
    /// Another orchestrator has banned the target meanwhile, by this command, which stays.
    Outrun(Box<BlockCommand>),
    /// Another orchestrator owns the target's partition now, and decides.
    Fenced,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    Request(WriteRequest),
    /// What became of the ban `id` is known by other means than an answer, which may have been lost.
    Settled {
        target: Prefix,
        id: Uuid,
        fate: Fate,
    },
    /// The answer to a [`Operation::Put`] or [`Operation::Remove`].
    Done {
        target: Prefix,
        put: Put,
    },
    /// The answer to a [`Operation::Read`]: the key's revision (0: it does not exist), and what it holds.
    Read {
        target: Prefix,
        revision: u64,
        found: Found,
    },
    /// An operation on this target's key was not acknowledged; it may have happened all the same.
    Failed {
        target: Prefix,
    },
    /// The server took a batch; its revisions follow each other from this one on.
    AllPut {
        batch: u64,
        first_revision: u64,
    },
    /// A batch was not acknowledged; it may have been taken all the same.
    BatchFailed {
        batch: u64,
    },
    /// Time has passed: see [`Writer::due_ms`].
    Tick,
}

/// Action to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask the bus, once.
    Operate(Operation),
    /// Tell what became of a request: `id` is its ban's.
    Report { id: Uuid, fate: Fate },
}

/// Operation on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Write a ban on top of what its key holds.
    Put { command: Box<BlockCommand>, over: Held },
    /// Read what the key of a target holds.
    Read { target: Prefix },
    /// Take the ban `id` out of the key of a target, on top of what it holds.
    Remove { target: Prefix, id: Uuid, over: Held },
    /// Write bans all at once or none, each on top of what its key holds.
    PutAll {
        batch: u64,
        commands: Vec<(BlockCommand, Held)>,
    },
}

/// State that the writer works with at one moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub now: Moment,
    /// State of the bucket, as far as it was read.
    pub revisions: &'a Revisions,
    /// Partitions that this orchestrator may act for.
    pub leases: &'a LeaseTable,
    /// Whether the server takes batches.
    pub takes_batches: bool,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Writer {
    /// The latest request for each target that waits or is under way.
    pending: HashMap<Prefix, PendingWrite>,
    queues: Queues,
    /// Targets that are tried again, each at this time of the clock that only moves forward.
    retries: BTreeSet<(i64, Prefix)>,
    /// Operations on single keys that are under way.
    under_way: usize,
    batches: HashMap<u64, Vec<BlockCommand>>,
    /// Batches made so far.
    made: u64,
}

#[derive(Debug)]
struct PendingWrite {
    write: Write,
    /// As [`WriteRequest::basis`].
    basis: u64,
    /// As [`WriteRequest::shortens`].
    shortens: bool,
    /// Time at which the ban was lifted whose end this request replaced: what was issued up to then is lifted by it, too.
    lifted_ms: Option<i64>,
    /// Of a removal under way: when what it removes would expire by itself.
    held_until_ms: i64,
    /// That of its most urgent request.
    urgency: Urgency,
    step: Step,
    /// What became of `write`, if that is known while an operation is under way.
    settled: Option<Fate>,
    /// Before the next retry.
    pause_ms: i64,
}

/// Progress of a request.
#[derive(Clone, Debug)]
enum Step {
    /// In a queue.
    Queued,
    /// Among the retries.
    Paused,
    /// An operation is under way, for this request; the latest may be another one.
    UnderWay(Write),
    /// In a batch that is under way.
    InBatch,
}

impl Write {
    /// Of the ban that it is about.
    #[must_use]
    pub fn id(&self) -> Uuid {
        match self {
            Self::Ban(command) => command.id,
            Self::Lift { id, .. } => *id,
        }
    }

    /// Whether both ask for the same.
    fn is(&self, other: &Self) -> bool {
        self.id() == other.id()
            && matches!(
                (self, other),
                (Self::Ban(_), Self::Ban(_)) | (Self::Lift { .. }, Self::Lift { .. })
            )
    }
}

impl Writer {
    /// Takes in what has happened, and adds what is to be done to `effects`.
    pub fn handle(&mut self, event: Event, view: View<'_>, effects: &mut Vec<Effect>) {
        match event {
            Event::Request(request) => self.request(request, effects),
            Event::Settled { target, id, fate } => self.settle_unanswered(target, id, fate, effects),
            Event::Done { target, put } => self.done(target, put, view, effects),
            Event::Read {
                target,
                revision,
                found,
            } => self.read(target, revision, found, view, effects),
            Event::Failed { target } => {
                if self.ends_operation(&target).is_some() && !self.is_settled(&target, effects) {
                    debug!(%target, "writing to the bans bucket failed; it is tried again");
                    self.pause(target, view.now);
                }
            }
            Event::AllPut {
                batch,
                first_revision,
            } => {
                let commands = self.batches.remove(&batch).unwrap_or_default();
                for (command, revision) in commands.into_iter().zip(first_revision..) {
                    let (target, write) = (command.target, Write::Ban(Box::new(command)));
                    self.settle(target, &write, Fate::Written { revision }, view, effects);
                }
            }
            Event::BatchFailed { batch } => self.batch_failed(batch, view.now, effects),
            Event::Tick => {}
        }
        self.start_all(view, effects);
    }

    /// Returns when [`Event::Tick`] is due, by the clock that only moves forward; `None` while nothing waits for the time.
    #[must_use]
    pub fn due_ms(&self) -> Option<i64> {
        let retry = self.retries.first().map(|(at_ms, _)| *at_ms);
        retry.into_iter().chain(self.queues.bulk_due_ms()).min()
    }

    /// Whether nothing waits or is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    fn request(&mut self, request: WriteRequest, effects: &mut Vec<Effect>) {
        let WriteRequest {
            target,
            write,
            urgency,
            basis,
            shortens,
        } = request;
        let id = write.id();
        match self.pending.get_mut(&target) {
            None => {
                let pending = PendingWrite {
                    write,
                    basis,
                    shortens,
                    lifted_ms: None,
                    held_until_ms: 0,
                    urgency,
                    step: Step::Queued,
                    settled: None,
                    pause_ms: 0,
                };
                self.pending.insert(target, pending);
                self.queues.push(target, urgency);
            }
            Some(pending) => {
                let before = std::mem::replace(&mut pending.write, write);
                if let Write::Lift { at_ms, .. } = before {
                    pending.lifted_ms = Some(at_ms);
                }
                let before = before.id();
                pending.basis = basis;
                pending.shortens = shortens;
                pending.settled = None;
                // One that became urgent is in both queues, and passed over in the second.
                if urgency == Urgency::Now {
                    pending.urgency = urgency;
                    if matches!(pending.step, Step::Queued) {
                        self.queues.push(target, urgency);
                    }
                }
                if before != id {
                    effects.push(Effect::Report {
                        id: before,
                        fate: Fate::Superseded,
                    });
                }
            }
        }
    }

    /// Starts all that there is room for: what is urgent one by one, what is not in batches.
    fn start_all(&mut self, view: View<'_>, effects: &mut Vec<Effect>) {
        self.queue_retries(view.now);
        while self.attempts() < UNDER_WAY
            && let Some(target) = self.queues.pop_now()
        {
            if self.is_queued(&target) {
                self.start(target, view, effects);
            }
        }
        while self.queues.has_bulk(view.now.boot_ms) && self.attempts() < BULK_UNDER_WAY {
            if view.takes_batches && self.queues.takes_batches() {
                if self.batches.len() >= BATCHES_UNDER_WAY {
                    break;
                }
                self.start_batch(view, effects);
            } else if let Some(target) = self.queues.pop_single()
                && self.is_queued(&target)
            {
                self.start(target, view, effects);
            }
        }
    }

    /// Queues the requests whose pause is over.
    fn queue_retries(&mut self, now: Moment) {
        let mut singles = Vec::new();
        while let Some((at_ms, target)) = self.retries.first().copied()
            && at_ms <= now.boot_ms
        {
            self.retries.pop_first();
            if let Some(pending) = self.pending.get_mut(&target) {
                pending.step = Step::Queued;
                match pending.urgency {
                    Urgency::Now => self.queues.push(target, Urgency::Now),
                    Urgency::Bulk => singles.push(target),
                }
            }
        }
        self.queues.push_singles(singles);
    }

    fn attempts(&self) -> usize {
        self.under_way + self.batches.len()
    }

    fn is_queued(&self, target: &Prefix) -> bool {
        let pending = self.pending.get(target);
        pending.is_some_and(|pending| matches!(pending.step, Step::Queued))
    }

    /// Writes the next bans that operators ordered together; what else is among them goes by itself.
    fn start_batch(&mut self, view: View<'_>, effects: &mut Vec<Effect>) {
        let mut commands = Vec::new();
        while commands.len() < BATCH
            && self.attempts() < BULK_UNDER_WAY
            && let Some(target) = self.queues.pop_bulk()
        {
            let over = view.revisions.of(&target);
            match self.pending.get_mut(&target) {
                Some(PendingWrite {
                    write: Write::Ban(command),
                    step: step @ Step::Queued,
                    basis,
                    ..
                }) if command.epoch == NO_LEASE
                    && command.expires_at_ms > view.now.wall_ms
                    && is_known(command, *basis, over, view.now.wall_ms) =>
                {
                    *step = Step::InBatch;
                    commands.push(((**command).clone(), over));
                }
                Some(PendingWrite {
                    step: Step::Queued, ..
                }) => self.start(target, view, effects),
                Some(_) | None => {}
            }
        }
        if commands.is_empty() {
            return;
        }
        self.made += 1;
        let batch = self.made;
        let all = commands.iter().map(|(command, _)| command.clone());
        self.batches.insert(batch, all.collect());
        effects.push(Effect::Operate(Operation::PutAll { batch, commands }));
    }

    /// The bans of a batch are written one by one, after a pause: perhaps one of them kept the server from taking all.
    fn batch_failed(&mut self, batch: u64, now: Moment, effects: &mut Vec<Effect>) {
        let Some(commands) = self.batches.remove(&batch) else {
            return;
        };
        debug!("writing to the bans bucket failed; the batch is tried one by one");
        let mut queued = Vec::with_capacity(commands.len());
        for target in commands.iter().map(|command| command.target) {
            if self.is_settled(&target, effects) {
                continue;
            }
            if let Some(pending) = self.pending.get_mut(&target) {
                pending.step = Step::Queued;
                match pending.urgency {
                    Urgency::Now => self.queues.push(target, Urgency::Now),
                    Urgency::Bulk => queued.push(target),
                }
            }
        }
        self.queues.push_singles(queued);
        self.queues.pause_bulk(now.boot_ms + FIRST_RETRY_MS);
    }

    /// Begins to write the latest request for `target`.
    fn start(&mut self, target: Prefix, view: View<'_>, effects: &mut Vec<Effect>) {
        let Some(pending) = self.pending.get(&target) else {
            return;
        };
        let over = view.revisions.of(&target);
        match pending.write.clone() {
            Write::Ban(command) if is_known(&command, pending.basis, over, view.now.wall_ms) => {
                self.put(command, over, view, effects);
            }
            write => self.operate(target, write, Operation::Read { target }, effects),
        }
    }

    /// Writes a ban unless there is a reason not to.
    fn put(&mut self, mut command: Box<BlockCommand>, over: Held, view: View<'_>, effects: &mut Vec<Effect>) {
        let target = command.target;
        let write = Write::Ban(command.clone());
        if command.expires_at_ms <= view.now.wall_ms {
            return self.settle(target, &write, Fate::Ended, view, effects);
        }
        if command.epoch != NO_LEASE {
            let partition = target.partition(PARTITIONS);
            match view.leases.standing(partition, view.now.boot_ms) {
                Standing::Owner { epoch } => command.epoch = epoch,
                Standing::Lapsed => {
                    debug!(%target, "the lease of the partition has lapsed; the ban waits for it");
                    return self.pause(target, view.now);
                }
                Standing::Stranger => return self.settle(target, &write, Fate::Fenced, view, effects),
            }
        }
        self.operate(target, write, Operation::Put { command, over }, effects);
    }

    fn operate(&mut self, target: Prefix, write: Write, operation: Operation, effects: &mut Vec<Effect>) {
        if let Some(pending) = self.pending.get_mut(&target) {
            pending.step = Step::UnderWay(write);
            self.under_way += 1;
            effects.push(Effect::Operate(operation));
        }
    }

    /// The request that the operation on `target` was for, which is answered now.
    fn ends_operation(&mut self, target: &Prefix) -> Option<Write> {
        let pending = self.pending.get_mut(target)?;
        match std::mem::replace(&mut pending.step, Step::Queued) {
            Step::UnderWay(write) => {
                self.under_way -= 1;
                Some(write)
            }
            other => {
                pending.step = other;
                None
            }
        }
    }

    fn done(&mut self, target: Prefix, put: Put, view: View<'_>, effects: &mut Vec<Effect>) {
        let Some(write) = self.ends_operation(&target) else {
            return;
        };
        if self.is_settled(&target, effects) {
            return;
        }
        match (put, &write) {
            (Put::Written { revision }, Write::Ban(_)) => {
                self.settle(target, &write, Fate::Written { revision }, view, effects);
            }
            (Put::Written { .. }, Write::Lift { .. }) => {
                let pending = self.pending.get(&target);
                let until_ms = pending.map_or(0, |pending| pending.held_until_ms);
                self.settle(target, &write, lift_fate(until_ms, view), view, effects);
            }
            (Put::Conflict, _) => match self.is_latest(&target, &write) {
                true => self.operate(target, write, Operation::Read { target }, effects),
                false => self.start(target, view, effects),
            },
        }
    }

    fn read(
        &mut self,
        target: Prefix,
        revision: u64,
        found: Found,
        view: View<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(write) = self.ends_operation(&target) else {
            return;
        };
        if self.is_settled(&target, effects) {
            return;
        }
        let latest = self.pending.get(&target);
        let shortens = latest.is_some_and(|latest| latest.shortens);
        let lifted_ms = latest.and_then(|latest| latest.lifted_ms);
        match write {
            Write::Ban(command) => {
                let over = match found {
                    Found::Ban(found) if found.id == command.id => {
                        let fate = Fate::Written { revision };
                        return self.settle(target, &Write::Ban(command), fate, view, effects);
                    }
                    Found::Ban(found)
                        if found.expires_at_ms > view.now.wall_ms
                            && lifted_ms.is_none_or(|at_ms| found.issued_at_ms > at_ms)
                            && gives_way(&command, &found, shortens) =>
                    {
                        let fate = Fate::Outrun(found);
                        return self.settle(target, &Write::Ban(command), fate, view, effects);
                    }
                    // Its first write reached the bucket, though nobody said so.
                    Found::Lifted(id) if id == command.id => {
                        return self.settle(target, &Write::Ban(command), Fate::Revoked, view, effects);
                    }
                    Found::Ban(found) => view.revisions.at(revision, found.expires_at_ms),
                    Found::Lifted(_) | Found::Nothing => view.revisions.at(revision, 0),
                };
                match self.is_latest(&target, &Write::Ban(command.clone())) {
                    true => self.put(command, over, view, effects),
                    false => self.start(target, view, effects),
                }
            }
            lift @ Write::Lift {
                id,
                at_ms,
                expires_at_ms,
            } => {
                let held_until_ms = match &found {
                    Found::Ban(found) if found.id != id && found.issued_at_ms > at_ms => {
                        let fate = lift_fate(expires_at_ms, view);
                        return self.settle(target, &lift, fate, view, effects);
                    }
                    Found::Ban(found) => found.expires_at_ms.max(expires_at_ms),
                    Found::Lifted(_) | Found::Nothing => expires_at_ms,
                };
                let was_removed = matches!(&found, Found::Lifted(lifted) if *lifted == id);
                if let Some(pending) = self.pending.get_mut(&target) {
                    // What an attempt before removed, unanswered, was in force then.
                    pending.held_until_ms = if was_removed { i64::MAX } else { held_until_ms };
                }
                // Also where there is none: the deletion comes after whatever is still being written.
                let over = view.revisions.at(revision, held_until_ms);
                self.operate(target, lift, Operation::Remove { target, id, over }, effects);
            }
        }
    }

    /// The fate of a request need not be waited for any more. Where an operation is under way, its answer ends the request, so
    /// that no other operation begins on the same key before.
    fn settle_unanswered(&mut self, target: Prefix, id: Uuid, fate: Fate, effects: &mut Vec<Effect>) {
        let Some(pending) = self.pending.get_mut(&target) else {
            return;
        };
        if !matches!(&pending.write, Write::Ban(command) if command.id == id) {
            return;
        }
        match pending.step {
            Step::Queued | Step::Paused => {
                self.pending.remove(&target);
                self.retries.retain(|(_, waiting)| *waiting != target);
                effects.push(Effect::Report { id, fate });
            }
            Step::UnderWay(_) | Step::InBatch => pending.settled = Some(fate),
        }
    }

    /// Whether the fate of the request for `target` was known before its operation was answered; then it is reported.
    fn is_settled(&mut self, target: &Prefix, effects: &mut Vec<Effect>) -> bool {
        let Some(fate) = self
            .pending
            .get_mut(target)
            .and_then(|pending| pending.settled.take())
        else {
            return false;
        };
        if let Some(pending) = self.pending.remove(target) {
            let id = pending.write.id();
            effects.push(Effect::Report { id, fate });
        }
        true
    }

    fn is_latest(&self, target: &Prefix, write: &Write) -> bool {
        let latest = self.pending.get(target);
        latest.is_some_and(|latest| latest.write.is(write))
    }

    /// Tries the latest request for `target` again after a pause.
    fn pause(&mut self, target: Prefix, now: Moment) {
        if let Some(pending) = self.pending.get_mut(&target) {
            pending.pause_ms = (pending.pause_ms * 2).clamp(FIRST_RETRY_MS, LAST_RETRY_MS);
            pending.step = Step::Paused;
            self.retries.insert((now.boot_ms + pending.pause_ms, target));
        }
    }

    /// A request has come to an end; if it is not the latest for its target, that one is next.
    fn settle(
        &mut self,
        target: Prefix,
        write: &Write,
        fate: Fate,
        view: View<'_>,
        effects: &mut Vec<Effect>,
    ) {
        if self.is_latest(&target, write) {
            self.pending.remove(&target);
            let id = write.id();
            effects.push(Effect::Report { id, fate });
        } else {
            if let Some(latest) = self.pending.get_mut(&target) {
                latest.pause_ms = 0;
            }
            self.start(target, view, effects);
        }
    }
}

/// Returns what became of the end of a ban that would have expired at `until_ms`, and that the bucket has no more.
fn lift_fate(until_ms: i64, view: View<'_>) -> Fate {
    match until_ms <= view.now.wall_ms {
        true => Fate::Ended,
        false => Fate::Lifted,
    }
}

/// Whether `ban`, which was decided when its key was at the revision `basis`, was decided with what is under it now: `over`.
/// An operator's ban is put on top of anything but a ban in force.
fn is_known(ban: &BlockCommand, basis: u64, over: Held, now_ms: i64) -> bool {
    basis == over.revision || (ban.epoch == NO_LEASE && over.expires_at_ms <= now_ms)
}

/// Whether `ban` does not take the place of `held`, which is in force and was not known when it was decided.
fn gives_way(ban: &BlockCommand, held: &BlockCommand, shortens: bool) -> bool {
    ban.epoch != NO_LEASE
        || is_same_ban(ban, held)
        || obstacle(held, &ban.scope, ban.expires_at_ms, shortens).is_some()
}
