//! The log of decisions.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, future::try_join_all, stream};
use secbeat_common::{
    prefix::Prefix,
    subjects::AuditPart,
    wire::{AuditRecord, Audited, ListRecord, SignatureRecord},
};
use serde::de::DeserializeOwned;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::{
    AUDIT_AGE,
    backend::{Created, Log, Messages, Record, Start, Stored},
    bus::Bus,
    error::{Error, Result},
};

/// Time that the server may take between two records.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far the clocks of servers and of those who write records may differ, milliseconds.
const CLOCKS_MS: i64 = 600_000;

/// Which audit records are wanted.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// About exactly these; about everybody if there are none.
    pub targets: Vec<Prefix>,
    /// The records of these lists as well.
    pub lists: Vec<Uuid>,
    /// As [`Audited::kind`].
    pub kind: Option<String>,
    pub actor: Option<String>,
    /// None older than this, milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// The number of records, the latest ones.
    pub limit: usize,
}

impl AuditQuery {
    /// Returns where the records are found in `part`; nowhere if there are none.
    fn subjects(&self, part: AuditPart) -> Vec<String> {
        let kind = self.kind.as_deref();
        if !kind.is_none_or(|kind| part.holds(kind)) {
            return Vec::new();
        }
        let mut subjects: Vec<_> = match self.targets.as_slice() {
            [] => part.records(kind, None),
            targets => targets
                .iter()
                .flat_map(|target| part.records(kind, Some(target)))
                .collect(),
        };
        if part == AuditPart::Orders
            && !self.targets.is_empty()
            && kind.is_none_or(|kind| kind == ListRecord::KIND)
        {
            subjects.extend(self.lists.iter().map(|id| ListRecord::subject(*id)));
        }
        subjects.sort_unstable();
        subjects.dedup();
        subjects
    }

    fn wants(&self, record: &Audited) -> bool {
        let is_about = match record {
            Audited::Decision(record) => self.targets.contains(&record.target),
            Audited::List(record) => self.lists.contains(&record.list.id),
            Audited::Signatures(_) => false,
        };
        record.at_ms() >= self.since_ms
            && (self.targets.is_empty() || is_about)
            && self.actor.as_ref().is_none_or(|actor| actor == record.actor())
    }
}

/// The fleet's audit records.
#[derive(Clone, Debug)]
pub struct AuditLog {
    bus: Bus,
}

/// What one part of the audit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditFill {
    pub part: AuditPart,
    pub created: Created,
    /// Bytes that it holds, and that it may hold at most.
    pub bytes: u64,
    pub max_bytes: u64,
    /// Time at which the server took the oldest record, milliseconds since the Unix epoch.
    pub oldest_ms: Option<i64>,
}

impl AuditFill {
    /// Whether records younger than [`AUDIT_AGE`] went, at `now_ms`, for want of room.
    #[must_use]
    pub fn is_short(&self, now_ms: i64) -> bool {
        // The oldest record goes before the limit is reached exactly.
        let is_full = self.bytes >= self.max_bytes / 100 * 95;
        let promised_ms = i64::try_from(AUDIT_AGE.as_millis()).unwrap_or(i64::MAX);
        is_full
            && self
                .oldest_ms
                .is_some_and(|oldest| now_ms.saturating_sub(oldest) < promised_ms)
    }
}

/// Audit records as they are stored.
pub struct AuditRead {
    /// When the log of each part was made, and the sequence before the first record.
    pub parts: Vec<(AuditPart, Created, u64)>,
    /// Records behind those that are gone.
    pub removed: u64,
    pub records: Messages<(AuditPart, Stored)>,
}

impl AuditLog {
    #[must_use]
    pub fn new(bus: &Bus) -> Self {
        Self { bus: bus.clone() }
    }

    fn log(&self, part: AuditPart) -> Arc<dyn Log> {
        self.bus.log(part.stream())
    }

    /// Returns what each part holds.
    ///
    /// # Errors
    ///
    /// Returns an error if one cannot be asked.
    pub async fn fill(&self) -> Result<Vec<AuditFill>> {
        let fill = AuditPart::ALL.map(|part| async move {
            let status = self.log(part).status().await?;
            Ok(AuditFill {
                part,
                created: status.created,
                bytes: status.bytes,
                max_bytes: status.max_bytes,
                oldest_ms: status.oldest_ms,
            })
        });
        try_join_all(fill).await
    }

    /// Writes what somebody did with a list.
    ///
    /// # Errors
    ///
    /// Returns an error if the server did not acknowledge it.
    pub async fn append_list(&self, record: &ListRecord) -> Result<()> {
        let record = Record {
            subject: ListRecord::subject(record.list.id),
            payload: serde_json::to_vec(record)?.into(),
            id: Some(record.id()),
        };
        self.log(AuditPart::Orders).append(record).await.map(drop)
    }

    /// Writes what somebody decided of signatures.
    ///
    /// # Errors
    ///
    /// Returns an error if the server did not acknowledge it.
    pub async fn append_signatures(&self, record: &SignatureRecord) -> Result<()> {
        let record = Record {
            subject: record.subject(),
            payload: serde_json::to_vec(record)?.into(),
            id: Some(record.id()),
        };
        self.log(AuditPart::Orders).append(record).await.map(drop)
    }

    /// Writes up to [`MAX_BATCH`](crate::MAX_BATCH) records in their order, each once, and waits for the server once. What it
    /// acknowledged is taken out of `records`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is something that it did not acknowledge.
    pub async fn append(&self, records: &mut Vec<AuditRecord>) -> Result<()> {
        // One part after the other as they come: a restart goes by the times at which servers took them.
        while let Some(part) = records.first().map(AuditRecord::part) {
            let others = records.iter().position(|record| record.part() != part);
            let mut of_part: Vec<_> = records.drain(..others.unwrap_or(records.len())).collect();
            let written = self.append_to(part, &mut of_part).await;
            records.splice(0..0, of_part);
            written?;
        }
        Ok(())
    }

    async fn append_to(&self, part: AuditPart, records: &mut Vec<AuditRecord>) -> Result<()> {
        let log = self.log(part);
        if records.len() > 1 && self.bus.takes_batches() {
            let batch = records.iter().map(encode).collect::<Result<_>>()?;
            match log.append_all(batch).await {
                Ok(_) => records.clear(),
                // The server refuses a batch in which it finds one that it has; by itself that one is acknowledged.
                Err(error) => debug!("writing a batch of audit records failed, trying one by one: {error}"),
            }
        }
        while let Some(record) = records.first() {
            log.append(encode(record)?).await?;
            records.remove(0);
        }
        Ok(())
    }

    /// Returns the latest records that `query` asks for, oldest first.
    ///
    /// They are looked for from the log's end backwards, in ever longer stretches, unless it is a question about few
    /// targets: the server finds those by their subjects.
    ///
    /// # Errors
    ///
    /// Returns an error if the log cannot be read.
    pub async fn query(&self, query: &AuditQuery) -> Result<Vec<Audited>> {
        let parts = AuditPart::ALL.map(|part| self.query_part(part, query));
        let mut found = try_join_all(parts).await?.concat();
        found.sort_by_key(Audited::at_ms);
        Ok(found.split_off(found.len().saturating_sub(query.limit)))
    }

    async fn query_part(&self, part: AuditPart, query: &AuditQuery) -> Result<Vec<Audited>> {
        let subjects = query.subjects(part);
        if subjects.is_empty() {
            return Ok(Vec::new());
        }
        let status = self.log(part).status().await?;
        let (first, mut end) = (status.first, status.last + 1);
        let mut stretch = match query.targets.is_empty() {
            true => query.limit as u64 * 2,
            false => u64::MAX,
        };
        let mut found = VecDeque::new();
        while found.len() < query.limit && end > first {
            let start = end.saturating_sub(stretch).max(first);
            // What the server took long before is older than what is asked for.
            let from = match query.since_ms.saturating_sub(CLOCKS_MS) {
                since_ms if stretch == u64::MAX && since_ms > 0 => Start::Time(since_ms),
                _ => Start::Sequence(start),
            };
            let mut is_past = false;
            let mut part_of = VecDeque::new();
            self.read_until(part, from, subjects.clone(), end, |taken_ms, record: Audited| {
                // By the server's time: bans that are recorded again are as old as they were.
                is_past |= taken_ms.saturating_add(CLOCKS_MS) < query.since_ms;
                if query.wants(&record) {
                    part_of.push_back(record);
                }
                // The latest are wanted.
                if part_of.len() + found.len() > query.limit {
                    part_of.pop_front();
                }
            })
            .await?;
            part_of.append(&mut found);
            found = part_of;
            if is_past {
                break;
            }
            (end, stretch) = (start, stretch.saturating_mul(4));
        }
        Ok(found.into())
    }

    /// Returns the bans, unbans and bans that would have been since `since_ms`, oldest first, without the events that led to
    /// them.
    ///
    /// # Errors
    ///
    /// Returns an error if the log cannot be read.
    pub async fn decisions_since(&self, since_ms: i64) -> Result<Vec<AuditRecord>> {
        let parts = AuditPart::ALL.map(|part| async move {
            let kinds = ["ban", "unban", "observed"].into_iter();
            let subjects = kinds.filter(|kind| part.holds(kind));
            let subjects = subjects.flat_map(|kind| part.records(Some(kind), None)).collect();
            let mut records = Vec::new();
            self.read_until(
                part,
                Start::Time(since_ms),
                subjects,
                u64::MAX,
                |at_ms, record: AuditRecord| {
                    records.push((at_ms, record.without_events()));
                },
            )
            .await?;
            Ok::<_, Error>(records)
        });
        let mut records = try_join_all(parts).await?.concat();
        // In the order in which servers took them.
        records.sort_by_key(|(at_ms, record)| (*at_ms, record.at_ms));
        Ok(records.into_iter().map(|(_, record)| record).collect())
    }

    /// Reads the bans that would have been from now on, without the events that led to them, no matter who records them.
    ///
    /// # Errors
    ///
    /// Returns an error if the log cannot be read.
    pub async fn observed_from_now(&self) -> Result<impl Stream<Item = Result<AuditRecord>> + Send + use<>> {
        // Earlier releases record them among orders.
        let parts = [AuditPart::Findings, AuditPart::Orders].map(|part| async move {
            let subjects = part.records(Some("observed"), None);
            self.log(part).read(Start::Now, subjects).await
        });
        let readings = try_join_all(parts).await?;
        let records = stream::select_all(readings.into_iter().map(|reading| reading.records));
        Ok(records.filter_map(async |record| match record {
            Ok(record) => parse(&record).map(|record: AuditRecord| Ok(record.without_events())),
            Err(error) => Some(Err(error)),
        }))
    }

    /// Reads all records, those of other releases included, behind the sequence that `behind` says of a part whose log was made then.
    ///
    /// # Errors
    ///
    /// Returns an error if a log cannot be read.
    pub async fn read_behind(&self, behind: impl Fn(AuditPart, Created) -> u64) -> Result<AuditRead> {
        let (mut parts, mut removed, mut records) = (Vec::new(), 0, Vec::new());
        for part in AuditPart::ALL {
            let log = self.log(part);
            let status = log.status().await?;
            let behind = behind(part, status.created);
            // Nobody has read any of it at 0.
            if behind > 0 {
                removed += status.first.saturating_sub(behind + 1);
            }
            let reading = log.read(Start::Sequence(behind + 1), Vec::new()).await?;
            records.push(reading.records.map(move |stored| Ok((part, stored?))).boxed());
            parts.push((part, status.created, behind));
        }
        Ok(AuditRead {
            parts,
            removed,
            records: stream::select_all(records).boxed(),
        })
    }

    /// Hands all records on `subjects` of a part to `take`, oldest first, up to the sequence `end`, each with the time at which the
    /// server took it, milliseconds since the Unix epoch.
    async fn read_until<R: DeserializeOwned>(
        &self,
        part: AuditPart,
        from: Start,
        subjects: Vec<String>,
        end: u64,
        mut take: impl FnMut(i64, R),
    ) -> Result<()> {
        let log = self.log(part);
        let mut reading = log.read(from, subjects).await?;
        let mut is_read = reading.held == 0;
        while !is_read {
            let next = tokio::time::timeout(PATIENCE, reading.records.next()).await;
            let next = next.map_err(|_| Error::Silent {
                what: log.name().to_owned(),
                waited: PATIENCE,
            })?;
            let record = next.ok_or_else(|| Error::Ended(log.name().to_owned()))??;
            if record.sequence >= end {
                break;
            }
            if let Some(parsed) = parse(&record) {
                take(record.at_ms, parsed);
            }
            is_read = record.behind == 0;
        }
        Ok(())
    }
}

fn encode(record: &AuditRecord) -> Result<Record> {
    Ok(Record {
        subject: record.subject(),
        payload: serde_json::to_vec(record)?.into(),
        // The same decision again, because its acknowledgement was lost, is taken once.
        id: Some(record.id()),
    })
}

fn parse<R: DeserializeOwned>(record: &Stored) -> Option<R> {
    serde_json::from_slice(&record.payload)
        .inspect_err(|error| warn!(subject = record.subject, %error, "invalid audit record: ignored"))
        .ok()
}
