//! What is measured: a program, the frame it meets, and what must become of it.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use secbeat_common::{
    maps::{self, Ban, Settings},
    verdict::Verdict,
};

use crate::{
    bench::{
        programs,
        sources::{BANNED_V4, address, frame_of, others},
    },
    lab::{bpf::Filter, paths, pinned::PinnedFilter},
};

/// The variants of the program in the bench object: their names in the object and in the report.
const VARIANTS: [(&str, &str); 4] = [
    ("forgetful", "hit v4, no memory"),
    ("without_clock", "hit v4, no clock"),
    ("with_coarse", "hit v4, coarse clock"),
    ("with_boot", "hit v4, boot clock"),
];

const BANNED_V6: &str = "2001:db8:bad:1::7";
/// Banned, but never compared with the allowlist, so that each of its packets is looked up there.
const UNCOMPARED_V4: &str = "198.51.100.9";
const UNCOMPARED_V6: &str = "2001:db8:bad:3::7";
const CLEAN_V4: &str = "198.51.100.8";
const CLEAN_V6: &str = "2001:db8:bad:2::7";

/// The like of what an edge allows by itself: loopback, its own addresses, a gateway, two resolvers, an upstream.
const ALLOWED: [&str; 8] = [
    "127.0.0.0/8",
    "::1/128",
    "192.0.2.1",
    "2001:db8:0:1::1/128",
    "192.0.2.254",
    "203.0.113.53",
    "203.0.113.54",
    "192.0.2.80",
];

/// The allowlist's generation, as an edge writes it.
const GENERATION: u32 = 1;

/// Slots of each ban map: as many as an edge has.
pub(super) const SLOTS: u32 = maps::DEFAULT_BAN_SLOTS;

/// What becomes of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Dropped,
    Passed,
}

/// What the harness costs.
pub(super) const EMPTY: &str = "empty (pass)";
/// The limit that hits are compared with.
pub(super) const ALWAYS_DROP: &str = "always drop";
/// The program as it is, passing an IPv4 source that nobody banned.
pub(super) const MISS_V4: &str = "secbeat miss v4";
/// The program as it is, passing an IPv6 source that nobody banned.
pub(super) const MISS_V6: &str = "secbeat miss v6";
/// The program as it is, dropping an IPv4 source.
pub(super) const HIT_V4: &str = "secbeat hit v4";
/// The program as it is, dropping an IPv6 source.
pub(super) const HIT_V6: &str = "secbeat hit v6";

/// One thing to measure.
#[derive(Debug)]
pub(super) struct Subject {
    pub name: &'static str,
    pub program: OwnedFd,
    pub frame: Vec<u8>,
    pub fate: Fate,
    /// Where the program counts, and as what.
    counted: Option<(Arc<Filter>, Verdict)>,
}

impl Subject {
    fn raw(name: &'static str, program: OwnedFd, fate: Fate) -> Self {
        Self {
            name,
            program,
            frame: frame_of(BANNED_V4),
            fate,
            counted: None,
        }
    }

    fn ours(name: &'static str, filter: &Arc<Filter>, program: &str, source: &str, verdict: Verdict) -> Self {
        let fd = filter.program(program).fd().expect("a loaded program");
        Self {
            name,
            program: fd.as_fd().try_clone_to_owned().expect("sharing a descriptor"),
            frame: frame_of(source),
            fate: if verdict == Verdict::Banned {
                Fate::Dropped
            } else {
                Fate::Passed
            },
            counted: Some((Arc::clone(filter), verdict)),
        }
    }

    /// Packets that the program has counted as what it should count them as; `None` when it does not count.
    pub(super) fn counted(&self) -> Option<u64> {
        self.counted
            .as_ref()
            .map(|(filter, verdict)| filter.counters()[*verdict as usize].packets)
    }
}

/// The XDP programs that are measured by themselves and on one track. Without the bench object, all but the clock variants.
pub(super) fn all() -> Vec<Subject> {
    let mut ours = PinnedFilter::load(SLOTS);
    ours.filter.load_rest();
    ban_all(&mut ours.filter);
    fill_lane(&ours);
    let ours = Arc::new(ours.into_filter());
    let mut subjects = vec![
        Subject::raw(EMPTY, programs::empty().expect("loading a program"), Fate::Passed),
        Subject::ours(MISS_V4, &ours, maps::PROGRAM_FRAGS, CLEAN_V4, Verdict::Clean),
        Subject::ours(MISS_V6, &ours, maps::PROGRAM_FRAGS, CLEAN_V6, Verdict::Clean),
        // Beside each other, so that what is compared to a few hundredths is measured within two seconds.
        Subject::raw(
            ALWAYS_DROP,
            programs::always_drop().expect("loading a program"),
            Fate::Dropped,
        ),
        Subject::ours(HIT_V4, &ours, maps::PROGRAM_FRAGS, BANNED_V4, Verdict::Banned),
        Subject::ours(HIT_V6, &ours, maps::PROGRAM_FRAGS, BANNED_V6, Verdict::Banned),
        Subject::ours(
            "hit v4, allowlist looked up",
            &ours,
            maps::PROGRAM_FRAGS,
            UNCOMPARED_V4,
            Verdict::Banned,
        ),
        Subject::ours(
            "hit v6, allowlist looked up",
            &ours,
            maps::PROGRAM_FRAGS,
            UNCOMPARED_V6,
            Verdict::Banned,
        ),
    ];
    let object = paths::bench_object();
    if object.exists() {
        let mut variants = Filter::load_object(&object, SLOTS);
        variants.load_rest();
        ban_all(&mut variants);
        let variants = Arc::new(variants);
        subjects.extend(
            VARIANTS
                .map(|(program, name)| Subject::ours(name, &variants, program, BANNED_V4, Verdict::Banned)),
        );
    } else {
        eprintln!("no clock variants: {} is missing", object.display());
    }
    subjects
}

/// Puts the bans that the filter has into the express lane, as an edge does.
pub(super) fn fill_lane(pinned: &PinnedFilter) {
    let (mut bans, mut allowed, clock) = (pinned.bans(), pinned.allowed(), pinned.clock());
    let nets = ALLOWED.map(|net| (net.parse().expect("a literal prefix"), maps::allow::CONFIGURED));
    // As they are already, which leaves the generation.
    allowed.set(&nets.into()).expect("writing the allowlist");
    bans.own_lane(&allowed, &clock);
    let mut walk = bans.begin();
    while bans.next(&mut walk).expect("reading the bans").is_some() {}
    bans.settle(&walk).expect("filling the express lane");
}

fn ban_all(filter: &mut Filter) {
    configure(filter);
    for source in [BANNED_V4, BANNED_V6] {
        filter.ban(address(source), lasting_ban());
    }
    let uncompared = Ban {
        unallowed_in: 0,
        ..lasting_ban()
    };
    for source in [UNCOMPARED_V4, UNCOMPARED_V6] {
        filter.ban(address(source), uncompared);
    }
    for other in others() {
        filter.ban(other.into(), lasting_ban());
    }
}

/// Settings and allowlist as an edge has them.
pub(super) fn configure(filter: &mut Filter) {
    filter.set_settings(Settings {
        mode: maps::mode::ENFORCE,
        allow_generation: GENERATION,
        nets_in_use: 0,
        event_every: 1024,
        sieve_in_use: 1,
        ports_in_use: 0,
    });
    for prefix in ALLOWED {
        filter.allow(prefix.parse().expect("a literal prefix"));
    }
}

/// A ban that does not end, compared with the allowlist.
pub(super) fn lasting_ban() -> Ban {
    Ban {
        expires_jiffies: u64::MAX,
        expires_boot_ns: u64::MAX,
        unallowed_in: GENERATION,
        ..Ban::default()
    }
}
