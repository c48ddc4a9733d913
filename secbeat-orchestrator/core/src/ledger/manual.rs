//! Bans that people ask for, one or many at once.

use std::collections::HashMap;

use secbeat_common::{
    prefix::Prefix,
    wire::{Action, BlockCommand, Layer, NO_LEASE, PERMANENT, Reason, Scope},
};
use uuid::Uuid;

use super::{ActiveBan, Ledger, Refusal, WriteState};

/// Longest note, in bytes: it is in every message about the ban.
pub const MAX_NOTE: usize = 1024;

/// A ban that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManualBan {
    pub target: Prefix,
    /// Milliseconds since the Unix epoch, or [`PERMANENT`].
    pub expires_at_ms: i64,
    /// Why; a rule's name for a ban that was exported. One without end is [`Reason::Manual`] whatever it says, since edges
    /// take nothing else for so long.
    pub reason: Reason,
    pub layer: Layer,
    /// The edges for which it is meant.
    pub scope: Scope,
    /// Earlier bans that count; those that the ledger remembers unless set.
    pub strikes: Option<u32>,
    pub note: String,
    pub issuer: String,
    /// The list that it is of, if it is of one.
    pub list: Option<Uuid>,
    /// Whether it may end a ban in force earlier.
    pub shortens: bool,
}

/// Ends that are no further apart, in milliseconds, are the same: lengths are counted from when orders arrive.
pub const SAME_END_MS: i64 = 5_000;

impl ManualBan {
    /// A ban by hand, in the kernel.
    #[must_use]
    pub fn new(target: Prefix, expires_at_ms: i64, note: String, issuer: String) -> Self {
        Self {
            target,
            expires_at_ms,
            reason: Reason::Manual,
            layer: Layer::Kernel,
            scope: Scope::Fleet,
            strikes: None,
            note,
            issuer,
            list: None,
            shortens: false,
        }
    }

    /// Whether a ban of the same target on all edges until `expires_at_ms` reaches as deep and lasts as long.
    fn is_outdone_by(&self, expires_at_ms: i64, layer: Layer) -> bool {
        expires_at_ms >= self.expires_at_ms && (layer == Layer::Kernel || layer == self.layer)
    }
}

/// What an import would do with one of its bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sifted {
    /// It becomes a ban.
    New,
    /// The same, in place of one that ends earlier, reaches less deep or holds on some edges alone.
    Longer,
    /// A ban of the same target reaches as deep and lasts as long.
    Kept,
    /// It has ended.
    Ended,
    Refused(Refusal),
}

impl Sifted {
    #[must_use]
    pub const fn is_ban(self) -> bool {
        matches!(self, Self::New | Self::Longer)
    }
}

/// What an import would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sift {
    /// For each of its bans.
    pub bans: Vec<Sifted>,
    /// Networks among the new ones that are no single source and were not banned before.
    pub new_nets: usize,
}

impl Ledger {
    /// Bans a target at `now_ms` because somebody says so. It replaces a ban in force, whose strikes it keeps.
    ///
    /// # Errors
    ///
    /// When the target must not be banned, or is one network too many, or the ban has ended already; also when it would end a ban in
    /// force earlier, and is not said to, or is not for all edges that enforce one.
    pub fn ban(&mut self, ban: ManualBan, now_ms: i64, new_id: Uuid) -> Result<BlockCommand, Refusal> {
        let target = ban.target;
        if let Some(refusal) = self.refusal_by_hand(&target) {
            return Err(refusal);
        }
        if ban.expires_at_ms <= now_ms {
            return Err(Refusal::Ended);
        }
        self.end_if_over(target, now_ms);
        if self.lacks_room(&target) {
            return Err(Refusal::TooManyNets);
        }
        if let Some(ActiveBan { command, .. }) = self.active.get(&target) {
            // Never in one step: an edge that knows no labels would go on with the ban that this one takes the place of.
            if !ban.scope.covers(&command.scope) {
                return Err(Refusal::Outreached(command.expires_at_ms));
            }
            // One that some edges' reports led to may give way to one of the whole fleet.
            let is_of_edges = command.scope != Scope::Fleet && command.scope.labels().is_empty();
            let ends_later = command.expires_at_ms > ban.expires_at_ms.saturating_add(SAME_END_MS);
            if ends_later && !is_of_edges && !ban.shortens {
                return Err(Refusal::Outlasted(command.expires_at_ms));
            }
        }
        let known = match self.active.get(&target) {
            Some(active) => active.command.strikes,
            None => self.history.strikes(&target, now_ms, self.config.strike_memory),
        };
        let command = BlockCommand {
            id: new_id,
            action: Action::Block,
            list: ban.list,
            target,
            reason: if ban.expires_at_ms == PERMANENT {
                Reason::Manual
            } else {
                ban.reason
            },
            note: ban.note,
            evidence: None,
            scope: ban.scope,
            strikes: ban.strikes.map_or(known, |strikes| strikes.max(known)),
            issued_at_ms: now_ms,
            expires_at_ms: ban.expires_at_ms,
            issuer: ban.issuer,
            layer: ban.layer,
            epoch: NO_LEASE,
        };
        self.insert(command.clone(), WriteState::Pending);
        Ok(command)
    }

    /// What would become of `bans` at `now_ms`, were they taken one after the other, behind others with `nets_before` new networks.
    #[must_use]
    pub fn sift(&self, bans: &[ManualBan], nets_before: usize, now_ms: i64) -> Sift {
        let mut taken: HashMap<Prefix, &ManualBan> = HashMap::new();
        let mut new_nets = 0;
        let mut sift = |ban| {
            let sifted = self.sift_one(ban, now_ms);
            if !sifted.is_ban() {
                return sifted;
            }
            let earlier = taken.get(&ban.target);
            if earlier.is_some_and(|earlier| ban.is_outdone_by(earlier.expires_at_ms, earlier.layer)) {
                return Sifted::Kept;
            }
            let is_new_net =
                earlier.is_none() && !ban.target.is_single() && !self.active.contains_key(&ban.target);
            if is_new_net && nets_before + new_nets >= self.free_nets() {
                return Sifted::Refused(Refusal::TooManyNets);
            }
            new_nets += usize::from(is_new_net);
            taken.insert(ban.target, ban);
            sifted
        };
        Sift {
            bans: bans.iter().map(&mut sift).collect(),
            new_nets,
        }
    }

    /// Networks that can be banned beside those that are.
    #[must_use]
    pub fn free_nets(&self) -> usize {
        self.max_nets.saturating_sub(self.wide.len())
    }

    fn sift_one(&self, ban: &ManualBan, now_ms: i64) -> Sifted {
        if let Some(refusal) = self.refusal_by_hand(&ban.target) {
            return Sifted::Refused(refusal);
        }
        if ban.expires_at_ms <= now_ms {
            return Sifted::Ended;
        }
        match self.active.get(&ban.target) {
            // A list that says what is left of a ban is read later than it was written.
            Some(ActiveBan { command, .. })
                if command.scope == Scope::Fleet
                    && ban
                        .is_outdone_by(command.expires_at_ms.saturating_add(SAME_END_MS), command.layer) =>
            {
                Sifted::Kept
            }
            Some(_) => Sifted::Longer,
            None => Sifted::New,
        }
    }
}
