//! Brings the fleet's bans to the enforcer.

#[cfg(test)]
mod tests;

use futures::FutureExt as _;
use secbeat_bus::{BanBucket, Bus, BusClock, CommandReader, Entry, Statement, Update};
use secbeat_common::wire::{BlockCommand, Lift};
use secbeat_daemon::time::{now, now_ms};
use secbeat_edge_core::{BucketId, BucketUpdate};

use crate::enforcer::{EnforcerEnded, EnforcerHandle};

/// What reading the fleet's bans needs.
pub(crate) struct BanWatch {
    pub bus: Bus,
    pub clock: BusClock,
    pub enforcer: EnforcerHandle,
    pub reader: CommandReader<BlockCommand, Lift>,
}

impl BanWatch {
    /// Follows the bans bucket for ever and hands everything to the enforcer: after each connection a snapshot, then
    /// updates. Nothing is read before the bus's clock was measured, if it can be; and everything again when the time was set, since
    /// bans end by it. Ends when the enforcer has ended.
    ///
    /// # Errors
    ///
    /// Only when the server is too old to work with.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let (bus, enforcer) = (self.bus.clone(), self.enforcer.clone());
        tokio::select! {
            biased;
            error = bus.unsupported() => Err(error.into()),
            () = enforcer.closed() => Ok(()),
            Err(EnforcerEnded) = self.follow() => Ok(()),
        }
    }

    async fn follow(&mut self) -> Result<(), EnforcerEnded> {
        let (clock, mut steps) = (self.clock.clone(), self.clock.steps());
        let measure = move || {
            let clock = clock.clone();
            async move {
                clock.ready().await;
                Ok(())
            }
            .boxed()
        };
        let mut follower = BanBucket::follow(&self.bus).prepared_by(measure);
        loop {
            let update = tokio::select! {
                update = follower.next() => update,
                Ok(()) = steps.changed() => {
                    self.enforcer.update(BucketUpdate::TimeSet).await?;
                    // Some may have been taken for ended.
                    follower.again();
                    continue;
                }
            };
            match update {
                Update::Begin(snapshot) => {
                    self.reader.begin(snapshot.created);
                    let id = BucketId(snapshot.created.0);
                    self.enforcer.update(BucketUpdate::SnapshotBegin(id)).await?;
                }
                Update::Held(entries) => self.take(&entries).await?,
                Update::Complete => self.enforcer.update(BucketUpdate::SnapshotEnd).await?,
                Update::Changed(entry) => self.take(&[entry]).await?,
            }
        }
    }

    /// Hands over what `entries` say.
    async fn take(&mut self, entries: &[Entry]) -> Result<(), EnforcerEnded> {
        let received = now();
        for (entry, statement) in entries.iter().zip(self.reader.read(entries, now_ms())) {
            let revision = entry.revision;
            let update = match statement {
                Statement::Put(command) => BucketUpdate::Put {
                    command,
                    revision,
                    received,
                },
                Statement::Gone(target) => BucketUpdate::Removed { target, revision },
                Statement::Untrusted(target) => BucketUpdate::Spoiled { target },
                Statement::InvalidKey => continue,
            };
            self.enforcer.update(update).await?;
        }
        Ok(())
    }
}
