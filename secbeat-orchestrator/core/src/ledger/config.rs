//! Configuration of the ledger.

use std::time::Duration;

use secbeat_common::prefix::Prefix;
use serde::{Deserialize, Serialize};

use super::share::Share;

/// Lengths of bans, and networks that are never banned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerConfig {
    /// Length of a first ban, to the millisecond.
    pub ban: Duration,
    /// Factor by which each further ban is longer.
    pub strike_factor: u32,
    /// Longest automatic ban.
    pub max_ban: Duration,
    /// Time after a ban's end in which the next one is a repetition; strikes decay by one per such time.
    pub strike_memory: Duration,
    /// Most automatic bans within any 60 s; 0 means none at all.
    pub max_bans_per_minute: u32,
    /// The same for what one edge's reports lead to.
    pub max_bans_per_minute_per_edge: u32,
    /// That limit as a share of the sources that behave, where there are at least [`share_from_sources`](Self::share_from_sources).
    pub max_share: Share,
    /// With fewer sources that behave a share of them says nothing.
    pub share_from_sources: u64,
    /// Never banned, nor is anything that contains or overlaps one of these.
    pub protected: Vec<Prefix>,
    /// Most targets whose ended bans are remembered, the oldest are forgotten first.
    pub max_history: usize,
    /// Issuer of automatic bans.
    pub issuer: String,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            ban: Duration::from_secs(300),
            strike_factor: 2,
            max_ban: DAY,
            strike_memory: DAY,
            max_bans_per_minute: 6000,
            max_bans_per_minute_per_edge: 3000,
            max_share: Share::QUARTER,
            share_from_sources: 1000,
            protected: Vec::new(),
            max_history: 100_000,
            issuer: "orchestrator".to_owned(),
        }
    }
}
