//! Questions to the audit stream.

use std::collections::VecDeque;

use anyhow::Context as _;
use async_nats::jetstream::{
    Message,
    consumer::{Consumer, DeliverPolicy, push},
    stream::Stream as JetStream,
};
use futures::{Stream, StreamExt as _};
use secbeat_common::{prefix::Prefix, subjects, wire::AuditRecord};
use tracing::warn;

use super::{PATIENCE, Streams, timestamp};

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

impl Streams {
    /// The latest records that `query` asks for, oldest first.
    ///
    /// They are looked for from the stream's end backwards, in ever longer stretches, unless it is a question about few
    /// targets: the server finds those by their subjects.
    ///
    /// # Errors
    ///
    /// When the stream cannot be read.
    pub async fn audit(&self, query: &AuditQuery) -> anyhow::Result<Vec<AuditRecord>> {
        let stream = self.audit_stream().await?;
        let state = &stream.cached_info().state;
        let (first, mut end) = (state.first_sequence, state.last_sequence + 1);
        let mut stretch = match query.targets.is_empty() {
            true => query.limit as u64 * 2,
            false => u64::MAX,
        };
        let mut found = VecDeque::new();
        while found.len() < query.limit && end > first {
            let start = end.saturating_sub(stretch).max(first);
            let mut is_past = false;
            let mut part = VecDeque::new();
            let from = DeliverPolicy::ByStartSequence {
                start_sequence: start.max(1),
            };
            self.audit_until(&stream, query.subjects(), from, end, |record| {
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

    /// The audit's bans, unbans and bans that would have been since `since_ms`, oldest first, without the events that led to
    /// them.
    ///
    /// # Errors
    ///
    /// When the stream cannot be read.
    pub async fn decisions_since(&self, since_ms: i64) -> anyhow::Result<Vec<AuditRecord>> {
        let kinds = ["ban", "unban", "observed"].into_iter();
        let subjects = kinds.flat_map(|kind| subjects::audit_of(Some(kind), None));
        let from = DeliverPolicy::ByStartTime {
            start_time: timestamp(since_ms)?,
        };
        let mut records = Vec::new();
        self.audit_until(
            &self.audit_stream().await?,
            subjects.collect(),
            from,
            u64::MAX,
            |record| {
                records.push(record.without_events());
            },
        )
        .await?;
        Ok(records)
    }

    /// The bans that would have been from now on, without the events that led to them, whoever records them.
    ///
    /// # Errors
    ///
    /// When the stream cannot be read.
    pub async fn observed_from_now(
        &self,
    ) -> anyhow::Result<impl Stream<Item = anyhow::Result<AuditRecord>> + use<>> {
        let subjects = subjects::audit_of(Some("observed"), None).to_vec();
        let stream = self.audit_stream().await?;
        let consumer = self.audit_consumer(&stream, subjects, DeliverPolicy::New).await?;
        let messages = consumer.messages().await.context("reading the audit stream")?;
        Ok(messages.filter_map(async |message| match message {
            Ok(message) => parse(&message).map(|record| Ok(record.without_events())),
            Err(error) => Some(Err(error).context("reading the audit stream")),
        }))
    }

    async fn audit_stream(&self) -> anyhow::Result<JetStream> {
        let stream = self.context.get_stream(subjects::AUDIT_STREAM).await;
        stream.context("opening the audit stream")
    }

    async fn audit_consumer(
        &self,
        stream: &JetStream,
        filter_subjects: Vec<String>,
        deliver_policy: DeliverPolicy,
    ) -> anyhow::Result<Consumer<push::OrderedConfig>> {
        let config = push::OrderedConfig {
            deliver_subject: self.client.new_inbox(),
            deliver_policy,
            filter_subjects,
            ..push::OrderedConfig::default()
        };
        let consumer = stream.create_consumer(config).await;
        consumer.context("reading the audit stream")
    }

    /// Hands all records on `subjects` to `take`, oldest first, up to the sequence `end`.
    async fn audit_until(
        &self,
        stream: &JetStream,
        subjects: Vec<String>,
        from: DeliverPolicy,
        end: u64,
        mut take: impl FnMut(AuditRecord),
    ) -> anyhow::Result<()> {
        let consumer = self.audit_consumer(stream, subjects, from).await?;
        if consumer.cached_info().num_pending == 0 {
            return Ok(());
        }
        let mut messages = consumer.messages().await.context("reading the audit stream")?;
        loop {
            let message = tokio::time::timeout(PATIENCE, messages.next())
                .await
                .context("the audit stream fell silent")?
                .context("the audit stream ended")?
                .context("reading the audit stream")?;
            let info = message.info().map_err(|error| anyhow::anyhow!("{error}"))?;
            if info.stream_sequence >= end {
                break;
            }
            parse(&message).into_iter().for_each(&mut take);
            if info.pending == 0 {
                break;
            }
        }
        Ok(())
    }
}

fn parse(message: &Message) -> Option<AuditRecord> {
    serde_json::from_slice(&message.payload)
        .inspect_err(|error| warn!(subject = %message.subject, %error, "not an audit record: ignored"))
        .ok()
}
