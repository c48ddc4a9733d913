//! `FLOODS`: the drops of flooding sources that CPUs have not yet added to the bans.

use std::{collections::HashMap, net::IpAddr};

use anyhow::Context;
use aya::maps::{Map, MapData, PerCpuArray};
use secbeat_common::{
    maps::{self, Flood, family},
    prefix::Prefix,
};

use secbeat_edge_core::{BootTime, KernelBan};

use super::Pins;

/// The map, open.
pub struct Floods {
    array: PerCpuArray<MapData, Flood>,
}

/// What all CPUs together hold back, by source and end of the ban: packets and bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldBack(HashMap<(Prefix, BootTime), (u64, u64)>);

impl Floods {
    /// Opens the pinned map; works without the daemon.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not pinned, or not of this release.
    pub fn open(pins: &Pins) -> anyhow::Result<Self> {
        let path = pins.map(maps::FLOODS);
        let data =
            MapData::from_pin(&path).with_context(|| format!("opening the pinned map {}", path.display()))?;
        let array = Map::PerCpuArray(data)
            .try_into()
            .context("FLOODS is not of this release")?;
        Ok(Self { array })
    }

    /// Returns what is held back now. Read it after the bans, once for all of them: what a CPU adds to its ban in between is then
    /// missing from the sum for a moment (at most 63 packets), but never counted twice.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn read(&self) -> anyhow::Result<HeldBack> {
        let mut held = HeldBack::default();
        for slot in 0..maps::FLOOD_SLOTS {
            let per_cpu = self.array.get(&slot, 0).context("reading the memory of floods")?;
            per_cpu.iter().for_each(|flood| held.add(flood));
        }
        Ok(held)
    }
}

impl HeldBack {
    fn add(&mut self, flood: &Flood) {
        let Some(source) = source(flood).filter(|_| flood.packets > 0) else {
            return;
        };
        let sum = self
            .0
            .entry((source, BootTime(flood.expires_boot_ns)))
            .or_default();
        sum.0 += u64::from(flood.packets);
        sum.1 += flood.bytes;
    }

    /// The ban of `target` with what belongs to it added.
    #[must_use]
    pub fn counted(&self, target: &Prefix, ban: KernelBan) -> KernelBan {
        let (packets, bytes) = self.0.get(&(*target, ban.ends)).copied().unwrap_or_default();
        KernelBan {
            dropped_packets: ban.dropped_packets + packets,
            dropped_bytes: ban.dropped_bytes + bytes,
            ..ban
        }
    }
}

fn source(flood: &Flood) -> Option<Prefix> {
    let bytes = flood.source.to_ne_bytes();
    let [a, b, c, d, ..] = bytes;
    match flood.family {
        family::V4 => Some(Prefix::single(IpAddr::from([a, b, c, d]))),
        family::V6 => Some(Prefix::of_upper_half(bytes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flood(bytes: [u8; 8], family: u32, ends: u64, packets: u32) -> Flood {
        Flood {
            source: u64::from_ne_bytes(bytes),
            expires_boot_ns: ends,
            jiffy: 1,
            bytes: u64::from(packets) * 100,
            packets,
            family,
        }
    }

    #[test]
    fn what_cpus_hold_back_belongs_to_one_ban_of_one_source() {
        let v4 = [198, 51, 100, 7, 0, 0, 0, 0];
        let v6 = [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2];
        let mut held = HeldBack::default();
        for flood in [
            flood(v4, family::V4, 50, 3),
            flood(v4, family::V4, 50, 60),
            flood(v4, family::V4, 40, 9),
            flood(v6, family::V6, 50, 5),
            flood([0; 8], family::NONE, 0, 0),
        ] {
            held.add(&flood);
        }
        let ban = KernelBan {
            ends: BootTime(50),
            reason: 1,
            origin: 1,
            strikes: 0,
            unallowed_in: 0,
            dropped_packets: 64,
            dropped_bytes: 6400,
        };
        let counts = |target: &str, ban| {
            let ban = held.counted(&target.parse().unwrap(), ban);
            (ban.dropped_packets, ban.dropped_bytes)
        };
        assert_eq!(counts("198.51.100.7", ban), (127, 12_700));
        assert_eq!(counts("2001:db8:1:2::", ban), (69, 6900));
        assert_eq!(counts("198.51.100.8", ban), (64, 6400));
        let another = KernelBan {
            ends: BootTime(60),
            ..ban
        };
        assert_eq!(counts("198.51.100.7", another), (64, 6400));
    }
}
