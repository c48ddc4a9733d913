//! Findings that a brake holds back, until it lets go: the worst first, and of those the oldest.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use secbeat_common::prefix::Prefix;

use super::{Brakes, Ledger};
use crate::{analyzers::Finding, millis};

/// Sources whose findings are kept; past it the mildest go, and of those the youngest.
const MAX_HELD: usize = 10_000;

/// A finding that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// The last one of its source.
    pub finding: Finding,
    /// The edge whose report completed it.
    pub edge: Option<String>,
}

#[derive(Debug)]
struct Waiting {
    held: HeldBack,
    rank: Rank,
    /// Time of the last finding, milliseconds since the Unix epoch.
    last_ms: i64,
}

/// How often the source was found, and when first. The greatest is decided first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u32, Reverse<i64>);

/// All that wait.
#[derive(Debug, Default)]
pub(super) struct Held {
    by_source: HashMap<Prefix, Waiting>,
    ranked: BTreeSet<(Rank, Prefix)>,
}

impl Held {
    /// Keeps a finding of `now_ms`. It joins the earlier ones of its source.
    pub(super) fn keep(&mut self, finding: &Finding, edge: Option<&str>, now_ms: i64) {
        let source = finding.source;
        let rank = match self.take_out(&source) {
            Some(Waiting {
                rank: Rank(times, since),
                ..
            }) => Rank(times.saturating_add(1), since),
            None => Rank(1, Reverse(now_ms)),
        };
        let held = HeldBack {
            finding: finding.clone(),
            edge: edge.map(str::to_owned),
        };
        let waiting = Waiting {
            held,
            rank,
            last_ms: now_ms,
        };
        self.ranked.insert((rank, source));
        self.by_source.insert(source, waiting);
        if self.by_source.len() > MAX_HELD
            && let Some((_, mildest)) = self.ranked.pop_first()
        {
            self.by_source.remove(&mildest);
        }
    }

    /// Takes the finding of `source`.
    pub(super) fn take(&mut self, source: &Prefix) -> Option<HeldBack> {
        self.take_out(source).map(|waiting| waiting.held)
    }

    fn take_out(&mut self, source: &Prefix) -> Option<Waiting> {
        let waiting = self.by_source.remove(source)?;
        self.ranked.remove(&(waiting.rank, *source));
        Some(waiting)
    }

    /// Forgets what was found last before `start_ms`.
    pub(super) fn forget_before(&mut self, start_ms: i64) {
        self.forget(|_, waiting| waiting.last_ms < start_ms);
    }

    /// Forgets the sources of which `is_over` says so.
    pub(super) fn forget_sources(&mut self, is_over: impl Fn(&Prefix) -> bool) {
        self.forget(|source, _| is_over(source));
    }

    fn forget(&mut self, is_over: impl Fn(&Prefix, &Waiting) -> bool) {
        let over: Vec<Prefix> = self
            .by_source
            .iter()
            .filter(|(source, waiting)| is_over(source, waiting))
            .map(|(source, _)| *source)
            .collect();
        for source in over {
            self.take_out(&source);
        }
    }

    /// Returns what waits, in the order in which it is to be decided.
    pub(super) fn iter(&self) -> impl Iterator<Item = &HeldBack> {
        let sources = self.ranked.iter().rev();
        sources.filter_map(|(_, source)| self.by_source.get(source).map(|waiting| &waiting.held))
    }

    pub(super) fn len(&self) -> usize {
        self.by_source.len()
    }
}

impl Ledger {
    /// Findings that a brake holds back.
    #[must_use]
    pub fn held_back(&self) -> usize {
        self.held.len()
    }

    /// The worst of the findings that were held back and are not any more, to be judged again.
    pub fn let_go(&mut self, well_behaved: Option<u64>, now_ms: i64) -> Option<HeldBack> {
        let of_all = Brakes {
            well_behaved,
            edge: None,
        };
        if self.braking(of_all, now_ms).is_some() {
            return None;
        }
        let held = std::mem::take(&mut self.held);
        let free = held.iter().find(|HeldBack { finding, edge }| {
            let brakes = Brakes {
                well_behaved,
                edge: edge.as_deref(),
            };
            self.brake_on(&finding.source, brakes, now_ms).is_none()
        });
        let free = free.map(|held| held.finding.source);
        self.held = held;
        self.held.take(&free?)
    }

    /// Returns how many of them each brake holds back at `now_ms`, by its name.
    #[must_use]
    pub fn held_back_by(&mut self, well_behaved: Option<u64>, now_ms: i64) -> BTreeMap<&'static str, usize> {
        let held = std::mem::take(&mut self.held);
        let mut by_brake = BTreeMap::new();
        for HeldBack { finding, edge } in held.iter() {
            let brakes = Brakes {
                well_behaved,
                edge: edge.as_deref(),
            };
            if let Some(brake) = self.brake_on(&finding.source, brakes, now_ms) {
                *by_brake.entry(brake.name()).or_default() += 1;
            }
        }
        self.held = held;
        by_brake
    }

    /// Forgets what is held back for longer than a first ban lasts: its source has found something else to do.
    pub fn forget_stale(&mut self, now_ms: i64) {
        self.held
            .forget_before(now_ms.saturating_sub(millis(self.config.ban)));
    }

    /// Forgets what is held back of sources that `is_over` names.
    pub fn forget_held(&mut self, is_over: impl Fn(&Prefix) -> bool) {
        self.held.forget_sources(is_over);
    }
}
