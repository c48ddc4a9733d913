//! Desired bans against the kernel's. Commands and observations of the kernel go in, changes to make come out.
//!
//! The desired bans are those of the bus, and those that were added on this host. The kernel's maps may differ from them
//! at any time: an LRU map evicts, an operator changes a map, the daemon was down. A [`Pass`] compares and repairs.
//!
//! Changes come sorted by target, so that the order in a hash table shows nowhere.

mod claims;
mod nets;
mod pass;
mod received;
mod stand_in;
mod time_set;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use secbeat_common::{
    digest::Extract,
    maps::{MAX_BANNED_NETS, origin},
    net_table::NetTable,
    prefix::Prefix,
    wire::{BlockCommand, Layer, Reason},
};
use uuid::Uuid;

pub(crate) use self::pass::Pass;
use self::{
    claims::{Claims, FleetClaim},
    received::{ReceivedBan, ReceivedBans},
};
pub use self::{nets::cover, pass::Drift};
use crate::{
    BootTime, LocalNotes, Moment, Refusal,
    admission::{Admission, Room, check_target, left},
    notes::SAME_END,
};

/// A ban that this edge enforces, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enforced {
    pub ends: BootTime,
    pub reason: Reason,
    pub strikes: u32,
    pub layer: Layer,
    pub origin: Origin,
    pub note: Arc<str>,
}

/// A ban of the fleet that an edge enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FleetBan {
    pub target: Prefix,
    pub command_id: Uuid,
    /// Expiry as commanded, milliseconds since the Unix epoch.
    pub expires_at_ms: i64,
}

/// A ban that an operator of this host orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalBan {
    pub target: Prefix,
    pub duration: Duration,
    pub note: String,
    /// Whether it takes the place of a ban of this host's operators that ends later.
    pub shortens: bool,
}

impl LocalBan {
    /// A ban that shortens none.
    #[must_use]
    pub const fn new(target: Prefix, duration: Duration, note: String) -> Self {
        Self {
            target,
            duration,
            note,
            shortens: false,
        }
    }
}

/// Origin of a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An orchestrator, by this command.
    Fleet(Uuid),
    /// This host: an operator, or its own detector, which gives a rule as the reason.
    Local,
}

impl Origin {
    /// The code of [`secbeat_common::maps::Ban::origin`].
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Fleet(_) => origin::FLEET,
            Self::Local => origin::LOCAL,
        }
    }
}

/// A change of what is enforced. [`Enforced::layer`] says where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Put(Prefix, Enforced),
    Remove(Prefix),
}

impl Change {
    pub(crate) fn target(&self) -> Prefix {
        match self {
            Self::Put(target, _) | Self::Remove(target) => *target,
        }
    }
}

/// The desired bans of one edge.
#[derive(Debug)]
pub(crate) struct Reconciler {
    admission: Admission,
    claims: HashMap<Prefix, Claims>,
    /// Those of `claims` that are not single sources, with their own ends if they are for the kernel.
    nets: NetTable<Option<BootTime>>,
    received: ReceivedBans,
    /// Whether a whole snapshot of the bus was read since this process started; before that nothing is unknown.
    synced: bool,
    /// The pass that is under way or was the last.
    pass: u32,
    /// Whether the kernel may hold bans that this process neither wrote nor found.
    has_unknown: bool,
    /// Notes of bans on this host that another process made.
    notes: LocalNotes,
    /// Whether bans that the kernel holds as this host's own are not adopted: the bus has them.
    disowns: bool,
    /// Most networks that are banned at a time.
    pub(crate) max_nets: usize,
}

impl Reconciler {
    /// A reconciler without desired bans.
    pub(crate) fn new(admission: Admission) -> Self {
        Self {
            admission,
            claims: HashMap::new(),
            nets: NetTable::default(),
            received: ReceivedBans::default(),
            synced: false,
            pass: 0,
            has_unknown: true,
            notes: LocalNotes::default(),
            disowns: false,
            max_nets: MAX_BANNED_NETS as usize,
        }
    }

    /// Gives bans on this host that are found in the kernel the notes of before.
    pub(crate) fn with_notes(self, notes: LocalNotes) -> Self {
        Self { notes, ..self }
    }

    /// Adopts no bans of this host until all that the kernel holds was compared with the bus, if `disowns`.
    pub(crate) fn disowning(self, disowns: bool) -> Self {
        Self { disowns, ..self }
    }

    /// The bans that are enforced, expired ones that are not yet pruned included.
    pub(crate) fn desired(&self) -> impl Iterator<Item = (&Prefix, &Enforced)> {
        self.claims
            .iter()
            .filter_map(|(target, claims)| Some((target, claims.enforced()?)))
    }

    /// The bans that the kernel should hold at `now`, with their ends, in no order.
    pub(crate) fn due_in_kernel(&self, now: BootTime) -> impl Iterator<Item = (&Prefix, BootTime)> {
        self.claims
            .iter()
            .filter_map(move |(target, claims)| Some((target, claims.due_in_kernel(now)?.ends)))
    }

    /// The bans of the fleet that have not expired at `now`.
    pub(crate) fn fleet_bans(&self, now: BootTime) -> impl Iterator<Item = FleetBan> {
        self.claims.iter().filter_map(move |(target, claims)| {
            let claim = claims.fleet().filter(|claim| claim.ban.ends > now)?;
            Some(FleetBan {
                target: *target,
                command_id: claim.id,
                expires_at_ms: claim.expires_at_ms,
            })
        })
    }

    /// The ban of `target` that is enforced.
    #[cfg(test)]
    pub(crate) fn get(&self, target: &Prefix) -> Option<&Enforced> {
        self.claims.get(target)?.enforced()
    }

    /// Whether the command `id` against `target` was received already, be it enforced or refused.
    pub(crate) fn has_command(&self, target: &Prefix, id: Uuid) -> bool {
        self.claims
            .get(target)
            .and_then(Claims::fleet)
            .is_some_and(|claim| claim.id == id)
            || self.received.is_aside(target, id)
    }

    /// Returns when the fleet's ban of `target` that is enforced ends as its command says, in milliseconds since the Unix epoch.
    pub(crate) fn fleet_end(&self, target: &Prefix) -> Option<i64> {
        Some(self.claims.get(target)?.fleet()?.expires_at_ms)
    }

    /// The digest of the bans as received from the bus, at `now_ms` of the wall clock.
    pub(crate) fn digest(&self, now_ms: i64) -> Extract {
        self.received.extract(now_ms)
    }

    /// Returns how many received bans are rightly not enforced here.
    pub(crate) fn set_aside(&self) -> usize {
        self.received.aside()
    }

    /// Whether a whole snapshot of the bus was read since this process started.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced
    }

    /// Takes one command from the bus. `allowlisted` tells whether all of a prefix is allowlisted on this host. `None`
    /// means that it was taken before: its end stays what it was, so that a jump of the wall clock does not move it, and
    /// nothing is written again, since in an LRU map that can cost another ban its place.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if it is not to be enforced here; what is enforced does not change then.
    pub(crate) fn accept(
        &mut self,
        command: &BlockCommand,
        now: Moment,
        allowlisted: impl Fn(&Prefix) -> bool,
    ) -> Result<Option<Change>, Refusal> {
        let lifetime = self.admission.lifetime(command, now)?;
        let received = ReceivedBan {
            item: command.into(),
            over: lifetime.commanded,
            spent: false,
        };
        if self.received.is_spent(&command.target, command.id) {
            return Ok(None);
        }
        let room = self.room(&command.target);
        if let Err(refusal) = self.admission.check(command, room, allowlisted) {
            self.set_aside_instead(received);
            return Err(refusal);
        }
        self.received.take_back(&command.target);
        let claims = self.claims.entry(command.target).or_default();
        if let Some(claim) = claims.fleet_mut().filter(|claim| claim.id == command.id) {
            if claim.received.is_none() {
                self.received.take(claim.received.insert(received));
            }
            return Ok(None);
        }
        let before = claims.set_fleet(FleetClaim {
            id: command.id,
            received: Some(received),
            expires_at_ms: command.expires_at_ms,
            ban: Enforced {
                ends: lifetime.enforced,
                reason: command.reason,
                strikes: command.strikes,
                layer: command.layer,
                origin: Origin::Fleet(command.id),
                note: command.note.as_str().into(),
            },
        });
        self.received.take(&received);
        if let Some(before) = before.and_then(|claim| claim.received) {
            self.received.forget(&before);
        }
        Ok(Some(self.change(command.target)))
    }

    /// Takes a command whose issuer no longer owned the target's partition: the bus holds it, this edge does not.
    pub(crate) fn refuse_stale(&mut self, command: &BlockCommand, now: Moment) -> Refusal {
        match left(command, now) {
            Ok(left) => {
                self.set_aside_instead(ReceivedBan {
                    item: command.into(),
                    over: now.boot.plus(left),
                    spent: false,
                });
                Refusal::Stale
            }
            Err(refusal) => refusal,
        }
    }

    /// Notes that the bus holds `ban`, which is not enforced here. What is enforced stays.
    fn set_aside_instead(&mut self, ban: ReceivedBan) {
        let claim = self.claims.get_mut(&ban.item.target).and_then(Claims::fleet_mut);
        if let Some(before) = claim.and_then(|claim| claim.received.take()) {
            self.received.forget(&before);
        }
        self.received.set_aside(ban);
    }

    /// Ends the ban of `target` that this edge enforces for the fleet: the bus has one in its place that is for other edges.
    pub(crate) fn leave_to_others(&mut self, target: &Prefix) -> Option<Change> {
        let claim = self.claims.get_mut(target)?.take_fleet()?;
        if let Some(ban) = &claim.received {
            self.received.forget(ban);
        }
        Some(self.change(*target))
    }

    /// Takes the removal of a ban from the bus. A ban that was added on this host stays.
    pub(crate) fn withdraw(&mut self, target: &Prefix) -> Option<Change> {
        self.received.take_back(target);
        let claim = self.claims.get_mut(target)?.take_fleet()?;
        if let Some(ban) = &claim.received {
            self.received.forget(ban);
        }
        Some(self.change(*target))
    }

    /// Ends a snapshot of the bus: bans whose target is not among `present` were lifted while this edge was disconnected.
    pub(crate) fn complete_snapshot(&mut self, present: &HashSet<Prefix>) -> Vec<Change> {
        self.synced = true;
        self.received.keep_present(present);
        let mut gone: Vec<_> = self
            .claims
            .keys()
            .filter(|target| !present.contains(target))
            .copied()
            .collect();
        gone.sort_unstable();
        gone.iter().filter_map(|target| self.withdraw(target)).collect()
    }

    /// Bans on this host alone.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if the target may not be banned here, or this host's operators have banned it for longer and the ban does not say
    /// that it shortens that.
    pub(crate) fn ban_locally(
        &mut self,
        ban: LocalBan,
        now: Moment,
        allowlisted: impl Fn(&Prefix) -> bool,
    ) -> Result<Change, Refusal> {
        let LocalBan {
            target,
            duration,
            note,
            shortens,
        } = ban;
        check_target(&target, self.room(&target), allowlisted)?;
        let ends = self.admission.end(duration, now);
        let manual_end = self.claims.get(&target).and_then(Claims::manual_end);
        let outlasts = |manual_end: &BootTime| !shortens && manual_end.since(ends) >= SAME_END;
        if let Some(manual_end) = manual_end.filter(outlasts) {
            return Err(Refusal::Outlasted(target, manual_end));
        }
        self.claims.entry(target).or_default().set_local(Enforced {
            ends,
            reason: Reason::Manual,
            strikes: 0,
            layer: Layer::Kernel,
            origin: Origin::Local,
            note: note.into(),
        });
        Ok(self.change(target))
    }

    /// Lifts a ban on this host alone, wherever it comes from. An orchestrator's ban stays lifted here until it issues
    /// another one. Returns the origin of the ban: the fleet, if there were two.
    pub(crate) fn unban_locally(&mut self, target: &Prefix) -> Option<(Origin, Change)> {
        let mut claims = self.claims.remove(target)?;
        let enforced = claims.enforced()?.origin;
        let origin = claims.take_fleet().map_or(enforced, |claim| {
            self.admission.override_command(claim.id, claim.ban.ends);
            if let Some(ban) = claim.received {
                self.received.forget(&ban);
                self.received.set_aside(ban);
            }
            Origin::Fleet(claim.id)
        });
        Some((origin, self.change(*target)))
    }

    /// Forgets bans that have expired.
    pub(crate) fn prune(&mut self, now: BootTime) -> Vec<Change> {
        self.admission.prune(now);
        self.received.prune(now);
        let received = &mut self.received;
        let prune = |(target, claims): (&Prefix, &mut Claims)| {
            let ended = claims.prune(now)?;
            if let Some(ban) = ended.fleet.and_then(|claim| claim.received) {
                received.forget(&ban);
                if ban.over > now {
                    received.set_aside(ReceivedBan { spent: true, ..ban });
                }
            }
            Some(*target)
        };
        let mut ended: Vec<_> = self.claims.iter_mut().filter_map(prune).collect();
        ended.sort_unstable();
        ended.into_iter().map(|target| self.change(target)).collect()
    }

    /// Returns the change that follows from the claims on `target`, which have changed.
    fn change(&mut self, target: Prefix) -> Change {
        let desired = self.claims.get(&target).and_then(Claims::enforced).cloned();
        match &desired {
            _ if target.is_single() => {}
            Some(ban) => self
                .nets
                .insert(target, (ban.layer == Layer::Kernel).then_some(ban.ends)),
            None => self.nets.remove(&target),
        }
        match desired {
            Some(ban) => Change::Put(target, ban),
            None => {
                self.claims.remove(&target);
                Change::Remove(target)
            }
        }
    }

    fn room(&self, target: &Prefix) -> Room {
        let is_new_net = !target.is_single() && self.nets.get(target).is_none();
        if is_new_net && self.nets.len() >= self.max_nets {
            Room::Full
        } else {
            Room::Enough
        }
    }
}

#[cfg(test)]
mod tests;
