//! Who wants a target banned.

use secbeat_common::wire::Layer;
use uuid::Uuid;

use super::Enforced;

/// Who wants a target banned: the fleet, somebody on this host, or both.
#[derive(Debug, Default)]
pub(super) struct Claims {
    pub(super) fleet: Option<FleetClaim>,
    pub(super) local: Option<Enforced>,
    /// The pass in or after which the kernel was last known to hold the ban.
    pub(super) seen_in: Option<u32>,
}

#[derive(Debug)]
pub(super) struct FleetClaim {
    pub(super) id: Uuid,
    pub(super) epoch: u64,
    pub(super) ban: Enforced,
}

impl Claims {
    /// What is enforced: the claim that reaches deeper, then the one that lasts longer.
    pub(super) fn enforced(&self) -> Option<&Enforced> {
        let fleet = self.fleet.as_ref().map(|claim| &claim.ban);
        fleet
            .into_iter()
            .chain(&self.local)
            .max_by_key(|ban| (ban.layer == Layer::Kernel, ban.ends))
    }
}
