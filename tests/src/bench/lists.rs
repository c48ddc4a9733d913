//! `bench-lists`: what static lists cost a packet, beside a trie of the kernel's over the same prefixes, and how long a list takes
//! from the file's bytes into the kernel.
//!
//! Sources are drawn by a program in front, which hands its packet over by a tail call; what that costs is measured by itself.

use std::{
    fs,
    hint::black_box,
    net::Ipv4Addr,
    os::fd::{AsFd as _, OwnedFd},
    time::Instant,
};

use aya::maps::MapData;
use jiff::tz::TimeZone;
use secbeat_common::{
    lists::{Described, Entry, List, NEVER, build, verdict},
    maps,
    prefix::Prefix,
};
use secbeat_edge::kernel::ListTables;
use secbeat_lists::{Purpose, Request};

use super::{
    demand::{Demand, Limit},
    map::{LpmTrie, ProgramArray},
    outcome::{Outcome, Row},
    parts::{Options, Part},
    programs::{bare, drawn, empty},
    sources::{BANNED_V4, frame_of},
    syscall,
};
use crate::lab::pinned::PinnedFilter;

/// The parts.
pub const PARTS: &[Part] = &[
    Part {
        name: "packets",
        measure: packets,
    },
    Part {
        name: "load",
        measure: load,
    },
];

const MILLION: u32 = 1_000_000;
/// Packets of a run, and runs of a round, of which the shorter half counts.
const PACKETS: u32 = 1_000_000;
const RUNS: usize = 6;
const NS: &str = "ns";
const MS: &str = "ms";

/// A program behind one that draws its sources.
struct Drawn {
    program: OwnedFd,
    _array: ProgramArray,
    /// What the program needs to live.
    _kept: Box<dyn std::any::Any>,
}

impl Drawn {
    fn new(program: &OwnedFd, first: u32, count: u32, kept: Box<dyn std::any::Any>) -> Self {
        let array = ProgramArray::of(program.as_fd()).expect("making an array of programs");
        Self {
            program: drawn::in_front_of(array.as_fd(), first, count)
                .expect("loading a program that draws sources"),
            _array: array,
            _kept: kept,
        }
    }

    fn ours(pinned: PinnedFilter, first: u32, count: u32) -> Self {
        let fd = pinned
            .filter
            .program(maps::PROGRAM)
            .fd()
            .expect("a loaded program");
        let program = fd.as_fd().try_clone_to_owned().expect("sharing a descriptor");
        Self::new(&program, first, count, Box::new(pinned))
    }

    fn sample(&self, row: &mut Row) {
        let frame = frame_of(BANNED_V4);
        let run = |_| syscall::test_run(self.program.as_fd(), &frame, PACKETS).expect("running a program");
        let mut runs: Vec<u32> = (0..RUNS).map(run).collect();
        runs.sort_unstable();
        let shorter = &runs[..RUNS / 2];
        let sum: f64 = shorter.iter().copied().map(f64::from).sum();
        row.rounds.push(sum / shorter.len() as f64);
    }
}

fn list(slot: usize, verdict: u32, nets: impl Iterator<Item = Prefix>) -> List {
    let entries: Vec<_> = nets.map(|net| Entry { net, ends: NEVER }).collect();
    let described = Described {
        name: format!("list-{slot}"),
        verdict,
        prefixes: entries.len() as u32,
        ..Described::default()
    };
    List {
        slot,
        described,
        entries,
    }
}

/// A filter without bans, as an edge leaves it.
fn without_bans() -> PinnedFilter {
    let pinned = PinnedFilter::load(1024);
    pinned
        .bans()
        .use_sieve(&mut pinned.settings())
        .expect("taking the prefilter into use");
    pinned
}

fn with_lists(lists: &[List]) -> PinnedFilter {
    let pinned = without_bans();
    let mut tables = pinned.lists();
    let table = build(lists, 0).expect("building a table");
    let staged = tables.stage(&table.lines).expect("making a table");
    let allowing = staged.allowing().expect("a table");
    tables
        .bring(staged, &allowing)
        .expect("bringing a table into force");
    pinned
}

/// As many different prefixes as that, spread over the address space, of the lengths that lists have.
fn spread(count: u32) -> impl Iterator<Item = Prefix> {
    (0..count).map(|number| {
        // An odd factor: all products differ.
        let address = Ipv4Addr::from_bits(number.wrapping_mul(0x9e37_79b1));
        let len = [32, 32, 32, 32, 24, 24, 28, 22][number as usize % 8];
        Prefix::new(address.into(), len).expect("a length of IPv4")
    })
}

/// Number of addresses from 0.0.0.0 on that sources are drawn from.
pub(super) const HALF: u32 = i32::MAX as u32;

/// Every /21 of them.
pub(super) fn every_21() -> impl Iterator<Item = Prefix> {
    (0..1 << 20)
        .map(|number: u32| Prefix::new(Ipv4Addr::from_bits(number << 11).into(), 21).expect("a length"))
}

/// A filter that bans these, on two lists by turns, so that no two become one.
pub(super) fn banning_every_21() -> PinnedFilter {
    let every_other = |odd: usize| {
        let nets = every_21()
            .enumerate()
            .filter(move |(number, _)| number % 2 == odd);
        list(odd, verdict::BAN, nets.map(|(_, net)| net))
    };
    with_lists(&[every_other(0), every_other(1)])
}

fn packets(options: Options) -> Outcome {
    let trie = LpmTrie::v4(1 << 20).expect("making a trie");
    for net in every_21() {
        trie.insert(&net).expect("filling a trie");
    }
    let contenders = [
        ("empty, sources drawn", {
            Drawn::new(&empty().expect("loading a program"), 0, HALF, Box::new(()))
        }),
        ("no list", Drawn::ours(without_bans(), 0, HALF)),
        (
            "on no list of 100k prefixes",
            Drawn::ours(with_lists(&[list(0, verdict::OBSERVE, spread(100_000))]), 0, HALF),
        ),
        (
            "on no list of 1 M prefixes",
            Drawn::ours(with_lists(&[list(0, verdict::OBSERVE, spread(MILLION))]), 0, HALF),
        ),
        ("list hit, 1 M prefixes", Drawn::ours(banning_every_21(), 0, HALF)),
        ("LPM trie hit, the same", {
            let program = bare::lookup_in_trie(trie.as_fd()).expect("loading a program");
            Drawn::new(&program, 0, HALF, Box::new(trie))
        }),
    ];
    let mut rows = contenders.each_ref().map(|(name, _)| Row::new(*name, NS));
    for round in 0..=options.rounds {
        for (row, (_, contender)) in rows.iter_mut().zip(&contenders) {
            contender.sample(row);
            if round == 0 {
                // The first one warms up.
                row.rounds.clear();
            }
        }
    }
    let demands = {
        let [empty, none, few, many, hit, trie] = &rows;
        vec![
            extra(none, empty, 3.0),
            extra(few, empty, 8.0),
            extra(many, empty, 18.0),
            Demand::ratio(hit, trie, Limit::AtMost(0.1), None),
        ]
    };
    Outcome {
        rows: rows.into(),
        demands,
    }
}

/// What the first takes longer than the second, within each round.
fn extra(row: &Row, less: &Row, most: f64) -> Demand {
    let mut difference = Row::new(format!("{} − {}", row.name, less.name), NS);
    difference.rounds = row
        .rounds
        .iter()
        .zip(&less.rounds)
        .map(|(one, other)| one - other)
        .collect();
    Demand::of(&difference, Limit::AtMost(most), None)
}

fn load(options: Options) -> Outcome {
    let v4: String = spread(MILLION).map(|net| format!("{net}\n")).collect();
    let v6: String = (0..MILLION)
        .map(|number| {
            let upper = u128::from(number.wrapping_mul(0x9e37_79b1)) << 80;
            let net = Prefix::new(
                (0x2a00_u128 << 112 | upper).into_ip(),
                [32, 48, 48, 56, 64, 64, 64, 64][number as usize % 8],
            );
            format!("{}\n", net.expect("a length"))
        })
        .collect();
    let pinned = PinnedFilter::load(1024);
    let mut tables = pinned.lists();
    let mut outcome = Outcome::default();
    for (name, text, most_mb) in [("IPv4", &v4, 12.0), ("IPv6", &v6, 40.0)] {
        let named = |what: &str| format!("1 M {name} prefixes, {what}");
        let mut parsed = Row::new(named("parsed"), MS);
        let mut built = Row::new(named("built"), MS);
        let mut written = Row::new(named("in the kernel"), MS);
        let mut all = Row::new(named("parsed, built and in the kernel"), MS);
        let mut memory = Row::new(named("kernel memory"), "MB");
        for _ in 0..options.rounds {
            let times = take(text, &mut tables);
            for (row, time) in [&mut parsed, &mut built, &mut written].into_iter().zip(times) {
                row.rounds.push(time);
            }
            all.rounds.push(times.iter().sum());
            memory.rounds.push(memlock(&pinned));
        }
        outcome
            .demands
            .push(Demand::of(&all, Limit::AtMost(1500.0), None));
        outcome
            .demands
            .push(Demand::of(&memory, Limit::AtMost(most_mb), None));
        outcome.rows.extend([parsed, built, written, all, memory]);
    }
    outcome
}

/// Milliseconds to parse a list, to build its table, and to bring that into force.
fn take(text: &str, tables: &mut ListTables) -> [f64; 3] {
    let request = Request {
        format: None,
        purpose: Purpose::Bans,
        zone: TimeZone::UTC,
    };
    let mut begun = Instant::now();
    let mut lap = || {
        let ms = begun.elapsed().as_secs_f64() * 1e3;
        begun = Instant::now();
        ms
    };
    let reading = secbeat_lists::read(text.as_bytes(), &request).expect("a list");
    assert_eq!(reading.bad, []);
    let nets = reading.entries.iter().map(|entry| entry.network);
    let list = list(0, verdict::BAN, nets);
    let parsed = lap();
    let table = build(&[list], 0).expect("building a table");
    let built = lap();
    let staged = tables.stage(&table.lines).expect("making a table");
    let allowing = staged.allowing().expect("a table");
    tables
        .bring(staged, &allowing)
        .expect("bringing a table into force");
    let written = lap();
    black_box(table);
    [parsed, built, written]
}

/// Megabytes of the table in force, as the kernel accounts for them.
fn memlock(pinned: &PinnedFilter) -> f64 {
    use std::os::fd::AsRawFd as _;
    let map = MapData::from_pin(pinned.folder().join(maps::LIST_TABLE)).expect("the pinned table");
    let fd = map.fd().as_fd().as_raw_fd();
    let told = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("reading fdinfo");
    let bytes = told.lines().find_map(|line| line.strip_prefix("memlock:"));
    bytes
        .expect("the memory of a map")
        .trim()
        .parse::<f64>()
        .expect("a number")
        / 1e6
}

trait IntoIp {
    fn into_ip(self) -> std::net::IpAddr;
}

impl IntoIp for u128 {
    fn into_ip(self) -> std::net::IpAddr {
        std::net::Ipv6Addr::from_bits(self).into()
    }
}
