//! Desired bans against the kernel's: a pure core. Commands and a look at the kernel go in, changes to make come out.
//!
//! The desired set is what the bus says, plus the bans that were added on this host. The kernel's maps may differ from it
//! at any time (an LRU evicts, an operator meddles, a daemon was down); [`Reconciler::diff`] finds out and repairs.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use secbeat_common::{
    maps::origin,
    prefix::Prefix,
    wire::{BlockCommand, Layer, Reason, Scope},
};
use uuid::Uuid;

use crate::kernel::{BootTime, KernelBan};

/// Ends that differ by less are the same end: wall and boot clock are read one after the other.
const SAME_END: Duration = Duration::from_secs(1);

/// One instant on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds since the Unix epoch.
    pub wall_ms: i64,
    pub boot: BootTime,
}

/// What this edge enforces and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Enforced {
    pub ends: BootTime,
    pub reason: Reason,
    pub strikes: u32,
    pub layer: Layer,
    pub origin: Origin,
    pub note: String,
}

/// Who asked for a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The fleet, by this command.
    Fleet(Uuid),
    /// Somebody on this host.
    Local,
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
    #[error("{0} is no single source (an IPv4 /32 or an IPv6 /64)")]
    NotASource(Prefix),
    #[error("the ban has ended already")]
    Ended,
    #[error("the ban is for another edge")]
    OtherScope,
    #[error("an operator lifted this ban on this host")]
    Overridden,
    #[error("a command of a later epoch holds")]
    Stale,
}

/// What a comparison with the kernel found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// Desired, but not in the kernel (or with another end).
    pub missing: usize,
    /// In the kernel, but not desired.
    pub foreign: usize,
    /// In the kernel after their end; harmless, since the program compares the end itself.
    pub ended: usize,
}

/// The limits on what an edge enforces.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest ban: whoever issues commands cannot ban for longer.
    pub max_ban: Duration,
    pub edge_id: String,
}

/// Who wants a source banned: the fleet, somebody on this host, or both.
#[derive(Debug, Default)]
struct Claims {
    fleet: Option<FleetClaim>,
    local: Option<Enforced>,
}

#[derive(Debug)]
struct FleetClaim {
    id: Uuid,
    epoch: u64,
    ban: Enforced,
}

impl Claims {
    /// What is enforced: the claim that reaches deeper, then the one that lasts longer.
    fn enforced(&self) -> Option<&Enforced> {
        let fleet = self.fleet.as_ref().map(|claim| &claim.ban);
        fleet
            .into_iter()
            .chain(&self.local)
            .max_by_key(|ban| (ban.layer == Layer::Kernel, ban.ends))
    }
}

/// The desired set of one edge.
#[derive(Debug)]
pub struct Reconciler {
    limits: Limits,
    claims: HashMap<Prefix, Claims>,
    /// Fleet bans that were lifted on this host, until their end.
    overridden: HashMap<Uuid, BootTime>,
    /// Whether the bus has said what it desires since this process started; before that nothing is foreign.
    synced: bool,
}

impl Reconciler {
    /// An edge that desires nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            claims: HashMap::new(),
            overridden: HashMap::new(),
            synced: false,
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
            .and_then(|claims| claims.fleet.as_ref())
            .is_some_and(|claim| claim.id == id)
    }

    /// Whether the bus has been heard since this process started.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Takes one command from the bus. `protects` tells whether this host protects all of a prefix.
    ///
    /// # Errors
    ///
    /// When it is not to be enforced here; nothing changes then.
    pub fn accept(
        &mut self,
        command: &BlockCommand,
        now: Now,
        protects: impl Fn(&Prefix) -> bool,
    ) -> Result<Change, Refusal> {
        let target = command.target;
        bannable(&target, protects)?;
        if matches!(&command.scope, Scope::Edge(id) if *id != self.limits.edge_id) {
            return Err(Refusal::OtherScope);
        }
        if self.overridden.contains_key(&command.id) {
            return Err(Refusal::Overridden);
        }
        let left = command.expires_at_ms.saturating_sub(now.wall_ms);
        let left = u64::try_from(left)
            .ok()
            .filter(|&ms| ms > 0)
            .ok_or(Refusal::Ended)?;
        let claims = self.claims.entry(target).or_default();
        match &claims.fleet {
            Some(claim) if claim.epoch > command.epoch => return Err(Refusal::Stale),
            // A redelivered command keeps its first end, so that a jump of the wall clock does not move it.
            Some(claim) if claim.id == command.id => {}
            _ => {
                let ban = Enforced {
                    ends: now
                        .boot
                        .plus(Duration::from_millis(left).min(self.limits.max_ban)),
                    reason: command.reason,
                    strikes: command.strikes,
                    layer: command.layer,
                    origin: Origin::Fleet(command.id),
                    note: command.note.clone(),
                };
                claims.fleet = Some(FleetClaim {
                    id: command.id,
                    epoch: command.epoch,
                    ban,
                });
            }
        }
        Ok(self.change(target))
    }

    /// Takes the removal of a ban from the bus. A ban that was added on this host stays.
    pub fn withdraw(&mut self, target: &Prefix) -> Option<Change> {
        self.claims.get_mut(target)?.fleet.take()?;
        Some(self.change(*target))
    }

    /// Ends a snapshot of the bus: fleet bans whose target is not among `present` were lifted while nobody listened.
    pub fn complete_snapshot(&mut self, present: &HashSet<Prefix>) -> Vec<Change> {
        self.synced = true;
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
        now: Now,
        protects: impl Fn(&Prefix) -> bool,
    ) -> Result<Change, Refusal> {
        bannable(&target, protects)?;
        self.claims.entry(target).or_default().local = Some(Enforced {
            ends: now.boot.plus(duration.min(self.limits.max_ban)),
            reason: Reason::Manual,
            strikes: 0,
            layer: Layer::Kernel,
            origin: Origin::Local,
            note,
        });
        Ok(self.change(target))
    }

    /// Lifts a ban on this host alone, whoever wanted it; a fleet ban stays lifted here until the fleet issues another one.
    /// Tells who had wanted it: the fleet, if both had.
    pub fn unban_locally(&mut self, target: &Prefix) -> Option<(Origin, Change)> {
        let claims = self.claims.remove(target)?;
        let enforced = claims.enforced()?.origin;
        let origin = claims.fleet.map_or(enforced, |claim| {
            self.overridden.insert(claim.id, claim.ban.ends);
            Origin::Fleet(claim.id)
        });
        Some((origin, Change::Remove(*target)))
    }

    /// Forgets bans that have ended.
    pub fn prune(&mut self, now: BootTime) -> Vec<Change> {
        self.overridden.retain(|_, ends| *ends > now);
        let mut ended = Vec::new();
        for (target, claims) in &mut self.claims {
            let fleet = claims.fleet.take_if(|claim| claim.ban.ends <= now).is_some();
            let local = claims.local.take_if(|ban| ban.ends <= now).is_some();
            if fleet || local {
                ended.push(*target);
            }
        }
        ended.into_iter().map(|target| self.change(target)).collect()
    }

    /// Compares the kernel's bans with the desired ones and says what to change.
    ///
    /// Bans in the kernel that were added on this host and that this process does not know yet (it has just started, or
    /// the command line wrote them) are adopted. Fleet bans that nobody desires are removed, but only once the bus has been
    /// heard: until then they are all there is.
    pub fn diff(
        &mut self,
        kernel: &[(Prefix, KernelBan)],
        now: BootTime,
        protects: impl Fn(&Prefix) -> bool,
    ) -> (Drift, Vec<Change>) {
        let mut drift = Drift::default();
        let mut changes = Vec::new();
        let mut right = HashSet::new();
        for (target, ban) in kernel {
            match self.get(target) {
                Some(desired) if desired.layer == Layer::Kernel && desired.ends > now => {
                    let same = desired.ends.since(ban.ends).max(ban.ends.since(desired.ends)) < SAME_END
                        && ban.origin == origin_code(desired.origin);
                    if same {
                        right.insert(*target);
                    }
                }
                _ if ban.ends <= now => {
                    drift.ended += 1;
                    changes.push(Change::Remove(*target));
                }
                None if protects(target) => {
                    drift.foreign += 1;
                    changes.push(Change::Remove(*target));
                }
                None if ban.origin == origin::LOCAL => {
                    let adopted = adopted(ban, Origin::Local);
                    self.claims.entry(*target).or_default().local = Some(adopted.clone());
                    right.insert(*target);
                    changes.push(Change::Put(*target, adopted));
                }
                None if !self.synced => {}
                _ => {
                    drift.foreign += 1;
                    changes.push(Change::Remove(*target));
                }
            }
        }
        for (target, desired) in self.desired() {
            if desired.layer == Layer::Kernel && desired.ends > now && !right.contains(target) {
                drift.missing += 1;
                changes.push(Change::Put(*target, desired.clone()));
            }
        }
        (drift, changes)
    }

    /// What to do about `target` now that its claims have changed.
    fn change(&mut self, target: Prefix) -> Change {
        match self.get(&target).cloned() {
            Some(ban) => Change::Put(target, ban),
            None => {
                self.claims.remove(&target);
                Change::Remove(target)
            }
        }
    }
}

fn bannable(target: &Prefix, protects: impl Fn(&Prefix) -> bool) -> Result<(), Refusal> {
    if let Some(why) = target.unbannable() {
        return Err(Refusal::Unbannable(*target, why));
    }
    if !target.is_source() {
        return Err(Refusal::NotASource(*target));
    }
    if protects(target) {
        return Err(Refusal::Protected(*target));
    }
    Ok(())
}

/// The code of [`secbeat_common::maps::Ban::origin`].
#[must_use]
pub fn origin_code(origin: Origin) -> u8 {
    match origin {
        Origin::Fleet(_) => origin::FLEET,
        Origin::Local => origin::LOCAL,
    }
}

fn adopted(ban: &KernelBan, origin: Origin) -> Enforced {
    Enforced {
        ends: ban.ends,
        reason: Reason::from_code(ban.reason).unwrap_or(Reason::Manual),
        strikes: ban.strikes,
        layer: Layer::Kernel,
        origin,
        note: String::new(),
    }
}

#[cfg(test)]
mod tests;
