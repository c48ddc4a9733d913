//! Random numbers that a seed repeats.

use std::{
    env,
    io::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

/// The seed that `SECBEAT_SEED` names, in decimal or as `0x…`, or else another one each time. `what` it is of is told with it
/// on standard error at once, where whoever interrupts a test sees it, too.
///
/// # Panics
///
/// When it names none.
#[must_use]
pub fn seed(what: &str) -> u64 {
    let seed = match env::var("SECBEAT_SEED") {
        Ok(text) => {
            let parsed = match text.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16),
                None => text.parse(),
            };
            parsed.unwrap_or_else(|error| panic!("SECBEAT_SEED={text}: {error}"))
        }
        Err(_) => {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
            since_1970.expect("a clock that is set").as_nanos() as u64
        }
    };
    // Not `eprintln!`, which is kept back unless the test fails.
    let _ = writeln!(std::io::stderr(), "{what}: SECBEAT_SEED={seed:#x} repeats it");
    seed
}

/// `SplitMix64` (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.any() % end as u64) as usize
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of `from..to`.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from) as usize) as i64
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// So many random bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.any() as u8).collect()
    }
}
