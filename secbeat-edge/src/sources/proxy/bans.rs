//! Ends open requests when their client is banned.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::sync::{Notify, futures::Notified};

use super::{
    super::{client_address::Client, gate::Gate},
    workers,
};

/// Time that a request of a banned client may go on. Many bans at once are looked at together.
const LOOK: Duration = Duration::from_millis(50);

/// Knows of bans, and wakes what is under way when there are new ones.
pub(super) struct Bans {
    gate: Arc<dyn Gate>,
    /// One for each worker, since every request waits here.
    changed: Arc<[Notify]>,
}

impl Bans {
    /// Those that `gate` knows of. Must be called within a tokio runtime.
    pub(super) fn watch(gate: Arc<dyn Gate>, workers: NonZeroUsize) -> Self {
        let changed: Arc<[Notify]> = (0..workers.get()).map(|_| Notify::new()).collect();
        let (mut changes, told) = (gate.changes(), changed.clone());
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                tokio::time::sleep(LOOK).await;
                changes.mark_unchanged();
                told.iter().for_each(Notify::notify_waiters);
            }
        });
        Self { gate, changed }
    }

    /// Completes when there are new bans, from this call on.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed[workers::current()].notified()
    }

    /// Completes once `client` is refused.
    pub(super) async fn until_refused(&self, client: Client) {
        loop {
            // Before the look, so that nothing is missed.
            let changed = self.changed();
            if self.gate.refuses(client) {
                return;
            }
            changed.await;
        }
    }

    /// The same for a client that was served after the call that made `changed`.
    pub(super) async fn until_refused_after(&self, changed: Notified<'_>, client: Client) {
        changed.await;
        self.until_refused(client).await;
    }
}
