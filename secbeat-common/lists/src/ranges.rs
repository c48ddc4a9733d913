//! Sets of addresses as ranges: merged, without others, and as networks again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use secbeat_common::prefix::Prefix;

/// Ranges of both families, each from its first to its last address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    ipv4: Vec<(u128, u128)>,
    ipv6: Vec<(u128, u128)>,
}

impl Ranges {
    /// All addresses of `networks`, in as few ranges as there can be.
    #[must_use]
    pub fn of(networks: impl IntoIterator<Item = Prefix>) -> Self {
        let mut ranges = Self::default();
        for network in networks {
            let (first, last, is_ipv4) = bounds(&network);
            match is_ipv4 {
                true => ranges.ipv4.push((first, last)),
                false => ranges.ipv6.push((first, last)),
            }
        }
        merge(&mut ranges.ipv4);
        merge(&mut ranges.ipv6);
        ranges
    }

    /// Those addresses that are not in `others`.
    #[must_use]
    pub fn without(&self, others: &Self) -> Self {
        Self {
            ipv4: without(&self.ipv4, &others.ipv4),
            ipv6: without(&self.ipv6, &others.ipv6),
        }
    }

    /// Whether all of `network` is in it.
    #[must_use]
    pub fn covers(&self, network: &Prefix) -> bool {
        let (first, last, is_ipv4) = bounds(network);
        let ranges = if is_ipv4 { &self.ipv4 } else { &self.ipv6 };
        let after = ranges.partition_point(|range| range.0 <= first);
        let around = after.checked_sub(1).and_then(|at| ranges.get(at));
        around.is_some_and(|range| last <= range.1)
    }

    /// Whether it and `network` have an address in common.
    #[must_use]
    pub fn touches(&self, network: &Prefix) -> bool {
        let (first, last, is_ipv4) = bounds(network);
        let ranges = if is_ipv4 { &self.ipv4 } else { &self.ipv6 };
        let after = ranges.partition_point(|range| range.0 <= last);
        let before = after.checked_sub(1).and_then(|at| ranges.get(at));
        before.is_some_and(|range| first <= range.1)
    }

    /// Returns what is left of `network` without it, as networks.
    pub(super) fn left_of(&self, network: &Prefix) -> Vec<Prefix> {
        let (first, last, is_ipv4) = bounds(network);
        let ranges = if is_ipv4 { &self.ipv4 } else { &self.ipv6 };
        // Only those that meet it: others may be many.
        let from = ranges.partition_point(|range| range.1 < first);
        let to = ranges.partition_point(|range| range.0 <= last);
        let left = without(&[(first, last)], ranges.get(from..to).unwrap_or_default());
        let mut networks = Vec::new();
        for (first, last) in left {
            split(first, last, if is_ipv4 { 32 } else { 128 }, 0, &mut networks);
        }
        networks
    }

    /// As few networks as there can be, sorted, IPv4 first.
    #[must_use]
    pub fn networks(&self) -> Vec<Prefix> {
        self.networks_from(0, 0)
    }

    /// [`networks`](Self::networks), but none of IPv4 and of IPv6 with a shorter prefix than these lengths.
    #[must_use]
    pub fn networks_from(&self, ipv4: u8, ipv6: u8) -> Vec<Prefix> {
        let mut networks = Vec::with_capacity(self.ipv4.len() + self.ipv6.len());
        for (ranges, width, least) in [(&self.ipv4, 32, ipv4), (&self.ipv6, 128, ipv6)] {
            for (first, last) in ranges {
                split(*first, *last, width, u32::from(least), &mut networks);
            }
        }
        networks
    }
}

/// Returns how many of `networks` have an address in common with one of `others`. Both are sorted, and have no network within
/// another one.
#[must_use]
pub fn overlap(networks: &[Prefix], others: &[Prefix]) -> usize {
    let mut others = others.iter().map(bounds).peekable();
    let overlaps = |network: &Prefix| {
        let (first, last, is_ipv4) = bounds(network);
        let is_before = |(_, other_last, other_ipv4): &(u128, u128, bool)| {
            (!*other_ipv4, *other_last) < (!is_ipv4, first)
        };
        while others.next_if(is_before).is_some() {}
        let next = others.peek();
        next.is_some_and(|(other, _, family)| *family == is_ipv4 && *other <= last)
    };
    networks.iter().map(overlaps).filter(|overlaps| *overlaps).count()
}

/// Networks that only `new` has, and those that only `old` has. Both are sorted.
#[must_use]
pub fn changes(old: &[Prefix], new: &[Prefix]) -> (Vec<Prefix>, Vec<Prefix>) {
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    let key = |network: &Prefix| (network.addr(), network.len());
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        match (old.peek(), new.peek()) {
            (Some(gone), Some(come)) => match key(gone).cmp(&key(come)) {
                std::cmp::Ordering::Less => removed.extend(old.next()),
                std::cmp::Ordering::Greater => added.extend(new.next()),
                std::cmp::Ordering::Equal => drop((old.next(), new.next())),
            },
            (Some(_), None) => removed.extend(old.next()),
            (None, Some(_)) => added.extend(new.next()),
            (None, None) => return (added, removed),
        }
    }
}

fn bounds(network: &Prefix) -> (u128, u128, bool) {
    let (first, width, is_ipv4) = match network.addr() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32, true),
        IpAddr::V6(v6) => (v6.to_bits(), 128, false),
    };
    let hosts = u128::MAX.checked_shr(128 - u32::from(width - network.len()));
    (first, first | hosts.unwrap_or(0), is_ipv4)
}

fn merge(ranges: &mut Vec<(u128, u128)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let touches = kept.1.checked_add(1).is_none_or(|after| next.0 <= after);
        if touches {
            kept.1 = kept.1.max(next.1);
        }
        touches
    });
}

fn without(ranges: &[(u128, u128)], others: &[(u128, u128)]) -> Vec<(u128, u128)> {
    let mut left = Vec::with_capacity(ranges.len());
    let mut from = 0;
    for (first, last) in ranges {
        let mut first = Some(*first);
        // Those that end before this range end before all that follow.
        from += others
            .iter()
            .skip(from)
            .take_while(|other| Some(other.1) < first)
            .count();
        for (cut, end) in others.iter().skip(from).take_while(|other| other.0 <= *last) {
            if let Some(begin) = first {
                if begin < *cut {
                    left.push((begin, cut - 1));
                }
                first = end.checked_add(1);
            }
        }
        if let Some(begin) = first.filter(|begin| begin <= last) {
            left.push((begin, *last));
        }
    }
    left
}

fn split(first: u128, last: u128, width: u32, least: u32, networks: &mut Vec<Prefix>) {
    let mut next = Some(first);
    while let Some(first) = next.filter(|first| *first <= last) {
        let aligned = first.trailing_zeros().min(width);
        // 2^128 addresses are one more than fit.
        let fits = (last - first).checked_add(1).map_or(width, u128::ilog2);
        let bits = aligned.min(fits).min(width - least.min(width));
        let addr = match width {
            32 => IpAddr::V4(Ipv4Addr::from_bits(first as u32)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(first)),
        };
        networks.extend(Prefix::new(addr, (width - bits) as u8));
        next = 1u128.checked_shl(bits).and_then(|size| first.checked_add(size));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn networks(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn shown(networks: &[Prefix]) -> Vec<String> {
        networks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn networks_are_merged_and_cut() {
        let all = |texts: &[&str]| shown(&Ranges::of(networks(texts)).networks());
        assert_eq!(
            all(&[
                "198.51.100.128/25",
                "2001:db8::/64",
                "198.51.100.0/25",
                "198.51.100.7",
                "2001:db8:0:1::/64"
            ]),
            ["198.51.100.0/24", "2001:db8::/63"]
        );
        assert_eq!(
            all(&["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"]),
            ["0.0.0.0/0", "::/0"]
        );
        let halves = Ranges::of(networks(&["2.0.0.0/7", "4.0.0.0/8", "2001:db8::/32"]));
        assert_eq!(
            shown(&halves.networks_from(8, 33)),
            [
                "2.0.0.0/8",
                "3.0.0.0/8",
                "4.0.0.0/8",
                "2001:db8::/33",
                "2001:db8:8000::/33"
            ]
        );
        let cut = |texts: &[&str], others: &[&str]| {
            shown(
                &Ranges::of(networks(texts))
                    .without(&Ranges::of(networks(others)))
                    .networks(),
            )
        };
        assert_eq!(
            cut(&["192.0.2.0/30"], &["192.0.2.1"]),
            ["192.0.2.0/32", "192.0.2.2/31"]
        );
        assert_eq!(
            cut(&["192.0.2.0/30", "::/0"], &["192.0.0.0/16", "::/1"]),
            ["8000::/1"]
        );
        assert_eq!(
            cut(&["255.255.255.254/31"], &["255.255.255.255"]),
            ["255.255.255.254/32"]
        );
        assert_eq!(
            cut(&["ffff::/16"], &["ffff:ffff:ffff:ffff::/64"]).last().unwrap(),
            "ffff:ffff:ffff:fffe::/64"
        );
    }

    #[test]
    fn overlaps_and_changes_are_counted() {
        let one = networks(&["192.0.2.0/30", "192.0.2.8/32", "198.51.100.0/24", "2001:db8::/32"]);
        let other = networks(&["192.0.2.1/32", "192.0.2.3/32", "198.51.0.0/16", "2001:db8:1::/64"]);
        assert_eq!(overlap(&one, &other), 3);
        assert_eq!(overlap(&other, &one), 4);
        assert_eq!(overlap(&one, &[]), 0);
        // An IPv6 network behind all IPv4 ones.
        assert_eq!(overlap(&networks(&["::/64"]), &networks(&["255.0.0.0/8"])), 0);
        let (added, removed) = changes(
            &one,
            &networks(&["192.0.2.0/31", "192.0.2.8/32", "2001:db8::/32", "3000::/64"]),
        );
        assert_eq!(shown(&added), ["192.0.2.0/31", "3000::/64"]);
        assert_eq!(shown(&removed), ["192.0.2.0/30", "198.51.100.0/24"]);
    }

    /// A network within 16 addresses at either end of IPv4.
    fn small() -> impl Strategy<Value = Prefix> {
        (any::<bool>(), 0..16u32, 28..=32u8).prop_map(|(is_end, host, len)| {
            let base = if is_end { u32::MAX - 15 } else { 0 };
            Prefix::new(Ipv4Addr::from_bits(base + host).into(), len).unwrap()
        })
    }

    proptest! {
        #[test]
        fn sets_are_those_of_a_model(
            list in prop::collection::vec(small(), 0..12),
            others in prop::collection::vec(small(), 0..6),
        ) {
            let left = Ranges::of(list.clone()).without(&Ranges::of(others.clone())).networks();
            for bits in (0..16).chain(u32::MAX - 15..=u32::MAX) {
                let addr = Ipv4Addr::from_bits(bits).into();
                let has = |networks: &[Prefix]| networks.iter().filter(|network| network.contains(addr)).count();
                let expected = has(&list) > 0 && has(&others) == 0;
                prop_assert_eq!(has(&left), usize::from(expected), "{}", addr);
            }
            let whole = Ranges::of(others);
            for network in &list {
                let all_in = Ranges::of([*network]).without(&whole).networks().is_empty();
                prop_assert_eq!(whole.covers(network), all_in, "{}", network);
                let cut = Ranges::of([*network]).without(&whole).networks();
                prop_assert_eq!(whole.touches(network), cut != [*network], "{}", network);
                prop_assert_eq!(whole.left_of(network), cut, "{}", network);
            }
            let merged = whole.networks();
            let touching = left.iter().filter(|one| merged.iter().any(|other| one.covers(other) || other.covers(one)));
            prop_assert_eq!(overlap(&left, &merged), touching.count());
            let (all, none) = changes(&[], &left);
            prop_assert_eq!((&all, none.len()), (&left, 0));
        }
    }
}
