//! The edge's own reading and writing of the ban maps, in the kernel.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use secbeat_common::{
    maps::{MAX_TRIE_NETS, NET_SLOTS, Settings, origin, reason},
    prefix::Prefix,
};
use secbeat_edge::kernel::{KernelBan, Walk, boot_now};
use secbeat_tests::lab::{
    frames::datagram_from,
    model::{XDP_DROP, XDP_PASS},
    pinned::PinnedFilter,
};

const SLOTS: u32 = 65_536;

fn lasting() -> KernelBan {
    KernelBan {
        ends: boot_now().plus(Duration::from_secs(3600)),
        reason: reason::MANUAL,
        origin: origin::FLEET,
        strikes: 3,
        unallowed_in: 0,
        dropped_packets: 0,
        dropped_bytes: 0,
    }
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// Sources from 198.18.0.0 on.
fn sources(count: u32) -> impl Iterator<Item = Prefix> {
    (0..count).map(|n| Prefix::single(Ipv4Addr::from(0xc612_0000 + n).into()))
}

fn action(pinned: &PinnedFilter, source: &str) -> u32 {
    let source: IpAddr = source.parse().unwrap();
    pinned.filter.test_run(&datagram_from(source, &[])).action
}

#[test]
fn many_bans_of_every_kind_are_written_and_read_back() {
    let pinned = PinnedFilter::load(SLOTS);
    let (mut bans, clock, ban) = (pinned.bans(), pinned.clock(), lasting());
    let sources_v6 =
        (0..5000_u128).map(|n| Prefix::single(Ipv6Addr::from(0x2001_0db8_u128 << 96 | n << 64).into()));
    let nets = [
        "203.0.113.0/24",
        "198.51.100.8/31",
        "2001:db8::/32",
        "2001:db8:f::7/128",
    ]
    .map(prefix);
    let all: BTreeMap<_, _> = sources(20_000)
        .chain(sources_v6)
        .chain(nets)
        .map(|target| (target, ban))
        .collect();
    let entries: Vec<_> = all.iter().map(|(target, ban)| (*target, *ban)).collect();
    bans.put_all(&entries, &clock).unwrap();
    let read = bans.all().unwrap();
    assert_eq!(read.len(), entries.len());
    assert_eq!(read.into_iter().collect::<BTreeMap<_, _>>(), all);
    for source in [
        "198.18.0.0",
        "198.18.78.31",
        "203.0.113.9",
        "198.51.100.9",
        "2001:db8:f::7",
    ] {
        assert_eq!(action(&pinned, source), XDP_DROP, "{source}");
    }
    assert_eq!(action(&pinned, "198.18.78.32"), XDP_PASS);

    let counted = bans.get(&prefix("198.18.0.0")).unwrap().unwrap();
    assert_eq!((counted.dropped_packets, counted.strikes), (1, 3));
    bans.put_all(&entries, &clock).unwrap();
    for target in ["198.18.0.0", "203.0.113.0/24"] {
        let again = bans.get(&prefix(target)).unwrap().unwrap();
        assert_eq!(again.dropped_packets, 1, "a rewrite forgot the count of {target}");
    }
    for (target, _) in entries {
        bans.remove(&target).unwrap();
    }
    assert_eq!(bans.all().unwrap(), []);
}

#[test]
fn a_walk_sees_whatever_stays_exactly_once_while_others_come_and_go() {
    let pinned = PinnedFilter::load(SLOTS);
    let (mut bans, clock, ban) = (pinned.bans(), pinned.clock(), lasting());
    let all: Vec<_> = sources(30_000).map(|target| (target, ban)).collect();
    let (staying, going) = all.split_at(15_000);
    bans.put_all(&all, &clock).unwrap();
    let (mut walk, mut seen, mut gone) = (Walk::default(), Vec::new(), going.chunks(2000));
    let mut newcomers = sources(60_000).skip(30_000);
    while let Some(found) = bans.next(&mut walk).unwrap() {
        seen.extend(found.into_iter().map(|(target, _)| target));
        for (target, _) in gone.next().into_iter().flatten() {
            bans.remove(target).unwrap();
        }
        for target in newcomers.by_ref().take(2000) {
            bans.put(&target, &ban, &clock).unwrap();
        }
    }
    let unique: BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!(unique.len(), seen.len(), "something came twice");
    assert!(
        staying.iter().all(|(target, _)| unique.contains(target)),
        "something was missed"
    );
}

#[test]
fn the_program_looks_for_networks_exactly_while_there_are_some() {
    let pinned = PinnedFilter::load(SLOTS);
    let (mut bans, clock, settings) = (pinned.bans(), pinned.clock(), pinned.settings());
    let in_use = || settings.read().unwrap().nets_in_use;
    let (net, host) = (prefix("198.51.100.0/24"), prefix("2001:db8::7/128"));
    assert_eq!(in_use(), 0);
    bans.put(&prefix("203.0.113.7"), &lasting(), &clock).unwrap();
    assert_eq!(in_use(), 0, "a single source is not a network");
    bans.put(&net, &lasting(), &clock).unwrap();
    bans.put(&host, &lasting(), &clock).unwrap();
    assert_eq!(in_use(), 1);
    assert_eq!(action(&pinned, "198.51.100.77"), XDP_DROP);
    bans.remove(&net).unwrap();
    assert_eq!(in_use(), 1);
    bans.remove(&host).unwrap();
    assert_eq!(in_use(), 0);
    assert_eq!(action(&pinned, "198.51.100.77"), XDP_PASS);

    let mut meddler = pinned.settings();
    bans.put(&net, &lasting(), &clock).unwrap();
    meddler.set_event_every(1024).unwrap();
    let mut walk = bans.begin();
    while bans.next(&mut walk).unwrap().is_some() {}
    bans.settle(&walk).unwrap();
    let settings = settings.read().unwrap();
    assert_eq!((settings.nets_in_use, settings.event_every), (1, 1024));
}

#[test]
fn a_trie_that_is_full_says_so() {
    let pinned = PinnedFilter::load(SLOTS);
    let (mut bans, clock, ban) = (pinned.bans(), pinned.clock(), lasting());
    let net = |n: u32| Prefix::new(Ipv4Addr::from(0xc612_0000 + n * 4).into(), 30).unwrap();
    let nets: Vec<_> = (0..NET_SLOTS + 2).map(|n| (net(n), ban)).collect();
    let unwritten = bans.put_all(&nets, &clock).unwrap_err();
    assert_eq!(unwritten.targets, [net(NET_SLOTS), net(NET_SLOTS + 1)]);
    let error = with_causes(&unwritten);
    assert!(
        error.contains(&format!("no more than {MAX_TRIE_NETS} networks")),
        "{error}"
    );
    bans.remove(&net(0)).unwrap();
    bans.put(&net(1), &ban, &clock).unwrap();
}

/// The whole chain of causes in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}

#[test]
fn counts_that_cpus_hold_back_are_added_once() {
    let mut pinned = PinnedFilter::load(SLOTS);
    let (mut bans, clock) = (pinned.bans(), pinned.clock());
    // As an edge that has compared the ban with its allowlist.
    pinned.filter.set_settings(Settings {
        allow_generation: 1,
        ..Settings::default()
    });
    let target = prefix("198.51.100.7");
    let ban = KernelBan {
        unallowed_in: 1,
        ..lasting()
    };
    bans.put(&target, &ban, &clock).unwrap();
    let mut held_back = 0;
    for burst in 1..=200 {
        for _ in 0..7 {
            assert_eq!(action(&pinned, "198.51.100.7"), XDP_DROP);
        }
        let found = bans.get(&target).unwrap().unwrap();
        let counted = pinned.floods().read().unwrap().counted(&target, found);
        assert_eq!(counted.dropped_packets, burst * 7);
        held_back += counted.dropped_packets - found.dropped_packets;
    }
    assert_ne!(held_back, 0, "nothing was ever held back: the test shows nothing");
}

/// Four times as many bans as slots are written while every fifth of the first ones keeps sending. (Not all of the first
/// ones: where 128 in a row were seen lately, the kernel's search for one to evict gives up and takes the next.)
#[test]
fn an_overfull_map_keeps_the_sources_that_attack_right_now() {
    const FEW: u32 = 16_384;
    let pinned = PinnedFilter::load(FEW);
    let (mut bans, clock, ban) = (pinned.bans(), pinned.clock(), lasting());
    let all: Vec<_> = sources(4 * FEW).map(|target| (target, ban)).collect();
    let early = all[..1000].iter().map(|(source, _)| *source).enumerate();
    let (attacking, silent): (Vec<_>, Vec<_>) = early.partition(|(n, _)| n % 5 == 0);
    let frames: Vec<_> = attacking
        .iter()
        .map(|(_, source)| (source, datagram_from(source.addr(), &[])))
        .collect();
    bans.put_all(&all[..1000], &clock).unwrap();
    for some in all[1000..].chunks(512) {
        bans.put_all(some, &clock).unwrap();
        for (source, frame) in &frames {
            assert_eq!(
                pinned.filter.test_run(frame).action,
                XDP_DROP,
                "{source} came through"
            );
        }
    }
    let left = silent
        .iter()
        .filter(|(_, source)| bans.get(source).unwrap().is_some())
        .count();
    assert!(
        left < silent.len() / 10,
        "{left} silent ones stayed: the map was not overfull"
    );
}
