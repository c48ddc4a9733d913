//! What the lines of a log look like.

use std::{fmt, str::FromStr, sync::Arc};

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{
    LogError, LogLine,
    combined::{self, Doubt},
    haproxy, json,
    layout::{self, Layout, PatternError, Row},
    prefix, tables,
    time::Zone,
};

/// What the lines of a log look like: one of the formats with a name, or a [pattern](Format::pattern).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    kind: Kind,
    zone: Zone,
    doubt: Doubt,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Named(Named),
    /// A name, and the layouts that it stands for.
    Layouts(Named, Arc<[Layout]>),
    Pattern(Arc<Layout>),
}

/// By the names of configs and command lines. Of formats that understand a log equally well, the first one is detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(const_into_str, serialize_all = "kebab-case")]
enum Named {
    Combined,
    Common,
    VhostCombined,
    NginxJson,
    CaddyJson,
    TraefikJson,
    Haproxy,
    EnvoyJson,
    Envoy,
    Istio,
    NginxProxyManager,
    IngressNginx,
    Apisix,
    Lighttpd,
    PythonHttpServer,
    AwsAlb,
    Cloudfront,
    Iis,
}

impl Named {
    /// The row of the table of layouts, for formats that have one.
    const fn row(self) -> Option<Row> {
        Some(match self {
            Self::Envoy => Row::Envoy,
            Self::Istio => Row::Istio,
            Self::NginxProxyManager => Row::NginxProxyManager,
            Self::Apisix => Row::Apisix,
            Self::Lighttpd => Row::Lighttpd,
            Self::AwsAlb => Row::AwsAlb,
            Self::Cloudfront => Row::Cloudfront,
            Self::Iis => Row::Iis,
            _ => return None,
        })
    }
}

/// Text that is neither the name of a format nor a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error(
        "there is no log format `{0}`; there are {names}, and patterns like `$remote_addr [$time_local] $status` or `%h %t %>s`",
        names = Named::VARIANTS.iter().map(|named| named.into_str()).collect::<Vec<_>>().join(", ")
    )]
    Unknown(String),
    #[error("`auto` finds out which format a log has: it cannot be named beside others")]
    AutoAmongOthers,
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

impl Format {
    /// `combined` of nginx and Apache, and whatever begins like it.
    pub const COMBINED: Self = Self {
        kind: Kind::Named(Named::Combined),
        zone: Zone::UTC,
        doubt: Doubt::No,
    };

    /// The least particular of the JSON formats.
    pub(super) const NGINX_JSON: Self = Self {
        kind: Kind::Named(Named::NginxJson),
        zone: Zone::UTC,
        doubt: Doubt::No,
    };

    /// The formats that have names.
    pub fn named() -> impl Iterator<Item = Self> {
        Named::VARIANTS.iter().copied().map(Self::from)
    }

    /// A format of one's own in the syntax of nginx's `log_format`, of Apache's `LogFormat` or of HAProxy's `log-format`, as
    /// `$remote_addr [$time_local] "$request" $status` or `%h %t "%r" %>s`.
    ///
    /// # Errors
    ///
    /// When it names no client, time or status, or when a client could move one of them.
    pub fn pattern(text: &str) -> Result<Self, PatternError> {
        Ok(Self {
            kind: Kind::Pattern(Arc::new(Layout::new(text)?)),
            zone: Zone::UTC,
            doubt: Doubt::No,
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

    /// Refuses a line in which another layout than this would have another client. For logs whose layout is not certain: it
    /// was detected, or a line [calls for doubt](Self::calls_for_doubt).
    #[must_use]
    pub fn with_doubt(self) -> Self {
        Self {
            doubt: Doubt::Yes,
            ..self
        }
    }

    /// Whether a line shows that its log's first field is not always the address of the connection. No client can bring this
    /// about in a log where it is.
    #[must_use]
    pub const fn calls_for_doubt(parsed: &Result<LogLine<'_>, LogError>) -> bool {
        match parsed {
            Ok(line) => line.forwarded.is_some(),
            Err(error) => matches!(error, LogError::OtherLayout(_) | LogError::TwoReadings(..)),
        }
    }

    /// The format of the lines after a header line ([`LogError::Header`]) of IIS or CloudFront.
    ///
    /// # Errors
    ///
    /// When it names no client, time or status.
    pub fn after_header(&self, line: &[u8]) -> Result<Self, PatternError> {
        let (named, separator) = match self.kind {
            Kind::Layouts(named @ Named::Cloudfront, _) => (named, '\t'),
            Kind::Layouts(named @ Named::Iis, _) => (named, ' '),
            _ => return Ok(self.clone()),
        };
        let Some(fields) = layout::fields_of_header(strip_padding(line)) else {
            return Ok(self.clone());
        };
        let layout = layout::of_header(fields, separator)?;
        Ok(Self {
            kind: Kind::Layouts(named, Arc::new([layout])),
            ..self.clone()
        })
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

    /// Parses one line, without its line feed. A container runtime's time and stream before it are skipped.
    ///
    /// # Errors
    ///
    /// What keeps it from being a request of a known client at a known time with a known status.
    pub fn parse<'a>(&self, line: &'a [u8]) -> Result<LogLine<'a>, LogError> {
        let line = prefix::strip_container(strip_padding(line));
        if line.is_empty() {
            return Err(LogError::Empty);
        }
        let (zone, doubt) = (&self.zone, self.doubt);
        let named = match &self.kind {
            Kind::Pattern(layout) => return layout.parse(line, zone, doubt),
            Kind::Layouts(_, layouts) => return parse_first(layouts, line, zone, doubt),
            Kind::Named(named) => named,
        };
        match named {
            Named::Common => combined::parse_common(line, zone, doubt),
            Named::VhostCombined => combined::parse_vhost(line, zone, doubt),
            Named::PythonHttpServer => combined::parse_unescaped(line, zone, doubt),
            Named::NginxJson => json::parse(line, &tables::NGINX, zone),
            Named::CaddyJson => json::parse(line, &tables::CADDY, zone),
            Named::TraefikJson => json::parse(line, &tables::TRAEFIK, zone),
            Named::Haproxy => haproxy::parse(line, zone),
            Named::EnvoyJson => json::parse(line, &tables::ENVOY, zone),
            // Those of the ingress controller have more fields behind those of combined.
            _ => combined::parse(line, zone, doubt),
        }
    }
}

/// Of the first layout that understands a line; why not, of the first.
fn parse_first<'a>(
    layouts: &[Layout],
    line: &'a [u8],
    zone: &Zone,
    doubt: Doubt,
) -> Result<LogLine<'a>, LogError> {
    if layout::fields_of_header(line).is_some() {
        return Err(LogError::Header);
    }
    let mut first = None;
    for layout in layouts {
        match layout.parse(line, zone, doubt) {
            Ok(line) => return Ok(line),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or(LogError::Empty))
}

/// Without what no server writes: space and NUL bytes around a line, as in a hole of a file, and a byte order mark.
fn strip_padding(mut line: &[u8]) -> &[u8] {
    loop {
        line = match line {
            [0 | b' ' | b'\t' | b'\r' | b'\n', rest @ ..]
            | [0xef, 0xbb, 0xbf, rest @ ..]
            | [rest @ .., 0 | b' ' | b'\t' | b'\r' | b'\n'] => rest,
            _ => return line,
        }
    }
}

impl From<Named> for Format {
    fn from(named: Named) -> Self {
        Self {
            kind: match named.row() {
                Some(row) => Kind::Layouts(named, layout::rows(row)),
                None => Kind::Named(named),
            },
            zone: Zone::UTC,
            doubt: Doubt::No,
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
        if text.contains(['$', '%']) {
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
            Kind::Named(named) | Kind::Layouts(named, _) => named.into_str(),
            Kind::Pattern(pattern) => pattern.text(),
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
            "vhost-combined",
            "nginx-json",
            "caddy-json",
            "traefik-json",
            "haproxy",
            "envoy-json",
            "envoy",
            "istio",
            "nginx-proxy-manager",
            "ingress-nginx",
            "apisix",
            "lighttpd",
            "python-http-server",
            "aws-alb",
            "cloudfront",
            "iis",
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
    fn padding_around_a_line_is_no_part_of_it() {
        let line = br#"203.0.113.7 - - [10/Oct/2023:11:06:56 +0200] "GET / HTTP/1.1" 404"#;
        for (before, after) in [
            ("\0\0\0", "\r"),
            ("\u{feff}", " "),
            (" \t", "\0"),
            ("\0\u{feff}", "\0 \r"),
        ] {
            let padded = [before.as_bytes(), line, after.as_bytes()].concat();
            assert_eq!(
                Format::COMBINED.parse(&padded),
                Format::COMBINED.parse(line),
                "{before:?}"
            );
        }
        assert_eq!(Format::COMBINED.parse(b"\0 \0\r"), Err(LogError::Empty));
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
