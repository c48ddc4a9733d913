//! The database's tables.

use rusqlite::Connection;
use serde::{Serialize, de::DeserializeOwned};

use crate::{backend::Storage, error::Result as Answered};

/// The version of what is below. A later one carries over what an older one left.
pub(super) const VERSION: i64 = 1;

/// Place of a bucket or a log: a database of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// In the file.
    Main,
    /// In memory.
    Mem,
}

impl Place {
    pub(super) const ALL: [Self; 2] = [Self::Main, Self::Mem];

    /// Its name in SQL.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Mem => "mem",
        }
    }
}

/// Durations are in milliseconds, times in milliseconds since the Unix epoch, `created` in nanoseconds.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS @.buckets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    last_revision INTEGER NOT NULL,
    settings TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS @.entries (
    bucket INTEGER NOT NULL,
    key TEXT NOT NULL,
    kind INTEGER NOT NULL,
    value BLOB NOT NULL,
    revision INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    ends_ms INTEGER,
    PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS @.entries_by_revision ON entries (bucket, revision);
CREATE INDEX IF NOT EXISTS @.entries_by_end ON entries (ends_ms) WHERE ends_ms IS NOT NULL;
CREATE TABLE IF NOT EXISTS @.logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    last INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    settings TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS @.records (
    log INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    subject TEXT NOT NULL,
    payload BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (log, sequence)
) STRICT, WITHOUT ROWID;
DROP INDEX IF EXISTS @.records_by_time;
CREATE TABLE IF NOT EXISTS @.ids (
    log INTEGER NOT NULL,
    id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (log, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS @.ids_by_time ON ids (log, at_ms);
";

/// Makes what is not there yet.
///
/// # Errors
///
/// In words, when a newer SecBeat made the file; else what SQLite says.
pub(super) fn make(db: &Connection) -> Result<(), String> {
    let failed = |error: rusqlite::Error| error.to_string();
    let version = db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    let version = version.map_err(failed)?;
    if version > VERSION {
        return Err(format!(
            "a newer SecBeat made it: its format is {version}, and this one knows up to {VERSION}"
        ));
    }
    for place in Place::ALL {
        db.execute_batch(&TABLES.replace('@', place.name()))
            .map_err(failed)?;
    }
    db.pragma_update(None, "user_version", VERSION).map_err(failed)
}

/// Returns where something is kept.
pub(super) fn place(storage: Storage) -> Place {
    match storage {
        Storage::File => Place::Main,
        Storage::Memory => Place::Mem,
    }
}

/// Returns how settings lie in the database.
pub(super) fn encode(settings: &impl Serialize) -> Answered<String> {
    Ok(serde_json::to_string(settings)?)
}

pub(super) fn decode<T: DeserializeOwned>(column: usize, row: &rusqlite::Row<'_>) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}
