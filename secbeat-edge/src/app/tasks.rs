//! Tasks that run as long as the daemon, and their common end.

use std::future::Future;

use anyhow::Context;
use tokio::{sync::watch, task::JoinSet};

/// Tasks of which none may end before the daemon.
#[derive(Debug, Default)]
pub(super) struct Tasks(JoinSet<anyhow::Result<()>>);

impl Tasks {
    pub(super) fn spawn(&mut self, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.0.spawn(task);
    }

    /// Spawns a task that cannot fail.
    pub(super) fn forever(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn(async move {
            task.await;
            Ok(())
        });
    }

    /// Waits for the first one that ends, and returns how.
    pub(super) async fn next_end(&mut self) -> anyhow::Result<()> {
        match self.0.join_next().await {
            Some(ended) => ended.context("a task died").and_then(|ended| ended),
            None => std::future::pending().await,
        }
    }

    /// Ends all.
    pub(super) async fn shutdown(mut self) {
        self.0.shutdown().await;
    }
}

/// Tells everything at once to stop.
#[derive(Debug)]
pub(super) struct Stop(watch::Sender<bool>);

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Stop {
    /// Completes when it is time to stop.
    pub(super) fn signal(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stopped = self.0.subscribe();
        async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        }
    }

    pub(super) fn stop(&self) {
        self.0.send_replace(true);
    }
}
