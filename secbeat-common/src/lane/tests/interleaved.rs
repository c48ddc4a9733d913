//! Every sequence of a few steps of the owner and of others, against every run of the program beside it, on the weakest memory.
//!
//! The owner's own code runs, and what it stores is written down in order. A run of the program is a set of loads, each of which
//! takes place at an instant of its own within the run: so no order of loads is taken for granted, as on ARM64 none may be without a
//! barrier. Only what the kernel promises holds: no run is under way both before and after a grace. A verdict is right if it was the
//! due one at some instant of the run.

mod runs;

use std::{cell::RefCell, rc::Rc};

use self::runs::check;
use super::{super::*, keys_of};

/// Where the settings' generation is beside the lane's words, and what the maps and the allowlist say of each source. (That they are
/// read at one instant is the program's affair without the lane.)
const SETTING: usize = 1000;
const MAPS: usize = 1001;

/// The ends of bans in force and of others, which the map's word says too, and the jiffies now.
const ENDS: [u32; 3] = [0, 9, 1];
const IN_FORCE: u64 = 1;
const OVER: u64 = 2;
const NOW: u64 = 64;

/// What happened, in order.
#[derive(Debug, Default)]
struct History {
    now: Vec<u64>,
    stores: Vec<(usize, u64)>,
    /// How many stores there had been at each grace.
    graces: Vec<usize>,
    /// From which store on a source is due to be dropped, to pass, or (`None`) either.
    due: Vec<(usize, usize, Option<bool>)>,
}

#[derive(Clone, Debug)]
struct Told(Rc<RefCell<History>>);

impl Told {
    fn set(&self, at: usize, value: u64) {
        let mut history = self.0.borrow_mut();
        history.now[at] = value;
        history.stores.push((at, value));
    }

    fn due(&self, source: usize, dropped: Option<bool>) {
        let mut history = self.0.borrow_mut();
        let at = history.stores.len();
        history.due.push((at, source, dropped));
    }

    /// What is due of `source` is about to become this.
    fn changes(&self, source: usize, dropped: bool) {
        let history = self.0.borrow();
        let last = history
            .due
            .iter()
            .rfind(|(_, of, _)| *of == source)
            .map(|(.., due)| *due);
        drop(history);
        if last.flatten() != Some(dropped) {
            self.due(source, None);
        }
    }
}

impl Words for Told {
    fn load(&self, at: usize) -> u64 {
        self.0.borrow().now[at]
    }

    fn store(&self, at: usize, value: u64) {
        self.set(at, value);
    }

    fn store_lower(&self, at: usize, value: u32) {
        self.set(at, self.load(at) >> 32 << 32 | u64::from(value));
    }

    fn wait_for_readers(&self) -> bool {
        let mut history = self.0.borrow_mut();
        let at = history.stores.len();
        history.graces.push(at);
        true
    }
}

/// A few sources that want the same places.
struct Host {
    told: Told,
    writer: Writer<Told>,
    keys: Vec<u64>,
    generation: u64,
    /// Of each source, whether its ban in the map is in force or over.
    bans: Vec<u64>,
    allowed: Vec<bool>,
}

/// Lines, how many of the sources are banned from the start, and how many sources there are.
#[derive(Clone, Copy, Debug)]
struct Crowd {
    lines: u32,
    banned: usize,
    sources: usize,
}

/// What may happen to a source.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Ban(usize),
    /// Its ban ends now.
    Shorten(usize),
    Unban(usize),
    /// By another process.
    UnbanElsewhere(usize),
    Allow(usize),
    Disallow(usize),
    Rest,
    Walk,
}

impl Host {
    fn new(crowd: Crowd) -> Self {
        let told = Told(Rc::default());
        told.0.borrow_mut().now = vec![0; MAPS + 10];
        let of = |wanted, count| keys_of(wanted, crowd.lines, count);
        let keys = match crowd.lines {
            // The last wants places that others have, of whom the one before it can move.
            3 => [
                of([2, 2], 4),
                of([1, 1], 3),
                of([1, 3], 1),
                of([1, 2], crowd.sources - 8),
            ]
            .concat(),
            // All have the same first line.
            lines => of([1, lines], crowd.sources),
        };
        let mut host = Self {
            writer: Writer::new(told.clone(), crowd.lines),
            keys,
            told,
            generation: 0,
            bans: vec![0; crowd.sources],
            allowed: vec![false; crowd.sources],
        };
        host.happen(Happening::Disallow(0));
        (0..crowd.banned).for_each(|source| host.happen(Happening::Ban(source)));
        // Only what happens from here on is of interest.
        let mut history = host.told.0.borrow_mut();
        let start = history.now.clone();
        *history = History {
            now: start,
            ..History::default()
        };
        drop(history);
        host
    }

    fn is_dropped(&self, source: usize) -> bool {
        self.bans[source] == IN_FORCE && !self.allowed[source]
    }

    /// Changes the map or the allowlist by `change`, then does the rest.
    fn change(&mut self, source: usize, change: impl FnOnce(&mut Self), rest: impl FnOnce(&mut Self)) {
        let told = self.told.clone();
        change(self);
        let dropped = self.is_dropped(source);
        told.changes(source, dropped);
        told.set(MAPS + source, u64::from(dropped));
        rest(self);
        told.due(source, Some(dropped));
    }

    /// Does what the edge does, in its order.
    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Ban(source) | Happening::Shorten(source) => {
                let ban = match what {
                    Happening::Ban(_) => IN_FORCE,
                    _ => OVER,
                };
                let (key, end) = (self.keys[source], ENDS[ban as usize]);
                self.told
                    .changes(source, ban == IN_FORCE && !self.allowed[source]);
                match self.allowed[source] {
                    true => self.writer.remove(key),
                    false => self.writer.shorten(key, end),
                }
                let change = |host: &mut Self| host.bans[source] = ban;
                self.change(source, change, |host| {
                    if !host.allowed[source] {
                        host.writer.put(key, end);
                    }
                });
            }
            Happening::Unban(source) => {
                self.told.changes(source, false);
                self.writer.remove(self.keys[source]);
                self.change(source, |host| host.bans[source] = 0, |_| {});
            }
            Happening::UnbanElsewhere(source) => self.change(
                source,
                |host| host.bans[source] = 0,
                |host| host.told.set(2 * EPOCH, host.told.load(2 * EPOCH) + 1),
            ),
            Happening::Allow(source) | Happening::Disallow(source) => {
                let allowed = matches!(what, Happening::Allow(_));
                self.told
                    .changes(source, self.bans[source] == IN_FORCE && !allowed);
                self.generation += 1;
                self.told.set(SETTING, self.generation);
                self.change(source, |host| host.allowed[source] = allowed, |_| {});
                let touched: Vec<_> = (0..self.keys.len())
                    .filter(|&source| self.allowed[source])
                    .map(|source| self.keys[source])
                    .collect();
                self.writer
                    .allow(self.generation as u32, |key| touched.contains(&key));
            }
            Happening::Rest => self.writer.rest(),
            Happening::Walk => {
                let epoch = self.writer.epoch();
                self.writer.begin();
                let mut lost = Vec::new();
                for source in 0..self.keys.len() {
                    match self.bans[source] {
                        0 => lost.push(self.keys[source]),
                        ban => {
                            let is_untouched = !self.allowed[source];
                            self.writer
                                .meet(self.keys[source], ENDS[ban as usize], is_untouched);
                        }
                    }
                }
                self.writer.settle(NOW, epoch, &lost);
            }
        }
    }
}

fn check_all(crowd: Crowd, happenings: &[Happening]) -> usize {
    check_host(Host::new(crowd), crowd, happenings).0
}

/// Returns how many sources were compared between two graces, and what became of the lane.
fn check_host(mut host: Host, crowd: Crowd, happenings: &[Happening]) -> (usize, Writer<Told>) {
    let start = host.told.0.borrow().now.clone();
    for source in 0..crowd.sources {
        host.told.due(source, Some(host.is_dropped(source)));
    }
    for happening in happenings {
        host.happen(*happening);
    }
    let history = host.told.0.borrow();
    let mut graces = vec![0];
    graces.extend(&history.graces);
    graces.push(history.stores.len());
    let mut runs = 0;
    for between in graces.windows(2) {
        for source in (0..crowd.sources).zip(host.keys.iter().copied()) {
            check(&history, &start, crowd, source, between[0], between[1]);
            runs += 1;
        }
    }
    drop(history);
    (runs, host.writer)
}

/// Every sequence of so many happenings to the last two sources.
fn sequences(crowd: Crowd, length: u32) -> usize {
    use Happening::{Allow, Ban, Disallow, Rest, Shorten, Unban, UnbanElsewhere, Walk};
    let (one, two) = (crowd.sources - 2, crowd.sources - 1);
    let all = [
        Ban(one),
        Ban(two),
        Shorten(one),
        Unban(one),
        Unban(two),
        UnbanElsewhere(one),
        Allow(one),
        Disallow(one),
        Rest,
        Walk,
    ];
    let mut checked = 0;
    for number in 0..all.len().pow(length) {
        let happenings: Vec<_> = (0..length)
            .map(|place| all[number / all.len().pow(place) % all.len()])
            .collect();
        checked += check_all(crowd, &happenings);
    }
    checked
}

#[test]
fn no_order_of_loads_and_stores_gives_a_wrong_verdict() {
    let crowds = [
        // One place is left for two sources.
        Crowd {
            lines: 1,
            banned: 3,
            sources: 5,
        },
        // One source has the place that the other wants.
        Crowd {
            lines: 1,
            banned: 4,
            sources: 5,
        },
        // The first line is full, or becomes full.
        Crowd {
            lines: 2,
            banned: 4,
            sources: 6,
        },
        Crowd {
            lines: 2,
            banned: 3,
            sources: 5,
        },
        // Those that change are banned.
        Crowd {
            lines: 2,
            banned: 6,
            sources: 6,
        },
        CROWDED,
    ];
    let checked: usize = crowds.map(|crowd| sequences(crowd, 3)).iter().sum();
    assert!(checked > 10_000, "{checked}");
}

/// One source has no place until another moves.
const CROWDED: Crowd = Crowd {
    lines: 3,
    banned: 9,
    sources: 9,
};

/// The lane alone enforces the ban of a source that moves.
#[test]
fn a_ban_that_its_map_lost_is_enforced_while_its_entry_moves() {
    let host = Host::new(CROWDED);
    let (moving, late) = (host.keys[7], host.keys[8]);
    let first = host.writer.slot(moving);
    assert_eq!(host.writer.slot(late), None);
    host.told.0.borrow_mut().now[MAPS + 7] = 0;
    let (_, writer) = check_host(host, CROWDED, &[Happening::Walk]);
    assert!(writer.slot(late).is_some() && writer.slot(moving) != first);
}

/// Its place had the entry of one that is banned for longer.
#[test]
fn a_ban_that_has_ended_does_not_get_the_end_of_the_entry_that_moved() {
    let host = Host::new(CROWDED);
    let (moving, late) = (host.keys[7], host.keys[8]);
    let place = host.writer.slot(moving);
    let (_, writer) = check_host(host, CROWDED, &[Happening::Shorten(8), Happening::Walk]);
    assert!(place.is_some() && writer.slot(late) == place);
}

/// The comparison itself finds what is wrong: a place that is used again at once.
#[test]
#[should_panic(expected = "dropped")]
fn a_place_that_is_used_again_at_once_would_give_wrong_verdicts() {
    let crowd = Crowd {
        lines: 1,
        banned: 4,
        sources: 5,
    };
    let mut host = Host::new(crowd);
    let start = host.told.0.borrow().now.clone();
    host.told.due(3, Some(true));
    host.happen(Happening::UnbanElsewhere(3));
    // In force again, although the unbanned source is still there.
    host.told.set(2 * FILLED, host.told.load(2 * EPOCH));
    let history = host.told.0.borrow();
    check(
        &history,
        &start,
        crowd,
        (3, host.keys[3]),
        0,
        history.stores.len(),
    );
}
