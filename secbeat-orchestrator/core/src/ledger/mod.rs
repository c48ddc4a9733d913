//! The ledger of active bans: which are in force, until when, and which still have to be written to the bucket.
//!
//! **Strikes.** A ban of a target whose last ban ended at most [`LedgerConfig::strike_memory`] ago lasts
//! `ban × strike_factor^strikes`, at most `max_ban`; strikes are the earlier bans that still count. Every ban counts,
//! an operator's too, from its end on; one that is revoked takes the strikes of its target with it. Strikes decay by one per
//! `strike_memory` without a ban: with a memory of 24 h, a target with three bans behind it has 3 strikes up to 24 h after the
//! last one's end, 2 up to 48 h, 1 up to 72 h, and then none. The first ban lasts exactly `ban`.
//!
//! **Writing.** A ban is [pending](Ledger::pending) until the bucket acknowledged it, or it is over. A write that fails
//! leaves it pending.

mod brakes;
mod config;
mod decision;
mod held;
mod manual;
mod protected;
mod query;
mod replica;
mod share;
mod strikes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use secbeat_common::{
    digest::Digest,
    maps::MAX_BANNED_NETS,
    net_table::NetTable,
    prefix::Prefix,
    subjects::PARTITIONS,
    wire::{Action, BlockCommand, Layer, NO_LEASE, Scope},
};
use uuid::Uuid;

pub(crate) use self::manual::{is_same_ban, obstacle};
use self::{brakes::Recent, held::Held, protected::Protected, strikes::History};
pub use self::{
    brakes::{Brake, Brakes},
    config::LedgerConfig,
    decision::{ActiveBan, Decision, Refusal, Suppression, WriteState},
    held::HeldBack,
    manual::{EARLY_END_MS, ImportPlan, MAX_NOTE, ManualBan, SAME_END_MS, Sifted},
    query::{BanOrder, BanQuery, Page, Place, SortKey},
    share::Share,
};
use crate::{
    analyzers::{Action as RuleAction, Finding},
    millis,
};

/// The single owner of all bans. See the [module](self).
#[derive(Debug)]
pub struct Ledger {
    config: LedgerConfig,
    /// By partition.
    epochs: [u64; PARTITIONS as usize],
    active: BTreeMap<Prefix, ActiveBan>,
    by_expiry: BTreeSet<(i64, Prefix)>,
    /// Commands to write, by id and so in order of issue.
    pending: BTreeMap<Uuid, Prefix>,
    /// Targets in `active` that are not single sources.
    wide: NetTable<()>,
    /// As many of them as there may be.
    pub(crate) max_nets: usize,
    protected: Protected,
    history: History,
    /// Of `active`.
    digest: Digest,
    /// Automatic bans of the last minute.
    recent: Recent,
    /// Findings that a safety limit holds back.
    held: Held,
}

impl Ledger {
    #[must_use]
    pub fn new(config: LedgerConfig) -> Self {
        let mut ledger = Self {
            config,
            epochs: [NO_LEASE; PARTITIONS as usize],
            active: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            pending: BTreeMap::new(),
            wide: NetTable::default(),
            max_nets: MAX_BANNED_NETS as usize,
            protected: Protected::default(),
            history: History::default(),
            digest: Digest::default(),
            recent: Recent::default(),
            held: Held::default(),
        };
        let protected = std::mem::take(&mut ledger.config.protected);
        ledger.protect(protected);
        ledger
    }

    /// Decides on a finding; one of a rule that only observes changes nothing. A ban starts at `now_ms` (in replay: the finding's time) under the id `new_id`.
    ///
    /// A source banned at L7 alone that is found again as a TCP peer is banned in the kernel instead, and one that is banned on
    /// some edges alone, on those of the finding too: for as long as a ban lasts, at least until the other one's end, with that one's
    /// strikes.
    pub fn judge(&mut self, finding: &Finding, brakes: Brakes<'_>, now_ms: i64, new_id: Uuid) -> Decision {
        let target = finding.source;
        if let Some(refusal) = self.refusal(&target) {
            return Decision::Suppressed(Suppression::Protected(refusal));
        }
        self.end_if_over(target, now_ms);
        let held = self.active.get(&target).map(|active| &active.command);
        let (layer, scope) = match held {
            None => (finding.layer, finding.scope.clone()),
            Some(BlockCommand {
                layer: Layer::L7,
                scope: held,
                ..
            }) => (finding.layer, held.or(&finding.scope)),
            Some(held) => (held.layer, held.scope.or(&finding.scope)),
        };
        let escalated = held
            .filter(|held| held.layer != layer || held.scope != scope)
            .map(|held| (held.strikes, held.expires_at_ms));
        if (held.is_some() && escalated.is_none()) || self.is_within_banned(&target, now_ms) {
            return Decision::AlreadyBanned;
        }
        let LedgerConfig {
            ban,
            strike_factor,
            max_ban,
            strike_memory,
            ..
        } = self.config;
        let (strikes, earliest_end_ms) =
            escalated.unwrap_or_else(|| (self.history.strikes(&target, now_ms, strike_memory), now_ms));
        let duration = strikes::duration(finding.ban.unwrap_or(ban), strike_factor, strikes, max_ban);
        let command = BlockCommand {
            id: new_id,
            action: Action::Block,
            list: None,
            target,
            reason: finding.rule.into(),
            note: finding.why.to_string(),
            evidence: Some(finding.evidence()),
            scope,
            strikes,
            issued_at_ms: now_ms,
            expires_at_ms: now_ms.saturating_add(millis(duration)).max(earliest_end_ms),
            issuer: self.config.issuer.clone(),
            layer,
            epoch: self.epoch(&target),
        };
        if finding.action == RuleAction::Observe {
            return Decision::Observed(Box::new(command));
        }
        let brake = match self.brake_on(&target, brakes, now_ms) {
            None if !brakes.waited => self.held.queue(&target, brakes.edge),
            brake => brake,
        };
        if let Some(brake) = brake {
            self.held.keep(finding, brake, brakes.edge, now_ms);
            return Decision::Suppressed(Suppression::Brake(brake));
        }
        self.recent.count(&target, now_ms, brakes.edge);
        self.insert(command.clone(), WriteState::Pending);
        Decision::Ban(Box::new(command))
    }

    /// The brake that keeps every finding from a ban at `now_ms`, if one does.
    pub fn braking(&mut self, brakes: Brakes<'_>, now_ms: i64) -> Option<Brake> {
        self.recent.brake(&self.config, brakes, now_ms)
    }

    /// The brake that keeps a finding of `source` from a ban at `now_ms`.
    fn brake_on(&mut self, source: &Prefix, brakes: Brakes<'_>, now_ms: i64) -> Option<Brake> {
        let full = self.lacks_room(source).then_some(Brake::Networks);
        let recent = &mut self.recent;
        recent.brake_on(source, &self.config, brakes, now_ms).or(full)
    }

    /// Ends the ban of exactly `target` at `now_ms`, if one is in force, and forgets its strikes; the caller takes it out of the
    /// bucket.
    pub fn revoke(&mut self, target: &Prefix, now_ms: i64) -> Option<ActiveBan> {
        self.forget_held(|source| target.covers(source));
        self.end_if_over(*target, now_ms);
        let ban = self.remove(target)?;
        self.history.forget(target);
        Some(ban)
    }

    /// A ban of `target` was revoked, as the audit log says: its strikes are forgotten.
    pub fn forgive(&mut self, target: &Prefix) {
        self.history.forget(target);
    }

    /// Ends the bans that expire at or before `now_ms` and returns their targets, earliest first. Nothing has to be
    /// written: everybody else goes by the expiry, too.
    pub fn expire(&mut self, now_ms: i64) -> Vec<Prefix> {
        let mut over = Vec::new();
        while let Some(&(expires_at_ms, target)) = self.by_expiry.first() {
            if expires_at_ms > now_ms || self.end(&target, expires_at_ms).is_none() {
                break;
            }
            over.push(target);
        }
        self.history.prune(now_ms, self.config.strike_memory);
        over
    }

    /// The bucket has the command `id`. Returns whether it was pending.
    pub fn acknowledged(&mut self, id: Uuid) -> bool {
        let Some(target) = self.pending.remove(&id) else {
            return false;
        };
        if let Some(active) = self.active.get_mut(&target) {
            active.write = WriteState::Acknowledged;
        }
        true
    }

    /// A ban read from the bucket. It replaces what is known of its target, unless that still has to be written.
    /// Returns whether it was taken.
    pub fn restore(&mut self, command: BlockCommand) -> bool {
        match self.active.get(&command.target) {
            Some(ActiveBan {
                write: WriteState::Pending,
                ..
            }) => false,
            Some(_) | None => {
                self.insert(command, WriteState::Acknowledged);
                true
            }
        }
    }

    /// An ended ban from the audit log, with the strikes that it was issued with. Oldest first, please.
    pub fn restore_history(&mut self, target: Prefix, ended_at_ms: i64, strikes: u32) {
        self.history
            .ended(target, ended_at_ms, strikes, self.config.max_history);
    }

    /// The ban of exactly `target`.
    #[must_use]
    pub fn get(&self, target: &Prefix) -> Option<&ActiveBan> {
        self.active.get(target)
    }

    /// Earlier bans of `target` that make its next one longer, at `now_ms`.
    #[must_use]
    pub fn strikes(&self, target: &Prefix, now_ms: i64) -> u32 {
        self.history.strikes(target, now_ms, self.config.strike_memory)
    }

    /// All bans that have not [expired](Self::expire), the next to expire first.
    pub fn active(&self) -> impl Iterator<Item = &ActiveBan> {
        self.by_expiry
            .iter()
            .filter_map(|(_, target)| self.active.get(target))
    }

    /// The digest of [`active`](Self::active), which every edge's bans are compared with.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns how many bans [`active`](Self::active) has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.active.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// Targets whose ended bans are remembered.
    #[must_use]
    pub fn history_len(&self) -> usize {
        self.history.len()
    }

    /// Bans that the bucket has not acknowledged, in order of their ids: write them (again).
    pub fn pending(&self) -> impl Iterator<Item = &BlockCommand> {
        self.pending
            .values()
            .filter_map(|target| self.active.get(target))
            .map(|active| &active.command)
    }

    /// Whether a ban of a wider network around `target` is in force.
    fn is_within_banned(&self, target: &Prefix, now_ms: i64) -> bool {
        let mut wider = self.wide.around(target).filter(|(wide, ())| wide != target);
        wider.any(|(wide, ())| {
            self.active.get(&wide).is_some_and(|ActiveBan { command, .. }| {
                command.scope == Scope::Fleet && command.expires_at_ms > now_ms
            })
        })
    }

    /// Whether it is a network, and one too many.
    fn lacks_room(&self, target: &Prefix) -> bool {
        !target.is_single() && !self.active.contains_key(target) && self.free_nets() == 0
    }

    fn insert(&mut self, command: BlockCommand, write: WriteState) {
        let (target, id) = (command.target, command.id);
        self.remove(&target);
        self.by_expiry.insert((command.expires_at_ms, target));
        if write == WriteState::Pending {
            self.pending.insert(id, target);
        }
        if !target.is_single() {
            self.wide.insert(target, ());
        }
        self.digest.add(&(&command).into());
        self.held.take(&target);
        self.active.insert(target, ActiveBan { command, write });
    }

    /// Whether automatic bans of this ledger have that issuer.
    pub(crate) fn issues_as(&self, issuer: &str) -> bool {
        self.config.issuer == issuer
    }

    fn remove(&mut self, target: &Prefix) -> Option<ActiveBan> {
        let ban = self.active.remove(target)?;
        self.by_expiry.remove(&(ban.command.expires_at_ms, *target));
        self.pending.remove(&ban.command.id);
        self.wide.remove(target);
        self.digest.remove(&(&ban.command).into());
        Some(ban)
    }

    fn end(&mut self, target: &Prefix, ended_at_ms: i64) -> Option<ActiveBan> {
        let ban = self.remove(target)?;
        self.history
            .ended(*target, ended_at_ms, ban.command.strikes, self.config.max_history);
        Some(ban)
    }

    fn end_if_over(&mut self, target: Prefix, now_ms: i64) {
        if let Some(expires_at_ms) = self
            .active
            .get(&target)
            .map(|active| active.command.expires_at_ms)
            && expires_at_ms <= now_ms
        {
            self.end(&target, expires_at_ms);
        }
    }
}
