//! Questions to the audit stream.

use std::{collections::VecDeque, ops::Range};

use anyhow::Context as _;
use async_nats::jetstream::{
    consumer::{DeliverPolicy, push},
    stream::Stream,
};
use futures::StreamExt as _;
use secbeat_common::{prefix::Prefix, subjects, wire::AuditRecord};
use tracing::warn;

use super::{PATIENCE, Streams};

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
        let stream = self
            .context
            .get_stream(subjects::AUDIT_STREAM)
            .await
            .context("opening the audit stream")?;
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
            self.audit_between(&stream, query, start..end, |record| {
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

    /// Hands all records on the subjects of `query` whose sequence is in `range` to `take`, oldest first.
    async fn audit_between(
        &self,
        stream: &Stream,
        query: &AuditQuery,
        range: Range<u64>,
        mut take: impl FnMut(AuditRecord),
    ) -> anyhow::Result<()> {
        let consumer = stream
            .create_consumer(push::OrderedConfig {
                deliver_subject: self.context_inbox(),
                deliver_policy: DeliverPolicy::ByStartSequence {
                    start_sequence: range.start.max(1),
                },
                filter_subjects: query.subjects(),
                ..push::OrderedConfig::default()
            })
            .await
            .context("reading the audit stream")?;
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
            if info.stream_sequence >= range.end {
                break;
            }
            match serde_json::from_slice(&message.payload) {
                Ok(record) => take(record),
                Err(error) => warn!(subject = %message.subject, %error, "not an audit record: ignored"),
            }
            if info.pending == 0 {
                break;
            }
        }
        Ok(())
    }
}
