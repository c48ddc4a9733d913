//! Notices for people.

use secbeat_common::wire::{AuditRecord, Decision, Reason};
use secbeat_orchestrator_core::{
    decider::ACTOR,
    ledger::EARLY_END_MS,
    notices::{Banned, Notice, Unbanned, What},
};

use crate::engine::Happening;

/// `None` for what nobody is told of: findings, and the allowlist. How edges do is seen by looking.
pub(super) fn of(at_ms: i64, happening: &Happening) -> Option<Notice> {
    let Happening::Decided(record) = happening else {
        return None;
    };
    let AuditRecord {
        target,
        actor,
        decision,
        ..
    } = &**record;
    let what = match decision {
        // `unban --keep-strikes` of a rule's ban: the same ban again, with another end, and with the note of the order if that had one.
        Decision::Ban {
            reason,
            note,
            expires_at_ms,
            ..
        } if *reason != Reason::Manual && actor != ACTOR && *expires_at_ms <= at_ms + EARLY_END_MS => {
            unbanned(record, note)
        }
        Decision::Ban {
            reason,
            note,
            expires_at_ms,
            strikes,
            ..
        } => What::Banned(Banned {
            target: *target,
            reason: *reason,
            actor: actor.clone(),
            note: note.clone(),
            expires_at_ms: *expires_at_ms,
            strikes: *strikes,
        }),
        Decision::Unban { note, .. } => unbanned(record, note),
        _ => return None,
    };
    Some(Notice { at_ms, what })
}

fn unbanned(record: &AuditRecord, note: &str) -> What {
    What::Unbanned(Unbanned {
        target: record.target,
        actor: record.actor.clone(),
        note: note.to_owned(),
    })
}
