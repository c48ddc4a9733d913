//! The express lane: it says what the maps and the allowlist say, for every source, whatever is done to the bans meanwhile.

mod lists;
mod race;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use secbeat_common::{
    maps::{allow, origin, reason},
    prefix::Prefix,
    verdict::Verdict,
};
use secbeat_edge::kernel::{AllowedNets, BanMaps, JiffyClock, KernelBan, boot_now};
use secbeat_edge_core::BootTime;
use secbeat_tests::{
    bench::cpus::{allowed, stay_on},
    lab::{frames::datagram_from, pinned::PinnedFilter, random::Random},
};

const SLOTS: u32 = 16_384;
const SOURCES: [&str; 2] = ["198.51.100.7", "2001:db8:bad:1::7"];

/// A filter, and the edge's side of it, which owns the lane.
struct Host {
    pinned: PinnedFilter,
    bans: BanMaps,
    allowed: AllowedNets,
    clock: JiffyClock,
}

impl Host {
    fn with_lane(lines: u32) -> Self {
        Self::of(PinnedFilter::load_with_lane(SLOTS, lines))
    }

    fn new() -> Self {
        Self::of(PinnedFilter::load(SLOTS))
    }

    fn of(pinned: PinnedFilter) -> Self {
        let (mut bans, mut allowed, clock) = (pinned.bans(), pinned.allowed(), pinned.clock());
        allowed.set(&HashMap::new()).unwrap();
        bans.own_lane(&allowed, &clock);
        bans.use_sieve(&mut pinned.settings()).unwrap();
        Self {
            pinned,
            bans,
            allowed,
            clock,
        }
    }

    fn ban(&mut self, source: IpAddr, for_: Duration) {
        let target = Prefix::single(source);
        let ban = ban_of(&self.allowed, &target, for_);
        self.bans.put(&target, &ban, &self.clock).unwrap();
    }

    fn unban(&mut self, source: IpAddr) {
        self.bans.remove(&Prefix::single(source)).unwrap();
    }

    fn allow(&mut self, nets: &[Prefix]) {
        let nets = nets.iter().map(|net| (*net, allow::CONFIGURED)).collect();
        self.allowed.set(&nets).unwrap();
        self.bans.allow(&self.allowed);
    }

    fn walk(&mut self) {
        walk(&mut self.bans);
    }

    /// Lets the map lose the ban, so that the lane alone has it.
    fn evict(&mut self, source: IpAddr) {
        self.pinned.filter.unban(source);
    }

    #[track_caller]
    fn expect(&self, source: IpAddr, verdict: Verdict) {
        let filter = &self.pinned.filter;
        let before = filter.counters();
        let _ = filter.test_run(&datagram_from(source, &[]));
        let after = filter.counters();
        let met = Verdict::ALL
            .into_iter()
            .find(|verdict| after[*verdict as usize].packets != before[*verdict as usize].packets);
        assert_eq!(met, Some(verdict), "{source}");
    }
}

/// A ban of that length; of none, one that ended a second ago: in a virtual machine jiffies fall behind the boot clock.
fn ban_of(allowed: &AllowedNets, target: &Prefix, for_: Duration) -> KernelBan {
    let now = boot_now();
    KernelBan {
        ends: match for_ {
            Duration::ZERO => BootTime(now.0 - 1_000_000_000),
            for_ => now.plus(for_),
        },
        reason: reason::MANUAL,
        origin: origin::LOCAL,
        strikes: 0,
        unallowed_in: allowed.stamp(target),
        dropped_packets: 0,
        dropped_bytes: 0,
    }
}

fn walk(bans: &mut BanMaps) {
    let mut walk = bans.begin();
    while bans.next(&mut walk).unwrap().is_some() {}
    bans.settle(&walk).unwrap();
}

const HOUR: Duration = Duration::from_secs(3600);

fn source(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Sources of both families, in turn.
fn many(count: u32) -> Vec<IpAddr> {
    let source = |n: u32| match n % 2 {
        0 => IpAddr::V4(Ipv4Addr::from(0xc612_0000 + n)),
        _ => IpAddr::V6(Ipv6Addr::from((0x2001_0db8_u128 << 96) | u128::from(n) << 64)),
    };
    (0..count).map(source).collect()
}

#[test]
fn a_ban_that_its_map_lost_is_still_enforced_listed_and_lifted() {
    let mut host = Host::new();
    for source in SOURCES.map(source) {
        host.ban(source, HOUR);
        host.evict(source);
        host.expect(source, Verdict::Banned);
        host.walk();
        host.expect(source, Verdict::Banned);
        let [(target, ban)] = host.bans.all().unwrap()[..] else {
            panic!("not one ban");
        };
        assert_eq!(target, Prefix::single(source));
        assert_eq!(host.bans.get(&target).unwrap(), Some(ban));
        let left = ban.ends.since(boot_now());
        assert!((HOUR - Duration::from_secs(2)..HOUR).contains(&left), "{left:?}");
        // Another process lists it too.
        assert_eq!(host.pinned.bans().all().unwrap().len(), 1);
        host.unban(source);
        host.expect(source, Verdict::Clean);
        assert!(host.bans.all().unwrap().is_empty());
    }
}

#[test]
fn an_end_that_moves_holds_at_once_and_no_ban_outlives_its_end() {
    let mut host = Host::new();
    for source in SOURCES.map(source) {
        host.ban(source, HOUR);
        host.expect(source, Verdict::Banned);
        // Shorter: 1 s is less than the 64 jiffies of some kernels, and more than those of others.
        host.ban(source, Duration::from_secs(1));
        let end = boot_now().plus(Duration::from_secs(1));
        host.expect(source, Verdict::Banned);
        // In a virtual machine jiffies fall behind the boot clock.
        let last = host.clock.jiffies_at(end);
        while boot_now() < end || host.pinned.filter.clocks().jiffies < last {
            std::hint::spin_loop();
        }
        host.expect(source, Verdict::Expired);
        // Longer.
        host.ban(source, HOUR);
        host.expect(source, Verdict::Banned);
        host.evict(source);
        host.expect(source, Verdict::Banned);
        host.ban(source, Duration::ZERO);
        host.evict(source);
        host.expect(source, Verdict::Clean);
        host.walk();
        assert!(host.bans.all().unwrap().is_empty());
    }
}

#[test]
fn what_the_allowlist_touches_is_never_dropped_by_the_lane() {
    let mut host = Host::new();
    for (source, net) in [
        ("198.51.100.7", "198.51.100.0/24"),
        ("2001:db8:bad:1::7", "2001:db8:bad:1::7/128"),
    ] {
        let (source, net): (IpAddr, Prefix) = (source.parse().unwrap(), net.parse().unwrap());
        host.ban(source, HOUR);
        host.expect(source, Verdict::Banned);
        // Before anybody has looked at the lane.
        host.allowed
            .set(&HashMap::from([(net, allow::CONFIGURED)]))
            .unwrap();
        host.expect(source, Verdict::Allowed);
        host.bans.allow(&host.allowed);
        host.expect(source, Verdict::Allowed);
        host.walk();
        host.expect(source, Verdict::Allowed);
        host.ban(source, HOUR);
        host.expect(source, Verdict::Allowed);
        host.allow(&[]);
        host.expect(source, Verdict::Banned);
        host.ban(source, HOUR);
        host.evict(source);
        host.expect(source, Verdict::Banned);
        host.unban(source);
    }
}

#[test]
fn what_another_process_changes_holds_at_once_and_the_lane_follows() {
    let mut host = Host::new();
    let mut other = host.pinned.bans();
    for source in SOURCES.map(source) {
        let target = Prefix::single(source);
        host.ban(source, HOUR);
        assert!(!host.bans.is_lane_outdated());
        other.remove(&target).unwrap();
        host.expect(source, Verdict::Clean);
        assert!(host.bans.is_lane_outdated());
        host.walk();
        assert!(!host.bans.is_lane_outdated());
        host.expect(source, Verdict::Clean);
        // A ban that another process shortens, and one that it makes.
        host.ban(source, HOUR);
        let short = ban_of(&host.allowed, &target, Duration::ZERO);
        other.put(&target, &short, &host.clock).unwrap();
        host.expect(source, Verdict::Expired);
        host.walk();
        host.expect(source, Verdict::Expired);
        let long = ban_of(&host.allowed, &target, HOUR);
        other.put(&target, &long, &host.clock).unwrap();
        host.expect(source, Verdict::Banned);
        host.walk();
        host.evict(source);
        host.expect(source, Verdict::Banned);
        host.unban(source);
    }
}

#[test]
fn counts_are_exact_and_events_are_sent_as_without_the_lane() {
    // Each CPU remembers up to 63 packets of a source.
    stay_on(&allowed()[..1]);
    let mut host = Host::new();
    host.pinned.settings().set_event_every(128).unwrap();
    for source in SOURCES.map(source) {
        host.ban(source, HOUR);
        let packet = datagram_from(source, &[]);
        let mut events = Vec::new();
        for sent in 1..=300 {
            assert_eq!(host.pinned.filter.test_run(&packet).action, 1);
            let target = Prefix::single(source);
            let ban = host.bans.get(&target).unwrap().unwrap();
            let ban = host.pinned.floods().read().unwrap().counted(&target, ban);
            assert_eq!(
                (ban.dropped_packets, ban.dropped_bytes),
                (sent, sent * packet.len() as u64)
            );
            events.extend(host.pinned.filter.events().into_iter().map(|event| (sent, event)));
        }
        let sent: Vec<_> = events
            .iter()
            .map(|(sent, event)| (*sent, event.dropped_packets))
            .collect();
        // The first, and then those after which a multiple of 128 is reached, as soon as the ban is looked up.
        assert_eq!(sent.len(), 3, "{sent:?}");
        assert_eq!(sent[0], (1, 1));
        assert!(sent.iter().all(|(sent, counted)| sent == counted), "{sent:?}");
        for (_, event) in &events {
            let expected = match source {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            assert_eq!(
                (event.source, event.reason, event.origin),
                (expected, reason::MANUAL, origin::LOCAL)
            );
        }
    }
}

#[test]
fn a_lane_that_is_full_leaves_the_rest_to_the_maps() {
    let mut host = Host::with_lane(9);
    let sources = many(200);
    for source in &sources {
        host.ban(*source, HOUR);
    }
    for source in &sources {
        host.expect(*source, Verdict::Banned);
    }
    // 8 lines of 4.
    sources.iter().for_each(|source| host.evict(*source));
    let in_lane = host.bans.all().unwrap().len();
    assert!((24..=32).contains(&in_lane), "{in_lane}");
}

/// A lane that is so small that sources fight for places, against a model of what is banned and allowed.
#[test]
fn a_thousand_random_changes_give_the_verdicts_of_a_naive_model() {
    let mut random = Random::new(0x1a9e);
    for lines in [3, 17, 200] {
        let mut host = Host::with_lane(lines);
        let mut other = host.pinned.bans();
        let sources = many(60);
        let (mut banned, mut ended, mut listed) = (vec![false; 60], vec![false; 60], vec![false; 60]);
        for _ in 0..1000 {
            let at = random.below(60);
            let (source, target) = (sources[at], Prefix::single(sources[at]));
            match random.below(20) {
                0..=6 => {
                    let over = random.once_in(8);
                    host.ban(source, if over { Duration::ZERO } else { HOUR });
                    (banned[at], ended[at]) = (true, over);
                }
                7..=10 => {
                    host.unban(source);
                    banned[at] = false;
                }
                11 => {
                    other.remove(&target).unwrap();
                    banned[at] = false;
                }
                12 => {
                    let ban = ban_of(&host.allowed, &target, HOUR);
                    other.put(&target, &ban, &host.clock).unwrap();
                    (banned[at], ended[at]) = (true, false);
                }
                13 => {
                    listed[at] = !listed[at];
                    let nets: Vec<_> = (0..60)
                        .filter(|&at| listed[at])
                        .map(|at| Prefix::single(sources[at]))
                        .collect();
                    host.allow(&nets);
                }
                14..=15 => host.walk(),
                // A restart: another process becomes the owner.
                16 => {
                    host.bans = host.pinned.bans();
                    host.bans.own_lane(&host.allowed, &host.clock);
                    host.walk();
                }
                _ => {
                    let verdict = match (banned[at], ended[at], listed[at]) {
                        (false, ..) => Verdict::Clean,
                        (true, true, _) => Verdict::Expired,
                        (true, false, true) => Verdict::Allowed,
                        (true, false, false) => Verdict::Banned,
                    };
                    host.expect(source, verdict);
                }
            }
        }
        for at in 0..60 {
            let passes = !banned[at] || ended[at] || listed[at];
            let action = host
                .pinned
                .filter
                .test_run(&datagram_from(sources[at], &[]))
                .action;
            assert_eq!(action == 2, passes, "{}", sources[at]);
        }
    }
}
