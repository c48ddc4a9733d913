//! SIGHUP: the config file once more.

use secbeat_daemon::reload::Reloads;
use tokio::{signal::unix::Signal, task::JoinHandle};
use tracing::{error, info, warn};

use crate::{
    config::Config, enforcer::EnforcerHandle, lists::Configured, signatures::Signatures,
    sources::proxy::Reloader,
};

/// The parts that a reload changes.
pub(super) struct Reloaded {
    pub(super) proxy: Option<Reloader>,
    pub(super) signatures: Signatures,
    pub(super) lists: Option<Configured>,
    pub(super) enforcer: EnforcerHandle,
}

/// Answers every one of `hangups`, and notes in `reloads` what became of it.
pub(super) fn on_hangup(
    mut hangups: Signal,
    started_with: Config,
    parts: Reloaded,
    reloads: Reloads,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            match parts.reload(&started_with).await {
                Ok(left) => {
                    reloads.note(Ok(()));
                    info!("the config is reloaded");
                    if !left.is_empty() {
                        warn!(left = left.join("; "), "this waits for a restart");
                    }
                }
                Err(error) => {
                    let why = format!("{error:#}");
                    reloads.note(Err(&why));
                    error!("the old config stays in force: {why}");
                }
            }
        }
    })
}

impl Reloaded {
    /// Reads the config again and puts its `[proxy]`, `[signatures]`, `[[list]]`, `ban_slots` and the modes of interfaces in force. What is
    /// wrong leaves everything as it was. Returns what takes a restart.
    async fn reload(&self, started_with: &Config) -> anyhow::Result<Vec<String>> {
        let config = started_with.read_again()?;
        let mut left: Vec<_> = started_with
            .differences(&config)
            .iter()
            .map(ToString::to_string)
            .collect();
        match (&self.proxy, config.proxy()) {
            (Some(reloader), Some(proxy)) => left.extend(reloader.reload(proxy.clone()).await?),
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => left.push("[proxy], as a whole".to_owned()),
        }
        self.signatures.apply(&config.signatures);
        if let Some(lists) = &self.lists {
            lists.send_replace(config.list.clone());
        }
        let modes = self
            .enforcer
            .configure_modes(config.kernel.interface_modes.clone())
            .await;
        let slots = self.enforcer.allow_slots(config.kernel.ban_slots.get()).await;
        if modes.and(slots).is_err() {
            anyhow::bail!("the keys of [kernel] are not reloaded: the enforcer has ended");
        }
        Ok(left)
    }
}
