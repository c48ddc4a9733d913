//! Networks that the ledger protects: what was found on this host or is in the config, and the fleet's allowlist.

use std::collections::HashSet;

use secbeat_common::wire::AllowEntry;
use tracing::info;

use super::Decider;
use crate::ProtectedNet;

/// Networks that are never banned, and why.
#[derive(Debug)]
pub(super) struct Protections {
    here: Vec<ProtectedNet>,
    /// Entries of the allowlist that have not expired; `None` until it was read from the bus.
    fleet: Option<Vec<ProtectedNet>>,
}

impl Protections {
    pub(super) fn new(here: Vec<ProtectedNet>) -> Self {
        Self { here, fleet: None }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &ProtectedNet> {
        self.here.iter().chain(self.fleet.iter().flatten())
    }

    /// Whether the allowlist was read from the bus since the start.
    pub(super) fn is_complete(&self) -> bool {
        self.fleet.is_some()
    }

    /// Forgets the allowlist's entries that have expired. Returns whether there were any.
    fn expire(&mut self, now_ms: i64) -> bool {
        let Some(fleet) = &mut self.fleet else {
            return false;
        };
        let before = fleet.len();
        fleet.retain(|net| net.until_ms.is_none_or(|until_ms| now_ms < until_ms));
        fleet.len() != before
    }
}

impl Decider {
    /// The allowlist has changed, or was read for the first time.
    pub(super) fn protect_fleet(&mut self, entries: &[AllowEntry], now_ms: i64) {
        let entries = entries.iter().filter(|entry| entry.holds_at(now_ms));
        self.protected.fleet = Some(entries.map(ProtectedNet::of_fleet).collect());
        self.protect();
    }

    /// Once a second.
    pub(super) fn expire_allowlist(&mut self, now_ms: i64) {
        if self.protected.expire(now_ms) {
            info!("entries of the allowlist have expired");
            self.protect();
        }
    }

    /// Takes in what this host's look over itself found.
    pub(super) fn protect_here(&mut self, networks: Vec<ProtectedNet>) {
        self.protected.here = networks;
        self.protect();
    }

    pub(super) fn protect(&mut self) {
        self.ledger
            .protect(self.protected.all().map(|net| net.network).collect());
        // Every edge has the fleet's allowlist, and knows nothing of what is protected here.
        let here: HashSet<_> = self.protected.here.iter().map(|net| net.network).collect();
        let fleet = self.protected.fleet.iter().flatten().map(|net| net.network);
        self.ledger
            .exempt(fleet.filter(|network| !here.contains(network)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decider::tests::Rig;

    fn entry(network: &str, until_ms: Option<i64>) -> AllowEntry {
        AllowEntry {
            network: network.parse().unwrap(),
            comment: "office".to_owned(),
            until_ms,
            added_by: "api".to_owned(),
            added_at_ms: 0,
        }
    }

    fn networks(decider: &Decider) -> Vec<String> {
        let all = decider.protected.all();
        all.map(|net| net.network.to_string()).collect()
    }

    #[test]
    fn the_allowlist_protects_from_when_it_is_heard_until_its_entries_expire() {
        let mut decider = Rig::new().decider;
        decider.protect_here(vec![ProtectedNet {
            network: "127.0.0.0/8".parse().unwrap(),
            code: 0,
            comment: String::new(),
            until_ms: None,
        }]);
        assert!(!decider.protected.is_complete());
        let entries = [
            entry("192.0.2.0/24", Some(1_000)),
            entry("198.51.100.0/24", Some(2_000)),
            entry("203.0.113.0/24", None),
        ];
        decider.protect_fleet(&entries, 1_000);
        assert!(decider.protected.is_complete());
        assert_eq!(
            networks(&decider),
            ["127.0.0.0/8", "198.51.100.0/24", "203.0.113.0/24"]
        );
        decider.expire_allowlist(1_999);
        assert_eq!(networks(&decider).len(), 3);
        decider.expire_allowlist(2_000);
        assert_eq!(networks(&decider), ["127.0.0.0/8", "203.0.113.0/24"]);
        let target = "203.0.113.7".parse().unwrap();
        assert!(decider.ledger.refusal(&target).is_some());
        decider.protect_fleet(&[], 2_000);
        assert_eq!(networks(&decider), ["127.0.0.0/8"]);
        assert!(decider.ledger.refusal(&target).is_none());
    }
}
