//! Counts, delays and logs requests with unknown tokens.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tracing::warn;

/// From one line of the log about wrong tokens to the next.
const TELL: Duration = Duration::from_secs(10);

/// Counts requests with unknown tokens, and logs them.
#[derive(Clone, Debug, Default)]
pub(crate) struct WrongTokens(Arc<Mutex<Wrong>>);

#[derive(Debug, Default)]
struct Wrong {
    count: u64,
    /// Number of those in the log, and the time of the last one.
    told: u64,
    told_at: Option<Instant>,
}

impl WrongTokens {
    /// Returns how many there were.
    pub(crate) fn seen(&self) -> u64 {
        self.0.lock().count
    }

    pub(super) fn count(&self, peer: Option<SocketAddr>) {
        let mut wrong = self.0.lock();
        wrong.count += 1;
        if wrong.told_at.is_some_and(|at| at.elapsed() < TELL) {
            return;
        }
        let since = wrong.count - wrong.told;
        (wrong.told, wrong.told_at) = (wrong.count, Some(Instant::now()));
        let peer = peer.map_or_else(|| "the socket".to_owned(), |peer| peer.ip().to_string());
        warn!(
            from = peer,
            wrong_tokens = since,
            "a request shows a token that the API does not know"
        );
    }
}
