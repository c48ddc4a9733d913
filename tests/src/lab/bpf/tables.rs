//! What the program's maps hold, by their keys.

use std::net::IpAddr;

use aya::maps::{HashMap, Map, PerCpuArray};
use secbeat_common::{
    maps::{self, Ban, Counter, Sieved, sieve_shift},
    prefix::canonical,
    verdict::Verdict,
};

/// Packets and bytes by verdict, summed over all CPUs and indexed by [`Verdict`].
pub type Counters = [Counter; Verdict::COUNT];

pub(super) enum SourceKey {
    V4([u8; 4]),
    V6([u8; 8]),
}

pub(super) fn source_key(address: IpAddr) -> SourceKey {
    match canonical(address) {
        IpAddr::V4(v4) => SourceKey::V4(v4.octets()),
        IpAddr::V6(v6) => SourceKey::V6(((u128::from(v6) >> 64) as u64).to_be_bytes()),
    }
}

/// In a sieve of so many words.
pub(super) fn sieved(address: IpAddr, words: u32) -> Sieved {
    let source = match source_key(address) {
        SourceKey::V4([a, b, c, d]) => u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]),
        SourceKey::V6(key) => u64::from_ne_bytes(key),
    };
    Sieved::of(source, sieve_shift(words))
}

pub(super) fn ban_in(v4: &Map, v6: &Map, address: IpAddr) -> Option<Ban> {
    match source_key(address) {
        SourceKey::V4(key) => {
            let table: HashMap<_, [u8; 4], Ban> = v4.try_into().expect(maps::BANNED_V4);
            table.get(&key, 0).ok()
        }
        SourceKey::V6(key) => {
            let table: HashMap<_, [u8; 8], Ban> = v6.try_into().expect(maps::BANNED_V6);
            table.get(&key, 0).ok()
        }
    }
}

pub(super) fn counters_in(map: &Map) -> Counters {
    let table: PerCpuArray<_, Counter> = map.try_into().expect(maps::COUNTERS);
    Verdict::ALL.map(|verdict| {
        let per_cpu = table.get(&(verdict as u32), 0).expect("reading a counter");
        per_cpu.iter().fold(Counter::default(), |sum, one| Counter {
            packets: sum.packets + one.packets,
            bytes: sum.bytes + one.bytes,
        })
    })
}
