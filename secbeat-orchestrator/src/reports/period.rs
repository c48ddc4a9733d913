//! Periods that reports are about, in hours and days of UTC.

use std::{str::FromStr, time::Duration};

use secbeat_daemon::{config::HumanDuration, time::rfc3339};

use crate::millis;

/// How long rows of an hour are kept.
const HOURS: Duration = Duration::from_secs(31 * 24 * 3600);
/// How long rows of a day are kept.
const DAYS: Duration = Duration::from_secs(400 * 24 * 3600);
/// Up to this long, a report goes hour by hour.
const BY_HOURS: Duration = Duration::from_secs(7 * 24 * 3600);

/// Length of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Hour,
    Day,
}

impl Step {
    const fn ms(self) -> i64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Day => 24 * 3_600_000,
        }
    }

    /// The word that people read.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Returns when the row began that holds `at_ms`.
    pub(super) const fn of(self, at_ms: i64) -> i64 {
        at_ms.div_euclid(self.ms()) * self.ms()
    }

    /// The key of the row that begins at `at_ms`.
    pub(super) fn key(self, at_ms: i64) -> String {
        let at = rfc3339(at_ms);
        let length = match self {
            Self::Hour => "2026-11-29T14".len(),
            Self::Day => "2026-11-29".len(),
        };
        format!("{}.{}", self.name(), at.get(..length).unwrap_or(&at))
    }

    /// Returns how long it is kept.
    pub(super) const fn kept(self) -> Duration {
        match self {
            Self::Hour => HOURS,
            Self::Day => DAYS,
        }
    }
}

/// Which time a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub step: Step,
    /// From this time on, milliseconds since the Unix epoch.
    pub from_ms: i64,
    /// To this time.
    pub until_ms: i64,
}

/// How long that is: `day`, `week`, `month` (30 days), `year` (365 days), or a duration such as `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length(Duration);

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        let length = match text {
            "day" => days(1),
            "week" => days(7),
            "month" => days(30),
            "year" => days(365),
            text => match text.parse::<HumanDuration>() {
                Ok(HumanDuration(duration)) => duration,
                Err(_) => {
                    return Err(format!(
                        "invalid period `{text}`: expected day, week, month, year, or a duration such as 7d"
                    ));
                }
            },
        };
        match length {
            length if length < Duration::from_secs(3600) => {
                Err("a report is about an hour at least".to_owned())
            }
            length if length > DAYS => {
                Err("rows are kept for 400 days: a report is about no longer time".to_owned())
            }
            length => Ok(Self(length)),
        }
    }
}

impl Period {
    /// The last so long before `now_ms`, from the beginning of the row on in which that begins: rows cannot be split.
    pub(crate) fn before(now_ms: i64, Length(length): Length) -> Self {
        let step = if length <= BY_HOURS { Step::Hour } else { Step::Day };
        Self {
            step,
            from_ms: step.of(now_ms - millis(length)),
            until_ms: now_ms,
        }
    }

    /// Returns when its rows begin.
    pub(super) fn steps(&self) -> Vec<i64> {
        let length = usize::try_from(self.step.ms()).unwrap_or(usize::MAX);
        (self.from_ms..=self.until_ms).step_by(length).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-20T10:00:00Z.
    const NOW: i64 = 1_795_168_800_000;

    fn rows(text: &str) -> (Step, usize) {
        let period = Period::before(NOW + 1, text.parse().unwrap());
        (period.step, period.steps().len())
    }

    #[test]
    fn a_period_has_all_rows_of_its_time() {
        for (text, expected) in [
            ("day", (Step::Hour, 25)),
            ("24h", (Step::Hour, 25)),
            ("week", (Step::Hour, 169)),
            ("8d", (Step::Day, 9)),
            ("month", (Step::Day, 31)),
            ("year", (Step::Day, 366)),
            ("1h", (Step::Hour, 2)),
            ("90m", (Step::Hour, 3)),
        ] {
            assert_eq!(rows(text), expected, "{text}");
        }
        // Of 36 s past an hour, the hour before is a part.
        let period = Period::before(NOW + 36_000, "1h".parse().unwrap());
        assert_eq!(period.from_ms, NOW - 3_600_000);
        for wrong in ["", "soon", "1m", "500d"] {
            assert!(wrong.parse::<Length>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn rows_have_keys_of_their_time() {
        assert_eq!(Step::Hour.key(NOW), "hour.2026-11-20T10");
        assert_eq!(Step::Day.key(Step::Day.of(NOW)), "day.2026-11-20");
    }
}
