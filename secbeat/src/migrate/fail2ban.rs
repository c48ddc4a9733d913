//! fail2ban's bans and settings.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use secbeat_daemon::time::now_ms;

use super::{Ban, Found, is_for_ever, jails::read_settings};

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

    /// Returns what `fail2ban-client -d` says, and from where that is; `None` where there is no such program.
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
    match read_rows(&db, now, found) {
        Ok(()) => found.read.push(shown.to_string()),
        Err(error) => found.left.push(format!(
            "bans of {shown}: {error}; fail2ban has the table bips, which is read, from 0.11 on"
        )),
    }
    Ok(())
}

/// SQLite takes a value of any type in any column, so a time may be none.
const BANS: &str = "SELECT ip, jail, CAST(timeofban AS INTEGER), CAST(bantime AS INTEGER), \
    typeof(timeofban) IN ('integer', 'real') AND typeof(bantime) IN ('integer', 'real') FROM bips ORDER BY ip, jail";

fn read_rows(db: &Connection, now: i64, found: &mut Found) -> rusqlite::Result<()> {
    let mut bans = db.prepare(BANS)?;
    let mut rows = bans.query([])?;
    while let Some(row) = rows.next()? {
        let (Ok(target), Ok(jail)) = (row.get::<_, String>(0), row.get::<_, String>(1)) else {
            found
                .left
                .push("a ban in the table bips: its address or its jail is not a text".to_owned());
            continue;
        };
        let (began, length, are_times): (i64, i64, bool) = (row.get(2)?, row.get(3)?, row.get(4)?);
        if !are_times {
            found.left.push(format!(
                "the ban of {target} by {jail}: its times are not numbers"
            ));
            continue;
        }
        let ends = began.saturating_add(length);
        if length >= 0 && ends <= now {
            continue;
        }
        // Without an end, or with one so far away that it means the same.
        let is_endless = length < 0 || is_for_ever(ends.saturating_sub(now));
        let ends = match is_endless {
            true => None,
            false => Timestamp::from_second(ends).ok().map(|ends| ends.to_string()),
        };
        let note = format!("fail2ban {jail}");
        found.bans.push(Ban { target, ends, note });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        db.execute_batch(
            "INSERT INTO bips VALUES ('192.0.2.3', 'sshd', 1000, 999999999999, 1, '{}'), ('192.0.2.4', 'sshd', 1000.5, 600, 1, '{}'),\
             ('192.0.2.5', 'sshd', 1000, 'soon', 1, '{}');",
        )
        .unwrap();
        let mut found = Found::default();
        read_bans(&path, 1200, &mut found).unwrap();
        let ends: Vec<_> = found.bans.iter().map(|ban| ban.ends.as_deref()).collect();
        let soon = Some("1970-01-01T00:26:40Z");
        assert_eq!(ends, [soon, None, soon, None], "of a time without end, too");
        assert_eq!(
            found.left,
            ["the ban of 192.0.2.5 by sshd: its times are not numbers"]
        );
        db.execute_batch("DROP TABLE bips;").unwrap();
        let mut found = Found::default();
        read_bans(&path, 1200, &mut found).unwrap();
        assert!(found.left[0].contains("no such table"), "{:?}", found.left);
        let mut found = Found::default();
        read_bans(Path::new("/nowhere"), 0, &mut found).unwrap();
        assert_eq!(found.left, ["bans: there is no /nowhere"]);
    }
}
