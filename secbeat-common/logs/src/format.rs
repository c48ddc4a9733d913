//! What the lines of a log look like.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{
    LogError, LogLine, combined,
    cut::{CutLine, Place},
    envoy, haproxy,
    json::{
        self, LongObject,
        key_map::{JsonKeys, KeysError},
        tables,
    },
    long::Rest,
    pattern::{Pattern, PatternError},
    time::Zone,
    wrap::{self, Unwrapped},
};

/// What the lines of a log look like: one of the formats with a name, or a [pattern](Format::pattern).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    kind: Kind,
    zone: Zone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Named(Named),
    Pattern(Arc<Pattern>),
    Json(Arc<OwnJson>),
}

/// JSON by a key map.
#[derive(Debug)]
struct OwnJson {
    keys: JsonKeys,
    table: json::Table,
}

impl PartialEq for OwnJson {
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

impl Eq for OwnJson {}

/// By the names of configs and command lines. Of formats that understand a log equally well, the first one is detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(const_into_str, serialize_all = "kebab-case")]
enum Named {
    Combined,
    Common,
    NginxJson,
    CaddyJson,
    TraefikJson,
    Haproxy,
    EnvoyJson,
    Envoy,
    KongJson,
    PinoJson,
    CloudflareJson,
    EcsJson,
}

/// Text that is neither the name of a format nor a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error(
        "there is no log format `{0}`; there are combined, common, nginx-json, caddy-json, traefik-json, haproxy, envoy-json, \
         envoy, kong-json, pino-json, cloudflare-json, ecs-json, and patterns like `$remote_addr [$time_local] $status`"
    )]
    Unknown(String),
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

impl Format {
    /// `combined` of nginx and Apache, and whatever begins like it.
    pub const COMBINED: Self = Self {
        kind: Kind::Named(Named::Combined),
        zone: Zone::UTC,
    };

    /// The formats that have names.
    pub fn named() -> impl Iterator<Item = Self> {
        Named::VARIANTS.iter().copied().map(Self::from)
    }

    /// A format of one's own in the syntax of nginx's `log_format`, as
    /// `$remote_addr [$time_local] "$request" $status`.
    ///
    /// # Errors
    ///
    /// When it names no client, time or status, or could be read in several ways.
    pub fn pattern(text: &str) -> Result<Self, PatternError> {
        Ok(Self {
            kind: Kind::Pattern(Arc::new(Pattern::new(text)?)),
            zone: Zone::UTC,
        })
    }

    /// One JSON object a line, with these keys.
    ///
    /// # Errors
    ///
    /// When it has no key for client, time or status, or more than can be looked for.
    pub fn json(keys: JsonKeys) -> Result<Self, KeysError> {
        let table = keys.table()?;
        Ok(Self {
            kind: Kind::Json(Arc::new(OwnJson { keys, table })),
            zone: Zone::UTC,
        })
    }

    /// With this time zone for times that are logged without one; otherwise they are taken as UTC. A time that the clock
    /// shows twice is the first of the two.
    #[must_use]
    pub fn with_time_zone(self, zone: TimeZone) -> Self {
        Self {
            zone: Zone::new(zone),
            ..self
        }
    }

    /// For readers that have no use for user agents: they are not looked for where that costs time.
    #[must_use]
    pub fn without_user_agent(self) -> Self {
        match self.kind {
            Kind::Named(Named::Combined) => Self {
                kind: Kind::Named(Named::Common),
                ..self
            },
            _ => self,
        }
    }

    /// Parses one line, without its line feed. What a container's runtime, syslog or the journal wrote around it is taken
    /// off.
    ///
    /// # Errors
    ///
    /// What keeps it from being a request of a known client at a known time with a known status.
    #[inline]
    pub fn parse<'a>(&self, line: &'a [u8]) -> Result<LogLine<'a>, LogError> {
        self.parse_nested(line, wrap::MAX_NESTED)
    }

    /// As [`parse`](Self::parse), in so many wrappers at most.
    #[inline]
    fn parse_nested<'a>(&self, line: &'a [u8], wrappers: usize) -> Result<LogLine<'a>, LogError> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return Err(LogError::Empty);
        }
        let is_docker = wrap::begins_as_docker(line);
        if is_docker && let Some(parsed) = self.parse_wrapped(line, wrappers) {
            return parsed;
        }
        // What is understood as it is has no wrapper, whatever it looks like.
        match self.parse_plain(line) {
            Err(error) if !is_docker => self.parse_wrapped(line, wrappers).unwrap_or(Err(error)),
            parsed => parsed,
        }
    }

    /// Parses a line in a wrapper; `None` if it is in none.
    #[cold]
    fn parse_wrapped<'a>(&self, line: &'a [u8], wrappers: usize) -> Option<Result<LogLine<'a>, LogError>> {
        let wrappers = wrappers.checked_sub(1)?;
        let unwrapped = self.unwrap(line)?;
        if unwrapped.part.is_some_and(|part| !part.is_last) {
            return Some(Err(LogError::Divided));
        }
        Some(match unwrapped.text {
            Cow::Borrowed(text) => self.parse_nested(text, wrappers),
            Cow::Owned(text) => self.parse_nested(&text, wrappers).map(LogLine::into_owned),
        })
    }

    /// Takes off a wrapper. Where a line begins with what a client wrote, only one with quotes, which no client can write.
    fn unwrap<'a>(&self, line: &'a [u8]) -> Option<Unwrapped<'a>> {
        let begins_with_server = match &self.kind {
            Kind::Pattern(pattern) => pattern.begins_with_server(),
            Kind::Named(_) | Kind::Json(_) => true,
        };
        wrap::unwrap(line).filter(|unwrapped| unwrapped.quoted || begins_with_server)
    }

    /// Parses a line as it is.
    #[inline]
    fn parse_plain<'a>(&self, line: &'a [u8]) -> Result<LogLine<'a>, LogError> {
        let zone = &self.zone;
        if let Some(table) = self.table() {
            return json::parse(line, table, zone);
        }
        match &self.kind {
            Kind::Pattern(pattern) => pattern.parse(line, zone),
            Kind::Named(Named::Common) => combined::parse_common(line),
            Kind::Named(Named::Haproxy) => haproxy::parse(line, zone),
            Kind::Named(Named::Envoy) => envoy::parse(line, zone),
            _ => combined::parse(line),
        }
    }

    /// Reads the beginning of a line that is too long to be kept.
    pub(super) fn begin_long(&self, head: &[u8]) -> Rest {
        let mut head = head.trim_ascii_start();
        let mut read = self.begin_plain(head);
        for _ in 0..wrap::MAX_NESTED {
            if read.is_understood() {
                break;
            }
            // What is quoted does not end within the head.
            let Some(Cow::Borrowed(text)) = self.unwrap(head).map(|unwrapped| unwrapped.text) else {
                break;
            };
            head = text.trim_ascii_start();
            read = self.begin_plain(head);
        }
        read
    }

    fn begin_plain(&self, head: &[u8]) -> Rest {
        let zone = &self.zone;
        if let Some(table) = self.table() {
            return Rest::Object(Box::new(LongObject::begin(head, table, zone)));
        }
        let read = match (self.parse_plain(head), &self.kind) {
            (Ok(line), _) => Ok(CutLine::new(line, Place::Anywhere)),
            (Err(_), Kind::Pattern(pattern)) => pattern.parse_cut(head, zone),
            (Err(_), Kind::Named(Named::Combined | Named::Common)) => combined::parse_cut(head),
            (Err(error), _) => Err(error),
        };
        Rest::Text(Box::new(read))
    }

    pub(super) const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The keys of a JSON format.
    #[inline]
    pub(super) fn table(&self) -> Option<&json::Table> {
        match &self.kind {
            Kind::Json(own) => Some(&own.table),
            Kind::Named(named) => named.table(),
            Kind::Pattern(_) => None,
        }
    }
}

impl Named {
    /// The keys of a JSON format.
    #[inline]
    fn table(self) -> Option<&'static json::Table> {
        Some(match self {
            Self::Combined | Self::Common | Self::Haproxy | Self::Envoy => return None,
            Self::NginxJson => &tables::NGINX,
            Self::CaddyJson => &tables::CADDY,
            Self::TraefikJson => &tables::TRAEFIK,
            Self::EnvoyJson => &tables::ENVOY,
            Self::KongJson => &tables::KONG,
            Self::PinoJson => &tables::PINO,
            Self::CloudflareJson => &tables::CLOUDFLARE,
            Self::EcsJson => &tables::ECS,
        })
    }
}

impl From<Named> for Format {
    fn from(named: Named) -> Self {
        Self {
            kind: Kind::Named(named),
            zone: Zone::UTC,
        }
    }
}

impl Default for Format {
    fn default() -> Self {
        Self::COMBINED
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('$') {
            return Ok(Self::pattern(text)?);
        }
        match text.parse::<Named>() {
            Ok(named) => Ok(named.into()),
            Err(_) => Err(FormatError::Unknown(text.to_owned())),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match &self.kind {
            Kind::Named(named) => named.into_str(),
            Kind::Pattern(pattern) => pattern.text(),
            Kind::Json(_) => "json",
        })
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
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
        let names = [
            "combined",
            "common",
            "nginx-json",
            "caddy-json",
            "traefik-json",
            "haproxy",
            "envoy-json",
            "envoy",
            "kong-json",
            "pino-json",
            "cloudflare-json",
            "ecs-json",
        ];
        assert_eq!(
            Format::named()
                .map(|format| format.to_string())
                .collect::<Vec<_>>(),
            names
        );
        for name in names {
            assert_eq!(name.parse::<Format>().unwrap().to_string(), name);
        }
        let error = "apache".parse::<Format>().unwrap_err().to_string();
        assert!(
            error.starts_with("there is no log format `apache`; there are combined, "),
            "{error}"
        );
        assert!(names.iter().all(|name| error.contains(name)), "{error}");
    }

    #[test]
    fn a_pattern_is_its_own_name() {
        let text = "$remote_addr [$time_local] \"$request\" $status";
        assert_eq!(text.parse::<Format>().unwrap().to_string(), text);
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
