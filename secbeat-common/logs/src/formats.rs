//! Formats that the lines of one log have.

use std::{fmt, iter, mem};

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Format, LogError, LogLine, PatternError, wrap::Seen};

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

    /// Begins to [doubt](Format::with_doubt) if a line of the log [calls for it](Format::calls_for_doubt).
    pub fn doubt_if_called_for(&mut self, parsed: &Result<LogLine<'_>, LogError>) {
        if Format::calls_for_doubt(parsed) && !self.first.is_in_doubt() {
            *self = mem::take(self).with_doubt();
        }
    }

    /// Whether they are [in doubt](Format::with_doubt).
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.first.is_in_doubt()
    }

    /// Parses one line, without its line feed.
    ///
    /// # Errors
    ///
    /// Why none of the formats understands it, or [`LogError::TwoFormats`].
    pub fn parse<'a>(&self, line: &'a [u8]) -> Result<LogLine<'a>, LogError> {
        self.parse_after(line, &mut Seen::Nothing)
    }

    /// See [`Format::parse_after`].
    #[inline]
    pub(crate) fn parse_after<'a>(&self, line: &'a [u8], seen: &mut Seen) -> Result<LogLine<'a>, LogError> {
        if self.others.is_empty() {
            return self.first.parse_after(line, seen);
        }
        Self::agree(self.iter().map(|format| format.parse_after(line, seen)))
    }

    /// The first line that a format understands, if the others name the same client or do not understand it.
    pub(crate) fn agree<'a>(
        readings: impl Iterator<Item = Result<LogLine<'a>, LogError>>,
    ) -> Result<LogLine<'a>, LogError> {
        let mut understood: Option<(usize, LogLine<'a>)> = None;
        let mut errors = Vec::new();
        for (at, reading) in readings.enumerate() {
            match (reading, &understood) {
                (Ok(line), Some((first, before))) if line.client != before.client => {
                    return Err(LogError::TwoFormats(first + 1, at + 1));
                }
                (Ok(line), Some((first, before))) if before.unreadable && !line.unreadable => {
                    understood = Some((*first, line));
                }
                (Ok(_), Some(_)) => {}
                (Ok(line), None) => understood = Some((at, line)),
                // Of no format, or of a line that goes on.
                (Err(error @ (LogError::Empty | LogError::Header | LogError::Divided)), None) => {
                    return Err(error);
                }
                (Err(error), _) => errors.push(error),
            }
        }
        match (understood, errors.pop()) {
            (Some((_, line)), _) => Ok(line),
            (None, Some(error)) if errors.is_empty() => Err(error),
            (None, last) => {
                errors.extend(last);
                Err(LogError::NoneOf(errors))
            }
        }
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
                "as format 1: no time like [10/Oct/2023:11:06:56 +0200] before the quoted request; as format 2: `[` expected \
                 after the beginning; as format 3: no time like [10/Oct/2023:11:06:56 +0200] before the quoted request",
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
