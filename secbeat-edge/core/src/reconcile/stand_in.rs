//! Bans of this edge's own detector.

use std::time::Duration;

use secbeat_common::{
    prefix::Prefix,
    wire::{BlockCommand, Layer},
};

use super::{Change, Enforced, Origin, Reconciler};
use crate::{Moment, Refusal, admission::check_target};

/// Ends of bans for one deed that an edge and the fleet have reckoned apart.
const SAME_DEED: Duration = Duration::from_secs(5);

impl Enforced {
    /// Whether it reaches as deep as `other` and lasts as long.
    pub(super) fn outdoes(&self, other: &Self) -> bool {
        (self.layer == Layer::Kernel || self.layer == other.layer) && self.ends.plus(SAME_DEED) >= other.ends
    }
}

impl Reconciler {
    /// Bans on this host alone as its own detector says; `None` if a ban that is in force reaches as deep and lasts as long.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if the target may not be banned here.
    pub(crate) fn stand_in(
        &mut self,
        command: &BlockCommand,
        now: Moment,
        allowlisted: impl Fn(&Prefix) -> bool,
    ) -> Result<Option<Change>, Refusal> {
        let lifetime = self.admission.lifetime(command, now)?;
        check_target(&command.target, self.room(&command.target), allowlisted)?;
        let ban = Enforced {
            ends: lifetime.enforced,
            reason: command.reason,
            strikes: command.strikes,
            layer: command.layer,
            origin: Origin::Local,
            note: command.note.as_str().into(),
        };
        let claims = self.claims.entry(command.target).or_default();
        if claims.enforced().is_some_and(|held| held.outdoes(&ban)) {
            return Ok(None);
        }
        claims.set_local(ban);
        Ok(Some(self.change(command.target)))
    }

    /// Has the fleet's ban of `target`, which has just come, take the place of one that this edge's own detector made; `None` if that
    /// is not so. An operator's stays.
    pub(crate) fn yield_to_fleet(&mut self, target: &Prefix) -> Option<Change> {
        let claims = self.claims.get_mut(target)?;
        claims.yield_to_fleet().then(|| self.change(*target))
    }
}
