//! Findings that a brake holds back, until it lets go: the worst first, and of those the oldest.
//!
//! A brake lets go a moment before what waits for it is decided. A finding of that moment [queues](Held::queue) behind what waits:
//! otherwise an attacker whose new sources come at that moment, again and again, would keep all others from a ban.
//!
//! A bounded number of sources wait. When all places are taken, a new source takes that of the [least loud](Loudness) one, as in the
//! algorithm Space-Saving (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data Streams). So a
//! crowd of quiet sources keeps no loud one out. The edge whose reports take most places gives way: an edge that makes sources up
//! pushes out none that another edge reported first.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use secbeat_common::prefix::Prefix;

use super::{Brake, Brakes, Ledger, brakes::parts};
use crate::{analyzers::Finding, millis};

/// Sources whose findings are kept.
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
    /// How often the source was found since it waits.
    times: u32,
    /// How often it may have been found before, when it had no place.
    missed: u32,
    /// Times of the first finding since it waits and of the last one, milliseconds since the Unix epoch.
    first_ms: i64,
    last_ms: i64,
    /// The edge whose report gave it its place.
    place_of: Arc<str>,
}

impl Waiting {
    const fn rank(&self) -> Rank {
        Rank(self.times, Reverse(self.first_ms))
    }

    const fn loudness(&self) -> Loudness {
        let most = self.times.saturating_add(self.missed);
        Loudness(most, self.times, self.last_ms)
    }
}

/// How often the source was found, and when first. The greatest is decided first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u32, Reverse<i64>);

/// How often the source was found at most, how often at least, and when last. The least gives its place up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Loudness(u32, u32, i64);

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
#[derive(Debug)]
pub(super) struct Held {
    by_source: HashMap<Prefix, Waiting>,
    ranked: BTreeSet<(Rank, Prefix)>,
    places: Places,
    /// How many may wait.
    room: usize,
    /// Those that somebody waited in when they were [decided](Ledger::let_go) last, or since; with the brake.
    queues: HashMap<Queue, Brake>,
}

/// The sources that wait by the edge whose reports gave them their places.
#[derive(Debug, Default)]
struct Places {
    of_edges: HashMap<Arc<str>, BTreeSet<(Loudness, Prefix)>>,
    /// How many places each edge's reports take.
    sizes: BTreeSet<(usize, Arc<str>)>,
}

impl Places {
    fn insert(&mut self, edge: &Arc<str>, place: (Loudness, Prefix)) {
        self.change(edge, |places| places.insert(place));
    }

    fn remove(&mut self, edge: &Arc<str>, place: &(Loudness, Prefix)) {
        self.change(edge, |places| places.remove(place));
    }

    fn change(&mut self, edge: &Arc<str>, change: impl FnOnce(&mut BTreeSet<(Loudness, Prefix)>) -> bool) {
        let places = self.of_edges.entry(edge.clone()).or_default();
        self.sizes.remove(&(places.len(), edge.clone()));
        change(places);
        if places.is_empty() {
            self.of_edges.remove(edge);
        } else {
            self.sizes.insert((places.len(), edge.clone()));
        }
    }

    /// The least loud source of `edge`.
    fn least_of(&self, edge: &str) -> Option<(Loudness, Prefix)> {
        self.of_edges.get(edge)?.first().copied()
    }

    /// The source that gives its place up.
    fn least(&self) -> Option<Prefix> {
        let (_, edge) = self.sizes.last()?;
        self.least_of(edge).map(|(_, source)| source)
    }
}

impl Default for Held {
    fn default() -> Self {
        Self::with_room(MAX_HELD)
    }
}

impl Held {
    fn with_room(room: usize) -> Self {
        Self {
            by_source: HashMap::new(),
            ranked: BTreeSet::new(),
            places: Places::default(),
            room,
            queues: HashMap::new(),
        }
    }

    /// Keeps a finding of `now_ms` that `brake` holds back. It joins the earlier ones of its source.
    pub(super) fn keep(&mut self, finding: &Finding, brake: Brake, edge: Option<&str>, now_ms: i64) {
        let source = finding.source;
        let held = HeldBack {
            finding: finding.clone(),
            edge: edge.map(str::to_owned),
        };
        let waiting = match self.take_out(&source) {
            Some(earlier) => Waiting {
                held,
                times: earlier.times.saturating_add(1),
                last_ms: now_ms,
                ..earlier
            },
            None => Waiting {
                held,
                times: 1,
                missed: self.make_room(edge.unwrap_or_default()),
                first_ms: now_ms,
                last_ms: now_ms,
                place_of: edge.unwrap_or_default().into(),
            },
        };
        self.ranked.insert((waiting.rank(), source));
        self.places
            .insert(&waiting.place_of, (waiting.loudness(), source));
        self.by_source.insert(source, waiting);
        self.queues.insert(Queue::of(brake, edge), brake);
    }

    /// Makes room for a source that `edge` reports. Returns how often it may have been found when it had no place.
    fn make_room(&mut self, edge: &str) -> u32 {
        if self.by_source.len() < self.room {
            return 0;
        }
        let missed = self.places.least_of(edge);
        if let Some(least) = self.places.least() {
            self.take_out(&least);
        }
        missed.map_or(0, |(Loudness(most, ..), _)| most)
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
        self.ranked.remove(&(waiting.rank(), *source));
        self.places
            .remove(&waiting.place_of, &(waiting.loudness(), *source));
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

#[cfg(test)]
mod tests;
