//! The lane against a naïve model, and the writer against every reader there can be.

mod interleaved;

use std::{cell::RefCell, collections::HashMap};

use proptest::prelude::*;

use super::*;

/// Memory of a lane for one thread.
#[derive(Debug)]
struct Plain(RefCell<Vec<u64>>);

impl Plain {
    fn new(lines: u32) -> Self {
        Self(RefCell::new(vec![0; words(lines)]))
    }
}

impl Words for Plain {
    fn load(&self, at: usize) -> u64 {
        self.0.borrow()[at]
    }

    fn store(&self, at: usize, value: u64) {
        self.0.borrow_mut()[at] = value;
    }

    fn store_lower(&self, at: usize, value: u32) {
        let word = &mut self.0.borrow_mut()[at];
        *word = *word >> 32 << 32 | u64::from(value);
    }

    fn wait_for_readers(&self) -> bool {
        true
    }
}

#[test]
fn a_lane_is_two_words_for_each_entry_and_a_line_is_a_cache_line() {
    assert_eq!((size_of::<Entry>(), size_of::<Line>()), (16, 64));
    assert_eq!(core::mem::offset_of!(Entry, end), 8);
    assert_eq!(core::mem::offset_of!(Entry, met), 12);
}

#[test]
fn an_end_is_never_late_and_at_most_64_jiffies_early() {
    for jiffies in [0, 63, 64, 65, 1 << 32, (1 << 36) - 65] {
        let end = end(jiffies);
        assert!(is_over(end, jiffies), "{jiffies}");
        assert!(jiffies < 64 || !is_over(end, (jiffies & !63) - 1), "{jiffies}");
    }
    assert_eq!(end(u64::MAX), LAST);
    assert!(!is_over(LAST | LOCAL | OVERFLOWS, (1 << 36) - 65));
}

#[test]
fn a_ban_is_looked_up_for_its_first_packet_and_then_for_one_in_64() {
    assert_eq!(with(0, 60), None);
    let (mut met, mut packets) = (ARMED, 0);
    while let Some(next) = with(met, 1500) {
        (met, packets) = (next, packets + 1);
        assert_eq!(held(met), (packets, 1500 * packets));
    }
    assert_eq!(packets, 63);
    assert_eq!(with(ARMED, 1 << 25), None, "bytes that have no room");
    assert_eq!(held(0), (0, 0));
}

#[test]
fn sources_of_both_families_have_keys_that_differ() {
    assert_eq!(source(v4(7)), Ok(7));
    assert_eq!(v6(v4(7)), None);
    assert_eq!(v6(0), None);
    assert_eq!(v6(0x2001_0db8 << 32).map(source), Some(Err(0x2001_0db8 << 32)));
}

#[test]
fn at_half_its_places_a_lane_lacks_one_ban_in_a_hundred() {
    let lines = 4096;
    let mut writer = Writer::new(Plain::new(lines), lines);
    let bans = 2 * lines;
    let lacking = (0..bans).filter(|&n| !writer.put(v4(n * 7919), 9)).count();
    assert!(lacking < bans as usize / 100, "{lacking}");
    assert_eq!(writer.load(), (bans as usize - lacking, 4 * lines as usize));
}

#[derive(Clone, Debug)]
enum Step {
    Put(u64, u32),
    Remove(u64),
    Rest,
    Sweep(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || (0..60_u32).prop_map(v4);
    prop_oneof![
        6 => (key(), 1..200_u32).prop_map(|(key, end)| Step::Put(key, end)),
        4 => key().prop_map(Step::Remove),
        1 => Just(Step::Rest),
        1 => (0..200_u64).prop_map(|end| Step::Sweep(end << 6)),
    ]
}

proptest! {
    /// A lane that is nearly full, so that all ways are taken.
    #[test]
    fn a_lane_has_what_was_put_there_and_nothing_else(steps in prop::collection::vec(step(), 1..300)) {
        let lines = 12;
        let mut writer = Writer::new(Plain::new(lines), lines);
        let mut model = HashMap::new();
        for step in steps {
            match step {
                Step::Put(key, end) => match writer.put(key, end) {
                    true => {
                        model.insert(key, end);
                    }
                    false => prop_assert!(!model.contains_key(&key)),
                },
                Step::Remove(key) => {
                    writer.remove(key);
                    model.remove(&key);
                }
                Step::Rest => writer.rest(),
                Step::Sweep(jiffies) => {
                    writer.sweep(jiffies, |_| true);
                    model.retain(|_, end| !is_over(*end, jiffies));
                }
            }
            prop_assert_eq!(writer.load().0, model.len());
            for key in (0..60).map(v4) {
                prop_assert_eq!(writer.get(key).map(|entry| entry.end), model.get(&key).copied());
            }
        }
    }
}
