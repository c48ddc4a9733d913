//! The claims on a target: the fleet's ban, an operator's of this host, or both.

use secbeat_common::wire::{Layer, Reason};
use uuid::Uuid;

use super::{Enforced, received::ReceivedBan};
use crate::BootTime;

/// The bans of one target. A pass looks at a million of these, so what it needs is not behind a pointer, and everything
/// else is.
#[derive(Debug, Default)]
pub(super) struct Claims {
    fleet: Option<Box<FleetClaim>>,
    local: Option<Box<Enforced>>,
    summary: Option<Summary>,
    /// The pass in or after which the kernel was last known to hold the ban.
    pub(super) seen_in: Option<u32>,
}

#[derive(Debug)]
pub(super) struct FleetClaim {
    pub(super) id: Uuid,
    /// Of the command, milliseconds since the Unix epoch.
    pub(super) expires_at_ms: i64,
    pub(super) ban: Enforced,
    /// What was received; `None` once the fleet has replaced it by a ban that is not enforced here.
    pub(super) received: Option<ReceivedBan>,
}

/// Claims that have ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) fleet: Option<Box<FleetClaim>>,
}

/// Data of the enforced ban that a comparison needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Summary {
    pub(super) ends: BootTime,
    /// A code of [`secbeat_common::maps::origin`].
    pub(super) origin: u8,
    in_kernel: bool,
    /// Time at which the first of the claims ends.
    first_end: BootTime,
}

impl Claims {
    pub(super) fn fleet(&self) -> Option<&FleetClaim> {
        self.fleet.as_deref()
    }

    /// The claim of the fleet, to note what the fleet has said of it since. What is enforced stays as it is.
    pub(super) fn fleet_mut(&mut self) -> Option<&mut FleetClaim> {
        self.fleet.as_deref_mut()
    }

    /// Sets the fleet's claim, and returns the one before.
    pub(super) fn set_fleet(&mut self, claim: FleetClaim) -> Option<Box<FleetClaim>> {
        let before = self.fleet.replace(Box::new(claim));
        self.summarize();
        before
    }

    /// Has the fleet's ban end at `ends`.
    pub(super) fn end_fleet(&mut self, ends: BootTime) {
        if let Some(claim) = &mut self.fleet {
            claim.ban.ends = ends;
        }
        self.summarize();
    }

    pub(super) fn take_fleet(&mut self) -> Option<FleetClaim> {
        let claim = self.fleet.take()?;
        self.summarize();
        Some(*claim)
    }

    /// Returns when the ban of this host's operators ends, if they have banned the target.
    pub(super) fn manual_end(&self) -> Option<BootTime> {
        let local = self.local.as_deref().filter(|ban| ban.reason == Reason::Manual);
        local.map(|ban| ban.ends)
    }

    pub(super) fn set_local(&mut self, ban: Enforced) {
        self.local = Some(Box::new(ban));
        self.summarize();
    }

    /// Drops what this edge's own detector claims, if the fleet's claim outdoes it. Returns whether it did.
    pub(super) fn yield_to_fleet(&mut self) -> bool {
        let Some(fleet) = self.fleet.as_deref() else {
            return false;
        };
        let is_outdone = |ban: &mut Box<Enforced>| ban.reason != Reason::Manual && fleet.ban.outdoes(ban);
        let yields = self.local.take_if(is_outdone).is_some();
        if yields {
            self.summarize();
        }
        yields
    }

    /// Drops claims that have ended, if there are any.
    pub(super) fn prune(&mut self, now: BootTime) -> Option<Ended> {
        self.summary.filter(|summary| summary.first_end <= now)?;
        let fleet = self.fleet.take_if(|claim| claim.ban.ends <= now);
        self.local.take_if(|ban| ban.ends <= now);
        self.summarize();
        Some(Ended { fleet })
    }

    /// Returns what is enforced: the claim that reaches deeper, then the one that lasts longer.
    pub(super) fn enforced(&self) -> Option<&Enforced> {
        let fleet = self.fleet().map(|claim| &claim.ban);
        fleet
            .into_iter()
            .chain(self.local.as_deref())
            .max_by_key(|ban| (ban.layer == Layer::Kernel, ban.ends))
    }

    /// The ban that the kernel should hold at `now`.
    pub(super) fn due_in_kernel(&self, now: BootTime) -> Option<Summary> {
        self.summary
            .filter(|summary| summary.in_kernel && summary.ends > now)
    }

    fn summarize(&mut self) {
        let fleet = self.fleet().map(|claim| claim.ban.ends);
        let first_end = fleet
            .into_iter()
            .chain(self.local.as_deref().map(|ban| ban.ends))
            .min();
        self.summary = self.enforced().zip(first_end).map(|(ban, first_end)| Summary {
            ends: ban.ends,
            origin: ban.origin.code(),
            in_kernel: ban.layer == Layer::Kernel,
            first_end,
        });
    }
}
