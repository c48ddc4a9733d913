//! `NET_TABLES`: the table of the banned networks that are too many for a trie.
//!
//! A new table is filled, pinned beside the one before, and comes into force with one pointer; its pin takes the other's place after
//! that. Killed in between, the next start finds by the number which of the two the program reads. What is in force is changed in
//! place: ends, stamps, and networks that are lifted.

use std::{collections::BTreeMap, fs, net::IpAddr, path::Path, sync::atomic::Ordering};

use anyhow::{Context, anyhow, ensure};
use aya::{
    maps::{ArrayOfMaps, Map, MapData},
    programs::Xdp,
};
use secbeat_common::{
    maps::{self, Ban},
    prefix::Prefix,
    table::{self, Line, View, WORDS},
};
use tracing::warn;

use super::{Pins, clock::run_probe, new_table::new_table, pins, raw::RawMap, shared::Shared};

/// The table that is in force, if one is, and the map that says which.
pub(super) struct NetTables {
    outer: ArrayOfMaps<MapData>,
    numbers: RawMap,
    pins: Pins,
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

impl NetTables {
    /// `None` where another release has made the maps, which knows no tables.
    pub(super) fn open(pins: &Pins) -> anyhow::Result<Option<Self>> {
        let path = pins.map(maps::NET_TABLES);
        if !path
            .try_exists()
            .with_context(|| format!("looking for {}", path.display()))?
        {
            return Ok(None);
        }
        let data =
            MapData::from_pin(&path).with_context(|| format!("opening the pinned map {}", path.display()))?;
        let typed = || format!("{} is not of this release", maps::NET_TABLES);
        let mut tables = Self {
            outer: Map::from_map_data(data)
                .and_then(TryInto::try_into)
                .with_context(typed)?,
            numbers: RawMap::open(&path)?,
            pins: pins.clone(),
            current: None,
            is_proven: false,
        };
        tables.refresh()?;
        Ok(Some(tables))
    }

    /// The number of the table that the program reads.
    fn in_force(&self) -> anyhow::Result<Option<u32>> {
        let id = self.numbers.lookup(&maps::IN_FORCE.to_ne_bytes());
        let id = id.context("asking which table of networks is in force")?;
        Ok(id.and_then(|id| Some(u32::from_ne_bytes(id.try_into().ok()?))))
    }

    /// Opens what is in force if that is another table than before: another process may have made it.
    pub(super) fn refresh(&mut self) -> anyhow::Result<()> {
        let in_force = self.in_force()?;
        if self.current.as_ref().map(|current| current.id) == in_force {
            return Ok(());
        }
        self.current = None;
        let Some(id) = in_force else { return Ok(()) };
        let [pinned, staged] = self.pins.tables();
        if let Some(data) = pinned_as(&pinned, id) {
            self.current = Some(Current::open(data)?);
        } else if let Some(data) = pinned_as(&staged, id) {
            fs::rename(&staged, &pinned).with_context(|| format!("renaming the pin {}", staged.display()))?;
            self.current = Some(Current::open(data)?);
        } else if let Ok(data) = MapData::from_id(id) {
            // Only root may open it by its number.
            self.pin(&data)?;
            self.current = Some(Current::open(data)?);
        } else {
            warn!(
                "the table of banned networks was not pinned, and cannot be read: it is taken out of force, and its bans come back with the next comparison"
            );
            self.clear()?;
        }
        Ok(())
    }

    fn pin(&self, data: &MapData) -> anyhow::Result<()> {
        let [pinned, _] = self.pins.tables();
        pins::remove(&pinned)?;
        data.pin(&pinned)
            .with_context(|| format!("pinning {}", pinned.display()))
    }

    pub(super) fn view(&self) -> Option<View<'_>> {
        View::new(self.current.as_ref()?.shared.words())
    }

    pub(super) fn may_build(&self) -> bool {
        self.is_proven
    }

    /// Brings the table of these networks into force, or none for none.
    pub(super) fn replace(&mut self, nets: &BTreeMap<Prefix, Ban>) -> anyhow::Result<()> {
        let [pinned, staged] = self.pins.tables();
        if nets.is_empty() {
            return self.clear();
        }
        let data = make(&table::build(nets), &staged)?;
        let current = Current::open(data)?;
        self.outer
            .set(maps::IN_FORCE, &current.data, 0)
            .context("bringing a table of networks into force")?;
        self.current = Some(current);
        fs::rename(&staged, &pinned).with_context(|| format!("renaming the pin {}", staged.display()))
    }

    fn clear(&mut self) -> anyhow::Result<()> {
        self.numbers
            .delete(&maps::IN_FORCE.to_ne_bytes())
            .context("taking the table of networks out of force")?;
        self.current = None;
        self.pins.tables().iter().try_for_each(|pin| pins::remove(pin))
    }

    /// Has the program look up what is known of a small table. Only if it finds just that are tables made.
    ///
    /// # Errors
    ///
    /// What it found else.
    pub(super) fn prove(&mut self, probe: &Xdp) -> anyhow::Result<()> {
        let known = [
            "198.51.100.0/24",
            "198.51.100.8/29",
            "2001:db8::/32",
            "2001:db8:0:1::/64",
        ];
        let nets: Result<Vec<Prefix>, _> = known.iter().map(|net| net.parse()).collect();
        let nets: BTreeMap<_, _> = nets?.into_iter().map(|net| (net, Ban::default())).collect();
        let lines = table::build(&nets);
        let [_, staged] = self.pins.tables();
        let data = make(&lines, &staged)?;
        pins::remove(&staged)?;
        self.outer
            .set(maps::PROOF, &data, 0)
            .context("making a table to try")?;
        let asked = [
            ("198.51.100.7", Some(known[0])),
            ("198.51.100.8", Some(known[1])),
            ("198.51.101.0", None),
            ("2001:db8:0:2::1", Some(known[2])),
            ("2001:db8:0:1::1", Some(known[3])),
            ("2001:db9::1", None),
        ];
        let outcome = asked.into_iter().try_for_each(|(address, wanted)| {
            let found = ask(probe, address.parse()?)?;
            let record = lines.get(found as usize).filter(|_| found != 0);
            let net = record.and_then(|line| table::Record::from_line(line).net());
            ensure!(
                net == wanted.map(str::parse).transpose()?,
                "this kernel reads tables wrongly: {address} is found in {net:?}"
            );
            Ok(())
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
        if !self.pins.map(maps::NET_TABLES).exists() {
            return Ok(());
        }
        let [pinned, _] = self.pins.tables();
        if let Some(current) = &self.current
            && pinned_as(&pinned, current.id).is_none()
        {
            warn!("the pin of the table of banned networks was gone, or another's: pinned again");
            self.pin(&current.data)?;
        }
        Ok(())
    }
}

impl Current {
    fn open(data: MapData) -> anyhow::Result<Self> {
        let info = data.info()?;
        ensure!(
            info.value_size() as usize == size_of::<Line>(),
            "the table of banned networks is not of this release"
        );
        let shared = Shared::map(&data, info.max_entries() as usize * WORDS)
            .context("sharing memory with the table of banned networks")?;
        View::new(shared.words())
            .ok_or_else(|| anyhow!("the table of banned networks is not of this release: `secbeat-edge detach` removes it together with its bans"))?;
        Ok(Self {
            id: info.id(),
            data,
            shared,
        })
    }
}

/// The map that is pinned at `path`, if it is the one with this number.
fn pinned_as(path: &Path, id: u32) -> Option<MapData> {
    let data = MapData::from_pin(path).ok()?;
    (data.info().ok()?.id() == id).then_some(data)
}

/// A new map with these lines, pinned at `path`.
fn make(lines: &[Line], path: &Path) -> anyhow::Result<MapData> {
    pins::remove(path)?;
    let count = u32::try_from(lines.len()).context("too many networks for a table")?;
    let data = new_table(count).context("making a table of networks")?;
    data.pin(path)
        .with_context(|| format!("pinning {}", path.display()))?;
    let shared =
        Shared::map(&data, lines.len() * WORDS).context("sharing memory with a table of networks")?;
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

/// The line that the program finds for an address in the table that is tried.
fn ask(probe: &Xdp, address: IpAddr) -> anyhow::Result<u32> {
    let octets = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
    .octets();
    let packet = run_probe(probe, &octets).context("running the probe of tables in the kernel")?;
    let [a, b, c, d, ..] = packet;
    Ok(u32::from_ne_bytes([a, b, c, d]))
}
