//! The owner of one edge's bans as a state machine: [`Event`]s go in, [`Effect`]s come out.
//!
//! The caller carries effects out in order and reports outcomes as further events. Other events may come before an outcome;
//! but the outcomes of writes come in the order of the writes, and bans that were read from the kernel are handed in before
//! the next write is carried out.

mod bucket;
mod effect;
mod event;
mod id;
mod orders;
mod reconciliation;
mod status;
mod writes;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use secbeat_common::{
    digest::Extract,
    fence::Fence,
    maps::allow,
    prefix::Prefix,
    wire::{BlockCommand, Labels},
};

use self::{
    bucket::Snapshot,
    reconciliation::Reconciliation,
    writes::{InFlight, Turn},
};
pub use self::{
    effect::{Effect, Fact, OrderError, Reply, Step},
    event::{BucketId, BucketUpdate, Event, Order, WriteOutcome},
    id::{Ticket, WriteId},
    status::{EnforcerStatus, ReconcileStats},
};
use crate::{
    Allowlist, BootTime, Enforced, Fill, FilterMode, FleetBan, LocalNotes, Moment, admission::Admission,
    reconcile::Reconciler,
};

/// Configuration of an enforcer.
#[derive(Clone, Debug, Default)]
pub struct EnforcerConfig {
    pub edge_id: String,
    /// By which bans are meant for it.
    pub labels: Labels,
    /// Longest ban. Permanent bans of operators are exempt.
    pub max_ban: Duration,
    /// Whether the XDP program enforces bans; else the HTTP layer alone does.
    pub has_kernel: bool,
    pub mode: FilterMode,
    pub allowlist: Allowlist,
    /// Notes of bans on this host that the kernel may hold.
    pub notes: LocalNotes,
    /// Whether this host was an edge of a fleet, and is none any more: bans that the kernel holds as this host's own are the bus's then.
    pub is_back: bool,
}

/// Decides what one edge enforces.
#[derive(Debug)]
pub struct Enforcer {
    has_kernel: bool,
    /// Where the kernel does not enforce bans although it should, and why.
    unprotected: Option<String>,
    mode: FilterMode,
    reconciler: Reconciler,
    allowlist: Allowlist,
    /// The reason why the kernel's allowlist has to be written again, if so.
    allowlist_failed: Option<String>,
    /// The same of the write before, which is reported.
    allowlist_said: Option<String>,
    fence: Fence,
    /// The bucket of the latest snapshot.
    bucket: Option<BucketId>,
    /// The bucket of the first complete snapshot.
    first_bucket: Option<BucketId>,
    /// The snapshot that is being read.
    snapshot: Option<Snapshot>,
    /// The latest revision of the bucket that was handled.
    revision: u64,
    /// Bans of the fleet that were refused because their target is allowlisted; tried again when the allowlist changes.
    deferred: HashMap<Prefix, BlockCommand>,
    /// Targets of which the bus has an entry that nobody can read. What the kernel holds of them stays until it ends.
    spoiled: HashSet<Prefix>,
    /// Targets whose latest entry the kernel neither took nor removed.
    unwritten: HashSet<Prefix>,
    in_flight: BTreeMap<WriteId, InFlight>,
    next_write: u64,
    reconciliation: Option<Reconciliation>,
    stats: ReconcileStats,
}

impl Enforcer {
    /// An enforcer that has not yet heard of a ban. After a restart [`Event::ReconcileDue`] makes it look at those that the
    /// kernel holds.
    #[must_use]
    pub fn new(config: EnforcerConfig) -> Self {
        Self {
            has_kernel: config.has_kernel,
            unprotected: None,
            mode: config.mode,
            reconciler: Reconciler::new(Admission::new(config.edge_id, config.labels, config.max_ban))
                .with_notes(config.notes)
                .disowning(config.is_back),
            allowlist: config.allowlist,
            allowlist_failed: None,
            allowlist_said: None,
            fence: Fence::default(),
            bucket: None,
            first_bucket: None,
            snapshot: None,
            revision: 0,
            deferred: HashMap::new(),
            spoiled: HashSet::new(),
            unwritten: HashSet::new(),
            in_flight: BTreeMap::new(),
            next_write: 0,
            reconciliation: None,
            stats: ReconcileStats::default(),
        }
    }

    /// Takes one event in, and appends what follows from it to `effects`.
    pub fn handle(&mut self, event: Event, now: Moment, effects: &mut Vec<Effect>) {
        let mut turn = Turn::new(now, effects);
        match event {
            Event::Bucket(updates) => {
                for update in updates {
                    self.update(update, &mut turn);
                }
            }
            Event::Order(ticket, order) => self.order(ticket, order, &mut turn),
            Event::Brought(bans) => self.bring(&bans, &mut turn),
            Event::FleetAllowlist(entries) => {
                self.allowlist.set_fleet(&entries);
                self.refresh_allowlist(&mut turn);
            }
            Event::LocalAllowlist(entries) => {
                self.allowlist.set_local(&entries);
                self.refresh_allowlist(&mut turn);
            }
            Event::HostAllowlist(nets) => {
                self.allowlist.set_host(nets);
                self.refresh_allowlist(&mut turn);
            }
            Event::AllowlistFailed(why) => {
                if self.allowlist_said.as_ref() != Some(&why) {
                    turn.report(Fact::AllowlistFailed(why.clone()));
                }
                self.allowlist_failed = Some(why);
            }
            Event::Written(id, outcome) => self.written(id, outcome, &mut turn),
            Event::ModeSet(ticket, mode, outcome) => self.mode_set(ticket, mode, outcome, &mut turn),
            Event::KernelBans(bans) => self.compare(&bans, &mut turn),
            Event::KernelEnd(fill) => self.compared(fill, &mut turn),
            Event::KernelUnreadable(why) => self.unreadable(why, &mut turn),
            Event::Unprotected(why) => {
                if self.unprotected != why {
                    turn.report(match &why {
                        Some(why) => Fact::Unprotected(why.clone()),
                        None => Fact::Protected,
                    });
                    self.unprotected = why;
                }
            }
            Event::Repair => self.repair(&mut turn),
            Event::Tick => self.tick(&mut turn),
            Event::ReconcileDue => {
                self.refresh_allowlist(&mut turn);
                if self.reconciliation.is_none() {
                    self.reconcile(&mut turn);
                }
            }
        }
        self.finish(turn);
    }

    fn tick(&mut self, turn: &mut Turn<'_>) {
        for change in self.reconciler.prune(turn.now.boot) {
            self.apply(&change, turn);
        }
        let now_ms = turn.now.wall_ms;
        self.deferred.retain(|_, command| command.expires_at_ms > now_ms);
        // Until the kernel takes it, it drops packets that it must not drop.
        if self.allowlist.is_outdated(now_ms) || self.allowlist_failed.is_some() {
            self.refresh_allowlist(turn);
        }
    }

    /// Puts the allowlist in force if it has changed or was not written. Bans that it no longer refuses are enforced.
    fn refresh_allowlist(&mut self, turn: &mut Turn<'_>) {
        let changed = self.allowlist.merge(turn.now.wall_ms);
        let failed = self.allowlist_failed.take();
        if !changed && failed.is_none() {
            return;
        }
        self.allowlist_said = failed;
        turn.effects.push(Effect::Allow(self.allowlist.nets().clone()));
        if !changed {
            return;
        }
        turn.report(Fact::AllowlistChanged);
        let mut deferred: Vec<_> = std::mem::take(&mut self.deferred).into_values().collect();
        deferred.sort_unstable_by_key(|command| command.target);
        for command in deferred {
            self.take_again(command, turn);
        }
    }

    /// The bans in force at `now`, of the fleet and of this host, in no order.
    pub fn active(&self, now: BootTime) -> impl Iterator<Item = (&Prefix, &Enforced)> {
        self.reconciler.desired().filter(move |(_, ban)| ban.ends > now)
    }

    /// The bans in force at `now` that the kernel is to hold, as far as it takes them, with their ends; in no order.
    pub fn held(&self, now: BootTime) -> impl Iterator<Item = (&Prefix, BootTime)> {
        let due = self.reconciler.due_in_kernel(now);
        due.filter(move |(target, _)| !self.unwritten.contains(*target))
    }

    /// Whether one of the kernel's maps was so full, when it was last compared, that it may evict bans.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.stats.fill.iter().any(Fill::is_crowded)
    }

    /// The bans of the fleet in force at `now`, in no order.
    pub fn enforced(&self, now: BootTime) -> impl Iterator<Item = FleetBan> {
        self.reconciler.fleet_bans(now)
    }

    /// Whether the kernel has the allowlist as it is.
    ///
    /// # Errors
    ///
    /// Why it was not written, as far as that is known.
    pub fn allowlist_written(&self) -> Result<(), OrderError> {
        match &self.allowlist_failed {
            None => Ok(()),
            Some(why) => Err(OrderError::NotWritten(why.clone())),
        }
    }

    /// Returns why the kernel does not have the allowlist as it is, if so.
    #[must_use]
    pub fn allowlist_failed(&self) -> Option<&str> {
        self.allowlist_failed.as_deref()
    }

    /// The digest of the fleet's bans as received, at `now_ms` of the wall clock: what an orchestrator compares with its
    /// ledger.
    #[must_use]
    pub fn digest(&self, now_ms: i64) -> Extract {
        self.reconciler.digest(now_ms)
    }

    #[must_use]
    pub fn status(&self, now: BootTime) -> EnforcerStatus {
        EnforcerStatus {
            active: self.active(now).count(),
            set_aside: self.reconciler.set_aside(),
            unwritten: self.unwritten.len(),
            allowed: self.allowlist.nets().len(),
            allowed_here: self.allowlist.of_reason(allow::LOCAL),
            synced: self.reconciler.is_synced(),
            mode: self.mode,
            revision: self.revision,
            reconcile: self.stats,
        }
    }
}

#[cfg(test)]
mod tests;
