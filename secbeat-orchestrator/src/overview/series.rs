//! The last five minutes in steps.

use std::collections::{HashMap, VecDeque};

use crate::view::Series;

/// Length of a step.
pub(super) const STEP_MS: i64 = 2_000;
/// Steps that are kept.
const STEPS: usize = 150;
/// Steps in a minute.
const MINUTE: usize = 30;

/// Counters as they stand: they only grow, unless the one who counts started again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub requests: u64,
    pub errors: u64,
    pub bans: u64,
    pub lifted: u64,
    /// Packets that each edge dropped, and requests that it reported.
    pub edges: HashMap<String, (u64, u64)>,
}

/// What came in one step.
#[derive(Clone, Debug, Default)]
struct Step {
    requests: u64,
    errors: u64,
    bans: u64,
    lifted: u64,
    dropped: u64,
    edges: HashMap<String, (u64, u64)>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Steps {
    steps: VecDeque<Step>,
    /// What was counted when the last step ended, and when that was.
    last: Option<(Counters, i64)>,
}

impl Steps {
    /// Takes in what is counted at `now_ms`; a step ends if its time has come.
    pub(super) fn take(&mut self, counters: Counters, now_ms: i64) {
        let Some((before, ended_ms)) = &mut self.last else {
            self.last = Some((counters, now_ms));
            return;
        };
        let passed = (now_ms - *ended_ms).div_euclid(STEP_MS);
        // A clock that was set begins a series of its own.
        if passed < 0 || passed > STEPS as i64 {
            self.steps.clear();
            self.last = Some((counters, now_ms));
            return;
        }
        if passed == 0 {
            return;
        }
        let grown = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
        let edges = counters.edges.iter().filter_map(|(edge, now)| {
            // An edge that was not there before brings what it counted until now.
            let before = before.edges.get(edge)?;
            let grown = (grown(now.0, before.0), grown(now.1, before.1));
            (grown != (0, 0)).then(|| (edge.clone(), grown))
        });
        let edges: HashMap<_, _> = edges.collect();
        let step = Step {
            requests: grown(counters.requests, before.requests),
            errors: grown(counters.errors, before.errors),
            bans: grown(counters.bans, before.bans),
            lifted: grown(counters.lifted, before.lifted),
            dropped: edges.values().map(|(dropped, _)| dropped).sum(),
            edges,
        };
        // Nobody looked in between: all of it is the last step's.
        self.steps.extend((1..passed).map(|_| Step::default()));
        self.steps.push_back(step);
        let over = self.steps.len().saturating_sub(STEPS);
        self.steps.drain(..over);
        *ended_ms += passed * STEP_MS;
        *before = counters;
    }

    /// The whole, to its end.
    pub(super) fn series(&self) -> Series {
        let of = |count: fn(&Step) -> u64| {
            let missing = STEPS - self.steps.len();
            std::iter::repeat_n(0, missing)
                .chain(self.steps.iter().map(count))
                .collect()
        };
        Series {
            step_ms: STEP_MS.unsigned_abs(),
            end_ms: self.last.as_ref().map_or(0, |(_, ended_ms)| *ended_ms),
            requests: of(|step| step.requests),
            errors: of(|step| step.errors),
            bans: of(|step| step.bans),
            lifted: of(|step| step.lifted),
            dropped: of(|step| step.dropped),
        }
    }

    /// Packets that `edge` dropped, and requests that it reported, within the last minute.
    pub(super) fn last_minute(&self, edge: &str) -> (u64, u64) {
        let steps = self.steps.iter().rev().take(MINUTE);
        let of_edge = steps.filter_map(|step| step.edges.get(edge));
        of_edge.fold((0, 0), |sum, step| (sum.0 + step.0, sum.1 + step.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(requests: u64, dropped: u64) -> Counters {
        Counters {
            requests,
            edges: HashMap::from([("web-1".to_owned(), (dropped, requests))]),
            ..Counters::default()
        }
    }

    #[test]
    fn steps_hold_what_came_in_them() {
        let mut steps = Steps::default();
        steps.take(counters(100, 7), 0);
        steps.take(counters(110, 9), STEP_MS);
        steps.take(counters(111, 9), STEP_MS + 1);
        steps.take(counters(115, 12), 4 * STEP_MS);
        // The daemon of the edge, and this one's count of it, started again.
        steps.take(counters(3, 1), 5 * STEP_MS);
        let series = steps.series();
        assert_eq!(series.end_ms, 5 * STEP_MS);
        assert_eq!(series.requests.len(), STEPS);
        assert_eq!(series.requests[STEPS - 5..], [10, 0, 0, 5, 3]);
        assert_eq!(series.dropped[STEPS - 5..], [2, 0, 0, 3, 1]);
        assert_eq!(steps.last_minute("web-1"), (6, 18));
        assert_eq!(steps.last_minute("web-2"), (0, 0));
        for n in 0..2 * STEPS as i64 {
            steps.take(counters(3, 1), (6 + n) * STEP_MS);
        }
        assert_eq!(steps.series().requests, [0; STEPS]);
        steps.take(counters(9, 1), 0);
        assert_eq!(steps.series().end_ms, 0, "the clock was set");
    }
}
