//! The exact sliding window.

use std::{cmp::Ordering, collections::VecDeque, num::NonZeroU32, time::Duration};

use super::Threshold;
use crate::millis;

/// Longest window in milliseconds, about 24 days: ages of events are kept in 32 bits.
pub const MAX_WINDOW_MS: i64 = i32::MAX as i64;

/// A [`Threshold`] in the window's units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) count: u32,
    /// 1 to [`MAX_WINDOW_MS`].
    pub(crate) window_ms: i64,
}

impl Limit {
    /// `window` is taken to be between 1 ms and [`MAX_WINDOW_MS`].
    pub(crate) fn new(count: u32, window: Duration) -> Self {
        Self {
            count,
            window_ms: millis(window).clamp(1, MAX_WINDOW_MS),
        }
    }
}

impl From<Threshold> for Limit {
    fn from(Threshold { count, window }: Threshold) -> Self {
        Self::new(count.get(), window)
    }
}

/// A window that holds at least its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crossing {
    /// Events in (`at_ms` − window, `at_ms`].
    pub(crate) count: u32,
    /// Latest event time seen.
    pub(crate) at_ms: i64,
}

/// What is counted once in a window of distinct things: a keyed hash, so that clients cannot choose two that are equal.
/// By chance one pair in 2^32 is; the window then counts one too few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(pub(crate) NonZeroU32);

/// Events at one time, in 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Event {
    /// The low 32 bits of its time in milliseconds. Events of a window are at most [`MAX_WINDOW_MS`] older than the
    /// latest, whose whole time is known.
    at: u32,
    /// How many, or the [`Tag`]; never 0.
    n: NonZeroU32,
}

/// Contents of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) events: u64,
    /// Times, or distinct tags.
    pub(crate) entries: u64,
}

/// Events after the oldest one.
#[derive(Debug, Default)]
struct Rest {
    events: VecDeque<Event>,
    /// Sum of their numbers.
    total: u64,
}

/// Events of one source under one rule, those in (t − window, t] where t is the latest time seen.
///
/// Holds one entry per distinct millisecond, or per distinct tag: at most the limit's count, as a caller empties it when
/// it crosses. The oldest is in place, and only further ones allocate.
#[derive(Debug)]
pub(crate) struct Window {
    /// t; `i64::MIN` before the first event. [`clear`](Self::clear) keeps it.
    latest_ms: i64,
    first: Option<Event>,
    /// Ascending by time; `None` when empty.
    rest: Option<Box<Rest>>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            latest_ms: i64::MIN,
            first: None,
            rest: None,
        }
    }
}

impl Window {
    /// Adds `n` events at `at_ms` and judges. Constant time for events in order; late ones are inserted in order, or
    /// ignored if they lie at or before t − window.
    pub(crate) fn record(&mut self, at_ms: i64, n: u32, limit: Limit) -> Option<Crossing> {
        let n = NonZeroU32::new(n)?;
        if self.is_too_old(at_ms, limit) {
            return None;
        }
        self.advance(at_ms, limit);
        self.add(Event { at: low(at_ms), n });
        self.judge(self.total(), limit)
    }

    /// Adds what is counted once, as seen at `at_ms`, and judges. It counts by its latest time.
    pub(crate) fn record_distinct(&mut self, at_ms: i64, tag: Tag, limit: Limit) -> Option<Crossing> {
        if self.is_too_old(at_ms, limit) {
            return None;
        }
        self.advance(at_ms, limit);
        let event = Event {
            at: low(at_ms),
            n: tag.0,
        };
        match self.position(|known| known.n == event.n) {
            Some((_, known)) if self.age(known) <= self.age(event) => {}
            Some((index, _)) => {
                self.remove(index);
                self.insert(event);
            }
            None => self.insert(event),
        }
        self.judge(self.entries() as u64, limit)
    }

    /// Moves t to `to_ms`, unless it is there already, and returns how many events remain.
    pub(crate) fn advance(&mut self, to_ms: i64, limit: Limit) -> u64 {
        if to_ms > self.latest_ms {
            let jump = to_ms.saturating_sub(self.latest_ms);
            self.latest_ms = to_ms;
            if jump >= limit.window_ms {
                self.clear();
            }
        }
        while self
            .first
            .is_some_and(|first| i64::from(self.age(first)) >= limit.window_ms)
        {
            self.remove(0);
        }
        self.total()
    }

    /// Returns how many events it holds.
    pub(crate) fn total(&self) -> u64 {
        let first = self.first.map_or(0, |first| u64::from(first.n.get()));
        first + self.rest.as_ref().map_or(0, |rest| rest.total)
    }

    /// Returns how many entries it holds: times, or distinct tags.
    pub(crate) fn entries(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.events.len())
    }

    /// Reads where the next event comes.
    pub(crate) fn touch(&self) -> usize {
        let latest = self.rest.as_ref().and_then(|rest| rest.events.back());
        latest.map_or(0, |event| event.at as usize)
    }

    /// Returns what of it is later than `start_ms`.
    pub(crate) fn since(&self, start_ms: i64) -> Held {
        let later = |event: &Event| self.latest_ms.saturating_sub(i64::from(self.age(*event))) > start_ms;
        let mut held = Held::default();
        for event in self.iter().filter(later) {
            held.events += u64::from(event.n.get());
            held.entries += 1;
        }
        held
    }

    /// Forgets all entries but the `n` latest.
    pub(crate) fn keep_latest(&mut self, n: usize) {
        while self.entries() > n {
            self.remove(0);
        }
    }

    /// Empties it and gives its memory back.
    pub(crate) fn clear(&mut self) {
        self.first = None;
        self.rest = None;
    }

    const fn is_too_old(&self, at_ms: i64, limit: Limit) -> bool {
        at_ms <= self.latest_ms.saturating_sub(limit.window_ms)
    }

    fn judge(&self, count: u64, limit: Limit) -> Option<Crossing> {
        (count >= u64::from(limit.count)).then_some(Crossing {
            count: u32::try_from(count).unwrap_or(u32::MAX),
            at_ms: self.latest_ms,
        })
    }

    /// Milliseconds between an event and t.
    const fn age(&self, event: Event) -> u32 {
        low(self.latest_ms).wrapping_sub(event.at)
    }

    /// Its entries, the oldest first.
    fn iter(&self) -> impl Iterator<Item = Event> {
        let rest = self.rest.iter().flat_map(|rest| rest.events.iter().copied());
        self.first.into_iter().chain(rest)
    }

    /// The first entry for which `is_it` holds, the oldest being 0.
    fn position(&self, is_it: impl Fn(Event) -> bool) -> Option<(usize, Event)> {
        self.iter().enumerate().find(|(_, event)| is_it(*event))
    }

    /// Adds to the entry of the event's time, or inserts one.
    fn add(&mut self, event: Event) {
        let latest = low(self.latest_ms);
        let order = |known: &Event| {
            let (known, new) = (latest.wrapping_sub(known.at), latest.wrapping_sub(event.at));
            new.cmp(&known)
        };
        let Some(first) = &mut self.first else {
            return self.insert(event);
        };
        if first.at == event.at {
            // A sum past u32::MAX at one time is past any limit all the same.
            first.n = first.n.saturating_add(event.n.get());
            return;
        }
        let Some(rest) = &mut self.rest else {
            return self.insert(event);
        };
        let known = match rest.events.back().map(order) {
            Some(Ordering::Equal) => rest.events.back_mut(),
            Some(Ordering::Greater) => match rest.events.binary_search_by(order) {
                Ok(index) => rest.events.get_mut(index),
                Err(_) => None,
            },
            Some(Ordering::Less) | None => None,
        };
        match known {
            Some(known) => {
                let before = known.n.get();
                known.n = known.n.saturating_add(event.n.get());
                rest.total += u64::from(known.n.get() - before);
            }
            None => self.insert(event),
        }
    }

    /// Inserts an entry after all that are not newer.
    fn insert(&mut self, event: Event) {
        let age = self.age(event);
        let latest = low(self.latest_ms);
        let Some(first) = self.first else {
            self.first = Some(event);
            return;
        };
        let rest = self.rest.get_or_insert_default();
        if latest.wrapping_sub(first.at) < age {
            rest.events.push_front(first);
            rest.total += u64::from(first.n.get());
            self.first = Some(event);
            return;
        }
        let is_not_newer = |known: &Event| latest.wrapping_sub(known.at) >= age;
        match rest.events.back() {
            Some(last) if !is_not_newer(last) => {
                let index = rest.events.partition_point(is_not_newer);
                rest.events.insert(index, event);
            }
            _ => rest.events.push_back(event),
        }
        rest.total += u64::from(event.n.get());
    }

    /// Removes an entry, the oldest being 0.
    fn remove(&mut self, index: usize) {
        let Some(rest) = &mut self.rest else {
            self.first = None;
            return;
        };
        let removed = match index.checked_sub(1) {
            Some(index) => rest.events.remove(index),
            None => {
                self.first = rest.events.pop_front();
                self.first
            }
        };
        rest.total -= removed.map_or(0, |removed| u64::from(removed.n.get()));
        if rest.events.is_empty() {
            self.rest = None;
        }
    }
}

/// The low 32 bits.
const fn low(at_ms: i64) -> u32 {
    at_ms as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: Limit = Limit {
        count: 3,
        window_ms: 1000,
    };

    /// (low bits of the time, number) of all entries.
    fn entries(window: &Window) -> Vec<(u32, u32)> {
        let rest = window.rest.iter().flat_map(|rest| rest.events.iter());
        let entries = window.first.iter().chain(rest);
        entries.map(|event| (event.at, event.n.get())).collect()
    }

    fn crossing(count: u32, at_ms: i64) -> Option<Crossing> {
        Some(Crossing { count, at_ms })
    }

    #[test]
    fn test_sliding_window_pruning() {
        let mut window = Window::default();
        assert_eq!(window.record(0, 1, LIMIT), None);
        assert_eq!(window.record(500, 1, LIMIT), None);
        // The event at 0 has left (0, 1000].
        assert_eq!(window.record(1000, 1, LIMIT), None);
        assert_eq!(window.total(), 2);
        assert_eq!(entries(&window), [(500, 1), (1000, 1)]);
        assert_eq!(window.record(10_000, 1, LIMIT), None);
        assert_eq!(entries(&window), [(10_000, 1)]);
    }

    #[test]
    fn the_latest_entries_stay() {
        let mut window = Window::default();
        for at_ms in 0..5 {
            window.record_distinct(at_ms, Tag(NonZeroU32::MIN.saturating_add(at_ms as u32)), LIMIT);
        }
        window.keep_latest(2);
        assert_eq!(entries(&window), [(3, 4), (4, 5)]);
        window.keep_latest(3);
        assert_eq!(window.entries(), 2);
        window.keep_latest(0);
        assert_eq!((window.entries(), window.total()), (0, 0));
    }

    #[test]
    fn the_window_is_open_at_its_start_and_closed_at_its_end() {
        let mut window = Window::default();
        window.record(1, 2, LIMIT);
        assert_eq!(
            window.record(1000, 1, LIMIT),
            crossing(3, 1000),
            "1 lies in (0, 1000]"
        );
        let mut window = Window::default();
        window.record(0, 2, LIMIT);
        assert_eq!(window.record(1000, 1, LIMIT), None, "0 does not");
    }

    #[test]
    fn a_late_event_counts_at_its_own_time_and_the_finding_is_at_the_latest() {
        let mut window = Window::default();
        window.record(2000, 2, LIMIT);
        assert_eq!(
            window.record(1000, 1, LIMIT),
            None,
            "at the start of the window: too old"
        );
        assert_eq!(window.record(1001, 1, LIMIT), crossing(3, 2000));
        assert_eq!(entries(&window), [(1001, 1), (2000, 2)]);
    }

    #[test]
    fn events_of_one_millisecond_share_one_entry() {
        let mut window = Window::default();
        let limit = Limit {
            count: 1000,
            window_ms: 1000,
        };
        for at in [5, 7, 5, 7, 6, 5] {
            window.record(at, 1, limit);
        }
        assert_eq!(entries(&window), [(5, 3), (6, 1), (7, 2)]);
        assert_eq!(window.total(), 6);
    }

    #[test]
    fn emptying_keeps_the_latest_time() {
        let mut window = Window::default();
        window.record(5000, 3, LIMIT);
        window.clear();
        assert_eq!(
            window.record(4000, 3, LIMIT),
            None,
            "before the window that ends at 5000"
        );
        assert_eq!(window.record(4001, 3, LIMIT), crossing(3, 5000));
    }

    #[test]
    fn extreme_times_and_counts_do_not_overflow() {
        let mut window = Window::default();
        assert_eq!(
            window.record(i64::MIN + 1, u32::MAX, LIMIT),
            crossing(u32::MAX, i64::MIN + 1)
        );
        assert_eq!(
            window.record(i64::MIN + 1, u32::MAX, LIMIT),
            crossing(u32::MAX, i64::MIN + 1)
        );
        assert_eq!(window.record(i64::MAX, 1, LIMIT), None);
        assert_eq!(window.record(i64::MIN, 9, LIMIT), None);
        assert_eq!(
            window.record(i64::MAX, u32::MAX, LIMIT),
            crossing(u32::MAX, i64::MAX)
        );
    }

    #[test]
    fn what_is_counted_once_counts_by_its_latest_time() {
        let tag = |n| Tag(NonZeroU32::new(n).unwrap());
        let mut window = Window::default();
        for at_ms in [0, 10, 400] {
            assert_eq!(window.record_distinct(at_ms, tag(7), LIMIT), None);
        }
        assert_eq!(entries(&window), [(400, 7)]);
        assert_eq!(
            window.record_distinct(100, tag(7), LIMIT),
            None,
            "seen later already"
        );
        assert_eq!(window.record_distinct(300, tag(9), LIMIT), None);
        assert_eq!(entries(&window), [(300, 9), (400, 7)]);
        assert_eq!(window.record_distinct(350, tag(9), LIMIT), None);
        assert_eq!(window.record_distinct(1399, tag(9), LIMIT), None);
        assert_eq!(entries(&window), [(400, 7), (1399, 9)]);
        assert_eq!(window.record_distinct(1399, tag(8), LIMIT), crossing(3, 1399));
        assert_eq!(window.record_distinct(1400, tag(9), LIMIT), None, "7 has left");
        assert_eq!(entries(&window), [(1399, 8), (1400, 9)]);
    }

    #[test]
    fn a_window_is_24_bytes_and_a_single_event_needs_no_more() {
        assert_eq!(size_of::<Window>(), 24);
        let mut window = Window::default();
        for n in 0..100 {
            window.record(n * 1000, 1, LIMIT);
            assert!(window.rest.is_none());
        }
    }

    proptest! {
        #[test]
        fn windows_equal_those_that_keep_every_event(
            events in prop::collection::vec((-300..300i64, 1..4u32, prop::bool::weighted(0.01)), 1..200),
            window_ms in 1..1500i64,
            start in prop_oneof![Just(0i64), Just(i64::from(u32::MAX) - 5000), Just(-5000i64)],
        ) {
            let limit = Limit { count: u32::MAX, window_ms };
            let (mut plain, mut distinct) = (Window::default(), Window::default());
            let (mut all, mut latest) = (Vec::new(), None);
            for (advance, n, jumps) in events {
                let at_ms = latest.unwrap_or(start) + advance + if jumps { 1 << 33 } else { 0 };
                plain.record(at_ms, n, limit);
                distinct.record_distinct(at_ms, Tag(NonZeroU32::new(n).unwrap()), limit);
                all.push((at_ms, n));
                let clock = latest.unwrap_or(at_ms).max(at_ms);
                latest = Some(clock);
                let inside = || all.iter().filter(|(at, _)| *at > clock - window_ms);
                prop_assert_eq!(plain.total(), inside().map(|(_, n)| u64::from(*n)).sum::<u64>());
                let tags: std::collections::HashSet<_> = inside().map(|(_, n)| n).collect();
                prop_assert_eq!(distinct.entries(), tags.len());
                prop_assert_eq!(distinct.total(), tags.into_iter().map(|n| u64::from(*n)).sum::<u64>());
            }
        }
    }
}
