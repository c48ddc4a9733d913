//! What is known of logs, and what the database does with their records.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::watch;

use super::{
    clock::millis,
    schema::{Place, decode},
};
use crate::{
    backend::{Created, LogSettings, Published, Start, Stored},
    checks::DEDUPLICATION,
    subject::matches,
};

/// Records that are read from the database together.
const PAGE: usize = 256;
/// Bytes of payload, past which a page ends.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Records that one job looks through; other jobs come in between.
pub(super) const STRETCH: u64 = 20_000;

/// What is known of a log without a look into the database.
pub(super) struct Records {
    pub(super) place: Place,
    pub(super) id: i64,
    pub(super) settings: LogSettings,
    pub(super) created: Created,
    pub(super) bytes: u64,
    pub(super) last: watch::Sender<u64>,
}

/// What is left of a log once the oldest is gone.
pub(super) struct Kept {
    pub(super) first: u64,
    pub(super) bytes: u64,
}

/// Part of a log.
pub(super) struct Page {
    pub(super) records: VecDeque<Stored>,
    /// The next to be looked at.
    pub(super) next: u64,
}

impl Records {
    /// The logs of the file.
    pub(super) fn load(db: &Connection) -> rusqlite::Result<BTreeMap<String, Self>> {
        let mut rows = db.prepare("SELECT name, id, created, last, bytes, settings FROM main.logs")?;
        rows.query_map([], |row| {
            let records = Self {
                place: Place::Main,
                id: row.get(1)?,
                settings: decode(5, row)?,
                created: Created(row.get::<_, i64>(2)?.into()),
                bytes: row.get(4)?,
                last: watch::channel(row.get(3)?).0,
            };
            Ok((row.get(0)?, records))
        })?
        .collect()
    }

    pub(super) fn last(&self) -> u64 {
        *self.last.borrow()
    }

    pub(super) fn sql(&self, template: &str) -> String {
        template.replace('@', self.place.name())
    }

    /// The sequence of the record of this id.
    pub(super) fn known(&self, db: &Connection, id: &str, now_ms: i64) -> rusqlite::Result<Option<u64>> {
        let sql = self.sql("SELECT sequence FROM @.ids WHERE log = ? AND id = ? AND at_ms > ?");
        let since_ms = now_ms - millis(DEDUPLICATION);
        db.prepare_cached(&sql)?
            .query_row(params![self.id, id, since_ms], |row| row.get(0))
            .optional()
    }

    pub(super) fn insert(
        &self,
        db: &Connection,
        sequence: u64,
        at_ms: i64,
        message: &Published,
        id: Option<&str>,
    ) -> rusqlite::Result<()> {
        let sql =
            self.sql("INSERT INTO @.records (log, sequence, subject, payload, at_ms) VALUES (?, ?, ?, ?, ?)");
        let payload = &*message.payload;
        db.prepare_cached(&sql)?
            .execute(params![self.id, sequence, message.subject, payload, at_ms])?;
        if let Some(id) = id {
            let sql = self.sql("INSERT OR REPLACE INTO @.ids (log, id, sequence, at_ms) VALUES (?, ?, ?, ?)");
            db.prepare_cached(&sql)?
                .execute(params![self.id, id, sequence, at_ms])?;
        }
        Ok(())
    }

    /// Removes what is too old or too much of `bytes`, the oldest first.
    pub(super) fn prune(&self, db: &Connection, bytes: u64, now_ms: i64) -> rusqlite::Result<Kept> {
        let too_old = now_ms.saturating_sub(millis(self.settings.max_age));
        let ids = self.sql("DELETE FROM @.ids WHERE log = ? AND at_ms <= ?");
        db.prepare_cached(&ids)?
            .execute(params![self.id, now_ms - millis(DEDUPLICATION)])?;
        let oldest = self.sql(
            "SELECT sequence, at_ms, length(subject) + length(payload) FROM @.records
             WHERE log = ? ORDER BY sequence LIMIT 1",
        );
        let delete = self.sql("DELETE FROM @.records WHERE log = ? AND sequence = ?");
        let (mut oldest, mut delete) = (db.prepare_cached(&oldest)?, db.prepare_cached(&delete)?);
        let mut bytes = bytes;
        loop {
            let found = oldest.query_row([self.id], |row| {
                Ok((
                    row.get::<_, u64>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, u64>(2)?,
                ))
            });
            let Some((first, at_ms, length)) = found.optional()? else {
                let first = self.last() + 1;
                return Ok(Kept { first, bytes });
            };
            if at_ms > too_old && bytes <= self.settings.max_bytes {
                return Ok(Kept { first, bytes });
            }
            delete.execute(params![self.id, first])?;
            bytes = bytes.saturating_sub(length);
        }
    }

    pub(super) fn remember(&self, db: &Connection, last: u64, bytes: u64) -> rusqlite::Result<()> {
        let sql = self.sql("UPDATE @.logs SET last = ?, bytes = ? WHERE id = ?");
        db.prepare_cached(&sql)?
            .execute(params![last, bytes, self.id])
            .map(drop)
    }

    /// Looks through up to [`STRETCH`] records from `from` on, for a page of those that `subjects` want.
    pub(super) fn page(&self, db: &Connection, from: u64, subjects: &[String]) -> rusqlite::Result<Page> {
        let sql = self.sql(
            "SELECT sequence, subject, at_ms, payload FROM @.records
             WHERE log = ? AND sequence >= ? AND sequence < ? ORDER BY sequence",
        );
        let end = from.saturating_add(STRETCH).min(self.last() + 1);
        let mut found = db.prepare_cached(&sql)?;
        let mut rows = found.query(params![self.id, from, end])?;
        let (mut records, mut bytes) = (VecDeque::new(), 0);
        while let Some(row) = rows.next()? {
            let sequence = row.get(0)?;
            if !wants(subjects, row.get_ref(1)?.as_str()?) {
                continue;
            }
            if records.len() >= PAGE || bytes >= PAGE_BYTES {
                return Ok(Page {
                    records,
                    next: sequence,
                });
            }
            let payload = Bytes::copy_from_slice(row.get_ref(3)?.as_blob()?);
            bytes += payload.len();
            records.push_back(Stored {
                subject: row.get(1)?,
                payload,
                sequence,
                at_ms: row.get(2)?,
                behind: 0,
            });
        }
        Ok(Page { records, next: end })
    }

    /// Counts those that `subjects` want of up to [`STRETCH`] records from `from` on.
    pub(super) fn count(&self, db: &Connection, from: u64, subjects: &[String]) -> rusqlite::Result<u64> {
        let sql = self.sql("SELECT subject FROM @.records WHERE log = ? AND sequence >= ? AND sequence < ?");
        let mut found = db.prepare_cached(&sql)?;
        let mut rows = found.query(params![self.id, from, from.saturating_add(STRETCH)])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += u64::from(wants(subjects, row.get_ref(0)?.as_str()?));
        }
        Ok(count)
    }

    /// When a record was taken, if it is kept.
    pub(super) fn taken_at(&self, db: &Connection, sequence: u64) -> rusqlite::Result<Option<i64>> {
        let sql = self.sql("SELECT at_ms FROM @.records WHERE log = ? AND sequence = ?");
        db.prepare_cached(&sql)?
            .query_row(params![self.id, sequence], |row| row.get(0))
            .optional()
    }

    /// The first record that is to be read.
    pub(super) fn start(&self, db: &Connection, from: Start, first: u64) -> rusqlite::Result<u64> {
        Ok(match from {
            Start::Beginning => first,
            Start::Sequence(sequence) => sequence.max(first),
            Start::Now => self.last() + 1,
            Start::Time(at_ms) => {
                let sql = self.sql(
                    "SELECT sequence FROM @.records WHERE log = ? AND at_ms >= ? ORDER BY at_ms, sequence LIMIT 1",
                );
                let found = db
                    .prepare_cached(&sql)?
                    .query_row(params![self.id, at_ms], |row| row.get(0));
                found.optional()?.unwrap_or_else(|| self.last() + 1)
            }
        })
    }
}

fn wants(subjects: &[String], subject: &str) -> bool {
    subjects.is_empty() || subjects.iter().any(|pattern| matches(pattern, subject))
}
