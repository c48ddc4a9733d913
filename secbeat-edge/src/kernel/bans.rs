//! The ban maps.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, bail};
use aya::maps::{HashMap, Map, MapData, MapError};
use secbeat_common::{
    maps::{self, Ban},
    prefix::Prefix,
};

use super::{BootTime, JiffyClock, Pins};

/// A ban as the kernel holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelBan {
    pub ends: BootTime,
    /// A code of [`maps::reason`].
    pub reason: u8,
    /// A code of [`maps::origin`].
    pub origin: u8,
    pub strikes: u32,
    /// The allowlist's generation in which it touches this source nowhere; see [`Ban::unallowed_in`].
    pub unallowed_in: u32,
    pub dropped_packets: u64,
    pub dropped_bytes: u64,
}

/// `BANNED_V4` and `BANNED_V6`.
#[derive(Debug)]
pub struct BanMaps {
    v4: HashMap<MapData, [u8; 4], Ban>,
    v6: HashMap<MapData, [u8; 8], Ban>,
}

/// The key of a source in its map.
enum Key {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl BanMaps {
    /// Opens the pinned maps; works without the daemon.
    ///
    /// # Errors
    ///
    /// When they are not pinned, or are no ban maps of this release.
    pub fn open(pins: &Pins) -> anyhow::Result<Self> {
        let open = |name| -> anyhow::Result<Map> {
            let path = pins.map(name);
            let data = MapData::from_pin(&path).with_context(|| {
                format!("opening the pinned map {} (is SecBeat attached?)", path.display())
            })?;
            Ok(Map::LruHashMap(data))
        };
        let typed = "is no ban map of this release";
        Ok(Self {
            v4: open(maps::BANNED_V4)?
                .try_into()
                .with_context(|| format!("{} {typed}", maps::BANNED_V4))?,
            v6: open(maps::BANNED_V6)?
                .try_into()
                .with_context(|| format!("{} {typed}", maps::BANNED_V6))?,
        })
    }

    /// Writes a ban. The drop counts of a ban that is already there are kept.
    ///
    /// # Errors
    ///
    /// When `target` is no single source, or the kernel refuses.
    pub fn put(&mut self, target: &Prefix, ban: &KernelBan, clock: &JiffyClock) -> anyhow::Result<()> {
        let key = key(target)?;
        let counted = self.get(target)?.unwrap_or(*ban);
        let value = Ban {
            expires_jiffies: clock.jiffies_at(ban.ends),
            expires_boot_ns: ban.ends.0,
            dropped_packets: counted.dropped_packets,
            dropped_bytes: counted.dropped_bytes,
            reason: ban.reason,
            origin: ban.origin,
            strikes: u16::try_from(ban.strikes).unwrap_or(u16::MAX),
            unallowed_in: ban.unallowed_in,
        };
        match key {
            Key::V4(key) => self.v4.insert(key, value, 0),
            Key::V6(key) => self.v6.insert(key, value, 0),
        }
        .with_context(|| format!("writing the ban of {target} into the kernel"))
    }

    /// Removes a ban; one that is not there is fine.
    ///
    /// # Errors
    ///
    /// When `target` is no single source, or the kernel refuses.
    pub fn remove(&mut self, target: &Prefix) -> anyhow::Result<()> {
        let removed = match key(target)? {
            Key::V4(key) => self.v4.remove(&key),
            Key::V6(key) => self.v6.remove(&key),
        };
        absent_is_none(removed)
            .map(|_| ())
            .with_context(|| format!("removing the ban of {target} from the kernel"))
    }

    /// The ban of `target`, if there is one.
    ///
    /// # Errors
    ///
    /// When `target` is no single source, or the kernel refuses.
    pub fn get(&self, target: &Prefix) -> anyhow::Result<Option<KernelBan>> {
        let found = match key(target)? {
            Key::V4(key) => self.v4.get(&key, 0),
            Key::V6(key) => self.v6.get(&key, 0),
        };
        let found =
            absent_is_none(found).with_context(|| format!("reading the ban of {target} from the kernel"))?;
        Ok(found.map(KernelBan::from))
    }

    /// Every ban in both maps, ended ones too. Keys come first and values after, so that entries which come and go in
    /// between cannot make the walk start over.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn all(&self) -> anyhow::Result<Vec<(Prefix, KernelBan)>> {
        let mut bans = Vec::new();
        for key in self
            .v4
            .keys()
            .collect::<Result<Vec<_>, _>>()
            .context("listing the banned IPv4 sources")?
        {
            let ban = absent_is_none(self.v4.get(&key, 0)).context("reading a ban")?;
            let source = Prefix::of_source(IpAddr::V4(Ipv4Addr::from(key)));
            bans.extend(ban.map(|ban| (source, ban.into())));
        }
        for key in self
            .v6
            .keys()
            .collect::<Result<Vec<_>, _>>()
            .context("listing the banned IPv6 sources")?
        {
            let ban = absent_is_none(self.v6.get(&key, 0)).context("reading a ban")?;
            let address = u128::from(u64::from_be_bytes(key)) << 64;
            let source = Prefix::of_source(IpAddr::V6(Ipv6Addr::from(address)));
            bans.extend(ban.map(|ban| (source, ban.into())));
        }
        Ok(bans)
    }
}

fn key(target: &Prefix) -> anyhow::Result<Key> {
    if !target.is_source() {
        bail!(
            "{target} is no single source (an IPv4 /32 or an IPv6 /64), which is all that the ban maps hold"
        );
    }
    Ok(match target.addr() {
        IpAddr::V4(v4) => Key::V4(v4.octets()),
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h, ..] = v6.octets();
            Key::V6([a, b, c, d, e, f, g, h])
        }
    })
}

fn absent_is_none<T>(result: Result<T, MapError>) -> Result<Option<T>, MapError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl From<Ban> for KernelBan {
    fn from(ban: Ban) -> Self {
        Self {
            ends: BootTime(ban.expires_boot_ns),
            reason: ban.reason,
            origin: ban.origin,
            strikes: u32::from(ban.strikes),
            unallowed_in: ban.unallowed_in,
            dropped_packets: ban.dropped_packets,
            dropped_bytes: ban.dropped_bytes,
        }
    }
}
