//! Complaints that an attacker or a broken sender could repeat at will: each sender is logged once, all are counted.

use std::{collections::HashSet, sync::Mutex};

/// Senders remembered; past it new ones are only counted.
const MAX_SENDERS: usize = 1024;

/// Remembers who was complained about.
#[derive(Debug, Default)]
pub struct OncePer {
    seen: Mutex<HashSet<String>>,
}

impl OncePer {
    /// Whether this is the first complaint about `sender`.
    pub fn first(&self, sender: &str) -> bool {
        let mut seen = self
            .seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        seen.len() < MAX_SENDERS && seen.insert(sender.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sender_is_first_once_and_memory_is_bounded() {
        let once = OncePer::default();
        assert!(once.first("a"));
        assert!(!once.first("a"));
        let logged = (0..10_000).filter(|n| once.first(&n.to_string())).count();
        assert_eq!(logged, MAX_SENDERS - 1);
    }
}
