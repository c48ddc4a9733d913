//! Ids of commands, made without a clock or a source of randomness.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};
use uuid::{Builder, Uuid};

/// Makes ids of version 7 ([RFC 9562](https://www.rfc-editor.org/rfc/rfc9562#section-5.7)): each is greater than the one
/// before, and no other seed leads to the same.
#[derive(Debug)]
pub struct Ids {
    seed: [u8; 16],
    /// The time of the latest id, milliseconds since the Unix epoch.
    latest_ms: u64,
    /// Ids made so far.
    made: u64,
    /// Ids made of that time: the 12 bits after it.
    within: u16,
}

impl Ids {
    /// Ids of a process. `seed` is random, another one in each.
    #[must_use]
    pub const fn new(seed: [u8; 16]) -> Self {
        Self {
            seed,
            latest_ms: 0,
            made: 0,
            within: 0,
        }
    }

    /// The next id, of `now_ms` (milliseconds since the Unix epoch), or of the latest id's time if that is later.
    pub fn next(&mut self, now_ms: i64) -> Uuid {
        const MOST_WITHIN: u16 = 0x0fff;
        let now_ms = u64::try_from(now_ms).unwrap_or(0);
        (self.latest_ms, self.within) = match now_ms > self.latest_ms {
            true => (now_ms, 0),
            false if self.within < MOST_WITHIN => (self.latest_ms, self.within + 1),
            false => (self.latest_ms + 1, 0),
        };
        self.made += 1;
        let mut hasher = SipHasher13::new_with_key(&self.seed);
        hasher.write_u64(self.made);
        let random = hasher.finish128().as_bytes();
        let mut tail = [0; 10];
        tail[..2].copy_from_slice(&self.within.to_be_bytes());
        tail[2..].copy_from_slice(&random[..8]);
        Builder::from_unix_timestamp_millis(self.latest_ms, &tail).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_bear_their_time_and_ascend_whatever_the_clock_does() {
        let mut ids = Ids::new([7; 16]);
        let first = ids.next(1_795_168_800_000);
        assert_eq!(first.get_version_num(), 7);
        assert_eq!(first.get_timestamp().unwrap().to_unix(), (1_795_168_800, 0));
        let mut before = first;
        for now_ms in (0..10_000).map(|n| 1_795_168_800_000 + [0, -5_000, 1][n % 3]) {
            let id = ids.next(now_ms);
            assert!(id > before, "{id} after {before}");
            before = id;
        }
    }

    #[test]
    fn another_seed_makes_other_ids() {
        let mut all = std::collections::HashSet::new();
        for seed in 0..100 {
            let mut ids = Ids::new([seed; 16]);
            assert!((0..100).all(|_| all.insert(ids.next(1))));
        }
    }
}
