//! The outage guard: a backend outage must not ban its visitors.

use std::{
    collections::HashMap,
    ops::{AddAssign, Sub},
};

use ahash::RandomState;
use hashlink::LinkedHashMap;
use secbeat_common::prefix::Prefix;

use super::{Sighting, Tally, UpstreamId, upstreams::MAX_UPSTREAMS};

/// Seconds that the guard remembers, one bucket each.
const SECONDS: i64 = 10;
/// Sources whose share of a bucket is known.
const MAX_SHARES: usize = 512;

/// Answers, and how many of them were 5xx.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    total: u64,
    server_errors: u64,
}

impl Share {
    const fn good(self) -> u64 {
        self.total - self.server_errors
    }
}

impl From<Tally> for Share {
    fn from(
        Tally {
            requests,
            server_errors,
        }: Tally,
    ) -> Self {
        // A tally with more 5xx than requests is a broken edge's: believe the smaller number.
        Self {
            total: u64::from(requests),
            server_errors: u64::from(server_errors.min(requests)),
        }
    }
}

impl AddAssign for Share {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.server_errors += other.server_errors;
    }
}

impl Sub for Share {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            total: self.total - other.total,
            server_errors: self.server_errors - other.server_errors,
        }
    }
}

/// One second of one upstream.
#[derive(Debug)]
struct Bucket {
    /// Unix time in seconds.
    second: i64,
    all: Share,
    shares: HashMap<Prefix, Share, RandomState>,
    /// Part of `all` that came after `shares` was full, from sources not in it.
    unshared: Share,
}

impl Bucket {
    fn new(second: i64) -> Self {
        Self {
            second,
            all: Share::default(),
            shares: HashMap::default(),
            unshared: Share::default(),
        }
    }

    fn record(&mut self, source: Prefix, share: Share, max_shares: usize) {
        self.all += share;
        if let Some(own) = self.shares.get_mut(&source) {
            *own += share;
        } else if self.shares.len() < max_shares {
            self.shares.insert(source, share);
        } else {
            self.unshared += share;
        }
    }

    /// Answers to sources other than `source`. Where its share is not known, all good unshared answers are taken to
    /// be its own: that shows the upstream at its worst, and so errs towards not banning.
    fn others(&self, source: &Prefix) -> Share {
        match self.shares.get(source) {
            Some(own) => self.all - *own,
            None => {
                self.all
                    - Share {
                        total: self.unshared.good(),
                        server_errors: 0,
                    }
            }
        }
    }
}

#[derive(Debug)]
struct Upstream {
    /// Latest second seen.
    latest: i64,
    buckets: [Bucket; SECONDS as usize],
}

impl Upstream {
    fn new(second: i64) -> Self {
        Self {
            latest: second,
            buckets: std::array::from_fn(|_| Bucket::new(i64::MIN)),
        }
    }

    fn record(&mut self, second: i64, source: Prefix, share: Share, max_shares: usize) {
        if second <= self.latest.saturating_sub(SECONDS) {
            return;
        }
        self.latest = self.latest.max(second);
        let bucket = &mut self.buckets[second.rem_euclid(SECONDS) as usize];
        if bucket.second != second {
            *bucket = Bucket::new(second);
        }
        bucket.record(source, share, max_shares);
    }

    fn others(&self, second: i64, source: &Prefix) -> Share {
        let start = self.latest.max(second).saturating_sub(SECONDS);
        let mut sum = Share::default();
        for bucket in self.buckets.iter().filter(|bucket| bucket.second > start) {
            sum += bucket.others(source);
        }
        sum
    }
}

/// Knows how each upstream lately answered whom.
///
/// "Lately" is the latest second seen of that upstream, or the second of the event in question if later, and the nine
/// before it. Memory is bounded: 1024 upstreams (past that the one not seen longest is forgotten), and 512 sources for
/// each second of an upstream, past which other sources' shares are estimated towards not banning.
#[derive(Debug)]
pub(super) struct OutageGuard {
    upstreams: LinkedHashMap<UpstreamId, Upstream, RandomState>,
    max_upstreams: usize,
    max_shares: usize,
}

impl Default for OutageGuard {
    fn default() -> Self {
        Self {
            upstreams: LinkedHashMap::default(),
            max_upstreams: MAX_UPSTREAMS,
            max_shares: MAX_SHARES,
        }
    }
}

impl OutageGuard {
    /// Notes answers; those ten or more seconds older than the upstream's latest are ignored.
    pub(super) fn record(&mut self, sighting: Sighting, tally: Tally) {
        let Sighting {
            source,
            at_ms,
            upstream,
            ..
        } = sighting;
        let second = at_ms.div_euclid(1000);
        if let Some(known) = self.upstreams.to_back(&upstream) {
            known.record(second, source, tally.into(), self.max_shares);
            return;
        }
        if self.upstreams.len() >= self.max_upstreams {
            self.upstreams.pop_front();
        }
        let mut new = Upstream::new(second);
        new.record(second, source, tally.into(), self.max_shares);
        self.upstreams.insert(upstream, new);
    }

    /// Whether a 5xx counts against the source that got it: the upstream answered other sources, and under half of
    /// them with a 5xx.
    pub(super) fn blames(
        &self,
        Sighting {
            source,
            at_ms,
            upstream,
            ..
        }: Sighting,
    ) -> bool {
        let Some(upstream) = self.upstreams.get(&upstream) else {
            return false;
        };
        let others = upstream.others(at_ms.div_euclid(1000), &source);
        // `2 × 0 < total` wants at least one answer to somebody else, too.
        2 * others.server_errors < others.total
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secbeat_common::wire::LearnedFrom;

    use super::*;

    fn sighting(source: u8, at_ms: i64) -> Sighting {
        let source = Prefix::single([203, 0, 113, source].into());
        Sighting {
            source,
            at_ms,
            upstream: UpstreamId(0),
            learned_from: LearnedFrom::Peer,
        }
    }

    const fn tally(requests: u32, server_errors: u32) -> Tally {
        Tally {
            requests,
            server_errors,
        }
    }

    #[test]
    fn nobody_is_blamed_when_nobody_else_was_served() {
        let mut guard = OutageGuard::default();
        assert!(!guard.blames(sighting(1, 0)));
        guard.record(sighting(1, 0), tally(100, 1));
        assert!(
            !guard.blames(sighting(1, 0)),
            "its own good answers prove nothing"
        );
        assert!(guard.blames(sighting(2, 0)));
    }

    #[test]
    fn an_upstream_that_fails_half_of_the_others_is_out() {
        let mut guard = OutageGuard::default();
        guard.record(sighting(2, 0), tally(4, 2));
        assert!(!guard.blames(sighting(1, 0)), "2 of 4");
        guard.record(sighting(3, 0), tally(1, 0));
        assert!(guard.blames(sighting(1, 0)), "2 of 5");
        let elsewhere = Sighting {
            upstream: UpstreamId(1),
            ..sighting(1, 0)
        };
        assert!(!guard.blames(elsewhere), "nothing is known of that upstream");
    }

    #[test]
    fn a_source_cannot_fake_an_outage() {
        let mut guard = OutageGuard::default();
        guard.record(sighting(1, 0), tally(100_000, 100_000));
        guard.record(sighting(2, 0), tally(1, 0));
        assert!(guard.blames(sighting(1, 0)));
        assert!(!guard.blames(sighting(2, 0)));
    }

    #[test]
    fn only_the_last_ten_seconds_count() {
        let mut guard = OutageGuard::default();
        guard.record(sighting(2, 500), tally(1, 0));
        assert!(guard.blames(sighting(1, 9_999)));
        assert!(
            !guard.blames(sighting(1, 10_000)),
            "second 0 is out of the ten seconds 1–10"
        );
        guard.record(sighting(2, 10_000), tally(3, 3));
        guard.record(sighting(2, 999), tally(100, 0));
        assert!(!guard.blames(sighting(1, 10_000)), "too late to count");
        guard.record(sighting(2, 1_000), tally(100, 0));
        assert!(guard.blames(sighting(1, 10_000)), "late, but in time");
    }

    #[test]
    fn shares_past_the_bound_err_towards_not_banning() {
        let mut guard = OutageGuard {
            max_shares: 1,
            ..OutageGuard::default()
        };
        guard.record(sighting(2, 0), tally(2, 1));
        guard.record(sighting(1, 0), tally(5, 0));
        assert!(
            !guard.blames(sighting(1, 0)),
            "its unknown share may be all that was good"
        );
        guard.record(sighting(2, 0), tally(1, 0));
        assert!(guard.blames(sighting(1, 0)), "1 of 3 of a known source");
        assert!(
            guard.blames(sighting(2, 0)),
            "a known share stays exact: the others got 5 good answers"
        );
        assert_eq!(guard.upstreams[&UpstreamId(0)].buckets[0].shares.len(), 1);
    }

    #[test]
    fn upstreams_past_the_bound_are_forgotten_oldest_first() {
        let mut guard = OutageGuard {
            max_upstreams: 2,
            ..OutageGuard::default()
        };
        for upstream in [0, 1, 0, 2] {
            guard.record(
                Sighting {
                    upstream: UpstreamId(upstream),
                    ..sighting(2, 0)
                },
                tally(1, 0),
            );
        }
        let blames = |n| {
            guard.blames(Sighting {
                upstream: UpstreamId(n),
                ..sighting(1, 0)
            })
        };
        assert_eq!([0, 1, 2].map(blames), [true, false, true]);
    }

    proptest! {
        #[test]
        fn the_guard_equals_one_that_keeps_every_answer(
            answers in prop::collection::vec((0..4u8, -5_000..40_000i64, 0..4u32, 0..4u32), 1..80),
        ) {
            let mut guard = OutageGuard::default();
            let mut all: Vec<(u8, i64, Share)> = Vec::new();
            for (source, at_ms, requests, server_errors) in answers {
                guard.record(sighting(source, at_ms), tally(requests, server_errors));
                all.push((source, at_ms.div_euclid(1000), tally(requests, server_errors).into()));
                let latest = all.iter().map(|answer| answer.1).max().unwrap();
                let mut others = Share::default();
                for (_, _, share) in all.iter().filter(|a| a.0 != source && a.1 > latest - 10) {
                    others += *share;
                }
                let expected = others.total >= 1 && 2 * others.server_errors < others.total;
                prop_assert_eq!(guard.blames(sighting(source, at_ms)), expected, "{:?} of {:?}", others, all);
            }
        }
    }
}
