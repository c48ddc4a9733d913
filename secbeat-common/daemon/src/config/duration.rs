//! Durations as people write them.

use std::{fmt, str::FromStr, time::Duration};

use jiff::{
    SignedDuration, Span, SpanRelativeTo, SpanRound, Unit,
    fmt::friendly::{Designator, SpanParser, SpanPrinter},
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::schema;

/// A duration as people write it: `"300s"`, `"4h"`, `"7d"`, `"1h 30m"`. It is shown in days, hours, minutes and less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "schema::Duration")]
pub struct HumanDuration(pub Duration);

/// Longest duration that SecBeat takes anywhere: ten years, far from every overflow.
pub const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match parse(text) {
            Ok(duration) if duration.is_zero() => Err("a duration must be longer than zero".to_owned()),
            Ok(duration) if duration > MAX_DURATION => Err(format!("`{text}` is over ten years")),
            Ok(duration) => Ok(Self(duration)),
            Err(_) => Err(format!(
                "invalid duration `{text}`: expected one such as 30s, 5m, 4h or 7d"
            )),
        }
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format(self.0))
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A string, or what people write for one.
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a duration such as \"30s\", \"5m\" or \"4h\"")]
        enum Written {
            Text(String),
            Number(i64),
        }
        match Written::deserialize(deserializer)? {
            Written::Text(text) => text.parse().map_err(D::Error::custom),
            Written::Number(number) => Err(D::Error::custom(format!(
                "a duration has a unit: write \"{number}s\" for seconds"
            ))),
        }
    }
}

/// Reads a duration that may be zero: `"0s"`.
///
/// # Errors
///
/// Returns an error if it is not a [`HumanDuration`] otherwise.
pub fn duration_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    match parse(&text) {
        Ok(Duration::ZERO) => Ok(Duration::ZERO),
        _ if text == "0" => Ok(Duration::ZERO),
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
    serializer.collect_str(&HumanDuration(*duration))
}

/// A year and a month have an average length here: 365.25 and 30.44 days.
const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24 + 6);
const MONTH: SignedDuration = SignedDuration::from_secs(2_630_016);

fn parse(text: &str) -> Result<Duration, jiff::Error> {
    let span = SpanParser::new().parse_span(text)?;
    let (years, months) = (i32::from(span.get_years()), span.get_months());
    let rest = span
        .years(0)
        .months(0)
        .to_duration(SpanRelativeTo::days_are_24_hours())?;
    Duration::try_from(rest + YEAR * years + MONTH * months)
}

/// Returns days, hours, minutes and less, each at most once: `1d 12h`.
fn format(duration: Duration) -> String {
    let printer = SpanPrinter::new().designator(Designator::HumanTime);
    let days = SpanRound::new().largest(Unit::Day).days_are_24_hours();
    match Span::try_from(duration).and_then(|span| span.round(days)) {
        Ok(span) => printer.span_to_string(&span),
        // Over 10,000 years.
        Err(_) => printer.unsigned_duration_to_string(&duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Result<u64, String> {
        text.parse().map(|HumanDuration(duration)| duration.as_secs())
    }

    #[test]
    fn units_are_read_as_people_write_them() {
        for (text, expected) in [
            ("300s", 300),
            ("4h", 14_400),
            ("7d", 604_800),
            ("7days", 604_800),
            ("2weeks", 1_209_600),
            ("1h 30m", 5_400),
            ("1h30min", 5_400),
            ("1w2d", 777_600),
            ("1month", 2_630_016),
            ("1mo", 2_630_016),
            ("1y", 31_557_600),
            ("1month 9days 13h 26m 24s", 3_456_000),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        assert_eq!("20ms".parse(), Ok(HumanDuration(Duration::from_millis(20))));
    }

    #[test]
    fn what_is_no_duration_or_too_long_is_refused() {
        for text in ["", "soon", "5", "5 parsecs", "-5m", "1M"] {
            let error = seconds(text).unwrap_err();
            let expected = format!("invalid duration `{text}`: expected one such as 30s, 5m, 4h or 7d");
            assert_eq!(error, expected);
        }
        assert_eq!(
            seconds("0s"),
            Err("a duration must be longer than zero".to_owned())
        );
        assert_eq!(seconds("3650d"), Ok(315_360_000));
        assert_eq!(seconds("3651d"), Err("`3651d` is over ten years".to_owned()));
    }

    #[test]
    fn a_duration_is_shown_in_days_and_less() {
        for (duration, expected) in [
            (Duration::from_secs(300), "5m"),
            (Duration::from_secs(5_400), "1h 30m"),
            (Duration::from_secs(604_800), "7d"),
            (Duration::from_secs(3_456_001), "40d 1s"),
            (Duration::from_millis(1_020), "1s 20ms"),
            (Duration::from_micros(50), "50us"),
            (Duration::ZERO, "0s"),
        ] {
            let shown = HumanDuration(duration).to_string();
            assert_eq!(shown, expected);
        }
    }

    #[test]
    fn zero_is_read_where_it_is_allowed() {
        #[derive(Deserialize)]
        struct Config {
            #[serde(deserialize_with = "duration_or_zero")]
            memory: Duration,
        }
        let memory = |text: &str| {
            toml::from_str::<Config>(&format!("memory = \"{text}\"")).map(|config| config.memory)
        };
        assert_eq!(memory("0s"), Ok(Duration::ZERO));
        assert_eq!(memory("0"), Ok(Duration::ZERO));
        assert_eq!(memory("1d"), Ok(Duration::from_secs(86_400)));
        assert!(memory("00").is_err());
    }
}
