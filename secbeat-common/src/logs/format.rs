//! What the lines of a log look like.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

use super::{LogError, LogLine, combined};

/// What the lines of a log look like, by the name it has in configs and on command lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Combined,
    Common,
}

const NAMED: [(&str, Kind); 2] = [("combined", Kind::Combined), ("common", Kind::Common)];

/// A name that no format has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no log format `{0}`")]
pub struct UnknownFormat(String);

impl Format {
    /// nginx's and Apache's `combined`, which also reads `common`.
    pub const COMBINED: Self = Self { kind: Kind::Combined };

    /// Parses one line, without its line feed.
    ///
    /// # Errors
    ///
    /// What keeps it from being a request of a known client at a known time with a known status.
    pub fn parse<'a>(&self, line: &'a [u8]) -> Result<LogLine<'a>, LogError> {
        match self.kind {
            Kind::Combined => combined::parse(line),
            Kind::Common => combined::parse(line).map(|line| LogLine {
                user_agent: None,
                ..line
            }),
        }
    }
}

impl Default for Format {
    fn default() -> Self {
        Self::COMBINED
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = NAMED.iter().find(|(name, _)| *name == text);
        found
            .map(|(_, kind)| Self { kind: *kind })
            .ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = NAMED.iter().find(|(_, kind)| *kind == self.kind);
        f.pad(named.map_or("", |(name, _)| name))
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_format() {
        for (name, _) in NAMED {
            assert_eq!(name.parse::<Format>().unwrap().to_string(), name);
        }
        assert_eq!(
            "apache".parse::<Format>().unwrap_err().to_string(),
            "there is no log format `apache`"
        );
    }

    #[test]
    fn common_looks_for_no_user_agent() {
        let line = br#"203.0.113.7 - - [10/Oct/2023:11:06:56 +0200] "GET / HTTP/1.1" 404 125 "-" "curl""#;
        let user_agent = |name: &str| {
            let format: Format = name.parse().unwrap();
            format
                .parse(line)
                .unwrap()
                .user_agent
                .map(|text| text.into_owned())
        };
        assert_eq!(user_agent("combined"), Some(b"curl".to_vec()));
        assert_eq!(user_agent("common"), None);
    }
}
