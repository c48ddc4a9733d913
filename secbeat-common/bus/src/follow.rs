//! Follows a bucket for ever: the one loop that reads a snapshot, then changes, and begins again after each reconnect.

use std::{pin::Pin, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use tokio::time::{Instant, Sleep, sleep, timeout_at};
use tracing::warn;

use crate::{
    backend::{Answer, Created, Entry, Watch},
    bus::Bus,
    error::{Error, Result},
};

/// Entries of a snapshot that come together at most: so many signatures are verified at about half the cost.
pub const TOGETHER: usize = 256;

/// What a [`Follower`] reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// A snapshot begins. What came of one that was not [complete](Self::Complete) is void.
    Begin(Snapshot),
    /// Up to [`TOGETHER`] entries of the snapshot.
    Held(Vec<Entry>),
    /// The snapshot has been read.
    Complete,
    /// A change after the snapshot.
    Changed(Entry),
}

/// What a snapshot is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub created: Created,
    /// The latest revision in the bucket.
    pub last_revision: u64,
    /// Whether the bucket is another one than that of the last complete snapshot: its revisions began again, and what it
    /// does not hold says nothing.
    pub is_new: bool,
}

/// How patient a [`Follower`] is.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Pause before the bucket is read again after a failure.
    pub retry: Duration,
    /// Time that the server may take between two entries of a snapshot.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            retry: Duration::from_millis(500),
            patience: Duration::from_secs(5),
        }
    }
}

/// What has to be done before the bucket is read, such as making it.
type Prepare = Box<dyn Fn() -> Answer<()> + Send + Sync>;

/// Reads a bucket for ever. What it says of a failure, it says once for each connection.
pub struct Follower {
    bus: Bus,
    bucket: String,
    pace: Pace,
    prepare: Option<Prepare>,
    /// The number of the connection over which it reads.
    connection: u64,
    complained: bool,
    /// The bucket of the last complete snapshot.
    known: Option<Created>,
    state: State,
}

enum State {
    /// Waits for the next connection.
    Away,
    /// Waits before the next attempt.
    Paused(Pin<Box<Sleep>>),
    Opening(BoxFuture<'static, Result<Watch>>),
    Snapshot {
        watch: Watch,
        chunk: Vec<Entry>,
        is_read: bool,
        deadline: Instant,
    },
    Live(Watch),
}

/// What [`Follower::step`] came to.
enum Step {
    Update(Update),
    Nothing,
}

impl Follower {
    /// Nothing is read before [`next`](Self::next) is awaited.
    #[must_use]
    pub fn new(bus: &Bus, bucket: &str) -> Self {
        Self {
            bus: bus.clone(),
            bucket: bucket.to_owned(),
            pace: Pace::default(),
            prepare: None,
            connection: 0,
            complained: false,
            known: None,
            state: State::Away,
        }
    }

    #[must_use]
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Does `prepare` each time before the bucket is read.
    #[must_use]
    pub fn prepared_by(mut self, prepare: impl Fn() -> Answer<()> + Send + Sync + 'static) -> Self {
        self.prepare = Some(Box::new(prepare));
        self
    }

    /// Reads the next update. May be dropped at any time, and nothing is lost.
    pub async fn next(&mut self) -> Update {
        loop {
            let bus = self.bus.clone();
            let connection = self.connection;
            let step = tokio::select! {
                // What the old connection still has is of no use: the snapshot after it says all.
                biased;
                number = bus.connection_after(connection) => {
                    self.connection = number;
                    self.complained = false;
                    self.state = self.open();
                    continue;
                }
                step = self.step() => step,
            };
            match step {
                Ok(Step::Update(update)) => return update,
                Ok(Step::Nothing) => {}
                Err(error) => self.retry(&error),
            }
        }
    }

    /// Reads the bucket again from the beginning, after a pause, since the one who reads it cannot go on for `error`.
    pub fn retry(&mut self, error: &dyn std::fmt::Display) {
        if !std::mem::replace(&mut self.complained, true) {
            let bucket = &self.bucket;
            warn!("cannot follow bucket {bucket} yet (an orchestrator makes it), retrying: {error:#}");
        }
        self.state = State::Paused(Box::pin(sleep(self.pace.retry)));
    }

    /// Reads the bucket again from the beginning, at once.
    pub fn again(&mut self) {
        if self.connection > 0 {
            self.state = self.open();
        }
    }

    /// Whether everything has been read, and changes come as they are made.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.state, State::Live(_))
    }

    /// Does `work` with what was read, unless another connection comes up: then the bucket is read again.
    pub async fn unless_reconnected<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            _ = self.bus.connection_after(self.connection) => None,
        }
    }

    fn open(&self) -> State {
        let prepared = self.prepare.as_ref().map(|prepare| prepare());
        let bucket = self.bus.bucket(&self.bucket);
        State::Opening(
            async move {
                if let Some(prepared) = prepared {
                    prepared.await?;
                }
                bucket.watch().await
            }
            .boxed(),
        )
    }

    /// Waits for one thing, and takes it. Leaves everything as it was while it waits.
    async fn step(&mut self) -> Result<Step> {
        match &mut self.state {
            State::Away => std::future::pending().await,
            State::Paused(pause) => {
                pause.await;
                self.state = self.open();
                Ok(Step::Nothing)
            }
            State::Opening(opening) => {
                let watch = opening.await?;
                let snapshot = Snapshot {
                    created: watch.status.created,
                    last_revision: watch.status.last_revision,
                    is_new: self.known.is_some_and(|known| known != watch.status.created),
                };
                self.state = State::Snapshot {
                    is_read: watch.held == 0,
                    watch,
                    chunk: Vec::new(),
                    deadline: Instant::now() + self.pace.patience,
                };
                Ok(Step::Update(Update::Begin(snapshot)))
            }
            State::Snapshot {
                watch,
                chunk,
                is_read,
                deadline,
            } => {
                while !*is_read && chunk.len() < TOGETHER {
                    let next = timeout_at(*deadline, watch.entries.next()).await;
                    let next = next.map_err(|_| Error::Silent {
                        what: self.bucket.clone(),
                        waited: self.pace.patience,
                    })?;
                    let watched = next.ok_or_else(|| Error::Ended(self.bucket.clone()))??;
                    *deadline = Instant::now() + self.pace.patience;
                    *is_read = watched.behind == 0;
                    chunk.push(watched.entry);
                }
                if !chunk.is_empty() {
                    return Ok(Step::Update(Update::Held(std::mem::take(chunk))));
                }
                self.known = Some(watch.status.created);
                if let State::Snapshot { watch, .. } = std::mem::replace(&mut self.state, State::Away) {
                    self.state = State::Live(watch);
                }
                Ok(Step::Update(Update::Complete))
            }
            State::Live(watch) => {
                let next = watch.entries.next().await;
                let watched = next.ok_or_else(|| Error::Ended(self.bucket.clone()))??;
                Ok(Step::Update(Update::Changed(watched.entry)))
            }
        }
    }
}
