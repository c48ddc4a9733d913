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
mod tests {
    use proptest::prelude::*;

    use super::{super::tests::finding, *};

    const NOW: i64 = 1_795_168_800_000;

    fn source(n: u32) -> Prefix {
        Prefix::host((0x0a00_0000 + n).to_be_bytes().into())
    }

    fn found(held: &mut Held, n: u32, edge: &str, now_ms: i64) {
        let finding = Finding {
            source: source(n),
            ..finding("192.0.2.1", now_ms)
        };
        held.keep(&finding, Brake::Rate, Some(edge), now_ms);
    }

    fn order(held: &Held) -> Vec<Prefix> {
        held.iter().map(|held| held.finding.source).collect()
    }

    #[test]
    fn ten_thousand_quiet_sources_keep_no_loud_one_out() {
        let mut held = Held::default();
        let most = u32::try_from(MAX_HELD).unwrap();
        for n in 0..most {
            found(&mut held, n, "edge-1", NOW + i64::from(n));
        }
        let loud = most;
        for n in 0..10 {
            let now_ms = NOW + 20_000 + i64::from(n) * 1000;
            found(&mut held, loud, "edge-1", now_ms);
            // The attacker's next ones, a new one each time.
            for more in 1..=200 {
                let quiet = loud + n * 200 + more;
                found(&mut held, quiet, "edge-1", now_ms + i64::from(more));
            }
        }
        assert_eq!(held.len(), MAX_HELD);
        assert_eq!(order(&held)[0], source(loud), "the loudest is decided first");
        assert_eq!(held.by_source[&source(loud)].times, 10);
        // All others were found once. The first 2001 of them lost their places.
        assert_eq!(order(&held)[1], source(2001), "the oldest is decided next");
    }

    #[test]
    fn a_new_source_takes_the_place_of_the_least_loud_and_overtakes_nobody() {
        let mut held = Held::with_room(3);
        for (n, at) in [(1, 0), (2, 1), (3, 2), (1, 3), (2, 4), (2, 5)] {
            found(&mut held, n, "edge-1", NOW + at);
        }
        found(&mut held, 4, "edge-1", NOW + 6);
        assert_eq!(order(&held), [2, 1, 4].map(source));
        // The fourth may have been found twice, as the first was for sure.
        found(&mut held, 5, "edge-1", NOW + 7);
        assert_eq!(order(&held), [2, 1, 5].map(source));
        assert_eq!(held.take(&source(2)).unwrap().finding.source, source(2));
        found(&mut held, 6, "edge-1", NOW + 8);
        assert_eq!(order(&held), [1, 5, 6].map(source), "there was room");
    }

    #[test]
    fn an_edge_that_makes_sources_up_pushes_out_none_of_the_others() {
        let mut held = Held::with_room(100);
        for n in 0..20 {
            found(&mut held, n, "honest", NOW);
        }
        for times in 0..50 {
            for n in 0..200 {
                found(&mut held, 1000 + n, "liar", NOW + times);
            }
        }
        for n in 0..20 {
            assert!(held.by_source.contains_key(&source(n)), "{n}");
        }
        found(&mut held, 20, "honest", NOW + 50);
        let of_liar = held.iter().filter(|held| held.edge.as_deref() == Some("liar"));
        assert_eq!(of_liar.count(), 79);
    }

    /// [`Held`] without an index: everything is found by looking at all.
    #[derive(Default)]
    struct Naive(Vec<Entry>);

    #[derive(Clone, Debug, PartialEq)]
    struct Entry {
        source: Prefix,
        edge: String,
        times: u32,
        missed: u32,
        first_ms: i64,
        last_ms: i64,
    }

    impl Entry {
        fn loudness(&self) -> (u32, u32, i64, Prefix) {
            (self.times + self.missed, self.times, self.last_ms, self.source)
        }
    }

    impl Naive {
        fn least_of(&self, edge: &str) -> Option<&Entry> {
            let of_edge = self.0.iter().filter(|entry| entry.edge == edge);
            of_edge.min_by_key(|entry| entry.loudness())
        }

        fn found(&mut self, source: Prefix, edge: &str, now_ms: i64, room: usize) {
            if let Some(entry) = self.0.iter_mut().find(|entry| entry.source == source) {
                (entry.times, entry.last_ms) = (entry.times + 1, now_ms);
                return;
            }
            let mut missed = 0;
            if self.0.len() == room {
                missed = self.least_of(edge).map_or(0, |entry| entry.times + entry.missed);
                let places = |edge: &str| self.0.iter().filter(|entry| entry.edge == edge).count();
                let sizes = self.0.iter().map(|entry| (places(&entry.edge), &entry.edge));
                let gone = self.least_of(sizes.max().unwrap().1).unwrap().source;
                self.0.retain(|entry| entry.source != gone);
            }
            self.0.push(Entry {
                source,
                edge: edge.to_owned(),
                times: 1,
                missed,
                first_ms: now_ms,
                last_ms: now_ms,
            });
        }

        fn order(&self) -> Vec<Prefix> {
            let mut all = self.0.clone();
            all.sort_by_key(|entry| Reverse((entry.times, Reverse(entry.first_ms), entry.source)));
            all.into_iter().map(|entry| entry.source).collect()
        }
    }

    proptest! {
        #[test]
        fn what_waits_and_in_which_order_is_what_a_look_at_all_finds(
            room in 1..8usize,
            steps in prop::collection::vec((0..12u32, 0..3u8, 0..4i64, 0..12u8), 0..200),
        ) {
            let (mut held, mut naive, mut now_ms) = (Held::with_room(room), Naive::default(), NOW);
            for (n, edge, later, what) in steps {
                now_ms += later;
                let edge = format!("edge-{edge}");
                match what {
                    0 => {
                        held.take(&source(n));
                        naive.0.retain(|entry| entry.source != source(n));
                    }
                    1 => {
                        held.forget_before(now_ms - 20);
                        naive.0.retain(|entry| entry.last_ms >= now_ms - 20);
                    }
                    _ => {
                        found(&mut held, n, &edge, now_ms);
                        naive.found(source(n), &edge, now_ms, room);
                    }
                }
                prop_assert_eq!(order(&held), naive.order());
                let places = |held: &Held| held.places.of_edges.values().map(BTreeSet::len).sum::<usize>();
                prop_assert_eq!(places(&held), held.len());
                prop_assert_eq!(held.places.sizes.len(), held.places.of_edges.len());
            }
        }

        #[test]
        fn a_source_with_more_than_its_share_of_all_findings_always_waits(
            room in 1..8usize,
            found_in_order in prop::collection::vec(0..20u32, 0..300),
        ) {
            let mut held = Held::with_room(room);
            let mut times = HashMap::<u32, usize>::new();
            for (all, n) in (1..).zip(found_in_order) {
                found(&mut held, n, "edge-1", NOW + i64::from(n));
                *times.entry(n).or_default() += 1;
                for (n, times) in &times {
                    let waits = held.by_source.contains_key(&source(*n));
                    prop_assert!(waits || times * room <= all, "{} was found {} times of {}", n, times, all);
                }
            }
        }
    }
}
