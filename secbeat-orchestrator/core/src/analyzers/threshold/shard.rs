//! The sources of one partition.

use ahash::RandomState;
use secbeat_common::{net_table::NetTable, prefix::Prefix, wire::Layer};

use super::{
    Window,
    index::Index,
    recent::Recent,
    slab::{Place, Slab},
    source::{Class, Judged, Key, RuleIndex, Seen, Source},
};

/// A source moves to the back of its list only if so great a part of all sources has been seen since it last did: the
/// neighbours of busy sources stay out of the processor's caches. It may so be evicted that much too early.
const LAZINESS: usize = 8;

/// A bounded table of sources. When it is full, it evicts the least recently seen source: first those seen once, then those
/// that came back, last those banned before. So a flood of new addresses pushes out itself.
#[derive(Debug)]
pub(super) struct Shard {
    slab: Slab,
    places: Index,
    /// Clients choose the keys, hence the seeded hash.
    hasher: RandomState,
    /// Events so far; wraps around.
    now: u32,
    ceiling: usize,
    /// Networks whose sources' events at or before a time do not count, also of sources that are not known yet.
    forgiven: NetTable<i64>,
    /// Those that were never banned.
    recent: Recent,
    admitted: u64,
    evicted: u64,
}

impl Shard {
    /// `ceiling`: most sources held, at least 1.
    pub(super) fn new(ceiling: usize) -> Self {
        Self {
            slab: Slab::default(),
            places: Index::default(),
            hasher: RandomState::new(),
            now: 0,
            ceiling: ceiling.clamp(1, u32::MAX as usize - 1),
            forgiven: NetTable::default(),
            recent: Recent::default(),
            admitted: 0,
            evicted: 0,
        }
    }

    /// An event of the source of `key`, which was lately found at `hint`: runs `judge` on it unless its events of that time
    /// are ignored.
    pub(super) fn observe<R>(
        &mut self,
        seen: &Seen,
        key: Key,
        hint: Option<Place>,
        judge: impl FnOnce(&mut Source) -> Judged<R>,
    ) -> Option<R> {
        self.now = self.now.wrapping_add(1);
        let place = match hint.filter(|place| self.holds(*place, key)) {
            Some(place) => place,
            None => self.find_or_admit(key, Class::Once),
        };
        let source = self.slab.source_mut(place);
        let (seen_ms, class) = (source.latest_ms(), source.class);
        let (verdict, returned) = source.judge(seen, judge);
        if class != Some(Class::Convicted) {
            self.recent.moved(seen_ms, source.latest_ms());
        }
        let class = match class {
            Some(Class::Once) if returned => Class::Returning,
            Some(class) if self.moves(place) => class,
            _ => return verdict,
        };
        self.slab.move_to(place, class, self.now);
        verdict
    }

    /// Empties the windows of `source` and ignores its events before `until_ms` that came in at `layer` (and none after,
    /// whatever was said before). From now on it counts as convicted.
    pub(super) fn ignore_before(&mut self, source: &Prefix, until_ms: i64, layer: Layer) {
        if let Some(place) = self.convict(source) {
            self.slab.source_mut(place).ignore_before(until_ms, layer);
        }
    }

    /// As [`ignore_before`](Self::ignore_before), for all events at or before `at_ms`.
    pub(super) fn forget(&mut self, source: &Prefix, at_ms: i64) {
        if let Some(place) = self.convict(source) {
            let source = self.slab.source_mut(place);
            source.ignore_before(at_ms.saturating_add(1), Layer::Kernel);
            source.keep_until(at_ms);
        }
    }

    /// The same for all sources in `net`, seen or not.
    pub(super) fn forget_within(&mut self, net: Prefix, at_ms: i64) {
        self.forgiven.insert(net, at_ms);
        for source in self.within(&net) {
            self.forget(&source, at_ms);
        }
    }

    /// Lets `rule` ignore the events of `source` before `until_ms`.
    pub(super) fn observe_until(&mut self, source: &Prefix, rule: RuleIndex, until_ms: i64) {
        if let Some(key) = Key::of(source) {
            let place = self.find_or_admit(key, Class::Once);
            self.slab.source_mut(place).observe_until(rule, until_ms);
        }
    }

    /// The sources in `net`, ascending: those that go first must not depend on the hash.
    fn within(&self, net: &Prefix) -> Vec<Prefix> {
        let sources = self
            .places
            .places()
            .map(|place| self.slab.source(place).key().prefix());
        let mut within: Vec<_> = sources.filter(|source| net.covers(source)).collect();
        within.sort_unstable();
        within
    }

    /// Removes sources that were last seen at or before `seen_by_ms` and are not ignored at `now_ms`; returns how many.
    pub(super) fn cleanup(&mut self, seen_by_ms: i64, now_ms: i64) -> usize {
        self.forgiven.retain(|at_ms| *at_ms >= now_ms);
        let before = self.len();
        for place in self.slab.places() {
            let source = self.slab.source(place);
            if source.class.is_some() && source.is_over(seen_by_ms, now_ms) {
                self.remove(place);
            }
        }
        before - self.len()
    }

    /// Forgets all sources and networks.
    pub(super) fn clear(&mut self) {
        self.forgiven = NetTable::default();
        self.slab = Slab::default();
        self.places = Index::default();
        self.recent = Recent::default();
    }

    /// About how many sources were seen in the minute before `now_ms` and never banned.
    pub(super) fn well_behaved(&self, now_ms: i64) -> usize {
        self.recent.count(now_ms)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn class_len(&self, class: Class) -> usize {
        self.slab.len(class)
    }

    pub(super) const fn admitted(&self) -> u64 {
        self.admitted
    }

    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Returns what is known of `source`.
    pub(super) fn get(&self, source: &Prefix) -> Option<&Source> {
        let key = Key::of(source)?;
        Some(self.slab.source(self.find(key, self.hash(key))?))
    }

    /// Under which a source is found.
    pub(super) fn hash(&self, key: Key) -> u32 {
        (self.hasher.hash_one(key.bits) >> 32) as u32
    }

    /// Whether a place is that of `key`.
    pub(super) fn holds(&self, place: Place, key: Key) -> bool {
        self.slab.holds(place, key)
    }

    /// Returns where a source is, or another one of the same hash.
    pub(super) fn presumed(&self, hash: u32) -> Option<Place> {
        self.places.find(hash, |_| true)
    }

    fn find(&self, key: Key, hash: u32) -> Option<Place> {
        self.places
            .find(hash, |place| self.slab.source(place).key() == key)
    }

    /// Reads where a source under `hash` would be.
    pub(super) fn touch_slot(&self, hash: u32) -> usize {
        self.places.touch(hash)
    }

    /// Reads what an event of the source changes, and the next three what hangs on it.
    pub(super) fn touch(&self, place: Place) -> usize {
        self.slab.touch(place)
    }

    /// Reads what changes if the source moves to the back of its list.
    pub(super) fn touch_neighbours(&self, place: Place) -> usize {
        match self.moves(place) {
            true => self.slab.touch_neighbours(place),
            false => 0,
        }
    }

    /// Reads its windows, as far as they are elsewhere.
    pub(super) fn touch_windows(&self, place: Place) -> usize {
        let windows = self.slab.source(place).windows();
        windows.iter().map(Window::entries).sum()
    }

    /// Reads where its next event comes.
    pub(super) fn touch_events(&self, place: Place) -> usize {
        let windows = self.slab.source(place).windows();
        windows.iter().map(Window::touch).fold(0, usize::wrapping_add)
    }

    /// Whether an event moves the source to the back of its list.
    fn moves(&self, place: Place) -> bool {
        self.slab.age(place, self.now) as usize > self.places.len() / LAZINESS
    }

    fn find_or_admit(&mut self, key: Key, class: Class) -> Place {
        let hash = self.hash(key);
        self.find(key, hash)
            .unwrap_or_else(|| self.admit(key, hash, class))
    }

    fn admit(&mut self, key: Key, hash: u32, class: Class) -> Place {
        if self.len() >= self.ceiling
            && let Some(first) = Class::ALL.iter().find_map(|class| self.slab.first(*class))
        {
            self.remove(first);
            self.evicted += 1;
        }
        self.admitted += 1;
        let place = self.slab.insert(key, class, self.now);
        self.places.insert(hash, place);
        if !self.forgiven.is_empty() {
            self.forgive(place);
        }
        place
    }

    /// What a new source did before the unban of a network around it does not count.
    fn forgive(&mut self, place: Place) {
        let source = self.slab.source_mut(place);
        let around = source.key().prefix();
        if let Some(at_ms) = self.forgiven.around(&around).map(|(_, at_ms)| *at_ms).max() {
            source.ignore_before(at_ms.saturating_add(1), Layer::Kernel);
        }
    }

    fn remove(&mut self, place: Place) {
        let hash = self.hash(self.slab.source(place).key());
        self.places.remove(hash, place);
        self.slab.remove(place);
    }

    /// A source that from now on counts as convicted, seen before or not.
    fn convict(&mut self, source: &Prefix) -> Option<Place> {
        let place = self.find_or_admit(Key::of(source)?, Class::Convicted);
        self.slab.move_to(place, Class::Convicted, self.now);
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::LearnedFrom;

    use super::{super::window::Limit, *};

    fn source(n: u32) -> Prefix {
        Prefix::single(std::net::Ipv4Addr::from(n).into())
    }

    fn class(shard: &Shard, n: u32) -> Option<Class> {
        shard.get(&source(n))?.class
    }

    fn see(shard: &mut Shard, n: u32, at_ms: i64) {
        const LIMIT: Limit = Limit {
            count: 1000,
            window_ms: 60_000,
        };
        let seen = Seen {
            source: source(n),
            at_ms,
            learned_from: LearnedFrom::Peer,
        };
        let key = Key::of(&seen.source).unwrap();
        shard.observe(&seen, key, None, |s| {
            let mut holds_several = false;
            for rule in 0..2 {
                let window = s.window(rule, at_ms).unwrap();
                window.record(at_ms, 1, LIMIT);
                holds_several |= window.total() > 1;
            }
            Judged {
                verdict: None::<()>,
                holds_several,
            }
        });
    }

    #[test]
    fn whoever_was_seen_once_goes_first_and_the_convicted_go_last() {
        let mut shard = Shard::new(3);
        let convict = |shard: &mut Shard, n| shard.ignore_before(&source(n), 100, Layer::Kernel);
        convict(&mut shard, 1);
        see(&mut shard, 2, 1);
        see(&mut shard, 2, 2);
        see(&mut shard, 3, 3);
        let classes = |shard: &Shard| [1, 2, 3, 4, 5].map(|n| class(shard, n));
        let (once, returning, convicted) =
            (Some(Class::Once), Some(Class::Returning), Some(Class::Convicted));
        assert_eq!(classes(&shard), [convicted, returning, once, None, None]);
        see(&mut shard, 4, 4);
        assert_eq!(classes(&shard), [convicted, returning, None, once, None]);
        see(&mut shard, 4, 5);
        see(&mut shard, 5, 5);
        assert_eq!(
            classes(&shard),
            [convicted, None, None, returning, once],
            "2 came back less recently than 4"
        );
        convict(&mut shard, 4);
        convict(&mut shard, 5);
        see(&mut shard, 2, 6);
        assert_eq!(classes(&shard), [None, once, None, convicted, convicted]);
        assert_eq!((shard.len(), shard.evicted()), (3, 3));
    }

    #[test]
    fn two_requests_in_one_millisecond_are_a_return_and_one_in_both_windows_is_not() {
        let mut shard = Shard::new(3);
        see(&mut shard, 1, 7);
        assert_eq!(class(&shard, 1), Some(Class::Once));
        see(&mut shard, 1, 7);
        assert_eq!(class(&shard, 1), Some(Class::Returning));
    }

    #[test]
    fn an_ipv4_address_is_no_ipv6_prefix_of_the_same_bits() {
        let mut shard = Shard::new(10);
        let v6: Prefix = "0:0:c633:6407::/64".parse().unwrap();
        for source in [v6, "198.51.100.7".parse().unwrap()] {
            shard.ignore_before(&source, 1, Layer::Kernel);
            assert_eq!(shard.within(&source), [source]);
        }
        assert_eq!(shard.len(), 2);
        shard.ignore_before(&"2001:db8::7/128".parse().unwrap(), 1, Layer::Kernel);
        assert_eq!(shard.len(), 2, "an address of IPv6 is no source");
    }

    #[test]
    fn a_source_moves_back_lazily_and_is_at_most_an_eighth_of_all_sightings_behind() {
        let mut shard = Shard::new(800);
        for n in 0..800 {
            see(&mut shard, n, 1);
            see(&mut shard, n, 2);
        }
        // 7 comes again and again, the others never: it must outlive all of them.
        for n in 1000..1700 {
            see(&mut shard, 7, 3);
            see(&mut shard, n, 3);
            see(&mut shard, n, 4);
        }
        assert_eq!(class(&shard, 7), Some(Class::Returning));
        assert_eq!((class(&shard, 6), class(&shard, 8)), (None, None));
    }

    #[test]
    fn sources_of_a_network_that_is_forgotten_go_in_the_order_of_their_addresses() {
        let mut shard = Shard::new(8);
        for n in [3, 7, 1, 5, 8, 2, 6, 4] {
            see(&mut shard, n, 1);
        }
        shard.forget_within("0.0.0.0/24".parse().unwrap(), 1);
        for n in 1000..1004 {
            shard.ignore_before(&source(n), 100, Layer::Kernel);
        }
        let kept: Vec<_> = (1..=8).filter(|n| class(&shard, *n).is_some()).collect();
        assert_eq!(kept, [5, 6, 7, 8]);
    }
}
