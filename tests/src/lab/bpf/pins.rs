//! The maps that an edge pinned.

use std::{net::IpAddr, path::PathBuf};

use aya::maps::{Map, MapData, MapInfo};
use secbeat_common::{
    maps::{self, Ban},
    verdict::Verdict,
};

use super::tables::{Counters, ban_in, counters_in};

/// The maps that an edge pinned, also when the edge is dead.
#[derive(Clone, Debug)]
pub struct Pins(PathBuf);

impl Pins {
    /// The maps pinned in `folder`.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    fn map(&self, name: &str, kind: fn(MapData) -> Map) -> Option<Map> {
        MapData::from_pin(self.0.join(name)).ok().map(kind)
    }

    /// The ban of the source that `address` belongs to; `None` also when nothing is pinned.
    #[must_use]
    pub fn ban_of(&self, address: IpAddr) -> Option<Ban> {
        self.open_bans()?.ban_of(address)
    }

    /// The ban tables, opened once to be asked often; `None` when nothing is pinned.
    #[must_use]
    pub fn open_bans(&self) -> Option<OpenBans> {
        Some(OpenBans {
            v4: self.map(maps::BANNED_V4, Map::LruHashMap)?,
            v6: self.map(maps::BANNED_V6, Map::LruHashMap)?,
        })
    }

    /// The counters; zero when nothing is pinned.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.map(maps::COUNTERS, Map::PerCpuArray)
            .as_ref()
            .map(counters_in)
            .unwrap_or_default()
    }

    /// Slots of the IPv4 ban map.
    ///
    /// # Panics
    ///
    /// When it is not pinned.
    #[must_use]
    pub fn ban_slots(&self) -> u32 {
        let info = MapInfo::from_pin(self.0.join(maps::BANNED_V4)).expect("a pinned ban map");
        info.max_entries()
    }

    /// Packets dropped so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counters()[Verdict::Banned as usize].packets
    }
}

/// The ban tables that an edge pinned, open.
#[derive(Debug)]
pub struct OpenBans {
    v4: Map,
    v6: Map,
}

impl OpenBans {
    /// The ban of the source that `address` belongs to.
    #[must_use]
    pub fn ban_of(&self, address: IpAddr) -> Option<Ban> {
        ban_in(&self.v4, &self.v6, address)
    }
}
