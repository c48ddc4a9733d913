//! Admission: whether a ban is enforced on this edge, and until when.

use std::{collections::HashMap, time::Duration};

use secbeat_common::{
    maps::MAX_BANNED_NETS,
    prefix::Prefix,
    wire::{BlockCommand, Labels, Reason},
};
use uuid::Uuid;

use crate::{BootTime, Moment};

/// The reason why a ban is not enforced here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0} is never banned: {1}")]
    Unbannable(Prefix, &'static str),
    #[error("{0} is allowlisted on this host")]
    Allowlisted(Prefix),
    #[error(
        "{0} is one network too many: {MAX_BANNED_NETS} are banned (single sources, IPv4 /32 and IPv6 /64, do not count)"
    )]
    TooManyNets(Prefix),
    #[error("the ban has ended already")]
    Expired,
    #[error("the ban is for another edge")]
    OtherScope,
    #[error("an operator lifted this ban on this host")]
    Overridden,
    #[error("its orchestrator no longer owned the partition")]
    Stale,
    /// Until then.
    #[error("this host's operators have banned {0} for longer")]
    Outlasted(Prefix, BootTime),
}

/// End of a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// By its command.
    pub(crate) commanded: BootTime,
    /// On this edge, which may ban for less.
    pub(crate) enforced: BootTime,
}

/// Whether one more network may be banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// The target needs none, or has it already.
    Enough,
    Full,
}

/// The limits of this edge, and the commands that its operators overrode.
#[derive(Debug)]
pub(crate) struct Admission {
    edge_id: String,
    labels: Labels,
    max_ban: Duration,
    /// Bans of orchestrators that were lifted on this host, until their expiry.
    overridden: HashMap<Uuid, BootTime>,
}

impl Admission {
    pub(crate) fn new(edge_id: String, labels: Labels, max_ban: Duration) -> Self {
        Self {
            edge_id,
            labels,
            max_ban,
            overridden: HashMap::new(),
        }
    }

    /// Returns when the ban of `command` ends, or [`Refusal::Expired`]. A permanent ban of an operator is not limited.
    pub(crate) fn lifetime(&self, command: &BlockCommand, now: Moment) -> Result<Lifetime, Refusal> {
        let left = left(command, now)?;
        if command.is_permanent() {
            let by_operator = command.reason == Reason::Manual;
            return Ok(Lifetime {
                commanded: BootTime::NEVER,
                enforced: if by_operator {
                    BootTime::NEVER
                } else {
                    now.boot.plus(self.max_ban)
                },
            });
        }
        Ok(Lifetime {
            commanded: now.boot.plus(left),
            enforced: self.end(left, now),
        })
    }

    /// Returns the latest end that a ban may have here.
    pub(crate) fn latest_end(&self, now: BootTime) -> BootTime {
        now.plus(self.max_ban)
    }

    /// Returns when a ban of `duration` from `now` on ends here.
    pub(crate) fn end(&self, duration: Duration, now: Moment) -> BootTime {
        now.boot.plus(duration.min(self.max_ban))
    }

    /// Checks whether this edge enforces such a command at all. `allowlisted` tells whether all of a prefix is
    /// allowlisted here.
    pub(crate) fn check(
        &self,
        command: &BlockCommand,
        room: Room,
        allowlisted: impl Fn(&Prefix) -> bool,
    ) -> Result<(), Refusal> {
        check_target(&command.target, room, allowlisted)?;
        if !command.scope.holds_on(&self.edge_id, &self.labels) {
            return Err(Refusal::OtherScope);
        }
        if self.overridden.contains_key(&command.id) {
            return Err(Refusal::Overridden);
        }
        Ok(())
    }

    /// An operator of this host lifted the ban of command `id`, which would have lasted until `ends`.
    pub(crate) fn override_command(&mut self, id: Uuid, ends: BootTime) {
        self.overridden.insert(id, ends);
    }

    pub(crate) fn prune(&mut self, now: BootTime) {
        self.overridden.retain(|_, ends| *ends > now);
    }
}

/// Returns how long the ban of `command` still lasts, or [`Refusal::Expired`].
pub(crate) fn left(command: &BlockCommand, now: Moment) -> Result<Duration, Refusal> {
    match u64::try_from(command.expires_at_ms.saturating_sub(now.wall_ms)) {
        Ok(ms @ 1..) => Ok(Duration::from_millis(ms)),
        _ => Err(Refusal::Expired),
    }
}

/// Checks whether `target` may be banned on this host.
pub(crate) fn check_target(
    target: &Prefix,
    room: Room,
    allowlisted: impl Fn(&Prefix) -> bool,
) -> Result<(), Refusal> {
    if let Some(why) = target.unbannable() {
        return Err(Refusal::Unbannable(*target, why));
    }
    if allowlisted(target) {
        return Err(Refusal::Allowlisted(*target));
    }
    match room {
        Room::Enough => Ok(()),
        Room::Full => Err(Refusal::TooManyNets(*target)),
    }
}
