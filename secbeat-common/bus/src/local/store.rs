//! The database, its clock, and what is done from time to time.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, config::DbConfig};

use super::{clock::Clock, keys::Keys, records::Records, reserve::Reserve, schema, topics::Topics};
use crate::{
    backend::{Created, Published},
    error::{Error, Result},
};

/// How long what was written may be in the write-ahead log alone.
pub(super) const CHECKPOINT: Duration = Duration::from_secs(5);
/// Pause before what has ended is removed again, after that failed.
const RETRY: Duration = Duration::from_secs(1);
/// Longest rest of the thread, where nothing ends.
const REST: Duration = Duration::from_secs(3600);

/// The reason why a store cannot be opened that somebody has.
pub(super) const TAKEN: &str = "another process has it open";

/// What the thread has.
pub(super) struct Store {
    pub(super) db: Connection,
    pub(super) topics: Arc<Topics>,
    pub(super) clock: Clock,
    pub(super) buckets: BTreeMap<String, Keys>,
    pub(super) logs: BTreeMap<String, Records>,
    /// Time at which the next entry ends, milliseconds since the Unix epoch.
    pub(super) next_end: Option<i64>,
    /// What the job at hand tells subscribers, once it is committed.
    pub(super) told: Vec<Published>,
    /// What failed in the transaction at hand.
    pub(super) spoiled: Option<Error>,
    /// Whether something was written that is to be on the disk soon.
    pub(super) is_lasting: bool,
    #[cfg(test)]
    pub(super) commits: u64,
    /// Time at which the write-ahead log is due to be written back.
    checkpoint: Option<Instant>,
    /// The latest [`Created`].
    created: i64,
    /// Where room is kept for bans. It has the file open, and comes after `db`: fields are closed in their order.
    pub(super) reserve: Reserve,
    /// What makes the database unusable.
    failure: Option<String>,
}

impl Store {
    /// # Errors
    ///
    /// Returns an error if the file at `path` cannot be used.
    pub(super) fn open(path: &Path, topics: Arc<Topics>) -> Result<Self> {
        let refused = |why: String| Error::Refused {
            what: format!("opening the store {}", path.display()),
            why,
        };
        // SQLite would make one that everybody may read.
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| refused(error.to_string()))?;
        // Before the database, so that it is closed after it.
        let mut reserve = Reserve::of(file, path);
        let db = connect(path).map_err(|error| refused(in_words(&error)))?;
        schema::make(&db).map_err(refused)?;
        reserve.renew();
        Self::load(reserve, db, topics).map_err(|error| refused(in_words(&error)))
    }

    /// `reserve` comes first: should this fail, it is closed last.
    fn load(reserve: Reserve, db: Connection, topics: Arc<Topics>) -> rusqlite::Result<Self> {
        let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
        let latest = number(
            "SELECT max(at_ms) FROM (SELECT max(at_ms) AS at_ms FROM main.entries UNION ALL
             SELECT (SELECT at_ms FROM main.records WHERE log = id ORDER BY sequence DESC LIMIT 1) FROM main.logs)",
        )?;
        let created = number(
            "SELECT max(created) FROM (SELECT created FROM main.buckets UNION ALL SELECT created FROM main.logs)",
        )?;
        let next_end = number("SELECT min(ends_ms) FROM main.entries")?;
        let buckets = Keys::load(&db)?;
        let logs = Records::load(&db)?;
        Ok(Self {
            db,
            topics,
            clock: Clock::starting_after(latest.unwrap_or(0)),
            buckets,
            logs,
            next_end,
            told: Vec::new(),
            spoiled: None,
            is_lasting: false,
            #[cfg(test)]
            commits: 0,
            checkpoint: None,
            created: created.unwrap_or(0),
            reserve,
            failure: None,
        })
    }

    /// Returns why the database cannot go on, if so.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Returns how long the thread may rest.
    pub(super) fn rest(&self) -> Duration {
        let end = self.next_end.map(|end_ms| {
            let wait = end_ms.saturating_sub(self.clock.now_ms());
            Duration::from_millis(u64::try_from(wait).unwrap_or(0))
        });
        let checkpoint = self
            .checkpoint
            .map(|due| due.saturating_duration_since(Instant::now()));
        [end, checkpoint].into_iter().flatten().min().unwrap_or(REST)
    }

    /// Removes what has ended, and writes the write-ahead log back when that is due.
    pub(super) fn tidy(&mut self) {
        if self.expire().is_err() {
            // A full disk: what has ended is not shown all the same.
            self.next_end = Some(self.clock.now_ms() + super::clock::millis(RETRY));
        }
        if self.checkpoint.is_some_and(|due| due <= Instant::now()) {
            self.checkpoint = None;
            let written = self
                .db
                .query_row("PRAGMA main.wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            drop(self.checked("a checkpoint", written));
            self.reserve.renew();
        }
    }

    /// A moment that no other bucket or log was made at.
    pub(super) fn created(&mut self) -> Created {
        self.created = (self.clock.now_ms() * 1_000_000).max(self.created + 1);
        Created(i128::from(self.created))
    }

    /// Turns what SQLite says of a write into what callers go by. What was written is to be on the disk soon.
    pub(super) fn outcome<T>(&mut self, what: &str, outcome: rusqlite::Result<T>) -> Result<T> {
        self.is_lasting |= outcome.is_ok();
        self.checked(what, outcome)
    }

    /// Has what was written be on the disk soon.
    pub(super) fn note_writes(&mut self) {
        if std::mem::take(&mut self.is_lasting) {
            self.checkpoint.get_or_insert_with(|| Instant::now() + CHECKPOINT);
        }
    }

    /// The same for what may as well be lost, and sees whether the database can go on.
    pub(super) fn checked<T>(&mut self, what: &str, outcome: rusqlite::Result<T>) -> Result<T> {
        if let Err(error) = &outcome
            && ends_the_database(error)
        {
            self.failure = Some(error.to_string());
        }
        let outcome = outcome.map_err(|error| Error::Refused {
            what: what.to_owned(),
            why: in_words(&error),
        });
        if let Err(error) = &outcome {
            self.spoiled = Some(error.clone());
        }
        outcome
    }

    /// The same for what was read of `what`.
    pub(super) fn read<T>(&mut self, what: &str, outcome: rusqlite::Result<T>) -> Result<T> {
        self.checked(&format!("reading {what}"), outcome)
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    // Another process that has it open would answer with locks for ever.
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    // Pages that are written again and again, as those of telemetry under load, go back into the database once in 16 MiB.
    db.pragma_update(None, "wal_autocheckpoint", 4096)?;
    // Else a statement is compiled again whenever a value of it is another.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.execute("ATTACH ':memory:' AS mem", [])?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

fn ends_the_database(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    let goes_on = [
        ErrorCode::DiskFull,
        ErrorCode::TooBig,
        ErrorCode::ConstraintViolation,
    ];
    code.is_some_and(|code| !goes_on.contains(&code))
}

fn in_words(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full".to_owned(),
        Some(ErrorCode::DatabaseBusy) => TAKEN.to_owned(),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            format!("the file is damaged ({error}); move it away to begin with an empty one")
        }
        _ => error.to_string(),
    }
}
