//! Keeps on disk what a restart of an edge that stands in for the fleet must not forget.

use std::time::{Duration, Instant};

use secbeat_orchestrator_core::stand_in::Changes;
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::warn;

use crate::stand_in::{Kept, Tap};

/// Bans that wait for the fleet are written at once while they are so few, and else in this pause.
const FEW: usize = 1_000;
const PAUSE: Duration = Duration::from_secs(10);
/// Reports are written in this pause while this edge decides, and at this pace.
const REPORTS_PAUSE: Duration = Duration::from_secs(5);
const BYTES_PER_SECOND: usize = 200_000;

/// What was written, and when more may be.
#[derive(Debug)]
pub(super) struct Carrying {
    kept: Kept,
    written: Changes,
    waiting_due: Instant,
    reports_due: Instant,
    /// The write under way, and whether the one before failed.
    writing: Option<JoinHandle<std::io::Result<()>>>,
    is_failing: bool,
}

impl Carrying {
    pub(super) fn new(kept: Kept) -> Self {
        let now = Instant::now();
        Self {
            kept,
            written: Changes::default(),
            waiting_due: now,
            reports_due: now,
            writing: None,
            is_failing: false,
        }
    }

    /// Begins to write what has changed and is due.
    pub(super) async fn go_on(&mut self, tap: &Tap) {
        match self.writing.take_if(|writing| writing.is_finished()) {
            Some(written) => self.written(&written.await.map_err(Into::into).flatten()),
            None if self.writing.is_some() => return,
            None => {}
        }
        let Some((changes, decides)) = tap.changes() else {
            return;
        };
        let (now, kept) = (Instant::now(), self.kept.clone());
        if changes.waiting != self.written.waiting && self.waiting_due <= now {
            self.written.waiting = changes.waiting;
            let waiting = tap.waiting();
            if waiting.len() > FEW {
                self.waiting_due = now + PAUSE;
            }
            self.writing = Some(spawn_blocking(move || kept.keep_waiting(&waiting)));
        } else if decides && changes.reports != self.written.reports && self.reports_due <= now {
            self.written.reports = changes.reports;
            let (reports, bytes) = tap.reports();
            let pace = Duration::from_secs((bytes / BYTES_PER_SECOND) as u64);
            self.reports_due = now + REPORTS_PAUSE + pace;
            self.writing = Some(spawn_blocking(move || kept.keep_reports(&reports)));
        }
    }

    /// A failure is logged when it begins.
    fn written(&mut self, outcome: &std::io::Result<()>) {
        if let Err(error) = outcome
            && !self.is_failing
        {
            warn!(%error, "a restart will forget what this edge has counted and banned by itself");
        }
        self.is_failing = outcome.is_err();
    }
}

/// Writes all at once, at the end.
pub(in super::super) fn keep_all(kept: &Kept, tap: &Tap) {
    if tap.changes().is_none() {
        return;
    }
    let written = kept
        .keep_waiting(&tap.waiting())
        .and_then(|()| kept.keep_reports(&tap.reports().0));
    if let Err(error) = written {
        warn!(%error, "the next start does not know what this edge has counted and banned by itself");
    }
}
