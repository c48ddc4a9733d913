//! Many writes at once: an atomic batch (NATS ADR-50, servers from 2.12 on), of which the server takes all or nothing and
//! acknowledges the last. From 2.15 on it also syncs its file once for a batch instead of once for each message.

use anyhow::{Context as _, bail};
use async_nats::{
    HeaderMap, Request,
    header::{NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE},
    jetstream::{message::OutboundMessage, response::Response},
};
use secbeat_common::wire::{AuditRecord, BlockCommand};
use secbeat_daemon::cli::require_version;
use secbeat_orchestrator_core::bucket::Held;
use serde::Deserialize;
use uuid::Uuid;

use super::{ACK_TIMEOUT, Streams};

/// The oldest server with atomic batches.
const MIN_SERVER: (u32, u32) = (2, 12);

/// The acknowledgement of a batch.
#[derive(Deserialize)]
struct Committed {
    /// Sequence of its last message; the others have those before it.
    seq: u64,
    /// Messages in it.
    count: u64,
}

impl Streams {
    /// Whether the server that is connected takes batches.
    #[must_use]
    pub fn takes_batches(&self) -> bool {
        require_version("NATS", &self.client.server_info().version, MIN_SERVER).is_ok()
    }

    /// Writes up to [`BATCH`](secbeat_orchestrator_core::writer::BATCH) bans, all or none, each on top of what its key holds.
    /// Returns the revision of the first; the others follow.
    ///
    /// # Errors
    ///
    /// When the server did not acknowledge them, as when one of the revisions is not the last; they may have been written
    /// all the same.
    pub async fn put_bans(&self, commands: &[(BlockCommand, Held)]) -> anyhow::Result<u64> {
        let messages = commands
            .iter()
            .map(|(command, over)| self.ban_message(command, *over));
        self.put_all(messages.collect::<Result<_, _>>()?).await
    }

    /// Writes up to [`BATCH`](secbeat_orchestrator_core::writer::BATCH) audit records, all or none.
    ///
    /// # Errors
    ///
    /// As [`put_bans`](Self::put_bans).
    pub(super) async fn put_audit_batch(&self, records: &[AuditRecord]) -> anyhow::Result<()> {
        let messages = records.iter().map(super::audit_message);
        self.put_all(messages.collect::<Result<_, _>>()?).await.map(drop)
    }

    /// Returns the sequence of the first.
    async fn put_all(&self, mut messages: Vec<OutboundMessage>) -> anyhow::Result<u64> {
        let batch = Uuid::new_v4().simple().to_string();
        let count = messages.len() as u64;
        for (message, number) in messages.iter_mut().zip(1_u64..) {
            let headers = message.headers.get_or_insert_with(HeaderMap::new);
            headers.insert(NATS_BATCH_ID, batch.as_str());
            headers.insert(NATS_BATCH_SEQUENCE, number.to_string());
            if number == count {
                headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
            }
        }
        let last = messages.pop().context("an empty batch")?;
        for message in messages {
            let headers = message.headers.unwrap_or_default();
            self.client
                .publish_with_headers(message.subject, headers, message.payload)
                .await
                .context("publishing a batch")?;
        }
        let request = Request::new()
            .payload(last.payload)
            .headers(last.headers.unwrap_or_default())
            .timeout(Some(ACK_TIMEOUT));
        let answer = self.client.send_request(last.subject, request).await;
        let answer = answer.context("waiting for a batch to be acknowledged")?;
        match serde_json::from_slice(&answer.payload).context("reading the acknowledgement of a batch")? {
            Response::Err { error } => Err(error).context("the server refused a batch"),
            Response::Ok(Committed { seq, count: taken }) if taken == count => {
                Ok((seq + 1).saturating_sub(count))
            }
            Response::Ok(Committed { count: taken, .. }) => {
                bail!("the server took {taken} of a batch of {count}")
            }
        }
    }
}
