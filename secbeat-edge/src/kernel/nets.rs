//! The kernel's allowlist.

use std::collections::{HashMap, HashSet};

use anyhow::Context;
use aya::maps::{LpmTrie, Map, MapData, lpm_trie::Key};
use secbeat_common::{
    maps::{self, Allow},
    prefix::Prefix,
};

use super::{Allowing, Pins, SettingsMap};

/// `ALLOWED_NETS`: networks that the program never drops.
pub struct AllowedNets {
    trie: LpmTrie<MapData, [u8; 16], Allow>,
    settings: SettingsMap,
    written: HashMap<Prefix, u32>,
    generation: u32,
    /// What static lists allow.
    listed: Allowing,
}

impl AllowedNets {
    /// # Errors
    ///
    /// When the maps are not pinned, or not of this release.
    pub fn open(pins: &Pins) -> anyhow::Result<Self> {
        let path = pins.map(maps::ALLOWED_NETS);
        let data =
            MapData::from_pin(&path).with_context(|| format!("opening the pinned map {}", path.display()))?;
        Ok(Self {
            trie: Map::LpmTrie(data)
                .try_into()
                .context("ALLOWED_NETS is not an allowlist of this release")?,
            settings: SettingsMap::open(pins)?,
            written: HashMap::new(),
            generation: 0,
            listed: Allowing::default(),
        })
    }

    /// The networks that the kernel's allowlist holds for `reason`, a code of [`maps::allow`].
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn of_reason(&self, reason: u32) -> anyhow::Result<Vec<Prefix>> {
        let listed = self.trie.iter().collect::<Result<Vec<_>, _>>();
        let listed = listed.context("listing the kernel's allowlist")?;
        let of_reason = listed.into_iter().filter(|(_, allow)| allow.reason == reason);
        let network = |(key, _): (Key<[u8; 16]>, Allow)| {
            Prefix::new(key.data().into(), u8::try_from(key.prefix_len()).ok()?).ok()
        };
        Ok(of_reason.filter_map(network).collect())
    }

    /// Makes the kernel's allowlist exactly `nets` (prefix → a code of [`maps::allow`]).
    ///
    /// If anything changes, the generation changes first, which makes every ban's [`stamp`](Self::stamp) stale, so that
    /// the program looks every packet up again; then networks are added and only then removed, so that nothing which
    /// stays allowed is unprotected for an instant.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn set(&mut self, nets: &HashMap<Prefix, u32>) -> anyhow::Result<()> {
        let present = self
            .trie
            .keys()
            .collect::<Result<Vec<_>, _>>()
            .context("listing the kernel's allowlist")?;
        let present: HashMap<_, _> = present.into_iter().map(|key| (parts(&key), key)).collect();
        let kept: HashSet<_> = nets.keys().map(|net| parts(&key(net))).collect();
        let unchanged = present.len() == kept.len() && present.keys().all(|parts| kept.contains(parts));
        // Until all is written no ban can be called untouched; a failure leaves it so.
        self.generation = 0;
        let generation = self.advance(unchanged)?;
        for (net, &reason) in nets {
            self.trie
                .insert(&key(net), Allow { reason }, 0)
                .with_context(|| format!("allowing {net} in the kernel"))?;
        }
        for (_, key) in present.iter().filter(|(parts, _)| !kept.contains(*parts)) {
            self.trie
                .remove(key)
                .context("removing a network from the kernel's allowlist")?;
        }
        self.written.clone_from(nets);
        self.generation = generation;
        Ok(())
    }

    /// The stamp for a ban of `target` ([`maps::Ban::unallowed_in`]): the current generation if no allowed network
    /// touches it, 0 if the program has to look at each packet.
    #[must_use]
    pub fn stamp(&self, target: &Prefix) -> u32 {
        let touched = self.listed.touches(target)
            || self
                .written
                .keys()
                .any(|net| net.covers(target) || target.covers(net));
        if touched { 0 } else { self.generation }
    }

    /// Whether `stamp` says of a ban of `target` what [`stamp`](Self::stamp) would. A ban once found untouched by the
    /// allowlist as it is now needs no second look.
    #[must_use]
    pub fn is_current(&self, target: &Prefix, stamp: u32) -> bool {
        (stamp != 0 && stamp == self.generation) || stamp == self.stamp(target)
    }

    /// Notes what static lists allow from the next moment on. If that changes, every ban's stamp is stale, as in [`set`](Self::set).
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn set_listed(&mut self, listed: Allowing) -> anyhow::Result<()> {
        if listed != self.listed {
            self.listed = listed;
            self.generation = 0;
            self.generation = self.settings.next_allow_generation()?;
        }
        Ok(())
    }

    /// The generation, moved on unless nothing is about to change.
    fn advance(&mut self, unchanged: bool) -> anyhow::Result<u32> {
        match self.settings.read()?.allow_generation {
            generation if unchanged && generation != 0 => Ok(generation),
            _ => self.settings.next_allow_generation(),
        }
    }
}

/// Reads the allowlist (prefix → a code of [`maps::allow`]); works without the daemon.
///
/// # Errors
///
/// When the map is not pinned or the kernel refuses.
pub fn read_allowed(pins: &Pins) -> anyhow::Result<HashMap<Prefix, u32>> {
    let allowed = AllowedNets::open(pins)?;
    let mut nets = HashMap::new();
    for entry in allowed.trie.iter() {
        let (key, Allow { reason }) = entry.context("listing the kernel's allowlist")?;
        let (len, addr) = parts(&key);
        let net = u8::try_from(len).ok().map(|len| Prefix::new(addr.into(), len));
        let net = net
            .and_then(Result::ok)
            .context("the kernel's allowlist has an entry that is not a network")?;
        nets.insert(net, reason);
    }
    Ok(nets)
}

fn key(net: &Prefix) -> Key<[u8; 16]> {
    let maps::NetKey { prefix_len, addr } = net.net_key();
    Key::new(prefix_len, addr)
}

fn parts(key: &Key<[u8; 16]>) -> (u32, [u8; 16]) {
    (key.prefix_len(), key.data())
}
