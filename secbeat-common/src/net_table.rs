//! Networks by prefix: which of them lie around another one, and which within it.

use std::collections::BTreeMap;

use crate::prefix::Prefix;

/// A few thousand networks, each with a `T`. Finding those around an address takes a lookup for each prefix length that
/// occurs, of which there are few.
#[derive(Clone, Debug)]
pub struct NetTable<T> {
    /// Sorted by address and then by length, so that what lies within a network follows it without a gap.
    nets: BTreeMap<Prefix, T>,
    /// Number of networks of each length; `true` for IPv4.
    lengths: BTreeMap<(bool, u8), usize>,
}

impl<T> Default for NetTable<T> {
    fn default() -> Self {
        Self {
            nets: BTreeMap::new(),
            lengths: BTreeMap::new(),
        }
    }
}

impl<T> NetTable<T> {
    #[must_use]
    pub fn len(&self) -> usize {
        self.nets.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nets.is_empty()
    }

    /// Returns what is kept for exactly `net`.
    #[must_use]
    pub fn get(&self, net: &Prefix) -> Option<&T> {
        self.nets.get(net)
    }

    pub fn insert(&mut self, net: Prefix, value: T) {
        if self.nets.insert(net, value).is_none() {
            *self.lengths.entry(length(&net)).or_default() += 1;
        }
    }

    pub fn remove(&mut self, net: &Prefix) {
        if self.nets.remove(net).is_none() {
            return;
        }
        if let Some(count) = self.lengths.get_mut(&length(net)) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&length(net));
            }
        }
    }

    /// Removes all for which `keep` does not hold.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        let over = self.nets.iter().filter(|(_, value)| !keep(value));
        let over: Vec<_> = over.map(|(net, _)| *net).collect();
        over.iter().for_each(|net| self.remove(net));
    }

    /// The networks that contain all of `inner`, itself included, the widest first.
    pub fn around<'a>(&'a self, inner: &'a Prefix) -> impl Iterator<Item = (Prefix, &'a T)> {
        let (family, len) = length(inner);
        self.lengths
            .range((family, 0)..=(family, len))
            .filter_map(|((_, len), _)| {
                let outer = Prefix::new(inner.addr(), *len).ok()?;
                Some((outer, self.nets.get(&outer)?))
            })
    }

    /// The networks that lie in `outer` and are not itself.
    pub fn within<'a>(&'a self, outer: &'a Prefix) -> impl Iterator<Item = (&'a Prefix, &'a T)> {
        self.nets
            .range(outer..)
            .take_while(|(net, _)| outer.covers(net))
            .filter(move |(net, _)| *net != outer)
    }
}

fn length(net: &Prefix) -> (bool, u8) {
    (net.addr().is_ipv4(), net.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Prefixes that often lie within each other, in both families.
    fn crowded_prefix() -> impl Strategy<Value = Prefix> {
        let v4 = (0..4_u32, 6..=32_u8).prop_map(|(low, len)| {
            let address = 0xc633_6400 | (low * 0x55);
            Prefix::new(std::net::Ipv4Addr::from(address).into(), len).unwrap()
        });
        let v6 = (0..4_u128, 16..=128_u8).prop_map(|(low, len)| {
            let address = 0x2001_0db8 << 96 | (low * 0x5555) << 48 | low;
            Prefix::new(std::net::Ipv6Addr::from(address).into(), len).unwrap()
        });
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn around_and_within_are_those_that_a_look_at_each_finds(
            nets in prop::collection::vec(crowded_prefix(), 0..40),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
            asked in crowded_prefix(),
        ) {
            let mut table = NetTable::default();
            for (at, net) in nets.iter().enumerate() {
                table.insert(*net, at);
            }
            let mut left: Vec<Prefix> = nets;
            for index in removed {
                if !left.is_empty() {
                    let gone = left[index.index(left.len())];
                    left.retain(|net| *net != gone);
                    table.remove(&gone);
                    table.remove(&gone);
                }
            }
            left.sort();
            left.dedup();
            let around: Vec<_> = table.around(&asked).map(|(net, _)| net).collect();
            let mut wanted: Vec<_> = left.iter().filter(|net| net.covers(&asked)).copied().collect();
            wanted.sort_by_key(Prefix::len);
            prop_assert_eq!(around, wanted);
            let within: Vec<_> = table.within(&asked).map(|(net, _)| *net).collect();
            let wanted: Vec<_> = left.iter().filter(|net| asked.covers(net) && **net != asked).copied().collect();
            prop_assert_eq!(within, wanted);
            prop_assert_eq!(table.len(), left.len());
        }
    }
}
