use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use proptest::prelude::*;

use super::*;
use crate::table::{build, find_v4, find_v6};

fn ban(number: u64) -> Ban {
    Ban {
        expires_jiffies: number,
        expires_boot_ns: number + 1,
        dropped_packets: number + 2,
        dropped_bytes: number + 3,
        reason: 4,
        origin: 5,
        strikes: 6,
        unallowed_in: 7,
    }
}

fn numbered(nets: &[Prefix]) -> BTreeMap<Prefix, Ban> {
    nets.iter().copied().zip((1..).map(ban)).collect()
}

/// A table in memory, as it lies in the kernel's.
struct Table(Vec<AtomicU64>);

impl Table {
    fn of(nets: &BTreeMap<Prefix, Ban>) -> Self {
        let lines = build(nets);
        Self(
            lines
                .iter()
                .flat_map(|line| line.words)
                .map(AtomicU64::new)
                .collect(),
        )
    }

    fn view(&self) -> View<'_> {
        View::new(&self.0).expect("a table")
    }

    fn lines(&self) -> Vec<Line> {
        let (lines, _) = self.0.as_chunks::<WORDS>();
        let line = |words: &[AtomicU64; WORDS]| Line {
            words: std::array::from_fn(|word| words[word].load(Ordering::Relaxed)),
        };
        lines.iter().map(line).collect()
    }
}

/// The network that the program finds around an address.
fn met(lines: &[Line], address: IpAddr) -> Option<Prefix> {
    let line = |number: u32| lines.get(number as usize);
    let found = match address {
        IpAddr::V4(v4) => find_v4(line, v4.to_bits()),
        IpAddr::V6(v6) => find_v6(line, [(v6.to_bits() >> 64) as u64, v6.to_bits() as u64]),
    };
    let record = Record::from_line(&lines[found? as usize]);
    assert_eq!(record.state, LIVE);
    record.net()
}

/// The one that it should find.
fn due(nets: &BTreeMap<Prefix, Ban>, address: IpAddr) -> Option<Prefix> {
    let around = nets
        .keys()
        .filter(|net| net.addr().is_ipv4() == address.is_ipv4());
    let around = around.filter(|net| {
        let (first, last) = bounds(net);
        (first..=last).contains(&bits(address))
    });
    around.max_by_key(|net| net.len()).copied()
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The ends of all networks, and the addresses just outside.
fn telling(nets: &BTreeMap<Prefix, Ban>) -> Vec<IpAddr> {
    let address = |net: &Prefix, bits: u128| -> IpAddr {
        match net.addr() {
            IpAddr::V4(_) => Ipv4Addr::from_bits(bits as u32).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
        }
    };
    let of = |net: &Prefix| {
        let (first, last) = bounds(net);
        [
            first.wrapping_sub(1),
            first,
            first.midpoint(last),
            last,
            last.wrapping_add(1),
        ]
        .map(|bits| address(net, bits))
    };
    let edges = [
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ];
    let edges = edges.map(|text| text.parse().expect("an address"));
    nets.keys().flat_map(of).chain(edges).collect()
}

#[track_caller]
fn check(table: &Table, nets: &BTreeMap<Prefix, Ban>) {
    let lines = table.lines();
    for address in telling(nets) {
        assert_eq!(met(&lines, address), due(nets, address), "{address}");
    }
    let listed: BTreeMap<_, _> = table.view().after(None, usize::MAX).into_iter().collect();
    assert_eq!(&listed, nets);
    assert_eq!(table.view().count(), nets.len());
}

/// Few addresses and all lengths, so that networks nest, touch and repeat.
fn any_net() -> impl Strategy<Value = Prefix> {
    let v4 = (
        prop::sample::select(vec![0, 0xc633_6400, 0xc633_64ff, 0xc634_0000, u32::MAX]),
        0..8_u32,
        0..=32_u8,
    )
        .prop_map(|(base, low, len)| Prefix::new(Ipv4Addr::from_bits(base ^ low).into(), len).unwrap());
    let v6 = (
        prop::sample::select(vec![
            0,
            0x2001_0db8_u128 << 96,
            0x2001_0db8_0000_ffff_u128 << 64,
            u128::MAX,
        ]),
        0..8_u128,
        0..=128_u8,
    )
        .prop_map(|(base, low, len)| {
            Prefix::new(Ipv6Addr::from_bits(base ^ low ^ low << 64).into(), len).unwrap()
        });
    prop_oneof![v4, v6]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_longest_network_is_found_also_after_others_were_lifted(
        nets in prop::collection::vec(any_net(), 0..60),
        lifted in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let mut nets = numbered(&nets);
        let table = Table::of(&nets);
        check(&table, &nets);
        for index in lifted {
            if nets.is_empty() {
                break;
            }
            let net = *nets.keys().nth(index.index(nets.len())).unwrap();
            nets.remove(&net);
            prop_assert!(table.view().remove(&net));
            prop_assert!(!table.view().remove(&net));
        }
        check(&table, &nets);
    }
}

#[test]
fn crowds_are_found_one_by_one() {
    let hosts = |base: u32, step: u32| (0..40_000).map(move |n| Ipv4Addr::from_bits(base + n * step).into());
    let deep = (0..20_000_u128).map(|n| Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) + n * 3).into());
    // In one /16, one beside the other with and without a gap; and in one /18 of IPv6, within a network of it.
    let all = hosts(0x0a00_0000, 1).chain(hosts(0x0b00_0000, 2)).chain(deep);
    let mut nets: Vec<Prefix> = all.map(Prefix::host).collect();
    let wide: Vec<Prefix> = ["10.0.0.0/8", "2001:db8::/32"]
        .map(|net| net.parse().unwrap())
        .into();
    nets.extend(&wide);
    let nets = numbered(&nets);
    let lines = Table::of(&nets).lines();
    for address in telling(&nets) {
        let host = Prefix::host(address);
        let around = || wide.iter().find(|net| net.contains(address)).copied();
        let wanted = nets.contains_key(&host).then_some(host).or_else(around);
        assert_eq!(met(&lines, address), wanted, "{address}");
    }
}

#[test]
fn a_ban_is_replaced_in_place_and_keeps_its_counts() {
    let net: Prefix = "198.51.100.0/24".parse().unwrap();
    let table = Table::of(&numbered(&[net]));
    assert_eq!(table.view().get(&net), Some(ban(1)));
    assert!(table.view().update(&net, &ban(100)));
    let kept = Ban {
        dropped_packets: 3,
        dropped_bytes: 4,
        ..ban(100)
    };
    assert_eq!(table.view().get(&net), Some(kept));
    let other = "198.51.100.0/25".parse().unwrap();
    assert!(!table.view().update(&other, &ban(1)) && table.view().get(&other).is_none());
}

#[test]
fn a_walk_in_parts_sees_each_network_once() {
    let nets: Vec<Prefix> = (0..100)
        .map(|n| Prefix::new(Ipv4Addr::from_bits(0xc612_0000 + n * 4).into(), 30).unwrap())
        .collect();
    let nets = numbered(&nets);
    let table = Table::of(&nets);
    let (mut seen, mut last) = (Vec::new(), None);
    loop {
        let some = table.view().after(last.as_ref(), 7);
        // What was seen last may be lifted meanwhile.
        let Some((net, _)) = some.last() else { break };
        assert!(table.view().remove(net));
        last = Some(*net);
        seen.extend(some);
    }
    assert_eq!(seen, nets.into_iter().collect::<Vec<_>>());
}

#[test]
fn other_words_are_no_table() {
    let mut lines = build(&BTreeMap::new());
    let is_table = |lines: &[Line]| {
        let words: Vec<_> = lines
            .iter()
            .flat_map(|line| line.words)
            .map(AtomicU64::new)
            .collect();
        View::new(&words).is_some()
    };
    assert!(is_table(&lines));
    assert!(!is_table(&lines[..1]) && !is_table(&[]));
    lines[0].words[RECORDS + 1] = 1;
    assert!(!is_table(&lines));
    lines[0].words[RECORDS + 1] = 0;
    lines[0].words[0] = MAGIC + 1;
    assert!(!is_table(&lines));
}
