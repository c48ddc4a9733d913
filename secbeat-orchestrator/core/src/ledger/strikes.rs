//! Repeat offences, and how much longer they make the next ban.

use std::{hash::RandomState, time::Duration};

use hashlink::LinkedHashMap;
use secbeat_common::prefix::Prefix;

use crate::millis;

/// The end of a target's last ban.
#[derive(Clone, Copy, Debug)]
struct Past {
    ended_at_ms: i64,
    /// Bans that counted when it ended, itself included.
    bans: u32,
}

/// Ended bans, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    ended: LinkedHashMap<Prefix, Past, RandomState>,
}

impl History {
    /// Notes that a ban of `target` that had `strikes` earlier ones ended. Past `max` targets the oldest is forgotten.
    pub(super) fn ended(&mut self, target: Prefix, ended_at_ms: i64, strikes: u32, max: usize) {
        let past = Past {
            ended_at_ms,
            bans: strikes.saturating_add(1),
        };
        match self.ended.get(&target) {
            Some(known) if known.ended_at_ms > ended_at_ms => return,
            Some(_) | None => self.ended.remove(&target),
        };
        self.ended.insert(target, past);
        while self.ended.len() > max {
            self.ended.pop_front();
        }
    }

    /// `target` has no strikes any more.
    pub(super) fn forget(&mut self, target: &Prefix) {
        self.ended.remove(target);
    }

    /// Strikes of `target` at `now_ms`: as many as its bans when the last one ended, less one for each `memory` that
    /// passed since, the first of which is over once more than `memory` has passed.
    pub(super) fn strikes(&self, target: &Prefix, now_ms: i64, memory: Duration) -> u32 {
        let Some(past) = self.ended.get(target) else {
            return 0;
        };
        let gap = now_ms.saturating_sub(past.ended_at_ms).max(0);
        let decayed = (gap - 1).max(0) / millis(memory).max(1);
        past.bans
            .saturating_sub(u32::try_from(decayed).unwrap_or(u32::MAX))
    }

    /// Forgets the oldest targets for as long as they have no strike left.
    pub(super) fn prune(&mut self, now_ms: i64, memory: Duration) {
        while let Some((&target, _)) = self.ended.front() {
            if self.strikes(&target, now_ms, memory) > 0 {
                break;
            }
            self.ended.pop_front();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ended.len()
    }
}

/// `ban` × `factor` to the power of `strikes`, at most `max` (but never under `ban`).
pub(super) fn duration(ban: Duration, factor: u32, strikes: u32, max: Duration) -> Duration {
    let longer = factor
        .max(1)
        .checked_pow(strikes)
        .and_then(|times| ban.checked_mul(times));
    longer.unwrap_or(Duration::MAX).min(max.max(ban))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Duration = Duration::from_secs(24 * 3600);
    const DAY: i64 = 24 * 3_600_000;

    fn target(n: u8) -> Prefix {
        Prefix::single([203, 0, 113, n].into())
    }

    #[test]
    fn strikes_decay_one_by_one() {
        let mut history = History::default();
        history.ended(target(1), 1000, 2, 10);
        let strikes = |now| history.strikes(&target(1), now, MEMORY);
        assert_eq!([0, 1000, 1000 + DAY].map(strikes), [3, 3, 3]);
        assert_eq!([1001 + DAY, 1000 + 2 * DAY].map(strikes), [2, 2]);
        assert_eq!([1001 + 2 * DAY, 1000 + 3 * DAY].map(strikes), [1, 1]);
        assert_eq!([1001 + 3 * DAY, i64::MAX].map(strikes), [0, 0]);
        assert_eq!(history.strikes(&target(2), 0, MEMORY), 0);
    }

    #[test]
    fn bans_double_up_to_the_longest() {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        let ban = |strikes| duration(minutes(5), 2, strikes, MEMORY);
        assert_eq!([0, 1, 2, 8].map(ban), [5, 10, 20, 1280].map(minutes));
        assert_eq!([9, 40, u32::MAX].map(ban), [MEMORY; 3]);
        assert_eq!(
            duration(minutes(5), 2, 0, minutes(1)),
            minutes(5),
            "the first ban is as configured"
        );
        assert_eq!(duration(minutes(5), 0, 3, MEMORY), minutes(5));
    }

    #[test]
    fn the_oldest_go_at_the_bound_and_once_decayed() {
        let mut history = History::default();
        for n in 1..=4 {
            history.ended(target(n), i64::from(n), 0, 3);
        }
        assert_eq!(
            [1, 2, 3, 4].map(|n| history.strikes(&target(n), 5, MEMORY)),
            [0, 1, 1, 1]
        );
        history.prune(4 + DAY, MEMORY);
        assert_eq!(history.len(), 1);
    }

    #[test]
    fn an_older_record_does_not_replace_a_newer_one() {
        let mut history = History::default();
        history.ended(target(1), 2000, 4, 10);
        history.ended(target(1), 1000, 0, 10);
        assert_eq!(history.strikes(&target(1), 2000, MEMORY), 5);
    }
}
