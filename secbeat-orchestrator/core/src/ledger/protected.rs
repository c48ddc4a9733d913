//! Networks that must not be banned.

use secbeat_common::{net_table::NetTable, prefix::Prefix};

use super::{Ledger, Refusal};

/// Networks that must not be banned.
#[derive(Debug, Default)]
pub(super) struct Protected {
    all: NetTable<()>,
    /// Those among them that every edge lets through, whatever is banned around them.
    exempt: NetTable<()>,
}

impl Ledger {
    /// Replaces [`LedgerConfig::protected`](super::LedgerConfig::protected). A ban in force stays: every edge lets through what is
    /// protected there.
    pub fn protect(&mut self, networks: Vec<Prefix>) {
        self.protected = Protected::default();
        for network in networks {
            self.protected.all.insert(network, ());
        }
    }

    /// Says which protected networks every edge lets through, whatever is banned around them.
    pub fn exempt(&mut self, networks: impl IntoIterator<Item = Prefix>) {
        self.protected.exempt = NetTable::default();
        for network in networks {
            self.protected.exempt.insert(network, ());
        }
    }

    /// Returns why `target` must not be banned automatically, if so.
    #[must_use]
    pub fn refusal(&self, target: &Prefix) -> Option<Refusal> {
        let inside = || {
            self.protected
                .all
                .within(target)
                .map(|(network, ())| *network)
                .next()
        };
        self.refusal_of_whole(target)
            .or_else(|| inside().map(Refusal::Protected))
    }

    /// Returns why `target` must not be banned even if somebody asks for it: also then if something in it is protected that edges
    /// would not let through.
    #[must_use]
    pub fn refusal_by_hand(&self, target: &Prefix) -> Option<Refusal> {
        let protected = &self.protected;
        let inside = || {
            let mut inside = protected.all.within(target).map(|(network, ())| *network);
            inside.find(|network| protected.exempt.get(network).is_none())
        };
        self.refusal_of_whole(target)
            .or_else(|| inside().map(Refusal::Protected))
    }

    /// The networks in `target` that edges let through although it is banned.
    pub fn exempt_within<'a>(&'a self, target: &'a Prefix) -> impl Iterator<Item = Prefix> + 'a {
        self.protected.exempt.within(target).map(|(network, ())| *network)
    }

    /// Returns why nothing of `target` may be banned, if so.
    fn refusal_of_whole(&self, target: &Prefix) -> Option<Refusal> {
        let around = || {
            self.protected
                .all
                .around(target)
                .map(|(network, ())| network)
                .next()
        };
        let unbannable = target.unbannable().map(Refusal::Unbannable);
        unbannable.or_else(|| around().map(Refusal::Protected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::LedgerConfig;

    #[test]
    fn a_network_can_be_banned_by_hand_around_what_every_edge_lets_through() {
        let prefix = |text: &str| text.parse::<Prefix>().unwrap();
        let mut ledger = Ledger::new(LedgerConfig::default());
        let (fleet, here) = (prefix("203.0.113.7"), prefix("198.51.100.7"));
        ledger.protect(vec![fleet, here]);
        ledger.exempt([fleet]);
        let (around, other) = (prefix("203.0.113.0/24"), prefix("198.51.100.0/24"));
        assert_eq!(ledger.refusal(&around), Some(Refusal::Protected(fleet)));
        assert_eq!(ledger.refusal_by_hand(&around), None);
        assert_eq!(ledger.exempt_within(&around).collect::<Vec<_>>(), [fleet]);
        // Edges know nothing of what this host protects.
        assert_eq!(ledger.refusal_by_hand(&other), Some(Refusal::Protected(here)));
        assert_eq!(ledger.refusal_by_hand(&fleet), Some(Refusal::Protected(fleet)));
    }
}
