//! Keeps the ledger as every other orchestrator's: all bans and strikes, no matter who decided them.
//!
//! Nothing is read, and so nothing decided, before the bus's clock was measured, if it can be.
//!
//! After each connection comes what the bucket holds and what the audit says of the time in between, then every change of
//! the bucket, and every ban that would have been.

#[cfg(test)]
mod tests;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, stream::BoxStream};
use secbeat_bus::{
    AuditLog, BanBucket, Bus, BusClock, CommandReader, Entry, EntryKind, Statement, Update, make_all,
};
use secbeat_common::{
    prefix::Prefix,
    subjects::BANS_BUCKET,
    wire::{AuditRecord, BlockCommand, Lift},
};
use secbeat_daemon::time::now_ms;
use secbeat_orchestrator_core::{
    bucket::{Change, Gone, Revisions, Written},
    decider::Event,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tracing::{info, warn};

use crate::{engine::Input, millis, rules::InForce, writer::SharedRevisions};

/// How far two clocks of a fleet may be apart, and an audit record come after what it records.
const OVERLAP: Duration = Duration::from_secs(60);

/// Interval at which the server is asked how far the bucket is.
const LOOK: Duration = Duration::from_secs(3);

/// Looks from one reading of a bucket whose changes do not come to the next: it may not help, if a server's copy is behind.
const AGAIN: u32 = 10;

/// Bans that would have been, as they are recorded.
type Observed = BoxStream<'static, secbeat_bus::Result<AuditRecord>>;

/// What the replica needs.
pub(crate) struct Replica {
    pub bus: Bus,
    pub clock: BusClock,
    pub inputs: mpsc::Sender<Input>,
    pub reader: CommandReader<BlockCommand, Lift>,
    pub revisions: SharedRevisions,
    pub rules: watch::Receiver<InForce>,
    /// How far back the audit matters at the start.
    pub memory: Duration,
    /// Set once the engine was sent what there is to restore.
    pub restored: watch::Sender<bool>,
}

/// What was read of the bucket so far.
#[derive(Default)]
struct Read {
    /// Time at which reading began, milliseconds since the Unix epoch.
    begun_ms: i64,
    bans: Vec<Written>,
    lifted: Vec<Gone>,
    /// Newest revision among the entries.
    newest: u64,
}

impl Replica {
    /// Reads for ever.
    ///
    /// # Errors
    ///
    /// Only when the server is too old to work with.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let (bus, inputs) = (self.bus.clone(), self.inputs.clone());
        // Before it was read once, nothing is missed.
        let (heard, stuck) = (AtomicU64::new(u64::MAX), Notify::new());
        tokio::select! {
            biased;
            error = bus.unsupported() => Err(error.into()),
            () = inputs.closed() => Ok(()),
            () = self.follow(&heard, &stuck) => Ok(()),
            () = compare(&bus, &inputs, &heard, &stuck) => Ok(()),
        }
    }

    /// Notes in `heard` up to which revision everything was heard. Reads all again where changes that there are do not come: `stuck`.
    async fn follow(&mut self, heard: &AtomicU64, stuck: &Notify) {
        let (bus, clock, rules) = (self.bus.clone(), self.clock.clone(), self.rules.clone());
        let make = move || {
            let (bus, clock, window) = (bus.clone(), clock.clone(), rules.borrow().window);
            async move {
                make_all(&bus, window).await?;
                clock.ready().await;
                Ok(())
            }
            .boxed()
        };
        let mut follower = BanBucket::follow(&self.bus).prepared_by(make);
        // Until when everything was heard for certain, milliseconds since the Unix epoch. That is when the bucket was last
        // read from the beginning, or the last change after that: a connection may have been dead for long when it ends.
        let mut heard_ms = None;
        let mut read = Read::default();
        let mut observed = None;
        let mut moved = Instant::now();
        loop {
            let update = tokio::select! {
                update = follower.next() => update,
                () = stuck.notified() => {
                    // Behind a busy engine changes wait, too: to read all again would keep it busy.
                    if follower.is_live() && moved.elapsed() >= LOOK {
                        follower.again();
                    }
                    continue;
                }
                record = next(&mut observed) => {
                    match record {
                        Ok(record) => self.send(Event::Observed(Box::new(record))).await,
                        Err(error) => {
                            observed = None;
                            follower.retry(&error);
                        }
                    }
                    continue;
                }
            };
            match update {
                Update::Begin(snapshot) => {
                    self.reader.begin(snapshot.created);
                    self.revisions.lock().begin(snapshot.last_revision);
                    observed = None;
                    read = Read {
                        begun_ms: now_ms(),
                        ..Read::default()
                    };
                }
                Update::Held(entries) => self.hold(&entries, &mut read),
                Update::Complete => {
                    let whole = std::mem::take(&mut read);
                    let (begun_ms, newest) = (whole.begun_ms, whole.newest);
                    match follower.unless_reconnected(self.complete(whole, heard_ms)).await {
                        Some(Ok(records)) => {
                            observed = Some(records);
                            heard_ms = Some(begun_ms);
                            heard.store(newest, Ordering::Relaxed);
                        }
                        Some(Err(error)) => follower.retry(&error),
                        None => {}
                    }
                }
                Update::Changed(entry) => {
                    heard_ms = Some(entry.at_ms);
                    heard.store(entry.revision, Ordering::Relaxed);
                    for change in self.read(&[entry]) {
                        self.send(match change {
                            Change::Written(written) => Event::Banned(written),
                            Change::Gone(gone) => Event::Lifted(gone),
                            Change::Spoiled { target, revision } => Event::Spoiled { target, revision },
                        })
                        .await;
                    }
                }
            }
            moved = Instant::now();
        }
    }

    fn hold(&mut self, entries: &[Entry], read: &mut Read) {
        let newest = entries.iter().map(|entry| entry.revision).max();
        read.newest = read.newest.max(newest.unwrap_or(0));
        for change in self.read(entries) {
            match change {
                Change::Written(written) => read.bans.push(*written),
                Change::Gone(gone) => read.lifted.push(gone),
                // The ledger's ban is not among those written, and so is written again.
                Change::Spoiled { .. } => {}
            }
        }
    }

    /// Tells the engine what the bucket holds, and what the audit says of the time since `heard_ms`. Returns the bans that
    /// would have been from then on.
    async fn complete(&self, read: Read, heard_ms: Option<i64>) -> secbeat_bus::Result<Observed> {
        let audit = AuditLog::new(&self.bus);
        // From before the audit is read, so that none falls between.
        let observed = audit.observed_from_now().await?;
        let since_ms = match heard_ms {
            Some(heard) => heard.saturating_sub(millis(OVERLAP)),
            None => now_ms().saturating_sub(millis(self.memory)).max(0),
        };
        let audit = audit.decisions_since(since_ms).await?;
        let Read { bans, lifted, .. } = read;
        self.send(match heard_ms {
            None => Event::Restore {
                bans,
                audit,
                since_ms,
            },
            Some(_) => Event::Recheck { bans, lifted, audit },
        })
        .await;
        self.restored.send_replace(true);
        Ok(observed.boxed())
    }

    /// [`run`](Self::run) sees when the engine has ended.
    async fn send(&self, event: Event) {
        let _ = self.inputs.send(event.into()).await;
    }

    fn read(&mut self, entries: &[Entry]) -> Vec<Change> {
        let statements = self.reader.read(entries, now_ms());
        let mut revisions = self.revisions.lock();
        let stated = entries.iter().zip(statements);
        stated
            .filter_map(|(entry, statement)| change(&mut revisions, entry, statement))
            .collect()
    }
}

/// Tells the engine when changes of the bucket were not `heard`, and when they were: it cannot say meanwhile what edges lack. Where
/// nothing comes though there is something, the follower is `stuck`.
async fn compare(bus: &Bus, inputs: &mpsc::Sender<Input>, heard: &AtomicU64, stuck: &Notify) {
    let bucket = bus.bucket(BANS_BUCKET);
    let (mut was_up_to_date, mut due, mut last, mut looks) = (true, 0, 0, 0_u32);
    loop {
        tokio::time::sleep(LOOK).await;
        if !bus.is_connected() {
            continue;
        }
        let Ok(newest) = bucket.newest().await else {
            continue;
        };
        // What was there at the last look has come by now.
        let now = heard.load(Ordering::Relaxed);
        let is_up_to_date = now >= due;
        due = newest;
        let stands_still = std::mem::replace(&mut last, now) == now && !is_up_to_date;
        if stands_still && looks.is_multiple_of(AGAIN) {
            stuck.notify_one();
        }
        looks = if stands_still { looks + 1 } else { 0 };
        if std::mem::replace(&mut was_up_to_date, is_up_to_date) == is_up_to_date {
            continue;
        }
        match is_up_to_date {
            true => info!("the ledger has all bans of NATS again"),
            false => warn!(
                "the ledger lacks bans that NATS has, as another orchestrator's: changes of the bucket do not come, and it is read again"
            ),
        }
        let _ = inputs.send(Event::UpToDate(is_up_to_date).into()).await;
    }
}

/// The next of `observed`; never, if there are none.
async fn next(observed: &mut Option<Observed>) -> secbeat_bus::Result<AuditRecord> {
    match observed {
        Some(records) => records
            .next()
            .await
            .unwrap_or_else(|| Err(secbeat_bus::Error::Ended("the audit log".to_owned()))),
        None => std::future::pending().await,
    }
}

/// Returns what an entry changes. Notes what its key holds now.
fn change(revisions: &mut Revisions, entry: &Entry, statement: Statement<BlockCommand>) -> Option<Change> {
    let revision = entry.revision;
    let (target, expires_at_ms) = match &statement {
        Statement::Put(command) => (command.target, command.expires_at_ms),
        Statement::Gone(target) | Statement::Untrusted(target) => (*target, 0),
        Statement::InvalidKey => return None,
    };
    note(revisions, target, entry, expires_at_ms);
    Some(match statement {
        Statement::Put(command) => Change::Written(Box::new(Written {
            command: *command,
            revision,
        })),
        Statement::Gone(_) => Change::Gone(Gone {
            target,
            at_ms: entry.at_ms,
            revision,
        }),
        Statement::Untrusted(_) | Statement::InvalidKey => Change::Spoiled { target, revision },
    })
}

fn note(revisions: &mut Revisions, target: Prefix, entry: &Entry, expires_at_ms: i64) {
    match entry.kind {
        EntryKind::Put => revisions.holds(target, entry.revision, expires_at_ms),
        EntryKind::Delete | EntryKind::Purge => revisions.deleted(&target, entry.revision),
    }
}
