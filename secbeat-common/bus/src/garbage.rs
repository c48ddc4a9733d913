//! Messages that are none. A broken or hostile sender can repeat them at will: all are counted, each sender is logged once.
//! Beside them, what good messages of a later release say beyond what this one understands.

use std::{
    collections::HashSet,
    fmt::Display,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use secbeat_common::wire::Decoded;
use tracing::warn;

/// Senders remembered; past it new ones are only counted.
const MAX_SENDERS: usize = 1024;

/// Counts invalid messages.
#[derive(Debug, Default)]
pub struct Garbage {
    count: AtomicU64,
    skipped: AtomicU64,
    senders: Mutex<HashSet<String>>,
}

impl Garbage {
    /// Returns the number of invalid messages so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Returns the number of parts of good messages that this release does not know.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Returns the message, and counts what of it was skipped.
    pub fn counted<M>(&self, decoded: Decoded<M>) -> M {
        self.skip(decoded.skipped);
        decoded.message
    }

    /// Counts so many of them, see [`Decoded::skipped`].
    pub fn skip(&self, parts: u32) {
        self.skipped.fetch_add(parts.into(), Ordering::Relaxed);
    }

    /// Counts one that came from `sender` (a subject or key) and was not `expected`.
    pub fn report(&self, sender: &str, expected: &str, error: &dyn Display) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.is_first_of(sender) {
            warn!(sender, %error, "not {expected}: ignored");
        }
    }

    fn is_first_of(&self, sender: &str) -> bool {
        let mut senders = self.senders.lock();
        senders.len() < MAX_SENDERS && senders.insert(sender.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sender_is_logged_once_and_memory_is_bounded() {
        let garbage = Garbage::default();
        assert!(garbage.is_first_of("a"));
        assert!(!garbage.is_first_of("a"));
        let logged = (0..10_000)
            .filter(|n: &i32| garbage.is_first_of(&n.to_string()))
            .count();
        assert_eq!(logged, MAX_SENDERS - 1);
    }
    #[test]
    fn what_good_messages_say_beyond_this_release_is_no_garbage() {
        let garbage = Garbage::default();
        let decoded = Decoded {
            message: "good",
            skipped: 2,
        };
        assert_eq!(garbage.counted(decoded), "good");
        garbage.skip(1);
        assert_eq!((garbage.skipped(), garbage.count()), (3, 0));
    }
}
