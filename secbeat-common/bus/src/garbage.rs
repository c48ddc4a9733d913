//! Messages that are none. A broken or hostile sender can repeat them at will: all are counted, each sender is logged once.

use std::{
    collections::HashSet,
    fmt::Display,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::warn;

/// Senders remembered; past it new ones are only counted.
const MAX_SENDERS: usize = 1024;

/// Counts garbage.
#[derive(Debug, Default)]
pub struct Garbage {
    count: AtomicU64,
    senders: Mutex<HashSet<String>>,
}

impl Garbage {
    /// How many messages so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts one that came from `sender` (a subject or key) and was not `expected`.
    pub fn report(&self, sender: &str, expected: &str, error: &dyn Display) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.is_first_of(sender) {
            warn!(sender, %error, "not {expected}: ignored");
        }
    }

    fn is_first_of(&self, sender: &str) -> bool {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
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
}
