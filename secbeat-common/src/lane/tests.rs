//! The lane against a naïve model, and the writer against every reader there can be.

mod interleaved;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

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

/// Memory whose owner is killed after so many stores.
struct Killed<'a>(&'a Plain, Cell<usize>);

impl Killed<'_> {
    fn is_alive(&self) -> bool {
        let left = self.1.get();
        self.1.set(left.saturating_sub(1));
        left != 0
    }
}

impl Words for Killed<'_> {
    fn load(&self, at: usize) -> u64 {
        self.0.load(at)
    }

    fn store(&self, at: usize, value: u64) {
        if self.is_alive() {
            self.0.store(at, value);
        }
    }

    fn store_lower(&self, at: usize, value: u32) {
        if self.is_alive() {
            self.0.store_lower(at, value);
        }
    }

    fn wait_for_readers(&self) -> bool {
        true
    }
}

/// Memory that becomes another after so many loads.
struct Turning {
    then: Vec<u64>,
    next: Vec<u64>,
    loads: Cell<usize>,
}

impl Words for Turning {
    fn load(&self, at: usize) -> u64 {
        let left = self.loads.get();
        self.loads.set(left.saturating_sub(1));
        match left {
            0 => self.next[at],
            _ => self.then[at],
        }
    }

    fn store(&self, _: usize, _: u64) {}

    fn store_lower(&self, _: usize, _: u32) {}

    fn wait_for_readers(&self) -> bool {
        false
    }
}

/// A full line, from which one of those that were there first has to move for the late one.
struct Move {
    first: Vec<u64>,
    moving: u64,
    late: u64,
}

impl Move {
    const LINES: u32 = 3;
    const END: u32 = 9 | LOCAL;

    fn new() -> Self {
        let of = |wanted, count| keys_of(wanted, Self::LINES, count);
        let moving = of([1, 3], 1)[0];
        Self {
            first: [of([1, 1], 3), of([2, 2], 4), vec![moving]].concat(),
            moving,
            late: of([1, 2], 1)[0],
        }
    }

    /// Returns the memory that an owner leaves which is killed after so many stores of the move; also whether that was all of it.
    fn killed_after(&self, stores: usize) -> (Plain, bool) {
        let memory = Plain::new(Self::LINES);
        let mut owner = Writer::new(Killed(&memory, Cell::new(usize::MAX)), Self::LINES);
        assert!(self.first.iter().all(|key| owner.put(*key, Self::END)));
        owner.begin();
        owner.meet(self.late, 7, true);
        owner.words.1.set(stores);
        owner.settle(0, 0, &[]);
        let is_done = owner.words.1.get() != 0;
        drop(owner);
        (memory, is_done)
    }

    /// What the memory is after each store of the move.
    fn states(&self) -> Vec<Plain> {
        let mut states = Vec::new();
        loop {
            let (memory, is_done) = self.killed_after(states.len());
            states.push(memory);
            if is_done {
                return states;
            }
        }
    }
}

/// So many keys that want these places.
fn keys_of(wanted: [u32; 2], lines: u32, count: usize) -> Vec<u64> {
    let keys = (1..).map(v4).filter(|key| places(*key, lines) == wanted);
    keys.take(count).collect()
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

/// An eighth of a million bans, and of the slots that their map then has.
#[test]
fn after_a_comparison_a_crowded_lane_lacks_one_ban_in_a_thousand() {
    let bans = 125_000;
    let lines = map_lines(1 << 17) - 1;
    let mut writer = Writer::new(Plain::new(lines), lines);
    let keys = || (0..bans).map(|n| v4(0x0a00_0000 + n));
    let compare = |writer: &mut Writer<Plain>| {
        writer.begin();
        keys().for_each(|key| writer.meet(key, 9, true));
        writer.settle(0, 0, &[]);
    };
    let lacking = keys().filter(|key| !writer.put(*key, 9)).count();
    assert!(lacking < bans as usize / 16, "{lacking}");
    compare(&mut writer);
    let lacking = keys().filter(|key| writer.get(*key).is_none()).count();
    assert!(lacking < bans as usize / 1000, "{lacking}");
    assert_eq!(writer.load().0, bans as usize - lacking);
    // Those that moved, too, are removed whole.
    keys().for_each(|key| writer.remove(key));
    assert_eq!(writer.load().0, 0);
    assert!(writer.slots().all(|slot| writer.entry(slot).key == 0));
}

#[test]
fn an_entry_that_moves_keeps_what_it_has_met() {
    let lines = 3;
    let mut writer = Writer::new(Plain::new(lines), lines);
    let of = |wanted, count| keys_of(wanted, lines, count);
    let (moving, staying, late) = (of([1, 3], 1)[0], of([1, 1], 3), of([1, 2], 1)[0]);
    for key in staying.iter().chain(&of([2, 2], 4)).chain([&moving]) {
        assert!(writer.put(*key, 9 | LOCAL));
    }
    let met = with(ARMED, 60).unwrap();
    let rest = 2 * writer.slot(moving).unwrap() + 1;
    let end = writer.words.load(rest);
    writer.words.store(rest, u64::from(met) << 32 | end);
    writer.begin();
    writer.meet(late, 7, true);
    assert_eq!(writer.get(late), None);
    writer.settle(0, 0, &[]);
    let entry = writer.get(moving).unwrap();
    assert_eq!((entry.end, entry.met), (9 | LOCAL, met));
    assert_eq!(writer.get(late).unwrap().end, 7);
    assert_eq!(writer.load(), (9, 12));
}

/// Whichever store was its last: else a ban would be found where nobody lifts it.
#[test]
fn after_an_owner_that_was_killed_each_ban_is_in_one_place() {
    let crowd = Move::new();
    let states = crowd.states();
    assert!(states.len() > 8, "{}", states.len());
    for (stores, memory) in states.iter().enumerate() {
        let mut next = Writer::new(Killed(memory, Cell::new(usize::MAX)), Move::LINES);
        for key in &crowd.first {
            let end = next.get(*key).map(|entry| entry.end);
            assert_eq!(end, Some(Move::END), "{stores}");
        }
        let late = usize::from(next.get(crowd.late).is_some());
        assert_eq!(next.load().0, crowd.first.len() + late, "{stores}");
        for key in crowd.first.iter().chain([&crowd.late]) {
            next.remove(*key);
            assert_eq!(next.get(*key), None, "{stores}");
        }
        assert_eq!(next.load().0, 0, "{stores}");
    }
}

/// No grace is for those.
#[test]
fn another_process_finds_an_entry_whole_while_it_moves() {
    let crowd = Move::new();
    let states = crowd.states();
    for (number, then) in states.iter().enumerate() {
        for next in &states[number..] {
            for loads in 0..40 {
                let words = Turning {
                    then: then.0.borrow().clone(),
                    next: next.0.borrow().clone(),
                    loads: Cell::new(loads),
                };
                let lines = Move::LINES;
                let found = Reader { words, lines }.get(crowd.moving);
                assert_eq!(found.map(|entry| entry.end), Some(Move::END), "{number}, {loads}");
            }
        }
    }
}

/// As on a kernel that does not tell a grace.
#[test]
fn without_a_grace_no_entry_moves() {
    struct Blind<'a>(&'a Plain, Cell<bool>);

    impl Words for Blind<'_> {
        fn load(&self, at: usize) -> u64 {
            self.0.load(at)
        }

        fn store(&self, at: usize, value: u64) {
            self.0.store(at, value);
        }

        fn store_lower(&self, at: usize, value: u32) {
            self.0.store_lower(at, value);
        }

        fn wait_for_readers(&self) -> bool {
            self.1.get()
        }
    }

    let (crowd, memory) = (Move::new(), Plain::new(Move::LINES));
    for cleared in [None, crowd.first.first()] {
        let mut writer = Writer::new(Blind(&memory, Cell::new(true)), Move::LINES);
        for key in &crowd.first {
            assert!(writer.put(*key, Move::END));
        }
        writer.words.1.set(false);
        cleared.into_iter().for_each(|key| writer.remove(*key));
        let before = writer.load();
        let place = writer.slot(crowd.moving);
        writer.begin();
        writer.meet(crowd.late, 7, true);
        writer.settle(0, 0, &[]);
        assert_eq!((writer.load(), writer.get(crowd.late)), (before, None));
        assert_eq!(writer.slot(crowd.moving), place);
    }
}

/// What an earlier comparison met, or what has gone since, gets no place.
#[test]
fn a_ban_that_is_gone_gets_no_place() {
    let lines = 3;
    let of = |wanted, count| keys_of(wanted, lines, count);
    let late = of([1, 2], 1)[0];
    let gone: [fn(&mut Writer<Plain>, u64); 4] = [
        |writer, _| writer.begin(),
        Writer::remove,
        |writer, key| writer.shorten(key, 1),
        |writer, key| writer.allow(1, |touched| touched == key),
    ];
    for go in gone {
        let mut writer = Writer::new(Plain::new(lines), lines);
        for key in of([1, 3], 4).iter().chain(&of([2, 2], 4)) {
            assert!(writer.put(*key, 9));
        }
        writer.begin();
        writer.meet(late, 7, true);
        go(&mut writer, late);
        writer.settle(0, 0, &[]);
        assert_eq!(writer.get(late), None);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u64, u32),
    Remove(u64),
    Rest,
    Sweep(u64),
    /// A comparison with maps that have all that was ever put and not removed since, also what found no place.
    Walk,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || (0..60_u32).prop_map(v4);
    prop_oneof![
        6 => (key(), 1..200_u32).prop_map(|(key, end)| Step::Put(key, end)),
        4 => key().prop_map(Step::Remove),
        1 => Just(Step::Rest),
        1 => (0..200_u64).prop_map(|end| Step::Sweep(end << 6)),
        1 => Just(Step::Walk),
    ]
}

proptest! {
    /// A lane that is nearly full, so that all ways are taken.
    #[test]
    fn a_lane_has_what_was_put_there_and_nothing_else(steps in prop::collection::vec(step(), 1..300)) {
        let lines = 12;
        let mut writer = Writer::new(Plain::new(lines), lines);
        let (mut model, mut map) = (HashMap::new(), HashMap::new());
        for step in steps {
            match step {
                Step::Put(key, end) => {
                    map.insert(key, end);
                    match writer.put(key, end) {
                        true => {
                            model.insert(key, end);
                        }
                        false => prop_assert!(!model.contains_key(&key)),
                    }
                }
                Step::Remove(key) => {
                    writer.remove(key);
                    model.remove(&key);
                    map.remove(&key);
                }
                Step::Rest => writer.rest(),
                Step::Sweep(jiffies) => {
                    writer.sweep(jiffies, |_| true);
                    model.retain(|_, end| !is_over(*end, jiffies));
                }
                Step::Walk => {
                    writer.begin();
                    map.iter().for_each(|(key, end)| writer.meet(*key, *end, true));
                    writer.settle(0, 0, &[]);
                    // Whatever has a place keeps it, and others may have got one.
                    prop_assert!(model.keys().all(|key| writer.get(*key).is_some()));
                    model.extend(map.iter().filter(|(key, _)| writer.get(**key).is_some()));
                }
            }
            prop_assert_eq!(writer.load().0, model.len());
            for key in (0..60).map(v4) {
                prop_assert_eq!(writer.get(key).map(|entry| entry.end), model.get(&key).copied());
            }
        }
    }
}
