//! Findings that a brake holds back, until it lets go: the worst first, and of those the oldest.
//!
//! A brake lets go a moment before what waits for it is decided. A finding of that moment [queues](Held::queue) behind what waits:
//! otherwise an attacker whose new sources come at that moment, again and again, would keep all others from a ban.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use secbeat_common::prefix::Prefix;

use super::{Brake, Brakes, Ledger, brakes::parts};
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

/// What findings wait for together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Queue {
    Fleet,
    Edge(String),
    Network(Prefix),
    /// Sources that are networks.
    Networks,
}

impl Queue {
    /// That for `brake`, which holds a finding on the word of `edge`.
    fn of(brake: Brake, edge: Option<&str>) -> Self {
        match brake {
            Brake::Rate | Brake::Share(_) => Self::Fleet,
            Brake::Edge => Self::Edge(edge.unwrap_or_default().to_owned()),
            Brake::Network(network) => Self::Network(network),
            Brake::Networks => Self::Networks,
        }
    }
}

/// All that wait.
#[derive(Debug, Default)]
pub(super) struct Held {
    by_source: HashMap<Prefix, Waiting>,
    ranked: BTreeSet<(Rank, Prefix)>,
    /// Those that somebody waited in when they were [decided](Ledger::let_go) last, or since; with the brake.
    queues: HashMap<Queue, Brake>,
}

impl Held {
    /// Keeps a finding of `now_ms` that `brake` holds back. It joins the earlier ones of its source.
    pub(super) fn keep(&mut self, finding: &Finding, brake: Brake, edge: Option<&str>, now_ms: i64) {
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
        self.queues.insert(Queue::of(brake, edge), brake);
        if self.by_source.len() > MAX_HELD
            && let Some((_, mildest)) = self.ranked.pop_first()
        {
            self.by_source.remove(&mildest);
        }
    }

    /// The brake that others wait for whom a finding of `source` must not overtake. The worst of all overtakes nobody.
    pub(super) fn queue(&self, source: &Prefix, edge: Option<&str>) -> Option<Brake> {
        let (_, worst) = self.ranked.last()?;
        if worst == source {
            return None;
        }
        let of_edge = edge.map(|edge| Queue::Edge(edge.to_owned()));
        let of_networks = parts(source).map(|(network, _)| Queue::Network(network));
        let of_all = (!source.is_single()).then_some(Queue::Networks);
        let queues = [Queue::Fleet].into_iter().chain(of_all);
        let mut queues = queues.chain(of_edge).chain(of_networks);
        queues.find_map(|queue| self.queues.get(&queue).copied())
    }

    /// Takes the finding of `source`.
    pub(super) fn take(&mut self, source: &Prefix) -> Option<HeldBack> {
        self.take_out(source).map(|waiting| waiting.held)
    }

    fn take_out(&mut self, source: &Prefix) -> Option<Waiting> {
        let waiting = self.by_source.remove(source)?;
        self.ranked.remove(&(waiting.rank, *source));
        if self.by_source.is_empty() {
            self.queues.clear();
        }
        Some(waiting)
    }

    /// All that wait do so for `brake`, which holds against any source.
    fn wait_for(&mut self, brake: Brake) {
        self.queues.clear();
        if !self.by_source.is_empty() {
            self.queues.insert(Queue::of(brake, None), brake);
        }
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
            ..Brakes::default()
        };
        if let Some(brake) = self.braking(of_all, now_ms) {
            self.held.wait_for(brake);
            return None;
        }
        let held = std::mem::take(&mut self.held);
        let mut queues = HashMap::new();
        let free = held.iter().find(|HeldBack { finding, edge }| {
            let brakes = Brakes {
                well_behaved,
                edge: edge.as_deref(),
                waited: true,
            };
            let brake = self.brake_on(&finding.source, brakes, now_ms);
            if let Some(brake) = brake {
                queues.insert(Queue::of(brake, edge.as_deref()), brake);
            }
            brake.is_none()
        });
        let free = free.map(|held| held.finding.source);
        self.held = held;
        let Some(free) = free else {
            self.held.queues = queues;
            return None;
        };
        self.held.take(&free)
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
                waited: true,
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
