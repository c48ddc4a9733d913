//! Writes of the bans bucket.
//!
//! A server that is killed brings back what was purged or replaced once what came after it has gone by its TTL (nats-server
//! 2.15 and before, issue 8505 there). So what comes after a ban stays at least until that ban has ended: the marker of one
//! that was lifted, and the ban that replaced a longer one.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::{
    context::{PublishError, PublishErrorKind, traits::Publisher as _},
    kv,
    message::{OutboundMessage, PublishMessage},
    publish::PublishAck,
};
use secbeat_common::{
    prefix::Prefix,
    subjects,
    wire::{BlockCommand, Lift},
};
use secbeat_daemon::time::{ms_to_end, now_ms};

use secbeat_orchestrator_core::bucket::{Found, Held, Put};
use uuid::Uuid;

use super::{MARKER_TTL, Streams, purge};

impl Streams {
    /// Writes a ban, once, on top of what its key holds.
    ///
    /// # Errors
    ///
    /// When the server did not acknowledge it; it may have been written all the same.
    pub async fn put_ban(&self, command: &BlockCommand, over: Held) -> anyhow::Result<Put> {
        let sent = self
            .context
            .publish_message(self.ban_message(command, over)?)
            .await?;
        put(sent.await)
    }

    /// The revision of the key of `target`'s ban (0: it does not exist), and what it holds.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn ban_of(&self, target: &Prefix) -> anyhow::Result<(u64, Found)> {
        let entry = self.bans().await?.entry(target.key()).await;
        let entry = entry.with_context(|| format!("reading the ban of {target}"))?;
        Ok(entry.map_or((0, Found::Nothing), |entry| {
            let found = match entry.operation {
                kv::Operation::Put => self
                    .trust
                    .open(&entry.value)
                    .map(|opened| Found::Ban(Box::new(opened.command))),
                kv::Operation::Delete | kv::Operation::Purge => self
                    .trust
                    .open::<Lift>(&entry.value)
                    .map(|opened| Found::Lifted(opened.command.id)),
            };
            let found = found.unwrap_or(Found::Nothing);
            let is_of_target = |found: &Found| match found {
                Found::Ban(command) => command.target == *target,
                Found::Lifted(_) | Found::Nothing => true,
            };
            (
                entry.revision,
                Some(found).filter(is_of_target).unwrap_or(Found::Nothing),
            )
        }))
    }

    /// Removes the ban `id`, once, on top of what its key holds.
    ///
    /// # Errors
    ///
    /// When the server did not acknowledge it; it may have been removed all the same.
    pub async fn remove_ban(&self, target: &Prefix, id: Uuid, over: Held) -> anyhow::Result<Put> {
        let lift = Lift {
            target: *target,
            id,
            expires_at_ms: over.expires_at_ms,
        };
        let mut message = PublishMessage::build()
            .payload(self.signer.seal(&lift, over.seen)?.into())
            .expected_last_subject_sequence(over.revision);
        if let Some(ttl) = rest(over.expires_at_ms, now_ms()) {
            message = message.ttl(ttl.max(MARKER_TTL));
        }
        let sent = self
            .context
            .publish_message(purge(message, subjects::ban(target)))
            .await?;
        put(sent.await).with_context(|| format!("removing the ban of {target}"))
    }

    pub(super) fn ban_message(&self, command: &BlockCommand, over: Held) -> anyhow::Result<OutboundMessage> {
        let mut message = PublishMessage::build()
            .payload(self.signer.seal(command, over.seen)?.into())
            .expected_last_subject_sequence(over.revision);
        if let Some(ttl) = rest(command.expires_at_ms.max(over.expires_at_ms), now_ms()) {
            message = message.ttl(ttl);
        }
        Ok(message.outbound_message(subjects::ban(&command.target)))
    }
}

/// How long the server has to keep what ends at `expires_at_ms`; `None` for ever. It counts in whole seconds; a ban's own end
/// is exact.
fn rest(expires_at_ms: i64, now_ms: i64) -> Option<Duration> {
    let left_ms = ms_to_end(expires_at_ms, now_ms)?;
    let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
    Some(Duration::from_secs(left.as_secs() + 1))
}

fn put(acknowledged: Result<PublishAck, PublishError>) -> anyhow::Result<Put> {
    match acknowledged {
        Ok(ack) => Ok(Put::Written {
            revision: ack.sequence,
        }),
        Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(Put::Conflict),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::PERMANENT;

    use super::*;

    #[test]
    fn a_key_stays_until_its_ban_has_ended_and_a_second_at_most_longer() {
        let seconds = |expires_at_ms| rest(expires_at_ms, 10_000).map(|rest| rest.as_secs());
        assert_eq!(
            [10_001, 10_999, 13_000, 9_000].map(seconds),
            [1, 1, 4, 1].map(Some)
        );
        assert_eq!(seconds(PERMANENT), None);
    }
}
