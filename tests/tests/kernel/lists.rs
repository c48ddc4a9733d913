//! Static lists: the edge's tables of them, and what the program does with them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use secbeat_common::{
    lists::{Described, Entry, List, NEVER, build, verdict},
    maps::{self, LIST_TABLE, nets},
    prefix::Prefix,
    verdict::Verdict,
};
use secbeat_edge::kernel::{Allowing, KernelBan, ListTables, boot_now};
use secbeat_edge_core::FilterMode;
use secbeat_tests::lab::{
    frames::datagram_from,
    model::{XDP_DROP, XDP_PASS},
    pinned::PinnedFilter,
};

const SLOTS: u32 = 1024;

fn list(slot: usize, verdict: u32, nets: &[(&str, u64)]) -> List {
    let entries = nets.iter().map(|(net, ends)| Entry {
        net: net.parse().unwrap(),
        ends: *ends,
    });
    of_entries(slot, verdict, entries.collect())
}

fn of_entries(slot: usize, verdict: u32, entries: Vec<Entry>) -> List {
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

fn bring(tables: &mut ListTables, lists: &[List]) {
    let table = build(lists, 1).unwrap();
    let staged = tables.stage(&table.lines).unwrap();
    let allowing = staged.allowing().unwrap();
    tables.bring(staged, &allowing).unwrap();
}

#[track_caller]
fn expect(pinned: &PinnedFilter, source: &str, verdict: Verdict) {
    let before = pinned.filter.counters();
    let ran = pinned
        .filter
        .test_run(&datagram_from(source.parse().unwrap(), &[]));
    let after = pinned.filter.counters();
    let met = Verdict::ALL
        .into_iter()
        .filter(|verdict| after[*verdict as usize].packets > before[*verdict as usize].packets);
    assert_eq!(met.collect::<Vec<_>>(), [verdict], "{source}");
    let wanted = if verdict == Verdict::Banned {
        XDP_DROP
    } else {
        XDP_PASS
    };
    assert_eq!(ran.action, wanted, "{source}");
}

fn packets(tables: &ListTables) -> Vec<(String, u64)> {
    let listings = tables.listings().unwrap().into_iter();
    listings
        .map(|listing| (listing.described.name, listing.counted.packets))
        .collect()
}

#[test]
fn lists_ban_allow_and_count() {
    let mut pinned = PinnedFilter::load(SLOTS);
    let mut tables = pinned.lists();
    let in_a_while = boot_now().0 + 3_600_000_000_000;
    bring(
        &mut tables,
        &[
            list(
                0,
                verdict::BAN,
                &[
                    ("198.51.100.0/24", NEVER),
                    ("2001:db8::/32", NEVER),
                    ("2001:db9::7/128", NEVER),
                    ("203.0.113.0/24", 1),
                    ("203.0.113.128/25", in_a_while),
                    ("10.0.0.0/8", NEVER),
                ],
            ),
            list(
                7,
                verdict::OBSERVE,
                &[("198.51.100.0/25", NEVER), ("192.0.2.0/24", NEVER)],
            ),
            list(
                31,
                verdict::ALLOW,
                &[("198.51.100.64/26", NEVER), ("192.0.2.128/25", NEVER)],
            ),
        ],
    );
    // Nobody is on a list until the program looks.
    for (source, verdict) in [
        ("198.51.100.1", Verdict::Banned),
        ("198.51.100.63", Verdict::Banned),
        ("198.51.100.64", Verdict::Allowed),
        ("198.51.100.127", Verdict::Allowed),
        ("198.51.100.128", Verdict::Banned),
        ("198.51.101.0", Verdict::Clean),
        ("198.51.99.255", Verdict::Clean),
        ("2001:db8:ffff::1", Verdict::Banned),
        ("2001:db9::7", Verdict::Banned),
        ("2001:db9::8", Verdict::Clean),
        // A translator's form of 198.51.100.1.
        ("64:ff9b::c633:6401", Verdict::Banned),
        ("192.0.2.1", Verdict::Clean),
        ("192.0.2.129", Verdict::Clean),
        // Ended, and not ended yet.
        ("203.0.113.1", Verdict::Clean),
        ("203.0.113.128", Verdict::Banned),
    ] {
        expect(&pinned, source, verdict);
    }
    let met =
        [("list-0", 9), ("list-7", 7), ("list-31", 3)].map(|(name, packets)| (name.to_owned(), packets));
    assert_eq!(packets(&tables), met);

    // What is protected is never dropped.
    pinned.filter.allow("198.51.100.4/30".parse().unwrap());
    pinned.filter.allow("10.0.0.0/8".parse().unwrap());
    expect(&pinned, "198.51.100.5", Verdict::Allowed);
    expect(&pinned, "198.51.100.8", Verdict::Banned);
    expect(&pinned, "10.1.2.3", Verdict::Allowed);
    pinned.settings().set_mode(FilterMode::Observe).unwrap();
    expect(&pinned, "198.51.100.8", Verdict::Observed);
    pinned.settings().set_mode(FilterMode::Enforce).unwrap();

    // A ban counts for itself, and a list that allows beats it, too.
    let (mut bans, clock) = (pinned.bans(), pinned.clock());
    let ban = KernelBan {
        ends: boot_now().plus(Duration::from_secs(3600)),
        reason: maps::reason::MANUAL,
        origin: maps::origin::FLEET,
        strikes: 0,
        unallowed_in: 0,
        dropped_packets: 0,
        dropped_bytes: 0,
    };
    for target in ["198.51.100.9", "198.51.100.65", "192.0.2.130"] {
        bans.put(&target.parse().unwrap(), &ban, &clock).unwrap();
    }
    let before = packets(&tables);
    expect(&pinned, "198.51.100.9", Verdict::Banned);
    assert_eq!(packets(&tables), before);
    expect(&pinned, "198.51.100.65", Verdict::Allowed);
    expect(&pinned, "192.0.2.130", Verdict::Allowed);

    // Another table, and none.
    bring(&mut tables, &[list(3, verdict::BAN, &[("192.0.2.0/24", NEVER)])]);
    expect(&pinned, "198.51.100.1", Verdict::Clean);
    expect(&pinned, "192.0.2.1", Verdict::Banned);
    expect(&pinned, "192.0.2.130", Verdict::Banned);
    assert_eq!(pinned.settings().read().unwrap().nets_in_use, nets::LISTS);
    tables.clear().unwrap();
    expect(&pinned, "192.0.2.1", Verdict::Clean);
    assert_eq!(pinned.settings().read().unwrap().nets_in_use, 0);
    assert!(!pinned.folder().join(LIST_TABLE).exists());
}

/// Numbers that look random. Steele, Lea, Flood: Fast splittable pseudorandom number generators (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % count
    }

    /// A prefix of any length that differs from a few others in few bits, so that they meet.
    fn net(&mut self) -> Prefix {
        let flips = self.below(4);
        if self.below(2) == 0 {
            let address = (0..flips).fold(0xc633_6400_u32, |address, _| address ^ 1 << self.below(32));
            let len = self.below(33) as u8;
            return Prefix::new(Ipv4Addr::from_bits(address).into(), len).unwrap();
        }
        let start = 0x2001_0db8_u128 << 96;
        let address = (0..flips).fold(start, |address, _| address ^ 1 << self.below(128));
        let len = self.below(129) as u8;
        Prefix::new(Ipv6Addr::from_bits(address).into(), len).unwrap()
    }
}

#[test]
fn the_program_finds_what_the_prefixes_say() {
    let pinned = PinnedFilter::load(SLOTS);
    let mut tables = pinned.lists();
    let mut numbers = Numbers(1);
    for round in 0..40 {
        let lists = (0..1 + numbers.below(4) as usize).map(|slot| {
            let verdict = numbers.below(3) as u32;
            let count = numbers.below(40);
            let entries = (0..count).map(|_| Entry {
                net: numbers.net(),
                ends: NEVER,
            });
            of_entries(slot * 10, verdict, entries.collect())
        });
        let lists: Vec<_> = lists.collect();
        bring(&mut tables, &lists);
        let listed = lists.iter().flat_map(|list| &list.entries);
        let mut sources: Vec<_> = listed.map(|entry| entry.net.addr()).collect();
        sources.extend((0..60).map(|_| numbers.net().addr()));
        for source in sources {
            let is_on = |verdict| {
                let mut of = lists.iter().filter(|list| list.described.verdict == verdict);
                of.any(|list| list.entries.iter().any(|entry| entry.net.contains(source)))
            };
            let wanted = match is_on(verdict::BAN) && !is_on(verdict::ALLOW) {
                true => XDP_DROP,
                false => XDP_PASS,
            };
            let action = pinned.filter.test_run(&datagram_from(source, &[])).action;
            assert_eq!(action, wanted, "{source} of {lists:?} in round {round}");
        }
    }
}

#[test]
fn no_packet_is_judged_wrongly_while_lists_are_replaced() {
    let pinned = PinnedFilter::load(SLOTS);
    let mut tables = pinned.lists();
    let of_round = |round: u32| {
        // The classes of each table mean something else in the next one.
        let slots = [(round % 3) as usize, 3 + (round % 5) as usize, 9];
        let more = (0..500).map(|number| Entry {
            net: Prefix::new(
                IpAddr::V4((0x0a00_0000 + round * 0x10000 + number * 64).into()),
                27,
            )
            .unwrap(),
            ends: NEVER,
        });
        [
            list(
                slots[0],
                verdict::BAN,
                &[("198.51.100.0/24", NEVER), ("2001:db8::/32", NEVER)],
            ),
            list(slots[1], verdict::ALLOW, &[("198.51.100.16/28", NEVER)]),
            of_entries(slots[2], verdict::OBSERVE, more.collect()),
        ]
    };
    bring(&mut tables, &of_round(0));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pinned = &pinned;
        let is_over = &is_over;
        let sender = scope.spawn(move || {
            let mut packets = 0_u64;
            let asked = [
                ("198.51.100.1", XDP_DROP),
                ("198.51.100.17", XDP_PASS),
                ("198.51.101.1", XDP_PASS),
                ("2001:db8:7::1", XDP_DROP),
                ("2001:db9:7::1", XDP_PASS),
            ];
            let asked = asked.map(|(source, action)| (datagram_from(source.parse().unwrap(), &[]), action));
            while !is_over.load(Ordering::Relaxed) {
                for (frame, action) in &asked {
                    assert_eq!(pinned.filter.test_run(frame).action, *action, "after {packets}");
                    packets += 1;
                }
            }
            packets
        });
        for round in 1..=30 {
            bring(&mut tables, &of_round(round));
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(sender.join().unwrap() > 500);
    });
}

#[test]
fn what_lists_allow_is_known_by_its_addresses() {
    let pinned = PinnedFilter::load(SLOTS);
    let mut tables = pinned.lists();
    bring(
        &mut tables,
        &[
            list(0, verdict::BAN, &[("198.51.100.0/24", NEVER)]),
            list(
                1,
                verdict::ALLOW,
                &[("198.51.100.64/26", NEVER), ("2001:db8::/32", NEVER)],
            ),
        ],
    );
    // Another process reads the same of the table.
    let allowing = pinned.lists().allowing();
    assert_eq!(allowing, tables.allowing());
    assert_ne!(allowing, Allowing::default());
    for (net, touches) in [
        ("198.51.100.0/26", false),
        ("198.51.100.0/24", true),
        ("198.51.100.127", true),
        ("198.51.100.128", false),
        ("0.0.0.0/0", true),
        ("2001:db8:1::/48", true),
        ("2001:db9::/48", false),
        ("2001::/16", true),
    ] {
        assert_eq!(allowing.touches(&net.parse().unwrap()), touches, "{net}");
    }
}
