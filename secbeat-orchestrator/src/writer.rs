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
    collections::{HashMap, VecDeque},
    time::Duration,
};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use secbeat_common::{
    prefix::Prefix,
    subjects::PARTITIONS,
    wire::{BlockCommand, NO_LEASE},
};
use secbeat_daemon::time::now_ms;
use tokio::sync::mpsc;
use tracing::{debug, error};
use uuid::Uuid;

use crate::{
    bus::{BATCH, Found, Put, Streams},
    engine::Input,
    leases::{Standing, Tenures, boot_ms},
    replica::Revisions,
};

pub(crate) const FIRST_RETRY: Duration = Duration::from_millis(100);
pub(crate) const LAST_RETRY: Duration = Duration::from_secs(2);
/// Writes under way at most. The server takes them one after the other, so that more would only wait there, and run into
/// the time that an acknowledgement may take.
const UNDER_WAY: usize = 512;
/// The same for those of [`Urgency::Bulk`], so that there is always room for the others.
const BULK_UNDER_WAY: usize = 256;
/// Batches under way at most, each of [`BATCH`] bans.
const BATCHES_UNDER_WAY: usize = 2;

/// What the bucket should hold for one target.
#[derive(Clone, Debug)]
pub enum Wish {
    /// This ban.
    Ban(BlockCommand),
    /// Nothing: the ban of this id, which would have ended at `expires_at_ms`, was lifted at `at_ms` (milliseconds since the
    /// Unix epoch), and any older one with it.
    Lift {
        id: Uuid,
        at_ms: i64,
        expires_at_ms: i64,
    },
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
            Self::Lift { id, .. } => *id,
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.id() == other.id()
            && matches!(
                (self, other),
                (Self::Ban(_), Self::Ban(_)) | (Self::Lift { .. }, Self::Lift { .. })
            )
    }
}

/// Which wishes go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody is attacking, or waits for the answer.
    Now,
    /// One of very many; it waits for all others.
    Bulk,
}

/// Where wishes go. What is on its way when the last one is dropped is still written.
#[derive(Clone, Debug)]
pub struct Writer {
    wishes: mpsc::UnboundedSender<(Prefix, Wish, Urgency)>,
}

impl Writer {
    /// A writer and its task, which reports the fate of each wish to `inputs`.
    pub fn new(
        streams: Streams,
        revisions: Revisions,
        tenures: Tenures,
        inputs: mpsc::WeakSender<Input>,
    ) -> (Self, impl Future<Output = ()>) {
        // Unbounded, but drained at once into one entry per target, and what comes is bounded by the ledger's brakes and
        // by the size of an import.
        let (wishes, waiting) = mpsc::unbounded_channel();
        let task = Task {
            bucket: Bucket {
                streams,
                revisions,
                tenures,
            },
            inputs,
            wanted: HashMap::new(),
            queues: Queues::default(),
            one_by_one: 0,
            batches: 0,
            attempts: FuturesUnordered::new(),
        };
        (Self { wishes }, task.run(waiting))
    }

    /// From now on `wish` is what counts for `target`.
    pub fn wish(&self, target: Prefix, wish: Wish, urgency: Urgency) {
        if self.wishes.send((target, wish, urgency)).is_err() {
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
    /// The latest wish for each target that waits or is under way.
    wanted: HashMap<Prefix, Wanted>,
    queues: Queues,
    /// Bulk wishes that are to be tried one by one, since they could not be written in a batch.
    one_by_one: usize,
    batches: usize,
    attempts: FuturesUnordered<BoxFuture<'static, Attempt>>,
}

struct Wanted {
    wish: Wish,
    /// Whether an attempt is under way; there is never more than one.
    trying: bool,
}

/// Targets whose wishes wait for their first attempt. One that became urgent is in both, and passed over in the second.
#[derive(Default)]
struct Queues {
    now: VecDeque<Prefix>,
    bulk: VecDeque<Prefix>,
}

/// What became of one write, or of a batch.
enum Attempt {
    One {
        target: Prefix,
        wish: Box<Wish>,
        outcome: Result<Fate, Duration>,
    },
    /// Bans that the server took together; their revisions follow each other.
    All {
        commands: Vec<BlockCommand>,
        first_revision: u64,
    },
    /// Bans that it did not take together, to be written one by one.
    None(Vec<BlockCommand>),
}

impl Bucket {
    /// Writes a ban unless there is a reason not to.
    async fn ban(&self, mut command: BlockCommand) -> anyhow::Result<Fate> {
        let mut over = self.revisions.of(&command.target);
        loop {
            if command.expires_at_ms <= now_ms() {
                return Ok(Fate::Ended);
            }
            command.epoch = match (command.epoch, self.standing(&command)) {
                (NO_LEASE, _) => NO_LEASE,
                (_, Standing::Owner { epoch }) => epoch,
                (_, Standing::Lapsed) => anyhow::bail!("the lease of its partition has lapsed"),
                (_, Standing::Stranger) => return Ok(Fate::Fenced),
            };
            if let Put::Written { revision } = self.streams.put_ban(&command, over).await? {
                return Ok(Fate::Written { revision });
            }
            let (revision, found) = self.streams.ban_of(&command.target).await?;
            over = match found {
                Found::Ban(found) if found.id == command.id => return Ok(Fate::Written { revision }),
                Found::Ban(found) if command.epoch != NO_LEASE && found.expires_at_ms > now_ms() => {
                    return Ok(Fate::Outrun(Box::new(found)));
                }
                // Of a ban that is written again, since somebody else took its place.
                Found::Lifted(id) if id == command.id => return Ok(Fate::Superseded),
                Found::Ban(found) => self.revisions.at(revision, found.expires_at_ms),
                Found::Lifted(_) | Found::Nothing => self.revisions.at(revision, 0),
            };
        }
    }

    /// Takes a ban out unless a newer one is there. Also where there is none: the purge comes after whatever is still being
    /// written.
    async fn lift(&self, target: &Prefix, id: Uuid, at_ms: i64, expires_at_ms: i64) -> anyhow::Result<Fate> {
        let newer = |found: &BlockCommand| found.id != id && found.issued_at_ms > at_ms;
        loop {
            let (revision, found) = self.streams.ban_of(target).await?;
            let ends_ms = match &found {
                Found::Ban(found) if newer(found) => return Ok(Fate::Lifted),
                Found::Ban(found) => found.expires_at_ms.max(expires_at_ms),
                Found::Lifted(_) | Found::Nothing => expires_at_ms,
            };
            let over = self.revisions.at(revision, ends_ms);
            if let Put::Written { .. } = self.streams.remove_ban(target, id, over).await? {
                return Ok(Fate::Lifted);
            }
        }
    }

    fn standing(&self, command: &BlockCommand) -> Standing {
        let partition = command.target.partition(PARTITIONS);
        self.tenures.standing(partition, boot_ms())
    }
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::UnboundedReceiver<(Prefix, Wish, Urgency)>) {
        let mut open = true;
        while open || !self.wanted.is_empty() {
            self.start_all();
            tokio::select! {
                wish = waiting.recv(), if open => match wish {
                    Some((target, wish, urgency)) => self.take(target, wish, urgency).await,
                    None => open = false,
                },
                Some(attempt) = self.attempts.next(), if !self.attempts.is_empty() => self.finish(attempt).await,
            }
        }
    }

    /// Tries whatever there is room for: what is urgent by itself, what is not in batches.
    fn start_all(&mut self) {
        while self.attempts.len() < UNDER_WAY
            && let Some(target) = self.queues.now.pop_front()
        {
            if self.is_untried(&target) {
                self.start(target, Duration::ZERO);
            }
        }
        while self.attempts.len() < BULK_UNDER_WAY && !self.queues.bulk.is_empty() {
            if self.one_by_one == 0 && self.bucket.streams.takes_batches() {
                if self.batches >= BATCHES_UNDER_WAY {
                    break;
                }
                self.start_batch();
            } else if let Some(target) = self.queues.bulk.pop_front() {
                self.one_by_one = self.one_by_one.saturating_sub(1);
                if self.is_untried(&target) {
                    self.start(target, Duration::ZERO);
                }
            }
        }
    }

    fn is_untried(&self, target: &Prefix) -> bool {
        self.wanted.get(target).is_some_and(|wanted| !wanted.trying)
    }

    /// Writes the next bans that people ordered together; what else is among them goes by itself.
    fn start_batch(&mut self) {
        let now = now_ms();
        let mut commands = Vec::with_capacity(BATCH);
        while commands.len() < BATCH
            && let Some(target) = self.queues.bulk.pop_front()
        {
            match self.wanted.get_mut(&target) {
                Some(Wanted {
                    wish: Wish::Ban(command),
                    trying: trying @ false,
                }) if command.epoch == NO_LEASE && command.expires_at_ms > now => {
                    *trying = true;
                    commands.push((command.clone(), self.bucket.revisions.of(&target)));
                }
                Some(Wanted { trying: false, .. }) => self.start(target, Duration::ZERO),
                Some(_) | None => {}
            }
        }
        if commands.is_empty() {
            return;
        }
        self.batches += 1;
        let streams = self.bucket.streams.clone();
        self.attempts.push(Box::pin(async move {
            let written = streams.put_bans(&commands).await;
            let commands = commands.into_iter().map(|(command, _)| command).collect();
            match written {
                Ok(first_revision) => Attempt::All {
                    commands,
                    first_revision,
                },
                Err(error) => {
                    debug!("writing to the bans bucket failed, retrying one by one: {error:#}");
                    tokio::time::sleep(FIRST_RETRY).await;
                    Attempt::None(commands)
                }
            }
        }));
    }

    async fn take(&mut self, target: Prefix, wish: Wish, urgency: Urgency) {
        let id = wish.id();
        let before = self.wanted.get(&target);
        let (trying, before) = (
            before.is_some_and(|before| before.trying),
            before.map(|before| before.wish.id()),
        );
        self.wanted.insert(target, Wanted { wish, trying });
        match urgency {
            Urgency::Now if !trying => self.queues.now.push_back(target),
            Urgency::Bulk if before.is_none() => self.queues.bulk.push_back(target),
            Urgency::Now | Urgency::Bulk => {}
        }
        if let Some(before) = before.filter(|before| *before != id) {
            self.report(before, Fate::Superseded).await;
        }
    }

    /// Tries what is wanted for `target`, after a pause.
    fn start(&mut self, target: Prefix, pause: Duration) {
        let Some(wanted) = self.wanted.get_mut(&target) else {
            return;
        };
        wanted.trying = true;
        let wish = wanted.wish.clone();
        let bucket = self.bucket.clone();
        self.attempts.push(Box::pin(async move {
            // A sleep of nothing still waits for the timer's next millisecond.
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let written = match &wish {
                Wish::Ban(command) => bucket.ban(command.clone()).await,
                Wish::Lift {
                    id,
                    at_ms,
                    expires_at_ms,
                } => bucket.lift(&target, *id, *at_ms, *expires_at_ms).await,
            };
            let outcome = written.map_err(|error| {
                debug!(%target, "writing to the bans bucket failed, retrying: {error:#}");
                (pause * 2).clamp(FIRST_RETRY, LAST_RETRY)
            });
            Attempt::One {
                target,
                wish: Box::new(wish),
                outcome,
            }
        }));
    }

    async fn report(&mut self, id: Uuid, fate: Fate) {
        if let Some(inputs) = self.inputs.upgrade() {
            let _ = inputs.send(Input::Done { id, fate }).await;
        }
    }

    async fn finish(&mut self, attempt: Attempt) {
        match attempt {
            Attempt::One {
                target,
                wish,
                outcome: Ok(fate),
            } => self.settle(target, &wish, fate).await,
            Attempt::One {
                target,
                outcome: Err(pause),
                ..
            } => self.start(target, pause),
            Attempt::All {
                commands,
                first_revision,
            } => {
                self.batches -= 1;
                for (command, revision) in commands.into_iter().zip(first_revision..) {
                    let fate = Fate::Written { revision };
                    self.settle(command.target, &Wish::Ban(command), fate).await;
                }
            }
            Attempt::None(commands) => {
                self.batches -= 1;
                self.one_by_one += commands.len();
                for command in commands.into_iter().rev() {
                    if let Some(wanted) = self.wanted.get_mut(&command.target) {
                        wanted.trying = false;
                        self.queues.bulk.push_front(command.target);
                    }
                }
            }
        }
    }

    /// A wish has come to an end; if it is not the latest for its target, that one is next.
    async fn settle(&mut self, target: Prefix, wish: &Wish, fate: Fate) {
        let latest = self.wanted.get(&target).map(|wanted| &wanted.wish);
        if latest.is_some_and(|latest| latest.is(wish)) {
            self.wanted.remove(&target);
            self.report(wish.id(), fate).await;
        } else {
            self.start(target, Duration::ZERO);
        }
    }
}
