//! Whether the orchestrators that share the partitions go by the same config.

use std::collections::BTreeMap;

use secbeat_common::wire::ConfigDigests;
use tokio::sync::watch;
use tracing::{info, warn};

use super::Differing;
use crate::rules::InForce;

/// What this orchestrator goes by, and what the others say that they go by.
#[derive(Debug)]
pub(super) struct Configs {
    own: watch::Receiver<InForce>,
    /// By id.
    others: BTreeMap<String, ConfigDigests>,
    /// As it was last told.
    told: Vec<Differing>,
}

impl Configs {
    pub(super) fn new(own: watch::Receiver<InForce>) -> Self {
        Self {
            own,
            others: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    pub(super) fn own(&self) -> ConfigDigests {
        self.own.borrow().digests.clone()
    }

    /// The orchestrator `id` has said what it goes by.
    pub(super) fn heard(&mut self, id: String, config: ConfigDigests) {
        self.others.insert(id, config);
    }

    /// Returns who goes by another config, as was last told.
    pub(super) fn told(&self) -> Vec<Differing> {
        self.told.clone()
    }

    /// Returns who of the living `members` goes by another config. Says what is news of it.
    pub(super) fn differing(&mut self, members: &[String]) -> Vec<Differing> {
        self.others.retain(|id, _| members.contains(id));
        let own = self.own();
        let differing = |(id, config): (&String, &ConfigDigests)| {
            let keys: Vec<_> = own.differing(config).into_iter().map(str::to_owned).collect();
            (!keys.is_empty()).then(|| Differing {
                orchestrator: id.clone(),
                keys,
            })
        };
        let differing: Vec<_> = self.others.iter().filter_map(differing).collect();
        for news in differing
            .iter()
            .filter(|differing| !self.told.contains(differing))
        {
            let keys = news.keys.join(", ");
            warn!(
                orchestrator = news.orchestrator,
                "another orchestrator's config differs from this one's in {keys}: who is banned depends on which of them owns a \
                 partition; give all the same"
            );
        }
        let agrees = |before: &&Differing| {
            let is_same = |now: &Differing| now.orchestrator == before.orchestrator;
            members.contains(&before.orchestrator) && !differing.iter().any(is_same)
        };
        for before in self.told.iter().filter(agrees) {
            info!(
                orchestrator = before.orchestrator,
                "another orchestrator's config is the same as this one's again"
            );
        }
        self.told.clone_from(&differing);
        differing
    }
}
