//! Disk buffer of telemetry while NATS is unreachable.
//!
//! A folder of segment files, written and read by one thread of its own, so that no disk ever holds up the runtime. It
//! is bounded in bytes and in age: past either the oldest goes, counted. Records carry checksums, and what a killed
//! process left half written ends its segment and nothing else.
//!
//! Nothing is synced to disk. What was written survives the process, by the page cache; a crash or reboot of the host it
//! need not survive: ages are measured by the boot clock, so what was spooled before the boot is of unknown age, and
//! discarded.

mod segment;
mod store;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use secbeat_bus::broker::broker;
use tokio::sync::oneshot;
use tracing::{info, warn};
use uuid::Uuid;

use self::store::Store;
use crate::{
    kernel::boot_now,
    telemetry::{Loss, TelemetryStats},
};

/// Bytes that may wait for the disk. Past it, batches are refused: the disk is slower than the telemetry.
const WAITING_BYTES: usize = 16 * 1024 * 1024;
/// Pause before a folder that could not be used is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// File in which the kernel says which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The spool's place and bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Made when it is missing. No two edges may share it.
    pub folder: PathBuf,
    pub max_bytes: u64,
    /// What is older is discarded.
    pub max_age: Duration,
}

/// An encoded [`TelemetryBatch`](secbeat_common::wire::TelemetryBatch).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedBatch {
    pub partition: u16,
    /// Time at which it was closed, milliseconds of the boot clock.
    pub closed_ms: u64,
    /// Answers in it.
    pub answers: u64,
    pub payload: Bytes,
}

enum Command {
    Put(EncodedBatch),
    Next(oneshot::Sender<Option<EncodedBatch>>),
}

/// The way to the spool's thread, which ends with it.
#[derive(Debug)]
pub(crate) struct Spool {
    commands: mpsc::Sender<Command>,
    waiting: Arc<AtomicUsize>,
    stats: Arc<TelemetryStats>,
    thread: JoinHandle<()>,
}

impl Spool {
    /// Starts the thread, which then opens the folder and takes up what an earlier process left there.
    ///
    /// # Errors
    ///
    /// Returns an error if no thread can be had.
    pub(crate) fn start(config: SpoolConfig, stats: Arc<TelemetryStats>) -> io::Result<Self> {
        let (commands, receiver) = mpsc::channel();
        let waiting = Arc::<AtomicUsize>::default();
        let keeper = Keeper {
            config,
            boot: boot_id(),
            store: None,
            tried: None,
            waiting: waiting.clone(),
            stats: stats.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || keeper.run(&receiver))?;
        Ok(Self {
            commands,
            waiting,
            stats,
            thread,
        })
    }

    /// Hands a batch to the thread, or counts it as lost; never blocks.
    pub(crate) fn put(&self, batch: EncodedBatch) {
        let (bytes, answers) = (batch.payload.len(), batch.answers);
        let before = self.waiting.fetch_add(bytes, Relaxed);
        let taken = before + bytes <= WAITING_BYTES && self.commands.send(Command::Put(batch)).is_ok();
        if !taken {
            self.waiting.fetch_sub(bytes, Relaxed);
            self.stats.lose(Loss::Disk, answers);
        }
    }

    /// Takes the oldest batch out; `None` when nothing waits.
    pub(crate) fn next(&self) -> impl Future<Output = Option<EncodedBatch>> + use<> {
        let (reply, answer) = oneshot::channel();
        let asked = self.commands.send(Command::Next(reply));
        async move {
            asked.ok()?;
            answer.await.ok().flatten()
        }
    }

    /// Waits until all that was handed over is on disk. Blocks.
    pub(crate) fn finish(self) {
        drop(self.commands);
        if self.thread.join().is_err() {
            warn!("the spool's thread has died");
        }
    }
}

/// What runs on the thread.
struct Keeper {
    config: SpoolConfig,
    boot: Uuid,
    store: Option<Store>,
    /// Time at which opening was last tried.
    tried: Option<Instant>,
    waiting: Arc<AtomicUsize>,
    stats: Arc<TelemetryStats>,
}

impl Keeper {
    fn run(mut self, commands: &mpsc::Receiver<Command>) {
        self.open();
        while let Ok(command) = commands.recv() {
            match command {
                Command::Put(batch) => {
                    let bytes = batch.payload.len();
                    self.put(&batch);
                    self.waiting.fetch_sub(bytes, Relaxed);
                }
                Command::Next(reply) => {
                    let next = self.store.as_mut().and_then(|store| store.next(boot_ms()));
                    // The asker may be gone: then it is spooled again.
                    if let Err(Some(batch)) = reply.send(next) {
                        self.put(&batch);
                    }
                }
            }
        }
    }

    fn open(&mut self) {
        self.tried = Some(Instant::now());
        match Store::open(&self.config, self.boot, boot_ms(), self.stats.clone()) {
            Ok(store) => {
                let waiting = self.stats.spool().batches();
                if waiting > 0 {
                    info!(
                        batches = waiting,
                        "telemetry of an earlier outage waits to be sent"
                    );
                }
                self.store = Some(store);
                self.failing(None);
            }
            Err(error) => self.failing(Some(&error)),
        }
    }

    fn put(&mut self, batch: &EncodedBatch) {
        if self.store.is_none() && self.tried.is_none_or(|tried| tried.elapsed() >= RETRY) {
            self.open();
        }
        let Some(store) = &mut self.store else {
            self.stats.lose(Loss::Disk, batch.answers);
            return;
        };
        match store.append(batch, boot_ms()) {
            Ok(()) => self.failing(None),
            Err(error) => {
                self.stats.lose(Loss::Disk, batch.answers);
                self.failing(Some(&error));
            }
        }
    }

    /// Says once that the folder cannot be used, and why, and once that it can again.
    fn failing(&self, error: Option<&io::Error>) {
        let before = self.stats.spool().failing.swap(error.is_some(), Relaxed);
        let folder = self.config.folder.display();
        match error {
            Some(error) if !before => {
                warn!(%folder, %error, "the spool cannot be used: telemetry is lost while {} is away", broker());
            }
            None if before => info!(%folder, "the spool can be used again"),
            _ => {}
        }
    }
}

/// The boot clock in milliseconds.
#[must_use]
pub(crate) fn boot_ms() -> u64 {
    boot_now().0 / 1_000_000
}

/// Returns which boot of the host this is. Where the kernel does not say, a new one each time: then nothing outlives the process.
pub(crate) fn boot_id() -> Uuid {
    std::fs::read_to_string(BOOT_ID)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or_else(Uuid::new_v4)
}
