//! A bucket of the memory bus.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep_until},
};

use super::{Link, MemoryBus, MemoryServer, State};
use crate::{
    backend::{
        Answer, Bucket, BucketSettings, BucketStatus, Created, Entry, EntryKind, Published, Watch, Watched,
        Write, WriteOutcome,
    },
    checks::check_batch,
    error::{Error, Result},
};

/// What a bucket holds.
pub(super) struct Keys {
    pub(super) settings: BucketSettings,
    created: Created,
    last_revision: u64,
    held: BTreeMap<String, Held>,
    watchers: Vec<UnboundedSender<(Instant, Entry)>>,
}

#[derive(Clone)]
struct Held {
    entry: Entry,
    /// Time at which the server removes it.
    ends: Option<Instant>,
}

impl Keys {
    /// Removes what has ended by `now`, and leaves markers where the settings say so.
    fn expire(&mut self, now: Instant, now_ms: i64, delay: Duration) {
        let ended = self
            .held
            .iter()
            .filter(|(_, held)| held.ends.is_some_and(|ends| ends <= now));
        let mut ended: Vec<_> = ended
            .map(|(key, held)| (held.ends, held.entry.revision, key.clone()))
            .collect();
        ended.sort_unstable();
        for (_, _, key) in ended {
            let Some(held) = self.held.remove(&key) else {
                continue;
            };
            // A marker's own end leaves nothing.
            if let Some(ttl) = self
                .settings
                .marker_ttl
                .filter(|_| held.entry.kind == EntryKind::Put)
            {
                let marker = Write::purge(key, Bytes::new()).ttl(ttl);
                self.apply(marker, now, now_ms, delay);
            }
        }
    }

    fn next_end(&self) -> Option<Instant> {
        self.held.values().filter_map(|held| held.ends).min()
    }

    fn is_over_latest(&self, write: &Write) -> bool {
        let latest = self.held.get(&write.key).map_or(0, |held| held.entry.revision);
        write.over.is_none_or(|over| over == latest)
    }

    fn apply(&mut self, write: Write, now: Instant, now_ms: i64, delay: Duration) -> Entry {
        self.last_revision += 1;
        let entry = Entry {
            key: write.key,
            kind: write.kind,
            value: write.value,
            revision: self.last_revision,
            at_ms: now_ms,
        };
        let ends = [write.ttl, self.settings.max_age].into_iter().flatten().min();
        let held = Held {
            entry: entry.clone(),
            ends: ends.map(|ttl| now + ttl),
        };
        self.held.insert(entry.key.clone(), held);
        let arrives = now + delay;
        self.watchers
            .retain(|watcher| watcher.send((arrives, entry.clone())).is_ok());
        entry
    }
}

impl State {
    fn keys(&mut self, name: &str) -> Result<&mut Keys> {
        let (now, now_ms, delay) = (Instant::now(), self.now_ms(), self.delay);
        let keys = self.buckets.get_mut(name);
        let keys = keys.ok_or_else(|| Error::Missing(format!("the bucket {name}")))?;
        keys.expire(now, now_ms, delay);
        Ok(keys)
    }

    /// All or none. Returns the revision of the first.
    fn write(&mut self, name: &str, writes: Vec<Write>) -> Result<WriteOutcome> {
        let (now, now_ms, delay) = (Instant::now(), self.now_ms(), self.delay);
        let keys = self.keys(name)?;
        for write in &writes {
            keys.settings.check(name, write)?;
        }
        if !writes.iter().all(|write| keys.is_over_latest(write)) {
            return Ok(WriteOutcome::Conflict);
        }
        let first = keys.last_revision + 1;
        let republish = keys.settings.republish.clone();
        let entries: Vec<_> = writes
            .into_iter()
            .map(|write| keys.apply(write, now, now_ms, delay))
            .collect();
        if let Some(destination) = republish.as_deref().and_then(|subject| subject.strip_suffix('>')) {
            for entry in entries {
                let copy = Published {
                    subject: format!("{destination}{}", entry.key),
                    payload: entry.value,
                };
                self.publish(&copy, None);
            }
        }
        Ok(WriteOutcome::Written(first))
    }
}

#[derive(Debug)]
pub(super) struct MemoryBucket {
    pub(super) bus: MemoryBus,
    pub(super) name: String,
}

impl Bucket for MemoryBucket {
    fn name(&self) -> &str {
        &self.name
    }

    fn make(&self, settings: BucketSettings) -> Answer<()> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        async move {
            let what = format!("making the bucket {name}");
            bus.write(&what, |state| {
                if let Some(keys) = state.buckets.get_mut(&name) {
                    keys.settings = settings;
                    return Ok(());
                }
                let keys = Keys {
                    settings,
                    created: state.created(),
                    last_revision: 0,
                    held: BTreeMap::new(),
                    watchers: Vec::new(),
                };
                state.buckets.insert(name, keys);
                Ok(())
            })
            .await
        }
        .boxed()
    }

    fn status(&self) -> Answer<BucketStatus> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        async move {
            bus.link.connected(&name).await?;
            bus.server.lock().keys(&name).map(|keys| status(keys))
        }
        .boxed()
    }

    fn newest(&self) -> Answer<u64> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        async move {
            bus.link.connected(&name).await?;
            let mut state = bus.server.lock();
            let held = state.keys(&name)?.held.values();
            Ok(held.map(|held| held.entry.revision).max().unwrap_or(0))
        }
        .boxed()
    }

    fn server_time(&self) -> Answer<i64> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        async move {
            bus.link.connected(&name).await?;
            let mut state = bus.server.lock();
            state.keys(&name)?;
            Ok(state.now_ms().saturating_mul(1000))
        }
        .boxed()
    }

    fn get(&self, key: &str) -> Answer<Option<Entry>> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        let key = key.to_owned();
        async move {
            crate::backend::check_key(&key)?;
            bus.link.connected(&name).await?;
            let mut state = bus.server.lock();
            let held = state.keys(&name)?.held.get(&key);
            Ok(held.map(|held| held.entry.clone()))
        }
        .boxed()
    }

    fn write(&self, write: Write) -> Answer<WriteOutcome> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        async move {
            write.check()?;
            let what = format!("a write of {} to {name}", write.key);
            bus.write(&what, |state| state.write(&name, vec![write])).await
        }
        .boxed()
    }

    fn write_all(&self, writes: Vec<Write>) -> Answer<WriteOutcome> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        async move {
            let what = format!("a batch of writes to {name}");
            bus.write(&what, |state| {
                let takes_batches = state.takes_batches;
                check_batch(takes_batches && state.keys(&name)?.settings.batches, &what)?;
                if writes.is_empty() {
                    return Err(Error::Invalid("an empty batch".to_owned()));
                }
                state.write(&name, writes)
            })
            .await
        }
        .boxed()
    }

    fn watch(&self) -> Answer<Watch> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        async move {
            bus.link.connected(&name).await?;
            let mut state = bus.server.lock();
            let arrives = Instant::now() + state.delay;
            let keys = state.keys(&name)?;
            let (sender, changes) = unbounded_channel();
            keys.watchers.push(sender);
            let mut held: Vec<_> = keys.held.values().map(|held| held.entry.clone()).collect();
            held.sort_unstable_by_key(|entry| entry.revision);
            let status = status(keys);
            let created = keys.created;
            drop(state);
            let reading = Watching {
                server: bus.server.clone(),
                link: bus.link.clone(),
                connection: *bus.link.count.borrow(),
                bucket: name,
                created,
                held: held.into(),
                arrives,
                changes,
            };
            Ok(Watch {
                status,
                held: reading.held.len() as u64,
                entries: stream::try_unfold(reading, async |mut reading| {
                    let watched = reading.next().await?;
                    Ok(Some((watched, reading)))
                })
                .boxed(),
            })
        }
        .boxed()
    }
}

fn status(keys: &Keys) -> BucketStatus {
    BucketStatus {
        created: keys.created,
        last_revision: keys.last_revision,
        keys: keys.held.len() as u64,
    }
}

/// Somebody who reads a bucket.
struct Watching {
    server: MemoryServer,
    link: Arc<Link>,
    /// The connection over which it reads.
    connection: u64,
    bucket: String,
    created: Created,
    /// What it held at the beginning.
    held: VecDeque<Entry>,
    /// Time at which these arrive.
    arrives: Instant,
    changes: UnboundedReceiver<(Instant, Entry)>,
}

impl Watching {
    async fn next(&mut self) -> Result<Watched> {
        let ended = || Error::Ended(format!("the watch of {}", self.bucket));
        let next = async {
            if let Some(entry) = self.held.pop_front() {
                sleep_until(self.arrives).await;
                let behind = (self.held.len() + self.changes.len()) as u64;
                return Watched { entry, behind };
            }
            loop {
                let end = {
                    let mut state = self.server.lock();
                    let keys = state.keys(&self.bucket).ok();
                    keys.filter(|keys| keys.created == self.created)
                        .and_then(|keys| keys.next_end())
                };
                tokio::select! {
                    biased;
                    change = self.changes.recv() => match change {
                        Some((arrives, entry)) => {
                            sleep_until(arrives).await;
                            return Watched { entry, behind: self.changes.len() as u64 };
                        }
                        // The bucket was deleted, of which a reader hears nothing.
                        None => std::future::pending().await,
                    },
                    () = until(end) => {}
                }
            }
        };
        tokio::select! {
            biased;
            () = self.link.broken(self.connection) => Err(ended()),
            watched = next => Ok(watched),
        }
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}
