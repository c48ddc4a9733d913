//! SIGHUP: the config file once more.

use tokio::{signal::unix::Signal, task::JoinHandle};
use tracing::{error, info, warn};

use crate::{
    config::Config, enforcer::EnforcerHandle, lists::Configured, signatures::Signatures,
    sources::proxy::Reloader,
};

/// Answers every one of `hangups`.
pub(super) fn on_hangup(
    mut hangups: Signal,
    started_with: Config,
    reloader: Option<Reloader>,
    signatures: Signatures,
    lists: Option<Configured>,
    enforcer: EnforcerHandle,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            reload(
                &started_with,
                reloader.as_ref(),
                &signatures,
                lists.as_ref(),
                &enforcer,
            )
            .await;
        }
    })
}

/// Reads the config again and puts its `[proxy]`, `[signatures]`, `[[list]]`, `ban_slots` and the modes of interfaces in force. What is wrong
/// leaves everything as it was; what takes a restart is named.
async fn reload(
    started_with: &Config,
    reloader: Option<&Reloader>,
    signatures: &Signatures,
    lists: Option<&Configured>,
    enforcer: &EnforcerHandle,
) {
    let config = match started_with.read_again() {
        Ok(config) => config,
        // With its cause: a file that is gone, say.
        Err(error) => {
            let error = anyhow::Error::from(error);
            return error!("the old config stays in force: {error:#}");
        }
    };
    let mut left: Vec<_> = started_with
        .differences(&config)
        .iter()
        .map(ToString::to_string)
        .collect();
    match (reloader, config.proxy()) {
        (Some(reloader), Some(proxy)) => match reloader.reload(proxy.clone()).await {
            Ok(more) => left.extend(more),
            Err(error) => return error!("the old config stays in force: {error:#}"),
        },
        (None, None) => {}
        (Some(_), None) | (None, Some(_)) => left.push("[proxy], as a whole".to_owned()),
    }
    signatures.apply(&config.signatures);
    if let Some(lists) = lists {
        lists.send_replace(config.list.clone());
    }
    let modes = enforcer
        .configure_modes(config.kernel.interface_modes.clone())
        .await;
    let slots = enforcer.allow_slots(config.kernel.ban_slots.get()).await;
    if modes.and(slots).is_err() {
        return error!("the keys of [kernel] are not reloaded: the enforcer has ended");
    }
    info!("the config is reloaded");
    if !left.is_empty() {
        warn!(left = left.join("; "), "this waits for a restart");
    }
}
