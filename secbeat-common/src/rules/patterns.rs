//! The single conditions.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Text that is not a pattern of the kind wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPattern {
    #[error("`{0}` is neither a status from 100 to 599 nor a range such as 401-403")]
    Statuses(String),
    #[error("invalid method `{0}`: expected one such as POST")]
    Method(String),
    #[error("invalid path `{0}`: expected a slash or `*` and more at the start, and no `?` or `#`")]
    Path(String),
    #[error("invalid part of a user agent `{0}`: expected 1 to 256 bytes")]
    Agent(String),
    #[error(
        "invalid host `{0}`: expected a name without port, such as example.org, or *.example.org for all names below it"
    )]
    Host(String),
}

/// One status, as `404`, or all from one to another, as `401-403`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses {
    first: u16,
    last: u16,
}

impl Statuses {
    /// # Errors
    ///
    /// Unless `first` ≤ `last` and both lie in 100 to 599.
    pub fn new(first: u16, last: u16) -> Result<Self, NoPattern> {
        match (100..=last).contains(&first) && last <= 599 {
            true => Ok(Self { first, last }),
            false => Err(NoPattern::Statuses(Self { first, last }.to_string())),
        }
    }

    /// The lowest.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    #[must_use]
    pub const fn contain(self, status: u16) -> bool {
        self.first <= status && status <= self.last
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl FromStr for Statuses {
    type Err = NoPattern;

    fn from_str(text: &str) -> Result<Self, NoPattern> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) => Self::new(first, last),
            _ => Err(NoPattern::Statuses(text.to_owned())),
        }
    }
}

impl Serialize for Statuses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (serializer.is_human_readable(), self.first == self.last) {
            (false, _) => (self.first, self.last).serialize(serializer),
            (true, true) => serializer.serialize_u16(self.first),
            (true, false) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Statuses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status as 404, or a range as \"401-403\"")
            }

            fn visit_u64<E: de::Error>(self, status: u64) -> Result<Statuses, E> {
                self.visit_str(&status.to_string())
            }

            fn visit_i64<E: de::Error>(self, status: i64) -> Result<Statuses, E> {
                self.visit_str(&status.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Statuses, E> {
                text.parse().map_err(E::custom)
            }
        }
        if deserializer.is_human_readable() {
            return deserializer.deserialize_any(Visitor);
        }
        let (first, last) = <(u16, u16)>::deserialize(deserializer)?;
        Self::new(first, last).map_err(de::Error::custom)
    }
}

/// A method (RFC 9110, section 9.1), as it stands in the request: methods are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Method(String);

impl Method {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Method {
    type Err = NoPattern;

    /// Takes upper-case letters, digits and hyphens: no method in use has others, and `get` would never match.
    fn from_str(text: &str) -> Result<Self, NoPattern> {
        let is_method = text.starts_with(|first: char| first.is_ascii_uppercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-');
        match is_method {
            true => Ok(Self(text.to_owned())),
            false => Err(NoPattern::Method(text.to_owned())),
        }
    }
}

/// A host's name, or `*.` and a name: all hosts below it. Case does not matter, nor does the request's port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern(String);

impl HostPattern {
    /// Whether it holds `host`, as a request's Host field has it.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let end = match host.strip_prefix('[').and_then(|rest| rest.find(']')) {
            Some(end) => end + 2,
            None => host.find(':').unwrap_or(host.len()),
        };
        let host = host[..end].trim_end_matches('.').as_bytes();
        match self.0.strip_prefix('*') {
            // What is left starts with a dot.
            Some(below) => host
                .len()
                .checked_sub(below.len())
                .is_some_and(|start| start > 0 && host[start..].eq_ignore_ascii_case(below.as_bytes())),
            None => host.eq_ignore_ascii_case(self.0.as_bytes()),
        }
    }
}

impl FromStr for HostPattern {
    type Err = NoPattern;

    fn from_str(text: &str) -> Result<Self, NoPattern> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        let is_name = name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
            && !name.ends_with('.')
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        let is_ipv6 = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
        match is_name || is_ipv6 {
            true => Ok(Self(text.to_owned())),
            false => Err(NoPattern::Host(text.to_owned())),
        }
    }
}

/// A part of a user agent, such as `Googlebot`. Case does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgentPattern(String);

impl AgentPattern {
    /// Whether `user_agent` contains it.
    #[must_use]
    pub fn matches(&self, user_agent: &str) -> bool {
        let (wanted, all) = (self.0.as_bytes(), user_agent.as_bytes());
        all.windows(wanted.len())
            .any(|part| part.eq_ignore_ascii_case(wanted))
    }
}

impl FromStr for AgentPattern {
    type Err = NoPattern;

    fn from_str(text: &str) -> Result<Self, NoPattern> {
        match (1..=256).contains(&text.len()) {
            true => Ok(Self(text.to_owned())),
            false => Err(NoPattern::Agent(text.to_owned())),
        }
    }
}

/// Text in, text out.
macro_rules! texts {
    ($($pattern:ty),*) => {$(
        impl TryFrom<String> for $pattern {
            type Error = NoPattern;

            fn try_from(text: String) -> Result<Self, NoPattern> {
                text.parse()
            }
        }

        impl From<$pattern> for String {
            fn from(pattern: $pattern) -> Self {
                pattern.0
            }
        }

        impl fmt::Display for $pattern {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

texts!(Method, HostPattern, AgentPattern);
