//! The sieve: sources without a bit are passed over, and every ban that the edge writes has its bit.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use secbeat_common::{
    maps::{Ban, Settings, origin, reason},
    prefix::Prefix,
    verdict::Verdict,
};
use secbeat_edge::kernel::{BanMaps, KernelBan, boot_now};
use secbeat_tests::lab::{
    bpf::Filter,
    frames::datagram_from,
    model::{XDP_DROP, XDP_PASS},
    pinned::PinnedFilter,
};

const SLOTS: u32 = 65_536;
const SOURCES: [&str; 2] = ["198.51.100.7", "2001:db8:bad:1::7"];

fn action(filter: &Filter, source: IpAddr) -> u32 {
    filter.test_run(&datagram_from(source, &[])).action
}

fn lasting() -> KernelBan {
    KernelBan {
        ends: boot_now().plus(Duration::from_secs(3600)),
        reason: reason::MANUAL,
        origin: origin::LOCAL,
        strikes: 0,
        unallowed_in: 0,
        dropped_packets: 0,
        dropped_bytes: 0,
    }
}

/// Sources of both families, in turn.
fn many(count: u32) -> Vec<IpAddr> {
    let source = |n: u32| match n % 2 {
        0 => IpAddr::V4(Ipv4Addr::from(0xc612_0000 + n)),
        _ => IpAddr::V6(Ipv6Addr::from((0x2001_0db8_u128 << 96) | u128::from(n) << 64)),
    };
    (0..count).map(source).collect()
}

fn walk(bans: &mut BanMaps) {
    let mut walk = bans.begin();
    while bans.next(&mut walk).unwrap().is_some() {}
    bans.settle(&walk).unwrap();
}

#[test]
fn a_source_without_its_bits_is_passed_over_and_its_network_is_not() {
    for source in SOURCES {
        let mut filter = Filter::load();
        let address: IpAddr = source.parse().unwrap();
        let ban = Ban {
            expires_jiffies: u64::MAX,
            expires_boot_ns: u64::MAX,
            ..Ban::default()
        };
        filter.ban(address, ban);
        filter.set_settings(Settings {
            sieve_in_use: 1,
            ..Settings::default()
        });
        assert_eq!(action(&filter, address), XDP_DROP);
        filter.clear_sieve();
        assert_eq!(action(&filter, address), XDP_PASS);
        assert_eq!(filter.counters()[Verdict::Clean as usize].packets, 1);
        filter.ban_net(Prefix::host(address), ban);
        filter.set_settings(Settings {
            sieve_in_use: 1,
            nets_in_use: 1,
            ..Settings::default()
        });
        assert_eq!(action(&filter, address), XDP_DROP);
        // Not in use, it is not looked at.
        filter.set_settings(Settings::default());
        assert_eq!(action(&filter, address), XDP_DROP);
        assert_eq!(filter.ban_of(address).unwrap().dropped_packets, 2);
    }
}

#[test]
fn every_ban_that_the_edge_writes_is_dropped_through_the_sieve() {
    let pinned = PinnedFilter::load(SLOTS);
    let (mut bans, clock, ban) = (pinned.bans(), pinned.clock(), lasting());
    bans.use_sieve(&mut pinned.settings()).unwrap();
    let sources = many(10_000);
    let (one_by_one, together) = sources.split_at(200);
    for source in one_by_one {
        bans.put(&Prefix::single(*source), &ban, &clock).unwrap();
    }
    let together: Vec<_> = together
        .iter()
        .map(|source| (Prefix::single(*source), ban))
        .collect();
    bans.put_all(&together, &clock).unwrap();
    for source in &sources {
        assert_eq!(action(&pinned.filter, *source), XDP_DROP, "{source}");
    }
    let innocent: IpAddr = "203.0.113.1".parse().unwrap();
    assert_eq!(action(&pinned.filter, innocent), XDP_PASS);
}

#[test]
fn two_processes_may_ban_at_once() {
    let pinned = PinnedFilter::load(SLOTS);
    let (mut daemon, mut command) = (pinned.bans(), pinned.bans());
    daemon.use_sieve(&mut pinned.settings()).unwrap();
    let (clock, ban) = (pinned.clock(), lasting());
    let sources = many(2000);
    for (number, source) in sources.iter().enumerate() {
        let who = if number % 2 == 0 {
            &mut daemon
        } else {
            &mut command
        };
        who.put(&Prefix::single(*source), &ban, &clock).unwrap();
    }
    for source in &sources {
        assert_eq!(action(&pinned.filter, *source), XDP_DROP, "{source}");
    }
}

#[test]
fn a_walk_sets_missing_bits_and_clears_those_of_bans_that_are_gone() {
    let mut pinned = PinnedFilter::load(SLOTS);
    let (mut bans, clock, ban) = (pinned.bans(), pinned.clock(), lasting());
    let sources = many(1000);
    let (gone, staying) = sources.split_at(500);
    for source in &sources {
        bans.put(&Prefix::single(*source), &ban, &clock).unwrap();
    }
    bans.use_sieve(&mut pinned.settings()).unwrap();
    for source in gone {
        bans.remove(&Prefix::single(*source)).unwrap();
    }
    let sieved = |pinned: &PinnedFilter, sources: &[IpAddr]| {
        sources
            .iter()
            .filter(|source| pinned.filter.is_sieved(**source))
            .count()
    };
    assert_eq!(sieved(&pinned, gone), 500, "bits stay until the next walk");
    walk(&mut bans);
    // Some share their bits with bans that stay.
    assert!(sieved(&pinned, gone) < 10, "{}", sieved(&pinned, gone));
    assert_eq!(sieved(&pinned, staying), 500);

    pinned.filter.clear_sieve();
    assert_eq!(action(&pinned.filter, staying[0]), XDP_PASS);
    walk(&mut bans);
    for source in staying {
        assert_eq!(action(&pinned.filter, *source), XDP_DROP, "{source}");
    }
}

#[test]
fn a_ban_written_during_a_walk_keeps_its_bit() {
    let pinned = PinnedFilter::load(SLOTS);
    let (mut bans, clock, ban) = (pinned.bans(), pinned.clock(), lasting());
    bans.use_sieve(&mut pinned.settings()).unwrap();
    let mut walk = bans.begin();
    while bans.next(&mut walk).unwrap().is_some() {}
    let sources = many(100);
    for source in &sources {
        bans.put(&Prefix::single(*source), &ban, &clock).unwrap();
    }
    bans.settle(&walk).unwrap();
    for source in &sources {
        assert_eq!(action(&pinned.filter, *source), XDP_DROP, "{source}");
    }
}

#[test]
fn a_walk_that_did_not_end_clears_nothing() {
    let pinned = PinnedFilter::load(SLOTS);
    let (mut bans, clock, ban) = (pinned.bans(), pinned.clock(), lasting());
    bans.use_sieve(&mut pinned.settings()).unwrap();
    let source: IpAddr = SOURCES[0].parse().unwrap();
    bans.put(&Prefix::single(source), &ban, &clock).unwrap();
    let walk = bans.begin();
    bans.settle(&walk).unwrap();
    assert_eq!(action(&pinned.filter, source), XDP_DROP);
}
