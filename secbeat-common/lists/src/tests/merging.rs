//! Entries that are merged, and ranges that become networks.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use secbeat_common::prefix::Prefix;

use super::*;

fn merged(text: &str) -> Vec<String> {
    let merged = aggregate(listed(text), NOW);
    merged
        .iter()
        .map(|entry| {
            format!("{} {} {}", entry.line, entry.network, entry.about.note)
                .trim_end()
                .to_owned()
        })
        .collect()
}

#[test]
fn adjacent_networks_are_merged_with_their_notes() {
    assert_eq!(
        merged(
            "192.0.2.0/25 # a\n203.0.113.9\n192.0.2.128/25 # b\n192.0.2.7 # a\n2001:db8::/33\n2001:db8:8000::/33\n"
        ),
        ["1 192.0.2.0/24 a; b", "2 203.0.113.9/32", "5 2001:db8::/32"]
    );
    let nets: String = (0..6000_u32)
        .map(|net| format!("{}/24\n", Ipv4Addr::from(0x6440_0000 + (net << 8))))
        .collect();
    assert_eq!(merged(&nets).len(), 7);
    assert_eq!(
        merged("10.0.0.0/8\n11.0.0.0/8\n"),
        ["1 10.0.0.0/8", "2 11.0.0.0/8"],
        "a /7 is wider than any ban"
    );
}

#[test]
fn what_ends_at_another_time_is_not_merged() {
    let csv = "ip,duration\n192.0.2.0/25,1h\n192.0.2.128/25,2h\n192.0.2.0/26,1h\n";
    assert_eq!(merged(csv), ["2 192.0.2.0/25", "3 192.0.2.128/25"]);
}

#[test]
fn of_equal_networks_the_one_that_lasts_longest_stays() {
    let mut entries = listed("ip,duration,note\n192.0.2.7,1h,a\n192.0.2.7,2h,b\n192.0.2.7/32,1h,c\n");
    (entries[0].about.strikes, entries[1].about.strikes) = (Some(3), Some(1));
    assert_eq!(distinct(&mut entries, NOW), 2);
    let about = &entries[0].about;
    assert_eq!((entries.len(), about.note.as_str()), (1, "b"));
    assert_eq!(about.strikes, Some(3));
}

fn prefixes() -> impl Strategy<Value = Vec<(u32, u8)>> {
    prop::collection::vec((0xc000_0200..0xc000_0300_u32, 24..=32_u8), 0..40)
}

proptest! {
    #[test]
    fn a_range_is_exactly_its_addresses(first in 0xc633_6400..0xc633_6500_u32, len in 0..600_u32) {
        let (from, to) = (Ipv4Addr::from(first), Ipv4Addr::from(first + len));
        let nets: Vec<Prefix> = entries(&format!("{from}-{to}")).iter().map(|entry| entry.target.parse().unwrap()).collect();
        let mut covered: Vec<u32> = Vec::new();
        for address in first.saturating_sub(300)..first + len + 300 {
            let holding = nets.iter().filter(|net| net.contains(IpAddr::V4(address.into()))).count();
            prop_assert!(holding <= 1);
            covered.extend((holding == 1).then_some(address));
        }
        prop_assert_eq!(covered, (first..=first + len).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_merged_holds_the_same_addresses(nets in prefixes()) {
        let list: String = nets.iter().map(|(addr, len)| format!("{}/{len}\n", Ipv4Addr::from(*addr))).collect();
        let before = listed(&list);
        let after = aggregate(before.clone(), NOW);
        for address in 0xc000_01f0..0xc000_0310_u32 {
            let holds = |entries: &[Listed]| entries.iter().any(|entry| entry.network.contains(IpAddr::V4(address.into())));
            prop_assert_eq!(holds(&before), holds(&after));
        }
        prop_assert!(after.len() <= before.len());
        for (index, entry) in after.iter().enumerate() {
            prop_assert!(after.iter().skip(index + 1).all(|other| !other.network.covers(&entry.network) && !entry.network.covers(&other.network)));
        }
    }
}
