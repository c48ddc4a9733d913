//! A million bans, and packets whose sources are drawn at random from them: what a drop costs when no cache helps.
//!
//! Three rows get their frames from the same generator at the same price, which writes a source into each frame: the
//! program with one ban, the program with a million, and the least that a filter over the same million can be.

use std::{
    fs,
    net::Ipv4Addr,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
};

use secbeat_common::{
    maps::{self, Ban},
    verdict::Verdict,
};

use crate::{
    bench::{
        contender::{Contender, FRAMES_DROPPED_BY_XDP, Rows, Sample},
        map::LruHash,
        programs::{bare, generator},
        sources::{BANNED_V4, frame_of},
        subject,
        tally::Reach,
        track::{Run, Track},
    },
    lab::{bpf::Filter, pinned::PinnedFilter},
};

pub(super) const ONE: &str = "secbeat, 1 ban drawn";
pub(super) const MILLION: &str = "secbeat, 1 million drawn";
pub(super) const BARE_MILLION: &str = "bare lookup, 1 million drawn";

const BANS: u32 = 1_000_000;
/// The fewest slots that maps grow to which hold as many: of an edge whose `ban_slots` says so.
const SLOTS: u32 = 1 << 20;
/// The sources follow each other from here. No documentation prefix is that large; no frame leaves the two hosts.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 0);
/// The three maps with that many slots take about 350 MB.
const MEMORY_NEEDED_KB: u64 = 500_000;

/// A program and the generator that draws sources for it.
struct Drawn {
    name: &'static str,
    program: OwnedFd,
    generator: OwnedFd,
    frame: Vec<u8>,
    filter: Option<Rc<Filter>>,
    _map: Option<LruHash>,
    track: Rc<Track>,
}

/// The rows, or the reason why they cannot be measured here.
pub(super) fn all(track: &Rc<Track>) -> Rows {
    let rows = [ONE, MILLION, BARE_MILLION];
    let available = available_kb();
    if available.is_none_or(|kb| kb < MEMORY_NEEDED_KB) {
        let reason = format!("needs {} MB of free memory", MEMORY_NEEDED_KB / 1000);
        return rows.map(|name| (name, Err(reason.clone()))).into();
    }
    let start = |name| {
        let drawn = match name {
            ONE => Drawn::ours(name, track, 1),
            MILLION => Drawn::ours(name, track, BANS),
            _ => Drawn::bare(name, track),
        };
        drawn
            .map(|drawn| Box::new(drawn) as Box<dyn Contender>)
            .map_err(|error| error.to_string())
    };
    rows.map(|name| (name, start(name))).into()
}

impl Drawn {
    fn ours(name: &'static str, track: &Rc<Track>, count: u32) -> std::io::Result<Self> {
        let slots = if count == BANS { SLOTS } else { subject::SLOTS };
        let mut pinned = PinnedFilter::load(slots);
        pinned.filter.load_rest();
        subject::configure(&mut pinned.filter);
        for source in sources(count) {
            pinned.filter.ban(source.into(), subject::lasting_ban());
        }
        subject::fill_lane(&pinned);
        let filter = pinned.into_filter();
        let program = filter
            .program(maps::PROGRAM_FRAGS)
            .fd()
            .expect("a loaded program");
        Ok(Self {
            name,
            program: program.as_fd().try_clone_to_owned()?,
            generator: generator::drawing(track.sender_ifindex(), FIRST, count)?,
            frame: frame_of(BANNED_V4),
            filter: Some(Rc::new(filter)),
            _map: None,
            track: Rc::clone(track),
        })
    }

    fn bare(name: &'static str, track: &Rc<Track>) -> std::io::Result<Self> {
        let map = LruHash::new(size_of::<Ipv4Addr>(), size_of::<Ban>(), SLOTS)?;
        for source in sources(BANS) {
            map.insert(&source.octets())?;
        }
        Ok(Self {
            name,
            program: bare::lookup(map.as_fd())?,
            generator: generator::drawing(track.sender_ifindex(), FIRST, BANS)?,
            frame: frame_of(BANNED_V4),
            filter: None,
            _map: Some(map),
            track: Rc::clone(track),
        })
    }
}

impl Contender for Drawn {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_plain_drop(&self) -> bool {
        false
    }

    fn sample(&self) -> Result<Sample, String> {
        let _link = self
            .track
            .attach(self.program.as_fd())
            .map_err(|error| format!("attaching it: {error}"))?;
        let banned = |filter: &Rc<Filter>| filter.counters()[Verdict::Banned as usize].packets;
        let live = self.track.time(&Run {
            generator: self.generator.as_fd(),
            frame: &self.frame,
            count: FRAMES_DROPPED_BY_XDP,
            reach: Reach::Interface,
            counted: &|| Ok(self.filter.as_ref().map(banned)),
        })?;
        Ok(Sample { test_run: None, live })
    }
}

fn sources(count: u32) -> impl Iterator<Item = Ipv4Addr> {
    (FIRST.to_bits()..FIRST.to_bits() + count).map(Ipv4Addr::from_bits)
}

fn available_kb() -> Option<u64> {
    let table = fs::read_to_string("/proc/meminfo").ok()?;
    let line = table
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse().ok()
}
