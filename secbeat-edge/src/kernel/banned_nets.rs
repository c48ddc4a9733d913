//! Banned networks, all other prefixes than single sources: a few in the trie `BANNED_NETS`, and when there are more, all of them in a
//! table (`NET_TABLES`). What comes after that is in the trie again, until the trie has filled up. The program looks into either only
//! while there is something in it.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
};

use anyhow::{Context, anyhow};
use aya::{
    maps::{LpmTrie, Map, MapData, MapError, lpm_trie::Key},
    programs::Xdp,
};
use nix::errno::Errno;
use secbeat_common::{
    maps::{self, Ban, FEW_NETS, NetKey, nets},
    prefix::Prefix,
    table::View,
};
use secbeat_edge_core::KernelBan;
use tracing::{info, warn};

use super::{
    Pins, SettingsMap, boot_now,
    entry::{JiffyBan, Unwritten, absent_is_none},
    net_tables::NetTables,
};

/// Networks that are read from a table in one step.
const CHUNK: usize = 4096;

/// The trie and the table, and the switches that make the program look into them.
pub(super) struct BannedNets {
    trie: LpmTrie<MapData, [u8; 16], Ban>,
    /// `None` where the maps are those of a release without tables.
    tables: Option<NetTables>,
    settings: SettingsMap,
    /// The networks that the trie held when it was last looked through, and those that this process has put there since. Its lookup
    /// finds a network around the one that is asked for.
    in_trie: HashSet<Prefix>,
}

impl BannedNets {
    pub(super) fn open(pins: &Pins) -> anyhow::Result<Self> {
        let path = pins.map(maps::BANNED_NETS);
        let data = MapData::from_pin(&path)
            .with_context(|| format!("opening the pinned map {} (is SecBeat attached?)", path.display()))?;
        let trie = Map::LpmTrie(data)
            .try_into()
            .with_context(|| format!("{} is not a ban map of this release", maps::BANNED_NETS))?;
        let mut opened = Self {
            trie,
            tables: NetTables::open(pins)?,
            settings: SettingsMap::open(pins)?,
            in_trie: HashSet::new(),
        };
        opened.look_through()?;
        Ok(opened)
    }

    /// Allows tables to be made, once the program was seen to read them.
    pub(super) fn prove_tables(&mut self, probe: &Xdp) -> anyhow::Result<()> {
        match &mut self.tables {
            Some(tables) => tables.prove(probe),
            None => Err(anyhow!("{} is not pinned", maps::NET_TABLES)),
        }
    }

    fn view(&self) -> Option<View<'_>> {
        self.tables.as_ref()?.view()
    }

    fn keys(&self) -> anyhow::Result<Vec<Key<[u8; 16]>>> {
        let keys: Result<Vec<_>, _> = self.trie.keys().collect();
        keys.context("listing the banned networks")
    }

    /// Notes which networks the trie holds: another process may have changed them.
    fn look_through(&mut self) -> anyhow::Result<()> {
        let keys = self.keys()?;
        self.in_trie = keys
            .iter()
            .filter_map(|key| net(key.prefix_len(), key.data()))
            .collect();
        Ok(())
    }

    /// The ban of exactly `net`, if the trie is known to hold it.
    fn get_in_trie(&self, net: &Prefix) -> anyhow::Result<Option<Ban>> {
        match self.in_trie.contains(net) {
            true => Ok(absent_is_none(self.trie.get(&key(net), 0))?),
            false => Ok(None),
        }
    }

    /// The ban of exactly `net`, if this process has written it, or has come by it when it last looked through the trie.
    pub(super) fn get_known(&self, net: &Prefix) -> anyhow::Result<Option<Ban>> {
        let found = self.get_in_trie(net)?;
        Ok(found.or_else(|| self.view()?.get(net)))
    }

    /// The ban of exactly `net`, no matter who has written it.
    pub(super) fn get(&self, wanted: &Prefix) -> anyhow::Result<Option<Ban>> {
        let found = absent_is_none(self.trie.get(&key(wanted), 0))?;
        let is_it = |key: &Key<[u8; 16]>| net(key.prefix_len(), key.data()).as_ref() == Some(wanted);
        let found = match found {
            Some(found) if self.in_trie.contains(wanted) || self.keys()?.iter().any(is_it) => Some(found),
            _ => None,
        };
        Ok(found.or_else(|| self.view()?.get(wanted)))
    }

    /// Writes a ban; the program is told to look before there is anything to see.
    pub(super) fn put(&mut self, net: &Prefix, ban: &JiffyBan) -> anyhow::Result<()> {
        self.put_all(&[(*net, *ban)]).map_err(|unwritten| unwritten.error)
    }

    /// Writes many bans. One that the kernel refuses does not keep the others out.
    pub(super) fn put_all(&mut self, bans: &[(Prefix, JiffyBan)]) -> Result<(), Unwritten> {
        let (mut new, mut refused, mut first) = (Vec::new(), Vec::new(), None);
        if bans.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.refresh_for(bans) {
            let targets = bans.iter().map(|(net, _)| *net).collect();
            return Err(Unwritten { targets, error });
        }
        for (net, ban) in bans {
            match self.replace(net, ban) {
                Ok(true) => {}
                Ok(false) => new.push((*net, ban.counting_on(None))),
                Err(error) => {
                    refused.push(*net);
                    first.get_or_insert(error);
                }
            }
        }
        if let Err(unwritten) = self.add_all(new) {
            refused.extend(unwritten.targets);
            first.get_or_insert(unwritten.error);
        }
        match first {
            None => Ok(()),
            Some(error) => Err(Unwritten {
                targets: refused,
                error,
            }),
        }
    }

    /// Looks at what another process may have changed, before `bans` are written. The trie is looked through only if it finds something
    /// for a network that it was not known to hold.
    fn refresh_for(&mut self, bans: &[(Prefix, JiffyBan)]) -> anyhow::Result<()> {
        if let Some(tables) = &mut self.tables {
            tables.refresh()?;
        }
        for (net, _) in bans {
            if !self.in_trie.contains(net) && absent_is_none(self.trie.get(&key(net), 0))?.is_some() {
                return self.look_through();
            }
        }
        Ok(())
    }

    /// Writes a ban over the one that is there; tells whether there was one.
    fn replace(&mut self, net: &Prefix, ban: &JiffyBan) -> anyhow::Result<bool> {
        if let Some(known) = self.get_in_trie(net)? {
            self.settings.add_nets_in_use(nets::TRIE)?;
            self.trie.insert(&key(net), ban.counting_on(Some(known)), 0)?;
            return Ok(true);
        }
        let known = self.view().and_then(|view| view.get(net));
        let is_there = known.is_some_and(|known| {
            let ban = ban.counting_on(Some(known));
            self.view().is_some_and(|view| view.update(net, &ban))
        });
        if is_there {
            self.settings.add_nets_in_use(nets::TABLE)?;
        }
        Ok(is_there)
    }

    /// Writes bans of networks that have none: into the trie while there are few, else into a new table with all that there are.
    fn add_all(&mut self, new: Vec<(Prefix, Ban)>) -> Result<(), Unwritten> {
        let may_build = self.tables.as_ref().is_some_and(NetTables::may_build);
        if may_build && !new.is_empty() && self.in_trie.len() + new.len() > FEW_NETS as usize {
            match self.build_with(&new) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    warn!("no new table of banned networks, but the trie as far as it goes: {error:#}")
                }
            }
        }
        let (mut targets, mut first) = (Vec::new(), None);
        for (net, ban) in new {
            let written = self.settings.add_nets_in_use(nets::TRIE);
            match written.and_then(|()| self.trie.insert(&key(&net), ban, 0).map_err(full_is_told)) {
                Ok(()) => {
                    self.in_trie.insert(net);
                }
                Err(error) => {
                    targets.push(net);
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            None => Ok(()),
            Some(error) => Err(Unwritten { targets, error }),
        }
    }

    /// Brings a table into force that holds all networks whose bans have not ended, `new` ones among them, and empties the trie. What
    /// the program counts meanwhile in the entries that are copied, some milliseconds, is lost to them.
    fn build_with(&mut self, new: &[(Prefix, Ban)]) -> anyhow::Result<()> {
        let began = boot_now();
        let moving = self.keys()?;
        let mut all: BTreeMap<_, _> = self.tabled().into_iter().collect();
        for key in &moving {
            let ban = absent_is_none(self.trie.get(key, 0)).context("reading the ban of a network")?;
            all.extend(net(key.prefix_len(), key.data()).zip(ban));
        }
        all.extend(new.iter().copied());
        all.retain(|_, ban| ban.expires_boot_ns > began.0);
        let tables = self.tables.as_mut().context("there are no tables")?;
        tables.replace(&all)?;
        self.settings.add_nets_in_use(nets::TABLE)?;
        for key in &moving {
            absent_is_none(self.trie.remove(key))?;
        }
        self.settle()?;
        info!(
            networks = all.len(),
            took_ms = boot_now().since(began).as_millis() as u64,
            "banned networks are in a new table"
        );
        Ok(())
    }

    /// All that the table holds.
    fn tabled(&self) -> Vec<(Prefix, Ban)> {
        self.view()
            .map(|view| view.after(None, usize::MAX))
            .unwrap_or_default()
    }

    /// Removes a ban; after the last one the program stops looking.
    pub(super) fn remove(&mut self, net: &Prefix) -> anyhow::Result<()> {
        if let Some(tables) = &mut self.tables {
            tables.refresh()?;
            tables.view().map(|view| view.remove(net));
        }
        absent_is_none(self.trie.remove(&key(net)))?;
        self.in_trie.remove(net);
        match self.in_trie.is_empty() {
            true => self.settle_switches().map(drop),
            false => Ok(()),
        }
    }

    /// Has the program look for networks where there are some, whatever else has written there. Says whether it did not.
    pub(super) fn keep(&mut self) -> anyhow::Result<bool> {
        let is_lost = match &mut self.tables {
            Some(tables) => tables.keep()?,
            None => false,
        };
        Ok(self.settle_switches()? || is_lost)
    }

    /// Puts in order what hangs on the networks, also after another program changed them: the switches, the pin of the table, and a
    /// table of which more than half was lifted.
    pub(super) fn settle(&mut self) -> anyhow::Result<()> {
        self.look_through()?;
        if let Some(tables) = &mut self.tables {
            tables.keep_pinned()?;
            let sizes = tables.view().map(|view| (view.count(), view.built()));
            if let Some((count, built)) = sizes
                && (count == 0 || (tables.may_build() && built - count > built / 2))
            {
                let left = tables
                    .view()
                    .map(|view| view.after(None, usize::MAX))
                    .unwrap_or_default();
                tables.replace(&left.into_iter().collect())?;
            }
        }
        self.settle_switches().map(drop)
    }

    /// Says whether the program did not look where there is something.
    fn settle_switches(&mut self) -> anyhow::Result<bool> {
        let first = self.trie.keys().next().transpose();
        let in_trie = first.context("reading the banned networks")?.is_some();
        let bit = |is_set, bit| if is_set { bit } else { 0 };
        let bits = bit(in_trie, nets::TRIE) | bit(self.view().is_some(), nets::TABLE);
        self.settings.keep_nets_in_use(nets::TRIE | nets::TABLE, bits)
    }

    /// Every ban.
    pub(super) fn all(&self) -> anyhow::Result<Vec<(Prefix, KernelBan)>> {
        let mut all = self.few()?;
        all.extend(self.tabled().into_iter().map(|(net, ban)| (net, ban.into())));
        Ok(all)
    }

    /// Every ban in the trie. Keys come first and values after, so that entries which come and go in between cannot make the walk
    /// start over.
    pub(super) fn few(&self) -> anyhow::Result<Vec<(Prefix, KernelBan)>> {
        let mut bans = Vec::new();
        for key in self.keys()? {
            let ban = absent_is_none(self.trie.get(&key, 0)).context("reading the ban of a network")?;
            // What this release does not write (more than 128 bits) cannot be named, nor asked for.
            bans.extend(ban.and_then(|ban| Some((net(key.prefix_len(), key.data())?, ban.into()))));
        }
        Ok(bans)
    }

    /// The next few thousand bans in the table behind `last`; none at its end.
    pub(super) fn many(&self, last: Option<&Prefix>) -> Vec<(Prefix, KernelBan)> {
        let some = self
            .view()
            .map(|view| view.after(last, CHUNK))
            .unwrap_or_default();
        some.into_iter().map(|(net, ban)| (net, ban.into())).collect()
    }
}

fn key(net: &Prefix) -> Key<[u8; 16]> {
    let NetKey { prefix_len, addr } = net.net_key();
    Key::new(prefix_len, addr)
}

/// The network of a key; `None` for more than 128 bits.
pub(super) fn net(prefix_len: u32, addr: [u8; 16]) -> Option<Prefix> {
    Prefix::new(IpAddr::from(addr), u8::try_from(prefix_len).ok()?).ok()
}

fn full_is_told(error: MapError) -> anyhow::Error {
    match &error {
        MapError::SyscallError(call) if call.io_error.raw_os_error() == Some(Errno::ENOSPC as i32) => {
            anyhow!(
                "{} is full: no more than {} networks can be banned without a table",
                maps::BANNED_NETS,
                maps::MAX_TRIE_NETS
            )
        }
        _ => error.into(),
    }
}
