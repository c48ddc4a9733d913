//! Brings the fleet's bans to the enforcer.

#[cfg(test)]
mod tests;

use secbeat_bus::{BanBucket, Bus, CommandReader, Entry, Statement, Update};
use secbeat_common::wire::{BlockCommand, Lift};
use secbeat_daemon::time::{now, now_ms};
use secbeat_edge_core::{BucketId, BucketUpdate};

use crate::enforcer::{EnforcerEnded, EnforcerHandle};

/// What reading the fleet's bans needs.
pub(crate) struct BanWatch {
    pub bus: Bus,
    pub enforcer: EnforcerHandle,
    pub reader: CommandReader<BlockCommand, Lift>,
}

impl BanWatch {
    /// Follows the bans bucket for ever and hands everything to the enforcer: after each connection a snapshot, then
    /// updates. Ends when the enforcer has ended.
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
        let mut follower = BanBucket::follow(&self.bus);
        loop {
            match follower.next().await {
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
