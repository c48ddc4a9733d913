//! Desired bans against the kernel's: a pure core. Commands and a look at the kernel go in, changes to make come out.
//!
//! The desired set is what the bus says, plus the bans that were added on this host. The kernel's maps may differ from it
//! at any time (an LRU evicts, an operator meddles, a daemon was down); a [`Pass`] finds out and repairs.

mod claims;
mod nets;
mod pass;
mod received;

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

use self::{
    claims::{Claims, FleetClaim},
    received::{Ban, Received},
};
pub use self::{
    nets::{Entry, cover},
    pass::{Drift, Pass, Surroundings},
};
use crate::{BootTime, Moment};

/// What this edge enforces and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Enforced {
    pub ends: BootTime,
    pub reason: Reason,
    pub strikes: u32,
    pub layer: Layer,
    pub origin: Origin,
    pub note: Arc<str>,
}

/// Who asked for a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The fleet, by this command.
    Fleet(Uuid),
    /// Somebody on this host.
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

/// A change to make. [`Layer`] says where.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Put(Prefix, Enforced),
    Remove(Prefix),
}

impl Change {
    /// Whom it concerns.
    #[must_use]
    pub fn target(&self) -> Prefix {
        match self {
            Self::Put(target, _) | Self::Remove(target) => *target,
        }
    }
}

/// Why a command is not enforced here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0} is never banned: {1}")]
    Unbannable(Prefix, &'static str),
    #[error("{0} is protected on this host")]
    Protected(Prefix),
    #[error(
        "{0} is one network too many: {MAX_BANNED_NETS} are banned (single sources, IPv4 /32 and IPv6 /64, do not count)"
    )]
    TooManyNets(Prefix),
    #[error("the ban has ended already")]
    Ended,
    #[error("the ban is for another edge")]
    OtherScope,
    #[error("an operator lifted this ban on this host")]
    Overridden,
    #[error("its orchestrator no longer owned the partition")]
    Stale,
}

/// The limits on what an edge enforces.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest ban: whoever issues commands cannot ban for longer, unless an operator bans for ever.
    pub max_ban: Duration,
    pub edge_id: String,
}

/// The desired set of one edge.
#[derive(Debug)]
pub struct Reconciler {
    limits: Limits,
    claims: HashMap<Prefix, Claims>,
    /// Those of `claims` that are no single source, with their own ends if they are for the kernel.
    nets: NetTable<Option<BootTime>>,
    /// Fleet bans that were lifted on this host, until their end.
    overridden: HashMap<Uuid, BootTime>,
    received: Received,
    /// Whether the bus has said what it desires since this process started; before that nothing is foreign.
    synced: bool,
    /// The pass that is under way or was the last.
    pass: u32,
    /// Whether the kernel may hold bans that this process neither wrote nor saw.
    strangers: bool,
}

impl Reconciler {
    /// An edge that desires nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            claims: HashMap::new(),
            nets: NetTable::default(),
            overridden: HashMap::new(),
            received: Received::default(),
            synced: false,
            pass: 0,
            strangers: true,
        }
    }

    /// What is enforced, ended bans not yet pruned included.
    pub fn desired(&self) -> impl Iterator<Item = (&Prefix, &Enforced)> {
        self.claims
            .iter()
            .filter_map(|(target, claims)| Some((target, claims.enforced()?)))
    }

    /// What is enforced against `target`.
    #[must_use]
    pub fn get(&self, target: &Prefix) -> Option<&Enforced> {
        self.claims.get(target)?.enforced()
    }

    /// Whether the fleet's command `id` against `target` has been taken already.
    #[must_use]
    pub fn has_command(&self, target: &Prefix, id: Uuid) -> bool {
        self.claims
            .get(target)
            .and_then(Claims::fleet)
            .is_some_and(|claim| claim.id == id)
            || self.received.is_aside(target, id)
    }

    /// The fleet's bans as received, at `now_ms` of the wall clock.
    #[must_use]
    pub fn received(&self, now_ms: i64) -> Extract {
        self.received.extract(now_ms)
    }

    /// How many of them are not enforced here, and rightly.
    #[must_use]
    pub fn set_aside(&self) -> usize {
        self.received.aside()
    }

    /// Whether the bus has been heard since this process started.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Takes one command from the bus. `protects` tells whether this host protects all of a prefix. `None` means that it
    /// was taken before: its end stays what it was, so that a jump of the wall clock does not move it, and nothing is
    /// written anew, since in an LRU map that can cost another ban its place.
    ///
    /// # Errors
    ///
    /// When it is not to be enforced here; nothing changes then.
    pub fn accept(
        &mut self,
        command: &BlockCommand,
        now: Moment,
        protects: impl Fn(&Prefix) -> bool,
    ) -> Result<Option<Change>, Refusal> {
        let left = command.expires_at_ms.saturating_sub(now.wall_ms);
        let left = u64::try_from(left)
            .ok()
            .filter(|&ms| ms > 0)
            .ok_or(Refusal::Ended)?;
        let left = Duration::from_millis(left);
        let (over, ends) = if command.is_permanent() {
            let by_hand = command.reason == Reason::Manual;
            let ends = by_hand.then_some(BootTime::NEVER);
            (
                BootTime::NEVER,
                ends.unwrap_or_else(|| now.boot.plus(self.limits.max_ban)),
            )
        } else {
            (now.boot.plus(left), now.boot.plus(left.min(self.limits.max_ban)))
        };
        let received = Ban {
            item: command.into(),
            over,
            spent: false,
        };
        if self.received.is_spent(&command.target, command.id) {
            return Ok(None);
        }
        if let Err(refusal) = self.acceptable(command, protects) {
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
            ban: Enforced {
                ends,
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
    pub fn refuse_stale(&mut self, command: &BlockCommand, now: Moment) -> Refusal {
        let left = command.expires_at_ms.saturating_sub(now.wall_ms);
        match u64::try_from(left) {
            Ok(left @ 1..) => {
                self.set_aside_instead(Ban {
                    item: command.into(),
                    over: now.boot.plus(Duration::from_millis(left)),
                    spent: false,
                });
                Refusal::Stale
            }
            _ => Refusal::Ended,
        }
    }

    /// Whether this edge enforces such a command at all.
    fn acceptable(&self, command: &BlockCommand, protects: impl Fn(&Prefix) -> bool) -> Result<(), Refusal> {
        self.bannable(&command.target, protects)?;
        if !command.scope.holds_on(&self.limits.edge_id) {
            return Err(Refusal::OtherScope);
        }
        if self.overridden.contains_key(&command.id) {
            return Err(Refusal::Overridden);
        }
        Ok(())
    }

    /// The fleet's ban of a target is one that is not enforced here, whatever is.
    fn set_aside_instead(&mut self, ban: Ban) {
        let claim = self.claims.get_mut(&ban.item.target).and_then(Claims::fleet_mut);
        if let Some(before) = claim.and_then(|claim| claim.received.take()) {
            self.received.forget(&before);
        }
        self.received.set_aside(ban);
    }

    /// Takes the removal of a ban from the bus. A ban that was added on this host stays.
    pub fn withdraw(&mut self, target: &Prefix) -> Option<Change> {
        self.received.take_back(target);
        let claim = self.claims.get_mut(target)?.take_fleet()?;
        if let Some(ban) = &claim.received {
            self.received.forget(ban);
        }
        Some(self.change(*target))
    }

    /// Ends a snapshot of the bus: fleet bans whose target is not among `present` were lifted while nobody listened.
    pub fn complete_snapshot(&mut self, present: &HashSet<Prefix>) -> Vec<Change> {
        self.synced = true;
        self.received.keep_present(present);
        let gone: Vec<_> = self
            .claims
            .keys()
            .filter(|target| !present.contains(target))
            .copied()
            .collect();
        gone.iter().filter_map(|target| self.withdraw(target)).collect()
    }

    /// Bans `target` on this host alone.
    ///
    /// # Errors
    ///
    /// When it may not be banned here.
    pub fn ban_locally(
        &mut self,
        target: Prefix,
        duration: Duration,
        note: String,
        now: Moment,
        protects: impl Fn(&Prefix) -> bool,
    ) -> Result<Change, Refusal> {
        self.bannable(&target, protects)?;
        self.claims.entry(target).or_default().set_local(Enforced {
            ends: now.boot.plus(duration.min(self.limits.max_ban)),
            reason: Reason::Manual,
            strikes: 0,
            layer: Layer::Kernel,
            origin: Origin::Local,
            note: note.into(),
        });
        Ok(self.change(target))
    }

    /// Lifts a ban on this host alone, whoever wanted it; a fleet ban stays lifted here until the fleet issues another one.
    /// Tells who had wanted it: the fleet, if both had.
    pub fn unban_locally(&mut self, target: &Prefix) -> Option<(Origin, Change)> {
        let mut claims = self.claims.remove(target)?;
        let enforced = claims.enforced()?.origin;
        let origin = claims.take_fleet().map_or(enforced, |claim| {
            self.overridden.insert(claim.id, claim.ban.ends);
            if let Some(ban) = claim.received {
                self.received.forget(&ban);
                self.received.set_aside(ban);
            }
            Origin::Fleet(claim.id)
        });
        Some((origin, self.change(*target)))
    }

    /// Forgets bans that have ended.
    pub fn prune(&mut self, now: BootTime) -> Vec<Change> {
        self.overridden.retain(|_, ends| *ends > now);
        self.received.prune(now);
        let received = &mut self.received;
        let prune = |(target, claims): (&Prefix, &mut Claims)| {
            let ended = claims.prune(now)?;
            if let Some(ban) = ended.fleet.and_then(|claim| claim.received) {
                received.forget(&ban);
                if ban.over > now {
                    received.set_aside(Ban { spent: true, ..ban });
                }
            }
            Some(*target)
        };
        let ended: Vec<_> = self.claims.iter_mut().filter_map(prune).collect();
        ended.into_iter().map(|target| self.change(target)).collect()
    }

    /// What to do about `target` now that its claims have changed.
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

    fn bannable(&self, target: &Prefix, protects: impl Fn(&Prefix) -> bool) -> Result<(), Refusal> {
        if let Some(why) = target.unbannable() {
            return Err(Refusal::Unbannable(*target, why));
        }
        if protects(target) {
            return Err(Refusal::Protected(*target));
        }
        let is_new_net = !target.is_single() && self.nets.get(target).is_none();
        if is_new_net && self.nets.len() >= MAX_BANNED_NETS as usize {
            return Err(Refusal::TooManyNets(*target));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
