//! Formats of a log's lines.

mod parse;

use std::{fmt, str::FromStr, sync::Arc};

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use strum::{EnumString, IntoStaticStr, VariantArray};

pub(crate) use self::parse::{fields_of_header, header, strip_padding_before, text_len};
use super::{
    LogError, LogLine,
    combined::Doubt,
    json::{
        self,
        key_map::{JsonKeys, KeysError},
        tables,
    },
    layout::{self, Layout, PatternError, Row},
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
    VhostCombined,
    NginxJson,
    CaddyJson,
    TraefikJson,
    Haproxy,
    EnvoyJson,
    KongJson,
    PinoJson,
    CloudflareJson,
    EcsJson,
    CloudJson,
    TomcatJson,
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
    Squid,
    AwsS3,
    Uwsgi,
    Gin,
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
            Self::Squid => Row::Squid,
            Self::AwsS3 => Row::AwsS3,
            _ => return None,
        })
    }

    /// The keys of a JSON format.
    #[inline]
    fn table(self) -> Option<&'static json::Table> {
        Some(match self {
            Self::NginxJson => &tables::NGINX,
            Self::CaddyJson => &tables::CADDY,
            Self::TraefikJson => &tables::TRAEFIK,
            Self::EnvoyJson => &tables::ENVOY,
            Self::KongJson => &tables::KONG,
            Self::PinoJson => &tables::PINO,
            Self::CloudflareJson => &tables::CLOUDFLARE,
            Self::EcsJson => &tables::ECS,
            Self::CloudJson => &tables::CLOUD,
            Self::TomcatJson => &tables::TOMCAT,
            _ => return None,
        })
    }
}

/// Text that is neither the name of a format nor a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error(
        "there is no log format `{0}`; there are {names}, and patterns like `$remote_addr [$time_local] $status` or `%h %t %>s`",
        names = Format::names()
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

    /// W3C's extended log format, as IIS has it.
    pub(super) fn iis() -> Self {
        Named::Iis.into()
    }

    /// The formats that have names.
    pub fn named() -> impl Iterator<Item = Self> {
        Named::VARIANTS.iter().copied().map(Self::from)
    }

    /// Their names, for people.
    #[must_use]
    pub fn names() -> String {
        let names = Named::VARIANTS.iter().map(|named| named.into_str());
        names.collect::<Vec<_>>().join(", ")
    }

    /// A format of one's own in the syntax of nginx's `log_format`, of Apache's `LogFormat` or of HAProxy's `log-format`, as
    /// `$remote_addr [$time_local] "$request" $status` or `%h %t "%r" %>s`.
    ///
    /// # Errors
    ///
    /// Returns an error if it names no client, time or status, or when a client could move one of them.
    pub fn pattern(text: &str) -> Result<Self, PatternError> {
        Ok(Self {
            kind: Kind::Pattern(Arc::new(Layout::new(text)?)),
            zone: Zone::UTC,
            doubt: Doubt::No,
        })
    }

    /// One JSON object a line, with these keys.
    ///
    /// # Errors
    ///
    /// Returns an error if it has no key for client, time or status, or more than can be looked for.
    pub fn json(keys: JsonKeys) -> Result<Self, KeysError> {
        let table = keys.table()?;
        Ok(Self {
            kind: Kind::Json(Arc::new(OwnJson { keys, table })),
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

    /// Whether it is [in doubt](Self::with_doubt).
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubt == Doubt::Yes
    }

    /// Whether a line shows that its log's first field is not always the address of the connection. No client can bring this
    /// about in a log where it is.
    #[must_use]
    pub fn calls_for_doubt(parsed: &Result<LogLine<'_>, LogError>) -> bool {
        match parsed {
            Ok(line) => line.forwarded.is_some() || line.ends_in_user,
            Err(error) => error.calls_for_doubt(),
        }
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
            Kind::Layouts(..) | Kind::Pattern(_) => None,
        }
    }

    /// The format of the lines after a header line ([`LogError::Header`]) of IIS or CloudFront, which may be in wrappers as any
    /// line may. It leaves no [doubt](Self::with_doubt) where the client stands.
    ///
    /// # Errors
    ///
    /// Returns an error if it names no client, time or status.
    pub fn after_header(&self, line: &[u8]) -> Result<Self, PatternError> {
        let (named, separator) = match self.kind {
            Kind::Layouts(named @ Named::Cloudfront, _) => (named, '\t'),
            Kind::Layouts(named @ Named::Iis, _) => (named, ' '),
            _ => return Ok(self.clone()),
        };
        let Some(fields) = fields_of_header(line) else {
            return Ok(self.clone());
        };
        let layout = layout::of_header(&fields, separator)?;
        Ok(Self {
            kind: Kind::Layouts(named, Arc::new([layout])),
            zone: self.zone.clone(),
            doubt: Doubt::No,
        })
    }

    /// Whether it has the fields of a server's default only because no header said which they are. Such lines say too little of
    /// themselves to be [detected](crate::Detection).
    pub(super) fn lacks_header(&self) -> bool {
        match &self.kind {
            Kind::Layouts(named @ (Named::Cloudfront | Named::Iis), layouts) => named
                .row()
                .is_some_and(|row| Arc::ptr_eq(layouts, &layout::rows(row))),
            _ => false,
        }
    }

    /// Whether the client is what a header says: a server that passes on the header of its own client, as Envoy does unless
    /// `use_remote_address` is set, lets a client choose it.
    #[must_use]
    pub fn reads_client_from_header(&self) -> bool {
        match &self.kind {
            Kind::Named(_) | Kind::Json(_) => false,
            Kind::Layouts(_, layouts) => layouts.first().is_some_and(Layout::reads_client_from_header),
            Kind::Pattern(layout) => layout.reads_client_from_header(),
        }
    }

    /// Whether it is Gin's.
    pub(super) const fn is_gins(&self) -> bool {
        matches!(self.kind, Kind::Named(Named::Gin))
    }

    /// Whether it is Caddy's.
    pub(super) const fn is_caddys(&self) -> bool {
        matches!(self.kind, Kind::Named(Named::CaddyJson))
    }

    /// Whether it has a request, a method or a path, as far as its fields or keys say.
    pub(super) fn reads_request(&self) -> bool {
        match &self.kind {
            Kind::Named(_) => true,
            Kind::Json(own) => own.keys.read_request(),
            Kind::Layouts(_, layouts) => layouts.iter().all(Layout::reads_request),
            Kind::Pattern(layout) => layout.reads_request(),
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
            "vhost-combined",
            "nginx-json",
            "caddy-json",
            "traefik-json",
            "haproxy",
            "envoy-json",
            "kong-json",
            "pino-json",
            "cloudflare-json",
            "ecs-json",
            "cloud-json",
            "tomcat-json",
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
            "squid",
            "aws-s3",
            "uwsgi",
            "gin",
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
