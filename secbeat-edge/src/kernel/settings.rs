//! `SETTINGS`: what the program is told at run time. Each field has one owner, and is changed without touching the others.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use aya::maps::{Array, HashMap, Map, MapData};
use secbeat_common::maps::{self, Settings};
use secbeat_edge_core::FilterMode;

use super::Pins;

/// The one entry of `SETTINGS`. May be opened several times in one process, by those who own its fields.
pub struct SettingsMap {
    array: Array<MapData, Settings>,
    /// `OBSERVING`; maps of an earlier release have none.
    observing: Option<HashMap<MapData, u32, u32>>,
}

impl SettingsMap {
    /// # Errors
    ///
    /// Returns an error if the map is not pinned, or not of this release.
    pub fn open(pins: &Pins) -> anyhow::Result<Self> {
        let path = pins.map(maps::SETTINGS);
        let data =
            MapData::from_pin(&path).with_context(|| format!("opening the pinned map {}", path.display()))?;
        let array = Map::Array(data)
            .try_into()
            .context("SETTINGS is not of this release")?;
        let observing = MapData::from_pin(pins.map(maps::OBSERVING)).ok();
        let observing = observing.map(|data| Map::HashMap(data).try_into()).transpose();
        Ok(Self {
            array,
            observing: observing.context("OBSERVING is not of this release")?,
        })
    }

    /// Returns what the program is told now.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn read(&self) -> anyhow::Result<Settings> {
        self.array.get(&0, 0).context("reading the program's settings")
    }

    /// Whether the program drops, apart from interfaces that only observe, or only counts. As in the program, every code but one means
    /// that it drops.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn mode(&self) -> anyhow::Result<FilterMode> {
        Ok(match self.read()?.mode {
            maps::mode::OBSERVE => FilterMode::Observe,
            _ => FilterMode::Enforce,
        })
    }

    /// Makes the program drop, or only count, from the next jiffy on. It goes on only counting on interfaces that observe.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn set_mode(&mut self, mode: FilterMode) -> anyhow::Result<()> {
        let code = match mode {
            FilterMode::Enforce if !self.observing()?.is_empty() => maps::mode::SOME_OBSERVE,
            mode => mode.code(),
        };
        self.change(|settings| settings.mode = code).map(drop)
    }

    /// The numbers of the interfaces that only observe.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn observing(&self) -> anyhow::Result<BTreeSet<u32>> {
        let keys = self.observing.iter().flat_map(HashMap::keys);
        let keys: Result<_, _> = keys.collect();
        keys.context("reading the interfaces that only observe")
    }

    /// Makes these interfaces only observe, and no others.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses, or has no room for so many; or its maps are of an earlier release.
    pub fn set_observing(&mut self, interfaces: &BTreeSet<u32>) -> anyhow::Result<()> {
        let before = self.observing()?;
        if before != *interfaces {
            let map = self
                .observing
                .as_mut()
                .context("the pinned maps know no modes of single interfaces")?;
            for interface in before.difference(interfaces) {
                map.remove(interface)
                    .context("taking an interface from those that only observe")?;
            }
            for interface in interfaces.difference(&before) {
                map.insert(interface, 1, 0).with_context(|| {
                    format!(
                        "adding an interface to those that only observe, at most {}",
                        maps::OBSERVING_SLOTS
                    )
                })?;
            }
        }
        let mode = self.mode()?;
        self.set_mode(mode)
    }

    /// Sets how many packets of one ban there are from one event to the next: a power of two, or 0 for no events.
    ///
    /// # Errors
    ///
    /// Returns an error if it is neither, or the kernel refuses.
    pub fn set_event_every(&mut self, packets: u32) -> anyhow::Result<()> {
        ensure!(
            packets == 0 || packets.is_power_of_two(),
            "an event every {packets} packets: only powers of two"
        );
        self.change(|settings| settings.event_every = packets).map(drop)
    }

    /// Makes bans reach these TCP and UDP ports alone, or with `None` every packet.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn set_ports(&mut self, pins: &Pins, ports: Option<&[u16]>) -> anyhow::Result<()> {
        let Some(ports) = ports else {
            return self.change(|settings| settings.ports_in_use = 0).map(drop);
        };
        let mut array = port_words(pins)?;
        for (at, word) in (0..).zip(words(ports)) {
            array
                .set(at, word, 0)
                .context("writing the ports that bans reach")?;
        }
        self.change(|settings| settings.ports_in_use = 1).map(drop)
    }

    /// Has the kernel go by `mode`, by these ports and by the prefilter, and send an event every so many packets, whatever else has
    /// written there since they were set. Says what was different. The other fields are seen to by their owners.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn keep(
        &mut self,
        pins: &Pins,
        mode: FilterMode,
        ports: Option<&[u16]>,
        event_every: u32,
    ) -> anyhow::Result<Vec<&'static str>> {
        let mut differed = Vec::new();
        let before = self.read()?;
        self.set_event_every(event_every)?;
        if before.event_every != event_every {
            differed.push("how often drops are sampled");
        }
        self.set_sieve_in_use()?;
        if before.sieve_in_use != 1 {
            differed.push("the use of the prefilter");
        }
        self.set_mode(mode)?;
        if self.read()?.mode != before.mode {
            differed.push("the mode");
        }
        let has_ports = match ports {
            None => before.ports_in_use == 0,
            Some(ports) => before.ports_in_use == 1 && ports_of(pins)?.iter().eq(words(ports).iter()),
        };
        if !has_ports {
            self.set_ports(pins, ports)?;
            differed.push("the ports that bans reach");
        }
        Ok(differed)
    }

    /// Sets where the program looks for networks: of the bits `of` of [`maps::nets`] to `bits`.
    pub(super) fn set_nets_in_use(&mut self, of: u32, bits: u32) -> anyhow::Result<()> {
        self.change(|settings| settings.nets_in_use = settings.nets_in_use & !of | bits)
            .map(drop)
    }

    /// Makes the program look where it is to, and says whether it did not.
    pub(super) fn keep_nets_in_use(&mut self, of: u32, bits: u32) -> anyhow::Result<bool> {
        let is_missing = bits & !self.read()?.nets_in_use != 0;
        self.set_nets_in_use(of, bits)?;
        Ok(is_missing)
    }

    /// Makes the program look there, too, beside where it looks already.
    pub(super) fn add_nets_in_use(&mut self, bits: u32) -> anyhow::Result<()> {
        self.change(|settings| settings.nets_in_use |= bits).map(drop)
    }

    /// Makes the program pass over sources without a bit in `SIEVE`, in which every ban must have one.
    pub(super) fn set_sieve_in_use(&mut self) -> anyhow::Result<()> {
        self.change(|settings| settings.sieve_in_use = 1).map(drop)
    }

    /// Moves [`Settings::allow_generation`] on, past 0, and returns it.
    pub(super) fn next_allow_generation(&mut self) -> anyhow::Result<u32> {
        let next = |settings: &mut Settings| {
            settings.allow_generation = settings.allow_generation.checked_add(1).unwrap_or(1);
        };
        Ok(self.change(next)?.allow_generation)
    }

    /// Writes only what is different, so that setting what is set already costs one read.
    fn change(&mut self, change: impl FnOnce(&mut Settings)) -> anyhow::Result<Settings> {
        let before = self.read()?;
        let mut after = before;
        change(&mut after);
        if after != before {
            self.array
                .set(0, after, 0)
                .context("writing the program's settings")?;
        }
        Ok(after)
    }
}

/// `PORTS`.
fn port_words(pins: &Pins) -> anyhow::Result<Array<MapData, u64>> {
    let path = pins.map(maps::PORTS);
    let data =
        MapData::from_pin(&path).with_context(|| format!("opening the pinned map {}", path.display()))?;
    Map::Array(data)
        .try_into()
        .context("PORTS is not of this release")
}

/// Returns what `PORTS` holds for `ports`.
fn words(ports: &[u16]) -> Vec<u64> {
    let mut words = vec![0_u64; maps::PORT_WORDS as usize];
    for port in ports {
        if let Some(word) = words.get_mut(usize::from(port >> 6)) {
            *word |= 1 << (port & 63);
        }
    }
    words
}

/// Returns what `PORTS` holds.
fn ports_of(pins: &Pins) -> anyhow::Result<Vec<u64>> {
    let words: Result<_, _> = port_words(pins)?.iter().collect();
    words.context("reading the ports that bans reach")
}
