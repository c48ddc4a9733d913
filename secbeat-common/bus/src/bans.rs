//! The bucket of bans.
//!
//! A server that is killed brings back what was purged or replaced once what came after it has gone by its TTL (nats-server
//! 2.15 and before, issue 8505 there). So what comes after a ban stays at least until that ban has ended: the marker of one
//! that was lifted, and the ban that replaced a longer one.

use std::{sync::Arc, time::Duration};

use secbeat_common::{
    prefix::Prefix,
    sign::{Signer, Trust},
    subjects,
    wire::{BlockCommand, Lift, PERMANENT},
};
use uuid::Uuid;

use crate::{
    backend::{Bucket, EntryKind, Write, WriteOutcome},
    bus::Bus,
    error::Result,
    follow::Follower,
    layout::MARKER_TTL,
};

/// Most writes in one batch: the server takes 1000, and half as many keep others waiting half as long.
pub const MAX_BATCH: usize = 500;

/// What a key of the bucket holds, on top of which it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyState {
    /// 0 if there is nothing.
    pub revision: u64,
    /// The end of the ban, milliseconds since the Unix epoch; 0 if there is none.
    pub expires_at_ms: i64,
    /// The latest revision in the whole bucket that is known. A command says that it was written after it, and so after
    /// whatever anybody has seen of its key, also if the server has forgotten that since.
    pub seen: u64,
}

/// What the key of a target holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Ban(Box<BlockCommand>),
    /// The end of the ban of this id.
    Lifted(Uuid),
    /// Nothing that counts.
    Nothing,
}

/// The fleet's bans.
#[derive(Clone, Debug)]
pub struct BanBucket {
    bus: Bus,
    bucket: Arc<dyn Bucket>,
    trust: Trust,
    signer: Signer,
}

impl BanBucket {
    #[must_use]
    pub fn new(bus: &Bus, trust: Trust, signer: Signer) -> Self {
        Self {
            bus: bus.clone(),
            bucket: bus.bucket(subjects::BANS_BUCKET),
            trust,
            signer,
        }
    }

    /// Whether [`put_all`](Self::put_all) works.
    #[must_use]
    pub fn takes_batches(&self) -> bool {
        self.bus.takes_batches()
    }

    /// Reads the bucket for ever.
    #[must_use]
    pub fn follow(bus: &Bus) -> Follower {
        Follower::new(bus, subjects::BANS_BUCKET)
    }

    /// Writes a ban, once, on top of what its key holds.
    ///
    /// # Errors
    ///
    /// Returns an error if the server did not acknowledge it; it may have been written all the same.
    pub async fn put(&self, command: &BlockCommand, over: KeyState, now_ms: i64) -> Result<WriteOutcome> {
        self.bucket.write(self.ban(command, over, now_ms)?).await
    }

    /// Writes up to [`MAX_BATCH`] bans, all or none, each on top of what its key holds. Returns the revision of the first; the
    /// others follow.
    ///
    /// # Errors
    ///
    /// Returns an error if the server did not acknowledge them; they may have been written all the same.
    pub async fn put_all(&self, commands: &[(BlockCommand, KeyState)], now_ms: i64) -> Result<WriteOutcome> {
        let bans = commands
            .iter()
            .map(|(command, over)| self.ban(command, *over, now_ms));
        self.bucket.write_all(bans.collect::<Result<_>>()?).await
    }

    /// Removes the ban `id`, once, on top of what its key holds.
    ///
    /// # Errors
    ///
    /// Returns an error if the server did not acknowledge it; it may have been removed all the same.
    pub async fn lift(&self, target: &Prefix, id: Uuid, over: KeyState, now_ms: i64) -> Result<WriteOutcome> {
        let lift = Lift {
            target: *target,
            id,
            expires_at_ms: over.expires_at_ms,
        };
        let mut write = Write::purge(target.key(), self.signer.seal(&lift, over.seen)?).over(over.revision);
        write.ttl = rest(over.expires_at_ms, now_ms).map(|rest| rest.max(MARKER_TTL));
        self.bucket.write(write).await
    }

    /// Reads the revision of the key of `target`'s ban (0: it does not exist), and what it holds.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer.
    pub async fn get(&self, target: &Prefix) -> Result<(u64, Found)> {
        let Some(entry) = self.bucket.get(&target.key()).await? else {
            return Ok((0, Found::Nothing));
        };
        let found = match entry.kind {
            EntryKind::Put => self
                .trust
                .open::<BlockCommand>(&entry.value)
                .map(|opened| opened.command)
                .ok()
                .filter(|command| command.target == *target)
                .map(|command| Found::Ban(Box::new(command))),
            EntryKind::Delete | EntryKind::Purge => {
                let opened = self.trust.open::<Lift>(&entry.value).ok();
                opened.map(|opened| Found::Lifted(opened.command.id))
            }
        };
        Ok((entry.revision, found.unwrap_or(Found::Nothing)))
    }

    fn ban(&self, command: &BlockCommand, over: KeyState, now_ms: i64) -> Result<Write> {
        let sealed = self.signer.seal(command, over.seen)?;
        let mut write = Write::put(command.target.key(), sealed).over(over.revision);
        write.ttl = rest(command.expires_at_ms.max(over.expires_at_ms), now_ms);
        Ok(write)
    }
}

/// Returns how long the server has to keep what ends at `ends_ms`; `None` for ever. It counts in whole seconds; the end that a
/// message states is exact.
pub(crate) fn rest(ends_ms: i64, now_ms: i64) -> Option<Duration> {
    let left_ms = (ends_ms != PERMANENT).then(|| ends_ms.saturating_sub(now_ms))?;
    let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
    Some(Duration::from_secs(left.as_secs() + 1))
}

#[cfg(test)]
mod tests {
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
