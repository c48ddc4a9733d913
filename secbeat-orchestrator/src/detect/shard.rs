//! The sources of one partition.

use std::mem;

use ahash::RandomState;
use hashlink::LinkedHashMap;
use secbeat_common::{
    prefix::Prefix,
    wire::{Layer, LearnedFrom},
};

use super::{Sighting, Window};

/// Where a rule stands in the list of rules.
pub(super) type RuleIndex = u8;

/// What is known of one source.
#[derive(Debug)]
pub(super) struct Source {
    /// Those of the rules under which it was seen.
    windows: Vec<(RuleIndex, Window)>,
    /// Rules that ignore its events before a time, since they would have banned it until then.
    observed: Vec<(RuleIndex, i64)>,
    /// Latest event time, in milliseconds; `i64::MIN` before the first.
    latest_ms: i64,
    /// The same of the events in which it was a TCP peer, since the windows were last emptied.
    latest_as_peer_ms: i64,
    /// Events before this time are ignored.
    ignore_before_ms: i64,
    /// So are events before this one whose address a proxy told.
    ignore_forwarded_before_ms: i64,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            windows: Vec::new(),
            observed: Vec::new(),
            latest_ms: i64::MIN,
            latest_as_peer_ms: i64::MIN,
            ignore_before_ms: i64::MIN,
            ignore_forwarded_before_ms: i64::MIN,
        }
    }
}

impl Source {
    /// Empties all windows.
    pub(super) fn clear(&mut self) {
        for (_, window) in &mut self.windows {
            window.clear();
        }
        self.observed.clear();
        self.latest_as_peer_ms = i64::MIN;
    }

    /// Where a ban can meet the source, by what was seen of it after `start_ms`.
    pub(super) fn layer_since(&self, start_ms: i64) -> Layer {
        match self.latest_as_peer_ms > start_ms {
            true => Layer::Kernel,
            false => Layer::L7,
        }
    }

    /// The window of a rule, unless the rule ignores the source's events of that time.
    pub(super) fn window(&mut self, rule: RuleIndex, at_ms: i64) -> Option<&mut Window> {
        if self
            .observed
            .iter()
            .any(|(observed, until_ms)| *observed == rule && at_ms < *until_ms)
        {
            return None;
        }
        let index = match self.windows.iter().position(|(known, _)| *known == rule) {
            Some(index) => index,
            None => {
                self.windows.push((rule, Window::default()));
                self.windows.len() - 1
            }
        };
        self.windows.get_mut(index).map(|(_, window)| window)
    }

    fn ignores(&self, at_ms: i64, learned_from: LearnedFrom) -> bool {
        let forwarded = learned_from.layer() == Layer::L7;
        at_ms < self.ignore_before_ms || (forwarded && at_ms < self.ignore_forwarded_before_ms)
    }

    /// Runs `judge` unless such an event is ignored; also says whether the source was seen apart from one request at
    /// `at_ms`, which may stand in all windows.
    fn judge<R>(
        &mut self,
        at_ms: i64,
        learned_from: LearnedFrom,
        judge: impl FnOnce(&mut Self) -> Judged<R>,
    ) -> (Option<R>, bool) {
        if self.ignores(at_ms, learned_from) {
            return (None, false);
        }
        if learned_from.layer() == Layer::Kernel {
            self.latest_as_peer_ms = self.latest_as_peer_ms.max(at_ms);
        }
        let Judged {
            verdict,
            holds_several,
        } = judge(self);
        let returned = holds_several || (self.latest_ms != i64::MIN && self.latest_ms != at_ms);
        self.latest_ms = self.latest_ms.max(at_ms);
        (verdict, returned)
    }

    fn ignored_until_ms(&self) -> i64 {
        let observed = self.observed.iter().map(|(_, until_ms)| *until_ms);
        let ignored = self.ignore_before_ms.max(self.ignore_forwarded_before_ms);
        observed.fold(ignored, i64::max)
    }
}

/// What came of an event.
#[derive(Debug)]
pub(super) struct Judged<R> {
    pub(super) verdict: Option<R>,
    /// Whether a window that it stands in holds something else, too.
    pub(super) holds_several: bool,
}

/// That a source was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) source: Prefix,
    /// Event time, milliseconds since the Unix epoch.
    pub(super) at_ms: i64,
    pub(super) learned_from: LearnedFrom,
}

impl From<Sighting> for Seen {
    fn from(sighting: Sighting) -> Self {
        Self {
            source: sighting.source,
            at_ms: sighting.at_ms,
            learned_from: sighting.learned_from,
        }
    }
}

/// In the order in which they are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// One request so far.
    Once,
    /// More than that.
    Returning,
    /// Banned before.
    Convicted,
}

impl Class {
    const ALL: [Self; 3] = [Self::Once, Self::Returning, Self::Convicted];
}

/// Sources of one class, least recently seen first. Clients choose the keys, hence the seeded hash.
type Table = LinkedHashMap<Prefix, Source, RandomState>;

/// A bounded table of sources. At the ceiling the least recently seen goes first, but whoever was seen once before
/// whoever came back, and the convicted last: a flood of new addresses pushes out itself.
#[derive(Debug)]
pub(super) struct Shard {
    tables: [Table; 3],
    ceiling: usize,
    admitted: u64,
    evicted: u64,
}

impl Shard {
    /// `ceiling`: most sources held, at least 1.
    pub(super) fn new(ceiling: usize) -> Self {
        Self {
            tables: Default::default(),
            ceiling: ceiling.max(1),
            admitted: 0,
            evicted: 0,
        }
    }

    /// An event: runs `judge` on its source unless the source's events of that time are ignored.
    pub(super) fn observe<R>(
        &mut self,
        seen: impl Into<Seen>,
        judge: impl FnOnce(&mut Source) -> Judged<R>,
    ) -> Option<R> {
        let Seen {
            source,
            at_ms,
            learned_from,
        } = seen.into();
        // The most frequent senders come back, so look there first.
        for class in [Class::Returning, Class::Once, Class::Convicted] {
            if let Some(entry) = self.tables[class as usize].to_back(&source) {
                let (verdict, returned) = entry.judge(at_ms, learned_from, judge);
                if class == Class::Once && returned {
                    self.reclass(source, class, Class::Returning);
                }
                return verdict;
            }
        }
        self.admit(source, Class::Once);
        let entry = self.tables[Class::Once as usize].get_mut(&source)?;
        let (verdict, returned) = entry.judge(at_ms, learned_from, judge);
        if returned {
            self.reclass(source, Class::Once, Class::Returning);
        }
        verdict
    }

    /// Empties the windows of `source` and ignores its events before `until_ms` (and none after, whatever was said
    /// before). From now on it counts as convicted.
    pub(super) fn ignore_before(&mut self, source: Prefix, until_ms: i64) {
        let entry = self.convict(source);
        entry.ignore_before_ms = until_ms;
        entry.ignore_forwarded_before_ms = i64::MIN;
    }

    /// As [`ignore_before`](Self::ignore_before), for the events whose address a proxy told.
    pub(super) fn ignore_forwarded_before(&mut self, source: Prefix, until_ms: i64) {
        self.convict(source).ignore_forwarded_before_ms = until_ms;
    }

    /// As [`ignore_before`](Self::ignore_before), for the events at or before `at_ms`.
    pub(super) fn forget(&mut self, source: Prefix, at_ms: i64) {
        self.ignore_before(source, at_ms.saturating_add(1));
        // Cleanup must not drop this while such events may still come.
        if let Some(entry) = self.tables[Class::Convicted as usize].get_mut(&source) {
            entry.latest_ms = entry.latest_ms.max(at_ms);
        }
    }

    /// Lets `rule` ignore the events of `source` before `until_ms`.
    pub(super) fn observe_until(&mut self, source: Prefix, rule: RuleIndex, until_ms: i64) {
        let class = self
            .class_of(&source)
            .unwrap_or_else(|| self.admit(source, Class::Once));
        if let Some(entry) = self.tables[class as usize].get_mut(&source) {
            entry.observed.retain(|(known, _)| *known != rule);
            entry.observed.push((rule, until_ms));
        }
    }

    /// Empties the windows of `source`, which from now on counts as convicted.
    fn convict(&mut self, source: Prefix) -> &mut Source {
        let class = self
            .class_of(&source)
            .unwrap_or_else(|| self.admit(source, Class::Convicted));
        if class != Class::Convicted {
            self.reclass(source, class, Class::Convicted);
        }
        let entry = self.tables[Class::Convicted as usize]
            .entry(source)
            .or_insert_with(Source::default);
        entry.clear();
        entry
    }

    /// The sources in `net`.
    pub(super) fn within(&self, net: &Prefix) -> Vec<Prefix> {
        let sources = self.tables.iter().flat_map(LinkedHashMap::keys);
        sources.filter(|source| net.covers(source)).copied().collect()
    }

    /// Removes whoever was last seen at or before `seen_by_ms` and is not ignored at `now_ms`; returns how many.
    pub(super) fn cleanup(&mut self, seen_by_ms: i64, now_ms: i64) -> usize {
        let before = self.len();
        for table in &mut self.tables {
            table.retain(|_, source| source.latest_ms > seen_by_ms || source.ignored_until_ms() > now_ms);
        }
        before - self.len()
    }

    pub(super) fn len(&self) -> usize {
        self.tables.iter().map(LinkedHashMap::len).sum()
    }

    pub(super) fn class_len(&self, class: Class) -> usize {
        self.tables[class as usize].len()
    }

    pub(super) const fn admitted(&self) -> u64 {
        self.admitted
    }

    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn class_of(&self, source: &Prefix) -> Option<Class> {
        Class::ALL
            .into_iter()
            .find(|class| self.tables[*class as usize].contains_key(source))
    }

    fn admit(&mut self, source: Prefix, class: Class) -> Class {
        if self.len() >= self.ceiling
            && Class::ALL
                .iter()
                .any(|class| self.tables[*class as usize].pop_front().is_some())
        {
            self.evicted += 1;
        }
        self.admitted += 1;
        self.tables[class as usize].insert(source, Source::default());
        class
    }

    fn reclass(&mut self, source: Prefix, from: Class, to: Class) {
        if let Some(entry) = self.tables[from as usize].get_mut(&source).map(mem::take) {
            self.tables[from as usize].remove(&source);
            self.tables[to as usize].insert(source, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u32) -> Prefix {
        Prefix::of_source(std::net::Ipv4Addr::from(n).into())
    }

    fn see(shard: &mut Shard, n: u32, at_ms: i64) {
        const LIMIT: super::super::window::Limit = super::super::window::Limit {
            count: 1000,
            window_ms: 60_000,
        };
        let sighting = Sighting {
            source: source(n),
            at_ms,
            upstream: super::super::UpstreamId(0),
            learned_from: LearnedFrom::Peer,
        };
        shard.observe(sighting, |s| {
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
        shard.ignore_before(source(1), 100);
        see(&mut shard, 2, 1);
        see(&mut shard, 2, 2);
        see(&mut shard, 3, 3);
        let classes = |shard: &Shard| [1, 2, 3, 4, 5].map(|n| shard.class_of(&source(n)));
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
        shard.ignore_before(source(4), 100);
        shard.ignore_before(source(5), 100);
        see(&mut shard, 2, 6);
        assert_eq!(classes(&shard), [None, once, None, convicted, convicted]);
        assert_eq!((shard.len(), shard.evicted()), (3, 3));
    }

    #[test]
    fn two_requests_in_one_millisecond_are_a_return_and_one_in_both_windows_is_not() {
        let mut shard = Shard::new(3);
        see(&mut shard, 1, 7);
        assert_eq!(shard.class_of(&source(1)), Some(Class::Once));
        see(&mut shard, 1, 7);
        assert_eq!(shard.class_of(&source(1)), Some(Class::Returning));
    }
}
