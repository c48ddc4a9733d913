//! Keeps what is protected as the host and the config have it.

use std::sync::Arc;

use secbeat_common::daemon::{
    protect::{self, Allowed, Known, Names, Protected},
    time::now_ms,
};

use crate::host::HostChange;

/// Whom to protect, and why.
pub struct Protection {
    known: Known,
    names: Names,
    protected: Arc<Protected>,
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

    /// Whether a configured entry has ended since the last look, or a clock set back has revived one.
    #[must_use]
    pub fn has_turned(&self) -> bool {
        let now_ms = now_ms();
        self.known
            .configured
            .iter()
            .any(|entry| entry.holds_at(now_ms) != entry.holds_at(self.looked_at_ms))
    }

    /// Looks the host over again; does not block. Returns whether anything has changed.
    pub fn refresh(&mut self) -> bool {
        self.looked_at_ms = now_ms();
        let nets = protect::collect(
            &self.known,
            &self.names,
            &self.protected.nets(),
            self.looked_at_ms,
        );
        self.protected.replace(nets)
    }
}
