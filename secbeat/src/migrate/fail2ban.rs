//! fail2ban's bans and settings.

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use secbeat_common::prefix::Prefix;
use secbeat_daemon::time::now_ms;
use secbeat_logs::services::shipped;

use super::{Ban, Found, Limits, python};

/// Take over fail2ban's bans with their ends, `ignoreip`, and the limits of its jails.
#[derive(Debug, clap::Args)]
pub(super) struct Fail2ban {
    /// Its database.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/var/lib/fail2ban/fail2ban.sqlite3"
    )]
    database: PathBuf,
    /// What `fail2ban-client -d` printed [default: it is asked].
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
}

/// What a jail's name says: the filter of the service here, and the rule.
const JAILS: &[(&str, &str, &str)] = &[
    ("sshd", "sshd", "ssh-bruteforce"),
    ("ssh", "sshd", "ssh-bruteforce"),
    ("sshd-ddos", "sshd", "ssh-bruteforce"),
    ("dropbear", "dropbear", "ssh-bruteforce"),
    ("postfix", "postfix", "mail-bruteforce"),
    ("postfix-sasl", "postfix", "mail-bruteforce"),
    ("dovecot", "dovecot", "mail-bruteforce"),
    ("sieve", "dovecot", "mail-bruteforce"),
    ("exim", "exim", "mail-bruteforce"),
    ("vsftpd", "vsftpd", "ftp-bruteforce"),
    ("proftpd", "proftpd", "ftp-bruteforce"),
    ("pure-ftpd", "pure-ftpd", "ftp-bruteforce"),
    ("mysqld-auth", "mysql", "database-bruteforce"),
    ("asterisk", "asterisk", "voip-bruteforce"),
    ("grafana", "grafana", "service-bruteforce"),
    ("gitea", "gitea", "service-bruteforce"),
    ("nextcloud", "nextcloud", "service-bruteforce"),
    ("vaultwarden", "vaultwarden", "service-bruteforce"),
    ("phpmyadmin-syslog", "phpmyadmin", "service-bruteforce"),
    ("courier-auth", "courier", "service-bruteforce"),
    ("courier-smtp", "courier", "service-bruteforce"),
    ("cyrus-imap", "cyrus", "service-bruteforce"),
    ("ejabberd-auth", "ejabberd", "service-bruteforce"),
    ("murmur", "mumble", "service-bruteforce"),
    ("roundcube-auth", "roundcube", "service-bruteforce"),
    ("webmin-auth", "webmin", "service-bruteforce"),
];
/// What others do whose names begin so.
const COVERED: &[(&str, &str)] = &[
    (
        "nginx-",
        "the rules over access logs count errors, logins and signatures of nginx's clients",
    ),
    (
        "apache-",
        "the rules over access logs count errors, logins and signatures of Apache's clients",
    ),
    (
        "recidive",
        "who is banned again is banned for longer: `strike_factor` under [ban]",
    ),
];

/// The settings of a jail.
#[derive(Clone, Debug, Default)]
struct Jail {
    max_retry: Option<u32>,
    find_time: Option<i64>,
    ban_time: Option<i64>,
    is_started: bool,
}

impl Fail2ban {
    pub(super) fn look(&self) -> anyhow::Result<Found> {
        let mut found = Found::default();
        read_bans(&self.database, now_ms() / 1000, &mut found)?;
        match self.settings_text()? {
            Some((text, from)) => {
                found.read.push(from);
                read_settings(&text, &mut found);
            }
            None => found.left.push(
                "ignoreip and jails: fail2ban-client is not installed, and only `fail2ban-client -d` knows what its files come to; \
                 give its output by --settings"
                    .to_owned(),
            ),
        }
        Ok(found)
    }

    /// What `fail2ban-client -d` says, and from where that is; `None` where there is no such program.
    fn settings_text(&self) -> anyhow::Result<Option<(String, String)>> {
        if let Some(path) = &self.settings {
            let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            return Ok(Some((text, path.display().to_string())));
        }
        let asked = match Command::new("fail2ban-client").arg("-d").output() {
            Ok(asked) => asked,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("running fail2ban-client -d"),
        };
        ensure!(
            asked.status.success(),
            "fail2ban-client -d: {}",
            String::from_utf8_lossy(&asked.stderr).trim()
        );
        let text = String::from_utf8_lossy(&asked.stdout).into_owned();
        Ok(Some((
            text,
            "the output of fail2ban-client -d, of /etc/fail2ban".to_owned(),
        )))
    }
}

/// Bans that hold at `now`, seconds since the Unix epoch.
fn read_bans(database: &Path, now: i64, found: &mut Found) -> anyhow::Result<()> {
    let shown = database.display();
    if !database.exists() {
        found.left.push(format!("bans: there is no {shown}"));
        return Ok(());
    }
    // Of a server that runs, too: it is only read.
    let db = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("opening {shown}"))?;
    let read = || format!("reading the table bips of {shown}, which fail2ban has from 0.11 on");
    let mut bans = db
        .prepare("SELECT ip, jail, timeofban, bantime FROM bips ORDER BY ip, jail")
        .with_context(read)?;
    let rows = bans
        .query_map([], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, i64>(3)?,
            ))
        })
        .with_context(read)?;
    for row in rows {
        let (target, jail, began, length) = row.with_context(read)?;
        let ends = began.saturating_add(length);
        if length >= 0 && ends <= now {
            continue;
        }
        let ends = match length {
            ..0 => None,
            _ => Some(Timestamp::from_second(ends).with_context(read)?.to_string()),
        };
        let note = format!("fail2ban {jail}");
        found.bans.push(Ban { target, ends, note });
    }
    found.read.push(shown.to_string());
    Ok(())
}

fn read_settings(text: &str, found: &mut Found) {
    let mut jails: BTreeMap<String, Jail> = BTreeMap::new();
    let mut ignored: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for words in text.lines().filter_map(python::list) {
        let words: Vec<&str> = words.iter().map(python::Item::text).collect();
        match words.as_slice() {
            ["start", jail] => jails.entry((*jail).to_owned()).or_default().is_started = true,
            ["set", jail, "addignoreip", networks @ ..] => {
                for network in networks {
                    ignored
                        .entry((*network).to_owned())
                        .or_default()
                        .push((*jail).to_owned());
                }
            }
            ["set", jail, key @ ("maxretry" | "findtime" | "bantime"), value] => {
                let jail = jails.entry((*jail).to_owned()).or_default();
                match *key {
                    "maxretry" => jail.max_retry = value.parse().ok(),
                    "findtime" => jail.find_time = seconds(value),
                    _ => jail.ban_time = seconds(value),
                }
            }
            ["set", jail, "ignorecommand", command] if !command.is_empty() => found.left.push(format!(
                "ignorecommand of {jail}: nothing here asks a program whom to ignore"
            )),
            _ => {}
        }
    }
    for (network, jails) in ignored {
        let (address, jails) = (network.split('/').next().unwrap_or_default(), jails.join(", "));
        match (address.parse::<IpAddr>(), network.parse::<Prefix>()) {
            // A host itself is never banned.
            (Ok(address), _) if address.is_loopback() => {}
            (_, Ok(network)) => found
                .allowed
                .push((network.to_string(), format!("ignoreip of {jails}"))),
            (_, Err(why)) => found.left.push(format!("ignoreip {network} of {jails}: {why}")),
        }
    }
    for (name, jail) in jails.into_iter().filter(|(_, jail)| jail.is_started) {
        take_jail(&name, &jail, found);
    }
}

fn take_jail(name: &str, jail: &Jail, found: &mut Found) {
    if let Some((_, why)) = COVERED.iter().find(|(begin, _)| name.starts_with(begin)) {
        found
            .left
            .push(format!("jail {name}, since it is not needed: {why}"));
        return;
    }
    let Some((_, service, rule)) = JAILS.iter().find(|(known, ..)| *known == name) else {
        found.left.push(format!(
            "jail {name}: no filter here is for it; `secbeat filter import /etc/fail2ban/filter.d/{name}.conf` translates its own"
        ));
        return;
    };
    let (Some(threshold), Some(Ok(window))) = (jail.max_retry, jail.find_time.map(u64::try_from)) else {
        found
            .left
            .push(format!("jail {name}: its maxretry or findtime cannot be read"));
        return;
    };
    if let Some(Ok(filter)) = shipped(service)
        && filter.names_no_log()
    {
        let note = filter.note.unwrap_or_default();
        found
            .left
            .push(format!("jail {name}: the filter {service} names no log. {note}"));
        return;
    }
    let ban = match jail.ban_time {
        Some(seconds) => u64::try_from(seconds).ok().filter(|seconds| *seconds > 0),
        None => None,
    };
    if jail.ban_time.is_some_and(|seconds| seconds < 0) {
        found.left.push(format!(
            "bantime of {name}: automatic bans end here; `max_duration` under [ban] says when at the latest"
        ));
    }
    found.limits.push(Limits {
        service,
        rule,
        threshold,
        window,
        ban,
    });
}

/// A duration as fail2ban has it, `600`, `10m`, `1d 12h` or `-1`, in seconds.
fn seconds(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.trim().parse::<i64>() {
        return Some(seconds);
    }
    let mut sum: i64 = 0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let letters = behind.trim_start();
        let end = letters
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(letters.len());
        let (unit, behind) = letters.split_at(end);
        let unit = match unit {
            "" | "s" | "ss" | "sec" | "second" | "seconds" => 1,
            "m" | "mm" | "min" | "minute" | "minutes" => 60,
            "h" | "hh" | "hour" | "hours" => 3600,
            "d" | "dd" | "day" | "days" => 86_400,
            "w" | "ww" | "week" | "weeks" => 7 * 86_400,
            // As fail2ban reckons them.
            "mo" | "mon" | "month" | "months" => 2_629_800,
            "y" | "yy" | "year" | "years" => 31_557_600,
            _ => return None,
        };
        sum = sum.checked_add(number.parse::<i64>().ok()?.checked_mul(unit)?)?;
        rest = behind.trim_start();
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `fail2ban-client -d` of 1.0.2 prints it.
    const SETTINGS: &str = "['set', 'dbfile', '/var/lib/fail2ban/fail2ban.sqlite3']\n\
        ['add', 'sshd', 'auto']\n['set', 'sshd', 'maxretry', 3]\n['set', 'sshd', 'findtime', '1h']\n\
        ['set', 'sshd', 'bantime', '1d 12h']\n['set', 'sshd', 'addignoreip', '127.0.0.1/8', '::1', '192.0.2.0/24', 'office.example']\n\
        ['set', 'sshd', 'ignorecommand', '']\n['start', 'sshd']\n\
        ['add', 'mine', 'auto']\n['set', 'mine', 'maxretry', 3]\n['set', 'mine', 'findtime', '600']\n['start', 'mine']\n\
        ['add', 'nginx-http-auth', 'auto']\n['start', 'nginx-http-auth']\n\
        ['add', 'vsftpd', 'auto']\n['set', 'vsftpd', 'maxretry', 5]\n['set', 'vsftpd', 'findtime', 600]\n\
        ['set', 'vsftpd', 'bantime', -1]\n['start', 'vsftpd']\n\
        ['add', 'gitea', 'auto']\n['set', 'gitea', 'maxretry', 5]\n['set', 'gitea', 'findtime', 600]\n['start', 'gitea']\n";

    #[test]
    fn settings_become_limits_and_the_rest_is_named() {
        let mut found = Found::default();
        read_settings(SETTINGS, &mut found);
        assert_eq!(
            found.allowed,
            [("192.0.2.0/24".to_owned(), "ignoreip of sshd".to_owned())]
        );
        let limits = |service, rule, threshold, window, ban| Limits {
            service,
            rule,
            threshold,
            window,
            ban,
        };
        assert_eq!(
            found.limits,
            [
                limits("sshd", "ssh-bruteforce", 3, 3600, Some(129_600)),
                limits("vsftpd", "ftp-bruteforce", 5, 600, None),
            ]
        );
        for (left, word) in found.left.iter().zip([
            "office.example",
            "jail gitea: the filter gitea names no log",
            "jail mine",
            "nginx",
            "bantime of vsftpd",
        ]) {
            assert!(left.contains(word), "{left}");
        }
        assert_eq!(found.left.len(), 5, "{:?}", found.left);
    }

    #[test]
    fn durations_are_read_as_fail2ban_reads_them() {
        for (text, expected) in [
            ("600", Some(600)),
            ("-1", Some(-1)),
            ("10m", Some(600)),
            ("1d 12h", Some(129_600)),
            ("1h30m", Some(5400)),
            ("2w", Some(1_209_600)),
            ("soon", None),
            ("1 fortnight", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn bans_that_hold_are_read_with_their_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fail2ban.sqlite3");
        let db = Connection::open(&path).unwrap();
        // As fail2ban/server/database.py of 1.0.2 makes it.
        db.execute_batch(
            "CREATE TABLE bips(ip TEXT NOT NULL, jail TEXT NOT NULL, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL, \
             bancount INTEGER NOT NULL default 1, data JSON, PRIMARY KEY(ip, jail));\
             INSERT INTO bips VALUES ('192.0.2.1', 'sshd', 1000, 600, 1, '{}'), ('192.0.2.2', 'sshd', 1000, 100, 1, '{}'),\
             ('2001:db8::1', 'mine', 1000, -1, 2, '{}');",
        )
        .unwrap();
        let mut found = Found::default();
        read_bans(&path, 1200, &mut found).unwrap();
        let ban = |target: &str, ends: Option<&str>, note: &str| Ban {
            target: target.to_owned(),
            ends: ends.map(str::to_owned),
            note: note.to_owned(),
        };
        assert_eq!(
            found.bans,
            [
                ban("192.0.2.1", Some("1970-01-01T00:26:40Z"), "fail2ban sshd"),
                ban("2001:db8::1", None, "fail2ban mine"),
            ]
        );
        let mut found = Found::default();
        read_bans(Path::new("/nowhere"), 0, &mut found).unwrap();
        assert_eq!(found.left, ["bans: there is no /nowhere"]);
    }
}
