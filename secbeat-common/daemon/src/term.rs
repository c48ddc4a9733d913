//! How long a ban lasts, as people say it.

use std::{fmt, str::FromStr, time::Duration};

use secbeat_common::wire;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::config::HumanDuration;

/// How long a ban lasts: `4h`, or `permanent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    For(Duration),
    Permanent,
}

/// The word for a ban without end.
const PERMANENT: &str = "permanent";

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
        if text == PERMANENT {
            return Ok(Self::Permanent);
        }
        text.parse().map(|HumanDuration(duration)| Self::For(duration))
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
        assert!(
            "ever"
                .parse::<Term>()
                .unwrap_err()
                .starts_with("`ever` is no duration")
        );
    }
}
