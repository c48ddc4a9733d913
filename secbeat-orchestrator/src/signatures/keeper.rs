//! Changes of what the fleet looks for: checked, written to the bus, heard back from it, then audited.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use secbeat_bus::{
    AuditLog, Bus, DirectiveBucket, Entry, EntryKind, Garbage, HeldSignatures, SignatureBucket, Update,
    WriteOutcome, broker::broker,
};
use secbeat_common::{
    sign::Trust,
    subjects,
    wire::{
        BadSignatures, DisabledSignature, FleetSignatures, SignatureChange, SignatureRecord, SignatureText,
    },
};
use secbeat_daemon::time::now_ms;
use secbeat_signatures::Problem;
use tokio::{sync::watch, task::spawn_blocking};
use tracing::{debug, info, warn};

use super::catalogue::{Catalogue, check};

/// Number of times that a change is tried that somebody else's came before.
const ATTEMPTS: usize = 5;
/// Number of times that a record of the audit is tried, and the pause in between.
const RECORDING: usize = 20;
const RETRY: Duration = Duration::from_millis(500);
/// Interval at which it is seen to that the bucket has what is known.
const RECHECK: Duration = Duration::from_secs(60);
/// Problems that a refusal names.
const NAMED: usize = 10;

/// What the bus is known to hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// None where nothing was published and nothing disabled, ever.
    pub set: Option<FleetSignatures>,
    pub catalogue: Catalogue,
}

/// What changes of the fleet's signatures need.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    pub bus: Bus,
    pub bucket: SignatureBucket,
    pub audit: AuditLog,
    pub known: watch::Sender<Known>,
}

/// The reason why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "{} is unreachable, so no edge would receive it; nothing was changed",
        broker()
    )]
    Disconnected,
    #[error("nothing was published, since {}", problems(.0))]
    Wrong(Vec<Problem>),
    #[error(transparent)]
    Bad(#[from] BadSignatures),
    #[error("no signature {}: `signatures list` shows all", .0.join(", "))]
    Unknown(Vec<String>),
    #[error("{} is not disabled", .0.join(", "))]
    NotDisabled(Vec<String>),
    #[error("another change of the fleet's signatures was made at the same time")]
    Contended,
    #[error("NATS did not acknowledge the change, and may have made it all the same: {0}")]
    Unacknowledged(String),
}

fn problems(problems: &[Problem]) -> String {
    let named: Vec<_> = problems.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match problems.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("{}{more}", named.join("; "))
}

impl Keeper {
    /// Returns how many signatures are in `files`, if all is right with them.
    ///
    /// # Errors
    ///
    /// [`Refusal::Bad`] and [`Refusal::Wrong`].
    pub(crate) async fn check(&self, files: Vec<SignatureText>) -> Result<usize, Refusal> {
        let set = FleetSignatures {
            files,
            ..FleetSignatures::default()
        };
        let files = set.checked()?.files;
        let checked = spawn_blocking(move || check(&files)).await;
        match checked {
            Ok((problems, signatures)) if problems.is_empty() => Ok(signatures.len()),
            Ok((problems, _)) => Err(Refusal::Wrong(problems)),
            Err(error) => Err(Refusal::Unacknowledged(error.to_string())),
        }
    }

    /// Publishes `files` in the place of those before.
    ///
    /// # Errors
    ///
    /// Returns an error if it was not done, or nobody knows.
    pub(crate) async fn publish(
        &self,
        files: Vec<SignatureText>,
        actor: String,
    ) -> Result<FleetSignatures, Refusal> {
        let signatures = self.check(files.clone()).await? as u64;
        self.change(actor, |set| {
            set.files.clone_from(&files);
            let names = files.iter().map(|file| file.name.clone());
            Ok(SignatureChange::Published {
                files: names.collect(),
                signatures,
                digest: String::new(),
            })
        })
        .await
    }

    /// Disables the signatures called `ids` on all edges.
    ///
    /// # Errors
    ///
    /// Returns an error if it was not done, or nobody knows.
    pub(crate) async fn disable(
        &self,
        ids: Vec<String>,
        note: String,
        actor: String,
    ) -> Result<FleetSignatures, Refusal> {
        let by = actor.clone();
        self.change(actor, |set| {
            set.disabled.retain(|disabled| !ids.contains(&disabled.id));
            let at_ms = now_ms();
            set.disabled.extend(ids.iter().map(|id| DisabledSignature {
                id: id.clone(),
                note: note.clone(),
                by: by.clone(),
                at_ms,
            }));
            let (ids, note) = (ids.clone(), note.clone());
            Ok(SignatureChange::Disabled { ids, note })
        })
        .await
    }

    /// Has all edges look for the signatures called `ids` again.
    ///
    /// # Errors
    ///
    /// Returns an error if one of them is not disabled, or it was not done, or nobody knows.
    pub(crate) async fn enable(&self, ids: Vec<String>, actor: String) -> Result<FleetSignatures, Refusal> {
        self.change(actor, |set| {
            let wrong = ids.iter().filter(|id| set.disabled(id).is_none());
            let wrong: Vec<_> = wrong.cloned().collect();
            if !wrong.is_empty() {
                return Err(Refusal::NotDisabled(wrong));
            }
            set.disabled.retain(|disabled| !ids.contains(&disabled.id));
            Ok(SignatureChange::Enabled { ids: ids.clone() })
        })
        .await
    }

    async fn change(
        &self,
        actor: String,
        edit: impl Fn(&mut FleetSignatures) -> Result<SignatureChange, Refusal>,
    ) -> Result<FleetSignatures, Refusal> {
        if !self.bus.is_connected() {
            return Err(Refusal::Disconnected);
        }
        let unacknowledged = |error: secbeat_bus::Error| Refusal::Unacknowledged(error.to_string());
        for _ in 0..ATTEMPTS {
            let held = self.bucket.held().await.map_err(unacknowledged)?;
            let mut next = self.latest(&held).unwrap_or_default();
            let change = edit(&mut next)?;
            next.changed_at_ms = now_ms().max(next.changed_at_ms + 1);
            next.changed_by.clone_from(&actor);
            let next = next.checked()?;
            if self.bucket.put(&next, &held).await.map_err(unacknowledged)? == WriteOutcome::Conflict {
                continue;
            }
            // The one who asks next is answered by it.
            adopt(&self.known, next.clone()).await;
            self.record(told(change, &next), actor, next.changed_at_ms).await;
            return Ok(next);
        }
        Err(Refusal::Contended)
    }

    /// The latest set of those in the bucket and known here: a bucket can be made again.
    fn latest(&self, held: &HeldSignatures) -> Option<FleetSignatures> {
        let known = self.known.borrow().set.clone();
        let sets = held.set.clone().into_iter().chain(known);
        sets.max_by_key(|set| set.changed_at_ms)
    }

    async fn record(&self, change: SignatureChange, actor: String, at_ms: i64) {
        let record = SignatureRecord::new(change, actor, at_ms);
        let SignatureRecord { actor, change, .. } = &record;
        info!(target: "audit", actor, ?change, "the fleet's signatures were changed");
        for _ in 0..RECORDING {
            match self.audit.append_signatures(&record).await {
                Ok(()) => return,
                Err(error) => debug!("writing audit records failed, retrying: {error}"),
            }
            tokio::time::sleep(RETRY).await;
        }
        warn!("a change of the fleet's signatures could not be audited: {record:?}");
    }

    /// Writes what is known into a bucket that lacks it, for ever.
    pub(crate) async fn restore_lost(self) {
        let mut connection = 0;
        loop {
            if let Ok(latest) = tokio::time::timeout(RECHECK, self.bus.connection_after(connection)).await {
                connection = latest;
            }
            let Some(known) = self.known.borrow().set.clone() else {
                continue;
            };
            let restored = async {
                let held = self.bucket.held().await?;
                if is_newer_than(held.set.as_ref(), known.changed_at_ms - 1) {
                    return Ok(());
                }
                warn!("{} lost the published signatures; writing them again", broker());
                self.bucket.put(&known, &held).await.map(drop)
            };
            if let Err(error) = restored.await {
                debug!("seeing to the fleet's signatures failed, retrying: {error}");
            }
        }
    }
}

fn is_newer_than(set: Option<&FleetSignatures>, at_ms: i64) -> bool {
    set.is_some_and(|set| set.changed_at_ms > at_ms)
}

/// With what is known only once it is written.
fn told(change: SignatureChange, set: &FleetSignatures) -> SignatureChange {
    match change {
        SignatureChange::Published {
            files, signatures, ..
        } => SignatureChange::Published {
            files,
            signatures,
            digest: set.digest(),
        },
        change => change,
    }
}

/// Follows what the bus holds, for ever.
pub(crate) async fn follow(bus: Bus, trust: Trust, garbage: Arc<Garbage>, known: watch::Sender<Known>) {
    let mut follower = DirectiveBucket::follow(&bus);
    loop {
        let entries = match follower.next().await {
            Update::Held(entries) => entries,
            Update::Changed(entry) => vec![entry],
            Update::Begin(_) | Update::Complete => continue,
        };
        for entry in &entries {
            take(entry, &trust, &garbage, &known).await;
        }
    }
}

async fn take(entry: &Entry, trust: &Trust, garbage: &Garbage, known: &watch::Sender<Known>) {
    if entry.key != subjects::SIGNATURES_KEY || entry.kind != EntryKind::Put {
        return;
    }
    let set = match SignatureBucket::open(&entry.value, trust) {
        Ok(opened) => {
            garbage.skip(opened.skipped);
            opened.command
        }
        Err(error) => return garbage.report(&entry.key, "the fleet's signatures", &error),
    };
    adopt(known, set).await;
}

/// Goes by `set` from now on, unless a newer one is known.
async fn adopt(known: &watch::Sender<Known>, set: FleetSignatures) {
    let at_ms = set.changed_at_ms;
    if is_newer_than(known.borrow().set.as_ref(), at_ms - 1) {
        return;
    }
    let read = spawn_blocking(move || Known {
        catalogue: Catalogue::of(&set),
        set: Some(set),
    });
    if let Ok(read) = read.await {
        known.send_if_modified(|known| {
            let is_news = !is_newer_than(known.set.as_ref(), at_ms - 1);
            if is_news {
                *known = read;
            }
            is_news
        });
    }
}
