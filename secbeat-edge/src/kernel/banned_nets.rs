//! `BANNED_NETS`: a trie of all other prefixes, which the program consults only while there are any.

use std::net::IpAddr;

use anyhow::{Context, anyhow};
use aya::maps::{LpmTrie, Map, MapData, MapError, lpm_trie::Key};
use nix::errno::Errno;
use secbeat_common::{
    maps::{self, Ban, NetKey},
    prefix::Prefix,
};
use secbeat_edge_core::KernelBan;

use super::{
    Pins, SettingsMap,
    entry::{JiffyBan, absent_is_none},
};

/// The trie and the switch that makes the program look into it.
pub(super) struct BannedNets {
    trie: LpmTrie<MapData, [u8; 16], Ban>,
    settings: SettingsMap,
}

impl BannedNets {
    pub(super) fn open(pins: &Pins) -> anyhow::Result<Self> {
        let path = pins.map(maps::BANNED_NETS);
        let data = MapData::from_pin(&path)
            .with_context(|| format!("opening the pinned map {} (is SecBeat attached?)", path.display()))?;
        let trie = Map::LpmTrie(data)
            .try_into()
            .with_context(|| format!("{} is no ban map of this release", maps::BANNED_NETS))?;
        Ok(Self {
            trie,
            settings: SettingsMap::open(pins)?,
        })
    }

    pub(super) fn get(&self, net: &Prefix) -> anyhow::Result<Option<Ban>> {
        Ok(absent_is_none(self.trie.get(&key(net), 0))?)
    }

    /// Writes a ban; the program is told to look before there is anything to see.
    pub(super) fn put(&mut self, net: &Prefix, ban: &JiffyBan) -> anyhow::Result<()> {
        let ban = ban.counting_on(self.get(net)?);
        self.settings.set_nets_in_use(true)?;
        self.trie.insert(&key(net), ban, 0).map_err(full_is_told)
    }

    /// Removes a ban; after the last one the program stops looking.
    pub(super) fn remove(&mut self, net: &Prefix) -> anyhow::Result<()> {
        absent_is_none(self.trie.remove(&key(net)))?;
        self.settle()
    }

    /// Sets the switch by what is in the trie, also after another program changed that.
    pub(super) fn settle(&mut self) -> anyhow::Result<()> {
        let first = self.trie.keys().next().transpose();
        let in_use = first.context("reading the banned networks")?.is_some();
        self.settings.set_nets_in_use(in_use)
    }

    /// Every ban. Keys come first and values after, so that entries which come and go in between cannot make the walk
    /// start over.
    pub(super) fn all(&self) -> anyhow::Result<Vec<(Prefix, KernelBan)>> {
        let keys: Result<Vec<_>, _> = self.trie.keys().collect();
        let mut bans = Vec::new();
        for key in keys.context("listing the banned networks")? {
            let ban = absent_is_none(self.trie.get(&key, 0)).context("reading the ban of a network")?;
            // What this release does not write (more than 128 bits) cannot be named, nor asked for.
            bans.extend(ban.and_then(|ban| Some((net(key.prefix_len(), key.data())?, ban.into()))));
        }
        Ok(bans)
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
                "{} is full: no more than {} networks can be banned",
                maps::BANNED_NETS,
                maps::MAX_BANNED_NETS
            )
        }
        _ => error.into(),
    }
}
