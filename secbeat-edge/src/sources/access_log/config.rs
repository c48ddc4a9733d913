//! `[[access_log]]` of the config.

use std::{
    collections::HashMap,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use glob::{MatchOptions, Pattern};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use secbeat_common::wire::LearnedFrom;
use secbeat_daemon::config::{HumanDuration, schema};
use secbeat_logs::{
    Formats, KeyMap,
    services::{facility, is_unit, slice_of_instances},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{
    file::FileId,
    open::{OpenError, open_log},
};

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
    pub format: Formats,
    pub time_zone: TimeZone,
    pub client: ClientColumn,
    /// Names the upstream in telemetry.
    pub name: String,
    pub start: Start,
    /// Lines that were there before the daemon are not reported when they are older.
    pub max_age: Duration,
}

/// Place of the lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Files(PathPattern),
    /// A systemd unit.
    Journal(Unit),
    /// Several units, or what goes by some names in the journal.
    Entries(JournalMatch),
}

/// The entries of the journal that are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalMatch {
    /// `NAME@*.service` is each that its template makes.
    pub units: Vec<String>,
    /// Values of `SYSLOG_IDENTIFIER`: of the units, or if there are none, of what comes by syslog or by the journal's own protocol.
    pub identifiers: Vec<String>,
    /// Facilities, of what comes by syslog or by the journal's own protocol.
    pub facilities: Vec<String>,
}

impl JournalMatch {
    /// Returns what entries have to be like, since the host was booted.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel does not tell which boot this is.
    pub(super) fn matches(&self) -> io::Result<Matches> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(Matches {
            all: format!("_BOOT_ID={}", boot.trim().replace('-', "")),
            any: self.any(),
        })
    }

    /// Returns what an entry has to be like, `FIELD=value` each: it needs one value of each field of one of the lists. Where no
    /// unit is known, what comes by standard output is not asked for: it is divided at line breaks, and so may be the lines of a
    /// client.
    pub(in crate::sources) fn any(&self) -> Vec<Vec<String>> {
        const WHOLE: [&str; 2] = ["_TRANSPORT=syslog", "_TRANSPORT=journal"];
        let whole = |fields: &[String]| -> Vec<String> {
            fields.iter().cloned().chain(WHOLE.map(str::to_owned)).collect()
        };
        let names = self.identifiers.iter();
        let names: Vec<_> = names.map(|name| format!("SYSLOG_IDENTIFIER={name}")).collect();
        let numbers = self.facilities.iter().filter_map(|name| facility(name));
        let numbers: Vec<_> = numbers
            .map(|number| format!("SYSLOG_FACILITY={number}"))
            .collect();
        let slices = self.units.iter().filter_map(|unit| slice_of_instances(unit));
        let units = self
            .units
            .iter()
            .filter(|unit| slice_of_instances(unit).is_none());
        let mut any: Vec<Vec<String>> = vec![
            units.map(|unit| format!("_SYSTEMD_UNIT={unit}")).collect(),
            slices.map(|slice| format!("_SYSTEMD_SLICE={slice}")).collect(),
        ];
        any.retain(|list| !list.is_empty());
        match any.is_empty() {
            true if names.is_empty() => {}
            true => any.push(whole(&names)),
            false => any.iter_mut().for_each(|unit| unit.extend_from_slice(&names)),
        }
        any.extend((!numbers.is_empty()).then(|| whole(&numbers)));
        any
    }
}

/// What entries of the journal are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matches {
    /// `FIELD=value` that each has.
    pub(super) all: String,
    /// Lists of `FIELD=value`, one of which it fits; any entry does if there are none.
    pub(super) any: Vec<Vec<String>>,
}

impl fmt::Display for JournalMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self
            .units
            .iter()
            .chain(&self.identifiers)
            .chain(&self.facilities)
            .map(String::as_str)
            .collect();
        f.pad(&names.join("+"))
    }
}

impl From<Unit> for JournalMatch {
    fn from(Unit(unit): Unit) -> Self {
        Self {
            units: vec![unit],
            ..Self::default()
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(PathPattern(text)) | Self::Journal(Unit(text)) => f.pad(text),
            Self::Entries(wanted) => wanted.fmt(f),
        }
    }
}

impl Place {
    /// Whether a file of this path is read here.
    #[must_use]
    pub fn covers(&self, path: &Path) -> bool {
        matches!(self, Self::Files(pattern) if pattern.covers(path))
    }

    /// Returns what is matched here and not read, and why.
    pub(crate) fn passed_over(&self) -> Vec<String> {
        match self {
            Self::Files(pattern) => pattern.passed_over(),
            Self::Journal(_) | Self::Entries(_) => Vec::new(),
        }
    }

    /// The one path that is read here.
    fn single_path(&self) -> Option<&Path> {
        match self {
            Self::Files(pattern) if !pattern.is_glob() => Some(Path::new(&pattern.0)),
            _ => None,
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
            return Err(format!("invalid path `{text}`: expected an absolute one"));
        }
        let pattern = Self(text.to_owned());
        if pattern.is_glob() {
            Pattern::new(text).map_err(|error| {
                format!(
                    "invalid pattern `{text}`: {} at character {}",
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

    pub(super) fn is_glob(&self) -> bool {
        self.0.contains(['*', '?', '['])
    }

    /// Returns what is there now by this name or pattern, and the folders that could not be looked into. A plain path is there
    /// whether it exists or not.
    pub(in crate::sources) fn paths(&self) -> (Vec<PathBuf>, Vec<io::Error>) {
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

    /// Whether a path is this one, or goes by this pattern.
    fn covers(&self, path: &Path) -> bool {
        if self.is_glob() {
            Pattern::new(&self.0).is_ok_and(|pattern| pattern.matches_path_with(path, GLOB))
        } else {
            Path::new(&self.0) == path
        }
    }

    /// Looks whether what is there may be read. Returns the files. Beside logs, a pattern may match other things, which
    /// are [passed over](Self::passed_over).
    ///
    /// # Errors
    ///
    /// What keeps a file or folder that exists from being read; the text names it.
    fn check(&self) -> Result<Vec<(PathBuf, FileId)>, String> {
        let (paths, errors) = self.paths();
        if let Some(error) = errors.first() {
            return Err(format!("cannot look for {}: {error}", self.0));
        }
        let mut files = Vec::new();
        for path in paths {
            match open_log(&path) {
                Ok(opened) => files.push((path, FileId::from(&opened.metadata))),
                Err(error) if error.is_absence() => {}
                Err(error) if self.is_glob() && !matches!(error, OpenError::Io(_)) => {}
                Err(error) => return Err(format!("cannot follow {}: {error}", path.display())),
            }
        }
        Ok(files)
    }

    /// Returns what the pattern matches and is not a log, and why. Folders are nothing to tell of.
    fn passed_over(&self) -> Vec<String> {
        if !self.is_glob() {
            return Vec::new();
        }
        let paths = self.paths().0.into_iter();
        let passed_over = paths.filter_map(|path| match open_log(&path) {
            Ok(_) | Err(OpenError::Io(_) | OpenError::Folder) => None,
            Err(error) => Some(format!("{} is not read: {error}", path.display())),
        });
        passed_over.collect()
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

impl<'de> Deserialize<'de> for Unit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if is_unit(&text) {
            return Ok(Self(text));
        }
        Err(D::Error::custom(format!(
            "invalid unit `{text}`: expected its full name, such as nginx.service, or x@*.service for all of a template"
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
    /// Format of the lines: `combined`, `common`, `vhost-combined`, `nginx-json`, `caddy-json`, `traefik-json`,
    /// `haproxy`, `envoy-json`, `kong-json`, `pino-json`, `cloudflare-json`, `ecs-json`, `cloud-json`,
    /// `tomcat-json`, `envoy`, `istio`, `nginx-proxy-manager`, `ingress-nginx`, `apisix`, `lighttpd`,
    /// `python-http-server`, `aws-alb`, `cloudfront`, `iis`, `squid`, `aws-s3`, `uwsgi`, `gin`, or a pattern similar to nginx's `log_format`, Apache's
    /// `LogFormat` or HAProxy's `log-format`. A list, if the lines are in several.
    #[schemars(with = "Option<schema::LogFormats>")]
    format: Option<Formats>,
    /// Keys of lines that are one JSON object each and in none of these formats. `format` says what other lines are, if there
    /// are any.
    keys: Option<KeyMap>,
    /// Time zone of times that are logged without one, such as HAProxy's: `Europe/Berlin`.
    #[serde(default = "utc", with = "jiff::fmt::serde::tz::required")]
    #[schemars(with = "schema::TimeZone")]
    time_zone: TimeZone,
    /// Origin of the logged address.
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
            (None, None) => {
                return Err("missing: set `path` (a file or a pattern) or `journald` (a unit)".to_owned());
            }
            (Some(_), Some(_)) => {
                return Err("path and journald are two places; give each an entry of its own".to_owned());
            }
        };
        let format = Formats::stated(keys.format.as_ref(), keys.keys, &keys.time_zone);
        Ok(Self {
            name: keys.name.unwrap_or_else(|| place.to_string()),
            place,
            format: format.map_err(|error| format!("keys: {error}"))?,
            time_zone: keys.time_zone,
            client: keys.client,
            start: keys.start,
            max_age: keys.max_age.0,
        })
    }
}

/// Finds what is wrong with the places of all entries together, and with the files that they name: the key to blame, and
/// what to say. Each place comes with its key.
///
/// # Errors
///
/// The first of them.
pub(in crate::sources) fn check_places(places: &[(String, Place)]) -> Result<(), (String, String)> {
    let mut readers: HashMap<FileId, usize> = HashMap::new();
    for (number, (key, place)) in places.iter().enumerate() {
        let error = |message| (key.clone(), message);
        for (other, earlier) in &places[..number] {
            let mut single = [place, earlier].into_iter().filter_map(Place::single_path);
            if let Some(path) = single.find(|path| place.covers(path) && earlier.covers(path)) {
                let path = path.display();
                return Err(error(format!(
                    "{path} is in two entries: {other} = \"{earlier}\" names it too"
                )));
            }
            if place == earlier {
                return Err(error(format!("{place} is in two entries: {other} has it too")));
            }
        }
        let Place::Files(pattern) = place else { continue };
        for (path, id) in pattern.check().map_err(error)? {
            // A pattern may match a file and links to it.
            let reader = *readers.entry(id).or_insert(number);
            if reader != number {
                let (other, other_place) = &places[reader];
                return Err(error(format!(
                    "{} is in two entries: {other} = \"{other_place}\" leads to the same file",
                    path.display()
                )));
            }
        }
    }
    Ok(())
}

/// Checks the entries and the files that they name: the key to blame, and what to say.
///
/// # Errors
///
/// The first that is wrong.
pub(crate) fn check(entries: &[AccessLogConfig]) -> Result<(), (String, String)> {
    check_places(&keyed_places(entries))
}

/// The place of each entry, and the key that names it.
pub(in crate::sources) fn keyed_places(entries: &[AccessLogConfig]) -> Vec<(String, Place)> {
    let keyed = entries.iter().enumerate().map(|(number, entry)| {
        let key = match entry.place {
            Place::Files(_) => "path",
            Place::Journal(_) | Place::Entries(_) => "journald",
        };
        (format!("access_log[{number}].{key}"), entry.place.clone())
    });
    keyed.collect()
}

#[cfg(test)]
mod tests {
    use nix::{sys::stat::Mode, unistd::mkfifo};
    use secbeat_logs::Format;

    use super::*;

    fn parse(text: &str) -> Result<AccessLogConfig, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_reference_names_every_format() {
        let schema = serde_json::to_string(&schemars::schema_for!(AccessLogConfig)).unwrap();
        for format in Format::named() {
            assert!(schema.contains(&format!("`{format}`")), "{format}");
        }
    }

    #[test]
    fn one_key_is_enough() {
        let entry = parse("path = \"/var/log/nginx/access.log\"").unwrap();
        assert_eq!(entry.name, "/var/log/nginx/access.log");
        assert_eq!((entry.client, entry.start), (ClientColumn::Peer, Start::End));
        assert_eq!(
            (entry.format, entry.max_age),
            (Formats::default(), Duration::from_secs(60))
        );
        assert_eq!(
            parse("journald = \"nginx.service\"").unwrap().name,
            "nginx.service"
        );
    }

    #[test]
    fn keys_are_one_format_more() {
        let keys = "[keys]\nclient = [\"a.ip\", \"b\"]\ntime = \"t\"\nstatus = \"s\"";
        let json = br#"{"t":1795255616,"a":{"ip":"203.0.113.7"},"s":404}"#;
        let combined = br#"203.0.113.8 - - [21/Nov/2026:11:06:56 +0100] "GET / HTTP/1.1" 404 1"#;
        let clients = |more: &str| {
            let entry = parse(&format!("path = \"/a\"\n{more}\n{keys}")).unwrap();
            [&json[..], combined]
                .map(|line| entry.format.parse(line).ok().map(|line| line.client.to_string()))
        };
        let (own, other) = (Some("203.0.113.7".to_owned()), Some("203.0.113.8".to_owned()));
        assert_eq!(clients(""), [own.clone(), None]);
        assert_eq!(clients("format = \"combined\""), [own.clone(), other.clone()]);
        assert_eq!(clients("format = [\"caddy-json\", \"combined\"]"), [own, other]);
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
            (
                "",
                "missing: set `path` (a file or a pattern) or `journald` (a unit)",
            ),
            (
                "path = \"/a\"\njournald = \"a.service\"",
                "path and journald are two places",
            ),
            (
                "path = \"access.log\"",
                "invalid path `access.log`: expected an absolute one",
            ),
            ("path = \"/var/log/\"", "`/var/log/` is a folder"),
            (
                "path = \"/var/log/[a\"",
                "invalid pattern `/var/log/[a`: invalid range pattern at character 10",
            ),
            ("journald = \"nginx\"", "invalid unit `nginx`"),
            ("journald = \"--flush.service\"", "invalid unit `--flush.service`"),
            ("path = \"/a\"\nstart = \"middle\"", "unknown variant `middle`"),
            ("path = \"/a\"\ntime_zone = \"Berlin\"", "`Berlin`"),
            (
                "path = \"/a\"\n[keys]\nclient = \"a..b\"\ntime = \"b\"\nstatus = \"c\"",
                "keys: invalid path of keys `a..b`",
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
            Err((
                "access_log[0].path".to_owned(),
                format!("cannot follow {path}: it is a folder; a pattern such as *.log names its files")
            ))
        );
        let pipe = format!("{path}/pipe.log");
        mkfifo(Path::new(&pipe), Mode::from_bits_truncate(0o600)).unwrap();
        let (key, told) = check(&[entry(&pipe)]).unwrap_err();
        assert_eq!(key, "access_log[0].path");
        assert!(told.contains("pipe.log: it is a named pipe"), "{told}");
        let pattern = entry(&format!("{path}/*.log"));
        assert_eq!(
            pattern.place.passed_over(),
            [format!(
                "{pipe} is not read: it is a named pipe, and only regular files can be followed; let the server log to a file"
            )]
        );
        assert_eq!(check(&[pattern]), Ok(()));
    }

    #[test]
    fn a_file_of_two_entries_is_refused_with_both() {
        let entry = |path: &str| parse(&format!("path = \"{path}\"")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        std::fs::write(folder.path().join("site1.log"), "").unwrap();
        std::os::unix::fs::symlink("site1.log", folder.path().join("link")).unwrap();
        let glob = "access_log[0].path = \"PATH/*.log\"";
        for (first, second, told) in [
            // Where there is no file yet.
            (
                "none",
                "none",
                "PATH/none is in two entries: access_log[0].path = \"PATH/none\" names it too",
            ),
            (
                "*.log",
                "none.log",
                "PATH/none.log is in two entries: GLOB names it too",
            ),
            (
                "none.log",
                "*.log",
                "PATH/none.log is in two entries: access_log[0].path = \"PATH/none.log\" names it too",
            ),
            (
                "*.log",
                "*.log",
                "PATH/*.log is in two entries: access_log[0].path has it too",
            ),
            (
                "*.log",
                "site1*",
                "PATH/site1.log is in two entries: GLOB leads to the same file",
            ),
            (
                "*.log",
                "link",
                "PATH/link is in two entries: GLOB leads to the same file",
            ),
        ] {
            let entries = [first, second].map(|name| entry(&format!("{path}/{name}")));
            let told = told.replace("GLOB", glob).replace("PATH", path);
            assert_eq!(check(&entries), Err(("access_log[1].path".to_owned(), told)));
        }
        assert_eq!(check(&[entry(&format!("{path}/*"))]), Ok(()));
    }
}
