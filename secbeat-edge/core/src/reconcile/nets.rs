//! Networks within networks. The kernel's trie finds the longest banned network around an address and no other, so one
//! that ends before a wider one around it would hide the wider one from then on. Therefore an entry of the trie lasts as
//! long as the longest ban around it.

use secbeat_common::{net_table::NetTable, prefix::Prefix, wire::Layer};

use super::{Change, Enforced, Reconciler};
use crate::{BootTime, Entry, KernelBan};

/// The end that the kernel has to be told for `net`, of which one ban ends at `own`: the latest end of all bans that cover
/// it. `None` in the table is a ban that the kernel does not hold.
fn covered_until(nets: &NetTable<Option<BootTime>>, net: &Prefix, own: BootTime) -> BootTime {
    nets.around(net).filter_map(|(_, ends)| *ends).fold(own, Ord::max)
}

/// The same for any target. The program looks at the networks around a source itself once the source's own ban has ended.
pub(super) fn kernel_end(nets: &NetTable<Option<BootTime>>, target: &Prefix, own: BootTime) -> BootTime {
    if target.is_single() {
        return own;
    }
    covered_until(nets, target, own)
}

/// Returns what to write so that `net` is banned, when the kernel's networks are `present` and the end that each ban had of
/// its own is not known: `net` itself, and those within it that end earlier.
#[must_use]
pub fn cover(present: &[(Prefix, KernelBan)], net: Prefix, ban: KernelBan) -> Vec<(Prefix, KernelBan)> {
    let around = present
        .iter()
        .filter(|(outer, _)| outer.covers(&net) && *outer != net);
    let ends = around.map(|(_, outer)| outer.ends).fold(ban.ends, Ord::max);
    let within = present
        .iter()
        .filter(|(inner, _)| net.covers(inner) && *inner != net);
    let mut writes = vec![(net, KernelBan { ends, ..ban })];
    writes.extend(
        within
            .filter(|(_, inner)| inner.ends < ends)
            .map(|(inner, known)| (*inner, KernelBan { ends, ..*known })),
    );
    writes
}

impl Reconciler {
    /// Returns what `change` means for the kernel's maps: that of a network also concerns the networks within it.
    pub(crate) fn entries(&self, change: &Change) -> impl Iterator<Item = Entry> {
        let own = match change {
            Change::Put(target, ban) if ban.layer == Layer::Kernel => self.entry(*target, ban),
            Change::Put(target, _) | Change::Remove(target) => Entry::Remove(*target),
        };
        std::iter::once(own).chain(self.entries_within(change.target()))
    }

    fn entries_within(&self, outer: Prefix) -> Vec<Entry> {
        if outer.is_single() {
            // Kept in another map, whose entries hide nothing in the trie.
            return Vec::new();
        }
        let inner = self.nets.within(&outer).filter(|(_, ends)| ends.is_some());
        inner
            .filter_map(|(inner, _)| Some(self.entry(*inner, self.claims.get(inner)?.enforced()?)))
            .collect()
    }

    fn entry(&self, target: Prefix, ban: &Enforced) -> Entry {
        let entry = KernelBan {
            ends: kernel_end(&self.nets, &target, ban.ends),
            reason: ban.reason.code(),
            origin: ban.origin.code(),
            strikes: ban.strikes,
            unallowed_in: 0,
            dropped_packets: 0,
            dropped_bytes: 0,
        };
        let seen = self.claims.get(&target).and_then(|claims| claims.seen_in);
        if seen.is_none() && !self.has_unknown {
            Entry::Add(target, entry)
        } else {
            Entry::Put(target, entry)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reconcile::tests::networks::crowded_prefix;

    const BAN: KernelBan = KernelBan {
        ends: BootTime(0),
        reason: 1,
        origin: 1,
        strikes: 0,
        unallowed_in: 0,
        dropped_packets: 0,
        dropped_bytes: 0,
    };

    /// The end that a packet from `host` meets in a trie: that of the longest network around it.
    fn met(trie: &[(Prefix, BootTime)], host: &Prefix) -> BootTime {
        let around = trie.iter().filter(|(net, _)| net.covers(host));
        around
            .max_by_key(|(net, _)| net.len())
            .map_or(BootTime(0), |(_, ends)| *ends)
    }

    /// The end that it should meet: the latest of all.
    fn due(bans: &[(Prefix, BootTime)], host: &Prefix) -> BootTime {
        let around = bans.iter().filter(|(net, _)| net.covers(host));
        around.map(|(_, ends)| *ends).max().unwrap_or(BootTime(0))
    }

    fn bans() -> impl Strategy<Value = Vec<(Prefix, BootTime)>> {
        prop::collection::vec((crowded_prefix(), (1..50_u64).prop_map(BootTime)), 1..30).prop_map(
            |mut bans| {
                bans.sort();
                bans.dedup_by_key(|(net, _)| *net);
                bans
            },
        )
    }

    fn hosts(bans: &[(Prefix, BootTime)]) -> Vec<Prefix> {
        bans.iter().map(|(net, _)| Prefix::host(net.addr())).collect()
    }

    proptest! {
        #[test]
        fn no_ban_hides_a_longer_one_around_it(bans in bans()) {
            let mut table = NetTable::default();
            for (net, ends) in &bans {
                table.insert(*net, Some(*ends));
            }
            let trie: Vec<_> = bans.iter().map(|(net, own)| (*net, covered_until(&table, net, *own))).collect();
            for host in hosts(&bans) {
                prop_assert_eq!(met(&trie, &host), due(&bans, &host));
            }
        }

        #[test]
        fn bans_written_one_by_one_without_the_daemon_hide_none_either(bans in bans().prop_shuffle()) {
            let mut trie: Vec<(Prefix, KernelBan)> = Vec::new();
            for (net, ends) in &bans {
                for (written, ban) in cover(&trie, *net, KernelBan { ends: *ends, ..BAN }) {
                    trie.retain(|(known, _)| *known != written);
                    trie.push((written, ban));
                }
            }
            let trie: Vec<_> = trie.iter().map(|(net, ban)| (*net, ban.ends)).collect();
            for host in hosts(&bans) {
                prop_assert_eq!(met(&trie, &host), due(&bans, &host));
            }
        }
    }
}
