//! The time from a decision into one edge's kernel.

use hdrhistogram::Histogram;

/// Longest time that is told from longer ones, in milliseconds.
const LONGEST_MS: u64 = 3_600_000;
/// Decimal digits that are kept of a time.
const DIGITS: u8 = 2;

/// By whose clock a time was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measured {
    /// The edge said when, and that can be.
    ByEdge,
    /// The edge's clock must be off: the time until its answer came, which is a little longer.
    ByReceipt,
}

/// Returns how long a command issued at `issued_at_ms` (this host's or another orchestrator's clock) took to an edge that had it
/// at `at_ms` by its own clock and said so at `received_ms`. An effect lies between its cause and the news of it.
pub(super) fn of(issued_at_ms: i64, at_ms: i64, received_ms: i64) -> (u64, Measured) {
    let after = |ms: i64| u64::try_from(ms.saturating_sub(issued_at_ms)).unwrap_or(0);
    if (issued_at_ms..=received_ms).contains(&at_ms) {
        (after(at_ms), Measured::ByEdge)
    } else {
        (after(received_ms), Measured::ByReceipt)
    }
}

/// The times of one edge, since this process started, in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// Made with the first time.
    times: Option<Histogram<u32>>,
    last: Option<Last>,
    clock_off: u64,
    refused: u64,
    failed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    after_ms: u64,
    at_ms: i64,
}

/// A summary of times in milliseconds, exact to two digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    pub count: u64,
    pub p50: u64,
    pub p95: u64,
    pub p99: u64,
    pub max: u64,
}

impl Latencies {
    pub(super) fn record(&mut self, after_ms: u64, measured: Measured, received_ms: i64) {
        self.last = Some(Last {
            after_ms,
            at_ms: received_ms,
        });
        self.clock_off += u64::from(measured == Measured::ByReceipt);
        if self.times.is_none() {
            self.times = Histogram::new_with_bounds(1, LONGEST_MS, DIGITS).ok();
        }
        if let Some(times) = &mut self.times {
            times.saturating_record(after_ms);
        }
    }

    pub(super) fn refuse(&mut self) {
        self.refused += 1;
    }

    pub(super) fn fail(&mut self) {
        self.failed += 1;
    }

    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        let Some(times) = &self.times else {
            return Percentiles::default();
        };
        let at = |quantile: f64| times.value_at_quantile(quantile).min(times.max());
        Percentiles {
            count: times.len(),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: times.max(),
        }
    }

    /// Returns how many times are at most as long as each of `bounds` and longer than the one before; the longer ones come last.
    #[must_use]
    pub fn spread<const BOUNDS: usize, const BARS: usize>(&self, bounds: &[u64; BOUNDS]) -> [u64; BARS] {
        let mut bars = [0; BARS];
        let Some(times) = &self.times else { return bars };
        for value in times.iter_recorded() {
            let least = times.lowest_equivalent(value.value_iterated_to());
            let bar = bounds.partition_point(|bound| *bound < least);
            if let Some(bar) = bars.get_mut(bar) {
                *bar += value.count_since_last_iteration();
            }
        }
        bars
    }

    /// The last time, and when it was received (milliseconds since the Unix epoch).
    #[must_use]
    pub fn last(&self) -> Option<(u64, i64)> {
        self.last.map(|last| (last.after_ms, last.at_ms))
    }

    /// Times that were measured by the receipt of the answer, since the edge's own word could not be.
    #[must_use]
    pub fn clock_off(&self) -> u64 {
        self.clock_off
    }

    /// Commands that the edge will not enforce.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Commands that its kernel did not take at first.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }
}
