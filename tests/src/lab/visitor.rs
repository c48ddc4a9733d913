//! An innocent client that keeps browsing while others misbehave.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::lab::client::Client;

/// How often a visitor asks for a page.
pub const PACE: Duration = Duration::from_millis(20);

/// A visitor at work; dropped, it stops.
#[derive(Debug)]
pub struct Visitor {
    stop: Arc<AtomicBool>,
    work: Option<thread::JoinHandle<VisitorReport>>,
}

/// What became of a visitor's requests.
#[derive(Clone, Debug, Default)]
pub struct VisitorReport {
    /// Requests made.
    pub requests: usize,
    /// Those that were not answered 200.
    pub failures: Vec<Failure>,
    /// The slowest answer.
    pub slowest: Duration,
}

/// A request that was not answered 200.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Since the visitor came.
    pub at: Duration,
    /// The status or the error.
    pub what: String,
}

impl Visitor {
    /// Starts asking for `url` every [`PACE`].
    #[must_use]
    pub fn start(mut client: Client, url: &str) -> Self {
        let (url, stop) = (url.to_owned(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let work = thread::spawn(move || {
            let (start, mut report) = (Instant::now(), VisitorReport::default());
            while !stopped.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let what = match client.get(&url) {
                    Ok(200) => None,
                    Ok(status) => Some(format!("status {status}")),
                    Err(error) => Some(error.to_string()),
                };
                report.requests += 1;
                report.slowest = report.slowest.max(asked.elapsed());
                report.failures.extend(what.map(|what| Failure {
                    at: asked - start,
                    what,
                }));
                thread::sleep(PACE.saturating_sub(asked.elapsed()));
            }
            report
        });
        Self {
            stop,
            work: Some(work),
        }
    }

    /// Ends the visit.
    #[must_use]
    pub fn stop(mut self) -> VisitorReport {
        self.end().unwrap_or_default()
    }

    fn end(&mut self) -> Option<VisitorReport> {
        self.stop.store(true, Ordering::Relaxed);
        self.work
            .take()
            .map(|work| work.join().expect("a visitor panicked"))
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.end();
    }
}
