//! The part of the allowlist that this host and its config need.

use std::collections::HashMap;

use secbeat_common::prefix::Prefix;
use secbeat_daemon::{
    protect::{self, Allowed, Known, Names},
    time::now_ms,
};

use crate::host::HostChange;

/// Finds the networks that must never be banned on this host.
pub(crate) struct Protection {
    known: Known,
    names: Names,
    /// Networks, each with a code of [`secbeat_common::maps::allow`].
    nets: HashMap<Prefix, u32>,
    looked_at_ms: i64,
}

impl Protection {
    /// Looks the host over for the first time, and resolves names; blocks for as long as that takes.
    #[must_use]
    pub(crate) fn find(known: Known) -> Self {
        let names = known.resolve(&Names::default());
        let mut protection = Self {
            known,
            names,
            nets: HashMap::new(),
            looked_at_ms: 0,
        };
        protection.look();
        protection
    }

    /// The networks, as last found.
    #[must_use]
    pub(crate) fn nets(&self) -> &HashMap<Prefix, u32> {
        &self.nets
    }

    /// The entries of the config.
    #[must_use]
    pub(crate) fn configured(&self) -> &[Allowed] {
        &self.known.configured
    }

    /// Returns what the search starts from, and the names as last resolved.
    #[must_use]
    pub(crate) fn known(&self) -> (&Known, &Names) {
        (&self.known, &self.names)
    }

    /// Takes in what the changes say themselves. Returns whether a [`look`](Self::look) is due.
    pub(crate) fn take(&mut self, changes: Vec<HostChange>) -> bool {
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

    /// Whether an entry of the config has expired since the last look, or a clock set back has revived one.
    #[must_use]
    pub(crate) fn is_outdated(&self) -> bool {
        let now_ms = now_ms();
        let mut entries = self.known.configured.iter();
        entries.any(|entry| entry.holds_at(now_ms) != entry.holds_at(self.looked_at_ms))
    }

    /// Looks the host over again, and returns the networks; does not block.
    pub(crate) fn look(&mut self) -> &HashMap<Prefix, u32> {
        self.looked_at_ms = now_ms();
        self.nets = protect::collect(&self.known, &self.names, &self.nets, self.looked_at_ms);
        &self.nets
    }
}
