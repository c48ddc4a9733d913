//! How long a ban lasts, as people say it.

use std::{fmt, str::FromStr, time::Duration};

use secbeat_common::wire;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::config::HumanDuration;

/// How long a ban lasts: `4h`, or `permanent`. Read are also `3600` (seconds), and `forever` and `-1`, as fail2ban has it.
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
/// When it has none, or is no term.
pub fn with_an_end(text: &str) -> Result<HumanDuration, String> {
    match text.parse()? {
        Term::For(duration) => Ok(HumanDuration(duration)),
        Term::Permanent => Err(
            "bans of a single host end; `secbeat-orchestrator ban` makes permanent ones on every edge"
                .to_owned(),
        ),
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
}
