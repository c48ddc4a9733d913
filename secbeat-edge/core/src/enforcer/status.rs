//! The enforcer in numbers.

use std::time::Duration;

use crate::{BAN_MAPS, Drift, Fill, FilterMode};

/// Counts of what an edge enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnforcerStatus {
    /// Bans in force.
    pub active: usize,
    /// Bans of the fleet that are rightly not enforced here.
    pub set_aside: usize,
    /// Targets whose latest entry the kernel neither took nor removed.
    pub unwritten: usize,
    pub allowed: usize,
    /// Of these, the networks that operators of this host have added and nothing else allowlists.
    pub allowed_here: usize,
    /// Whether the fleet's bans were read since the start.
    pub synced: bool,
    pub mode: FilterMode,
    /// The latest revision of the bans bucket that was handled.
    pub revision: u64,
    pub reconcile: ReconcileStats,
}

impl EnforcerStatus {
    /// Bans that should be in the kernel and are not: those that it refused, and those that a crowded map had lost when it was last
    /// compared. What was lost is written again, and then a full map loses others.
    #[must_use]
    pub fn not_in_kernel(&self) -> usize {
        let lost = match self.reconcile.fill.iter().any(Fill::is_crowded) {
            true => self.reconcile.drift.evicted,
            false => 0,
        };
        self.unwritten + lost
    }
}

/// Counts of reconciliation since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReconcileStats {
    /// Reconciliations that were completed.
    pub completed: u64,
    /// Reconciliations that the kernel cut short.
    pub failed: u64,
    /// Differences that the last one found.
    pub drift: Drift,
    /// Time that the last one took, orders that were taken in between included.
    pub took: Duration,
    /// Bans that had been in the kernel, were still desired and found missing, over all reconciliations.
    pub evicted: u64,
    /// Fill of the maps of [`BAN_MAPS`] before anything was repaired.
    pub fill: [Fill; BAN_MAPS.len()],
}
