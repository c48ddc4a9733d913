//! Consequences of setting the time of day.

use std::time::Duration;

use secbeat_common::prefix::Prefix;

use super::{Change, Reconciler, claims::Claims, received::end};
use crate::Moment;

/// A difference that two measures of one clock may have, and that moves no ban's end.
const JITTER: Duration = Duration::from_millis(100);

impl Reconciler {
    /// Moves the ends of the fleet's bans to where their commands say by the time of day, which was set. What ends earlier on
    /// this edge than commanded does not last longer by that.
    pub(crate) fn reckon_anew(&mut self, now: Moment) -> Vec<Change> {
        self.received.reckon_anew(now);
        let latest = self.admission.latest_end(now.boot);
        let reckon = |(target, claims): (&Prefix, &mut Claims)| {
            let claim = claims.fleet_mut()?;
            let received = claim.received.as_mut()?;
            let commanded = end(&received.item, now);
            if received.over.apart(commanded) <= JITTER {
                return None;
            }
            let is_cut = claim.ban.ends < received.over;
            received.over = commanded;
            let ends = match is_cut {
                true => claim.ban.ends.min(commanded),
                false => commanded.min(latest),
            };
            claims.end_fleet(ends);
            Some(*target)
        };
        let mut moved: Vec<_> = self.claims.iter_mut().filter_map(reckon).collect();
        moved.sort_unstable();
        moved.into_iter().map(|target| self.change(target)).collect()
    }
}
