//! Number of sources that were seen lately.

/// Length of a period in bits of a time in milliseconds: 65.5 s, about the rules' usual window.
const PERIOD_BITS: u32 = 16;

/// Counts sources once in each period. The last period but one is forgotten.
#[derive(Debug, Default)]
pub(super) struct Recent {
    period: i64,
    current: usize,
    previous: usize,
}

impl Recent {
    /// A source's latest event time has moved on (both in milliseconds).
    pub(super) fn moved(&mut self, from_ms: i64, to_ms: i64) {
        let period = period(to_ms);
        if period <= self::period(from_ms) || period < self.period {
            return;
        }
        self.advance(period);
        self.current += 1;
    }

    /// Sources seen in the period of `now_ms` or in the one before, whichever had more: a period that has just begun says
    /// little.
    pub(super) fn count(&self, now_ms: i64) -> usize {
        match period(now_ms).saturating_sub(self.period) {
            ..=0 => self.current.max(self.previous),
            1 => self.current,
            _ => 0,
        }
    }

    const fn advance(&mut self, period: i64) {
        match period.saturating_sub(self.period) {
            0 => return,
            1 => self.previous = self.current,
            _ => self.previous = 0,
        }
        self.current = 0;
        self.period = period;
    }
}

const fn period(at_ms: i64) -> i64 {
    at_ms >> PERIOD_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: i64 = 1 << PERIOD_BITS;

    #[test]
    fn a_source_counts_once_in_a_period_and_periods_end() {
        let mut recent = Recent::default();
        let start = 100 * PERIOD;
        for n in 0..10 {
            recent.moved(i64::MIN, start + n);
            recent.moved(start + n, start + n + 1);
        }
        assert_eq!(recent.count(start + 20), 10);
        assert_eq!(recent.count(start + PERIOD), 10);
        assert_eq!(recent.count(start + 2 * PERIOD), 0, "nobody was seen since");
        recent.moved(start, start + PERIOD);
        assert_eq!(
            recent.count(start + PERIOD + 1),
            10,
            "the new period has just begun"
        );
        recent.moved(i64::MIN, start + 1);
        assert_eq!(recent.count(start + PERIOD + 1), 10, "too late to count");
        assert_eq!(recent.count(start + 2 * PERIOD), 1);
        recent.moved(start, start + 5 * PERIOD);
        assert_eq!(recent.count(start + 5 * PERIOD), 1);
    }
}
