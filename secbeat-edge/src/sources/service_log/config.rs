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

use crate::sources::access_log::{ClientColumn, JournalMatch, PathPattern, Place, Start, Unit, check_places};

/// A log that was not written for so long is one that its service writes no more.
const STALE: Duration = Duration::from_hours(24);
/// Where systemd's journal takes messages.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// The log of one service.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceLogConfig {
    /// Name of a filter: one that is shipped, such as `sshd`, or a file of `filters_dir` without `.toml`. `secbeat-edge filter list`
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
    /// Origin of the logged address.
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

    /// Returns where its lines are, on this host now.
    ///
    /// # Errors
    ///
    /// Returns an error if neither the entry nor its filter says.
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

    /// Whether it reads what the service writes on this host, of what is there: by the journal, or in files where the filter looks for them.
    /// Any other file may be one of another host or of a container.
    pub(super) fn reads_this_host(&self, filter: &Filter) -> bool {
        let is_usual = |path: &PathPattern| {
            let mut usual = filter.paths.iter();
            usual.any(|usual| PathPattern::new(usual).is_ok_and(|usual| usual == *path))
        };
        let is_there = |place: &Place| match place {
            Place::Files(pattern) => written(pattern).is_some(),
            Place::Journal(_) | Place::Entries(_) => true,
        };
        self.path.as_ref().is_none_or(is_usual)
            && self
                .places(filter)
                .is_ok_and(|places| places.iter().any(is_there))
    }

    /// Whether `other` says the same of all that has to be the same in the entries of one log.
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
    let wanted = wanted(filter);
    let journal = (wanted != JournalMatch::default()).then_some(Place::Entries(wanted));
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

/// Returns what the journal is asked for.
fn wanted(filter: &Filter) -> JournalMatch {
    JournalMatch {
        units: filter.journald.units.clone(),
        identifiers: filter.journald.identifiers.clone(),
        facilities: filter.journald.facilities.clone(),
    }
}

/// Returns when the latest of the files that are there was written.
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
    use secbeat_logs::services::{Input, shipped, shipped_names};

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

    /// Entries as units of distributions write them: the filter, and fields of the journal.
    const ENTRIES: &[(&str, &str)] = &[
        ("authelia", "_SYSTEMD_UNIT=authelia.service _TRANSPORT=stdout"),
        (
            "authentik",
            "_SYSTEMD_UNIT=authentik-server.service _TRANSPORT=stdout",
        ),
        (
            "courier",
            "_SYSTEMD_UNIT=courier-imap.service SYSLOG_IDENTIFIER=imapd",
        ),
        (
            "courier",
            "_SYSTEMD_UNIT=courier-pop-ssl.service SYSLOG_IDENTIFIER=pop3d-ssl",
        ),
        (
            "courier",
            "_SYSTEMD_UNIT=courier-msa.service SYSLOG_IDENTIFIER=courieresmtpd",
        ),
        (
            "courier",
            "_SYSTEMD_UNIT=courier-mta-ssl.service SYSLOG_IDENTIFIER=courieresmtpd",
        ),
        (
            "cyrus",
            "_SYSTEMD_UNIT=cyrus-imapd.service SYSLOG_IDENTIFIER=cyrus/imap",
        ),
        (
            "dovecot",
            "_SYSTEMD_UNIT=dovecot.service SYSLOG_IDENTIFIER=dovecot",
        ),
        (
            "dropbear",
            "_SYSTEMD_UNIT=dropbear.service SYSLOG_IDENTIFIER=dropbear",
        ),
        (
            "home-assistant",
            "_SYSTEMD_UNIT=home-assistant@homeassistant.service _TRANSPORT=stdout",
        ),
        ("keycloak", "_SYSTEMD_UNIT=keycloak.service _TRANSPORT=stdout"),
        ("mysql", "_SYSTEMD_UNIT=mariadb.service _TRANSPORT=stdout"),
        (
            "openvpn",
            r"_SYSTEMD_UNIT=openvpn-server@a.service _SYSTEMD_SLICE=system-openvpn\x2dserver.slice SYSLOG_IDENTIFIER=openvpn _TRANSPORT=stdout",
        ),
        (
            "openvpn",
            "_SYSTEMD_UNIT=openvpn@a.service _SYSTEMD_SLICE=system-openvpn.slice SYSLOG_IDENTIFIER=ovpn-a _TRANSPORT=syslog",
        ),
        (
            "pam",
            "_SYSTEMD_UNIT=vsftpd.service SYSLOG_IDENTIFIER=vsftpd SYSLOG_FACILITY=10 _TRANSPORT=syslog",
        ),
        (
            "phpmyadmin",
            "_SYSTEMD_UNIT=apache2.service SYSLOG_IDENTIFIER=phpMyAdmin _TRANSPORT=syslog",
        ),
        (
            "postfix",
            "_SYSTEMD_UNIT=postfix.service SYSLOG_IDENTIFIER=postfix/smtpd",
        ),
        (
            "postfix",
            "_SYSTEMD_UNIT=postfix@-.service SYSLOG_IDENTIFIER=postfix/submission/smtpd",
        ),
        (
            "postfix",
            "_SYSTEMD_UNIT=postfix@mx.service _SYSTEMD_SLICE=system-postfix.slice SYSLOG_IDENTIFIER=postfix-mx/smtpd",
        ),
        (
            "proxmox",
            "_SYSTEMD_UNIT=pvedaemon.service SYSLOG_IDENTIFIER=pvedaemon",
        ),
        (
            "pure-ftpd",
            "_SYSTEMD_UNIT=pure-ftpd.service SYSLOG_IDENTIFIER=pure-ftpd",
        ),
        (
            "roundcube",
            "_SYSTEMD_UNIT=php8.2-fpm.service SYSLOG_IDENTIFIER=roundcube _TRANSPORT=syslog",
        ),
        ("sshd", "_SYSTEMD_UNIT=ssh.service SYSLOG_IDENTIFIER=sshd"),
        (
            "sshd",
            "_SYSTEMD_UNIT=sshd.service SYSLOG_IDENTIFIER=sshd-session",
        ),
        (
            "sshd",
            "_SYSTEMD_UNIT=sshd@5-198.51.100.1:22-203.0.113.7:4000.service _SYSTEMD_SLICE=system-sshd.slice SYSLOG_IDENTIFIER=sshd",
        ),
        (
            "vaultwarden",
            "_SYSTEMD_UNIT=vaultwarden.service SYSLOG_IDENTIFIER=vaultwarden _TRANSPORT=syslog",
        ),
        ("webmin", "_SYSTEMD_UNIT=webmin.service SYSLOG_IDENTIFIER=webmin"),
        (
            "wordpress",
            "_SYSTEMD_UNIT=php8.2-fpm.service SYSLOG_IDENTIFIER=wordpress(example.org) SYSLOG_FACILITY=4 _TRANSPORT=syslog",
        ),
    ];
    /// Entries that a filter does not ask for.
    const OTHERS: &[(&str, &str)] = &[
        (
            "sshd",
            "_SYSTEMD_UNIT=user@1000.service SYSLOG_IDENTIFIER=sshd _TRANSPORT=syslog",
        ),
        (
            "vaultwarden",
            "_SYSTEMD_UNIT=vaultwarden.service SYSLOG_IDENTIFIER=vaultwarden _TRANSPORT=stdout",
        ),
        (
            "pam",
            "_SYSTEMD_UNIT=vsftpd.service SYSLOG_IDENTIFIER=vsftpd SYSLOG_FACILITY=3 _TRANSPORT=syslog",
        ),
    ];
    /// Filters that know their lines by what these begin with, and not by a program's name.
    const BY_HEAD: [&str; 6] = [
        "authelia",
        "authentik",
        "home-assistant",
        "keycloak",
        "mysql",
        "vaultwarden",
    ];

    fn is_asked_for(filter: &Filter, entry: &str) -> bool {
        let field = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
        let has = |list: &[String], wanted: &str| {
            let mut values = entry.split(' ').filter(|text| field(text) == field(wanted));
            values.any(|value| list.iter().any(|text| text == value))
        };
        let any = wanted(filter).any();
        any.iter().any(|list| list.iter().all(|wanted| has(list, wanted)))
    }

    #[test]
    fn every_shipped_filter_finds_in_the_journal_what_units_of_distributions_write() {
        for (name, entry) in ENTRIES {
            let filter = shipped(name).unwrap().unwrap();
            assert!(is_asked_for(&filter, entry), "{name}: {entry}");
            let identifier = entry
                .split(' ')
                .find_map(|text| text.strip_prefix("SYSLOG_IDENTIFIER="));
            let named = Input::Entry {
                identifier: identifier.unwrap_or_default(),
                pid: "1",
                at_ms: 0,
                message: b"",
            };
            assert!(
                BY_HEAD.contains(name) || filter.is_named_by(&named),
                "{name}: {entry}"
            );
        }
        for (name, entry) in OTHERS {
            assert!(
                !is_asked_for(&shipped(name).unwrap().unwrap(), entry),
                "{name}: {entry}"
            );
        }
        for name in shipped_names() {
            let filter = shipped(name).unwrap().unwrap();
            let is_known = ENTRIES.iter().any(|(known, _)| *known == name);
            assert_eq!(is_known, !wanted(&filter).any().is_empty(), "{name}");
        }
    }

    #[test]
    fn a_name_narrows_units_and_alone_is_asked_for_in_whole_messages() {
        let any = |units: &[&str], names: &[&str]| {
            let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let wanted = JournalMatch {
                units: own(units),
                identifiers: own(names),
                ..JournalMatch::default()
            };
            let lists = wanted.any().into_iter().map(|list| list.join(" "));
            lists.collect::<Vec<_>>()
        };
        assert_eq!(any(&["a.service"], &[]), ["_SYSTEMD_UNIT=a.service"]);
        assert_eq!(
            any(&["a.service", "b@*.service"], &["x"]),
            [
                "_SYSTEMD_UNIT=a.service SYSLOG_IDENTIFIER=x",
                "_SYSTEMD_SLICE=system-b.slice SYSLOG_IDENTIFIER=x"
            ]
        );
        assert_eq!(
            any(&[], &["x"]),
            ["SYSLOG_IDENTIFIER=x _TRANSPORT=syslog _TRANSPORT=journal"]
        );
    }

    #[test]
    fn what_is_no_log_of_this_host_takes_no_line_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (here, other, gone) = (path("x.log"), path("other.log"), path("gone.log"));
        std::fs::write(&here, "").unwrap();
        std::fs::write(&other, "").unwrap();
        for (usual, entry, expected) in [
            (&here, String::new(), true),
            (&gone, String::new(), false),
            (&gone, "journald = \"x.service\"".to_owned(), true),
            (&here, format!("path = \"{here}\""), true),
            (&here, format!("path = \"{other}\""), false),
        ] {
            let of_host =
                parse(&format!("filter = \"x\"\n{entry}")).reads_this_host(&filter(&[usual.as_str()], &[]));
            assert_eq!(of_host, expected, "{usual} {entry}");
        }
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
