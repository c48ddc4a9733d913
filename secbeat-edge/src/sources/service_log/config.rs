//! `[[service_log]]` of the config.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use secbeat_daemon::config::{HumanDuration, schema};
use secbeat_logs::services::Filter;
use serde::Deserialize;

use crate::sources::access_log::{ClientColumn, PathPattern, Place, Start, Unit, Wanted, check_places};

/// A log that was not written for so long is one that its service writes no more.
const STALE: Duration = Duration::from_hours(24);
/// Where systemd's journal takes messages.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// The log of one service.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceLogConfig {
    /// Name of a filter: one that is shipped, as `sshd`, or a file of `filters_dir` without `.toml`. `secbeat-edge filter list`
    /// shows all.
    pub filter: String,
    /// A file, or a pattern with `*`, `?`, `[…]` or `**`. Default: what the filter says: the files that are there, and the
    /// journal if none of them was written within a day.
    #[serde(default)]
    #[schemars(with = "Option<schema::Files>")]
    pub path: Option<PathPattern>,
    /// A systemd unit whose messages are the lines, in place of `path`.
    #[serde(default)]
    #[schemars(with = "Option<schema::Unit>")]
    pub journald: Option<Unit>,
    /// Where the logged address comes from.
    #[serde(default)]
    pub client: ClientColumn,
    /// Report the user names that clients tried, so that `why` shows them. Passwords are never reported.
    #[serde(default)]
    pub users: bool,
    /// Time zone of times that are logged without one. Default: the host's.
    #[serde(default, with = "jiff::fmt::serde::tz::optional")]
    #[schemars(with = "Option<schema::TimeZone>")]
    pub time_zone: Option<TimeZone>,
    /// Where to begin if the log has never been read before.
    #[serde(default)]
    pub start: Start,
    /// Skip lines that were there before the edge started if they are older than this.
    #[serde(default = "default_max_age")]
    pub max_age: HumanDuration,
}

fn default_max_age() -> HumanDuration {
    HumanDuration(Duration::from_mins(10))
}

impl ServiceLogConfig {
    /// The zone of times that are logged without one.
    pub(super) fn zone(&self) -> TimeZone {
        self.time_zone.clone().unwrap_or_else(TimeZone::system)
    }

    /// Where its lines are, on this host now.
    ///
    /// # Errors
    ///
    /// When neither the entry nor its filter says.
    pub(super) fn places(&self, filter: &Filter) -> Result<Vec<Place>, String> {
        match (&self.path, &self.journald) {
            (Some(_), Some(_)) => {
                Err("path and journald are two places; give each an entry of its own".to_owned())
            }
            (Some(path), None) => Ok(vec![Place::Files(path.clone())]),
            (None, Some(unit)) => Ok(vec![Place::Entries(unit.clone().into())]),
            (None, None) => default_places(filter, Path::new(JOURNAL).exists(), SystemTime::now()),
        }
    }

    /// What has to be the same in all entries of one log.
    pub(super) fn is_read_as(&self, other: &Self) -> bool {
        (self.client, self.users, self.start, self.max_age)
            == (other.client, other.users, other.start, other.max_age)
            && self.time_zone == other.time_zone
    }
}

/// Files that the service writes, or else the journal, or else where a file will be. A file that was not written for long and
/// the journal are read both: the service may be quiet, or may have left the file.
fn default_places(filter: &Filter, has_journal: bool, now: SystemTime) -> Result<Vec<Place>, String> {
    let patterns: Result<Vec<_>, _> = filter.paths.iter().map(|path| PathPattern::new(path)).collect();
    let patterns = patterns?;
    let wanted = Wanted {
        units: filter.journald.units.clone(),
        identifiers: filter.journald.identifiers.clone(),
    };
    let journal = (wanted != Wanted::default()).then_some(Place::Entries(wanted));
    let written: Vec<_> = patterns
        .iter()
        .filter_map(|pattern| Some((pattern, written(pattern)?)))
        .collect();
    let is_stale = |at: &SystemTime| now.duration_since(*at).is_ok_and(|age| age > STALE);
    let may_have_left = written.iter().all(|(_, at)| is_stale(at));
    let files = written
        .iter()
        .map(|(pattern, _)| Place::Files((*pattern).clone()));
    let mut places: Vec<_> = files.collect();
    places.extend(journal.clone().filter(|_| has_journal && may_have_left));
    if places.is_empty() {
        let file = patterns.into_iter().next().map(Place::Files);
        places.extend(file.or(journal));
    }
    match places.is_empty() {
        true => {
            let note = filter.note.as_deref();
            let why = note.map(|note| format!(": {note}")).unwrap_or_default();
            Err(format!(
                "the filter names no log, so path or journald has to{why}"
            ))
        }
        false => Ok(places),
    }
}

/// When the latest of the files that are there was written.
fn written(pattern: &PathPattern) -> Option<SystemTime> {
    let metadata = pattern
        .paths()
        .0
        .into_iter()
        .filter_map(|path| path.metadata().ok());
    let files = metadata.filter(std::fs::Metadata::is_file);
    files.filter_map(|file| file.modified().ok()).max()
}

/// Finds what is wrong with the entries together and with the files that they name: the key to blame, and what to say.
/// `others` are the places of other logs with their keys, and `load` finds a filter.
///
/// # Errors
///
/// The first of them.
pub(super) fn check(
    entries: &[ServiceLogConfig],
    others: Vec<(String, Place)>,
    load: impl Fn(&str) -> Result<Filter, String>,
) -> Result<(), (String, String)> {
    let mut places = others;
    let mut own: Vec<(usize, Place)> = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        let error = |key: &str, what| (format!("service_log[{number}].{key}"), what);
        let filter = load(&entry.filter).map_err(|what| error("filter", what))?;
        for place in entry.places(&filter).map_err(|what| error("path", what))? {
            match own.iter().find(|(_, known)| *known == place) {
                Some((other, _)) if !entries[*other].is_read_as(entry) => {
                    let what = format!(
                        "{place} is in service_log[{other}] too, with another client, users, time_zone, start or max_age"
                    );
                    return Err(error("path", what));
                }
                Some(_) => {}
                None => {
                    places.push((format!("service_log[{number}].path"), place.clone()));
                    own.push((number, place));
                }
            }
        }
    }
    check_places(&places)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTER: &str = r#"
name = "x"
title = "X"
programs = ["x"]
rule = { threshold = 5, window = "10m" }
must = []
must_not = []
paths = PATHS
journald.units = UNITS
[[pattern]]
kind = "a"
event = "scan"
match = ['{client}']
"#;

    fn filter(paths: &[&str], units: &[&str]) -> Filter {
        let text = FILTER
            .replace("PATHS", &format!("{paths:?}"))
            .replace("UNITS", &format!("{units:?}"));
        Filter::parse(&text).unwrap()
    }

    fn parse(text: &str) -> ServiceLogConfig {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_file_that_is_written_comes_before_the_journal_and_an_old_one_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.log");
        std::fs::write(&path, "").unwrap();
        let (here, gone) = (path.to_str().unwrap(), "/nowhere/x.log");
        let now = SystemTime::now();
        let found = |paths: &[&str], units: &[&str], has_journal, now| {
            let places = default_places(&filter(paths, units), has_journal, now);
            places.map(|places| places.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let units = &["x.service", "y.service"];
        let journal = Ok(vec!["x.service+y.service".to_owned()]);
        assert_eq!(found(&[gone, here], units, true, now), Ok(vec![here.to_owned()]));
        assert_eq!(
            found(&[gone, here], units, true, now + 2 * STALE),
            Ok(vec![here.to_owned(), "x.service+y.service".to_owned()])
        );
        assert_eq!(
            found(&[gone, here], units, false, now + 2 * STALE),
            Ok(vec![here.to_owned()])
        );
        assert_eq!(found(&[gone], units, true, now), journal);
        assert_eq!(found(&[gone], &[], true, now), Ok(vec![gone.to_owned()]));
        assert!(found(&[], &[], true, now).is_err());
    }

    #[test]
    fn services_share_a_log_if_they_read_it_alike() {
        let entries = ["postfix", "dovecot"]
            .map(|name| parse(&format!("filter = \"{name}\"\npath = \"/nowhere/mail.log\"")));
        let load = |_: &str| Ok(filter(&[], &[]));
        assert_eq!(check(&entries, Vec::new(), load), Ok(()));
        let mut differing = entries.clone();
        differing[1].users = true;
        let (key, what) = check(&differing, Vec::new(), load).unwrap_err();
        assert_eq!(key, "service_log[1].path");
        assert!(
            what.starts_with("/nowhere/mail.log is in service_log[0] too, with another"),
            "{what}"
        );
        let other = Place::Files(PathPattern::new("/nowhere/mail.log").unwrap());
        let (_, what) = check(&entries, vec![("access_log[0].path".to_owned(), other)], load).unwrap_err();
        assert!(what.contains("access_log[0]"), "{what}");
        let (key, _) = check(&entries, Vec::new(), |_| Err("no".to_owned())).unwrap_err();
        assert_eq!(key, "service_log[0].filter");
    }
}
