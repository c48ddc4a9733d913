//! Whether the last lines of a source are plausible: their times, and whether they are understood at all.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

/// Lines whose median delay is looked at.
const LINES: usize = 20;
/// Beyond this, in either direction, detection does not work.
const OFF: Duration = Duration::from_mins(15);
/// Time zones are whole quarters of an hour apart.
const QUARTER_S: i64 = 15 * 60;
/// Hours from UTC of the first and the last time zone there is.
const ZONES: std::ops::RangeInclusive<i64> = -12 * 3600..=14 * 3600;

/// How late the last lines are by their own times, read when they were written.
#[derive(Debug)]
pub(super) struct Delays {
    /// Of times that are logged without one; `None` if nobody can state it.
    zone: Option<TimeZone>,
    last_ms: Vec<i64>,
}

/// What the times of [`LINES`] lines say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delay {
    pub(super) median_ms: i64,
    /// The reason why the times cannot be right, for people; `None` if they can.
    pub(super) doubt: Option<String>,
}

impl Delays {
    pub(super) fn new(zone: Option<TimeZone>) -> Self {
        Self {
            zone,
            last_ms: Vec::with_capacity(LINES),
        }
    }

    /// Takes note of a line from `at_ms` that was read at `now_ms`, both in milliseconds since the Unix epoch. Says what
    /// the last lines have in common once there are enough new ones.
    pub(super) fn add(&mut self, at_ms: i64, now_ms: i64) -> Option<Delay> {
        self.last_ms.push(now_ms.saturating_sub(at_ms));
        if self.last_ms.len() < LINES {
            return None;
        }
        self.last_ms.sort_unstable();
        let (first, median, last) = (self.last_ms[0], self.last_ms[LINES / 2], self.last_ms[LINES - 1]);
        self.last_ms.clear();
        let off_ms = OFF.as_millis() as u64;
        let doubt = (median.unsigned_abs() > off_ms).then(|| {
            let is_steady = last.abs_diff(first) < off_ms;
            self.doubt(median, is_steady, now_ms)
        });
        Some(Delay {
            median_ms: median,
            doubt,
        })
    }

    fn doubt(&self, median_ms: i64, is_steady: bool, now_ms: i64) -> String {
        let minutes = median_ms.unsigned_abs() / 60_000;
        let direction = if median_ms > 0 { "behind" } else { "ahead of" };
        let found = format!(
            "the times of its lines are {} h {} min {direction} the clock",
            minutes / 60,
            minutes % 60
        );
        let likely = if is_steady {
            self.likely_zone(median_ms, now_ms)
        } else {
            None
        };
        match likely {
            Some(zone) => format!(
                "{found}: if the server logs local time without a zone, set time_zone = \"{zone}\", or the name of that zone; \
                 otherwise, compare the clocks"
            ),
            None => format!("{found}: compare the clocks, or find out why its lines come late"),
        }
    }

    /// The zone in which the times would be right, as a config has it.
    fn likely_zone(&self, median_ms: i64, now_ms: i64) -> Option<String> {
        let now = Timestamp::from_millisecond(now_ms).ok()?;
        let taken_as = i64::from(self.zone.as_ref()?.to_offset(now).seconds());
        let delay_quarters = (median_ms as f64 / (1000 * QUARTER_S) as f64).round() as i64;
        let likely = taken_as - delay_quarters * QUARTER_S;
        let likely = Some(likely).filter(|likely| ZONES.contains(likely))?;
        let (sign, minutes) = (if likely < 0 { '-' } else { '+' }, likely.abs() / 60);
        Some(format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60))
    }
}

/// Lines of which the share that is not understood is looked at.
const WINDOW: u32 = 100;
/// The same for a source that has just begun.
const ENOUGH: u32 = 20;

/// Which of the last lines were understood.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcomes {
    /// One bit a line, 1 if it was not understood.
    bits: u128,
    lines: u32,
    is_doubtful: bool,
}

impl Outcomes {
    /// Takes note of a line. Returns whether the source is doubtful from now on, if that is news.
    pub(super) fn add(&mut self, is_understood: bool) -> Option<bool> {
        let window = u128::MAX >> (u128::BITS - WINDOW);
        self.bits = (self.bits << 1 | u128::from(!is_understood)) & window;
        self.lines = WINDOW.min(self.lines + 1);
        let bad = self.not_understood();
        // It is told again only after it was clearly better.
        let is_doubtful = if self.is_doubtful {
            bad * 4 >= self.lines
        } else {
            self.lines >= ENOUGH && bad * 2 >= self.lines
        };
        let is_news = is_doubtful != self.is_doubtful;
        self.is_doubtful = is_doubtful;
        is_news.then_some(is_doubtful)
    }

    pub(super) fn lines(self) -> u32 {
        self.lines
    }

    /// Returns how many of them were not understood.
    pub(super) fn not_understood(self) -> u32 {
        self.bits.count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Saturday, 2026-11-21T12:00:00Z
    const NOW_MS: i64 = 1_795_262_400_000;
    const MINUTE_MS: i64 = 60_000;

    /// Returns what twenty lines of these delays say, in turn.
    fn delay(zone: Option<&str>, minutes: &[i64]) -> Delay {
        let mut delays = Delays::new(zone.map(|zone| TimeZone::get(zone).unwrap()));
        let mut cycle = minutes.iter().cycle();
        for _ in 1..LINES {
            assert_eq!(
                delays.add(NOW_MS - cycle.next().unwrap() * MINUTE_MS, NOW_MS),
                None
            );
        }
        delays
            .add(NOW_MS - cycle.next().unwrap() * MINUTE_MS, NOW_MS)
            .unwrap()
    }

    #[test]
    fn times_that_are_hours_off_name_the_likely_zone() {
        for (zone, minutes, found, likely) in [
            ("UTC", 300, "5 h 0 min behind", "-05:00"),
            ("UTC", -120, "2 h 0 min ahead of", "+02:00"),
            // Nepal, with a clock that is two minutes late.
            ("UTC", -343, "5 h 43 min ahead of", "+05:45"),
            // Berlin is at +01 in November, and New York at -05.
            ("Europe/Berlin", 360, "6 h 0 min behind", "-05:00"),
        ] {
            let delay = delay(Some(zone), &[minutes]);
            assert_eq!(delay.median_ms, minutes * MINUTE_MS);
            assert_eq!(
                delay.doubt.unwrap(),
                format!(
                    "the times of its lines are {found} the clock: if the server logs local time without a zone, set \
                     time_zone = \"{likely}\", or the name of that zone; otherwise, compare the clocks"
                )
            );
        }
    }

    #[test]
    fn times_that_no_zone_explains_name_none() {
        for (zone, minutes) in [
            // Nobody can state it.
            (None, &[300][..]),
            // There is no such zone.
            (Some("UTC"), &[24 * 60]),
            // Lines come late, each in its own way.
            (Some("UTC"), &[20, 70, 130]),
        ] {
            let doubt = delay(zone, minutes).doubt.unwrap();
            assert!(
                doubt.ends_with("the clock: compare the clocks, or find out why its lines come late"),
                "{doubt}"
            );
        }
    }

    #[test]
    fn a_few_odd_times_are_nothing() {
        // Long downloads, and a server that writes its log every ten minutes.
        for minutes in [&[0, 0, 0, 300, 300][..], &[10], &[15], &[-15]] {
            assert_eq!(delay(Some("UTC"), minutes).doubt, None, "{minutes:?}");
        }
        assert!(delay(Some("UTC"), &[16]).doubt.is_some());
    }

    #[test]
    fn half_of_the_last_hundred_lines_make_a_source_doubtful_once() {
        let mut outcomes = Outcomes::default();
        let mut add = |understood: u32, not: u32| {
            let mut news = Vec::new();
            for n in 0..understood + not {
                news.extend(outcomes.add(n < understood));
            }
            (news, outcomes.lines(), outcomes.not_understood())
        };
        assert_eq!(add(10, 9), (vec![], 19, 9));
        assert_eq!(add(0, 1), (vec![true], 20, 10));
        assert_eq!(add(19, 0), (vec![], 39, 10));
        assert_eq!(add(2, 0), (vec![false], 41, 10));
        assert_eq!(add(100, 49), (vec![], 100, 49));
        assert_eq!(add(0, 2), (vec![true], 100, 51));
    }

    #[test]
    fn one_line_in_twenty_that_is_understood_hides_nothing() {
        let mut outcomes = Outcomes::default();
        let news: Vec<_> = (0..100).filter_map(|n| outcomes.add(n % 20 == 0)).collect();
        assert_eq!((news, outcomes.not_understood()), (vec![true], 95));
    }
}
