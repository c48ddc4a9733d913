//! The kernel's allowlist, and its counters.

use std::collections::HashMap;

use anyhow::Context;
use aya::maps::{LpmTrie, Map, MapData, PerCpuArray, lpm_trie::Key};
use secbeat_common::{
    maps::{self, Allow, Counter},
    prefix::Prefix,
    verdict::Verdict,
};

use super::Pins;

/// `ALLOWED_NETS`: networks that the program never drops.
#[derive(Debug)]
pub struct AllowedNets {
    trie: LpmTrie<MapData, [u8; 16], Allow>,
}

impl AllowedNets {
    /// # Errors
    ///
    /// When the map is not pinned, or is no allowlist of this release.
    pub fn open(pins: &Pins) -> anyhow::Result<Self> {
        let path = pins.map(maps::ALLOWED_NETS);
        let data =
            MapData::from_pin(&path).with_context(|| format!("opening the pinned map {}", path.display()))?;
        let trie = Map::LpmTrie(data).try_into().context("ALLOWED_NETS is no allowlist of this release")?;
        Ok(Self { trie })
    }

    /// Makes the kernel's allowlist exactly `wanted` (prefix → a code of [`maps::allow`]): first adds, then removes, so
    /// that nothing which stays allowed is unprotected for an instant.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn set(&mut self, wanted: &HashMap<Prefix, u32>) -> anyhow::Result<()> {
        for (net, &reason) in wanted {
            self.trie.insert(&key(net), Allow { reason }, 0).with_context(|| format!("allowing {net} in the kernel"))?;
        }
        let kept: std::collections::HashSet<_> = wanted.keys().map(|net| parts(&key(net))).collect();
        let present = self.trie.keys().collect::<Result<Vec<_>, _>>().context("listing the kernel's allowlist")?;
        for key in present.iter().filter(|key| !kept.contains(&parts(key))) {
            self.trie.remove(key).context("removing a network from the kernel's allowlist")?;
        }
        Ok(())
    }
}

fn key(net: &Prefix) -> Key<[u8; 16]> {
    let maps::NetKey { prefix_len, addr } = net.net_key();
    Key::new(prefix_len, addr)
}

fn parts(key: &Key<[u8; 16]>) -> (u32, [u8; 16]) {
    (key.prefix_len(), key.data())
}

/// Packets and bytes by verdict, over all CPUs, since the maps were made.
pub type Totals = [Counter; Verdict::COUNT];

/// Reads the counters; works without the daemon.
///
/// # Errors
///
/// When the map is not pinned or the kernel refuses.
pub fn read_totals(pins: &Pins) -> anyhow::Result<Totals> {
    let path = pins.map(maps::COUNTERS);
    let data = MapData::from_pin(&path).with_context(|| format!("opening the pinned map {}", path.display()))?;
    let counters: PerCpuArray<_, Counter> =
        Map::PerCpuArray(data).try_into().context("COUNTERS is no counter map of this release")?;
    let mut totals = Totals::default();
    for verdict in Verdict::ALL {
        let per_cpu = counters.get(&(verdict as u32), 0).context("reading the kernel's counters")?;
        for counter in per_cpu.iter() {
            totals[verdict as usize].packets += counter.packets;
            totals[verdict as usize].bytes += counter.bytes;
        }
    }
    Ok(totals)
}
