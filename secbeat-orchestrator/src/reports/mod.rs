//! Data of reports, kept on the bus for all orchestrators together: a row an hour for 31 days, and a row a day for 400
//! days. The bus ends them by itself, and each row is bounded, so that all of them are.

mod period;
pub(crate) mod tally;
mod told;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use secbeat_bus::{Bucket, Bus, EntryKind, Write, WriteOutcome, make_reports};
use secbeat_orchestrator_core::{decider::Outcomes, notices::Every, reports::Row};
use tokio::sync::{Mutex, OnceCell, mpsc, oneshot, watch};
use tracing::{debug, warn};

use self::{period::Step, tally::Tally};
pub(crate) use self::{
    period::{Length, Period},
    told::Over,
};
use crate::{
    engine::{Bars, Input},
    leases::Shares,
};

/// Interval at which what was counted here goes to the bus.
const INTERVAL: Duration = Duration::from_secs(60);
/// Number of times that a write is tried that another orchestrator's came before.
const ATTEMPTS: usize = 5;
/// Rows that are asked for at a time.
const AT_A_TIME: usize = 32;

/// Counters of this process that only grow, when they were last looked at.
#[derive(Debug, Default)]
struct Before {
    rules: BTreeMap<String, Outcomes>,
    requests: u64,
    errors: u64,
    /// Packets and bytes that each edge has dropped. They start again from zero when its maps are made again.
    drops: HashMap<String, (u64, u64)>,
    took: HashMap<String, Bars>,
}

/// Brings counts to the bus, and reads them. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Reports {
    bus: Bus,
    pub(crate) tally: Tally,
    inputs: mpsc::Sender<Input>,
    leases: watch::Receiver<Shares>,
    before: Arc<Mutex<Before>>,
    /// Once it is known to be there.
    bucket: Arc<OnceCell<Arc<dyn Bucket>>>,
    /// Until when was told of, as far as this process knows.
    told: Arc<parking_lot::Mutex<BTreeMap<Every, i64>>>,
}

impl Reports {
    pub(crate) fn new(
        bus: &Bus,
        tally: Tally,
        inputs: mpsc::Sender<Input>,
        leases: watch::Receiver<Shares>,
    ) -> Self {
        Self {
            bus: bus.clone(),
            tally,
            inputs,
            leases,
            before: Arc::default(),
            bucket: Arc::default(),
            told: Arc::default(),
        }
    }

    /// Takes what was counted to the bus from time to time, for ever.
    pub(crate) async fn run(self) {
        let mut is_told = false;
        loop {
            if let Err(error) = self.keep().await {
                if !std::mem::replace(&mut is_told, true) {
                    warn!(
                        "reports lack what happens now, since it cannot be kept; an orchestrator that an earlier release enrolled needs another `enroll`: {error:#}"
                    );
                }
                debug!("cannot keep what reports are made of yet, retrying: {error:#}");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Brings what was counted until now to the bus.
    ///
    /// # Errors
    ///
    /// Returns an error if the bus does not take it: it waits for the next time.
    pub(crate) async fn keep(&self) -> anyhow::Result<()> {
        let keeping = self.clone();
        // Nothing is lost or counts twice where nobody waits for the end.
        tokio::spawn(async move { keeping.keep_all().await }).await?
    }

    async fn keep_all(&self) -> anyhow::Result<()> {
        let mut before = self.before.lock().await;
        self.look(&mut before).await?;
        let mut rows = self.tally.take();
        while let Some((hour, row)) = rows.pop_first() {
            let kept = async {
                self.add(Step::Hour, hour, &row).await?;
                self.add(Step::Day, Step::Day.of(hour), &row).await
            };
            if let Err(error) = kept.await {
                // An hour that was added and whose day was not counts twice in the hour alone: rather that than not at all.
                rows.insert(hour, row);
                self.tally.put_back(rows);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Counts what came since the last look. What concerns the whole fleet, one orchestrator counts.
    async fn look(&self, before: &mut Before) -> anyhow::Result<()> {
        let stats = self.ask(|reply| Input::Stats { reply }).await?;
        let spread = self.ask(|reply| Input::Spread { reply }).await?;
        let counts_fleet = self.leases.borrow().owns_the_first();
        let mut row = Row::default();
        let counted = stats.decider;
        row.requests = grown(counted.requests, &mut before.requests);
        row.errors = grown(counted.errors, &mut before.errors);
        for (name, now) in counted.rules {
            let was = before.rules.entry(name.clone()).or_default();
            if now == *was {
                continue;
            }
            let rule = row.rule(&name);
            rule.banned = grown(now.banned, &mut was.banned);
            rule.observed = grown(now.observed, &mut was.observed);
            rule.already_banned = grown(now.already_banned, &mut was.already_banned);
            rule.suppressed = grown(now.suppressed, &mut was.suppressed);
        }
        for edge in stats.edges {
            let drops = edge.record.drops;
            let now = (drops.packets, drops.bytes);
            // What an edge dropped before it was first heard of was counted then, or by nobody.
            let was = before.drops.entry(edge.record.edge_id).or_insert(now);
            let (packets, bytes) = (grown(now.0, &mut was.0), grown(now.1, &mut was.1));
            if counts_fleet {
                row.packets += packets;
                row.bytes += bytes;
            }
        }
        for (edge, now) in spread {
            let was = before.took.entry(edge).or_default();
            for ((now, was), sum) in now.into_iter().zip(was).zip(&mut row.took) {
                let grown = grown(now, was);
                if counts_fleet {
                    *sum += grown;
                }
            }
        }
        if !row.is_empty() {
            self.tally.with(|sum| sum.merge(&row));
        }
        Ok(())
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Input) -> anyhow::Result<T> {
        let (reply, told) = oneshot::channel();
        let sent = self.inputs.send(question(reply)).await;
        sent.context("the engine has ended")?;
        told.await.context("the engine has ended")
    }

    async fn add(&self, step: Step, at_ms: i64, row: &Row) -> anyhow::Result<()> {
        let key = step.key(at_ms);
        for _ in 0..ATTEMPTS {
            let (mut sum, revision) = self.read(&key).await?;
            sum.merge(row);
            let write = Write::put(&key, serde_json::to_vec(&sum)?).over(revision);
            if self.bucket().await?.write(write.ttl(step.kept())).await? != WriteOutcome::Conflict {
                return Ok(());
            }
        }
        bail!("others write at the same time");
    }

    async fn bucket(&self) -> anyhow::Result<&Arc<dyn Bucket>> {
        let made = self.bucket.get_or_try_init(|| make_reports(&self.bus)).await;
        made.context("making the bucket of reports")
    }

    async fn read(&self, key: &str) -> anyhow::Result<(Row, u64)> {
        let Some(entry) = self.bucket().await?.get(key).await? else {
            return Ok((Row::default(), 0));
        };
        let row = match entry.kind {
            EntryKind::Put => serde_json::from_slice(&entry.value).unwrap_or_else(|error| {
                warn!("invalid row {key} in the bucket of reports, which starts again at zero: {error}");
                Row::default()
            }),
            EntryKind::Delete | EntryKind::Purge => Row::default(),
        };
        Ok((row, entry.revision))
    }

    /// The rows of a period, each with its beginning; empty ones included.
    ///
    /// # Errors
    ///
    /// Returns an error if the bus does not answer.
    pub(crate) async fn rows(&self, period: &Period) -> anyhow::Result<Vec<(i64, Row)>> {
        let read = period.steps().into_iter().map(|at_ms| {
            let key = period.step.key(at_ms);
            async move { anyhow::Ok((at_ms, self.read(&key).await?.0)) }
        });
        let rows = stream::iter(read).buffered(AT_A_TIME).try_collect();
        rows.await.context("reading what reports are made of")
    }
}

/// By how much a counter has grown; one that started again counts from there.
fn grown(now: u64, before: &mut u64) -> u64 {
    now.checked_sub(std::mem::replace(before, now)).unwrap_or(now)
}
