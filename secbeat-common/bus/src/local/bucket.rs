//! Buckets in the database.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tokio::sync::watch;

use super::{
    LocalBus,
    clock::millis,
    keys::Keys,
    schema::{Place, encode, place},
    store::Store,
};
use crate::{
    backend::{
        Answer, Bucket, BucketSettings, BucketStatus, Created, Entry, EntryKind, Published, Watch, Watched,
        Write, WriteOutcome,
    },
    error::{Error, Result},
};

/// Changes that are read from the database together.
const PAGE: usize = 256;
/// What ends so soon is over after a power cut, and need not be on the disk before: heartbeats, twice a second.
const BRIEF: Duration = Duration::from_secs(10);

/// Whether a key ends, and when.
fn end_of(write: &Write, settings: &BucketSettings, now_ms: i64) -> Option<i64> {
    let age = [write.ttl, settings.max_age].into_iter().flatten().min();
    age.map(|age| now_ms.saturating_add(millis(age)))
}

fn number(kind: EntryKind) -> i64 {
    match kind {
        EntryKind::Put => 0,
        EntryKind::Delete => 1,
        EntryKind::Purge => 2,
    }
}

fn kind(number: i64) -> EntryKind {
    match number {
        0 => EntryKind::Put,
        1 => EntryKind::Delete,
        _ => EntryKind::Purge,
    }
}

/// Of `key, kind, value, revision, at_ms`.
fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        key: row.get(0)?,
        kind: kind(row.get(1)?),
        value: Bytes::copy_from_slice(row.get_ref(2)?.as_blob()?),
        revision: row.get(3)?,
        at_ms: row.get(4)?,
    })
}

/// The revision of what stands under `key`; 0 if there is nothing.
fn latest(db: &Connection, place: Place, bucket: i64, key: &str) -> rusqlite::Result<u64> {
    let sql = format!(
        "SELECT revision FROM {}.entries WHERE bucket = ? AND key = ?",
        place.name()
    );
    let latest = db
        .prepare_cached(&sql)?
        .query_row(params![bucket, key], |row| row.get(0));
    Ok(latest.optional()?.unwrap_or(0))
}

fn put(
    db: &Connection,
    keys: &Keys,
    revision: u64,
    at_ms: i64,
    write: &Write,
) -> rusqlite::Result<Option<i64>> {
    let sql = format!(
        "INSERT OR REPLACE INTO {}.entries (bucket, key, kind, value, revision, at_ms, ends_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        keys.place.name()
    );
    let ends_ms = end_of(write, &keys.settings, at_ms);
    let (kind, value) = (number(write.kind), &*write.value);
    db.prepare_cached(&sql)?
        .execute(params![keys.id, write.key, kind, value, revision, at_ms, ends_ms])?;
    Ok(ends_ms)
}

impl Store {
    fn keys(&self, name: &str) -> Result<&Keys> {
        let keys = self.buckets.get(name);
        keys.ok_or_else(|| Error::Missing(format!("the bucket {name}")))
    }

    fn make_bucket(&mut self, name: &str, settings: BucketSettings) -> Result<()> {
        let what = format!("making the bucket {name}");
        let text = encode(&settings)?;
        if let Some(keys) = self.buckets.get_mut(name) {
            if keys.settings != settings {
                let sql = format!(
                    "UPDATE {}.buckets SET settings = ? WHERE id = ?",
                    keys.place.name()
                );
                let updated = self.db.execute(&sql, params![text, keys.id]);
                // It stays where it is.
                let storage = keys.settings.storage;
                keys.settings = BucketSettings { storage, ..settings };
                self.outcome(&what, updated)?;
            }
            return Ok(());
        }
        let (created, place) = (self.created(), place(settings.storage));
        let sql = format!(
            "INSERT INTO {}.buckets (name, created, last_revision, settings) VALUES (?, ?, 0, ?)",
            place.name()
        );
        let inserted = self.db.execute(&sql, params![name, created.ns(), text]);
        self.outcome(&what, inserted)?;
        let keys = Keys {
            place,
            id: self.db.last_insert_rowid(),
            settings,
            created,
            last_revision: 0,
            told: watch::Sender::new(0),
        };
        self.buckets.insert(name.to_owned(), keys);
        Ok(())
    }

    fn bucket_status(&mut self, name: &str) -> Result<BucketStatus> {
        let keys = self.keys(name)?;
        let sql = format!(
            "SELECT count(*) FROM {}.entries WHERE bucket = ?",
            keys.place.name()
        );
        let count = self
            .db
            .prepare_cached(&sql)
            .and_then(|mut count| count.query_row([keys.id], |row| row.get(0)));
        let (created, last_revision) = (keys.created, keys.last_revision);
        Ok(BucketStatus {
            created,
            last_revision,
            keys: self.read(name, count)?,
        })
    }

    fn newest(&mut self, name: &str) -> Result<u64> {
        let (keys, now_ms) = (self.keys(name)?, self.clock.now_ms());
        let sql = format!(
            "SELECT revision FROM {}.entries
             WHERE bucket = ? AND (ends_ms IS NULL OR ends_ms > ?) ORDER BY revision DESC LIMIT 1",
            keys.place.name()
        );
        let newest = self.db.prepare_cached(&sql).and_then(|mut newest| {
            newest
                .query_row(params![keys.id, now_ms], |row| row.get(0))
                .optional()
        });
        Ok(self.read(name, newest)?.unwrap_or(0))
    }

    fn get(&mut self, name: &str, key: &str) -> Result<Option<Entry>> {
        let (keys, now_ms) = (self.keys(name)?, self.clock.now_ms());
        let sql = format!(
            "SELECT key, kind, value, revision, at_ms FROM {}.entries
             WHERE bucket = ? AND key = ? AND (ends_ms IS NULL OR ends_ms > ?)",
            keys.place.name()
        );
        let found = self
            .db
            .prepare_cached(&sql)
            .and_then(|mut found| found.query_row(params![keys.id, key, now_ms], entry).optional());
        self.read(name, found)
    }

    /// All or none. Returns the revision of the first.
    fn write(&mut self, name: &str, writes: &[Write]) -> Result<WriteOutcome> {
        let (keys, now_ms) = (self.keys(name)?, self.clock.now_ms());
        for write in writes {
            keys.settings.check(name, write)?;
        }
        let first = keys.last_revision + 1;
        let written = write_all(&self.db, keys, first, now_ms, writes);
        let what = format!("a write to {name}");
        let is_brief = |write: &Write| write.ttl.is_some_and(|ttl| ttl <= BRIEF);
        let written = match writes.iter().all(is_brief) {
            true => self.checked(&what, written),
            false => self.outcome(&what, written),
        };
        let Some((last, next_end)) = written? else {
            return Ok(WriteOutcome::Conflict);
        };
        self.next_end = [self.next_end, next_end].into_iter().flatten().min();
        if let Some(keys) = self.buckets.get_mut(name) {
            keys.last_revision = last;
            let republish = keys.settings.republish.as_deref();
            if let Some(destination) = republish.and_then(|subject| subject.strip_suffix('>')) {
                self.told.extend(writes.iter().map(|write| Published {
                    subject: format!("{destination}{}", write.key),
                    payload: write.value.clone(),
                }));
            }
        }
        Ok(WriteOutcome::Written(first))
    }

    /// Removes what has ended, and leaves markers where the settings say so.
    pub(super) fn expire(&mut self) -> Result<()> {
        let now_ms = self.clock.now_ms();
        if self.next_end.is_none_or(|end_ms| end_ms > now_ms) {
            return Ok(());
        }
        let expired = self.expire_all(now_ms);
        // Whatever is lost of that has ended all the same.
        let next_end = self.checked("the end of what has ended", expired)?;
        self.next_end = next_end;
        Ok(())
    }

    fn expire_all(&mut self, now_ms: i64) -> rusqlite::Result<Option<i64>> {
        let mut next_end = None;
        for place in Place::ALL {
            let all = self.db.unchecked_transaction()?;
            let mut buckets = self.buckets.values_mut().filter(|keys| keys.place == place);
            let expired = buckets.try_for_each(|keys| expire_in(&all, keys, now_ms));
            let sql = format!("SELECT min(ends_ms) FROM {}.entries", place.name());
            let end = expired
                .and_then(|()| all.prepare_cached(&sql)?.query_row([], |row| row.get(0)))
                .and_then(|end| all.commit().map(|()| end));
            self.buckets.values_mut().for_each(|keys| match end.is_ok() {
                true => keys.tell(),
                false => keys.undo(),
            });
            next_end = [next_end, end?].into_iter().flatten().min();
        }
        Ok(next_end)
    }

    /// Returns what the bucket holds, oldest first.
    fn held(&mut self, name: &str) -> Result<(BucketStatus, VecDeque<Entry>, watch::Receiver<u64>)> {
        let status = self.bucket_status(name)?;
        let keys = self.keys(name)?;
        let changes = keys.told.subscribe();
        let held = entries_after(&self.db, keys, 0, usize::MAX);
        Ok((status, self.read(name, held)?, changes))
    }

    /// Returns what changed after a revision; nothing if the bucket is not the one that was made then.
    fn changes_after(&mut self, name: &str, created: Created, revision: u64) -> Result<VecDeque<Entry>> {
        let Some(keys) = self.buckets.get(name).filter(|keys| keys.created == created) else {
            return Ok(VecDeque::new());
        };
        let changes = entries_after(&self.db, keys, revision, PAGE);
        self.read(name, changes)
    }

    /// Deletes a bucket with all that it holds; the one who reads it hears nothing of that.
    #[cfg(test)]
    pub(super) fn delete_bucket(&mut self, name: &str) {
        if let Some(keys) = self.buckets.remove(name) {
            for sql in [
                "DELETE FROM @.entries WHERE bucket = ?",
                "DELETE FROM @.buckets WHERE id = ?",
            ] {
                self.db
                    .execute(&sql.replace('@', keys.place.name()), [keys.id])
                    .unwrap();
            }
        }
    }
}

/// Removes what has ended of a bucket; its markers come in place of that.
fn expire_in(db: &Connection, keys: &mut Keys, now_ms: i64) -> rusqlite::Result<()> {
    let place = keys.place.name();
    let select = format!(
        "SELECT key, kind FROM {place}.entries WHERE bucket = ? AND ends_ms <= ? ORDER BY ends_ms, revision"
    );
    let delete = format!("DELETE FROM {place}.entries WHERE bucket = ? AND key = ?");
    let mut ended = db.prepare_cached(&select)?;
    let ended: Vec<(String, i64)> = ended
        .query_map(params![keys.id, now_ms], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (key, was) in ended {
        // A marker's own end leaves nothing.
        match keys.settings.marker_ttl.filter(|_| kind(was) == EntryKind::Put) {
            Some(ttl) => {
                keys.last_revision += 1;
                let marker = Write::purge(key, Bytes::new()).ttl(ttl);
                put(db, keys, keys.last_revision, now_ms, &marker)?;
            }
            None => drop(db.prepare_cached(&delete)?.execute(params![keys.id, key])?),
        }
    }
    match keys.is_changed() {
        true => keys.remember(db),
        false => Ok(()),
    }
}

/// Returns the last revision and the first end of what was written, or nothing on a conflict.
fn write_all(
    db: &Connection,
    keys: &Keys,
    first: u64,
    now_ms: i64,
    writes: &[Write],
) -> rusqlite::Result<Option<(u64, Option<i64>)>> {
    for write in writes {
        if let Some(over) = write.over
            && latest(db, keys.place, keys.id, &write.key)? != over
        {
            return Ok(None);
        }
    }
    let (mut revision, mut next_end) = (first - 1, None);
    for write in writes {
        revision += 1;
        let end = put(db, keys, revision, now_ms, write)?;
        next_end = [next_end, end].into_iter().flatten().min();
    }
    Ok(Some((revision, next_end)))
}

fn entries_after(
    db: &Connection,
    keys: &Keys,
    revision: u64,
    limit: usize,
) -> rusqlite::Result<VecDeque<Entry>> {
    let sql = format!(
        "SELECT key, kind, value, revision, at_ms FROM {}.entries
         WHERE bucket = ? AND revision > ? ORDER BY revision LIMIT ?",
        keys.place.name()
    );
    let limit = i64::try_from(limit).unwrap_or(-1);
    db.prepare_cached(&sql)?
        .query_map(params![keys.id, revision, limit], entry)?
        .collect()
}

#[derive(Debug)]
pub(super) struct LocalBucket {
    pub(super) bus: LocalBus,
    pub(super) name: String,
}

impl LocalBucket {
    /// Has the store do `work` with the bucket's name.
    fn call<T: Send + 'static>(
        &self,
        what: String,
        mut work: impl FnMut(&mut Store, &str) -> Result<T> + Send + 'static,
    ) -> Answer<T> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        async move { bus.call(&what, move |store| work(store, &name)).await }.boxed()
    }
}

impl Bucket for LocalBucket {
    fn name(&self) -> &str {
        &self.name
    }

    fn make(&self, settings: BucketSettings) -> Answer<()> {
        let what = format!("making the bucket {}", self.name);
        let (bus, name) = (self.bus.clone(), self.name.clone());
        let make = move |store: &mut Store| store.make_bucket(&name, settings.clone());
        async move { bus.call_alone(&what, make).await }.boxed()
    }

    fn status(&self) -> Answer<BucketStatus> {
        self.call(self.name.clone(), Store::bucket_status)
    }

    fn newest(&self) -> Answer<u64> {
        self.call(self.name.clone(), Store::newest)
    }

    fn server_time(&self) -> Answer<i64> {
        self.call(self.name.clone(), |store, name| {
            store.keys(name)?;
            Ok(store.clock.now_us())
        })
    }

    fn get(&self, key: &str) -> Answer<Option<Entry>> {
        if let Err(error) = crate::backend::check_key(key) {
            return async move { Err(error) }.boxed();
        }
        let key = key.to_owned();
        self.call(self.name.clone(), move |store, name| store.get(name, &key))
    }

    fn write(&self, write: Write) -> Answer<WriteOutcome> {
        let what = format!("a write of {} to {}", write.key, self.name);
        self.call(what, move |store, name| {
            store.write(name, std::slice::from_ref(&write))
        })
    }

    fn write_all(&self, writes: Vec<Write>) -> Answer<WriteOutcome> {
        let what = format!("a batch of writes to {}", self.name);
        self.call(what.clone(), move |store, name| {
            crate::checks::check_batch(store.keys(name)?.settings.batches, &what)?;
            match writes.as_slice() {
                [] => Err(Error::Invalid("an empty batch".to_owned())),
                writes => store.write(name, writes),
            }
        })
    }

    fn watch(&self) -> Answer<Watch> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        let opened = self.call(name.clone(), Store::held);
        async move {
            let connection = bus.0.up.borrow().connections;
            let (status, held, changes) = opened.await?;
            let watching = Watching {
                bus,
                connection,
                name,
                created: status.created,
                revision: status.last_revision,
                waiting: held,
                changes,
            };
            Ok(Watch {
                status,
                held: watching.waiting.len() as u64,
                entries: stream::try_unfold(watching, async |mut watching| {
                    let watched = watching.next().await?;
                    Ok(Some((watched, watching)))
                })
                .boxed(),
            })
        }
        .boxed()
    }
}

/// Somebody who reads a bucket.
struct Watching {
    bus: LocalBus,
    /// The connection over which it reads.
    connection: u64,
    name: String,
    created: Created,
    /// The last that was read from the database.
    revision: u64,
    /// What was read and not handed over yet.
    waiting: VecDeque<Entry>,
    /// The bucket's last revision.
    changes: watch::Receiver<u64>,
}

impl Watching {
    async fn next(&mut self) -> Result<Watched> {
        let (bus, connection) = (self.bus.clone(), self.connection);
        tokio::select! {
            biased;
            () = bus.broken(connection) => Err(Error::Ended(format!("the watch of {}", self.name))),
            watched = self.read() => watched,
        }
    }

    async fn read(&mut self) -> Result<Watched> {
        loop {
            if let Some(entry) = self.waiting.pop_front() {
                let behind = self.waiting.len() as u64;
                return Ok(Watched { entry, behind });
            }
            let revision = self.revision;
            if self.changes.wait_for(|last| *last > revision).await.is_err() {
                // The bucket was deleted, of which a reader hears nothing.
                std::future::pending::<()>().await;
            }
            let (name, created) = (self.name.clone(), self.created);
            let page = move |store: &mut Store| store.changes_after(&name, created, revision);
            self.waiting = self.bus.call(&self.name, page).await?;
            if let Some(last) = self.waiting.back() {
                self.revision = last.revision;
            } else {
                // Whatever it was has gone without a trace.
                self.revision = *self.changes.borrow();
            }
        }
    }
}
