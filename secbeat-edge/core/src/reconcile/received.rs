//! The fleet's bans as received, enforced or not. Their digest is what an orchestrator compares with its ledger.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use secbeat_common::{
    digest::{Digest, Extract, Item},
    prefix::Prefix,
    wire::PERMANENT,
};
use uuid::Uuid;

use crate::{BootTime, Moment};

/// All received bans. One that is enforced is kept by its claim, all others here.
#[derive(Debug, Default)]
pub(super) struct ReceivedBans {
    digest: Digest,
    /// At most one for each target: the latest command.
    set_aside: HashMap<Prefix, ReceivedBan>,
}

/// Returns when a ban ends as its command says, by the time of day; `now` if that was before.
pub(super) fn end(item: &Item, now: Moment) -> BootTime {
    if item.expires_at_ms == PERMANENT {
        return BootTime::NEVER;
    }
    let left_ms = item.expires_at_ms.saturating_sub(now.wall_ms);
    now.boot
        .plus(Duration::from_millis(u64::try_from(left_ms).unwrap_or_default()))
}

/// A received ban.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceivedBan {
    pub(super) item: Item,
    /// Its expiry by the command; what is enforced ends earlier if this edge bans for less.
    pub(super) over: BootTime,
    /// Whether it was enforced for as long as this edge bans.
    pub(super) spent: bool,
}

impl ReceivedBans {
    /// Adds a ban that is enforced.
    pub(super) fn take(&mut self, ban: &ReceivedBan) {
        self.digest.add(&ban.item);
    }

    /// Removes a ban that was enforced, and is lifted, expired or replaced.
    pub(super) fn forget(&mut self, ban: &ReceivedBan) {
        self.digest.remove(&ban.item);
    }

    /// Adds a ban that is not enforced here, in place of an earlier one.
    pub(super) fn set_aside(&mut self, ban: ReceivedBan) {
        self.digest.add(&ban.item);
        if let Some(before) = self.set_aside.insert(ban.item.target, ban) {
            self.forget(&before);
        }
    }

    /// Removes a ban that was set aside: it is lifted, or enforced from now on.
    pub(super) fn take_back(&mut self, target: &Prefix) {
        if let Some(ban) = self.set_aside.remove(target) {
            self.forget(&ban);
        }
    }

    /// Whether the command `id` against `target` was set aside.
    pub(super) fn is_aside(&self, target: &Prefix, id: Uuid) -> bool {
        self.set_aside
            .get(target)
            .is_some_and(|ban| ban.item.command_id == id)
    }

    /// Whether the command `id` against `target` was enforced for as long as this edge bans.
    pub(super) fn is_spent(&self, target: &Prefix, id: Uuid) -> bool {
        self.set_aside
            .get(target)
            .is_some_and(|ban| ban.spent && ban.item.command_id == id)
    }

    pub(super) fn aside(&self) -> usize {
        self.set_aside.len()
    }

    /// Moves the ends of what was set aside to where the commands say by the time of day, which was set.
    pub(super) fn reckon_anew(&mut self, now: Moment) {
        for ban in self.set_aside.values_mut() {
            ban.over = end(&ban.item, now);
        }
    }

    /// Forgets what was set aside and has ended.
    pub(super) fn prune(&mut self, now: BootTime) {
        self.retain(|ban| ban.over > now);
    }

    /// Forgets what was set aside and is not among `present`.
    pub(super) fn keep_present(&mut self, present: &HashSet<Prefix>) {
        self.retain(|ban| present.contains(&ban.item.target));
    }

    fn retain(&mut self, stays: impl Fn(&ReceivedBan) -> bool) {
        let digest = &mut self.digest;
        self.set_aside.retain(|_, ban| {
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
