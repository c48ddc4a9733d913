//! Tables that are built whole and come into force with one pointer, in a map of maps.
//!
//! A new table is filled, pinned beside the one before, and comes into force; its pin takes the other's place after that. Killed in
//! between, the next start finds by the number which of the two the program reads.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context, anyhow, ensure};
use aya::{
    maps::{ArrayOfMaps, Map, MapData},
    programs::Xdp,
};
use secbeat_common::{
    maps,
    prefix::Prefix,
    table::{Line, WORDS},
};
use secbeat_daemon::program;
use tracing::warn;

use super::{Pins, clock::run_probe, new_table::new_table, pins, raw::RawMap, shared::Shared};

/// What is in a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// The map of maps.
    pub(super) map: &'static str,
    /// How the table in force is pinned.
    pub(super) pin: &'static str,
    /// The table, in a sentence.
    pub(super) noun: &'static str,
    /// Whether these words are such a table of this release.
    pub(super) is_valid: fn(&[AtomicU64]) -> bool,
}

/// The table that is in force, if one is, and the map that says which.
pub(super) struct Swapped {
    kind: Kind,
    outer: ArrayOfMaps<MapData>,
    numbers: RawMap,
    /// Where the table in force is pinned, and where one is until it is.
    pins: [PathBuf; 2],
    map: PathBuf,
    current: Option<Current>,
    /// Whether the program was seen to find in a table what is in it, and new ones may be made.
    is_proven: bool,
}

/// A table that is in force.
struct Current {
    /// The kernel's number of its map.
    id: u32,
    data: MapData,
    shared: Shared,
}

/// A table that waits to come into force.
pub struct Staged {
    current: Current,
}

impl Staged {
    pub(super) fn words(&self) -> &[AtomicU64] {
        self.current.shared.words()
    }
}

impl Swapped {
    /// `None` where another release has made the maps, which knows no such tables.
    pub(super) fn open(pins: &Pins, kind: Kind) -> anyhow::Result<Option<Self>> {
        let path = pins.map(kind.map);
        if !path
            .try_exists()
            .with_context(|| format!("looking for {}", path.display()))?
        {
            return Ok(None);
        }
        let data =
            MapData::from_pin(&path).with_context(|| format!("opening the pinned map {}", path.display()))?;
        let typed = || format!("{} is not of this release", kind.map);
        let mut tables = Self {
            kind,
            outer: Map::from_map_data(data)
                .and_then(TryInto::try_into)
                .with_context(typed)?,
            numbers: RawMap::open(&path)?,
            pins: pins.table(kind.pin),
            map: path,
            current: None,
            is_proven: false,
        };
        tables.refresh()?;
        Ok(Some(tables))
    }

    /// The number of the table that the program reads.
    pub(super) fn in_force(&self) -> anyhow::Result<Option<u32>> {
        let id = self.numbers.lookup(&maps::IN_FORCE.to_ne_bytes());
        let id = id.with_context(|| format!("asking which {} is in force", self.kind.noun))?;
        Ok(id.and_then(|id| Some(u32::from_ne_bytes(id.try_into().ok()?))))
    }

    /// The number of the table that was opened here.
    pub(super) fn id(&self) -> Option<u32> {
        self.current.as_ref().map(|current| current.id)
    }

    /// The words of the table that was opened here, as the program reads it.
    ///
    /// # Safety
    ///
    /// Tables of this kind must be written to by nobody once they were made.
    #[expect(unsafe_code, reason = "what nobody writes to can be read without atomics")]
    pub(super) unsafe fn lines(&self) -> Option<&[Line]> {
        // SAFETY: the caller's promise.
        self.current
            .as_ref()
            .map(|current| unsafe { current.shared.lines() })
    }

    /// Opens what is in force if that is another table than before: another process may have made it.
    pub(super) fn refresh(&mut self) -> anyhow::Result<()> {
        let in_force = self.in_force()?;
        if self.id() == in_force {
            return Ok(());
        }
        self.current = None;
        let Some(id) = in_force else { return Ok(()) };
        let [pinned, staged] = &self.pins;
        if let Some(data) = pinned_as(pinned, id) {
            self.current = Some(Current::open(data, self.kind)?);
        } else if let Some(data) = pinned_as(staged, id) {
            fs::rename(staged, pinned).with_context(|| format!("renaming the pin {}", staged.display()))?;
            self.current = Some(Current::open(data, self.kind)?);
        } else if let Ok(data) = MapData::from_id(id) {
            // Only root may open it by its number.
            self.pin(&data)?;
            self.current = Some(Current::open(data, self.kind)?);
        } else {
            warn!(
                "the {} was not pinned, and cannot be read: it is taken out of force",
                self.kind.noun
            );
            self.clear()?;
        }
        Ok(())
    }

    fn pin(&self, data: &MapData) -> anyhow::Result<()> {
        let [pinned, _] = &self.pins;
        pins::remove(pinned)?;
        data.pin(pinned)
            .with_context(|| format!("pinning {}", pinned.display()))
    }

    /// The words of the table in force.
    pub(super) fn words(&self) -> Option<&[AtomicU64]> {
        Some(self.current.as_ref()?.shared.words())
    }

    pub(super) fn may_build(&self) -> bool {
        self.is_proven
    }

    /// A new table with these lines.
    pub(super) fn stage(&self, lines: &[Line]) -> anyhow::Result<Staged> {
        let [_, staged] = &self.pins;
        let current = Current::open(make(lines, staged, self.kind.noun)?, self.kind)?;
        Ok(Staged { current })
    }

    /// Brings a table into force.
    pub(super) fn bring(&mut self, table: Staged) -> anyhow::Result<()> {
        let Staged { current } = table;
        self.outer
            .set(maps::IN_FORCE, &current.data, 0)
            .with_context(|| format!("bringing a {} into force", self.kind.noun))?;
        let id = current.id;
        self.current = Some(current);
        let [pinned, staged] = &self.pins;
        match fs::rename(staged, pinned) {
            // A command that read the table meanwhile has put the pin in its place.
            Err(error) if error.kind() == ErrorKind::NotFound && pinned_as(pinned, id).is_some() => Ok(()),
            renamed => renamed.with_context(|| format!("renaming the pin {}", staged.display())),
        }
    }

    /// Brings the table that was opened here into force again, or takes out of force what is, if none was.
    pub(super) fn restore(&mut self) -> anyhow::Result<()> {
        let Some(current) = &self.current else {
            return self.clear();
        };
        self.outer
            .set(maps::IN_FORCE, &current.data, 0)
            .with_context(|| format!("bringing the {} into force again", self.kind.noun))?;
        let [pinned, _] = &self.pins;
        match pinned_as(pinned, current.id) {
            Some(_) => Ok(()),
            None => self.pin(&current.data),
        }
    }

    /// Takes the table out of force.
    pub(super) fn clear(&mut self) -> anyhow::Result<()> {
        self.numbers
            .delete(&maps::IN_FORCE.to_ne_bytes())
            .with_context(|| format!("taking the {} out of force", self.kind.noun))?;
        self.current = None;
        self.pins.iter().try_for_each(|pin| pins::remove(pin))
    }

    /// Has the program look addresses up in a small table (as IPv6, IPv4 as `::ffff:a.b.c.d`) and `expect` what it writes over its packet.
    /// Only if that is as expected are tables made.
    ///
    /// # Errors
    ///
    /// The kernel's, and those of `expect`.
    pub(super) fn prove(
        &mut self,
        probe: &Xdp,
        lines: &[Line],
        addresses: &[[u8; 16]],
        mut expect: impl FnMut(usize, [u8; 64]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let [_, staged] = &self.pins;
        let data = make(lines, staged, self.kind.noun)?;
        pins::remove(staged)?;
        self.outer
            .set(maps::PROOF, &data, 0)
            .context("making a table to try")?;
        let outcome = addresses.iter().enumerate().try_for_each(|(number, address)| {
            expect(
                number,
                run_probe(probe, address).context("running the probe of tables in the kernel")?,
            )
        });
        self.numbers
            .delete(&maps::PROOF.to_ne_bytes())
            .context("removing the table that was tried")?;
        outcome?;
        self.is_proven = true;
        Ok(())
    }

    /// Sees to it that the table in force is pinned as long as the map is that says which one it is.
    pub(super) fn keep_pinned(&mut self) -> anyhow::Result<()> {
        self.refresh()?;
        if !self.map.exists() {
            return Ok(());
        }
        let [pinned, _] = &self.pins;
        if let Some(current) = &self.current
            && pinned_as(pinned, current.id).is_none()
        {
            warn!(
                "the pin of the {} was gone, or another's: pinned again",
                self.kind.noun
            );
            self.pin(&current.data)?;
        }
        Ok(())
    }
}

impl Current {
    fn open(data: MapData, kind: Kind) -> anyhow::Result<Self> {
        let info = data.info()?;
        let not_ours = || {
            anyhow!(
                "the {} is not of this release: `{} detach` removes it together with all bans",
                kind.noun,
                program::of_host()
            )
        };
        ensure!(info.value_size() as usize == size_of::<Line>(), not_ours());
        let shared = Shared::map(&data, info.max_entries() as usize * WORDS)
            .with_context(|| format!("sharing memory with the {}", kind.noun))?;
        ensure!((kind.is_valid)(shared.words()), not_ours());
        Ok(Self {
            id: info.id(),
            data,
            shared,
        })
    }
}

/// An address as the probes take it.
pub(super) fn key_of(address: &str) -> anyhow::Result<[u8; 16]> {
    Ok(Prefix::host(address.parse()?).net_key().addr)
}

/// The map that is pinned at `path`, if it is the one with this number.
fn pinned_as(path: &Path, id: u32) -> Option<MapData> {
    let data = MapData::from_pin(path).ok()?;
    (data.info().ok()?.id() == id).then_some(data)
}

/// A new map with these lines, pinned at `path`.
fn make(lines: &[Line], path: &Path, noun: &str) -> anyhow::Result<MapData> {
    pins::remove(path)?;
    let count = u32::try_from(lines.len()).context("too many lines for a table")?;
    let data = new_table(count).with_context(|| format!("making a {noun}"))?;
    data.pin(path)
        .with_context(|| format!("pinning {}", path.display()))?;
    let shared =
        Shared::map(&data, lines.len() * WORDS).with_context(|| format!("sharing memory with a {noun}"))?;
    for (word, value) in shared
        .words()
        .iter()
        .zip(lines.iter().flat_map(|line| line.words))
    {
        // A new map is all zeros, as is most of a small table.
        if value != 0 {
            word.store(value, Ordering::Relaxed);
        }
    }
    Ok(data)
}
