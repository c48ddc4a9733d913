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

/// Ends that are not further apart, in milliseconds, are the same: lengths are counted from when orders arrive.
pub const SAME_END_MS: i64 = 5_000;

/// Time that a ban goes on that an operator ends early and whose strikes are kept, in milliseconds: the bus has to take its end
/// before.
pub const EARLY_END_MS: i64 = 2_000;

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

/// Returns why an operator's ban for `scope` until `expires_at_ms` cannot take the place of `held`, which is in force; `None` if
/// it can.
pub(crate) fn obstacle(
    held: &BlockCommand,
    scope: &Scope,
    expires_at_ms: i64,
    shortens: bool,
) -> Option<Refusal> {
    // Never in one step: an edge that knows no labels would go on with the ban that this one takes the place of.
    if !scope.covers(&held.scope) {
        return Some(Refusal::Outreached(held.expires_at_ms));
    }
    // One that some edges' reports led to may give way to one of the whole fleet.
    let is_of_edges = held.scope != Scope::Fleet && held.scope.labels().is_empty();
    let ends_later = held.expires_at_ms > expires_at_ms.saturating_add(SAME_END_MS);
    (ends_later && !is_of_edges && !shortens).then_some(Refusal::Outlasted(held.expires_at_ms))
}

/// Whether one order, given to two orchestrators, would have led to both of these bans of one target.
pub(crate) fn is_same_ban(one: &BlockCommand, other: &BlockCommand) -> bool {
    one.reason == other.reason
        && one.layer == other.layer
        && one.note == other.note
        && one.issuer == other.issuer
        && one.strikes == other.strikes
        && one.scope == other.scope
        && one.expires_at_ms.abs_diff(other.expires_at_ms) <= SAME_END_MS.unsigned_abs()
}

/// Effect of an import on one of its bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sifted {
    /// It becomes a ban.
    New,
    /// It becomes a ban, in place of one that ends earlier, reaches less deep or holds on some edges alone.
    Longer,
    /// Another ban of the same target, in force or of the same import, goes before it.
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

/// The effects that an import would have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportPlan {
    /// For each of its bans.
    pub bans: Vec<Sifted>,
    /// Networks among the new ones that are not single sources and were not banned before.
    pub new_nets: usize,
}

impl Ledger {
    /// Bans a target at `now_ms` because somebody says so. It replaces a ban in force, whose strikes it keeps.
    ///
    /// # Errors
    ///
    /// Returns an error if the target must not be banned, or is one network too many, or the ban has ended already; also when it
    /// would end a ban in force earlier, and is not said to, or is not for all edges that enforce one.
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
        if let Some(ActiveBan { command, .. }) = self.active.get(&target)
            && let Some(refusal) = obstacle(command, &ban.scope, ban.expires_at_ms, ban.shortens)
        {
            return Err(refusal);
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

    /// Returns what would become of `bans` at `now_ms`, were they taken one after the other, behind others with `nets_before` new
    /// networks. Of several of one target that outdo each other, the last becomes a ban.
    #[must_use]
    pub fn sift(&self, bans: &[ManualBan], nets_before: usize, now_ms: i64) -> ImportPlan {
        let mut taken: HashMap<Prefix, (usize, &ManualBan)> = HashMap::new();
        let mut fates: Vec<Sifted> = Vec::with_capacity(bans.len());
        let mut new_nets = 0;
        for (index, ban) in bans.iter().enumerate() {
            let mut fate = self.sift_one(ban, now_ms);
            if fate.is_ban() {
                let is_new_net = !ban.target.is_single() && !self.active.contains_key(&ban.target);
                match taken.get(&ban.target) {
                    Some((_, earlier)) if ban.is_outdone_by(earlier.expires_at_ms, earlier.layer) => {
                        fate = Sifted::Kept;
                    }
                    Some((earlier, _)) => {
                        if let Some(outdone) = fates.get_mut(*earlier) {
                            *outdone = Sifted::Kept;
                        }
                    }
                    None if is_new_net && nets_before + new_nets >= self.free_nets() => {
                        fate = Sifted::Refused(Refusal::TooManyNets);
                    }
                    None => new_nets += usize::from(is_new_net),
                }
            }
            if fate.is_ban() {
                taken.insert(ban.target, (index, ban));
            }
            fates.push(fate);
        }
        ImportPlan {
            bans: fates,
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
