//! Formats that the lines of one log have.

use std::{fmt, iter};

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Format, LogError, LogLine, PatternError};

/// One format, or several whose lines are mixed. A line has the first that understands it, unless another understands it
/// with another client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formats {
    first: Format,
    others: Vec<Format>,
}

impl Formats {
    /// `None` of no format.
    pub fn of(formats: impl IntoIterator<Item = Format>) -> Option<Self> {
        let mut formats = formats.into_iter();
        Some(Self {
            first: formats.next()?,
            others: formats.collect(),
        })
    }

    /// All of them, in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &Format> {
        iter::once(&self.first).chain(&self.others)
    }

    fn map(self, change: impl Fn(Format) -> Format) -> Self {
        Self {
            first: change(self.first),
            others: self.others.into_iter().map(change).collect(),
        }
    }

    /// See [`Format::with_time_zone`].
    #[must_use]
    pub fn with_time_zone(self, zone: &TimeZone) -> Self {
        self.map(|format| format.with_time_zone(zone.clone()))
    }

    /// See [`Format::with_doubt`].
    #[must_use]
    pub fn with_doubt(self) -> Self {
        self.map(Format::with_doubt)
    }

    /// See [`Format::without_user_agent`].
    #[must_use]
    pub fn without_user_agent(self) -> Self {
        self.map(Format::without_user_agent)
    }

    /// See [`Format::after_header`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn after_header(&self, line: &[u8]) -> Result<Self, PatternError> {
        let others = self.others.iter().map(|format| format.after_header(line));
        Ok(Self {
            first: self.first.after_header(line)?,
            others: others.collect::<Result<_, _>>()?,
        })
    }

    /// Parses one line, without its line feed.
    ///
    /// # Errors
    ///
    /// Why the first format does not understand it, or [`LogError::TwoFormats`].
    pub fn parse<'a>(&self, line: &'a [u8]) -> Result<LogLine<'a>, LogError> {
        let mut parsed = self.first.parse(line);
        for (at, format) in self.others.iter().enumerate() {
            match (&parsed, format.parse(line)) {
                (Ok(first), Ok(other)) if first.client != other.client => {
                    let first = self.iter().position(|format| format.parse(line).is_ok());
                    return Err(LogError::TwoFormats(first.unwrap_or(0) + 1, at + 2));
                }
                (Err(_), Ok(other)) => parsed = Ok(other),
                _ => {}
            }
        }
        parsed
    }
}

impl From<Format> for Formats {
    fn from(first: Format) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }
}

impl Default for Formats {
    fn default() -> Self {
        Format::default().into()
    }
}

impl fmt::Display for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        self.others
            .iter()
            .try_for_each(|format| write!(f, " or {format}"))
    }
}

impl Serialize for Formats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.others.is_empty() {
            self.first.serialize(serializer)
        } else {
            serializer.collect_seq(self.iter())
        }
    }
}

impl<'de> Deserialize<'de> for Formats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Formats;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a log format or a list of log formats")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Formats, E> {
                text.parse::<Format>().map(Formats::from).map_err(E::custom)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Formats, A::Error> {
                let mut formats = Vec::new();
                while let Some(format) = list.next_element()? {
                    formats.push(format);
                }
                Formats::of(formats).ok_or_else(|| de::Error::custom("the list names no format"))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "[21/Nov/2026:11:06:56 +0100]";

    fn formats(names: &[&str]) -> Formats {
        Formats::of(names.iter().map(|name| name.parse().unwrap())).unwrap()
    }

    fn client(formats: &Formats, line: &str) -> String {
        let parsed = formats.parse(line.as_bytes());
        parsed.map_or_else(|error| error.to_string(), |line| line.client.to_string())
    }

    #[test]
    fn a_line_has_the_first_format_that_understands_it() {
        let formats = formats(&["combined", "nginx-proxy-manager", "vhost-combined"]);
        let proxied = format!(
            r#"{TIME} - 404 404 - GET https a "/" [Client 203.0.113.8] [Length 1] [Gzip -] [Sent-to b] "c" "-""#
        );
        for (line, expected) in [
            (
                format!(r#"203.0.113.7 - - {TIME} "GET / HTTP/1.1" 404 1"#),
                "203.0.113.7",
            ),
            (proxied, "203.0.113.8"),
            (
                format!(r#"a.org 203.0.113.9 - - {TIME} "GET / HTTP/1.1" 404 1"#),
                "203.0.113.9",
            ),
            (
                "junk".to_owned(),
                "no time like [10/Oct/2023:11:06:56 +0200] before the quoted request",
            ),
        ] {
            assert_eq!(client(&formats, &line), expected);
        }
    }

    #[test]
    fn a_line_of_which_two_formats_disagree_is_nobodys() {
        let formats = formats(&["nginx-json", "lighttpd", "vhost-combined"]);
        let line = format!(r#"203.0.113.7 198.51.100.66 - - {TIME} "GET / HTTP/1.1" 404 1"#);
        assert_eq!(
            client(&formats, &line),
            "formats 2 and 3 read another client each; name one of them only"
        );
    }

    #[test]
    fn a_config_names_one_or_a_list() {
        let one: Formats = serde_json::from_str(r#""haproxy""#).unwrap();
        assert_eq!(serde_json::to_string(&one).unwrap(), r#""haproxy""#);
        let list: Formats = serde_json::from_str(r#"["haproxy", "%h %t %>s"]"#).unwrap();
        assert_eq!(
            serde_json::to_string(&list).unwrap(),
            r#"["haproxy","%h %t %>s"]"#
        );
        assert_eq!(list.to_string(), "haproxy or %h %t %>s");
        assert!(serde_json::from_str::<Formats>("[]").is_err());
        assert!(serde_json::from_str::<Formats>(r#"["apache"]"#).is_err());
    }
}
