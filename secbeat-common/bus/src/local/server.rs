//! The thread that has the store, and how it is reached.

use std::{
    collections::VecDeque,
    fmt,
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tracing::{error, info};

use super::{
    LocalBus,
    group::{self, Waiting},
    job::Job,
    store::{Store, TAKEN},
    topics::Topics,
};
use crate::error::{Error, Result};

/// Jobs that may wait; past it, calls do.
const WAITING: usize = 1024;
/// Pause before a store that failed is opened again.
const REOPEN: Duration = Duration::from_secs(1);

/// What the file's name ends in that says whose the store is.
const LOCK: &str = "lock";

/// A store that is open until it is [closed](Self::close).
pub struct LocalServer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What all members have in common with the store's thread.
pub(super) struct Shared {
    path: PathBuf,
    pub(super) up: watch::Sender<Up>,
    pub(super) connections: watch::Sender<u64>,
    pub(super) topics: Arc<Topics>,
    jobs: Mutex<Option<mpsc::Sender<Waiting>>>,
    pub(super) waiting: Arc<Semaphore>,
}

/// Whether the store is open, and how often it was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Up {
    pub(super) is_up: bool,
    pub(super) connections: u64,
}

impl fmt::Debug for LocalServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalServer({})", self.shared.path.display())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

impl LocalServer {
    /// Opens the store at `path`, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be used: another process has it open, it is damaged, or a newer SecBeat made it.
    pub fn open(path: &Path) -> Result<Self> {
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            up: watch::Sender::default(),
            connections: watch::Sender::default(),
            topics: Arc::default(),
            jobs: Mutex::default(),
            waiting: Arc::new(Semaphore::new(WAITING)),
        });
        let mut server = Self { shared, thread: None };
        server.start()?;
        Ok(server)
    }

    /// A member's connection, which is up unless the store is closed.
    #[must_use]
    pub fn join(&self) -> LocalBus {
        LocalBus(self.shared.clone())
    }

    fn start(&mut self) -> Result<()> {
        let lock = lock(&self.shared.path)?;
        let store = Store::open(&self.shared.path, self.shared.topics.clone())?;
        let (sender, jobs) = mpsc::channel();
        let shared = self.shared.clone();
        let thread = thread::Builder::new().name("store".to_owned()).spawn(move || {
            shared.run(store, &jobs);
            drop(lock);
        });
        self.thread = Some(thread.map_err(|error| Error::Refused {
            what: "starting the store's thread".to_owned(),
            why: error.to_string(),
        })?);
        *self.shared.jobs.lock() = Some(sender);
        self.shared.opened();
        Ok(())
    }

    /// Does what waits, closes the store and disconnects all members.
    pub fn close(&mut self) {
        self.shared.up.send_modify(|up| up.is_up = false);
        // The thread ends after the last job.
        self.shared.jobs.lock().take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the store's thread stopped unexpectedly");
        }
    }

    /// Opens it again.
    #[cfg(test)]
    pub(super) fn reopen(&mut self) -> Result<()> {
        self.start()
    }
}

/// Takes the store at `path` for this process, also while it is opened again. SQLite's own locks keep other programs away.
fn lock(path: &Path) -> Result<Flock<File>> {
    let refused = |why: String| Error::Refused {
        what: format!("opening the store {}", path.display()),
        why,
    };
    let path = path.with_extension(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| refused(format!("{}: {error}", path.display())))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        refused(match errno {
            Errno::EWOULDBLOCK => TAKEN.to_owned(),
            errno => format!("{}: {errno}", path.display()),
        })
    })
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn opened(&self) {
        self.up.send_modify(|up| {
            up.is_up = true;
            up.connections += 1;
        });
        self.connections.send_modify(|count| *count += 1);
    }

    /// Hands a job to the store once that is open.
    pub(super) async fn send(&self, job: Box<dyn Job>) {
        let mut up = self.up.subscribe();
        // The sender is in `self`, and the semaphore is never closed.
        drop(up.wait_for(|up| up.is_up).await);
        let Ok(permit) = self.waiting.clone().acquire_owned().await else {
            return;
        };
        if let Some(jobs) = &*self.jobs.lock() {
            let _ = jobs.send(Waiting {
                job,
                by_itself: false,
                _permit: permit,
            });
        }
    }

    /// Does jobs until there is nobody left to send one.
    fn run(self: &Arc<Self>, mut store: Store, jobs: &mpsc::Receiver<Waiting>) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match jobs.recv_timeout(store.rest()) {
                    Ok(job) => waiting.push_back(job),
                    Err(RecvTimeoutError::Timeout) => store.tidy(),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            // At most as many as may wait.
            waiting.extend(jobs.try_iter());
            if !waiting.is_empty() {
                let again = store.work(group::next(&mut waiting));
                again.into_iter().rev().for_each(|job| waiting.push_front(job));
            }
            if let Some(why) = store.failure() {
                error!(store = %self.path.display(), "the store failed, and is opened again: {why}");
                self.up.send_modify(|up| up.is_up = false);
                drop(store);
                let Some(opened) = self.open_again() else {
                    return;
                };
                store = opened;
                info!(store = %self.path.display(), "the store is open again");
                self.opened();
            }
        }
    }

    /// Tries until it succeeds, or the server is closed.
    fn open_again(self: &Arc<Self>) -> Option<Store> {
        while self.jobs.lock().is_some() {
            thread::sleep(REOPEN);
            if let Ok(store) = Store::open(&self.path, self.topics.clone()) {
                return Some(store);
            }
        }
        None
    }
}
