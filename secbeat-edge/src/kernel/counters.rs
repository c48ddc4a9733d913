//! `COUNTERS`: what became of all packets.

use anyhow::Context;
use aya::maps::{Map, MapData, PerCpuArray};
use secbeat_common::{
    maps::{self, Counter},
    verdict::Verdict,
};

use tracing::debug;

use super::Pins;

/// Sums over all CPUs, since the maps were made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Packets and bytes, indexed by [`Verdict`].
    pub verdicts: [Counter; Verdict::COUNT],
    /// Events that found the ring buffer full.
    pub lost_events: u64,
}

/// Returns what became of all packets, as far as the counters can be read; nothing where they are not pinned.
#[must_use]
pub fn packets(pins: Option<&Pins>) -> Totals {
    let read = pins.and_then(|pins| read_totals(pins).inspect_err(|error| debug!("{error:#}")).ok());
    read.unwrap_or_default()
}

/// Reads the counters; works without the daemon.
///
/// # Errors
///
/// Returns an error if the map is not pinned or the kernel refuses.
pub fn read_totals(pins: &Pins) -> anyhow::Result<Totals> {
    let path = pins.map(maps::COUNTERS);
    let data =
        MapData::from_pin(&path).with_context(|| format!("opening the pinned map {}", path.display()))?;
    let counters: PerCpuArray<_, Counter> = Map::PerCpuArray(data)
        .try_into()
        .context("COUNTERS is not a counter map of this release")?;
    let sum = |slot: u32| -> anyhow::Result<Counter> {
        let per_cpu = counters.get(&slot, 0).context("reading the kernel's counters")?;
        let add = |sum: Counter, one: &Counter| Counter {
            packets: sum.packets + one.packets,
            bytes: sum.bytes + one.bytes,
        };
        Ok(per_cpu.iter().fold(Counter::default(), add))
    };
    let mut totals = Totals {
        lost_events: sum(maps::LOST_EVENTS)?.packets,
        ..Totals::default()
    };
    for verdict in Verdict::ALL {
        totals.verdicts[verdict as usize] = sum(verdict as u32)?;
    }
    Ok(totals)
}
