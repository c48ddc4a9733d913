//! Many writes at once: an atomic batch (NATS ADR-50, servers from 2.12 on), of which the server takes all or nothing and
//! acknowledges the last. From 2.15 on it also syncs its file once for a batch instead of once for each message.

use std::time::Instant;

use async_nats::{
    HeaderMap, Request,
    client::RequestErrorKind,
    header::{NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE},
    jetstream::{ErrorCode, message::OutboundMessage, response::Response},
};
use serde::Deserialize;
use uuid::Uuid;

use super::{ACK_TIMEOUT, Nats, unanswered, why};
use crate::{
    backend::WriteOutcome,
    error::{Error, Result},
};

/// The acknowledgement of a batch.
#[derive(Deserialize)]
struct Committed {
    /// Sequence of its last message; the others have those before it.
    seq: u64,
    /// Messages in it.
    count: u64,
}

impl Nats {
    /// Publishes all or none to the bucket or log `name`. Returns the sequence of the first.
    pub(super) async fn publish_all(
        &self,
        name: &str,
        what: &str,
        messages: Vec<OutboundMessage>,
    ) -> Result<WriteOutcome> {
        let began = Instant::now();
        let outcome = self.publish_batch(what, messages).await;
        // A batch that the server refuses is tried one by one.
        if !matches!(outcome, Err(Error::Refused { .. })) {
            self.writes.note(name, began, &outcome);
        }
        outcome
    }

    async fn publish_batch(&self, what: &str, mut messages: Vec<OutboundMessage>) -> Result<WriteOutcome> {
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
        let last = messages
            .pop()
            .ok_or_else(|| Error::Invalid("an empty batch".to_owned()))?;
        let refused = |error: &dyn std::error::Error| Error::Refused {
            what: what.to_owned(),
            why: why(error),
        };
        for message in messages {
            let headers = message.headers.unwrap_or_default();
            self.client
                .publish_with_headers(message.subject, headers, message.payload)
                .await
                .map_err(|error| refused(&error))?;
        }
        let request = Request::new()
            .payload(last.payload)
            .headers(last.headers.unwrap_or_default())
            .timeout(Some(ACK_TIMEOUT));
        let answer = self.client.send_request(last.subject, request).await;
        let answer = answer.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Error::Missing(unanswered(what)),
            _ => Error::Unacknowledged(what.to_owned()),
        })?;
        match serde_json::from_slice(&answer.payload).map_err(|error| refused(&error))? {
            Response::Err { error } if is_conflict(error.error_code()) => Ok(WriteOutcome::Conflict),
            Response::Err { error } => Err(refused(&error)),
            Response::Ok(Committed { seq, count: taken }) if taken == count => {
                Ok(WriteOutcome::Written((seq + 1).saturating_sub(count)))
            }
            Response::Ok(Committed { count: taken, .. }) => Err(Error::Refused {
                what: what.to_owned(),
                why: format!("the server took {taken} of a batch of {count}"),
            }),
        }
    }
}

/// Of a batch the server says the same in another way.
fn is_conflict(code: ErrorCode) -> bool {
    code == ErrorCode::STREAM_WRONG_LAST_SEQUENCE || code == ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT
}
