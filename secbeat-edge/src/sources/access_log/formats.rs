//! The formats of one source: usually one, but several programs may write the same log.

use std::fmt;

use jiff::tz::TimeZone;
use secbeat_logs::{Format, LogError, LogLine};
use serde::{Deserialize, Deserializer, de::Error as _};

/// What the lines of a source look like: one format, or the first of several that understands a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFormats(Vec<Format>);

/// Why a line is in none of the formats. It quotes nothing of the line.
#[derive(Debug)]
pub(super) enum FormatsError {
    One(LogError),
    /// What each format says of it.
    None(Vec<(Format, LogError)>),
    /// Two formats understand it, and name different clients.
    TwoClients,
}

impl LogFormats {
    /// With this time zone for times that are logged without one.
    #[must_use]
    pub fn with_time_zone(self, zone: &TimeZone) -> Self {
        let formats = self.0.into_iter();
        Self(
            formats
                .map(|format| format.with_time_zone(zone.clone()))
                .collect(),
        )
    }

    /// Parses one line. A client must not choose by what it sends in which format its line is read, and so who is named:
    /// all formats that understand a line must agree on that.
    pub(super) fn parse<'a>(&self, line: &'a [u8]) -> Result<LogLine<'a>, FormatsError> {
        if let [format] = &self.0[..] {
            return format.parse(line).map_err(FormatsError::One);
        }
        let mut understood: Option<LogLine<'a>> = None;
        let mut errors = Vec::new();
        for format in &self.0 {
            match (format.parse(line), &understood) {
                (Ok(line), Some(first)) if line.client != first.client => {
                    return Err(FormatsError::TwoClients);
                }
                (Ok(line), None) => understood = Some(line),
                (Ok(_), Some(_)) => {}
                (Err(error), _) => errors.push((format.clone(), error)),
            }
        }
        understood.ok_or(FormatsError::None(errors))
    }
}

impl Default for LogFormats {
    fn default() -> Self {
        Self(vec![Format::default()])
    }
}

impl fmt::Display for LogFormats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, format) in self.0.iter().enumerate() {
            let before = if number == 0 { "" } else { " or " };
            write!(f, "{before}{format}")?;
        }
        Ok(())
    }
}

impl fmt::Display for FormatsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(error) => write!(f, "{error}"),
            Self::None(errors) => {
                for (number, (format, error)) in errors.iter().enumerate() {
                    let before = if number == 0 { "" } else { "; " };
                    write!(f, "{before}as {format}: {error}")?;
                }
                Ok(())
            }
            Self::TwoClients => f.write_str("two of its formats understand it, and name different clients"),
        }
    }
}

impl<'de> Deserialize<'de> for LogFormats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a format, or a list of them")]
        enum OneOrMore {
            One(String),
            More(Vec<String>),
        }
        let texts = match OneOrMore::deserialize(deserializer)? {
            OneOrMore::One(text) => vec![text],
            OneOrMore::More(texts) => texts,
        };
        if texts.is_empty() {
            return Err(D::Error::custom("the list has no format"));
        }
        let formats: Result<_, _> = texts.iter().map(|text| text.parse()).collect();
        formats.map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formats(json: &str) -> LogFormats {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_format_is_one_or_a_list() {
        assert_eq!(formats("\"combined\""), LogFormats::default());
        assert_eq!(
            formats("[\"combined\", \"caddy-json\"]").to_string(),
            "combined or caddy-json"
        );
        for (json, error) in [
            ("[]", "the list has no format"),
            (
                "[\"combined\", \"nonsense\"]",
                "there is no log format `nonsense`",
            ),
            ("7", "a format, or a list of them"),
        ] {
            let told = serde_json::from_str::<LogFormats>(json).unwrap_err().to_string();
            assert!(told.contains(error), "{told}");
        }
    }

    #[test]
    fn the_first_format_that_understands_a_line_reads_it() {
        let formats = formats(r#"["combined", "nginx-json"]"#);
        let combined = br#"203.0.113.7 - - [21/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 404 9 "-" "t""#;
        let json = br#"{"remote_addr":"203.0.113.8","msec":"1795262400.000","status":"404","request":"GET / HTTP/1.1"}"#;
        for (line, client) in [(&combined[..], "203.0.113.7"), (&json[..], "203.0.113.8")] {
            assert_eq!(formats.parse(line).unwrap().client.to_string(), client);
        }
        let error = formats.parse(b"secret").unwrap_err().to_string();
        assert!(
            error.starts_with("as combined: ") && error.contains("; as nginx-json: "),
            "{error}"
        );
    }

    #[test]
    fn a_line_in_which_two_formats_see_different_clients_names_nobody() {
        let line = b"203.0.113.7 203.0.113.8 1795262400.000 404";
        let pattern = |fields: &str| format!("\"{fields} $msec $status\"");
        let (first, second) = (pattern("$remote_addr $other"), pattern("$other $remote_addr"));
        assert_eq!(
            formats(&first).parse(line).unwrap().client.to_string(),
            "203.0.113.7"
        );
        let error = formats(&format!("[{first}, {second}]")).parse(line).unwrap_err();
        assert_eq!(
            error.to_string(),
            "two of its formats understand it, and name different clients"
        );
        let same = format!("[{first}, {first}]");
        assert!(formats(&same).parse(line).is_ok());
    }
}
