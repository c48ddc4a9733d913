//! Logs in the database.

use std::{collections::VecDeque, sync::Arc};

use futures::{FutureExt as _, StreamExt as _, stream};
use rusqlite::{Connection, params};
use tokio::sync::watch;

use super::{
    LocalBus,
    records::{Appended, Records, STRETCH},
    schema::{Place, encode, place},
    store::Store,
};
use crate::{
    backend::{Answer, Created, Log, LogSettings, LogStatus, Published, Reading, Record, Start, Stored},
    checks::{check_batch, check_payload},
    error::{Error, Result},
    subject::{Patterns, matches},
};

impl Store {
    fn records(&self, name: &str) -> Result<&Records> {
        let records = self.logs.get(name);
        records.ok_or_else(|| Error::Missing(format!("the log {name}")))
    }

    fn make_log(&mut self, name: &str, settings: LogSettings) -> Result<()> {
        let what = format!("making the log {name}");
        let text = encode(&settings)?;
        if let Some(records) = self.logs.get_mut(name) {
            if records.settings != settings {
                let sql = records.sql("UPDATE @.logs SET settings = ? WHERE id = ?");
                let updated = self.db.execute(&sql, params![text, records.id]);
                // It stays where it is.
                let storage = records.settings.storage;
                records.settings = LogSettings { storage, ..settings };
                self.outcome(&what, updated)?;
            }
            return Ok(());
        }
        let (created, place) = (self.created(), place(settings.storage));
        let sql = format!(
            "INSERT INTO {}.logs (name, created, last, bytes, settings) VALUES (?, ?, 0, 0, ?)",
            place.name()
        );
        let inserted = self.db.execute(&sql, params![name, created.ns(), text]);
        self.outcome(&what, inserted)?;
        let records = Records {
            place,
            id: self.db.last_insert_rowid(),
            settings,
            created,
            last: 0,
            bytes: 0,
            kept: (0, 0),
            told: watch::Sender::new(0),
        };
        self.logs.insert(name.to_owned(), records);
        Ok(())
    }

    /// Removes what is too old or too much. Returns the first that is left.
    fn prune(&mut self, name: &str) -> Result<u64> {
        let now_ms = self.clock.now_ms();
        let missing = || Error::Missing(format!("the log {name}"));
        let records = self.logs.get_mut(name).ok_or_else(missing)?;
        let before = records.bytes;
        let pruned = records.prune(&self.db, now_ms);
        match records.bytes == before {
            true => self.checked(name, pruned),
            false => self.outcome(name, pruned),
        }
    }

    fn log_status(&mut self, name: &str) -> Result<LogStatus> {
        let first = self.prune(name)?;
        let records = self.records(name)?;
        let oldest = records.taken_at(&self.db, first);
        let (created, last) = (records.created, records.last);
        let (bytes, max_bytes) = (records.bytes, records.settings.max_bytes);
        Ok(LogStatus {
            created,
            first,
            last,
            bytes,
            max_bytes,
            oldest_ms: self.read(name, oldest)?,
        })
    }

    /// Appends to the log that keeps the message, if there is one, and returns the sequence.
    pub(super) fn append_to_its_log(&mut self, message: &Published, id: Option<&str>) -> Option<Result<u64>> {
        let keeps = |records: &Records| {
            let mut subjects = records.settings.subjects.iter();
            subjects.any(|pattern| matches(pattern, &message.subject))
        };
        let name = self.logs.iter().find(|(_, records)| keeps(records))?.0.clone();
        Some(self.append(&name, &[(message, id)], false))
    }

    /// All or none. Returns the sequence of the first, or of the one that has the id of a single one.
    fn append(&mut self, name: &str, added: &[(&Published, Option<&str>)], is_batch: bool) -> Result<u64> {
        let now_ms = self.clock.now_ms();
        let missing = || Error::Missing(format!("the log {name}"));
        let records = self.logs.get_mut(name).ok_or_else(missing)?;
        // Nothing was begun that would have to be undone.
        if records.place == Place::Main && self.reserve.refuses(records.worth()) {
            return Err(Error::Refused {
                what: format!("a record of {name}"),
                why: "the disk is full, and what room there is is kept for bans".to_owned(),
            });
        }
        let appended = records.append(&self.db, added, now_ms);
        match self.outcome(&format!("a record of {name}"), appended)? {
            Appended::Known(_) if is_batch => Err(Error::Refused {
                what: format!("a batch of records of {name}"),
                why: "it contains a duplicate".to_owned(),
            }),
            Appended::Known(sequence) | Appended::From(sequence) => Ok(sequence),
        }
    }

    fn append_all(&mut self, name: &str, added: &[(Published, Option<String>)]) -> Result<u64> {
        check_batch(
            self.records(name)?.settings.batches,
            &format!("a batch of records of {name}"),
        )?;
        if added.is_empty() {
            return Err(Error::Invalid("an empty batch".to_owned()));
        }
        let messages: Vec<_> = added
            .iter()
            .map(|(message, id)| (message, id.as_deref()))
            .collect();
        let first = self.append(name, &messages, true)?;
        self.told.extend(added.iter().map(|(message, _)| message.clone()));
        Ok(first)
    }

    /// Returns where reading starts, and what tells of more.
    fn open_log(&mut self, name: &str, from: Start) -> Result<Opened> {
        let first = self.prune(name)?;
        let records = self.records(name)?;
        let start = records.start(&self.db, from, first);
        Ok(Opened {
            created: records.created,
            end: records.last + 1,
            last: records.told.subscribe(),
            start: self.read(name, start)?,
        })
    }

    /// Does `look` at the log that was made then; `None` if it is gone.
    fn look<T>(
        &mut self,
        name: &str,
        created: Created,
        look: impl FnOnce(&Records, &Connection) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        let Some(records) = self.logs.get(name).filter(|records| records.created == created) else {
            return Ok(None);
        };
        let seen = look(records, &self.db);
        self.read(name, seen).map(Some)
    }
}

/// A log whose reading begins.
struct Opened {
    created: Created,
    start: u64,
    /// One more than the last record that is there.
    end: u64,
    last: watch::Receiver<u64>,
}

#[derive(Debug)]
pub(super) struct LocalLog {
    pub(super) bus: LocalBus,
    pub(super) name: String,
}

impl Log for LocalLog {
    fn name(&self) -> &str {
        &self.name
    }

    fn make(&self, settings: LogSettings) -> Answer<()> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        let what = format!("making the log {name}");
        async move {
            bus.call_alone(&what, move |store| store.make_log(&name, settings.clone()))
                .await
        }
        .boxed()
    }

    fn status(&self) -> Answer<LogStatus> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        async move {
            bus.call(&name.clone(), move |store| store.log_status(&name))
                .await
        }
        .boxed()
    }

    fn append(&self, record: Record) -> Answer<u64> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        async move {
            check_payload(&record.payload)?;
            let what = format!("a record of {name}");
            let Record { subject, payload, id } = record;
            let message = Published { subject, payload };
            bus.call(&what, move |store| {
                let missing = || Error::Missing(format!("the log {name}"));
                let sequence = store
                    .append_to_its_log(&message, id.as_deref())
                    .ok_or_else(missing)??;
                store.told.push(message.clone());
                Ok(sequence)
            })
            .await
        }
        .boxed()
    }

    fn append_all(&self, records: Vec<Record>) -> Answer<u64> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        let what = format!("a batch of records of {name}");
        async move {
            let added: Vec<_> = records
                .into_iter()
                .map(|Record { subject, payload, id }| (Published { subject, payload }, id))
                .collect();
            for (message, _) in &added {
                check_payload(&message.payload)?;
            }
            bus.call(&what, move |store| store.append_all(&name, &added))
                .await
        }
        .boxed()
    }

    fn read(&self, from: Start, subjects: Vec<String>) -> Answer<Reading> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        async move {
            let connection = bus.0.up.borrow().connections;
            let opening = name.clone();
            let opened = bus
                .call(&name, move |store| store.open_log(&opening, from))
                .await?;
            let mut reader = Reader {
                bus,
                connection,
                name,
                created: opened.created,
                subjects: Patterns::new(&subjects).into(),
                next: opened.start,
                end: opened.end,
                left: 0,
                waiting: VecDeque::new(),
                last: opened.last,
            };
            let held = reader.count().await?;
            reader.left = held;
            Ok(Reading {
                held,
                records: stream::try_unfold(reader, async |mut reader| {
                    let record = reader.next().await?;
                    Ok(Some((record, reader)))
                })
                .boxed(),
            })
        }
        .boxed()
    }
}

/// Somebody who reads a log.
struct Reader {
    bus: LocalBus,
    /// The connection over which it reads.
    connection: u64,
    name: String,
    created: Created,
    subjects: Arc<Patterns>,
    /// The next record to be looked at.
    next: u64,
    /// One more than the last record that was there at the beginning.
    end: u64,
    /// Records that were there at the beginning and were not handed over yet.
    left: u64,
    /// What was read and not handed over yet.
    waiting: VecDeque<Stored>,
    /// The log's last sequence.
    last: watch::Receiver<u64>,
}

impl Reader {
    /// Returns how many of those that were there at the beginning are wanted.
    async fn count(&self) -> Result<u64> {
        if self.subjects.take_all() {
            return Ok(self.end.saturating_sub(self.next));
        }
        let (mut from, mut count) = (self.next, 0);
        while from < self.end {
            let (name, created, subjects) = (self.name.clone(), self.created, self.subjects.clone());
            let counted = self
                .bus
                .call(&self.name, move |store| {
                    store.look(&name, created, |records, db| records.count(db, from, &subjects))
                })
                .await?;
            count += counted.unwrap_or(0);
            from = from.saturating_add(STRETCH);
        }
        Ok(count)
    }

    async fn next(&mut self) -> Result<Stored> {
        let (bus, connection) = (self.bus.clone(), self.connection);
        tokio::select! {
            biased;
            () = bus.broken(connection) => Err(Error::Ended(format!("the reading of {}", self.name))),
            record = self.read() => record,
        }
    }

    async fn read(&mut self) -> Result<Stored> {
        loop {
            if let Some(record) = self.waiting.pop_front() {
                self.left = self.left.saturating_sub(1);
                let waiting = self.waiting.len() as u64;
                // Whether more of those that were there come after what was read.
                let behind = match self.next < self.end {
                    true => self.left.max(waiting),
                    false => waiting,
                };
                return Ok(Stored { behind, ..record });
            }
            let next = self.next;
            if self.last.wait_for(|last| *last >= next).await.is_err() {
                // The log was deleted, of which a reader hears nothing.
                std::future::pending::<()>().await;
            }
            let (name, created, subjects) = (self.name.clone(), self.created, self.subjects.clone());
            let page = move |store: &mut Store| {
                store.look(&name, created, |records, db| records.page(db, next, &subjects))
            };
            match self.bus.call(&self.name, page).await? {
                Some(page) => (self.waiting, self.next) = (page.records, page.next),
                None => std::future::pending().await,
            }
        }
    }
}
