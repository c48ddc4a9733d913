//! Estimate of another clock by round trips: a pure core.

use std::collections::VecDeque;

/// Round trips of which the shortest counts.
const WINDOW: usize = 12;
/// How far apart two clocks may drift within the window, in microseconds: 500 ppm over a minute.
const DRIFT_US: i64 = 30_000;

/// One round trip, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// By this host's boot clock.
    pub sent_us: i64,
    /// By this host's boot clock.
    pub received_us: i64,
    /// What the server's clock said in between, since the Unix epoch.
    pub server_us: i64,
}

/// What is known of the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// The server's clock less this host's boot clock, in microseconds.
    pub difference_us: i64,
    /// By so much at most it is wrong, in microseconds.
    pub error_us: u64,
}

/// The latest round trips.
#[derive(Debug, Default)]
pub struct Estimator {
    samples: VecDeque<Measure>,
}

impl From<Sample> for Measure {
    fn from(sample: Sample) -> Self {
        let took_us = sample.received_us.saturating_sub(sample.sent_us).max(0);
        let middle_us = sample.sent_us.saturating_add(took_us / 2);
        Self {
            difference_us: sample.server_us.saturating_sub(middle_us),
            error_us: took_us.unsigned_abs().div_ceil(2),
        }
    }
}

impl Measure {
    /// Whether one and the same clock may have been measured.
    fn may_be_as(self, other: Self) -> bool {
        let apart = self.difference_us.abs_diff(other.difference_us);
        apart
            <= self
                .error_us
                .saturating_add(other.error_us)
                .saturating_add(DRIFT_US.unsigned_abs())
    }
}

impl Estimator {
    /// Takes one more round trip in, and returns what is known now. One that contradicts those before it voids them: the
    /// server's clock was set, or it is another server.
    pub fn add(&mut self, sample: Sample) -> Measure {
        let latest = Measure::from(sample);
        if self.best().is_some_and(|best| !best.may_be_as(latest)) {
            self.samples.clear();
        }
        self.samples.truncate(WINDOW - 1);
        self.samples.push_front(latest);
        self.best().unwrap_or(latest)
    }

    /// The shortest of the latest round trips; `None` before the first.
    #[must_use]
    pub fn best(&self) -> Option<Measure> {
        self.samples
            .iter()
            .min_by_key(|measure| measure.error_us)
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server's clock less the boot clock.
    const AHEAD: i64 = 1_795_168_800_000_000;

    /// A request that took `there` to the server, and whose answer took `back`.
    fn sample(sent_us: i64, there: i64, back: i64, ahead: i64) -> Sample {
        Sample {
            sent_us,
            received_us: sent_us + there + back,
            server_us: sent_us + there + ahead,
        }
    }

    #[test]
    fn an_even_round_trip_tells_the_difference() {
        let measure = Estimator::default().add(sample(5_000_000, 400, 400, AHEAD));
        assert_eq!(
            measure,
            Measure {
                difference_us: AHEAD,
                error_us: 400
            }
        );
    }

    #[test]
    fn whatever_way_is_longer_the_error_is_at_most_half_of_the_round_trip() {
        for (there, back) in [(0, 80_000), (80_000, 0), (1_000, 300_001), (7, 0), (0, 0)] {
            let measure = Measure::from(sample(5_000_000, there, back, AHEAD));
            let off = measure.difference_us.abs_diff(AHEAD);
            assert!(
                off <= measure.error_us,
                "{there} {back}: off by {off}, {measure:?}"
            );
            assert_eq!(measure.error_us, (there + back).unsigned_abs().div_ceil(2));
        }
    }

    #[test]
    fn of_the_latest_round_trips_the_shortest_counts() {
        let mut estimator = Estimator::default();
        assert_eq!(estimator.best(), None);
        estimator.add(sample(0, 90_000, 10_000, AHEAD));
        let short = estimator.add(sample(1_000_000, 200, 200, AHEAD));
        assert_eq!(short.error_us, 200);
        for n in 2..=12 {
            let measure = estimator.add(sample(n * 1_000_000, 3_000, 1_000, AHEAD));
            assert_eq!(measure, short, "round trip {n}");
        }
        let measure = estimator.add(sample(13_000_000, 3_000, 1_000, AHEAD));
        assert_eq!(measure.error_us, 2_000, "the short one was too long ago");
    }

    #[test]
    fn a_server_whose_clock_was_set_is_believed_at_once() {
        for step in [-600_000_000, 600_000_000, 100_000] {
            let mut estimator = Estimator::default();
            estimator.add(sample(0, 200, 200, AHEAD));
            let measure = estimator.add(sample(1_000_000, 20_000, 20_000, AHEAD + step));
            assert_eq!(measure.difference_us, AHEAD + step);
            let measure = estimator.add(sample(2_000_000, 2_000, 2_000, AHEAD + step));
            assert_eq!((measure.difference_us, measure.error_us), (AHEAD + step, 2_000));
        }
    }

    #[test]
    fn a_slow_answer_alone_is_no_step() {
        let mut estimator = Estimator::default();
        let first = estimator.add(sample(0, 200, 200, AHEAD));
        assert_eq!(estimator.add(sample(1_000_000, 1_900_000, 0, AHEAD)), first);
    }
}
