//! Changes of what is enforced: to the HTTP layer at once, to the kernel as one write for each event.

use std::{collections::HashSet, time::SystemTime};

use secbeat_common::{
    prefix::Prefix,
    wire::{Ack, BlockCommand, Enforcement},
};

use super::{
    Enforcer,
    effect::{Effect, Fact, OrderError, Reply, Step},
    event::WriteOutcome,
    id::{Ticket, WriteId},
};
use crate::{Enforced, Entry, Moment, Origin, reconcile::Change};

/// Consequences of one event.
pub(super) struct Turn<'a> {
    pub(super) now: Moment,
    pub(super) effects: &'a mut Vec<Effect>,
    pub(super) next: Option<Step>,
    entries: Vec<Entry>,
    waiting: Vec<Waiting>,
}

/// Order that waits for the outcome of a write.
#[derive(Debug)]
pub(super) enum Waiting {
    Command(TakenCommand),
    Ban(Ticket, Prefix, Enforced),
    Unban(Ticket, Prefix, Origin),
}

/// A command that is enforced once it is written.
#[derive(Debug)]
pub(super) struct TakenCommand {
    pub(super) command: Box<BlockCommand>,
    pub(super) received: SystemTime,
    /// Whether the fleet waits for an acknowledgement.
    pub(super) awaited: bool,
}

/// A write whose outcome is not yet known.
#[derive(Debug)]
pub(super) struct InFlight {
    put: Vec<Prefix>,
    removed: Vec<Prefix>,
    waiting: Vec<Waiting>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(now: Moment, effects: &'a mut Vec<Effect>) -> Self {
        Self {
            now,
            effects,
            next: None,
            entries: Vec::new(),
            waiting: Vec::new(),
        }
    }

    pub(super) fn report(&mut self, fact: Fact) {
        self.effects.push(Effect::Report(fact));
    }

    /// Settles `waiting` once what this turn writes is written.
    pub(super) fn when_written(&mut self, waiting: Waiting) {
        self.waiting.push(waiting);
    }

    pub(super) fn acknowledge(&mut self, command: &BlockCommand, received: SystemTime, outcome: Enforcement) {
        let ack = Ack {
            command_id: command.id,
            target: command.target,
            issued_at_ms: command.issued_at_ms,
            outcome,
        };
        self.effects.push(Effect::Acknowledge(ack, received));
    }

    /// `failure` is why the ban is not in force, or why the kernel did not take the target's entry.
    fn settle(&mut self, waiting: Waiting, failure: Option<&str>) {
        let failed = || failure.map(|why| OrderError::NotWritten(why.to_owned()));
        match waiting {
            Waiting::Command(TakenCommand {
                command,
                received,
                awaited,
            }) => {
                if awaited {
                    let outcome =
                        failure.map_or(Enforcement::Enforced, |why| Enforcement::Failed(why.to_owned()));
                    self.acknowledge(&command, received, outcome);
                }
                if failure.is_none() {
                    self.report(Fact::Banned {
                        target: command.target,
                        reason: command.reason,
                        note: command.note,
                    });
                }
            }
            Waiting::Ban(ticket, _, ban) => {
                let outcome = failed().map_or(Ok(ban), Err);
                self.effects.push(Effect::Reply(ticket, Reply::Ban(outcome)));
            }
            Waiting::Unban(ticket, _, origin) => {
                let outcome = failed().map_or(Ok(Some(origin)), Err);
                self.effects.push(Effect::Reply(ticket, Reply::Unban(outcome)));
            }
        }
    }
}

impl Waiting {
    fn is_ban(&self) -> bool {
        matches!(self, Self::Command(_) | Self::Ban(..))
    }

    fn target(&self) -> Prefix {
        match self {
            Self::Command(taken) => taken.command.target,
            Self::Ban(_, target, _) | Self::Unban(_, target, _) => *target,
        }
    }
}

impl InFlight {
    fn new(entries: &[Entry], waiting: Vec<Waiting>) -> Self {
        let (mut put, mut removed) = (Vec::with_capacity(entries.len()), Vec::new());
        for entry in entries {
            match entry {
                Entry::Add(target, _) | Entry::Put(target, _) => put.push(*target),
                Entry::Remove(target) => removed.push(*target),
            }
        }
        Self {
            put,
            removed,
            waiting,
        }
    }
}

impl Enforcer {
    /// Puts a change of the reconciler in force.
    pub(super) fn apply(&mut self, change: &Change, turn: &mut Turn<'_>) {
        turn.effects.push(match change {
            Change::Put(target, ban) => Effect::HttpBan {
                target: *target,
                ends: ban.ends,
                layer: ban.layer,
            },
            Change::Remove(target) => Effect::HttpUnban(*target),
        });
        if self.has_kernel {
            turn.entries.extend(self.reconciler.entries(change));
        }
    }

    /// Ends a turn: writes its entries together.
    pub(super) fn finish(&mut self, mut turn: Turn<'_>) {
        let waiting = std::mem::take(&mut turn.waiting);
        let entries = std::mem::take(&mut turn.entries);
        if entries.is_empty() {
            for waiting in waiting {
                turn.settle(waiting, None);
            }
        } else {
            let id = WriteId(self.next_write);
            self.next_write += 1;
            self.in_flight.insert(id, InFlight::new(&entries, waiting));
            turn.effects.push(Effect::Write(id, entries));
        }
        turn.effects.extend(turn.next.map(Effect::Next));
    }

    pub(super) fn written(&mut self, id: WriteId, outcome: WriteOutcome, turn: &mut Turn<'_>) {
        let Some(InFlight {
            put,
            removed,
            waiting,
        }) = self.in_flight.remove(&id)
        else {
            return;
        };
        let failed: HashSet<_> = outcome.failed.into_iter().collect();
        for target in put.iter().filter(|target| !failed.contains(target)) {
            self.reconciler.written(target);
        }
        if !self.unwritten.is_empty() {
            for target in put.iter().chain(&removed) {
                self.unwritten.remove(target);
            }
        }
        for waiting in waiting {
            let failure = match failed.contains(&waiting.target()) {
                true => Some(outcome.why.as_str()),
                false => self.unprotected.as_deref().filter(|_| waiting.is_ban()),
            };
            turn.settle(waiting, failure);
        }
        if !failed.is_empty() {
            self.unwritten.extend(failed);
            turn.report(Fact::WriteFailed(outcome.why));
        }
    }
}
