//! `cargo xtask bench load`: how long a million bans take into the kernel and to be compared with the desired ones, how much
//! kernel memory they cost, and how many other sources pass the prefilter, through the edge's own code. `--bans N` sets their number,
//! `--slots N` the slots of the map, `--json` prints JSON. Exits 1 when a limit is exceeded.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark: a failure here is the failure to report"
)]

use std::{
    env, fs,
    net::Ipv4Addr,
    os::fd::AsRawFd,
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use aya::maps::{Array, Map, MapData};
use secbeat_common::{
    maps::{self, Sieved},
    prefix::Prefix,
    wire::{Action, BlockCommand, Labels, Layer, Reason, Scope},
};
use secbeat_edge::kernel::{BanMaps, JiffyClock, boot_now};
use secbeat_edge_core::{
    BAN_MAPS, BucketId, BucketUpdate, Effect, Enforcer, EnforcerConfig, Entry, Event, Fill, KernelBan,
    Moment, ObservedBan, Stamp, Step, WriteId, WriteOutcome,
};
use secbeat_tests::{bench::cpus::settle_down, lab::pinned::PinnedFilter};
use serde_json::{Value, json};

const BANS: u32 = 1_000_000;
/// For a million bans; another number gets its share.
const LIMIT: Duration = Duration::from_millis(400);
/// The same of all maps together.
const LIMIT_BYTES: u64 = 150_000_000;
/// Sources without a ban that are looked up all the same, of a hundred.
const LIMIT_PASSING: f64 = 1.0;
/// Sources without a ban that are tried.
const INNOCENT: u32 = 1_000_000;
/// The address of the first banned source; nothing is sent from there or to there.
const FIRST: u32 = 0x1000_0000;
/// Orders that the edge takes at once, and writes together.
const AT_ONCE: usize = 1024;
const BAN_TIME_MS: i64 = 3_600_000;
const STAMP: u32 = 1;

/// What is measured.
struct Figures {
    bans: u32,
    slots: u32,
    taken: Duration,
    written: Duration,
    rewritten: Duration,
    compared: Duration,
    longest_step: Duration,
    in_kernel: usize,
    map_bytes: u64,
    all_bytes: u64,
    /// Of a hundred sources without a ban.
    passing: f64,
}

/// What is demanded, with what came of it.
struct Demand {
    figure: &'static str,
    value: f64,
    at_most: f64,
}

fn main() -> ExitCode {
    let Some((bans, slots, as_json)) = arguments() else {
        eprintln!("usage: bench-load [--bans N] [--slots N] [--json]");
        return ExitCode::from(2);
    };
    settle_down();
    let figures = measure(bans, slots);
    if as_json {
        println!("{:#}", figures.json());
    } else {
        println!("{}", figures.table());
    }
    if figures.passes() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn arguments() -> Option<(u32, u32, bool)> {
    let (mut bans, mut slots, mut as_json) = (BANS, None, false);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => as_json = true,
            "--bans" => bans = arguments.next()?.parse().ok().filter(|bans| *bans > 0)?,
            "--slots" => slots = Some(arguments.next()?.parse().ok()?),
            _ => return None,
        }
    }
    // The fewest that the edge's maps grow to.
    let slots = slots.unwrap_or(bans.checked_next_power_of_two()?);
    (slots > 0).then_some((bans, slots, as_json))
}

fn measure(count: u32, slots: u32) -> Figures {
    let pinned = PinnedFilter::load(slots);
    let (mut bans, clock) = (pinned.bans(), pinned.clock());
    let mut edge = Edge::new();
    let commands: Vec<_> = (0..count).map(command).collect();
    let events: Vec<_> = commands
        .chunks(AT_ONCE)
        .map(|some| Event::Bucket(some.iter().map(put).collect()))
        .collect();
    let mut writes = Vec::new();
    let begun = Instant::now();
    for event in events {
        writes.extend(edge.handle(event).into_iter().filter_map(|effect| match effect {
            Effect::Write(id, entries) => Some((id, entries)),
            _ => None,
        }));
    }
    let taken = begun.elapsed();
    let written = edge.write(&writes, &mut bans, &clock);
    let again = |entry: &Entry| match *entry {
        Entry::Add(target, ban) => Entry::Put(target, ban),
        entry => entry,
    };
    let again: Vec<(WriteId, Vec<Entry>)> = writes
        .iter()
        .map(|(id, entries)| (*id, entries.iter().map(again).collect()))
        .collect();
    let rewritten = edge.write(&again, &mut bans, &clock);
    let (compared, longest_step, in_kernel) = edge.compare(&bans);
    Figures {
        bans: count,
        slots,
        taken,
        written,
        rewritten,
        compared,
        longest_step,
        in_kernel,
        map_bytes: memlock(&pinned, maps::BANNED_V4),
        all_bytes: all_bytes(&pinned, slots),
        passing: passing(&pinned, count),
    }
}

fn put(command: &BlockCommand) -> BucketUpdate {
    BucketUpdate::Put {
        command: Box::new(command.clone()),
        revision: 1,
        received: SystemTime::UNIX_EPOCH,
    }
}

fn command(n: u32) -> BlockCommand {
    BlockCommand {
        id: uuid::Uuid::from_u128(u128::from(n) + 1),
        action: Action::Block,
        list: None,
        target: Prefix::single(Ipv4Addr::from(FIRST + n).into()),
        reason: Reason::ErrorFlood,
        note: "50 errors in 60s".to_owned(),
        evidence: None,
        scope: Scope::Fleet,
        strikes: 0,
        issued_at_ms: 0,
        expires_at_ms: BAN_TIME_MS,
        issuer: "bench".to_owned(),
        layer: Layer::Kernel,
        epoch: 0,
    }
}

/// What the edge decides by, at one moment.
struct Edge {
    enforcer: Enforcer,
    now: Moment,
}

impl Edge {
    /// An edge that has read an empty bucket, and looked into a kernel that holds nothing.
    fn new() -> Self {
        let config = EnforcerConfig {
            labels: Labels::new(),
            edge_id: "bench".to_owned(),
            max_ban: Duration::from_secs(24 * 3600),
            has_kernel: true,
            ..EnforcerConfig::default()
        };
        let mut edge = Self {
            enforcer: Enforcer::new(config),
            now: Moment {
                wall_ms: 0,
                boot: boot_now(),
            },
        };
        let snapshot = vec![
            BucketUpdate::SnapshotBegin(BucketId(1)),
            BucketUpdate::SnapshotEnd,
        ];
        edge.handle(Event::Bucket(snapshot));
        edge.handle(Event::KernelEnd([Fill::default(); BAN_MAPS.len()]));
        edge.handle(Event::Repair);
        edge
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.enforcer.handle(event, self.now, &mut effects);
        effects
    }

    /// Writes as the enforcer's shell does.
    fn write(
        &mut self,
        writes: &[(WriteId, Vec<Entry>)],
        bans: &mut BanMaps,
        clock: &JiffyClock,
    ) -> Duration {
        let begun = Instant::now();
        for (id, entries) in writes {
            let (mut new, mut known) = (Vec::new(), Vec::new());
            for entry in entries {
                match entry {
                    Entry::Add(target, ban) => new.push((*target, stamped(*ban))),
                    Entry::Put(target, ban) => known.push((*target, stamped(*ban))),
                    Entry::Remove(_) => panic!("nothing is removed here"),
                }
            }
            let outcomes = [bans.put_all_new(&new, clock), bans.put_all(&known, clock)];
            for outcome in outcomes {
                outcome.expect("a kernel that takes every ban");
            }
            self.handle(Event::Written(*id, WriteOutcome::default()));
        }
        begun.elapsed()
    }

    /// One reconciliation that finds what is evicted, its longest step, and how many bans the kernel held.
    fn compare(&mut self, bans: &BanMaps) -> (Duration, Duration, usize) {
        let begun = Instant::now();
        let begin = self.handle(Event::ReconcileDue);
        assert_eq!(begin, [Effect::Next(Step::BeginRead)]);
        let (mut walk, mut longest, mut in_kernel) = (bans.begin(), Duration::ZERO, 0);
        loop {
            let step = Instant::now();
            let Some(found) = bans.next(&mut walk).expect("reading the maps") else {
                break;
            };
            in_kernel += found.len();
            let observed = found.into_iter().map(|(target, ban)| ObservedBan {
                target,
                ban,
                stamp: if ban.unallowed_in == STAMP {
                    Stamp::Current
                } else {
                    Stamp::Outdated
                },
            });
            let effects = self.handle(Event::KernelBans(observed.collect()));
            assert_eq!(effects, [Effect::Next(Step::ReadOn)], "a ban differs");
            longest = longest.max(step.elapsed());
        }
        let step = Instant::now();
        self.handle(Event::KernelEnd(bans.fill(&walk)));
        longest = longest.max(step.elapsed());
        (begun.elapsed(), longest, in_kernel)
    }
}

/// As the bans of a source that no allowlisted network touches.
fn stamped(ban: KernelBan) -> KernelBan {
    KernelBan {
        unallowed_in: STAMP,
        ..ban
    }
}

/// Bytes of a map, as the kernel accounts them.
fn memlock(pinned: &PinnedFilter, name: &str) -> u64 {
    let map = MapData::from_pin(pinned.folder().join(name)).expect("opening a map");
    let number = std::os::fd::AsFd::as_fd(map.fd()).as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).expect("reading fdinfo");
    info.lines()
        .find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok())
        .expect("a kernel that says how much memory a map takes")
}

/// Bytes of all maps of an edge that holds no bans of IPv6 sources: here, their map has as many slots as that of IPv4. The result is
/// slightly high: a new map has fewer slots than buckets.
fn all_bytes(pinned: &PinnedFilter, slots: u32) -> u64 {
    let bytes = |name: &&str| match memlock(pinned, name) {
        bytes if **name == *maps::BANNED_V6 => {
            bytes * u64::from(maps::FIRST_BAN_SLOTS.next_power_of_two()) / u64::from(slots)
        }
        bytes => bytes,
    };
    maps::ALL.iter().map(bytes).sum()
}

/// Sources without a ban, of a hundred, that the prefilter lets the program look up.
fn passing(pinned: &PinnedFilter, bans: u32) -> f64 {
    let map = MapData::from_pin(pinned.folder().join(maps::SIEVE)).expect("opening the prefilter");
    let map: Array<MapData, u64> = Map::Array(map).try_into().expect("an array of words");
    let words: Vec<u64> = map.iter().map(|word| word.expect("a word")).collect();
    let shift = maps::sieve_shift(u32::try_from(words.len()).expect("a number of words"));
    let is_passing = |address: &u32| {
        let [a, b, c, d] = address.to_be_bytes();
        let Sieved { word, bits } = Sieved::of(u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]), shift);
        words[word as usize] & bits == bits
    };
    // An odd factor: all products differ.
    let spread = (0..INNOCENT).map(|number| number.wrapping_mul(0x9e37_79b1));
    let innocent: Vec<_> = spread
        .filter(|address| !(FIRST..FIRST + bans).contains(address))
        .collect();
    let passing = innocent.iter().copied().filter(|address| is_passing(address));
    100.0 * passing.count() as f64 / innocent.len() as f64
}

impl Demand {
    fn is_met(&self) -> bool {
        self.value <= self.at_most
    }

    fn line(&self) -> String {
        let verdict = if self.is_met() { "PASS" } else { "FAIL" };
        let Self {
            figure,
            value,
            at_most,
            ..
        } = self;
        format!("{verdict}: {figure}: {value:.2}, at most {at_most:.2}")
    }

    fn json(&self) -> Value {
        json!({ "figure": self.figure, "value": self.value, "at_most": self.at_most, "pass": self.is_met() })
    }
}

impl Figures {
    fn demands(&self) -> [Demand; 3] {
        let share = f64::from(self.bans) / f64::from(BANS);
        [
            Demand {
                figure: "bans into the kernel, s",
                value: self.written.as_secs_f64(),
                at_most: LIMIT.as_secs_f64() * share,
            },
            Demand {
                figure: "kernel memory of all maps, MB",
                value: self.all_bytes as f64 / 1e6,
                at_most: LIMIT_BYTES as f64 / 1e6 * share,
            },
            Demand {
                figure: "innocent sources that pass the prefilter, %",
                value: self.passing,
                at_most: LIMIT_PASSING,
            },
        ]
    }

    fn passes(&self) -> bool {
        self.demands().iter().all(Demand::is_met)
    }

    fn bytes_per_slot(&self) -> f64 {
        self.map_bytes as f64 / f64::from(self.slots)
    }

    fn bytes_per_ban(&self) -> f64 {
        self.map_bytes as f64 / f64::from(self.bans)
    }

    fn table(&self) -> String {
        let seconds = |duration: Duration| format!("{:>8.3} s", duration.as_secs_f64());
        let figures = [
            format!("{} IPv4 bans, {} slots", self.bans, self.slots),
            String::new(),
            format!("commands taken         {}", seconds(self.taken)),
            format!("written to the kernel  {}", seconds(self.written)),
            format!("written once more      {}", seconds(self.rewritten)),
            format!(
                "compared               {}   longest step {:.1} ms, {} found in the kernel",
                seconds(self.compared),
                self.longest_step.as_secs_f64() * 1000.0,
                self.in_kernel
            ),
            format!(
                "kernel memory          {:>8.1} MB  {:.0} bytes a slot, {:.0} bytes a ban",
                self.map_bytes as f64 / 1e6,
                self.bytes_per_slot(),
                self.bytes_per_ban()
            ),
            String::new(),
        ];
        let demands = self.demands().map(|demand| demand.line());
        figures.into_iter().chain(demands).collect::<Vec<_>>().join("\n")
    }

    fn json(&self) -> Value {
        json!({
            "bans": self.bans,
            "slots": self.slots,
            "taken_s": self.taken.as_secs_f64(),
            "written_s": self.written.as_secs_f64(),
            "rewritten_s": self.rewritten.as_secs_f64(),
            "compared_s": self.compared.as_secs_f64(),
            "longest_step_ms": self.longest_step.as_secs_f64() * 1000.0,
            "found_in_kernel": self.in_kernel,
            "map_bytes": self.map_bytes,
            "bytes_per_slot": self.bytes_per_slot(),
            "bytes_per_ban": self.bytes_per_ban(),
            "all_maps_bytes": self.all_bytes,
            "innocent_passing_percent": self.passing,
            "requirements": self.demands().iter().map(Demand::json).collect::<Vec<_>>(),
            "pass": self.passes(),
        })
    }
}
