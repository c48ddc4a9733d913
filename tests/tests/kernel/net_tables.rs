//! Banned networks that are too many for the trie: the edge's tables of them, and what the program does with them.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use secbeat_common::{
    maps::{
        Ban, FEW_NETS, LIST_PROBE, NET_SLOTS, NET_TABLE, Settings, TABLE_PROBE, mode, nets, origin, reason,
    },
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

const SLOTS: u32 = 1024;

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

/// Every other /30 from 198.18.0.0 on.
fn net_v4(number: u32) -> Prefix {
    Prefix::new(Ipv4Addr::from(0xc612_0000 + number * 8).into(), 30).unwrap()
}

/// Every other /48 from 2001:db8:: on.
fn net_v6(number: u32) -> Prefix {
    let addr = Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number) << 81);
    Prefix::new(addr.into(), 48).unwrap()
}

fn action(pinned: &PinnedFilter, source: IpAddr) -> u32 {
    pinned.filter.test_run(&datagram_from(source, &[])).action
}

fn next(net: Prefix) -> IpAddr {
    match net.addr() {
        IpAddr::V4(v4) => Ipv4Addr::from(v4.to_bits() + 4).into(),
        IpAddr::V6(v6) => Ipv6Addr::from(v6.to_bits() + (1 << 80)).into(),
    }
}

fn all(bans: &BanMaps) -> BTreeMap<Prefix, KernelBan> {
    let all = bans.all().unwrap();
    let unique: BTreeMap<_, _> = all.iter().copied().collect();
    assert_eq!(unique.len(), all.len(), "something came twice");
    unique
}

#[test]
fn many_networks_are_banned_through_a_table_and_lifted_one_by_one() {
    const EACH: u32 = 700;
    let pinned = PinnedFilter::load(SLOTS);
    let (mut bans, clock, ban, settings) = (
        pinned.bans_with_tables(),
        pinned.clock(),
        lasting(),
        pinned.settings(),
    );
    let in_use = || settings.read().unwrap().nets_in_use;
    let many: Vec<_> = (0..EACH)
        .flat_map(|n| [net_v4(n), net_v6(n)])
        .map(|net| (net, ban))
        .collect();
    let mut wanted = BTreeMap::new();
    for some in many.chunks(600) {
        bans.put_all(some, &clock).unwrap();
        wanted.extend(some.iter().copied());
        assert_eq!(all(&bans), wanted);
        let (net, _) = some[0];
        assert_eq!(action(&pinned, net.addr()), XDP_DROP, "{net}");
        wanted.insert(net, bans.get(&net).unwrap().unwrap());
    }
    assert_eq!(in_use(), nets::TABLE | nets::TRIE);
    for (net, _) in &many {
        assert_eq!(action(&pinned, net.addr()), XDP_DROP, "{net}");
        assert_eq!(action(&pinned, next(*net)), XDP_PASS, "behind {net}");
    }
    // The first one's counts have come over into each new table.
    let (first, _) = many[0];
    assert_eq!(bans.get(&first).unwrap().unwrap().dropped_packets, 2);

    // A wider one comes into the trie; what is in the table within it is found as before, and the rest by it.
    let (outer, inner) = (prefix("198.18.0.0/20"), net_v4(1));
    bans.put(&outer, &ban, &clock).unwrap();
    assert_eq!(action(&pinned, next(inner)), XDP_DROP);
    for net in [outer, inner, prefix("198.18.0.0/21")] {
        assert_eq!(bans.get_known(&net).unwrap(), bans.get(&net).unwrap(), "{net}");
    }
    bans.remove(&outer).unwrap();
    assert_eq!(action(&pinned, next(inner)), XDP_PASS);
    // Written over, it keeps its counts; lifted, it is gone at once.
    let before = bans.get(&inner).unwrap().unwrap();
    let longer = KernelBan {
        ends: ban.ends.plus(Duration::from_secs(60)),
        ..ban
    };
    bans.put_all(&[(inner, longer)], &clock).unwrap();
    let after = bans.get(&inner).unwrap().unwrap();
    assert_eq!(
        (after.ends, after.dropped_packets),
        (longer.ends, before.dropped_packets)
    );
    let over = KernelBan {
        ends: boot_now(),
        ..ban
    };
    bans.put(&inner, &over, &clock).unwrap();
    assert_eq!(action(&pinned, inner.addr()), XDP_PASS, "it has ended");
    bans.remove(&inner).unwrap();
    assert_eq!(
        (action(&pinned, inner.addr()), bans.get(&inner).unwrap()),
        (XDP_PASS, None)
    );

    // Another process finds all of it, and a new table made by one is seen by the other.
    let mut other = pinned.bans_with_tables();
    assert_eq!(all(&other), all(&bans));
    let more: Vec<_> = (EACH..EACH + FEW_NETS + 1).map(|n| (net_v4(n), ban)).collect();
    other.put_all(&more, &clock).unwrap();
    assert_eq!(in_use(), nets::TABLE);
    let (last, _) = more[more.len() - 1];
    bans.remove(&last).unwrap();
    assert_eq!(action(&pinned, last.addr()), XDP_PASS);
    assert_eq!(all(&other), all(&bans));

    let mut walk = bans.begin();
    let mut walked = 0;
    while let Some(some) = bans.next(&mut walk).unwrap() {
        walked += some.len();
        for (net, _) in some {
            bans.remove(&net).unwrap();
        }
    }
    assert_eq!(walked as u32, 2 * EACH - 1 + FEW_NETS);
    bans.settle(&walk).unwrap();
    assert_eq!((all(&bans).len(), in_use()), (0, 0));
    assert!(!pinned.folder().join(NET_TABLE).exists());
}

#[test]
fn a_table_is_found_again_after_a_start_that_was_killed_while_one_came_into_force() {
    let pinned = PinnedFilter::load(SLOTS);
    let (mut bans, clock) = (pinned.bans_with_tables(), pinned.clock());
    let many: Vec<_> = (0..2 * FEW_NETS).map(|n| (net_v4(n), lasting())).collect();
    bans.put_all(&many, &clock).unwrap();
    let wanted = all(&bans);
    drop(bans);
    let pin = pinned.folder().join(NET_TABLE);
    fs::rename(&pin, pinned.folder().join(format!("next-{NET_TABLE}"))).unwrap();
    let bans = pinned.bans();
    assert_eq!(all(&bans), wanted);
    assert!(pin.exists());
    // Taken away, it comes back with the next comparison.
    fs::remove_file(&pin).unwrap();
    let mut bans = bans;
    let mut walk = bans.begin();
    while bans.next(&mut walk).unwrap().is_some() {}
    bans.settle(&walk).unwrap();
    assert!(pin.exists());
    assert_eq!(all(&pinned.bans()), wanted);
}

/// As on a kernel that reads the first line of each table alone, the program finds nothing: it is the one that asks another table.
#[test]
fn where_the_program_reads_tables_wrongly_networks_stay_in_the_trie() {
    let pinned = PinnedFilter::load(SLOTS);
    let mut bans = pinned.bans();
    let says = |why: String, what: &str| assert!(why.contains(what), "{why}");
    let found = bans.prove_tables(pinned.filter.program(LIST_PROBE));
    says(
        format!("{:#}", found.unwrap_err()),
        "this kernel reads tables wrongly",
    );
    let found = pinned.lists().prove(pinned.filter.program(TABLE_PROBE));
    says(
        format!("{:#}", found.unwrap_err()),
        "this kernel reads tables of lists wrongly",
    );

    let many: Vec<_> = (0..=NET_SLOTS).map(|n| (net_v4(n), lasting())).collect();
    let unwritten = bans.put_all(&many, &pinned.clock()).unwrap_err();
    says(format!("{:#}", unwritten.error), "without a table");
    assert_eq!(action(&pinned, net_v4(7).addr()), XDP_DROP);
    assert_eq!(action(&pinned, next(net_v4(7))), XDP_PASS);
    assert!(!pinned.folder().join(NET_TABLE).exists());
}

#[test]
fn no_packet_is_judged_wrongly_while_tables_are_replaced() {
    let pinned = PinnedFilter::load(SLOTS);
    let (mut bans, clock, ban) = (pinned.bans_with_tables(), pinned.clock(), lasting());
    let (banned, innocent) = (net_v4(7).addr(), next(net_v4(7)));
    let first: Vec<_> = (0..FEW_NETS + 1).map(|n| (net_v4(n), ban)).collect();
    bans.put_all(&first, &clock).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pinned = &pinned;
        let sender = scope.spawn(|| {
            let mut packets = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(action(pinned, banned), XDP_DROP, "after {packets}");
                assert_eq!(action(pinned, innocent), XDP_PASS, "after {packets}");
                packets += 2;
            }
            packets
        });
        for round in 1..=6 {
            let from = round * (FEW_NETS + 1);
            let more: Vec<_> = (from..=from + FEW_NETS).map(|n| (net_v4(n), ban)).collect();
            bans.put_all(&more, &clock).unwrap();
            for (net, _) in &more {
                bans.remove(net).unwrap();
            }
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(sender.join().unwrap() > 500);
    });
}

const LASTING: Ban = Ban {
    expires_jiffies: u64::MAX,
    expires_boot_ns: u64::MAX,
    dropped_packets: 0,
    dropped_bytes: 0,
    reason: 1,
    origin: 1,
    strikes: 0,
    unallowed_in: 0,
};

#[track_caller]
fn expect(filter: &Filter, source: &str, verdict: Verdict) {
    let before = filter.counters()[verdict as usize].packets;
    let _ = filter.test_run(&datagram_from(source.parse().unwrap(), &[]));
    let after = filter.counters()[verdict as usize].packets;
    assert_eq!(after - before, 1, "{source} was not {}", verdict.name());
}

#[test]
fn what_holds_of_bans_holds_of_those_in_a_table() {
    let mut filter = Filter::load();
    let net = prefix("198.51.100.0/24");
    let ended = Ban {
        expires_jiffies: 1,
        ..LASTING
    };
    filter.set_net_table(&BTreeMap::from([
        (net, LASTING),
        (prefix("203.0.113.0/24"), ended),
        (prefix("2001:db8::/32"), LASTING),
    ]));
    let settings = Settings {
        nets_in_use: nets::TABLE,
        ..Settings::default()
    };
    expect(&filter, "198.51.100.1", Verdict::Clean);
    filter.set_settings(settings);
    expect(&filter, "198.51.100.1", Verdict::Banned);
    expect(&filter, "198.51.101.1", Verdict::Clean);
    expect(&filter, "2001:db8:7::1", Verdict::Banned);
    expect(&filter, "64:ff9b::c633:6401", Verdict::Banned);
    expect(&filter, "203.0.113.7", Verdict::Expired);
    assert_eq!(filter.ban_in_net_table(net).unwrap().dropped_packets, 2);
    filter.allow(prefix("198.51.100.4/30"));
    expect(&filter, "198.51.100.5", Verdict::Allowed);
    expect(&filter, "198.51.100.8", Verdict::Banned);
    filter.set_settings(Settings {
        mode: mode::OBSERVE,
        ..settings
    });
    expect(&filter, "198.51.100.8", Verdict::Observed);
    // The trie's ban of a source's network has ended, the table's has not.
    filter.set_settings(Settings {
        nets_in_use: nets::TABLE | nets::TRIE,
        ..settings
    });
    filter.ban_net(prefix("198.51.100.8/29"), ended);
    expect(&filter, "198.51.100.8", Verdict::Banned);
    filter.ban_net(prefix("192.0.2.0/24"), ended);
    expect(&filter, "192.0.2.8", Verdict::Expired);
    filter.set_ports(&[443]);
    filter.set_settings(Settings {
        nets_in_use: nets::TABLE,
        ports_in_use: 1,
        ..settings
    });
    expect(&filter, "198.51.100.1", Verdict::OtherPort);
}
