//! Carries live bans over into maps of another layout, after an upgrade that changed it or with another number of slots.
//!
//! The new maps are pinned beside the old ones under staging names, filled, and come into force together with the new
//! program: until then the old program enforces from the old maps, so no packet finds a gap. Only then do the staged pins
//! take the place of the old ones. Killed at any point, the next start begins again from what is pinned.

use anyhow::{Context, bail};
use aya::maps::{Map, MapData, PerCpuArray};
use secbeat_common::{
    maps::{self, Ban, Counter},
    prefix::Prefix,
};
use secbeat_daemon::program;
use tracing::{info, warn};

use super::{
    BanMaps, JiffyClock, KernelBan, Pins, Slots, banned_nets, boot_now,
    btf::Fields,
    layout::{Mismatch, mismatches},
    raw::RawMap,
    record::Record,
    source_bans::SourceKey as _,
};

/// The maps whose entries are carried over one by one.
pub(super) const BAN_MAPS: [&str; 3] = [maps::BANNED_V4, maps::BANNED_V6, maps::BANNED_NETS];

/// The pinned maps that do not fit, each known to be understood.
#[derive(Debug)]
pub(super) struct Migration {
    outdated: Vec<Mismatch>,
    /// What is known of the pinned maps.
    record: Record,
}

impl Migration {
    /// Compares the pinned maps with what this release and config need.
    ///
    /// # Errors
    ///
    /// Returns an error if a ban map cannot be understood: it carries no field names, or others than a ban must have.
    pub(super) fn plan(pins: &Pins, slots: Slots, record: Record) -> anyhow::Result<Self> {
        let outdated = mismatches(pins, slots)?;
        for Mismatch { found, expected } in &outdated {
            let path = pins.map(found.name);
            if BAN_MAPS.contains(&found.name) {
                let understood =
                    found.key_size == expected.key_size && fields(pins, found.name, &record)?.is_some();
                if !understood {
                    bail!(
                        "the pinned map {} has another layout than this release and config need ({found}, not {expected}), and no field names to carry its bans over by; `{} detach` removes it together with its bans",
                        path.display(),
                        program::of_host()
                    );
                }
            }
            info!(map = found.name, %found, %expected, "the pinned map has another layout: carrying it over");
        }
        Ok(Self { outdated, record })
    }

    /// Names of the maps that are made again.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.outdated.iter().map(|mismatch| mismatch.found.name).collect()
    }

    /// Whether the layout of a map is another one.
    fn has_changed(&self, name: &str) -> bool {
        let mut of_this_name = self.outdated.iter().filter(|it| it.found.name == name);
        of_this_name.any(|it| it.found != it.expected)
    }

    /// Copies what lives in the old maps into the new ones: bans that have not ended, and counters.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub(super) fn carry_over(
        &self,
        old: &Pins,
        new: &Pins,
        bans: &mut BanMaps,
        clock: &JiffyClock,
    ) -> anyhow::Result<()> {
        for name in self.names() {
            if BAN_MAPS.contains(&name) {
                let carried = carry_bans(old, name, &self.record, bans, clock)
                    .with_context(|| format!("carrying the bans in {name} over"))?;
                info!(map = name, bans = carried, "bans carried over");
            }
            if name == maps::LANE && self.has_changed(name) {
                carry_lane(old, bans, clock);
            }
            if name == maps::COUNTERS
                && let Err(error) = carry_counters(old, new)
            {
                warn!("the packet counters start at zero: {error:#}");
            }
        }
        Ok(())
    }
}

/// The named fields of a pinned ban map's values, if it has the one that a ban cannot do without. The kernel tells them of a map
/// that nothing is noted of.
fn fields(pins: &Pins, name: &str, record: &Record) -> anyhow::Result<Option<Fields>> {
    let map = RawMap::open(&pins.map(name))?;
    let (id, value_size) = map.id_and_value_size();
    if let Some(fields) = record.fields(id, value_size) {
        return Ok(Some(fields));
    }
    let value_type = map
        .value_type()
        .with_context(|| format!("reading the type of {name}"))?;
    let fields = value_type.and_then(|(btf, type_id)| Fields::of_struct(&btf, type_id));
    Ok(fields.filter(|fields| fields.has("expires_boot_ns")))
}

/// Carries the bans in the old map `name` over; returns how many.
fn carry_bans(
    old: &Pins,
    name: &str,
    record: &Record,
    bans: &mut BanMaps,
    clock: &JiffyClock,
) -> anyhow::Result<usize> {
    let fields = fields(old, name, record)?.context("its field names are gone")?;
    let now = boot_now();
    let mut carried = 0;
    for (key, value) in RawMap::open(&old.map(name))?.entries()? {
        let (Some(target), Some(ban)) = (target(&key), ban(&fields, &value)) else {
            continue;
        };
        let ban = KernelBan::from(ban);
        if ban.ends > now {
            bans.put(&target, &ban, clock)?;
            carried += 1;
        }
    }
    Ok(carried)
}

/// Carries the bans over that the old lane alone has.
fn carry_lane(old: &Pins, bans: &mut BanMaps, clock: &JiffyClock) {
    let carried = BanMaps::open(old).and_then(|old| {
        let lost = old.in_lane_alone()?;
        lost.iter()
            .try_for_each(|(target, ban)| bans.put(target, ban, clock))?;
        Ok(lost.len())
    });
    match carried {
        Ok(0) => {}
        Ok(carried) => info!(
            bans = carried,
            "bans carried over that the express lane alone had"
        ),
        Err(error) => warn!("what the express lane alone had is not carried over: {error:#}"),
    }
}

/// A ban, field by field. What the old layout does not have is zero, also the comparison with the allowlist, whose
/// generations may have started over.
fn ban(fields: &Fields, value: &[u8]) -> Option<Ban> {
    let or_zero = |name| fields.read(name, value).unwrap_or_default();
    Some(Ban {
        // Computed again from the end below.
        expires_jiffies: 0,
        expires_boot_ns: fields.read("expires_boot_ns", value)?,
        dropped_packets: or_zero("dropped_packets"),
        dropped_bytes: or_zero("dropped_bytes"),
        reason: u8::try_from(or_zero("reason")).unwrap_or_default(),
        origin: u8::try_from(or_zero("origin")).unwrap_or_default(),
        strikes: u16::try_from(or_zero("strikes")).unwrap_or(u16::MAX),
        unallowed_in: 0,
    })
}

/// Returns what a key stands for; the maps' keys differ in length.
fn target(key: &[u8]) -> Option<Prefix> {
    if let Ok(key) = <[u8; 4]>::try_from(key) {
        return Some(key.source());
    }
    if let Ok(key) = <[u8; 8]>::try_from(key) {
        return Some(key.source());
    }
    let (prefix_len, addr) = key.split_first_chunk()?;
    banned_nets::net(u32::from_ne_bytes(*prefix_len), addr.try_into().ok()?)
}

/// Copies the packet counters slot by slot; verdicts keep their slots for ever.
fn carry_counters(old: &Pins, new: &Pins) -> anyhow::Result<()> {
    let open = |pins: &Pins| -> anyhow::Result<PerCpuArray<MapData, Counter>> {
        Ok(Map::PerCpuArray(MapData::from_pin(pins.map(maps::COUNTERS))?).try_into()?)
    };
    let (old, mut new) = (open(old)?, open(new)?);
    for slot in 0..old.len().min(new.len()) {
        let values = old.get(&slot, 0)?;
        new.set(slot, values, 0)?;
    }
    Ok(())
}
