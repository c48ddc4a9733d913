//! The search, and what a table tells of itself, beside a model that asks every prefix.

use std::{net::IpAddr, sync::atomic::AtomicU64};

use proptest::prelude::*;

use super::{
    ALLOWS, BANS, BuildError, Described, Entry, GROUP, List, MAX_LISTS, NEVER, Stretch, View, build,
    find_in_group, find_v4, find_v6, lists_of, verdict,
};
use crate::{prefix::Prefix, table::Line};

fn net(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn entry(text: &str, ends: u64) -> Entry {
    Entry { net: net(text), ends }
}

fn list(slot: usize, verdict: u32, entries: Vec<Entry>) -> List {
    let described = Described {
        name: format!("list-{slot}"),
        verdict,
        prefixes: entries.len() as u32,
        updated_ms: 5,
        digest: 6,
        origin: 7,
    };
    List {
        slot,
        described,
        entries,
    }
}

/// What the program finds for an address.
fn found(lines: &[Line], address: IpAddr, now: u64) -> u64 {
    let line = |number: u32| lines.get(number as usize);
    let class = match address {
        IpAddr::V4(v4) => find_v4(line, v4.to_bits()),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            match find_v6(line, (bits >> 64) as u64) {
                Some(owner) if owner & GROUP != 0 => find_in_group(line, owner, bits as u64),
                class => class,
            }
        }
    };
    class.and_then(|class| lists_of(line, class, || now)).unwrap_or(0)
}

/// What every prefix that holds it says of it.
fn expected(lists: &[List], address: IpAddr, now: u64) -> u64 {
    let on = lists.iter().filter(|list| {
        let mut entries = list.entries.iter();
        entries.any(|entry| entry.ends > now && entry.net.contains(address))
    });
    on.fold(0, |lists, list| {
        let flag = match list.described.verdict {
            verdict::BAN => BANS,
            verdict::ALLOW => ALLOWS,
            _ => 0,
        };
        lists | flag | 1 << list.slot
    })
}

/// The ends of a prefix, and what is just outside of it.
fn around(net: &Prefix) -> Vec<IpAddr> {
    match net.addr() {
        IpAddr::V4(first) => {
            let first = first.to_bits();
            let last = first | u32::MAX.checked_shr(u32::from(net.len())).unwrap_or(0);
            let near = [
                first,
                last,
                first.wrapping_sub(1),
                last.wrapping_add(1),
                first.midpoint(last),
            ];
            near.map(|bits| IpAddr::V4(bits.into())).to_vec()
        }
        IpAddr::V6(first) => {
            let first = first.to_bits();
            let last = first | u128::MAX.checked_shr(u32::from(net.len())).unwrap_or(0);
            let near = [
                first,
                last,
                first.wrapping_sub(1),
                last.wrapping_add(1),
                first.midpoint(last),
            ];
            near.map(|bits| IpAddr::V6(bits.into())).to_vec()
        }
    }
}

fn atomics(lines: &[Line]) -> Vec<AtomicU64> {
    lines
        .iter()
        .flat_map(|line| line.words)
        .map(AtomicU64::new)
        .collect()
}

/// Compares all that there is of `lists`, at the ends of all prefixes and `more`.
fn check(lists: &[List], more: &[IpAddr]) {
    let table = build(lists, 9).unwrap();
    let ends = lists
        .iter()
        .flat_map(|list| &list.entries)
        .map(|entry| entry.ends);
    let mut times = vec![0];
    times.extend(ends.filter(|end| *end != NEVER).flat_map(|end| [end - 1, end]));
    times.sort_unstable();
    times.dedup();
    times.truncate(5);
    let near = lists
        .iter()
        .flat_map(|list| &list.entries)
        .flat_map(|entry| around(&entry.net));
    for address in near.chain(more.iter().copied()) {
        for now in &times {
            assert_eq!(
                found(&table.lines, address, *now),
                expected(lists, address, *now),
                "{address} at {now}, of {lists:?}"
            );
        }
    }
    // What a table tells of its lists makes the same table again.
    let words = atomics(&table.lines);
    let view = View::new(&words).unwrap();
    let read = view.lists().map(|(slot, described)| List {
        slot,
        described,
        entries: view.entries(slot, 0),
    });
    let read: Vec<_> = read.collect();
    assert_eq!(read.len(), lists.len());
    assert!(
        read.iter()
            .zip(lists)
            .all(|(read, given)| read.described == given.described)
    );
    let again = atomics(&build(&read, 9).unwrap().lines);
    assert_eq!(
        told(&View::new(&again).unwrap()),
        told(&view),
        "read back as {read:?}, of {lists:?}"
    );
}

/// Every stretch, with the end on each list.
fn told(view: &View<'_>) -> Vec<(u128, u128, bool, Vec<Option<u64>>)> {
    let ends = |class| (0..MAX_LISTS).map(|slot| view.end_in(class, slot)).collect();
    let told = |it: Stretch| (it.first, it.last, it.is_v4, ends(it.class));
    view.stretches().map(told).collect()
}

#[test]
fn what_shares_ends_is_told_apart() {
    check(
        &[
            list(
                0,
                verdict::BAN,
                vec![entry("10.0.0.0/8", NEVER), entry("10.0.0.0/24", NEVER)],
            ),
            list(
                1,
                verdict::ALLOW,
                vec![entry("10.0.0.0/8", 50), entry("10.255.255.255/32", NEVER)],
            ),
            list(
                31,
                verdict::OBSERVE,
                vec![entry("0.0.0.0/0", 40), entry("255.255.255.255", 60)],
            ),
        ],
        &[],
    );
    check(
        &[list(
            3,
            verdict::BAN,
            [
                "::/1",
                "8000::/1",
                "ffff:ffff:ffff:ffff::/64",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
            ]
            .map(|net| entry(net, NEVER))
            .to_vec(),
        )],
        &[],
    );
    check(
        &[list(
            0,
            verdict::BAN,
            vec![entry("::/0", NEVER), entry("0.0.0.0/0", NEVER)],
        )],
        &[],
    );
    check(
        &[list(0, verdict::BAN, Vec::new())],
        &["::".parse().unwrap(), "0.0.0.0".parse().unwrap()],
    );
    // Neighbouring /64s with stretches of their own, and none between them.
    check(
        &[list(
            2,
            verdict::BAN,
            [
                "2001:db8:0:1::1/128",
                "2001:db8:0:2::/128",
                "2001:db8:0:2:8000::/65",
                "2001:db8:0:4::/127",
                "2001:db8::/32",
            ]
            .map(|net| entry(net, NEVER))
            .to_vec(),
        )],
        &[],
    );
}

#[test]
fn entries_end_one_after_the_other() {
    let lists = [
        list(
            0,
            verdict::BAN,
            vec![entry("192.0.2.0/24", NEVER), entry("192.0.2.0/25", 10)],
        ),
        list(
            1,
            verdict::BAN,
            vec![entry("192.0.2.0/25", 20), entry("192.0.2.0/26", 30)],
        ),
        list(2, verdict::ALLOW, vec![entry("192.0.2.1", 15)]),
    ];
    let table = build(&lists, 0).unwrap();
    let address = "192.0.2.1".parse().unwrap();
    let at = |now| found(&table.lines, address, now);
    assert_eq!(at(14), BANS | ALLOWS | 0b111);
    assert_eq!(at(15), BANS | 0b11);
    assert_eq!(at(29), BANS | 0b11);
    assert_eq!(at(30), BANS | 0b1);
    assert_eq!(table.next_end, Some(10));
    check(&lists, &[]);
}

#[test]
fn a_full_slash_8_is_found_to_the_last_address() {
    let hosts = (0..200_000_u32).map(|host| Entry {
        net: Prefix::host(IpAddr::V4(((10 << 24) | (host * 2)).into())),
        ends: NEVER,
    });
    let lists = [list(0, verdict::BAN, hosts.collect())];
    let table = build(&lists, 0).unwrap();
    for host in 0..400_002_u32 {
        let address = IpAddr::V4((10 << 24 | host).into());
        let is_listed = host % 2 == 0 && host < 400_000;
        assert_eq!(found(&table.lines, address, 0) != 0, is_listed, "{address}");
    }
}

/// A number that looks random. Steele, Lea, Flood: Fast splittable pseudorandom number generators (SplitMix64).
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[test]
fn a_million_addresses_are_found_as_prefixes_of_every_kind_say() {
    const V4: u32 = 0xc633_6407;
    const V6: u128 = 0x2001_0db8_0000_0007 << 64 | 0x35;
    let v4 = |bits: u32, len| Prefix::new(IpAddr::V4(bits.into()), len).unwrap();
    let v6 = |bits: u128, len| Prefix::new(IpAddr::V6(bits.into()), len).unwrap();
    let beside = |len: u8| 1_u128.checked_shl(128 - u32::from(len)).unwrap_or(0);
    let kinds: [Vec<Prefix>; 4] = [
        // Each in the one before.
        (0..=32)
            .map(|len| v4(V4, len))
            .chain((0..=128).step_by(3).map(|len| v6(V6, len)))
            .collect(),
        // Each beside the one before.
        (0..32)
            .map(|number| v4(V4 + (number << 8), 24))
            .chain((0..32_u32).map(|number| v6(V6 + (u128::from(number) << 64), 64)))
            .collect(),
        // Halves of all addresses, and the first and last of them.
        [(0, 1), (1 << 31, 1), (0, 32), (u32::MAX, 32), (u32::MAX - 1, 31)]
            .map(|(bits, len)| v4(bits, len))
            .into_iter()
            .chain(
                [(0, 1), (1 << 127, 1), (1, 128), (u128::MAX, 128), (u128::MAX, 65)]
                    .map(|(bits, len)| v6(bits, len)),
            )
            .collect(),
        // Of every length, each beside what holds the others.
        (1..=128).map(|len| v6(V6 ^ beside(len), len)).collect(),
    ];
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (true, u128::from(v4.to_bits())),
        IpAddr::V6(v6) => (false, v6.to_bits()),
    };
    let mut state = 1;
    for nets in kinds {
        let verdicts = [verdict::OBSERVE, verdict::BAN, verdict::ALLOW];
        let lists = verdicts.map(|verdict| {
            let nets = nets.iter().skip(verdict as usize).step_by(verdicts.len());
            let entries = nets.map(|net| Entry {
                net: *net,
                ends: NEVER,
            });
            list(verdict as usize, verdict, entries.collect())
        });
        // First and last address, and what it says.
        let said: Vec<_> = nets
            .iter()
            .zip([1, 2 | BANS, 4 | ALLOWS].into_iter().cycle())
            .map(|(net, lists)| {
                let (is_v4, first) = bits(net.addr());
                let all = if is_v4 { u128::from(u32::MAX) } else { u128::MAX };
                let last = first | all.checked_shr(u32::from(net.len())).unwrap_or(0);
                (is_v4, first..=last, lists)
            })
            .collect();
        let table = build(&lists, 0).unwrap();
        for _ in 0..250_000 {
            let number = draw(&mut state);
            let flipped = (0..number & 3).map(|_| draw(&mut state));
            // Near one of them.
            let address = match nets[(number >> 2) as usize % nets.len()].addr() {
                IpAddr::V4(near) => IpAddr::V4(
                    flipped
                        .fold(near.to_bits(), |bits, at| bits ^ 1 << (at % 32))
                        .into(),
                ),
                IpAddr::V6(near) => IpAddr::V6(
                    flipped
                        .fold(near.to_bits(), |bits, at| bits ^ 1 << (at % 128))
                        .into(),
                ),
            };
            let (is_v4, number) = bits(address);
            let mut expected = 0;
            for (of_v4, range, lists) in &said {
                if *of_v4 == is_v4 && range.contains(&number) {
                    expected |= lists;
                }
            }
            assert_eq!(found(&table.lines, address, 0), expected, "{address} of {nets:?}");
        }
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let many: Vec<_> = (0..70_000).map(|end| entry("192.0.2.0/24", end)).collect();
    assert_eq!(
        build(&[list(0, verdict::BAN, many)], 0).unwrap_err(),
        BuildError::Ends(1 << 16)
    );
}

fn any_net() -> impl Strategy<Value = Prefix> {
    // Few bits differ, so that prefixes meet.
    let v4 = (0_u8..=32, prop::collection::vec(0_u32..32, 0..4)).prop_map(|(len, bits)| {
        let address = bits.iter().fold(10 << 24, |address, bit| address ^ 1 << bit);
        Prefix::new(IpAddr::V4(u32::into(address)), len).unwrap()
    });
    let v6 = (0_u8..=128, prop::collection::vec(0_u32..128, 0..4)).prop_map(|(len, bits)| {
        let address = bits
            .iter()
            .fold(0x2001_0db8_u128 << 96, |address, bit| address ^ 1 << bit);
        Prefix::new(IpAddr::V6(address.into()), len).unwrap()
    });
    prop_oneof![v4, v6]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn lists_are_found_as_their_prefixes_say(
        drawn in prop::collection::btree_map(
            0..MAX_LISTS,
            (0_u32..3, prop::collection::vec((any_net(), prop_oneof![4 => Just(NEVER), 1 => 1_u64..9]), 0..30)),
            1..5,
        ),
        more in prop::collection::vec(any_net(), 30),
    ) {
        let lists: Vec<_> = drawn
            .into_iter()
            .map(|(slot, (verdict, entries))| {
                let entries = entries.into_iter().map(|(net, ends)| Entry { net, ends });
                list(slot, verdict, entries.collect())
            })
            .collect();
        let more: Vec<_> = more.iter().map(Prefix::addr).collect();
        check(&lists, &more);
    }
}
