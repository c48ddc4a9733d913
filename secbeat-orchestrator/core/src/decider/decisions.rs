//! Decisions on their way to the bus: each is audited, and its order answered, once it is there.

use std::collections::HashMap;

use secbeat_common::{
    prefix::Prefix,
    wire::{AuditRecord, BlockCommand, Decision as Audited, PERMANENT, SeenEvent},
};
use tracing::info;
use uuid::Uuid;

use super::{
    Decider, Turn,
    event::{DecidedBan, Effect, Reply, Report, Ticket},
    order::{Imported, OrderError},
};
use crate::{
    ledger::{ActiveBan, Sifted, WriteState},
    presence::knows_labels,
    writer::{Fate, Urgency, Write, WriteRequest},
};

/// The reason why an edge of an earlier release enforces no ban that goes by labels.
const TOO_OLD: &str = "its release knows no bans for labels: upgrade it";

/// Decisions on their way to the bus.
#[derive(Debug)]
pub(super) struct Decisions {
    /// By the ban's id.
    pub(super) open: HashMap<Uuid, Open>,
    /// The latest unban of each target that is on its way, by the ban's id.
    pub(super) lifting: HashMap<Prefix, Uuid>,
    /// Imports whose bans are on their way.
    pub(super) imports: HashMap<Uuid, Importing>,
    /// Answered once nothing is on its way any more.
    draining: Vec<Ticket>,
    traced: bool,
}

/// An import whose bans are on their way to the bus.
#[derive(Debug)]
pub(super) struct Importing {
    pub(super) unwritten: usize,
    pub(super) outcome: Imported,
    pub(super) ticket: Ticket,
    pub(super) actor: String,
}

impl Importing {
    /// Logs that it is done.
    pub(super) fn tell(&self) {
        let Imported {
            banned: bans,
            kept,
            refused,
            ..
        } = &self.outcome;
        let (actor, refused) = (&self.actor, refused.len());
        info!(target: "audit", actor, bans, kept, refused, "bans imported");
    }
}

/// A decision on its way to the bus: what to audit, and which orders to answer once it is there.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) target: Prefix,
    pub(super) actor: String,
    pub(super) decision: Audited,
    pub(super) answer: Answer,
    /// Milliseconds since the Unix epoch.
    pub(super) since_ms: i64,
}

/// Receiver of an answer.
#[derive(Debug)]
pub(super) enum Answer {
    Nobody,
    /// Orders for this ban.
    Ban(Vec<Ticket>, Box<Ordered>),
    /// One of an import's, which was sifted so.
    Import(Uuid, Sifted),
    /// Orders to lift this ban.
    Unban(Vec<Ticket>, Box<ActiveBan>),
}

/// A ban that an operator ordered.
#[derive(Debug)]
pub(super) struct Ordered {
    pub(super) command: BlockCommand,
    /// Whether it may end a ban in force earlier.
    pub(super) shortens: bool,
    /// The ban in the bucket whose place it takes.
    pub(super) replaced: Option<BlockCommand>,
}

impl Decisions {
    pub(super) fn new(traced: bool) -> Self {
        Self {
            open: HashMap::new(),
            lifting: HashMap::new(),
            imports: HashMap::new(),
            draining: Vec::new(),
            traced,
        }
    }

    /// Since when the oldest decision waits for the bus, but for those of imports, which take their time. Milliseconds since the Unix
    /// epoch.
    pub(super) fn waiting_since_ms(&self) -> Option<i64> {
        let single = self
            .open
            .iter()
            .filter(|(_, open)| !matches!(open.answer, Answer::Import(..)));
        single.map(|(_, open)| open.since_ms).min()
    }

    /// The ban `id` will not reach the bus.
    pub(super) fn close(&self, id: Uuid, failure: Option<OrderError>, turn: &mut Turn<'_>) {
        if self.traced {
            turn.push(Effect::TraceEnded { id, failure });
        }
    }
}

impl Decider {
    /// Sends a ban to the bus at once; it is audited, and `answer` given, when it is there.
    pub(super) fn issue(
        &mut self,
        command: BlockCommand,
        events: Vec<SeenEvent>,
        actor: String,
        answer: Answer,
        report: Option<Report>,
        turn: &mut Turn<'_>,
    ) {
        let up = self.fleet.up().map(|edge| (edge.edge_id.as_str(), &edge.labels));
        self.propagation.issued(&command, up);
        if !command.scope.labels().is_empty() {
            for edge in self.fleet.up().filter(|edge| !knows_labels(edge)) {
                let is_named = command
                    .scope
                    .edges()
                    .is_some_and(|ids| ids.contains(&edge.edge_id));
                if !is_named {
                    self.propagation.unable(command.id, &edge.edge_id, TOO_OLD);
                }
            }
        }
        let open = Open {
            target: command.target,
            actor,
            decision: decision(&command, events),
            answer,
            since_ms: turn.now.wall_ms,
        };
        self.send(command, open, report, Urgency::Now, turn);
    }

    /// The same of a ban that need not be told.
    pub(super) fn send(
        &mut self,
        command: BlockCommand,
        open: Open,
        report: Option<Report>,
        urgency: Urgency,
        turn: &mut Turn<'_>,
    ) {
        if self.decisions.traced {
            let command = command.clone();
            turn.push(Effect::TraceBegun(Box::new(DecidedBan { command, report })));
        }
        let id = command.id;
        let request = WriteRequest {
            shortens: matches!(&open.answer, Answer::Ban(_, ordered) if ordered.shortens),
            ..self.request(command, urgency)
        };
        self.decisions.open.insert(id, open);
        turn.push(Effect::Write(request));
    }

    /// Has the bucket say that `command` is in force.
    pub(super) fn write_ban(&self, command: BlockCommand, urgency: Urgency, turn: &mut Turn<'_>) {
        turn.push(Effect::Write(self.request(command, urgency)));
    }

    /// Returns what has the bucket say that `command` is in force.
    pub(super) fn request(&self, command: BlockCommand, urgency: Urgency) -> WriteRequest {
        let (target, bucket) = (command.target, &self.bucket);
        // What the ledger was kept from was not known to who decided.
        let known = bucket
            .present
            .get(&target)
            .filter(|_| !bucket.blocked.contains_key(&target));
        WriteRequest {
            target,
            basis: known.map_or(0, |(_, revision)| *revision),
            write: Write::Ban(Box::new(command)),
            urgency,
            shortens: false,
        }
    }

    pub(super) fn drain(&mut self, ticket: Ticket, turn: &mut Turn<'_>) {
        self.decisions.draining.push(ticket);
        self.drained(turn);
    }

    fn drained(&mut self, turn: &mut Turn<'_>) {
        if self.decisions.open.is_empty() {
            let reply = Reply::Drained;
            for ticket in self.decisions.draining.drain(..) {
                let reply = reply.clone();
                turn.push(Effect::Reply { ticket, reply });
            }
        }
    }

    /// A decision has reached the bus, or came to nothing.
    pub(super) fn done(&mut self, id: Uuid, fate: Fate, turn: &mut Turn<'_>) {
        // It is the ban's, and its end was ordered meanwhile, which has a fate of its own.
        if self.is_lifting(id) && !matches!(fate, Fate::Lifted | Fate::Ended | Fate::Superseded) {
            return;
        }
        let fate = match fate {
            // Only its acknowledgement was lost.
            Fate::Fenced => self
                .revision_of(id)
                .map_or(fate, |revision| Fate::Written { revision }),
            fate => fate,
        };
        if let Fate::Written { revision } = fate {
            if self.ledger.acknowledged(id)
                && let Some(open) = self.decisions.open.get(&id)
                && !self.is_outdated(&open.target, revision)
            {
                self.bucket.present.insert(open.target, (id, revision));
            }
        } else {
            self.propagation.void(id);
        }
        if let Some(open) = self.decisions.open.remove(&id) {
            let target = open.target;
            if self.decisions.lifting.get(&target) == Some(&id) {
                self.decisions.lifting.remove(&target);
            }
            self.settle(id, open, fate, turn);
            self.unblock(&target, turn);
        }
        self.drained(turn);
    }

    /// At which the bucket is known to have the ban `id`, which is on its way.
    fn revision_of(&self, id: Uuid) -> Option<u64> {
        let target = self.decisions.open.get(&id)?.target;
        let (present, revision) = self.bucket.present.get(&target)?;
        (*present == id).then_some(*revision)
    }

    fn settle(&mut self, id: Uuid, open: Open, fate: Fate, turn: &mut Turn<'_>) {
        let Open {
            target,
            actor,
            decision,
            answer,
            since_ms: _,
        } = open;
        let theirs = match &fate {
            Fate::Outrun(theirs) => Some(theirs.clone()),
            _ => None,
        };
        let written = match fate {
            Fate::Written { .. } => Ok(()),
            Fate::Lifted => {
                self.bucket.present.remove(&target);
                Ok(())
            }
            Fate::Ended => {
                self.expire(turn.now.wall_ms);
                Err(OrderError::Expired)
            }
            Fate::Superseded | Fate::Revoked => {
                self.lifted_unacknowledged(target, id, turn);
                Err(OrderError::Superseded)
            }
            Fate::Outrun(theirs) => {
                self.outrun(id, *theirs, turn);
                Err(OrderError::Outrun)
            }
            Fate::Fenced => {
                self.fenced(target, id);
                Err(OrderError::Fenced)
            }
        };
        // That of an unban has no trace; its ban's has ended.
        if let Audited::Ban { .. } = decision {
            self.decisions.close(id, written.as_ref().err().cloned(), turn);
        }
        if written.is_ok() {
            if !matches!(answer, Answer::Import(..)) && !self.stands_in {
                tell(&target, &actor, &decision);
            }
            let urgency = match answer {
                Answer::Import(..) => Urgency::Bulk,
                Answer::Nobody | Answer::Ban(..) | Answer::Unban(..) => Urgency::Now,
            };
            if let Audited::Ban { events, .. } = &decision {
                self.signatures.banned(events);
            }
            let record = record(target, actor, decision, turn.now.wall_ms);
            turn.push(Effect::Conclude { record, urgency });
        }
        match answer {
            Answer::Nobody => {}
            Answer::Import(import, sifted) => {
                if theirs.is_some() {
                    self.kept(import, sifted, &target);
                }
                self.imported(import, turn);
            }
            Answer::Ban(tickets, mut ordered) => {
                if written == Err(OrderError::Expired)
                    && let Some(replaced) = ordered.replaced.take()
                {
                    self.hold_on(replaced, turn.now.wall_ms);
                }
                // A later ban of the same target is what these orders led to.
                let tickets = match &written {
                    Err(OrderError::Superseded) => self.hand_on(&target, tickets),
                    _ => tickets,
                };
                let command = match theirs {
                    None => written.map(|()| ordered.command),
                    Some(theirs) => self.gave_way(&ordered.command, *theirs),
                };
                let reply = command.map(|command| {
                    let write = WriteState::Acknowledged;
                    Box::new(ActiveBan { command, write })
                });
                answer_all(tickets, &Reply::Banned(reply), turn);
            }
            Answer::Unban(tickets, ban) => {
                let lifted = match written {
                    Ok(()) => Ok(Some(ban)),
                    // It ended by itself before, and counts, as if the order had come after that.
                    Err(OrderError::Expired) => {
                        let BlockCommand {
                            expires_at_ms,
                            strikes,
                            ..
                        } = ban.command;
                        self.ledger.restore_history(target, expires_at_ms, strikes);
                        Ok(None)
                    }
                    Err(error) => Err(error),
                };
                answer_all(tickets, &Reply::Unbanned(lifted), turn);
            }
        }
    }

    /// Keeps the ban `replaced` if the bucket still has it: what was to take its place came to nothing.
    fn hold_on(&mut self, replaced: BlockCommand, now_ms: i64) {
        let target = &replaced.target;
        let is_present = self
            .bucket
            .present
            .get(target)
            .is_some_and(|(id, _)| *id == replaced.id);
        if is_present && replaced.expires_at_ms > now_ms && self.ledger.get(target).is_none() {
            self.ledger.restore(replaced);
        }
    }

    /// Lets the ban of `target` that is on its way now answer `tickets`; returns them if there is none.
    fn hand_on(&mut self, target: &Prefix, tickets: Vec<Ticket>) -> Vec<Ticket> {
        let now = self.ledger.get(target).map(|ban| ban.command.id);
        match now.and_then(|id| self.decisions.open.get_mut(&id)) {
            Some(Open {
                answer: Answer::Ban(waiting, _),
                ..
            }) => {
                waiting.extend(tickets);
                Vec::new()
            }
            _ => tickets,
        }
    }
}

/// Logs what the bus has acknowledged, and who decided it.
fn tell(target: &Prefix, actor: &str, decision: &Audited) {
    match decision {
        Audited::Ban {
            reason,
            note,
            expires_at_ms,
            strikes,
            layer,
            ..
        } => info!(
            target: "audit", %target, reason = reason.name(), note, strikes, layer = layer.name(), actor,
            until_ms = (*expires_at_ms != PERMANENT).then_some(expires_at_ms), "banned"
        ),
        Audited::Unban { note, .. } => info!(target: "audit", %target, note, actor, "unbanned"),
        _ => {}
    }
}

pub(super) fn answer_all(tickets: Vec<Ticket>, reply: &Reply, turn: &mut Turn<'_>) {
    for ticket in tickets {
        let reply = reply.clone();
        turn.push(Effect::Reply { ticket, reply });
    }
}

/// A ban as the audit has it.
pub(super) fn decision(command: &BlockCommand, events: Vec<SeenEvent>) -> Audited {
    Audited::Ban {
        command_id: command.id,
        reason: command.reason,
        note: command.note.clone(),
        expires_at_ms: command.expires_at_ms,
        strikes: command.strikes,
        evidence: command.evidence,
        layer: command.layer,
        list: command.list,
        edges: command.scope.edges().map(<[String]>::to_vec),
        labels: command.scope.labels().to_vec(),
        events,
    }
}

pub(super) fn record(target: Prefix, actor: String, decision: Audited, at_ms: i64) -> AuditRecord {
    AuditRecord {
        at_ms,
        target,
        actor,
        decision,
    }
}
