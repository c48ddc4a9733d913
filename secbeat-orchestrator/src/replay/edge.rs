//! Reading of logs as an edge does, by its config.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use glob::{MatchOptions, Pattern};
use jiff::tz::TimeZone;
use secbeat_common::prefix::Prefix;
use secbeat_daemon::{
    config::{self, ConfigError},
    rotated::{entry_of, unrotated},
};
use secbeat_logs::{Formats, KeyMap};
use serde::{Deserialize, Deserializer, de::Error as _};

/// Stars match neither a slash nor hidden files, as for the edge.
const GLOB: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Keys of an edge's config that say how it reads access logs.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct EdgeConfig {
    #[serde(default, deserialize_with = "config::proxies")]
    pub(super) trusted_proxies: Vec<Prefix>,
    #[serde(default)]
    access_log: Vec<Entry>,
}

/// One log, or several by a pattern.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Keys")]
pub(super) struct Entry {
    path: PathBuf,
    /// Of the path, if that is one.
    pattern: Option<Pattern>,
    pub(super) formats: Formats,
    /// Whether the client is in a list that trusted proxies wrote.
    pub(super) of_header: bool,
    /// Names the upstream in telemetry.
    pub(super) name: String,
}

/// As the edge has them; what is not about how lines are read may be there, too.
#[derive(Deserialize)]
struct Keys {
    /// None of a log that is the journal's.
    #[serde(default)]
    path: PathBuf,
    format: Option<Formats>,
    keys: Option<KeyMap>,
    #[serde(default = "utc", with = "jiff::fmt::serde::tz::required")]
    time_zone: TimeZone,
    #[serde(default, rename = "client", deserialize_with = "is_header")]
    of_header: bool,
    name: Option<String>,
}

fn utc() -> TimeZone {
    TimeZone::UTC
}

fn is_header<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "header" => Ok(true),
        "peer" => Ok(false),
        other => Err(D::Error::unknown_variant(other, &["peer", "header"])),
    }
}

impl TryFrom<Keys> for Entry {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let text = keys.path.to_string_lossy();
        let pattern = text
            .contains(['*', '?', '['])
            .then(|| Pattern::new(&text))
            .transpose();
        let formats = Formats::stated(keys.format.as_ref(), keys.keys, &keys.time_zone);
        Ok(Self {
            pattern: pattern.map_err(|error| format!("invalid pattern `{text}`: {}", error.msg))?,
            formats: formats.map_err(|error| format!("keys: {error}"))?,
            of_header: keys.of_header,
            name: keys.name.unwrap_or_else(|| text.into_owned()),
            path: keys.path,
        })
    }
}

impl Entry {
    fn covers(&self, path: &Path) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.matches_path_with(path, GLOB),
            None => self.path == path,
        }
    }

    /// Whether it has files of this name, in whatever folder.
    fn has_name(&self, name: &OsStr) -> bool {
        let own = self.path.file_name();
        let pattern = own.and_then(|own| Pattern::new(&own.to_string_lossy()).ok());
        match (&self.pattern, pattern) {
            (Some(_), Some(pattern)) => pattern.matches_path_with(Path::new(name), GLOB),
            _ => own == Some(name),
        }
    }
}

impl EdgeConfig {
    /// Reads the file at `path`, an edge's or that of one host.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be read, or one of its entries of logs is invalid.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        config::load_part(path, |key| matches!(key, "trusted_proxies" | "access_log"))
    }

    /// Returns the entry of a log: the first that names it, without what rotation appends to a name; or else, for a copy that lies
    /// elsewhere, the only one with files of its name.
    pub(super) fn entry(&self, log: &Path) -> Option<&Entry> {
        let of_its_name = |path: &Path| {
            let name = path.file_name()?;
            let mut named = self.access_log.iter().filter(|entry| entry.has_name(name));
            named.next().filter(|_| named.next().is_none())
        };
        entry_of(&self.access_log, log, Entry::covers)
            .or_else(|| of_its_name(log))
            .or_else(|| of_its_name(&unrotated(log)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(text: &str) -> EdgeConfig {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_number_at_the_end_of_a_name_may_be_its_own() {
        let edge = edge(
            "[[access_log]]\npath = \"/a/shop.log\"\nname = \"one\"\n\
             [[access_log]]\npath = \"/a/shop-2.log\"\nname = \"two\"",
        );
        for (path, name) in [
            ("/a/shop.log.2", "one"),
            ("/a/shop-2.log", "two"),
            ("/a/shop-2.log.1.gz", "two"),
            ("/a/shop-3.log", "one"),
            ("/b/shop-2.log", "two"),
        ] {
            let entry = edge.entry(Path::new(path)).unwrap();
            assert_eq!(entry.name, name, "{path}");
        }
    }

    #[test]
    fn a_log_has_the_entry_that_names_it() {
        let edge = edge(
            "[[access_log]]\npath = \"/var/log/nginx/*.log\"\nname = \"sites\"\n[[access_log]]\npath = \"/srv/app/access.json\"\n\
             max_age = \"5m\"\n[[access_log]]\njournald = \"haproxy.service\"\n[[access_log]]\npath = \"/srv/a/own\"\n\
             [[access_log]]\npath = \"/srv/b/own\"",
        );
        for (path, name) in [
            ("/var/log/nginx/shop.log", Some("sites")),
            ("/var/log/nginx/shop.log.3.gz", Some("sites")),
            ("/var/log/nginx/sub/shop.log", Some("sites")),
            ("/srv/app/access.json-20261121", Some("/srv/app/access.json")),
            ("/home/me/access.json", Some("/srv/app/access.json")),
            ("/home/me/other.txt", None),
            // Of two logs.
            ("/home/me/own", None),
            ("/srv/b/own.1", Some("/srv/b/own")),
            ("-", None),
        ] {
            let entry = edge.entry(Path::new(path));
            assert_eq!(entry.map(|entry| entry.name.as_str()), name, "{path}");
        }
    }

    #[test]
    fn what_an_edge_would_refuse_is_refused() {
        for (text, told) in [
            ("client = \"proxy\"", "unknown variant `proxy`"),
            ("format = \"apache\"", "there is no log format `apache`"),
            ("path = \"/a/[\"", "invalid pattern `/a/[`"),
            (
                "keys = { client = \"a..b\", time = \"t\", status = \"s\" }",
                "keys: invalid path of keys `a..b`",
            ),
        ] {
            let text = format!("[[access_log]]\n{text}");
            let error = toml::from_str::<EdgeConfig>(&text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        assert!(toml::from_str::<EdgeConfig>("trusted_proxies = [\"0.0.0.0/0\"]").is_err());
    }
}
