//! Orders of the fleet's orchestrators for the edges' own detectors.

use std::{num::NonZeroU32, time::Duration};

use secbeat_common::wire::{Detection, Labels, MAX_MESSAGE, have_all};
use serde::{Deserialize, Serialize};

use crate::{
    ProtectedNet,
    analyzers::{DetectConfig, Providers},
    decider::{Config, CrawlerConfig, Decider, Rules},
    evidence,
    ledger::LedgerConfig,
    presence,
};

/// Sources that an edge watches at most: it sees its own clients alone, and shares its host with them.
const MAX_SOURCES: usize = 200_000;

/// Bytes that edges are told at most: a message has room for them, and for the signature.
const MAX_BYTES: usize = MAX_MESSAGE - 1024;

/// The reason why edges cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum Untold {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("rules and protected networks of {0} bytes: at most {MAX_BYTES} are allowed")]
    TooLong(usize),
}

/// What an edge's detector goes by: what decides who is banned in the fleet, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    pub detect: DetectConfig,
    pub ledger: LedgerConfig,
    /// Networks that the orchestrators' config protects.
    pub protected: Vec<ProtectedNet>,
    /// Greatest age of what counts.
    pub max_age: Duration,
    pub cleanup_interval: Duration,
    pub unban_grace: Duration,
}

impl Orders {
    /// The message that says it.
    ///
    /// # Errors
    ///
    /// [`Untold`].
    pub fn tell(&self) -> Result<Detection, Untold> {
        let json = serde_json::to_string(self)?;
        match json.len() {
            bytes if bytes > MAX_BYTES => Err(Untold::TooLong(bytes)),
            _ => Ok(Detection { json }),
        }
    }

    /// Returns what the message says.
    ///
    /// # Errors
    ///
    /// Returns an error if it is malformed, or has rules of a later release.
    pub fn hear(message: &Detection) -> Result<Self, serde_json::Error> {
        let mut orders: Self = serde_json::from_str(&message.json)?;
        orders.detect.max_sources = orders.detect.max_sources.min(MAX_SOURCES);
        Ok(orders)
    }

    /// Without the rules whose bans an edge with `labels` does not enforce; those of the others are for it.
    pub(super) fn keep_rules_for(&mut self, labels: &Labels) {
        let rules = &mut self.detect.rules;
        rules.retain(|rule| have_all(labels, &rule.labels));
        for rule in rules {
            rule.labels.clear();
        }
    }

    /// The longest window of any rule.
    pub(super) fn longest_window(&self) -> Duration {
        let windows = self.detect.rules.iter().map(|rule| rule.threshold.window);
        windows.max().unwrap_or_default()
    }

    pub(super) fn rules(&self) -> Rules {
        Rules {
            detect: self.detect.clone(),
            max_age: self.max_age,
        }
    }

    /// A decider of one edge, by whose word alone it bans there.
    pub(super) fn decider(&self, edge_id: &str, seed: [u8; 16]) -> Decider {
        let ledger = LedgerConfig {
            issuer: edge_id.to_owned(),
            protected: Vec::new(),
            ..self.ledger.clone()
        };
        let config = Config {
            detect: self.detect.clone(),
            agreeing_edges: NonZeroU32::MIN,
            // Edges are told no rule that needs them.
            providers: Providers::default(),
            ledger,
            protected: Vec::new(),
            max_age: self.max_age,
            cleanup_interval: self.cleanup_interval,
            unban_grace: self.unban_grace,
            drift_grace: presence::DRIFT_GRACE,
            evidence_bytes: evidence::MIN_MEMORY,
            crawlers: CrawlerConfig::default(),
            traced: false,
            stands_in: true,
            seed,
        };
        config.build()
    }
}
