//! Makes the bus say what the ledger says.
//!
//! For each target only the latest wish counts, and at most one write of it is under way: a retried ban can neither come
//! after its own unban nor replace a newer ban. A write that was not acknowledged is tried again, since nobody knows
//! whether it happened.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use secbeat_common::{
    daemon::time::now_ms,
    prefix::Prefix,
    wire::{AuditRecord, BlockCommand},
};
use tokio::{sync::mpsc, task::JoinSet};
use tracing::{debug, error};
use uuid::Uuid;

use crate::{bus::Streams, engine::Input};

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// Audit records that may wait for the bus.
const AUDIT_QUEUE: usize = 10_000;

/// What the bucket should hold for one target.
#[derive(Clone, Debug)]
pub enum Wish {
    /// This ban.
    Ban(BlockCommand),
    /// Nothing: the ban of this id is lifted.
    Lift(Uuid),
}

/// What became of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The server has acknowledged it.
    Written,
    /// The ban ended before the server took it.
    Ended,
    /// A later wish for the same target took its place before the server had acknowledged it.
    Superseded,
}

impl Wish {
    fn id(&self) -> Uuid {
        match self {
            Self::Ban(command) => command.id,
            Self::Lift(id) => *id,
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.id() == other.id()
            && matches!(
                (self, other),
                (Self::Ban(_), Self::Ban(_)) | (Self::Lift(_), Self::Lift(_))
            )
    }
}

/// Where wishes go. What is on its way when the last one is dropped is still written.
#[derive(Clone, Debug)]
pub struct Writer {
    wishes: mpsc::UnboundedSender<(Prefix, Wish)>,
}

impl Writer {
    /// A writer and its task, which reports the fate of each wish to `inputs`.
    pub fn new(streams: Streams, inputs: mpsc::WeakSender<Input>) -> (Self, impl Future<Output = ()>) {
        // Unbounded, but drained at once into one entry per target, and bans a minute are bounded by the ledger's brake.
        let (wishes, waiting) = mpsc::unbounded_channel();
        let task = Task {
            streams,
            inputs,
            wanted: HashMap::new(),
            attempts: JoinSet::new(),
        };
        (Self { wishes }, task.run(waiting))
    }

    /// From now on `wish` is what counts for `target`.
    pub fn wish(&self, target: Prefix, wish: Wish) {
        if self.wishes.send((target, wish)).is_err() {
            error!(%target, "a ban could not be written: the writer has ended");
        }
    }
}

struct Task {
    streams: Streams,
    inputs: mpsc::WeakSender<Input>,
    /// The latest wish for each target that has a write under way.
    wanted: HashMap<Prefix, Wish>,
    attempts: JoinSet<Attempt>,
}

struct Attempt {
    target: Prefix,
    wish: Wish,
    outcome: Result<Fate, Duration>,
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::UnboundedReceiver<(Prefix, Wish)>) {
        let mut open = true;
        while open || !self.attempts.is_empty() {
            tokio::select! {
                wish = waiting.recv(), if open => match wish {
                    Some((target, wish)) => match self.wanted.insert(target, wish.clone()) {
                        None => self.start(target, wish, Duration::ZERO),
                        Some(before) if before.id() != wish.id() => self.report(before.id(), Fate::Superseded).await,
                        Some(_) => {}
                    },
                    None => open = false,
                },
                Some(attempt) = self.attempts.join_next() => match attempt {
                    Ok(attempt) => self.finish(attempt).await,
                    Err(error) => error!(%error, "a write died"),
                },
            }
        }
    }

    fn start(&mut self, target: Prefix, wish: Wish, pause: Duration) {
        let streams = self.streams.clone();
        self.attempts.spawn(async move {
            // A sleep of nothing still waits for the timer's next millisecond.
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let written = match &wish {
                Wish::Ban(command) if command.expires_at_ms <= now_ms() => {
                    return Attempt {
                        target,
                        wish,
                        outcome: Ok(Fate::Ended),
                    };
                }
                Wish::Ban(command) => streams.put_ban(command).await,
                Wish::Lift(_) => streams.remove_ban(&target).await,
            };
            let outcome = written.map(|()| Fate::Written).map_err(|error| {
                debug!(%target, "writing to the bans bucket failed, retrying: {error:#}");
                (pause * 2).clamp(FIRST_RETRY, LAST_RETRY)
            });
            Attempt {
                target,
                wish,
                outcome,
            }
        });
    }

    async fn report(&self, id: Uuid, fate: Fate) {
        if let Some(inputs) = self.inputs.upgrade() {
            let _ = inputs.send(Input::Done { id, fate }).await;
        }
    }

    async fn finish(
        &mut self,
        Attempt {
            target,
            wish,
            outcome,
        }: Attempt,
    ) {
        let Some(latest) = self.wanted.get(&target).cloned() else {
            return;
        };
        match outcome {
            Ok(fate) if latest.is(&wish) => {
                self.wanted.remove(&target);
                self.report(wish.id(), fate).await;
            }
            Ok(_) => self.start(target, latest, Duration::ZERO),
            Err(pause) => self.start(target, latest, pause),
        }
    }
}

/// Where audit records go, one after the other.
#[derive(Clone, Debug)]
pub struct Auditor {
    queue: mpsc::Sender<AuditRecord>,
    lost: Arc<AtomicU64>,
}

impl Auditor {
    /// An auditor and its task.
    pub fn new(streams: Streams) -> (Self, impl Future<Output = ()>) {
        let (queue, waiting) = mpsc::channel(AUDIT_QUEUE);
        (
            Self {
                queue,
                lost: Arc::default(),
            },
            write_audit(streams, waiting),
        )
    }

    /// Hands a record over; never waits. A full queue loses it, and counts.
    pub fn record(&self, record: AuditRecord) {
        if self.queue.try_send(record).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records lost because the bus did not take them fast enough.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

async fn write_audit(streams: Streams, mut waiting: mpsc::Receiver<AuditRecord>) {
    while let Some(record) = waiting.recv().await {
        let mut pause = FIRST_RETRY;
        while let Err(error) = streams.put_audit(&record).await {
            debug!("writing an audit record failed, retrying: {error:#}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_RETRY);
        }
    }
}
