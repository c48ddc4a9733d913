//! A log of the memory bus.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, stream};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep_until},
};

use super::{Link, MemoryBus, State};
use crate::{
    backend::{Answer, Created, Log, LogSettings, LogStatus, Published, Reading, Record, Start, Stored},
    checks::{DEDUPLICATION, check_batch, check_payload},
    error::{Error, Result},
    subject::matches,
};

/// What a log holds.
pub(super) struct Records {
    pub(super) settings: LogSettings,
    created: Created,
    last: u64,
    bytes: u64,
    kept: VecDeque<(Instant, Stored)>,
    ids: VecDeque<(Instant, String, u64)>,
    readers: Vec<Reader>,
}

struct Reader {
    subjects: Vec<String>,
    records: UnboundedSender<(Instant, Stored)>,
}

impl Reader {
    fn wants(&self, subject: &str) -> bool {
        wants(&self.subjects, subject)
    }
}

fn wants(subjects: &[String], subject: &str) -> bool {
    subjects.is_empty() || subjects.iter().any(|pattern| matches(pattern, subject))
}

fn size(record: &Stored) -> u64 {
    (record.subject.len() + record.payload.len()) as u64
}

impl Records {
    pub(super) fn keeps(&self, subject: &str) -> bool {
        self.settings
            .subjects
            .iter()
            .any(|pattern| matches(pattern, subject))
    }

    fn expire(&mut self, now: Instant) {
        let max_age = self.settings.max_age;
        while let Some((at, _)) = self.kept.front()
            && (now.duration_since(*at) >= max_age || self.bytes > self.settings.max_bytes)
        {
            if let Some((_, record)) = self.kept.pop_front() {
                self.bytes -= size(&record);
            }
        }
        while self
            .ids
            .front()
            .is_some_and(|(at, ..)| now.duration_since(*at) >= DEDUPLICATION)
        {
            self.ids.pop_front();
        }
    }

    /// The sequence of the record of this id.
    fn known(&self, id: &str) -> Option<u64> {
        self.ids
            .iter()
            .find(|(_, known, _)| known == id)
            .map(|(.., sequence)| *sequence)
    }

    pub(super) fn append(
        &mut self,
        message: &Published,
        id: Option<&str>,
        now: Instant,
        now_ms: i64,
        delay: Duration,
    ) -> Result<u64> {
        if let Some(sequence) = id.and_then(|id| self.known(id)) {
            return Ok(sequence);
        }
        self.last += 1;
        if let Some(id) = id {
            self.ids.push_back((now, id.to_owned(), self.last));
        }
        let record = Stored {
            subject: message.subject.clone(),
            payload: message.payload.clone(),
            sequence: self.last,
            at_ms: now_ms,
            behind: 0,
        };
        self.bytes += size(&record);
        let arrives = now + delay;
        self.readers.retain(|reader| !reader.records.is_closed());
        for reader in self.readers.iter().filter(|reader| reader.wants(&record.subject)) {
            let _ = reader.records.send((arrives, record.clone()));
        }
        self.kept.push_back((now, record));
        self.expire(now);
        Ok(self.last)
    }

    fn status(&self) -> LogStatus {
        LogStatus {
            created: self.created,
            first: self
                .kept
                .front()
                .map_or(self.last + 1, |(_, record)| record.sequence),
            last: self.last,
            bytes: self.bytes,
            max_bytes: self.settings.max_bytes,
            oldest_ms: self.kept.front().map(|(_, record)| record.at_ms),
        }
    }
}

impl State {
    fn records(&mut self, name: &str) -> Result<&mut Records> {
        let records = self.logs.get_mut(name);
        let records = records.ok_or_else(|| Error::Missing(format!("the log {name}")))?;
        records.expire(Instant::now());
        Ok(records)
    }
}

#[derive(Debug)]
pub(super) struct MemoryLog {
    pub(super) bus: MemoryBus,
    pub(super) name: String,
}

impl Log for MemoryLog {
    fn name(&self) -> &str {
        &self.name
    }

    fn make(&self, settings: LogSettings) -> Answer<()> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        async move {
            let what = format!("making the log {name}");
            bus.write(&what, |state| {
                if let Some(records) = state.logs.get_mut(&name) {
                    records.settings = settings;
                    return Ok(());
                }
                let records = Records {
                    settings,
                    created: state.created(),
                    last: 0,
                    bytes: 0,
                    kept: VecDeque::new(),
                    ids: VecDeque::new(),
                    readers: Vec::new(),
                };
                state.logs.insert(name, records);
                Ok(())
            })
            .await
        }
        .boxed()
    }

    fn status(&self) -> Answer<LogStatus> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        async move {
            bus.link.connected(&name).await?;
            bus.server.lock().records(&name).map(|records| records.status())
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
            bus.write(&what, |state| {
                let missing = || Error::Missing(format!("the log {name}"));
                state.publish(&message, id.as_deref()).ok_or_else(missing)?
            })
            .await
        }
        .boxed()
    }

    fn append_all(&self, appended: Vec<Record>) -> Answer<u64> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        async move {
            let what = format!("a batch of records of {name}");
            bus.write(&what, |state| {
                let takes_batches = state.takes_batches;
                let records = state.records(&name)?;
                check_batch(takes_batches && records.settings.batches, &what)?;
                for record in &appended {
                    check_payload(&record.payload)?;
                    if record.id.as_deref().is_some_and(|id| records.known(id).is_some()) {
                        return Err(Error::Refused {
                            what: what.clone(),
                            why: "it contains a duplicate".to_owned(),
                        });
                    }
                }
                let first = records.last + 1;
                if appended.is_empty() {
                    return Err(Error::Invalid("an empty batch".to_owned()));
                }
                for Record { subject, payload, id } in appended {
                    state.publish(&Published { subject, payload }, id.as_deref());
                }
                Ok(first)
            })
            .await
        }
        .boxed()
    }

    fn read(&self, from: Start, subjects: Vec<String>) -> Answer<Reading> {
        let (bus, name) = (self.bus.clone(), self.name.clone());
        async move {
            bus.link.connected(&name).await?;
            let mut state = bus.server.lock();
            let arrives = Instant::now() + state.delay;
            let records = state.records(&name)?;
            let is_after = |record: &Stored| match from {
                Start::Beginning => true,
                Start::Time(at_ms) => record.at_ms >= at_ms,
                Start::Sequence(sequence) => record.sequence >= sequence,
                Start::Now => false,
            };
            let kept = records.kept.iter().map(|(_, record)| record);
            let wanted = kept.filter(|record| is_after(record) && wants(&subjects, &record.subject));
            let held: VecDeque<_> = wanted.cloned().collect();
            let (sender, live) = unbounded_channel();
            records.readers.push(Reader {
                subjects,
                records: sender,
            });
            drop(state);
            let reading = Live {
                link: bus.link.clone(),
                connection: *bus.link.count.borrow(),
                log: name,
                held,
                arrives,
                live,
            };
            Ok(Reading {
                held: reading.held.len() as u64,
                records: stream::try_unfold(reading, async |mut reading| {
                    let record = reading.next().await?;
                    Ok(Some((record, reading)))
                })
                .boxed(),
            })
        }
        .boxed()
    }
}

/// Somebody who reads a log.
struct Live {
    link: Arc<Link>,
    /// The connection over which it reads.
    connection: u64,
    log: String,
    /// What was there at the beginning.
    held: VecDeque<Stored>,
    /// Time at which these arrive.
    arrives: Instant,
    live: UnboundedReceiver<(Instant, Stored)>,
}

impl Live {
    async fn next(&mut self) -> Result<Stored> {
        let next = async {
            let (arrives, record) = match self.held.pop_front() {
                Some(record) => (self.arrives, record),
                None => match self.live.recv().await {
                    Some(next) => next,
                    // The log was deleted, of which a reader hears nothing.
                    None => std::future::pending().await,
                },
            };
            sleep_until(arrives).await;
            let behind = (self.held.len() + self.live.len()) as u64;
            Stored { behind, ..record }
        };
        tokio::select! {
            biased;
            () = self.link.broken(self.connection) => Err(Error::Ended(format!("the reading of {}", self.log))),
            record = next => Ok(record),
        }
    }
}
