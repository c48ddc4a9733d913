//! The addresses behind configured names. Asking for them takes as long as resolvers like, so it happens apart from
//! everything else.

use std::time::Duration;

use secbeat_daemon::protect::{Known, Names};
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tracing::error;

use super::HostChange;

/// Resolves the names of `known` every `interval`, and tells when they have come to mean something else than `names`.
pub(crate) async fn resolve_names(
    known: Known,
    mut names: Names,
    interval: Duration,
    changes: mpsc::Sender<Vec<HostChange>>,
) {
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let (known, before) = (known.clone(), names.clone());
        let found = match tokio::task::spawn_blocking(move || known.resolve(&before)).await {
            Ok(found) => found,
            Err(error) => return error!(%error, "resolving names died"),
        };
        if found == names {
            continue;
        }
        names.clone_from(&found);
        if changes.send(vec![HostChange::Names(found)]).await.is_err() {
            return;
        }
    }
}
