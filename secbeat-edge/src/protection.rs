//! Keeps what is protected as the host and the config have it.

use std::{collections::BTreeMap, sync::Arc};

use secbeat_common::{maps::allow, prefix::Prefix, wire::AllowEntry};
use secbeat_daemon::{
    protect::{self, Allowed, Known, Names, Protected},
    time::now_ms,
};

use crate::host::HostChange;

/// Whom to protect, and why.
pub struct Protection {
    known: Known,
    names: Names,
    protected: Arc<Protected>,
    /// The fleet's allowlist; with its end where that is known.
    fleet: BTreeMap<Prefix, Option<i64>>,
    looked_at_ms: i64,
}

impl Protection {
    /// Looks the host over for the first time, and resolves names; blocks for as long as that takes.
    #[must_use]
    pub fn find(known: Known) -> Self {
        let names = known.resolve(&Names::default());
        let mut protection = Self {
            known,
            names,
            protected: Arc::default(),
            fleet: BTreeMap::new(),
            looked_at_ms: 0,
        };
        protection.refresh();
        protection
    }

    /// What is protected, shared with whoever has to know.
    #[must_use]
    pub fn protected(&self) -> Arc<Protected> {
        self.protected.clone()
    }

    /// What the config protects.
    #[must_use]
    pub fn configured(&self) -> &[Allowed] {
        &self.known.configured
    }

    /// What was found and what was to be found.
    #[must_use]
    pub fn known(&self) -> (&Known, &Names) {
        (&self.known, &self.names)
    }

    /// Takes in what the changes say themselves. Returns whether a [`refresh`](Self::refresh) is due.
    pub fn take(&mut self, changes: Vec<HostChange>) -> bool {
        let mut due = false;
        for change in changes {
            match change {
                HostChange::Link(_) => continue,
                HostChange::Names(names) => self.names = names,
                HostChange::Addresses | HostChange::Routes | HostChange::Resolvers | HostChange::Sessions => {
                }
            }
            due = true;
        }
        due
    }

    /// The fleet's allowlist is this from now on; a [`refresh`](Self::refresh) is due.
    pub fn set_fleet<'a>(&mut self, entries: impl Iterator<Item = &'a AllowEntry>) {
        self.fleet = entries.map(|entry| (entry.network, entry.until_ms)).collect();
    }

    /// Until the fleet is heard, its allowlist is what the kernel still holds of it.
    pub fn assume_fleet(&mut self, networks: impl Iterator<Item = Prefix>) {
        self.fleet = networks.map(|network| (network, None)).collect();
    }

    /// Whether an entry of the config or of the fleet has ended since the last look, or a clock set back has revived one.
    #[must_use]
    pub fn has_turned(&self) -> bool {
        let now_ms = now_ms();
        let has_turned = |until: &i64| (now_ms < *until) != (self.looked_at_ms < *until);
        let of_config = &mut self.known.configured.iter();
        self.fleet.values().flatten().any(has_turned)
            || of_config.any(|entry| entry.holds_at(now_ms) != entry.holds_at(self.looked_at_ms))
    }

    /// Looks the host over again; does not block. Returns whether anything has changed.
    pub fn refresh(&mut self) -> bool {
        self.looked_at_ms = now_ms();
        let mut nets = protect::collect(
            &self.known,
            &self.names,
            &self.protected.nets(),
            self.looked_at_ms,
        );
        let of_fleet = self.fleet.iter();
        let holding = of_fleet.filter(|(_, until)| until.is_none_or(|until| self.looked_at_ms < until));
        for (network, _) in holding {
            nets.entry(*network).or_insert(allow::FLEET);
        }
        self.protected.replace(nets)
    }
}
