//! Bans from their audit records.

use secbeat_common::wire::{AuditRecord, Decision};
use secbeat_daemon::time::{end as end_of, rfc3339};
use uuid::Uuid;

use super::view::{End, PastBan};

/// The bans among `audit`, oldest first, each with its end as of `now_ms`.
pub(super) fn bans(audit: &[AuditRecord], now_ms: i64) -> Vec<PastBan> {
    let ban = |(index, record): (usize, &AuditRecord)| {
        let Decision::Ban {
            command_id,
            reason,
            note,
            expires_at_ms,
            strikes,
            evidence,
            layer,
            events,
            ..
        } = &record.decision
        else {
            return None;
        };
        Some(PastBan {
            command_id: *command_id,
            target: record.target.to_string(),
            actor: record.actor.clone(),
            reason: *reason,
            note: note.clone(),
            layer: layer.name().to_owned(),
            strikes: *strikes,
            decided_at: rfc3339(decided_ms(*command_id).unwrap_or(record.at_ms)),
            expires_at: end_of(*expires_at_ms),
            count: evidence.map(|evidence| evidence.count),
            events: events.clone(),
            end: end(record, *command_id, *expires_at_ms, &audit[index + 1..], now_ms),
        })
    };
    audit.iter().enumerate().filter_map(ban).collect()
}

/// Returns how the ban of `record` ended, by the records after it.
fn end(record: &AuditRecord, id: Uuid, expires_at_ms: i64, later: &[AuditRecord], now_ms: i64) -> End {
    let ended_by = later
        .iter()
        .filter(|later| later.target == record.target)
        .find_map(|later| match &later.decision {
            Decision::Unban { command_id, note, .. } if *command_id == id => Some(End::Lifted {
                at: rfc3339(later.at_ms),
                actor: later.actor.clone(),
                note: note.clone(),
            }),
            Decision::Ban { command_id, .. } if *command_id != id && later.at_ms < expires_at_ms => {
                Some(End::Replaced { by: *command_id })
            }
            _ => None,
        });
    ended_by.unwrap_or(match expires_at_ms <= now_ms {
        true => End::Expired,
        false => End::InForce,
    })
}

/// Returns when a command was made, milliseconds since the Unix epoch: its id says so (UUIDv7, RFC 9562 §5.7).
pub(super) fn decided_ms(command_id: Uuid) -> Option<i64> {
    let (seconds, nanos) = command_id.get_timestamp()?.to_unix();
    i64::try_from(seconds * 1000 + u64::from(nanos / 1_000_000)).ok()
}
