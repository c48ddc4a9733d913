//! Signatures, as the decider sees them: how often each was met, and which count for nobody.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use secbeat_common::wire::{MatchedSignature, SeenEvent, TelemetryEvent};

/// Most ids that are counted: an edge could name any. Past it, new ones are not.
pub const MAX_TALLIES: usize = 8192;

/// What became of requests that a signature recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests.
    pub hits: u64,
    /// Bans with such a request among their evidence.
    pub bans: u64,
}

/// By id of the signature.
pub type Tallies = BTreeMap<String, Tally>;

/// What is known of signatures.
#[derive(Debug, Default)]
pub(crate) struct Signatures {
    disabled: HashSet<String>,
    tallies: Tallies,
}

impl Signatures {
    /// Those with these ids count for nobody from now on, and all others do.
    pub(crate) fn disable(&mut self, ids: impl IntoIterator<Item = String>) {
        self.disabled = ids.into_iter().collect();
    }

    /// Takes those that are disabled from `events`, which an edge reported before it heard of that.
    pub(crate) fn sift(&self, events: &mut [TelemetryEvent]) {
        if self.disabled.is_empty() {
            return;
        }
        for event in events {
            event
                .signatures
                .retain(|matched| !self.disabled.contains(&matched.id));
        }
    }

    /// A request matched these.
    pub(crate) fn met(&mut self, matched: &[MatchedSignature]) {
        for matched in matched {
            if let Some(tally) = self.tally(&matched.id) {
                tally.hits += 1;
            }
        }
    }

    /// A ban was made because of these.
    pub(crate) fn banned(&mut self, events: &[SeenEvent]) {
        for id in recognised(events) {
            if let Some(tally) = self.tally(id) {
                tally.bans += 1;
            }
        }
    }

    fn tally(&mut self, id: &str) -> Option<&mut Tally> {
        // Most are known.
        if !self.tallies.contains_key(id) {
            if self.tallies.len() >= MAX_TALLIES {
                return None;
            }
            self.tallies.insert(id.to_owned(), Tally::default());
        }
        self.tallies.get_mut(id)
    }

    pub(crate) const fn tallies(&self) -> &Tallies {
        &self.tallies
    }
}

/// The ids of what was recognised in `events`, each once.
#[must_use]
pub fn recognised(events: &[SeenEvent]) -> BTreeSet<&str> {
    let matched = events.iter().flat_map(|event| &event.signatures);
    matched.map(|matched| matched.id.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_that_makes_up_ids_uses_up_no_memory_and_known_ones_count_on() {
        let mut signatures = Signatures::default();
        let matched = |id: String| MatchedSignature {
            id,
            ..MatchedSignature::default()
        };
        for n in 0..MAX_TALLIES + 10 {
            signatures.met(&[matched(format!("id-{n}"))]);
        }
        assert_eq!(signatures.tallies().len(), MAX_TALLIES);
        signatures.met(&[matched("id-0".to_owned())]);
        assert_eq!(signatures.tallies()["id-0"].hits, 2);
    }
}
