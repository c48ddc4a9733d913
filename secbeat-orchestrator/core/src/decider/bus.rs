//! Decisions of other orchestrators, and records on the bus.

use std::collections::HashSet;

use secbeat_common::{
    prefix::Prefix,
    subjects::PARTITIONS,
    wire::{AuditRecord, BlockCommand, Decision as Audited, Reason, RuleName},
};
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    ACTOR, Decider, Turn,
    decisions::{decision, record},
    event::Effect,
};
use crate::{
    bucket::{Gone, Written},
    leases::Standing,
    ledger::WriteState,
    writer::{Fate, Urgency, WriteRequest},
};

/// How far two clocks of a fleet may be apart.
const SKEW_MS: i64 = 60_000;
/// When the record of another orchestrator's ban should have reached the audit, in milliseconds after the ban was heard of.
const AUDIT_AFTER_MS: i64 = 10_000;
/// Bans whose records are waited for.
const MAX_ADOPTED: usize = 10_000;

impl Decider {
    /// Takes up what an earlier process left: active bans from the bucket, ended ones and strikes from the audit, which goes
    /// back to `since_ms`.
    pub(super) fn restore(
        &mut self,
        bans: Vec<Written>,
        audit: &[AuditRecord],
        since_ms: i64,
        turn: &mut Turn<'_>,
    ) {
        let now = turn.now.wall_ms;
        audit_lost(&bans, audit, since_ms.saturating_add(SKEW_MS), turn);
        if !self.stands_in {
            info!(bans = bans.len(), records = audit.len(), "restored the ledger");
        }
        self.remember(audit, now);
        for Written { command, revision } in bans {
            self.bucket.present.insert(command.target, (command.id, revision));
            self.weigh(&command, revision);
            if command.expires_at_ms > now {
                self.account_for(&command);
                self.ledger.restore(command);
            }
        }
        self.restored = true;
    }

    /// The same after a time without the bus. What was lifted meanwhile goes; what the bucket lost is written again.
    pub(super) fn recheck(
        &mut self,
        bans: Vec<Written>,
        lifted: Vec<Gone>,
        audit: &[AuditRecord],
        turn: &mut Turn<'_>,
    ) {
        // A record older than the ban in force changes nothing.
        let is_news = |record: &&AuditRecord| {
            let ban = self.ledger.get(&record.target);
            ban.is_none_or(|ban| ban.command.issued_at_ms < record.at_ms)
        };
        let news: Vec<_> = audit.iter().filter(is_news).collect();
        self.remember(news, turn.now.wall_ms);
        for record in audit {
            let Audited::Unban { command_id, .. } = record.decision else {
                continue;
            };
            let target = record.target;
            let ban = self.ledger.get(&target);
            match ban
                .filter(|ban| ban.command.id == command_id)
                .map(|ban| ban.write)
            {
                // Only a ban that the bucket had can have been lifted there.
                Some(WriteState::Pending) => turn.push(Effect::Settle {
                    target,
                    id: command_id,
                    fate: Fate::Revoked,
                }),
                Some(WriteState::Acknowledged) => self.revoked(target, record.at_ms, turn.now.wall_ms),
                None => {}
            }
        }
        for gone in lifted {
            self.lifted(gone, turn);
        }
        // What was known to be there is known no more.
        self.bucket.present.clear();
        self.bucket.blocked.clear();
        for written in bans {
            self.banned(written, turn);
        }
        let (leases, boot_ms) = (self.leases.clone(), turn.now.boot_ms);
        self.write_lost(
            |partition| leases.standing(partition, boot_ms) != Standing::Stranger,
            turn,
        );
    }

    /// Takes up from the audit what is over.
    pub(super) fn remember<'a>(&mut self, audit: impl IntoIterator<Item = &'a AuditRecord>, now: i64) {
        for record in audit {
            match record.decision {
                Audited::Ban {
                    expires_at_ms,
                    strikes,
                    layer,
                    ref edges,
                    ..
                } if expires_at_ms <= now => {
                    self.pay(record.target, expires_at_ms, layer, edges.as_deref());
                    self.ledger.restore_history(record.target, expires_at_ms, strikes);
                }
                // Whether it is still in force is for the bucket to say.
                Audited::Ban { .. } => {}
                Audited::Suppressed { .. } | Audited::Allow { .. } | Audited::Disallow => {}
                Audited::Observed {
                    reason,
                    expires_at_ms,
                    ..
                } => {
                    if let Ok(rule) = reason.name().parse::<RuleName>() {
                        self.observe_until(record.target, rule.into(), expires_at_ms);
                    }
                }
                Audited::Unban { .. } => {
                    self.forget(record.target, record.at_ms);
                    self.ledger.forgive(&record.target);
                }
            }
        }
    }

    /// The bucket has a ban, perhaps of another orchestrator.
    pub(super) fn banned(&mut self, Written { command, revision }: Written, turn: &mut Turn<'_>) {
        if self.is_outdated(&command.target, revision) {
            return;
        }
        self.bucket.present.insert(command.target, (command.id, revision));
        self.weigh(&command, revision);
        let known = self.ledger.get(&command.target).map(|ban| ban.command.id);
        if known == Some(command.id) {
            self.heard_written(&command, revision, turn);
        }
        // The echo of a ban that is being lifted here is late.
        if known == Some(command.id) || self.is_lifting(command.id) {
            return;
        }
        let target = command.target;
        if command.expires_at_ms <= turn.now.wall_ms {
            // It took the place of the ban that the ledger has.
            self.revoked(target, command.expires_at_ms, turn.now.wall_ms);
            return;
        }
        if self.ledger.restore(command.clone()) {
            info!(%target, issuer = command.issuer, reason = command.reason.name(), "banned by another orchestrator");
            self.account_for(&command);
            self.adopt(command, turn);
        } else {
            self.bucket.blocked.insert(target, command);
        }
        if self.bucket.stale.contains(&target) {
            let partition = target.partition(PARTITIONS);
            if let Standing::Owner { .. } = self.leases.standing(partition, turn.now.boot_ms) {
                self.adopt_stale(partition, turn);
            }
        }
    }

    /// Notes another orchestrator's ban, whose record is waited for.
    fn adopt(&mut self, command: BlockCommand, turn: &Turn<'_>) {
        if self.adopted.len() >= MAX_ADOPTED {
            self.adopted.pop_front();
        }
        self.adopted.push_back((turn.now.boot_ms, command));
    }

    /// The bucket has a ban of the ledger, which may still wait for the answer that says so.
    fn heard_written(&mut self, command: &BlockCommand, revision: u64, turn: &mut Turn<'_>) {
        let (target, id) = (command.target, command.id);
        if self.ledger.acknowledged(id) {
            let fate = Fate::Written { revision };
            turn.push(Effect::Settle { target, id, fate });
        }
    }

    /// A ban of `target` that was on its way has reached the bucket, or came to nothing. What it kept from the ledger
    /// holds, as long as the bucket says so.
    pub(super) fn unblock(&mut self, target: &Prefix, turn: &mut Turn<'_>) {
        let ours = self.ledger.get(target);
        if ours.is_none_or(|ours| ours.write == WriteState::Acknowledged) {
            self.bucket.deleted.remove(target);
        }
        let Some(command) = self.bucket.blocked.remove(target) else {
            return;
        };
        let present = self.bucket.present.get(target).copied();
        if let Some((_, revision)) = present.filter(|(id, _)| *id == command.id) {
            self.banned(Written { command, revision }, turn);
        }
    }

    /// Records what others wrote about the partitions that this orchestrator owns now: operators' bans, and those of the owner
    /// before. Perhaps they died before they could. A record that is there already is taken once.
    pub(super) fn audit_adopted(&mut self, turn: &mut Turn<'_>) {
        let due_ms = turn.now.boot_ms - AUDIT_AFTER_MS;
        while let Some((_, command)) = self.adopted.pop_front_if(|(heard_ms, _)| *heard_ms <= due_ms) {
            let partition = command.target.partition(PARTITIONS);
            if self.leases.standing(partition, turn.now.boot_ms) != Standing::Stranger {
                audit_ban(&command, turn);
            }
        }
    }

    /// Notes whether edges refuse a command because its orchestrator no longer owned the partition.
    fn weigh(&mut self, command: &BlockCommand, revision: u64) {
        match self.bucket.fence.admits(command, revision) {
            true => self.bucket.stale.remove(&command.target),
            false => self.bucket.stale.insert(command.target),
        };
    }

    /// Writes again, as this orchestrator's, what edges refuse of a partition that it owns: the ledger has it, and a target
    /// that is banned there is not found again.
    pub(super) fn adopt_stale(&mut self, partition: u16, turn: &mut Turn<'_>) {
        let of_it = |target: &Prefix| target.partition(PARTITIONS) == partition;
        let stale = std::mem::take(&mut self.bucket.stale);
        let (adopted, others): (Vec<_>, _) = stale.into_iter().partition(of_it);
        self.bucket.stale = others.into_iter().collect();
        for target in adopted {
            if let Some(ban) = self.ledger.get(&target) {
                warn!(%target, issuer = ban.command.issuer, "edges refuse a ban written too late: writing it again");
                self.write_ban(ban.command.clone(), Urgency::Bulk, turn);
            }
        }
    }

    /// The bucket has no ban of a target any more.
    pub(super) fn lifted(&mut self, gone: Gone, turn: &Turn<'_>) {
        if self.is_outdated(&gone.target, gone.revision) {
            return;
        }
        self.bucket.present.remove(&gone.target);
        self.bucket.blocked.remove(&gone.target);
        self.adopted.retain(|(_, command)| command.target != gone.target);
        let ours = self.ledger.get(&gone.target);
        if ours.is_some_and(|ours| ours.write == WriteState::Pending) {
            self.bucket.deleted.insert(gone.target);
        }
        self.revoked(gone.target, gone.at_ms, turn.now.wall_ms);
    }

    /// Writes bans again whose place something else took that says nothing. Not at once: two who do not trust each other would
    /// keep each other busy.
    pub(super) fn write_spoiled(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.wall_ms;
        for (target, revision) in std::mem::take(&mut self.bucket.spoiled) {
            let ban = self.ledger.get(&target);
            let Some(ban) = ban.filter(|ban| ban.command.expires_at_ms > now) else {
                continue;
            };
            if self.is_outdated(&target, revision) {
                continue;
            }
            if ban.write == WriteState::Pending {
                // Perhaps it was written before, and nobody has said so yet.
                self.bucket.spoiled.insert(target, revision);
                continue;
            }
            warn!(%target, "unauthorized write to the bans bucket: restoring the signed ban");
            turn.push(Effect::Write(WriteRequest {
                basis: revision,
                ..self.request(ban.command.clone(), Urgency::Bulk)
            }));
            self.bucket.present.remove(&target);
        }
    }

    /// Ends a ban that somebody else lifted. One that is over ends by itself, and one that was not written yet holds.
    fn revoked(&mut self, target: Prefix, at_ms: i64, now_ms: i64) {
        let holds = self
            .ledger
            .get(&target)
            .is_some_and(|ban| ban.write == WriteState::Acknowledged && ban.command.expires_at_ms > now_ms);
        if holds && self.ledger.revoke(&target, at_ms).is_some() {
            info!(%target, "unbanned by another orchestrator");
            self.forget(target, at_ms);
        }
    }

    /// The ban `id` came to nothing. If no later decision took its place, another orchestrator lifted it before the bus had
    /// acknowledged it.
    pub(super) fn lifted_unacknowledged(&mut self, target: Prefix, id: Uuid, turn: &Turn<'_>) {
        let now_ms = turn.now.wall_ms;
        if self.ledger.get(&target).is_some_and(|ban| ban.command.id == id) {
            self.ledger.acknowledged(id);
            self.revoked(target, now_ms, now_ms);
        }
    }

    /// Whether the bucket is known to have said something newer about `target`.
    pub(super) fn is_outdated(&self, target: &Prefix, revision: u64) -> bool {
        self.bucket
            .present
            .get(target)
            .is_some_and(|(_, known)| *known > revision)
    }

    /// Another orchestrator's ban was there before the ban `id` of this one, which came to nothing. If it is of this orchestrator
    /// itself, before it started again, nobody else is left to record it.
    pub(super) fn outrun(&mut self, id: Uuid, theirs: BlockCommand, turn: &mut Turn<'_>) {
        info!(target = %theirs.target, issuer = theirs.issuer, "banned by another orchestrator first");
        self.account_for(&theirs);
        // Perhaps it was lifted since. If not, the bucket says so.
        if self.bucket.deleted.contains(&theirs.target) {
            return self.ledger.discard(&theirs.target, id);
        }
        match self.ledger.issues_as(&theirs.issuer) {
            true => audit_ban(&theirs, turn),
            false => self.adopt(theirs.clone(), turn),
        }
        // The writer weighs a later ban against it.
        let ours = self.ledger.get(&theirs.target);
        if ours.is_none_or(|ours| ours.command.id == id) {
            self.ledger.yield_to(theirs);
        }
    }

    /// Somebody else decides about `target` now; nobody heard of the ban `id`.
    pub(super) fn fenced(&mut self, target: Prefix, id: Uuid) {
        warn!(%target, "the lease of its partition went before the ban was written: its new owner decides");
        self.ledger.discard(&target, id);
        self.resets.discard(&target);
    }

    /// Writes again what the bucket should have of the partitions for which `mine` holds, and has not.
    pub(super) fn write_lost(&mut self, mine: impl Fn(u16) -> bool, turn: &mut Turn<'_>) {
        let lost: Vec<_> = self
            .ledger
            .written(mine)
            .filter(|ban| {
                let present = self.bucket.present.get(&ban.command.target);
                present.is_none_or(|(id, _)| *id != ban.command.id)
            })
            .map(|ban| ban.command.clone())
            .collect();
        if !lost.is_empty() {
            warn!(bans = lost.len(), "the bans bucket lost bans: writing them again");
        }
        for command in lost {
            self.write_ban(command, Urgency::Bulk, turn);
        }
    }

    /// Whether an unban of the ban `id` is on its way.
    pub(super) fn is_lifting(&self, id: Uuid) -> bool {
        self.decisions
            .open
            .get(&id)
            .is_some_and(|open| matches!(open.decision, Audited::Unban { .. }))
    }
}

/// Records the bans since `since_ms` whose records died with the orchestrator that issued them. If that one lives and is only slow, the
/// server takes one record.
fn audit_lost(bans: &[Written], audit: &[AuditRecord], since_ms: i64, turn: &mut Turn<'_>) {
    let known: HashSet<_> = audit
        .iter()
        .filter_map(|record| match record.decision {
            Audited::Ban { command_id, .. } => Some(command_id),
            _ => None,
        })
        .collect();
    let bans = bans.iter().map(|written| &written.command);
    let lost: Vec<_> = bans
        .filter(|ban| ban.issued_at_ms >= since_ms && !known.contains(&ban.id))
        .collect();
    if !lost.is_empty() {
        warn!(bans = lost.len(), "the audit lacks bans: recording them");
    }
    for command in lost {
        audit_ban(command, turn);
    }
}

/// Records a ban as of its time, without the events that led to it.
fn audit_ban(command: &BlockCommand, turn: &mut Turn<'_>) {
    let actor = match command.reason {
        Reason::Manual => command.issuer.clone(),
        _ => ACTOR.to_owned(),
    };
    let decision = decision(command, Vec::new());
    turn.push(Effect::Audit {
        record: record(command.target, actor, decision, command.issued_at_ms),
        urgency: Urgency::Bulk,
    });
}
