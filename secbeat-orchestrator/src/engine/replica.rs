//! What other orchestrators decided, and what the bus remembers.

use std::collections::HashSet;

use secbeat_common::{
    prefix::Prefix,
    subjects::PARTITIONS,
    wire::{AuditRecord, BlockCommand, Decision as Audited, Reason, RuleName},
};
use secbeat_daemon::time::now_ms;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    ACTOR, Engine,
    open::{decision, record},
};
use crate::{
    leases::{Standing, boot_ms},
    ledger::WriteState,
    replica::{Gone, Written},
    writer::{Urgency, Wish},
};

/// How far two clocks of a fleet may be apart.
const SKEW_MS: i64 = 60_000;

impl Engine {
    /// Takes up what an earlier process left: active bans from the bucket, ended ones and strikes from the audit, which goes
    /// back to `since_ms`.
    pub(super) fn restore(&mut self, bans: Vec<Written>, audit: &[AuditRecord], since_ms: i64) {
        let now = now_ms();
        self.audit_lost(&bans, audit, since_ms.saturating_add(SKEW_MS));
        info!(bans = bans.len(), records = audit.len(), "restored the ledger");
        self.remember(audit, now);
        for Written { command, revision } in bans {
            self.present.insert(command.target, (command.id, revision));
            self.weigh(&command, revision);
            if command.expires_at_ms > now {
                self.pay_for(&command);
                self.ledger.restore(command);
            }
        }
        self.restored = true;
    }

    /// Records the bans since `since_ms` whose records died with whoever issued them. If that one lives and is only slow, the
    /// server takes one record.
    fn audit_lost(&self, bans: &[Written], audit: &[AuditRecord], since_ms: i64) {
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
            let actor = match command.reason {
                Reason::Manual => command.issuer.clone(),
                _ => ACTOR.to_owned(),
            };
            let record = record(command.target, actor, decision(command, Vec::new()));
            self.auditor.record(record, Urgency::Bulk);
        }
    }

    /// The same after a time without the bus. What was lifted meanwhile goes; what the bucket lost is written again.
    pub(super) fn recheck(&mut self, bans: Vec<Written>, lifted: Vec<Gone>, audit: &[AuditRecord]) {
        // Nothing that was decided before a ban in force is news.
        let is_news = |record: &&AuditRecord| {
            let ban = self.ledger.get(&record.target);
            ban.is_none_or(|ban| ban.command.issued_at_ms < record.at_ms)
        };
        let news: Vec<_> = audit.iter().filter(is_news).collect();
        self.remember(news, now_ms());
        for record in audit {
            if let Audited::Unban { command_id, .. } = record.decision
                && self
                    .ledger
                    .get(&record.target)
                    .is_some_and(|ban| ban.command.id == command_id)
            {
                self.revoked(record.target, record.at_ms);
            }
        }
        for gone in lifted {
            self.lifted(gone);
        }
        // What was known to be there is known no more.
        self.present.clear();
        for written in bans {
            self.banned(written);
        }
        let tenures = self.tenures.clone();
        let now = boot_ms();
        self.write_lost(|partition| tenures.standing(partition, now) != Standing::Stranger);
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
                Audited::Unban { strikes, .. } => {
                    self.forget(record.target, record.at_ms);
                    self.ledger.restore_history(record.target, record.at_ms, strikes);
                }
            }
        }
    }

    /// The bucket has a ban, perhaps of another orchestrator.
    pub(super) fn banned(&mut self, Written { command, revision }: Written) {
        if self.is_outdated(&command.target, revision) {
            return;
        }
        self.present.insert(command.target, (command.id, revision));
        self.weigh(&command, revision);
        let known = self.ledger.get(&command.target).map(|ban| ban.command.id);
        // The echo of a ban that is being lifted here is late.
        if known == Some(command.id) || self.is_lifting(command.id) || command.expires_at_ms <= now_ms() {
            return;
        }
        let target = command.target;
        if self.ledger.restore(command.clone()) {
            info!(%target, issuer = command.issuer, reason = command.reason.name(), "banned by another orchestrator");
            self.pay_for(&command);
        }
        if self.stale.contains(&target) {
            let partition = target.partition(PARTITIONS);
            if let Standing::Owner { .. } = self.tenures.standing(partition, boot_ms()) {
                self.adopt_stale(partition);
            }
        }
    }

    /// Notes whether edges refuse a command because its orchestrator no longer owned the partition.
    fn weigh(&mut self, command: &BlockCommand, revision: u64) {
        match self.fence.admits(command, revision) {
            true => self.stale.remove(&command.target),
            false => self.stale.insert(command.target),
        };
    }

    /// Writes again, as this orchestrator's, what edges refuse of a partition that it owns: the ledger has it, and a target
    /// that is banned there is not found again.
    pub(super) fn adopt_stale(&mut self, partition: u16) {
        let of_it = |target: &Prefix| target.partition(PARTITIONS) == partition;
        for target in self.stale.extract_if(|target| of_it(target)) {
            if let Some(ban) = self.ledger.get(&target) {
                warn!(%target, issuer = ban.command.issuer, "edges refuse a ban written too late: writing it again");
                self.writer
                    .wish(target, Wish::Ban(ban.command.clone()), Urgency::Bulk);
            }
        }
    }

    /// The bucket has no ban of a target any more.
    pub(super) fn lifted(&mut self, gone: Gone) {
        if self.is_outdated(&gone.target, gone.revision) {
            return;
        }
        self.present.remove(&gone.target);
        self.revoked(gone.target, gone.at_ms);
    }

    /// Writes bans again whose place something else took that says nothing. Not at once: two who do not trust each other would
    /// keep each other busy.
    pub(super) fn write_spoiled(&mut self) {
        let now = now_ms();
        for (target, revision) in std::mem::take(&mut self.spoiled) {
            let ban = self.ledger.get(&target);
            let Some(ban) = ban.filter(|ban| ban.command.expires_at_ms > now) else {
                continue;
            };
            if self.is_outdated(&target, revision) {
                continue;
            }
            if ban.write == WriteState::Pending {
                // Perhaps it was written before, and nobody has said so yet.
                self.spoiled.insert(target, revision);
                continue;
            }
            warn!(%target, "somebody spoiled a ban in the bans bucket: writing it again");
            self.writer
                .wish(target, Wish::Ban(ban.command.clone()), Urgency::Bulk);
            self.present.remove(&target);
        }
    }

    /// Ends a ban that somebody else lifted. One that is over ends by itself, and one that was not written yet holds.
    fn revoked(&mut self, target: Prefix, at_ms: i64) {
        let holds = self
            .ledger
            .get(&target)
            .is_some_and(|ban| ban.write == WriteState::Acknowledged && ban.command.expires_at_ms > now_ms());
        if holds && self.ledger.revoke(&target, at_ms).is_some() {
            info!(%target, "ban lifted by another orchestrator");
            self.forget(target, at_ms);
        }
    }

    /// Whether the bucket is known to have said something newer about `target`.
    fn is_outdated(&self, target: &Prefix, revision: u64) -> bool {
        self.present
            .get(target)
            .is_some_and(|(_, known)| *known > revision)
    }

    /// Another orchestrator's ban was there before this one's, which came to nothing.
    pub(super) fn outrun(&mut self, theirs: BlockCommand) {
        info!(target = %theirs.target, issuer = theirs.issuer, "banned by another orchestrator first");
        self.pay_for(&theirs);
        self.ledger.yield_to(theirs);
    }

    /// Somebody else decides about `target` now; nobody heard of the ban `id`.
    pub(super) fn fenced(&mut self, target: Prefix, id: Uuid) {
        warn!(%target, "the lease of its partition went before the ban was written: its new owner decides");
        self.ledger.discard(&target, id);
        self.resets.discard(&target);
    }

    /// Writes again what the bucket should have of the partitions for which `mine` holds, and has not.
    pub(super) fn write_lost(&mut self, mine: impl Fn(u16) -> bool) {
        let lost: Vec<_> = self
            .ledger
            .written(mine)
            .filter(|ban| {
                let present = self.present.get(&ban.command.target);
                present.is_none_or(|(id, _)| *id != ban.command.id)
            })
            .map(|ban| ban.command.clone())
            .collect();
        if !lost.is_empty() {
            warn!(bans = lost.len(), "the bans bucket lost bans: writing them again");
        }
        for command in lost {
            self.writer
                .wish(command.target, Wish::Ban(command), Urgency::Bulk);
        }
    }

    /// Whether an unban of the ban `id` is on its way.
    fn is_lifting(&self, id: Uuid) -> bool {
        self.open
            .get(&id)
            .is_some_and(|open| matches!(open.decision, Audited::Unban { .. }))
    }
}
