//! Who is about while daemons are killed: [`attackers`], [`operators`] who ban and unban, and whoever keeps [`watch`] over
//! the kernels' bans.

pub mod attackers;
pub mod operators;
pub mod watch;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Something done again and again on a thread of its own, until it is told to stop.
#[derive(Debug)]
pub struct Busy<T> {
    stop: Arc<AtomicBool>,
    work: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Busy<T> {
    /// Does `work` on `state` again and again.
    #[must_use]
    pub fn start(mut state: T, mut work: impl FnMut(&mut T) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let work = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                work(&mut state);
            }
            state
        });
        Self {
            stop,
            work: Some(work),
        }
    }

    /// Stops it, and returns what came of it.
    ///
    /// # Panics
    ///
    /// When it panicked.
    #[must_use]
    pub fn finish(mut self) -> T {
        self.stop.store(true, Ordering::Relaxed);
        let work = self.work.take().expect("it is finished once");
        work.join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl<T> Drop for Busy<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(work) = self.work.take() {
            let _ = work.join();
        }
    }
}
