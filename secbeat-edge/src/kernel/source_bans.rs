//! `BANNED_V4` and `BANNED_V6`: LRU hashes of single sources.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context;
use aya::{
    Pod,
    maps::{HashMap, Map, MapData},
};
use secbeat_common::{lane, maps::Ban, prefix::Prefix};

use super::{
    Pins,
    batch::{self, Cursor, HashMapFd},
    entry::{Counts, JiffyBan, Unwritten, absent_is_none},
};

/// The key of a source, in memory as it is in a packet.
pub(super) trait SourceKey: Pod {
    const BLANK: Self;
    fn source(self) -> Prefix;
    /// As [`Flood::source`](secbeat_common::maps::Flood::source) has it.
    fn word(self) -> u64;
    /// As the express lane has it; `None` for what has no place there.
    fn lane(self) -> Option<u64>;
}

impl SourceKey for [u8; 4] {
    const BLANK: Self = [0; 4];

    fn source(self) -> Prefix {
        Prefix::single(IpAddr::V4(Ipv4Addr::from(self)))
    }

    fn word(self) -> u64 {
        let [a, b, c, d] = self;
        u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0])
    }

    fn lane(self) -> Option<u64> {
        Some(lane::v4(u32::from_be_bytes(self)))
    }
}

impl SourceKey for [u8; 8] {
    const BLANK: Self = [0; 8];

    fn source(self) -> Prefix {
        Prefix::of_upper_half(self)
    }

    fn word(self) -> u64 {
        u64::from_ne_bytes(self)
    }

    fn lane(self) -> Option<u64> {
        lane::v6(u64::from_be_bytes(self))
    }
}

/// One of the two maps.
#[derive(Debug)]
pub(super) struct SourceBans<K> {
    map: HashMap<MapData, K, Ban>,
    batches: HashMapFd<K, Ban>,
    slots: u32,
    /// Number of bans that were written that the map did not have.
    added: u64,
}

impl<K: SourceKey> SourceBans<K> {
    pub(super) fn open(pins: &Pins, name: &str) -> anyhow::Result<Self> {
        let path = pins.map(name);
        let data = MapData::from_pin(&path)
            .with_context(|| format!("opening the pinned map {} (is SecBeat attached?)", path.display()))?;
        let typed = || format!("{name} is not a ban map of this release");
        let slots = data.info().with_context(typed)?.max_entries();
        let batches = HashMapFd::new(&data).with_context(typed)?;
        let map = Map::LruHashMap(data).try_into().with_context(typed)?;
        Ok(Self {
            map,
            batches,
            slots,
            added: 0,
        })
    }

    pub(super) fn slots(&self) -> u32 {
        self.slots
    }

    /// Returns how many bans were written that the map did not have.
    pub(super) fn added(&self) -> u64 {
        self.added
    }

    pub(super) fn get(&self, key: &K) -> anyhow::Result<Option<Ban>> {
        Ok(absent_is_none(self.map.get(key, 0))?)
    }

    pub(super) fn put(&mut self, key: K, ban: &JiffyBan) -> anyhow::Result<()> {
        let known = self.get(&key)?;
        self.added += u64::from(known.is_none());
        Ok(self.map.insert(key, ban.counting_on(known), 0)?)
    }

    pub(super) fn remove(&mut self, key: &K) -> anyhow::Result<()> {
        absent_is_none(self.map.remove(key))?;
        Ok(())
    }

    /// Writes them all, in order.
    pub(super) fn put_all(&mut self, bans: &[(K, JiffyBan)], counts: Counts) -> Result<(), Unwritten> {
        let (mut keys, mut values) = (Vec::with_capacity(bans.len()), Vec::with_capacity(bans.len()));
        for (key, ban) in bans {
            keys.push(*key);
            let known = match counts {
                // A ban that cannot be read cannot be written either, and that says why.
                Counts::GoOn => self.get(key).unwrap_or_default(),
                Counts::AsGiven => None,
            };
            self.added += u64::from(known.is_none());
            values.push(ban.counting_on(known));
        }
        batch::update(&mut self.batches, &keys, &values).map_err(|batch::Unwritten { at, error }| Unwritten {
            targets: at
                .iter()
                .filter_map(|&at| keys.get(at))
                .map(|key| key.source())
                .collect(),
            error: anyhow::Error::from(error).context("writing bans into the kernel"),
        })
    }

    /// The next few thousand bans.
    pub(super) fn next(&self, cursor: &mut Cursor) -> anyhow::Result<Vec<(K, Ban)>> {
        let (keys, values) = batch::lookup(&self.batches, cursor, (K::BLANK, Ban::default()))
            .context("reading the kernel's bans")?;
        Ok(keys.into_iter().zip(values).collect())
    }
}
