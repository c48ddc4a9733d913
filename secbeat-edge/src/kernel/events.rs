//! `EVENTS`: sampled drops, as the program sends them.

use anyhow::Context;
use aya::maps::{Map, MapData, RingBuf};
use secbeat_common::maps::{self, DropEvent};

use super::Pins;

/// The ring buffer, open for its one reader.
pub struct DropEvents {
    ring: RingBuf<MapData>,
}

impl DropEvents {
    /// # Errors
    ///
    /// Returns an error if the map is not pinned, or not of this release.
    pub fn open(pins: &Pins) -> anyhow::Result<Self> {
        let path = pins.map(maps::EVENTS);
        let data =
            MapData::from_pin(&path).with_context(|| format!("opening the pinned map {}", path.display()))?;
        let ring = Map::RingBuf(data)
            .try_into()
            .context("EVENTS is not of this release")?;
        Ok(Self { ring })
    }
}

/// Ends when there is no more for now; never waits, and can be asked again.
impl Iterator for DropEvents {
    type Item = DropEvent;

    fn next(&mut self) -> Option<DropEvent> {
        DropEvent::from_bytes(&self.ring.next()?)
    }
}
