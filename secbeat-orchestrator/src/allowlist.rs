//! Changes of the fleet's allowlist: written to the bus, heard back from it, then audited.

#[cfg(test)]
mod tests;

use std::time::Duration;

use secbeat_bus::{AllowBucket, Allowlist, Bus, Over, broker::broker};
use secbeat_common::{
    coverage::Coverage,
    prefix::Prefix,
    wire::{AllowEntry, AuditRecord, Decision, MAX_ALLOWED},
};
use secbeat_daemon::time::now_ms;
use secbeat_orchestrator_core::decider::Event;
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::engine::Input;

/// Time that a change that the bus has may take to be heard here.
const HEARING: Duration = Duration::from_secs(1);
/// Pause before what the bucket lost is written again once more.
const RETRY: Duration = Duration::from_secs(1);

/// What changes of the allowlist need.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    pub bus: Bus,
    pub bucket: AllowBucket,
    /// What the bucket holds; `None` until it was read.
    pub known: watch::Receiver<Option<Allowlist>>,
    pub inputs: mpsc::Sender<Input>,
}

/// The reason why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "{} is unreachable, so no edge would receive it; nothing was changed",
        broker()
    )]
    Disconnected,
    #[error("the allowlist is still being read from {}; nothing was changed", broker())]
    Unread,
    #[error("{0} is not on the allowlist")]
    NotThere(Prefix),
    #[error(
        "{network} and the other entries together would cover all {family} addresses: no client there could be banned any more"
    )]
    Everybody { network: Prefix, family: &'static str },
    #[error("the allowlist is full: it has {MAX_ALLOWED} entries")]
    Full,
    #[error(
        "{} did not acknowledge the change, and may have made it all the same: {why}",
        broker(), why = .0
    )]
    Unacknowledged(String),
}

impl Keeper {
    /// The entries that hold at `now_ms`, by network.
    ///
    /// # Errors
    ///
    /// Returns an error if the bucket was not read yet.
    pub(crate) fn entries(&self, now_ms: i64) -> Result<Vec<AllowEntry>, Refusal> {
        let known = self.known.borrow();
        let entries = known.as_ref().ok_or(Refusal::Unread)?.entries.values();
        Ok(entries.filter(|entry| entry.holds_at(now_ms)).cloned().collect())
    }

    /// Puts `entry`, which may be of a `list`, on the allowlist, in place of what is there of the same network. The engine knows of it at the end.
    ///
    /// # Errors
    ///
    /// Returns an error if it was not done, or nobody knows.
    pub(crate) async fn add(&self, entry: AllowEntry, list: Option<Uuid>) -> Result<(), Refusal> {
        let entries = self.changeable()?;
        let mut others = entries.iter().filter(|other| other.network != entry.network);
        if others.nth(MAX_ALLOWED - 1).is_some() {
            return Err(Refusal::Full);
        }
        let networks = entries.iter().map(|other| other.network).chain([entry.network]);
        for part in Coverage::of(networks) {
            let (network, family) = (entry.network, part.family);
            if part.is_everybody() {
                return Err(Refusal::Everybody { network, family });
            }
            if part.is_wide() && !Coverage::of(entries.iter().map(|other| other.network)).contains(&part) {
                let percent = part.percent();
                warn!(%network, "with it, the allowlist holds {percent} % of the {family} addresses that could be banned: no client there is banned");
            }
        }
        let written = self.bucket.put(&entry, Over::Anything, now_ms()).await;
        self.settle(written, |list| list.entries.get(&entry.network) == Some(&entry))
            .await?;
        let AllowEntry {
            network,
            comment,
            until_ms,
            added_by,
            ..
        } = entry;
        info!(target: "audit", %network, actor = added_by, comment, "put on the allowlist");
        let decision = Decision::Allow {
            comment,
            until_ms,
            list,
        };
        self.record(network, added_by, decision).await;
        Ok(())
    }

    /// Takes exactly `network` off the allowlist.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not there, or was not done, or nobody knows.
    pub(crate) async fn remove(&self, network: Prefix, actor: String) -> Result<(), Refusal> {
        let entries = self.changeable()?;
        let entry = entries.iter().find(|entry| entry.network == network);
        let entry = entry.ok_or(Refusal::NotThere(network))?;
        let removed = self.bucket.remove(entry).await;
        self.settle(removed, |list| !list.entries.contains_key(&network))
            .await?;
        info!(target: "audit", %network, actor, "taken off the allowlist");
        self.record(network, actor, Decision::Disallow).await;
        Ok(())
    }

    /// The entries, if they can be changed right now.
    fn changeable(&self) -> Result<Vec<AllowEntry>, Refusal> {
        if !self.bus.is_connected() {
            return Err(Refusal::Disconnected);
        }
        self.entries(now_ms())
    }

    /// Waits until a change was heard, so that the one who asks next is answered by it. What was heard was made, whatever
    /// became of its acknowledgement.
    async fn settle(
        &self,
        written: secbeat_bus::Result<()>,
        is_made: impl Fn(&Allowlist) -> bool,
    ) -> Result<(), Refusal> {
        let mut known = self.known.clone();
        let hearing = known.wait_for(|list| list.as_ref().is_some_and(&is_made));
        let is_heard = tokio::time::timeout(HEARING, hearing)
            .await
            .is_ok_and(|heard| heard.is_ok());
        match written {
            Err(error) if !is_heard => Err(Refusal::Unacknowledged(error.to_string())),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn record(&self, target: Prefix, actor: String, decision: Decision) {
        let record = AuditRecord {
            at_ms: now_ms(),
            target,
            actor,
            decision,
        };
        if self.inputs.send(Event::Decided(record).into()).await.is_err() {
            warn!(%target, "a change of the allowlist could not be audited: the engine has ended");
        }
    }

    /// Writes again what a bucket that was made again lacks, for ever.
    pub(crate) async fn restore_lost(mut self) {
        while self.known.changed().await.is_ok() {
            let mut told = false;
            loop {
                let lost = self.lost();
                if lost.is_empty() {
                    break;
                }
                if !std::mem::replace(&mut told, true) {
                    warn!(
                        entries = lost.len(),
                        "the allowlist's bucket lost entries: writing them again"
                    );
                }
                for entry in lost {
                    if let Err(error) = self.bucket.put(&entry, Over::Nothing, now_ms()).await {
                        debug!("writing to the allowlist's bucket failed, retrying: {error}");
                    }
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    fn lost(&self) -> Vec<AllowEntry> {
        let (known, now) = (self.known.borrow(), now_ms());
        let lost = known.iter().flat_map(|list| {
            let entries = list.lost.iter().filter_map(|network| list.entries.get(network));
            entries.filter(|entry| entry.holds_at(now))
        });
        lost.cloned().collect()
    }
}
