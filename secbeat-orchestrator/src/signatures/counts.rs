//! Numbers of matches of each signature, and of wrong ones: kept on the bus, for all orchestrators together.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use secbeat_bus::{AuditLog, AuditQuery, Bucket, Bus, EntryKind, Write, WriteOutcome};
use secbeat_common::{
    prefix::Prefix,
    subjects,
    wire::{Audited, BlockCommand, Decision, Reason},
};
use secbeat_orchestrator_core::{
    ledger::ActiveBan,
    signatures::{MAX_TALLIES, Tallies, recognised},
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::engine::Input;

/// Interval at which what was counted here goes to the bus.
const INTERVAL: Duration = Duration::from_secs(30);
/// Number of times that a write is tried that somebody else's came before.
const ATTEMPTS: usize = 5;
/// Lifted bans that are remembered, so that none counts twice.
const REMEMBERED: usize = 1024;
/// Bans that one order lifts and that are looked up.
pub(crate) const LOOKED_UP: usize = 256;
/// Records of a target that are looked through for that of its ban.
const RECORDS: usize = 50;

/// What became of requests that a signature recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    /// Requests.
    pub hits: u64,
    /// Bans with such a request among their evidence.
    pub bans: u64,
    /// Those bans that an operator lifted, or whose client an operator allowlisted.
    pub lifted: u64,
}

/// What the bus keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    /// By id.
    #[serde(default)]
    signatures: BTreeMap<String, Count>,
    /// Bans that counted as lifted, the latest last.
    #[serde(default)]
    lifted: VecDeque<Uuid>,
}

/// A ban that was wrong, and what had been recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lifted {
    ban: Uuid,
    ids: Vec<String>,
}

/// Counts, and keeps them. All clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    bucket: Arc<dyn Bucket>,
    audit: AuditLog,
    inputs: mpsc::Sender<Input>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What the bus had when it was last asked.
    stored: Stored,
    /// What of this process's counts is in there.
    kept: Tallies,
    /// Bans that the bus does not know of as lifted yet.
    pending: Vec<Lifted>,
}

impl Counts {
    pub(crate) fn new(bus: &Bus, audit: AuditLog, inputs: mpsc::Sender<Input>) -> Self {
        Self {
            bucket: bus.bucket(subjects::LEASES_BUCKET),
            audit,
            inputs,
            state: Arc::default(),
        }
    }

    /// Takes what was counted to the bus from time to time, for ever.
    pub(crate) async fn run(self) {
        loop {
            if let Err(error) = self.keep().await {
                debug!("cannot keep counts of signatures yet, retrying: {error:#}");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// The counts of all orchestrators as of now; of this one alone what is new where the bus does not answer.
    pub(crate) async fn now(&self) -> BTreeMap<String, Count> {
        if let Err(error) = self.keep().await {
            debug!("cannot read counts of signatures: {error:#}");
        }
        self.last_known().await
    }

    /// The same as of when the bus was last asked.
    pub(crate) async fn last_known(&self) -> BTreeMap<String, Count> {
        let state = self.state.lock().await;
        let mut counts = state.stored.clone();
        state.pending.iter().for_each(|lifted| counts.lift(lifted));
        counts.signatures
    }

    /// Counts that `bans` were wrong. What was recognised is in their audit records.
    pub(crate) async fn lifted(&self, bans: Vec<ActiveBan>) {
        let of_rules = bans
            .into_iter()
            .map(|ban| ban.command)
            .filter(|command| command.reason != Reason::Manual);
        for command in of_rules.take(LOOKED_UP) {
            match self.recognised(&command).await {
                Ok(ids) if ids.is_empty() => {}
                Ok(ids) => {
                    let ban = command.id;
                    self.state.lock().await.pending.push(Lifted { ban, ids });
                }
                Err(error) => {
                    let target = command.target;
                    warn!(%target, "which signatures led to a lifted ban is not known: {error}");
                }
            }
        }
        if let Err(error) = self.keep().await {
            debug!("cannot keep counts of signatures yet: {error:#}");
        }
    }

    /// Returns what had been recognised when `ban` was made.
    async fn recognised(&self, ban: &BlockCommand) -> secbeat_bus::Result<Vec<String>> {
        let targets: Vec<Prefix> = vec![ban.target];
        let query = AuditQuery {
            targets,
            kind: Some("ban".to_owned()),
            limit: RECORDS,
            ..AuditQuery::default()
        };
        let records = self.audit.query(&query).await?.into_iter();
        let mut ids = records.filter_map(|record| match record {
            Audited::Decision(record) => match record.decision {
                Decision::Ban {
                    command_id, events, ..
                } if command_id == ban.id => {
                    Some(recognised(&events).into_iter().map(str::to_owned).collect())
                }
                _ => None,
            },
            Audited::List(_) | Audited::Signatures(_) => None,
        });
        Ok(ids.next_back().unwrap_or_default())
    }

    /// Brings what was counted here to the bus, and reads what others counted.
    pub(crate) async fn keep(&self) -> anyhow::Result<()> {
        let (reply, told) = oneshot::channel();
        let sent = self.inputs.send(Input::Tallies { reply }).await;
        sent.context("the engine has ended")?;
        let counted = told.await.context("the engine has ended")?;
        let mut state = self.state.lock().await;
        for _ in 0..ATTEMPTS {
            let (held, revision) = self.read().await?;
            let mut stored = held.clone();
            stored.add(&counted, &state.kept);
            state.pending.iter().for_each(|lifted| stored.lift(lifted));
            stored.bound();
            if stored != held {
                let write =
                    Write::put(subjects::SIGNATURE_COUNTS_KEY, serde_json::to_vec(&stored)?).over(revision);
                if self.bucket.write(write).await? == WriteOutcome::Conflict {
                    continue;
                }
            }
            state.stored = stored;
            state.kept = counted;
            state.pending.clear();
            return Ok(());
        }
        bail!("others write at the same time");
    }

    async fn read(&self) -> anyhow::Result<(Stored, u64)> {
        let Some(entry) = self.bucket.get(subjects::SIGNATURE_COUNTS_KEY).await? else {
            return Ok((Stored::default(), 0));
        };
        let stored = match entry.kind {
            EntryKind::Put => serde_json::from_slice(&entry.value).unwrap_or_else(|error| {
                warn!("invalid counts of signatures, which start again at zero: {error}");
                Stored::default()
            }),
            EntryKind::Delete | EntryKind::Purge => Stored::default(),
        };
        Ok((stored, entry.revision))
    }
}

impl Stored {
    /// Adds what was counted since `kept`.
    fn add(&mut self, counted: &Tallies, kept: &Tallies) {
        for (id, tally) in counted {
            let before = kept.get(id).copied().unwrap_or_default();
            if *tally != before {
                let count = self.signatures.entry(id.clone()).or_default();
                count.hits += tally.hits - before.hits;
                count.bans += tally.bans - before.bans;
            }
        }
    }

    /// Counts a lifted ban, unless it has counted.
    fn lift(&mut self, lifted: &Lifted) {
        if self.lifted.contains(&lifted.ban) {
            return;
        }
        self.lifted.push_back(lifted.ban);
        for id in &lifted.ids {
            self.signatures.entry(id.clone()).or_default().lifted += 1;
        }
    }

    /// Forgets what there is too much of: of signatures, those that matter least.
    fn bound(&mut self) {
        self.lifted.drain(..self.lifted.len().saturating_sub(REMEMBERED));
        let over = self.signatures.len().saturating_sub(MAX_TALLIES);
        if over > 0 {
            let rank = |count: &Count| (count.lifted, count.bans, count.hits);
            let mut all: Vec<_> = self
                .signatures
                .iter()
                .map(|(id, count)| (rank(count), id.clone()))
                .collect();
            all.sort_unstable();
            for (_, id) in all.into_iter().take(over) {
                self.signatures.remove(&id);
            }
        }
    }
}
