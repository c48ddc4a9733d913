//! Makes the bus say what the ledger says.
//!
//! For each target only the latest wish counts, and at most one write of it is under way: a retried ban can neither come
//! after its own unban nor replace a newer ban. A write that was not acknowledged is tried again, since nobody knows
//! whether it happened.
//!
//! A write is made on top of what was last heard of its key. If something else is there, another orchestrator wrote it:
//! an automatic ban gives way to a ban in force, what people order replaces it. An automatic ban is written by the owner of
//! its partition alone, and bears the epoch of that moment.

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
    subjects::PARTITIONS,
    wire::{AuditRecord, BlockCommand, NO_LEASE, Reason},
};
use tokio::{sync::mpsc, task::JoinSet};
use tracing::{debug, error};
use uuid::Uuid;

use crate::{
    bus::{Put, Streams},
    engine::Input,
    leases::{Standing, Tenures, boot_ms},
    replica::Revisions,
};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The bucket has the ban, at this revision of its key.
    Written { revision: u64 },
    /// The bucket has no ban any more.
    Lifted,
    /// The ban ended before the server took it.
    Ended,
    /// A later wish for the same target took its place before the server had acknowledged it.
    Superseded,
    /// Another orchestrator has banned the target meanwhile, by this command.
    Outrun(Box<BlockCommand>),
    /// Another orchestrator owns the target's partition now, and decides.
    Fenced,
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
    pub fn new(
        streams: Streams,
        revisions: Revisions,
        tenures: Tenures,
        inputs: mpsc::WeakSender<Input>,
    ) -> (Self, impl Future<Output = ()>) {
        // Unbounded, but drained at once into one entry per target, and bans a minute are bounded by the ledger's brake.
        let (wishes, waiting) = mpsc::unbounded_channel();
        let task = Task {
            bucket: Bucket {
                streams,
                revisions,
                tenures,
            },
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

/// What one write needs.
#[derive(Clone)]
struct Bucket {
    streams: Streams,
    revisions: Revisions,
    tenures: Tenures,
}

struct Task {
    bucket: Bucket,
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

impl Bucket {
    /// Writes a ban unless there is a reason not to.
    async fn ban(&self, mut command: BlockCommand) -> anyhow::Result<Fate> {
        let mut over = self.revisions.of(&command.target);
        loop {
            if command.expires_at_ms <= now_ms() {
                return Ok(Fate::Ended);
            }
            command.epoch = match (command.reason, self.standing(&command)) {
                (Reason::Manual, _) => NO_LEASE,
                (_, Standing::Owner { epoch }) => epoch,
                (_, Standing::Lapsed) => anyhow::bail!("the lease of its partition has lapsed"),
                (_, Standing::Stranger) => return Ok(Fate::Fenced),
            };
            if let Put::Written { revision } = self.streams.put_ban(&command, over).await? {
                return Ok(Fate::Written { revision });
            }
            let (revision, found) = self.streams.ban_of(&command.target).await?;
            match found {
                Some(found) if found.id == command.id => return Ok(Fate::Written { revision }),
                Some(found) if command.reason != Reason::Manual && found.expires_at_ms > now_ms() => {
                    return Ok(Fate::Outrun(Box::new(found)));
                }
                Some(_) | None => over = revision,
            }
        }
    }

    fn standing(&self, command: &BlockCommand) -> Standing {
        let partition = command.target.partition(PARTITIONS);
        self.tenures.standing(partition, boot_ms())
    }
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
        let bucket = self.bucket.clone();
        self.attempts.spawn(async move {
            // A sleep of nothing still waits for the timer's next millisecond.
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let written = match &wish {
                Wish::Ban(command) => bucket.ban(command.clone()).await,
                Wish::Lift(_) => bucket.streams.remove_ban(&target).await.map(|()| Fate::Lifted),
            };
            let outcome = written.map_err(|error| {
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
