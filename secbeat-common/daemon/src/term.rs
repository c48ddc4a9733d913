//! Length of a ban, as people write it.

use std::{fmt, str::FromStr, time::Duration};

use jiff::{Timestamp, Zoned, civil::DateTime, tz::TimeZone};
use secbeat_common::wire;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{
    config::{HumanDuration, MAX_DURATION},
    time::now_ms,
};

/// Time that a ban lasts: `4h`, or `permanent`. Read are also `3600` (seconds), and `forever` and `-1`, as fail2ban has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    For(Duration),
    Permanent,
}

/// The word for a ban without end.
const PERMANENT: &str = "permanent";
/// Others that are read for it.
const ALSO_PERMANENT: [&str; 3] = ["forever", "never", "-1"];

impl Term {
    /// The end of a ban that begins at `from_ms`, milliseconds since the Unix epoch.
    #[must_use]
    pub fn end(self, from_ms: i64) -> i64 {
        match self {
            Self::For(duration) => {
                from_ms.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Permanent => wire::PERMANENT,
        }
    }
}

impl From<HumanDuration> for Term {
    fn from(HumanDuration(duration): HumanDuration) -> Self {
        Self::For(duration)
    }
}

impl FromStr for Term {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == PERMANENT || ALSO_PERMANENT.contains(&text) {
            return Ok(Self::Permanent);
        }
        let is_bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let text = if is_bare { &format!("{text}s") } else { text };
        text.parse().map(|HumanDuration(duration)| Self::For(duration))
    }
}

/// Reads a term that has an end, for bans of a single host.
///
/// # Errors
///
/// Returns an error if it has none, or is not a term.
pub fn with_an_end(text: &str) -> Result<HumanDuration, String> {
    match text.parse()? {
        Term::For(duration) => Ok(HumanDuration(duration)),
        Term::Permanent => Err(
            "bans of a single host end; `secbeat-orchestrator ban` makes permanent ones on every edge"
                .to_owned(),
        ),
    }
}

/// Reads a time as people type it: `2026-12-01 10:00` by this host's clock, or with a zone.
///
/// # Errors
///
/// Returns an error if it is invalid.
pub fn time(text: &str) -> Result<Timestamp, String> {
    time_in(text, TimeZone::system())
}

fn time_in(text: &str, zone: TimeZone) -> Result<Timestamp, String> {
    // In this order: a time of a clock passes over the zone that is behind it.
    let with_zone = text.parse::<Timestamp>().ok();
    let with_zone = with_zone.or_else(|| Some(text.parse::<Zoned>().ok()?.timestamp()));
    let of_clock = || Some(text.parse::<DateTime>().ok()?.to_zoned(zone).ok()?.timestamp());
    with_zone.or_else(of_clock).ok_or_else(|| {
        format!(
            "invalid time `{text}`: expected one such as 2026-12-01T10:00 by this host's clock, or 2026-12-01T10:00:00Z"
        )
    })
}

/// Reads a time to come, and returns how long it is until then.
///
/// # Errors
///
/// Returns an error if it is not a [`time`], over, or too far away.
pub fn until(text: &str) -> Result<HumanDuration, String> {
    let left_ms = time(text)?.as_millisecond().saturating_sub(now_ms());
    match u64::try_from(left_ms).map(Duration::from_millis) {
        Ok(Duration::ZERO) | Err(_) => Err(format!("{text} is in the past")),
        Ok(left) if left > MAX_DURATION => Err(format!("`{text}` is over ten years away")),
        Ok(left) => Ok(HumanDuration(left)),
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(duration) => HumanDuration(*duration).fmt(f),
            Self::Permanent => f.write_str(PERMANENT),
        }
    }
}

impl Serialize for Term {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Term {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_a_duration_or_without_end() {
        let term: Term = "4h".parse().unwrap();
        assert_eq!(
            (term, term.end(5)),
            (Term::For(Duration::from_secs(14_400)), 14_400_005)
        );
        let permanent: Term = "permanent".parse().unwrap();
        assert_eq!((permanent, permanent.end(5)), (Term::Permanent, wire::PERMANENT));
        for term in ["4h", "permanent"] {
            assert_eq!(term.parse::<Term>().unwrap().to_string(), term);
        }
        for also in ["forever", "never", "-1"] {
            assert_eq!(also.parse(), Ok(Term::Permanent));
        }
        assert_eq!("3600".parse(), Ok(Term::For(Duration::from_secs(3600))));
        assert_eq!(with_an_end("90"), Ok(HumanDuration(Duration::from_secs(90))));
        assert!(
            with_an_end("permanent")
                .unwrap_err()
                .contains("secbeat-orchestrator ban")
        );
        for wrong in ["", "0", "-5", "999999999999"] {
            assert!(wrong.parse::<Term>().is_err(), "{wrong}");
        }
        assert!(
            "ever"
                .parse::<Term>()
                .unwrap_err()
                .starts_with("invalid duration `ever`")
        );
    }

    #[test]
    fn a_time_without_a_zone_is_this_hosts() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let utc = |text: &str| time_in(text, berlin.clone()).map(|time| time.to_string());
        for text in [
            "2026-12-01T10:00",
            "2026-12-01 10:00",
            "2026-12-01 10:00:00",
            "2026-12-01T10:00+01:00",
            "2026-12-01T09:00Z",
            "2026-12-01T14:30[Asia/Kolkata]",
        ] {
            assert_eq!(utc(text).as_deref(), Ok("2026-12-01T09:00:00Z"), "{text}");
        }
        assert_eq!(utc("2026-12-01").as_deref(), Ok("2026-11-30T23:00:00Z"));
        for wrong in [
            "",
            "soon",
            "10:00",
            "4h",
            "2026-13-01T10:00",
            "2026-12-01T10:00 tomorrow",
        ] {
            let error = utc(wrong).unwrap_err();
            assert!(error.starts_with(&format!("invalid time `{wrong}`")), "{error}");
        }
        let over = until("2001-01-01T00:00Z").unwrap_err();
        assert_eq!(over, "2001-01-01T00:00Z is in the past");
        assert!(until("9999-01-01").unwrap_err().ends_with("over ten years away"));
        let soon = Timestamp::from_millisecond(now_ms() + 3_600_000)
            .unwrap()
            .to_string();
        let HumanDuration(left) = until(&soon).unwrap();
        assert!((3_590..=3_600).contains(&left.as_secs()), "{left:?}");
    }
}
