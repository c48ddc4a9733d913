//! Decisions on their way to the bus: each is audited, and whoever asked for it answered, once it is there.

use secbeat_common::{
    prefix::Prefix,
    wire::{AuditRecord, BlockCommand, Decision as Audited, SeenEvent},
};
use secbeat_daemon::time::{end, now_ms};
use tracing::info;
use uuid::Uuid;

use super::{Engine, Reply};
use crate::{
    api::view::BanView,
    events::Change,
    writer::{Fate, Urgency, Wish},
};

/// A decision on its way to the bus: what to audit and whom to answer once it is there.
pub(super) struct Open {
    pub(super) target: Prefix,
    pub(super) actor: String,
    pub(super) decision: Audited,
    pub(super) answer: Answer,
}

/// Whom to answer.
pub(super) enum Answer {
    Nobody,
    Ban(Reply<BanView>, BanView),
    /// One of an import's.
    Import(Uuid),
    Unban(Reply<Option<BanView>>, BanView),
}

impl Engine {
    /// Sends a ban to the bus; it is audited, and `answer` given, once it is there.
    pub(super) fn issue(
        &mut self,
        command: BlockCommand,
        events: Vec<SeenEvent>,
        actor: String,
        answer: Answer,
    ) {
        info!(
            target: "audit", target = %command.target, reason = command.reason.name(), note = command.note,
            strikes = command.strikes, layer = command.layer.name(), until = end(command.expires_at_ms), "banned"
        );
        self.send(command, events, actor, answer, Urgency::Now);
    }

    pub(super) fn send(
        &mut self,
        command: BlockCommand,
        events: Vec<SeenEvent>,
        actor: String,
        answer: Answer,
        urgency: Urgency,
    ) {
        // Of an import nobody waits for a single ban.
        if urgency == Urgency::Now {
            self.propagation.issued(&command, self.fleet.up());
        }
        self.traces.decided(&command, None);
        let decision = decision(&command, events);
        let target = command.target;
        self.open.insert(
            command.id,
            Open {
                target,
                actor,
                decision,
                answer,
            },
        );
        self.writer.wish(target, Wish::Ban(command), urgency);
    }

    /// Tells whoever waits for it that nothing is on its way any more.
    pub(super) fn drained(&mut self) {
        if self.open.is_empty()
            && let Some(reply) = self.draining.take()
        {
            let _ = reply.send(());
        }
    }

    /// A decision has reached the bus, or came to nothing.
    pub(super) fn done(&mut self, id: Uuid, fate: Fate) {
        if let Fate::Written { revision } = fate {
            if self.ledger.acknowledged(id)
                && let Some(open) = self.open.get(&id)
            {
                self.present.insert(open.target, (id, revision));
            }
        } else {
            self.propagation.void(id);
        }
        let Some(Open {
            target,
            actor,
            decision,
            answer,
        }) = self.open.remove(&id)
        else {
            return;
        };
        let written = match fate {
            Fate::Written { .. } => Ok(()),
            Fate::Lifted => {
                self.present.remove(&target);
                Ok(())
            }
            Fate::Ended => Err("the ban ended before NATS took it".to_owned()),
            Fate::Superseded => Err("another order for the same target came in between".to_owned()),
            Fate::Outrun(theirs) => {
                self.outrun(*theirs);
                Err("another orchestrator banned it first".to_owned())
            }
            Fate::Fenced => {
                self.fenced(target, id);
                Err("another orchestrator owns its partition".to_owned())
            }
        };
        self.traces.closed(id, written.as_ref().err().map(String::as_str));
        if written.is_ok() {
            let urgency = match answer {
                Answer::Import(_) => Urgency::Bulk,
                _ => Urgency::Now,
            };
            self.tell_and_audit(record(target, actor, decision), urgency);
        }
        match answer {
            Answer::Nobody => {}
            Answer::Import(id) => self.imported(id),
            // Who is told that it was done finds it in the audit, whatever dies next.
            Answer::Ban(reply, view) => {
                let answer = move || drop(reply.send(written.map(|()| view)));
                self.auditor.then(answer);
            }
            Answer::Unban(reply, view) => {
                let answer = move || drop(reply.send(written.map(|()| Some(view))));
                self.auditor.then(answer);
            }
        }
    }

    /// What follows from a decision that the bus has.
    pub(super) fn tell_and_audit(&self, record: AuditRecord, urgency: Urgency) {
        if let Some(change) = Change::decided(&record) {
            self.events.tell(change);
        }
        self.auditor.record(record, urgency);
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
        edges: command.scope.edges().map(<[String]>::to_vec),
        events,
    }
}

pub(super) fn record(target: Prefix, actor: String, decision: Audited) -> AuditRecord {
    AuditRecord {
        at_ms: now_ms(),
        target,
        actor,
        decision,
    }
}
