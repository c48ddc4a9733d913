//! Bans that a host takes along when it joins a fleet or leaves it.

use secbeat_edge_core::{Event, Fact};

use super::EnforcerTask;
use crate::kernel::boot_now;

impl EnforcerTask {
    /// Goes on with the bans of before, ahead of all that is heard of the fleet.
    pub(super) fn bring(&mut self) {
        let bans = std::mem::take(&mut self.brought.bans);
        if !bans.is_empty() {
            self.surroundings.stand_in.bring(bans.clone());
            self.handle(Event::Brought(bans));
        }
        if self.surroundings.kernel.is_none() {
            self.settled();
        }
    }

    /// Says that the kernel holds all that it should once `fact` shows it. For a host that is back from a fleet, the bus has to have told,
    /// too.
    pub(super) fn settle_by(&mut self, fact: &Fact) {
        let is_compared = matches!(fact, Fact::Reconciled(_));
        if is_compared && (!self.brought.is_back || self.core.status(boot_now()).synced) {
            self.settled();
        }
    }

    fn settled(&mut self) {
        if let Some(settled) = self.brought.settled.take() {
            // The one who waited may have gone.
            let _ = settled.send(());
        }
    }
}
