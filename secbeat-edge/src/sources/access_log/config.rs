//! `[[access_log]]` of the config.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use glob::{MatchOptions, Pattern};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use secbeat_common::wire::LearnedFrom;
use secbeat_daemon::config::{HumanDuration, schema};
use secbeat_logs::{Format, KeysError};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::keys::KeyMap;

/// Stars match neither a slash nor hidden files, as in a shell.
const GLOB: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// One access log: a file, several by a pattern, or a unit's messages in the journal.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(try_from = "Keys")]
#[schemars(with = "Keys")]
pub struct AccessLogConfig {
    pub place: Place,
    /// With the time zone of times that are logged without one.
    pub format: Format,
    pub client: ClientColumn,
    /// Names the upstream in telemetry.
    pub name: String,
    pub start: Start,
    /// Lines that were there before the daemon are not reported when they are older.
    pub max_age: Duration,
}

/// Where the lines are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Files(PathPattern),
    /// A systemd unit.
    Journal(Unit),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(PathPattern(text)) | Self::Journal(Unit(text)) => f.pad(text),
        }
    }
}

/// What the logged client address is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientColumn {
    /// The other end of the TCP connection.
    #[default]
    Peer,
    /// Taken from a header, as with nginx's `real_ip_header`. Such clients are banned at L7, never in the kernel.
    Header,
}

impl From<ClientColumn> for LearnedFrom {
    fn from(column: ClientColumn) -> Self {
        match column {
            ClientColumn::Peer => Self::Peer,
            ClientColumn::Header => Self::Header,
        }
    }
}

/// Where reading starts when the edge has never read the source before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// New lines only.
    #[default]
    End,
    /// All existing lines.
    Beginning,
}

/// An absolute path, in which `*`, `?`, `[…]` and `**` may stand for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(String);

impl PathPattern {
    /// # Errors
    ///
    /// One line that says what is wrong with `text`.
    pub fn new(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("`{text}` is no absolute path"));
        }
        let pattern = Self(text.to_owned());
        if pattern.is_glob() {
            Pattern::new(text).map_err(|error| {
                format!(
                    "`{text}` is no pattern: {} at character {}",
                    error.msg,
                    error.pos + 1
                )
            })?;
        } else if text.ends_with('/') {
            return Err(format!(
                "`{text}` is a folder; a pattern such as {text}*.log names its files"
            ));
        }
        Ok(pattern)
    }

    fn is_glob(&self) -> bool {
        self.0.contains(['*', '?', '['])
    }

    /// What is there now by this name or pattern, and the folders that could not be looked into. A plain path is there
    /// whether it exists or not.
    pub(super) fn paths(&self) -> (Vec<PathBuf>, Vec<io::Error>) {
        if !self.is_glob() {
            return (vec![PathBuf::from(&self.0)], Vec::new());
        }
        let (mut paths, mut errors) = (Vec::new(), Vec::new());
        // The pattern was checked when it was made.
        for path in glob::glob_with(&self.0, GLOB).into_iter().flatten() {
            match path {
                Ok(path) => paths.push(path),
                Err(error) => errors.push(error.into()),
            }
        }
        (paths, errors)
    }

    /// The path, or for a pattern the part of it before the first star.
    pub(super) fn literal(&self) -> &Path {
        let end = self.0.find(['*', '?', '[']).unwrap_or(self.0.len());
        let end = if end == self.0.len() {
            end
        } else {
            self.0[..end].rfind('/').unwrap_or(0).max(1)
        };
        Path::new(&self.0[..end])
    }

    /// Looks whether what is there may be read.
    ///
    /// # Errors
    ///
    /// What keeps a file or folder that exists from being read; the text names it.
    pub(in crate::sources) fn check(&self) -> Result<(), String> {
        let (paths, errors) = self.paths();
        if let Some(error) = errors.first() {
            return Err(format!("cannot look for {}: {error}", self.0));
        }
        for path in paths {
            match std::fs::File::open(&path) {
                Ok(file) => {
                    let is_folder = file.metadata().is_ok_and(|metadata| metadata.is_dir());
                    if is_folder && !self.is_glob() {
                        return Err(format!("{} is a folder", path.display()));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for PathPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The name of a systemd unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit(String);

impl Unit {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Unit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // systemd.unit(5)
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        if text.contains('.') && !text.starts_with('-') && text.bytes().all(is_name) {
            return Ok(Self(text));
        }
        Err(D::Error::custom(format!(
            "`{text}` is no unit; write it in full, as nginx.service"
        )))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// A file, or a pattern with `*`, `?`, `[…]` or `**`. It may be created later, and be rotated in any way.
    #[schemars(with = "Option<schema::Files>")]
    path: Option<PathPattern>,
    /// A systemd unit whose messages are the lines, in place of `path`.
    #[schemars(with = "Option<schema::Unit>")]
    journald: Option<Unit>,
    /// Format of the lines: `combined`, `common`, `nginx-json`, `caddy-json`, `traefik-json`, `haproxy`, `envoy`,
    /// `envoy-json`, `kong-json`, `pino-json`, `cloudflare-json`, `ecs-json`, or a pattern similar to nginx's `log_format`.
    #[schemars(with = "Option<schema::LogFormat>")]
    format: Option<Format>,
    /// Keys of a log of one JSON object a line that is none of these formats, in place of `format`.
    keys: Option<KeyMap>,
    /// Time zone of times that are logged without one, such as HAProxy's: `Europe/Berlin`.
    #[serde(default = "utc", with = "jiff::fmt::serde::tz::required")]
    #[schemars(with = "schema::TimeZone")]
    time_zone: TimeZone,
    /// Where the logged address comes from.
    #[serde(default)]
    client: ClientColumn,
    /// Name in telemetry. Default: the path or unit.
    name: Option<String>,
    /// Where to begin if the log has never been read before.
    #[serde(default)]
    start: Start,
    /// Skip lines that were there before the edge started if they are older than this.
    #[serde(default = "default_max_age")]
    max_age: HumanDuration,
}

fn utc() -> TimeZone {
    TimeZone::UTC
}

fn default_max_age() -> HumanDuration {
    HumanDuration(Duration::from_secs(60))
}

impl TryFrom<Keys> for AccessLogConfig {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, Self::Error> {
        let place = match (keys.path, keys.journald) {
            (Some(path), None) => Place::Files(path),
            (None, Some(unit)) => Place::Journal(unit),
            (None, None) => return Err("path or journald says where the lines are".to_owned()),
            (Some(_), Some(_)) => {
                return Err("path and journald are two places; give each an entry of its own".to_owned());
            }
        };
        let format = match (keys.format, keys.keys) {
            (format, None) => format.unwrap_or_default(),
            (None, Some(keys)) => keys
                .try_into()
                .map_err(|error: KeysError| format!("keys: {error}"))?,
            (Some(_), Some(_)) => return Err("format and keys are two formats; remove one".to_owned()),
        };
        Ok(Self {
            name: keys.name.unwrap_or_else(|| place.to_string()),
            place,
            format: format.with_time_zone(keys.time_zone),
            client: keys.client,
            start: keys.start,
            max_age: keys.max_age.0,
        })
    }
}

/// Finds what is wrong with the entries together and with the files that they name: the key to blame, and what to say.
///
/// # Errors
///
/// The first of them.
pub(crate) fn check(entries: &[AccessLogConfig]) -> Result<(), (String, String)> {
    for (number, entry) in entries.iter().enumerate() {
        let key = match entry.place {
            Place::Files(_) => format!("access_log[{number}].path"),
            Place::Journal(_) => format!("access_log[{number}].journald"),
        };
        if entries[..number].iter().any(|other| other.place == entry.place) {
            return Err((key, format!("{} is in two entries", entry.place)));
        }
        if let Place::Files(pattern) = &entry.place {
            pattern.check().map_err(|error| (key, error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AccessLogConfig, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn one_key_is_enough() {
        let entry = parse("path = \"/var/log/nginx/access.log\"").unwrap();
        assert_eq!(entry.name, "/var/log/nginx/access.log");
        assert_eq!((entry.client, entry.start), (ClientColumn::Peer, Start::End));
        assert_eq!(
            (entry.format, entry.max_age),
            (Format::default(), Duration::from_secs(60))
        );
        assert_eq!(
            parse("journald = \"nginx.service\"").unwrap().name,
            "nginx.service"
        );
    }

    #[test]
    fn a_time_zone_is_that_of_times_without_one() {
        let entry = parse("path = \"/a\"\nformat = \"haproxy\"\ntime_zone = \"+02:00\"").unwrap();
        let line = b"203.0.113.7:1 [10/Oct/2023:11:06:56.500] f b/s 1/0/0/3/4 200 7 - - ---- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"";
        assert_eq!(entry.format.parse(line).unwrap().at_ms, 1_696_928_816_500);
    }

    #[test]
    fn keys_name_the_fields_of_any_json() {
        let entry = parse(
            "path = \"/a\"\ntime_zone = \"+02:00\"\n[keys]\nclient = \"req.ip\"\ntime = [\"at\", \"time\"]\nstatus = \"code\"",
        )
        .unwrap();
        let line = br#"{"time":"2023-10-10 11:06:56","code":404,"req":{"ip":"203.0.113.7"}}"#;
        let line = entry.format.parse(line).unwrap();
        assert_eq!(
            (line.client.to_string().as_str(), line.at_ms, line.status),
            ("203.0.113.7", 1_696_928_816_000, 404)
        );
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (text, error) in [
            ("", "path or journald says where the lines are"),
            (
                "path = \"/a\"\njournald = \"a.service\"",
                "path and journald are two places",
            ),
            ("path = \"access.log\"", "`access.log` is no absolute path"),
            ("path = \"/var/log/\"", "`/var/log/` is a folder"),
            (
                "path = \"/var/log/[a\"",
                "`/var/log/[a` is no pattern: invalid range pattern at character 10",
            ),
            ("journald = \"nginx\"", "`nginx` is no unit"),
            ("journald = \"--flush.service\"", "is no unit"),
            ("path = \"/a\"\nstart = \"middle\"", "unknown variant `middle`"),
            ("path = \"/a\"\ntime_zone = \"Berlin\"", "`Berlin`"),
            (
                "path = \"/a\"\nformat = \"combined\"\n[keys]\nclient = \"a\"\ntime = \"b\"\nstatus = \"c\"",
                "format and keys are two formats; remove one",
            ),
            (
                "path = \"/a\"\n[keys]\nclient = \"a..b\"\ntime = \"b\"\nstatus = \"c\"",
                "keys: `a..b` is no path of keys",
            ),
            (
                "path = \"/a\"\n[keys]\nclient = \"a\"\ntime = \"b\"",
                "missing field `status`",
            ),
        ] {
            let told = parse(text).unwrap_err();
            assert!(told.contains(error), "{text}: {told}");
        }
    }

    #[test]
    fn the_literal_part_of_a_pattern_is_the_folder_to_watch() {
        for (pattern, literal) in [
            ("/var/log/nginx/access.log", "/var/log/nginx/access.log"),
            ("/var/log/nginx/*.log", "/var/log/nginx"),
            ("/srv/*/logs/access.log", "/srv"),
            ("/*.log", "/"),
        ] {
            assert_eq!(
                PathPattern::new(pattern).unwrap().literal(),
                Path::new(literal),
                "{pattern}"
            );
        }
    }

    #[test]
    fn files_that_may_not_be_read_are_named_with_their_key() {
        let entry = |path: &str| parse(&format!("path = \"{path}\"")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let missing = entry(&format!("{path}/none.log"));
        assert_eq!(check(std::slice::from_ref(&missing)), Ok(()));
        assert_eq!(
            check(&[entry(path)]),
            Err(("access_log[0].path".to_owned(), format!("{path} is a folder")))
        );
        assert_eq!(
            check(&[missing.clone(), missing]),
            Err((
                "access_log[1].path".to_owned(),
                format!("{path}/none.log is in two entries")
            ))
        );
    }
}
