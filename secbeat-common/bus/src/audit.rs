//! The log of decisions.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _};
use secbeat_common::{prefix::Prefix, subjects, wire::AuditRecord};
use tracing::{debug, warn};

use crate::{
    backend::{Created, Log, Messages, Record, Start, Stored},
    bus::Bus,
    error::{Error, Result},
};

/// How long the server may take between two records.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which audit records are wanted.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// About exactly these; about everybody if there are none.
    pub targets: Vec<Prefix>,
    /// As [`Decision::kind`](secbeat_common::wire::Decision::kind).
    pub kind: Option<String>,
    pub actor: Option<String>,
    /// None older than this, milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// The latest so many.
    pub limit: usize,
}

impl AuditQuery {
    fn subjects(&self) -> Vec<String> {
        let of = |target| subjects::audit_of(self.kind.as_deref(), target);
        let mut subjects: Vec<_> = match self.targets.as_slice() {
            [] => of(None).to_vec(),
            targets => targets.iter().flat_map(|target| of(Some(target))).collect(),
        };
        subjects.sort_unstable();
        subjects.dedup();
        subjects
    }

    fn wants(&self, record: &AuditRecord) -> bool {
        record.at_ms >= self.since_ms
            && (self.targets.is_empty() || self.targets.contains(&record.target))
            && self.actor.as_ref().is_none_or(|actor| *actor == record.actor)
    }
}

/// The fleet's audit records.
#[derive(Clone, Debug)]
pub struct AuditLog {
    bus: Bus,
    log: Arc<dyn Log>,
}

/// Audit records as they are stored.
pub struct AuditRead {
    /// When the log was made that they are of.
    pub created: Created,
    /// The sequence before the first.
    pub behind: u64,
    /// Records behind that one that are gone.
    pub removed: u64,
    pub records: Messages<Stored>,
}

impl AuditLog {
    #[must_use]
    pub fn new(bus: &Bus) -> Self {
        Self {
            bus: bus.clone(),
            log: bus.log(subjects::AUDIT_STREAM),
        }
    }

    /// Writes up to [`MAX_BATCH`](crate::MAX_BATCH) records in their order, each once, and waits for the server once. What it
    /// acknowledged is taken out of `records`.
    ///
    /// # Errors
    ///
    /// When there is something that it did not acknowledge.
    pub async fn append(&self, records: &mut Vec<AuditRecord>) -> Result<()> {
        if records.len() > 1 && self.bus.takes_batches() {
            let batch = records.iter().map(encode).collect::<Result<_>>()?;
            match self.log.append_all(batch).await {
                Ok(_) => records.clear(),
                // The server refuses a batch in which it finds one that it has; by itself that one is acknowledged.
                Err(error) => debug!("writing a batch of audit records failed, trying one by one: {error}"),
            }
        }
        while let Some(record) = records.first() {
            self.log.append(encode(record)?).await?;
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
    /// When the log cannot be read.
    pub async fn query(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>> {
        let status = self.log.status().await?;
        let (first, mut end) = (status.first, status.last + 1);
        let mut stretch = match query.targets.is_empty() {
            true => query.limit as u64 * 2,
            false => u64::MAX,
        };
        let mut found = VecDeque::new();
        while found.len() < query.limit && end > first {
            let start = end.saturating_sub(stretch).max(first);
            let mut is_past = false;
            let mut part = VecDeque::new();
            self.read_until(Start::Sequence(start), query.subjects(), end, |record| {
                is_past |= record.at_ms < query.since_ms;
                if query.wants(&record) {
                    part.push_back(record);
                }
                // The latest are wanted.
                if part.len() + found.len() > query.limit {
                    part.pop_front();
                }
            })
            .await?;
            part.append(&mut found);
            found = part;
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
    /// When the log cannot be read.
    pub async fn decisions_since(&self, since_ms: i64) -> Result<Vec<AuditRecord>> {
        let kinds = ["ban", "unban", "observed"].into_iter();
        let subjects = kinds
            .flat_map(|kind| subjects::audit_of(Some(kind), None))
            .collect();
        let mut records = Vec::new();
        self.read_until(Start::Time(since_ms), subjects, u64::MAX, |record| {
            records.push(record.without_events());
        })
        .await?;
        Ok(records)
    }

    /// Reads the bans that would have been from now on, without the events that led to them, whoever records them.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub async fn observed_from_now(&self) -> Result<impl Stream<Item = Result<AuditRecord>> + Send + use<>> {
        let subjects = subjects::audit_of(Some("observed"), None).to_vec();
        let reading = self.log.read(Start::Now, subjects).await?;
        Ok(reading.records.filter_map(async |record| match record {
            Ok(record) => parse(&record).map(|record| Ok(record.without_events())),
            Err(error) => Some(Err(error)),
        }))
    }

    /// Reads all records, those of other releases included, behind the sequence that `behind` says of a log that was made then.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub async fn read_behind(&self, behind: impl FnOnce(Created) -> u64) -> Result<AuditRead> {
        let status = self.log.status().await?;
        let behind = behind(status.created);
        let removed = match behind {
            // Nobody has read any of it.
            0 => 0,
            read => status.first.saturating_sub(read + 1),
        };
        let reading = self.log.read(Start::Sequence(behind + 1), Vec::new()).await?;
        Ok(AuditRead {
            created: status.created,
            behind,
            removed,
            records: reading.records,
        })
    }

    /// Hands all records on `subjects` to `take`, oldest first, up to the sequence `end`.
    async fn read_until(
        &self,
        from: Start,
        subjects: Vec<String>,
        end: u64,
        mut take: impl FnMut(AuditRecord),
    ) -> Result<()> {
        let mut reading = self.log.read(from, subjects).await?;
        let mut is_read = reading.held == 0;
        while !is_read {
            let next = tokio::time::timeout(PATIENCE, reading.records.next()).await;
            let next = next.map_err(|_| Error::Silent {
                what: self.log.name().to_owned(),
                waited: PATIENCE,
            })?;
            let record = next.ok_or_else(|| Error::Ended(self.log.name().to_owned()))??;
            if record.sequence >= end {
                break;
            }
            parse(&record).into_iter().for_each(&mut take);
            is_read = record.behind == 0;
        }
        Ok(())
    }
}

fn encode(record: &AuditRecord) -> Result<Record> {
    Ok(Record {
        subject: subjects::audit(record.decision.kind(), &record.target),
        payload: serde_json::to_vec(record)?.into(),
        // The same decision again, because its acknowledgement was lost, is taken once.
        id: Some(record.id()),
    })
}

fn parse(record: &Stored) -> Option<AuditRecord> {
    serde_json::from_slice(&record.payload)
        .inspect_err(|error| warn!(subject = record.subject, %error, "invalid audit record: ignored"))
        .ok()
}
