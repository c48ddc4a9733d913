//! The exact sliding window.

use std::{collections::VecDeque, time::Duration};

use super::Threshold;
use crate::millis;

/// A [`Threshold`] in the window's units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) count: u32,
    /// At least 1.
    pub(crate) window_ms: i64,
}

impl Limit {
    pub(crate) fn new(count: u32, window: Duration) -> Self {
        Self {
            count,
            window_ms: millis(window).max(1),
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

/// Events of one source under one rule, those in (t − window, t] where t is the latest time seen.
///
/// Holds one pair per distinct millisecond, so at most the limit's count: a caller empties it when it crosses.
#[derive(Debug)]
pub(crate) struct Window {
    /// (time in milliseconds, events at that time), ascending.
    events: VecDeque<(i64, u32)>,
    /// Sum of the events.
    total: u64,
    /// t; `i64::MIN` before the first event. [`clear`](Self::clear) keeps it.
    latest_ms: i64,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            events: VecDeque::new(),
            total: 0,
            latest_ms: i64::MIN,
        }
    }
}

impl Window {
    /// Adds `n` events at `at_ms` and judges. Constant time for events in order; late ones are inserted in order, or
    /// ignored if they lie at or before t − window.
    pub(crate) fn record(&mut self, at_ms: i64, n: u32, limit: Limit) -> Option<Crossing> {
        if n == 0 || at_ms <= self.latest_ms.saturating_sub(limit.window_ms) {
            return None;
        }
        self.insert(at_ms, n);
        let count = self.advance(at_ms, limit);
        (count >= u64::from(limit.count)).then_some(Crossing {
            count: u32::try_from(count).unwrap_or(u32::MAX),
            at_ms: self.latest_ms,
        })
    }

    /// Moves t to `to_ms`, unless it is there already, and returns how many events remain.
    pub(crate) fn advance(&mut self, to_ms: i64, limit: Limit) -> u64 {
        self.latest_ms = self.latest_ms.max(to_ms);
        let start = self.latest_ms.saturating_sub(limit.window_ms);
        while let Some((_, n)) = self.events.pop_front_if(|(at, _)| *at <= start) {
            self.total -= u64::from(n);
        }
        self.total
    }

    /// How many events it holds.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// Empties it and gives its memory back.
    pub(crate) fn clear(&mut self) {
        self.events = VecDeque::new();
        self.total = 0;
    }

    fn insert(&mut self, at_ms: i64, n: u32) {
        // Most sources are seen once in a window; the usual first allocation would hold four.
        if self.events.capacity() == 0 {
            self.events.reserve_exact(1);
        }
        let index = match self.events.back() {
            Some((last, _)) if *last == at_ms => self.events.len() - 1,
            Some((last, _)) if *last > at_ms => self.events.partition_point(|(at, _)| *at < at_ms),
            _ => self.events.len(),
        };
        match self.events.get_mut(index) {
            // A sum past u32::MAX at one time is past any limit all the same.
            Some((at, sum)) if *at == at_ms => {
                let before = *sum;
                *sum = sum.saturating_add(n);
                self.total += u64::from(*sum - before);
            }
            _ => {
                self.events.insert(index, (at_ms, n));
                self.total += u64::from(n);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        count: 3,
        window_ms: 1000,
    };

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
        assert_eq!(window.events, [(500, 1), (1000, 1)]);
        assert_eq!(window.record(10_000, 1, LIMIT), None);
        assert_eq!(window.events, [(10_000, 1)]);
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
        assert_eq!(window.events, [(1001, 1), (2000, 2)]);
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
        assert_eq!(window.events, [(5, 3), (6, 1), (7, 2)]);
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
}
