//! Reports, bans and records to say what happens, and effects to expect.

use super::*;

pub(super) fn target(client: &str) -> Prefix {
    client.parse().unwrap()
}

/// An answer with 404.
pub(super) fn error(client: &str, at_ms: i64) -> TelemetryEvent {
    TelemetryEvent {
        client: client.parse().unwrap(),
        at_ms,
        upstream: 0,
        learned_from: LearnedFrom::Peer,
        status: 404,
        method: "GET".to_owned(),
        path: "/missing".to_owned(),
        host: "example.org".to_owned(),
        user_agent: "curl/8".to_owned(),
        signatures: Vec::new(),
        cross_site: false,
    }
}

pub(super) fn requests(source: &str, at_ms: i64, requests: u32) -> SourceCount {
    SourceCount {
        source: target(source),
        at_ms,
        upstream: 0,
        learned_from: LearnedFrom::Peer,
        requests,
        errors: 0,
        server_errors: 0,
    }
}

/// A ban of another orchestrator, issued at [`NOW`] at epoch 1, for five minutes.
pub(super) fn theirs(client: &str, id: u128) -> BlockCommand {
    BlockCommand {
        id: Uuid::from_u128(id),
        action: Action::Block,
        list: None,
        target: target(client),
        reason: Reason::ErrorFlood,
        note: "50 errors in 60s".to_owned(),
        evidence: None,
        scope: Scope::Fleet,
        strikes: 0,
        issued_at_ms: NOW,
        expires_at_ms: NOW + 300_000,
        issuer: "orchestrator-2".to_owned(),
        layer: Layer::Kernel,
        epoch: 1,
    }
}

pub(super) fn bucket(command: &BlockCommand, revision: u64) -> Written {
    Written {
        command: command.clone(),
        revision,
    }
}

pub(super) fn gone(client: &str, at_ms: i64, revision: u64) -> Gone {
    Gone {
        target: target(client),
        at_ms,
        revision,
    }
}

/// The audit's record of `command`, made when it was issued.
pub(super) fn ban_record(command: &BlockCommand) -> AuditRecord {
    AuditRecord {
        at_ms: command.issued_at_ms,
        target: command.target,
        actor: ACTOR.to_owned(),
        decision: decisions::decision(command, Vec::new()),
    }
}

pub(super) fn unban_record(command: &BlockCommand, at_ms: i64) -> AuditRecord {
    AuditRecord {
        at_ms,
        target: command.target,
        actor: "bob".to_owned(),
        decision: Audited::Unban {
            list: None,
            command_id: command.id,
            strikes: command.strikes,
            note: "known".to_owned(),
        },
    }
}

/// The bans that the effects write.
pub(super) fn written(effects: &[Effect]) -> Vec<BlockCommand> {
    let bans = effects.iter().filter_map(|effect| match effect {
        Effect::Write(WriteRequest {
            write: Write::Ban(command),
            ..
        }) => Some((**command).clone()),
        _ => None,
    });
    bans.collect()
}

/// The records that the effects put into the audit, without what led to them.
pub(super) fn audited(effects: &[Effect]) -> Vec<AuditRecord> {
    let records = effects.iter().filter_map(|effect| match effect {
        Effect::Audit { record, .. } | Effect::Conclude { record, .. } => {
            Some(record.clone().without_events())
        }
        _ => None,
    });
    records.collect()
}

/// A write of a ban whose key the bucket was not heard to have.
pub(super) fn write(command: &BlockCommand, urgency: Urgency) -> Effect {
    write_over(0, command, urgency)
}

/// The same where the key was last heard of at the revision `basis`.
pub(super) fn write_over(basis: u64, command: &BlockCommand, urgency: Urgency) -> Effect {
    Effect::Write(WriteRequest {
        target: command.target,
        write: Write::Ban(Box::new(command.clone())),
        urgency,
        basis,
        shortens: false,
    })
}

/// What became of a ban's write is known without its answer.
pub(super) fn settle(command: &BlockCommand, fate: Fate) -> Effect {
    Effect::Settle {
        target: command.target,
        id: command.id,
        fate,
    }
}

pub(super) fn write_lift(command: &BlockCommand, at_ms: i64) -> Effect {
    Effect::Write(WriteRequest {
        target: command.target,
        write: Write::Lift {
            id: command.id,
            at_ms,
            expires_at_ms: command.expires_at_ms,
        },
        urgency: Urgency::Now,
        basis: 0,
        shortens: false,
    })
}

pub(super) fn conclude(record: AuditRecord, urgency: Urgency) -> Effect {
    Effect::Conclude { record, urgency }
}

pub(super) fn reply(ticket: u64, reply: Reply) -> Effect {
    Effect::Reply {
        ticket: Ticket(ticket),
        reply,
    }
}

/// An order for a ban was carried out by `command`.
pub(super) fn reply_banned(ticket: u64, command: &BlockCommand) -> Effect {
    reply(ticket, Reply::Banned(Ok(Box::new(in_bucket(command)))))
}

pub(super) fn reply_not_banned(ticket: u64, error: OrderError) -> Effect {
    reply(ticket, Reply::Banned(Err(error)))
}

pub(super) fn in_bucket(command: &BlockCommand) -> ActiveBan {
    ActiveBan {
        command: command.clone(),
        write: WriteState::Acknowledged,
    }
}

pub(super) fn pending(command: &BlockCommand) -> ActiveBan {
    ActiveBan {
        command: command.clone(),
        write: WriteState::Pending,
    }
}
