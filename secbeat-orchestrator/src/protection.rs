//! Keeps the ledger's list of whom never to ban as this host and the config have it.

use std::{collections::HashMap, time::Duration};

use anyhow::Context;
use secbeat_common::{maps::allow, prefix::Prefix};
use secbeat_daemon::{
    protect::{self, Known, Names},
    time::now_ms,
};
use secbeat_orchestrator_core::{ProtectedNet, decider::Event};
use tokio::sync::mpsc;
use tracing::{error, info};

use crate::engine::Input;

/// Interval at which the host is looked over. An edge watches its own host more closely; this host's part is that no ban is
/// decided that every edge would have to enforce.
const INTERVAL: Duration = Duration::from_secs(30);

/// What was found at the last look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Protection {
    known: Known,
    names: Names,
    nets: HashMap<Prefix, u32>,
}

impl Protection {
    /// Looks for the first time, names included.
    ///
    /// # Errors
    ///
    /// Returns an error if the search dies.
    pub(crate) async fn find(known: Known) -> anyhow::Result<Self> {
        let nothing = Self {
            known,
            ..Self::default()
        };
        nothing.again().await
    }

    /// Returns what is never banned.
    #[must_use]
    pub(crate) fn networks(&self) -> Vec<ProtectedNet> {
        let entries = &self.known.configured;
        let networks = self.nets.iter().map(|(&network, &code)| {
            let entry = entries
                .iter()
                .rfind(|entry| code == allow::CONFIGURED && entry.network == network);
            ProtectedNet {
                network,
                code,
                comment: entry.map_or_else(String::new, |entry| entry.comment.clone()),
                until_ms: entry.and_then(|entry| Some(entry.until?.as_millisecond())),
            }
        });
        networks.collect()
    }

    /// Looks again and again, and tells the engine of changes until it has ended.
    pub(crate) async fn run(mut self, inputs: mpsc::Sender<Input>) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let found = match self.again().await {
                Ok(found) => found,
                Err(error) => return error!("{error:#}"),
            };
            let changed = found.nets != self.nets;
            self = found;
            if !changed {
                continue;
            }
            info!("the allowlist changed");
            if inputs
                .send(Event::Protected(self.networks()).into())
                .await
                .is_err()
            {
                return;
            }
        }
    }

    async fn again(&self) -> anyhow::Result<Self> {
        let Self { known, names, nets } = self.clone();
        let look = move || {
            let names = known.resolve(&names);
            let nets = protect::collect(&known, &names, &nets, now_ms());
            Self { known, names, nets }
        };
        tokio::task::spawn_blocking(look)
            .await
            .context("looking for addresses to protect")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_engine_is_told_of_what_came_to_be_protected_after_the_start() {
        let (sender, mut inputs) = mpsc::channel(1);
        // As if nothing had been found at the start.
        let running = tokio::spawn(Protection::default().run(sender));
        match inputs.recv().await {
            Some(Input::Event(Event::Protected(networks))) => {
                let loopback = networks
                    .iter()
                    .find(|protected| protected.network.to_string() == "127.0.0.0/8");
                assert_eq!(loopback.unwrap().code, allow::LOOPBACK);
            }
            other => panic!("{other:?}"),
        }
        drop(inputs);
        running.abort();
    }
}
