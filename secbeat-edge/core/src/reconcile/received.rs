//! The fleet's bans as the bus has told them, whatever this edge makes of them: what it is compared by with the ledger.

use std::collections::{HashMap, HashSet};

use secbeat_common::{
    digest::{Digest, Extract, Item},
    prefix::Prefix,
};
use uuid::Uuid;

use crate::BootTime;

/// What was received. A ban that is enforced is remembered by its claim, all others here.
#[derive(Debug, Default)]
pub(super) struct Received {
    digest: Digest,
    /// At most one for each target: the latest command.
    aside: HashMap<Prefix, Ban>,
}

/// A ban that counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ban {
    pub(super) item: Item,
    /// When it is over; what is enforced ends earlier if this edge bans nobody for so long.
    pub(super) over: BootTime,
    /// Whether it was enforced for as long as this edge bans.
    pub(super) spent: bool,
}

impl Received {
    /// A ban that is enforced.
    pub(super) fn take(&mut self, ban: &Ban) {
        self.digest.add(&ban.item);
    }

    /// A ban that was enforced, and is lifted, ended or replaced.
    pub(super) fn forget(&mut self, ban: &Ban) {
        self.digest.remove(&ban.item);
    }

    /// A ban that is not enforced here. It takes the place of an earlier one.
    pub(super) fn set_aside(&mut self, ban: Ban) {
        self.digest.add(&ban.item);
        if let Some(before) = self.aside.insert(ban.item.target, ban) {
            self.forget(&before);
        }
    }

    /// A ban that was set aside is lifted, or enforced from now on.
    pub(super) fn take_back(&mut self, target: &Prefix) {
        if let Some(ban) = self.aside.remove(target) {
            self.forget(&ban);
        }
    }

    /// Whether the command `id` against `target` was set aside.
    pub(super) fn is_aside(&self, target: &Prefix, id: Uuid) -> bool {
        self.aside
            .get(target)
            .is_some_and(|ban| ban.item.command_id == id)
    }

    /// Whether the command `id` against `target` was enforced for as long as this edge bans.
    pub(super) fn is_spent(&self, target: &Prefix, id: Uuid) -> bool {
        self.aside
            .get(target)
            .is_some_and(|ban| ban.spent && ban.item.command_id == id)
    }

    pub(super) fn aside(&self) -> usize {
        self.aside.len()
    }

    /// Forgets what was set aside and has ended.
    pub(super) fn prune(&mut self, now: BootTime) {
        self.retain(|ban| ban.over > now);
    }

    /// Forgets what was set aside and is not among `present`.
    pub(super) fn keep_present(&mut self, present: &HashSet<Prefix>) {
        self.retain(|ban| present.contains(&ban.item.target));
    }

    fn retain(&mut self, stays: impl Fn(&Ban) -> bool) {
        let digest = &mut self.digest;
        self.aside.retain(|_, ban| {
            let stays = stays(ban);
            if !stays {
                digest.remove(&ban.item);
            }
            stays
        });
    }

    pub(super) fn extract(&self, now_ms: i64) -> Extract {
        self.digest.extract(now_ms)
    }
}
