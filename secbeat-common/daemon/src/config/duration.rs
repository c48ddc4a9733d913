//! Durations as people write them.

use std::{fmt, str::FromStr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::schema;

/// A duration as people write it: `"300s"`, `"4h"`, `"7d"`, `"1h 30m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "schema::Duration")]
pub struct HumanDuration(pub Duration);

/// Longest duration that SecBeat takes anywhere: ten years, far from every overflow.
pub const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match humantime::parse_duration(text) {
            Ok(duration) if duration.is_zero() => Err("a duration must be longer than zero".to_owned()),
            Ok(duration) if duration > MAX_DURATION => Err(format!("`{text}` is over ten years")),
            Ok(duration) => Ok(Self(duration)),
            Err(error) => Err(format!(
                "`{text}` is no duration such as 30s, 5m, 4h or 7d: {error}"
            )),
        }
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// Reads a duration that may be zero: `"0s"`.
///
/// # Errors
///
/// When it is no [`HumanDuration`] otherwise.
pub fn duration_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    match humantime::parse_duration(&text) {
        Ok(Duration::ZERO) => Ok(Duration::ZERO),
        _ => text
            .parse::<HumanDuration>()
            .map(|duration| duration.0)
            .map_err(D::Error::custom),
    }
}

/// Writes a duration as [`duration_or_zero`] reads it.
///
/// # Errors
///
/// The serializer's.
pub fn as_duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}
