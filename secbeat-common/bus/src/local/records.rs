//! State of the logs, and their records in the database.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::watch;

use super::{
    clock::millis,
    reserve::Worth,
    schema::{Place, decode},
};
use crate::{
    backend::{Created, LogSettings, Published, Start, Stored},
    checks::DEDUPLICATION,
    subject::Patterns,
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
    /// The last sequence, with what is not committed yet.
    pub(super) last: u64,
    /// The bytes of all, likewise.
    pub(super) bytes: u64,
    /// The last sequence and the bytes that are committed.
    pub(super) kept: (u64, u64),
    /// The last sequence that is committed.
    pub(super) told: watch::Sender<u64>,
}

/// What became of an append.
pub(super) enum Appended {
    /// One of the ids was there already, at this sequence.
    Known(u64),
    /// All are there, from this sequence on.
    From(u64),
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
            let (last, bytes) = (row.get(3)?, row.get(4)?);
            let records = Self {
                place: Place::Main,
                id: row.get(1)?,
                settings: decode(5, row)?,
                created: Created(row.get::<_, i64>(2)?.into()),
                last,
                bytes,
                kept: (last, bytes),
                told: watch::Sender::new(last),
            };
            Ok((row.get(0)?, records))
        })?
        .collect()
    }

    /// Whether something is not committed yet.
    pub(super) fn is_changed(&self) -> bool {
        self.kept != (self.last, self.bytes)
    }

    /// Everything is committed.
    pub(super) fn tell(&mut self) {
        let (last, _) = std::mem::replace(&mut self.kept, (self.last, self.bytes));
        if last != self.last {
            self.told.send_replace(self.last);
        }
    }

    /// What was not committed is gone.
    pub(super) fn undo(&mut self) {
        (self.last, self.bytes) = self.kept;
    }

    pub(super) fn sql(&self, template: &str) -> String {
        template.replace('@', self.place.name())
    }

    /// Returns what it is worth where room is short: what nobody waits for an acknowledgement of is kept for minutes, and decided
    /// by.
    pub(super) const fn worth(&self) -> Worth {
        match self.settings.acknowledges {
            true => Worth::Record,
            false => Worth::Evidence,
        }
    }

    /// All or none, unless it fails.
    pub(super) fn append(
        &mut self,
        db: &Connection,
        added: &[(&Published, Option<&str>)],
        now_ms: i64,
    ) -> rusqlite::Result<Appended> {
        for id in added.iter().filter_map(|(_, id)| *id) {
            if let Some(sequence) = self.known(db, id, now_ms)? {
                return Ok(Appended::Known(sequence));
            }
        }
        let first = self.last + 1;
        for (message, id) in added {
            self.last += 1;
            self.bytes += (message.subject.len() + message.payload.len()) as u64;
            self.insert(db, self.last, now_ms, message, *id)?;
        }
        Ok(Appended::From(first))
    }

    /// The sequence of the record of this id.
    fn known(&self, db: &Connection, id: &str, now_ms: i64) -> rusqlite::Result<Option<u64>> {
        let sql = self.sql("SELECT sequence FROM @.ids WHERE log = ? AND id = ? AND at_ms > ?");
        let since_ms = now_ms - millis(DEDUPLICATION);
        db.prepare_cached(&sql)?
            .query_row(params![self.id, id, since_ms], |row| row.get(0))
            .optional()
    }

    fn insert(
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

    /// Removes what is too old or too much, the oldest first. Returns the first that is left.
    pub(super) fn prune(&mut self, db: &Connection, now_ms: i64) -> rusqlite::Result<u64> {
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
        loop {
            let found = oldest.query_row([self.id], |row| {
                Ok((
                    row.get::<_, u64>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, u64>(2)?,
                ))
            });
            let Some((first, at_ms, length)) = found.optional()? else {
                return Ok(self.last + 1);
            };
            if at_ms > too_old && self.bytes <= self.settings.max_bytes {
                return Ok(first);
            }
            delete.execute(params![self.id, first])?;
            self.bytes = self.bytes.saturating_sub(length);
        }
    }

    pub(super) fn remember(&self, db: &Connection) -> rusqlite::Result<()> {
        let sql = self.sql("UPDATE @.logs SET last = ?, bytes = ? WHERE id = ?");
        db.prepare_cached(&sql)?
            .execute(params![self.last, self.bytes, self.id])
            .map(drop)
    }

    /// Looks through up to [`STRETCH`] records from `from` on, for a page of those that `subjects` want.
    pub(super) fn page(&self, db: &Connection, from: u64, subjects: &Patterns) -> rusqlite::Result<Page> {
        let sql = self.sql(
            "SELECT sequence, subject, at_ms, payload FROM @.records
             WHERE log = ? AND sequence >= ? AND sequence < ? ORDER BY sequence",
        );
        let end = from.saturating_add(STRETCH).min(self.last + 1);
        let mut found = db.prepare_cached(&sql)?;
        let mut rows = found.query(params![self.id, from, end])?;
        let (mut records, mut bytes) = (VecDeque::new(), 0);
        while let Some(row) = rows.next()? {
            let sequence = row.get(0)?;
            if !subjects.match_one(row.get_ref(1)?.as_str()?) {
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
    pub(super) fn count(&self, db: &Connection, from: u64, subjects: &Patterns) -> rusqlite::Result<u64> {
        let sql = self.sql("SELECT subject FROM @.records WHERE log = ? AND sequence >= ? AND sequence < ?");
        let mut found = db.prepare_cached(&sql)?;
        let mut rows = found.query(params![self.id, from, from.saturating_add(STRETCH)])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += u64::from(subjects.match_one(row.get_ref(0)?.as_str()?));
        }
        Ok(count)
    }

    /// Returns when a record was taken, if it is kept.
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
            Start::Now => self.last + 1,
            Start::Time(at_ms) => self.taken_since(db, at_ms, first)?,
        })
    }

    /// The first record from `first` on that was taken at this time or later; one more than the last if there is none. Times grow
    /// with sequences, as the store's clock never goes back.
    fn taken_since(&self, db: &Connection, at_ms: i64, first: u64) -> rusqlite::Result<u64> {
        let (mut start, mut end) = (first, self.last + 1);
        while start < end {
            let middle = start + (end - start) / 2;
            match self
                .taken_at(db, middle)?
                .is_some_and(|taken_ms| taken_ms >= at_ms)
            {
                true => end = middle,
                false => start = middle + 1,
            }
        }
        Ok(start)
    }
}
