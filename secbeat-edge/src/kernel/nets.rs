//! The kernel's allowlist.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Context;
use aya::maps::{LpmTrie, Map, MapData, MapError, lpm_trie::Key};
use secbeat_common::{
    maps::{self, Allow},
    prefix::Prefix,
};

use super::{Allowing, Pins, SettingsMap, entry::absent_is_none};

/// Networks up to which the kernel's allowlist is compared at each look, which takes two system calls for each.
const FEW: usize = 1024;

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
    /// Returns an error if the maps are not pinned, or not of this release.
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
    /// Returns an error if the kernel refuses.
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
    /// Returns an error if the kernel refuses. What it does not refuse is allowed all the same.
    pub fn set(&mut self, nets: &HashMap<Prefix, u32>) -> anyhow::Result<()> {
        let present = self
            .trie
            .iter()
            .collect::<Result<Vec<_>, _>>()
            .context("listing the kernel's allowlist")?;
        let present: HashMap<_, _> = present
            .into_iter()
            .map(|(key, allow)| (parts(&key), (key, allow.reason)))
            .collect();
        let kept: HashSet<_> = nets.keys().map(|net| parts(&key(net))).collect();
        let unchanged = present.len() == kept.len() && present.keys().all(|parts| kept.contains(parts));
        // Until all is written no ban can be called untouched; a failure leaves it so.
        self.generation = 0;
        let generation = self.advance(unchanged)?;
        // What is there as it should be is not written again: an error is then of an entry that the kernel does not have.
        let is_there = |net: &Prefix, reason: u32| {
            let present = present.get(&parts(&key(net)));
            present.is_some_and(|(_, present)| *present == reason)
        };
        let missing = nets.iter().filter(|&(net, reason)| !is_there(net, *reason));
        let mut refused = self.insert_all(missing.map(|(net, reason)| (*net, *reason)));
        let stale = present.iter().filter(|(parts, _)| !kept.contains(*parts));
        if !refused.is_empty() {
            // Perhaps there was no room beside what others have put there.
            stale
                .clone()
                .for_each(|(_, (key, _))| drop(self.trie.remove(key)));
            refused = self.insert_all(
                refused
                    .into_keys()
                    .filter_map(|net| Some((net, *nets.get(&net)?))),
            );
        }
        let more = refused.len().saturating_sub(1);
        if let Some((net, error)) = refused.pop_first() {
            let others = match more {
                0 => String::new(),
                more => format!(" (and {more} more networks)"),
            };
            return Err(error).with_context(|| format!("allowing {net}{others} in the kernel"));
        }
        for (_, (key, _)) in stale {
            absent_is_none(self.trie.remove(key))
                .context("removing a network from the kernel's allowlist")?;
        }
        self.written.clone_from(nets);
        self.generation = generation;
        Ok(())
    }

    /// Allows them all; returns those that the kernel refused.
    fn insert_all(&mut self, nets: impl Iterator<Item = (Prefix, u32)>) -> BTreeMap<Prefix, MapError> {
        nets.filter_map(|(net, reason)| {
            let refused = self.trie.insert(&key(&net), Allow { reason }, 0).err()?;
            Some((net, refused))
        })
        .collect()
    }

    /// Whether something else has moved the generation on, as who changes the allowlist does.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn is_outdated(&self) -> anyhow::Result<bool> {
        Ok(self.generation != 0 && self.settings.read()?.allow_generation != self.generation)
    }

    /// Whether they are so few that the kernel's may be listed every few seconds.
    #[must_use]
    pub fn are_few(&self) -> bool {
        self.written.len() <= FEW
    }

    /// Has the kernel's allowlist be what was [set](Self::set), whatever else has written there since. Says whether it was not.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn keep(&mut self) -> anyhow::Result<bool> {
        if self.generation == 0 {
            return Ok(false);
        }
        let present = self.trie.iter().collect::<Result<Vec<_>, _>>();
        let present = present.context("listing the kernel's allowlist")?;
        let present: HashMap<_, _> = present
            .iter()
            .map(|(key, allow)| (parts(key), allow.reason))
            .collect();
        let written: HashMap<_, _> = self
            .written
            .iter()
            .map(|(net, reason)| (parts(&key(net)), *reason))
            .collect();
        let differs = present != written || self.is_outdated()?;
        if differs {
            let written = self.written.clone();
            self.set(&written)?;
        }
        Ok(differs)
    }

    /// Adds a network of this host's operators beside what is there, for a process that is not the daemon: all else stays. Every ban's
    /// stamp is stale from then on.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn add_local(&mut self, net: &Prefix) -> anyhow::Result<()> {
        self.settings.next_allow_generation()?;
        if self.reason_of(net)?.is_some() {
            return Ok(());
        }
        let allow = Allow {
            reason: maps::allow::LOCAL,
        };
        self.trie
            .insert(&key(net), allow, 0)
            .with_context(|| format!("allowing {net} in the kernel"))
    }

    /// Removes a network that is there for this host's operators alone.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn remove_local(&mut self, net: &Prefix) -> anyhow::Result<()> {
        if self.reason_of(net)? != Some(maps::allow::LOCAL) {
            return Ok(());
        }
        self.trie
            .remove(&key(net))
            .with_context(|| format!("removing {net} from the kernel's allowlist"))
    }

    /// The code of [`maps::allow`] of exactly `net`. A trie's lookup would find a network around it.
    fn reason_of(&self, net: &Prefix) -> anyhow::Result<Option<u32>> {
        let wanted = parts(&key(net));
        for entry in self.trie.iter() {
            let (key, Allow { reason }) = entry.context("listing the kernel's allowlist")?;
            if parts(&key) == wanted {
                return Ok(Some(reason));
            }
        }
        Ok(None)
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
    /// Returns an error if the kernel refuses.
    pub fn set_listed(&mut self, listed: Allowing) -> anyhow::Result<()> {
        if listed != self.listed {
            self.listed = listed;
            self.generation = 0;
            self.generation = self.settings.next_allow_generation()?;
        }
        Ok(())
    }

    /// The generation of what is written; 0 if not all of it could be.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Returns what is written, to be asked of many sources.
    #[must_use]
    pub(super) fn touched(&self) -> Touched<'_> {
        Touched::by(self.written.keys(), &self.listed)
    }

    /// The generation, moved on unless nothing is about to change.
    fn advance(&mut self, unchanged: bool) -> anyhow::Result<u32> {
        match self.settings.read()?.allow_generation {
            generation if unchanged && generation != 0 => Ok(generation),
            _ => self.settings.next_allow_generation(),
        }
    }
}

/// What the allowlist and static lists allow.
#[derive(Debug)]
pub(super) struct Touched<'a> {
    /// The allowlist's addresses, as stretches in order that do not meet.
    stretches: Vec<(u128, u128)>,
    listed: &'a Allowing,
}

impl<'a> Touched<'a> {
    fn by<'n>(nets: impl Iterator<Item = &'n Prefix>, listed: &'a Allowing) -> Self {
        let mut stretches: Vec<_> = nets.map(stretch).collect();
        stretches.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(stretches.len());
        for (first, last) in stretches {
            match merged.last_mut() {
                Some((_, end)) if first <= *end => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Self {
            stretches: merged,
            listed,
        }
    }

    /// Whether a network of the allowlist, or a list that allows, has an address in common with `target`.
    pub(super) fn has(&self, target: &Prefix) -> bool {
        let (first, last) = stretch(target);
        let at = self.stretches.partition_point(|(_, end)| *end < first);
        self.stretches.get(at).is_some_and(|(begin, _)| *begin <= last) || self.listed.touches(target)
    }
}

/// The first and the last address, IPv4 as `::ffff:a.b.c.d`.
fn stretch(net: &Prefix) -> (u128, u128) {
    let maps::NetKey { prefix_len, addr } = net.net_key();
    let first = u128::from_be_bytes(addr);
    (first, first | u128::MAX.checked_shr(prefix_len).unwrap_or(0))
}

/// Reads the allowlist (prefix → a code of [`maps::allow`]); works without the daemon.
///
/// # Errors
///
/// Returns an error if the map is not pinned or the kernel refuses.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_touched_by_every_network_that_it_shares_an_address_with() {
        let nets = [
            "192.0.2.0/24",
            "192.0.2.7",
            "203.0.113.0/25",
            "2001:db8:1:2::5/128",
            "2001:db8:8000::/33",
        ];
        let nets: Vec<Prefix> = nets.iter().map(|net| net.parse().unwrap()).collect();
        let unlisted = Allowing::default();
        let touched = Touched::by(nets.iter(), &unlisted);
        for source in [
            "192.0.2.0",
            "192.0.2.255",
            "192.0.3.0",
            "192.0.1.255",
            "203.0.113.127",
            "203.0.113.128",
            "2001:db8:1:2::",
            "2001:db8:1:3::",
            "2001:db8:1:1::",
            "2001:db8:ffff::",
            "2001:db8:7fff:ffff::",
            "2001::1",
            "255.255.255.255",
        ] {
            let source = Prefix::single(source.parse().unwrap());
            let expected = nets.iter().any(|net| net.covers(&source) || source.covers(net));
            assert_eq!(touched.has(&source), expected, "{source}");
        }
        assert!(!Touched::by([].iter(), &unlisted).has(&nets[0]));
        let everything = [Prefix::new("::".parse().unwrap(), 0).unwrap()];
        assert!(Touched::by(everything.iter(), &unlisted).has(&nets[3]));
    }
}
