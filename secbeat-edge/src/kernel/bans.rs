//! The kernel's bans, over all three maps.

use std::{collections::HashSet, net::IpAddr};

use anyhow::Context;
use aya::programs::Xdp;
use secbeat_common::{
    maps::{self, Ban},
    prefix::Prefix,
};
use secbeat_edge_core::{BAN_MAPS, Fill, KernelBan};

use super::{
    AllowedNets, JiffyClock, Pins, SettingsMap,
    banned_nets::BannedNets,
    batch::Cursor,
    entry::{Counts, JiffyBan, Unwritten},
    lane::{self, Lane},
    sieve::{Met, Sieve},
    source_bans::{SourceBans, SourceKey},
};

/// A walk through the three maps, a few thousand bans at a time.
#[derive(Debug, Default)]
pub struct Walk {
    at: Place,
    entries: [u64; BAN_MAPS.len()],
    /// The bits of the bans that it met, if the sieve is to be put in order after it.
    met: Option<Met>,
    /// What it met of the express lane.
    lane: Option<lane::Met>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    V4(Cursor),
    V6(Cursor),
    /// Those that the express lane alone has.
    Lost,
    /// The networks in the trie.
    Nets,
    /// Those in the table, behind this one.
    Tabled(Option<Prefix>),
    End,
}

impl Default for Place {
    fn default() -> Self {
        Self::V4(Cursor::Start)
    }
}

/// The ban maps: `BANNED_V4` and `BANNED_V6` hold sources, `BANNED_NETS` and `NET_TABLES` every other prefix.
pub struct BanMaps {
    v4: SourceBans<[u8; 4]>,
    v6: SourceBans<[u8; 8]>,
    nets: BannedNets,
    sieve: Sieve,
    lane: Lane,
}

/// Kernel map that keeps the ban of a target.
enum Key {
    V4([u8; 4]),
    V6([u8; 8]),
    Net,
}

impl BanMaps {
    /// Opens the pinned maps; works without the daemon.
    ///
    /// # Errors
    ///
    /// Returns an error if they are not pinned, or are not ban maps of this release.
    pub fn open(pins: &Pins) -> anyhow::Result<Self> {
        Ok(Self {
            v4: SourceBans::open(pins, maps::BANNED_V4)?,
            v6: SourceBans::open(pins, maps::BANNED_V6)?,
            nets: BannedNets::open(pins)?,
            sieve: Sieve::open(pins)?,
            lane: Lane::open(pins)?,
        })
    }

    /// Makes this process the owner of the express lane, with the allowlist as it is. To be called by the one that holds the pins'
    /// lock; all others leave the lane to it.
    pub fn own_lane(&mut self, allowed: &AllowedNets, clock: &JiffyClock) {
        self.lane.own();
        self.set_clock(clock);
        self.allow(allowed);
    }

    /// The kernel's clocks were read again.
    pub fn set_clock(&mut self, clock: &JiffyClock) {
        self.lane.set_clock(clock);
    }

    /// The allowlist has changed: nothing that it touches stays in the express lane.
    pub fn allow(&mut self, allowed: &AllowedNets) {
        let touched = allowed.touched();
        self.lane
            .allow(allowed.generation(), |target| touched.has(target));
    }

    /// Whether another process has changed bans since the last walk, so that the express lane is out of force until the next one.
    #[must_use]
    pub fn is_lane_outdated(&self) -> bool {
        self.lane.is_outdated()
    }

    /// Writes a ban. The drop counts of a ban that is already there are kept; what CPUs still hold back of it (see
    /// [`HeldBack`](super::HeldBack)) is lost to them if its end moves.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn put(&mut self, target: &Prefix, ban: &KernelBan, clock: &JiffyClock) -> anyhow::Result<()> {
        let ban = JiffyBan::new(ban, clock);
        self.lane.changed();
        self.lane.prepare(key(target).lane(), ban.ban());
        match self.prefiltered(target) {
            Key::V4(key) => self.v4.put(key, &ban),
            Key::V6(key) => self.v6.put(key, &ban),
            Key::Net => self.nets.put(target, &ban),
        }
        .with_context(|| format!("writing the ban of {target} into the kernel"))?;
        self.lane.put(key(target).lane(), ban.ban());
        self.lane.changed();
        Ok(())
    }

    /// Writes many bans, as [`put`](Self::put) does each. One that the kernel refuses does not keep the others out.
    ///
    /// # Errors
    ///
    /// [`Unwritten`] names those that it refused.
    pub fn put_all(&mut self, bans: &[(Prefix, KernelBan)], clock: &JiffyClock) -> Result<(), Unwritten> {
        self.put_many(bans, Counts::GoOn, clock)
    }

    /// The same for bans that the kernel does not hold: it is not asked for their counts, which is more than half of the
    /// work. One that is there all the same starts to count from zero.
    ///
    /// # Errors
    ///
    /// As [`put_all`](Self::put_all).
    pub fn put_all_new(&mut self, bans: &[(Prefix, KernelBan)], clock: &JiffyClock) -> Result<(), Unwritten> {
        self.put_many(bans, Counts::AsGiven, clock)
    }

    fn put_many(
        &mut self,
        bans: &[(Prefix, KernelBan)],
        counts: Counts,
        clock: &JiffyClock,
    ) -> Result<(), Unwritten> {
        let (mut v4, mut v6, mut nets) = (Vec::new(), Vec::new(), Vec::new());
        self.lane.changed();
        for (target, ban) in bans {
            match self.prefiltered(target) {
                Key::V4(key) => v4.push((key, JiffyBan::new(ban, clock))),
                Key::V6(key) => v6.push((key, JiffyBan::new(ban, clock))),
                Key::Net => nets.push((*target, JiffyBan::new(ban, clock))),
            }
        }
        let in_lane_of_v4 = v4.iter().map(|(key, ban)| (key.source(), key.lane(), ban));
        let in_lane_of_v6 = v6.iter().map(|(key, ban)| (key.source(), key.lane(), ban));
        let in_lane: Vec<_> = in_lane_of_v4.chain(in_lane_of_v6).collect();
        for (_, key, ban) in &in_lane {
            self.lane.prepare(*key, ban.ban());
        }
        let (mut refused, mut first) = (Vec::new(), None);
        for outcome in [
            self.v4.put_all(&v4, counts),
            self.v6.put_all(&v6, counts),
            self.nets.put_all(&nets),
        ] {
            if let Err(unwritten) = outcome {
                refused.extend(unwritten.targets);
                first.get_or_insert(unwritten.error);
            }
        }
        let refused_ones: HashSet<_> = refused.iter().copied().collect();
        let is_written = |target: Prefix| refused_ones.is_empty() || !refused_ones.contains(&target);
        for (_, key, ban) in in_lane.iter().filter(|(target, ..)| is_written(*target)) {
            self.lane.put(*key, ban.ban());
        }
        self.lane.changed();
        match first {
            None => Ok(()),
            Some(error) => Err(Unwritten {
                targets: refused,
                error,
            }),
        }
    }

    /// Returns where the ban of `target` is to be written. From now on the prefilter lets the program look for it.
    fn prefiltered(&self, target: &Prefix) -> Key {
        let key = key(target);
        if let Some(word) = key.word() {
            self.sieve.add(word);
        }
        key
    }

    /// Returns how many bans were written since this was opened that `BANNED_V4` and `BANNED_V6` did not have; also those that
    /// the kernel refused.
    #[must_use]
    pub fn added(&self) -> [u64; 2] {
        [self.v4.added(), self.v6.added()]
    }

    /// Removes a ban; one that is not there is fine.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn remove(&mut self, target: &Prefix) -> anyhow::Result<()> {
        let key = key(target);
        self.lane.remove(key.lane());
        match key {
            Key::V4(key) => self.v4.remove(&key),
            Key::V6(key) => self.v6.remove(&key),
            Key::Net => self.nets.remove(target),
        }
        .with_context(|| format!("removing the ban of {target} from the kernel"))?;
        self.lane.changed();
        Ok(())
    }

    /// The ban of exactly `target`, if there is one.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn get(&self, target: &Prefix) -> anyhow::Result<Option<KernelBan>> {
        self.find(target, BannedNets::get)
    }

    /// The same for bans that this process has written or read: the trie is not looked through for each network.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn get_known(&self, target: &Prefix) -> anyhow::Result<Option<KernelBan>> {
        self.find(target, BannedNets::get_known)
    }

    fn find(
        &self,
        target: &Prefix,
        in_nets: impl FnOnce(&BannedNets, &Prefix) -> anyhow::Result<Option<Ban>>,
    ) -> anyhow::Result<Option<KernelBan>> {
        let key = key(target);
        let found = match &key {
            Key::V4(key) => self.v4.get(key),
            Key::V6(key) => self.v6.get(key),
            Key::Net => in_nets(&self.nets, target),
        }
        .with_context(|| format!("reading the ban of {target} from the kernel"))?;
        Ok(match found {
            Some(ban) => Some(self.lane.counted(key.lane(), ban.into())),
            None => self.lane.lost_ban(key.lane()),
        })
    }

    /// Begins a walk that puts the maps in order: see [`settle`](Self::settle).
    #[must_use]
    pub fn begin(&self) -> Walk {
        Walk {
            met: Some(self.sieve.begin()),
            lane: Some(self.lane.begin()),
            ..Walk::default()
        }
    }

    /// The next few thousand bans of a walk, ended ones too; `None` at its end. A ban that is there all the time comes
    /// exactly once, whatever is written meanwhile.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn next(&self, walk: &mut Walk) -> anyhow::Result<Option<Vec<(Prefix, KernelBan)>>> {
        let (map, bans, next) = match walk.at {
            Place::V4(Cursor::End) => {
                walk.at = Place::V6(Cursor::Start);
                return self.next(walk);
            }
            Place::V6(Cursor::End) => {
                walk.at = Place::Lost;
                return self.next(walk);
            }
            Place::V4(mut cursor) => {
                let found = self.v4.next(&mut cursor)?;
                (0, self.met(walk, found), Place::V4(cursor))
            }
            Place::V6(mut cursor) => {
                let found = self.v6.next(&mut cursor)?;
                (1, self.met(walk, found), Place::V6(cursor))
            }
            Place::Lost => {
                let lost = self.lost(walk)?;
                if let Some(met) = &mut walk.met {
                    let words = lost.iter().filter_map(|(target, _)| key(target).word());
                    words.for_each(|word| self.sieve.meet(met, word));
                }
                walk.at = Place::Nets;
                return Ok(Some(lost));
            }
            Place::Nets => (2, self.nets.few()?, Place::Tabled(None)),
            Place::Tabled(last) => match self.nets.many(last.as_ref()) {
                some if some.is_empty() => (2, some, Place::End),
                some => {
                    let last = some.last().map(|(net, _)| *net);
                    (2, some, Place::Tabled(last))
                }
            },
            Place::End => return Ok(None),
        };
        walk.at = next;
        walk.entries[map] += bans.len() as u64;
        if let Some(met) = &mut walk.met {
            let words = bans.iter().filter_map(|(target, _)| key(target).word());
            words.for_each(|word| self.sieve.meet(met, word));
        }
        Ok(Some(bans))
    }

    /// Tells the lane of bans of a map, and adds what it holds back of their counts.
    fn met<K: SourceKey>(&self, walk: &mut Walk, found: Vec<(K, Ban)>) -> Vec<(Prefix, KernelBan)> {
        let lane = walk.lane.get_or_insert_with(|| self.lane.begin());
        found
            .into_iter()
            .map(|(key, ban)| {
                // Only who puts the maps in order lets the lane follow them.
                self.lane.meet(lane, key.lane(), &ban);
                (key.source(), self.lane.counted(key.lane(), ban.into()))
            })
            .collect()
    }

    /// The bans that the lane alone has.
    fn lost(&self, walk: &mut Walk) -> anyhow::Result<Vec<(Prefix, KernelBan)>> {
        let lane = walk.lane.get_or_insert_with(|| self.lane.begin());
        self.lane.lost(lane, |target| {
            Ok(match key(target) {
                Key::V4(key) => self.v4.get(&key)?.is_some(),
                Key::V6(key) => self.v6.get(&key)?.is_some(),
                Key::Net => false,
            })
        })
    }

    /// Returns how full the maps were when `walk` came through, in the order of [`BAN_MAPS`].
    #[must_use]
    pub fn fill(&self, walk: &Walk) -> [Fill; BAN_MAPS.len()] {
        let slots = [self.v4.slots(), self.v6.slots(), maps::MAX_BANNED_NETS];
        std::array::from_fn(|map| Fill {
            entries: walk.entries[map],
            slots: slots[map],
        })
    }

    /// Every ban, ended ones too.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn all(&self) -> anyhow::Result<Vec<(Prefix, KernelBan)>> {
        let (mut walk, mut all) = (Walk::default(), Vec::new());
        while let Some(bans) = self.next(&mut walk)? {
            all.extend(bans);
        }
        Ok(all)
    }

    /// The bans that the express lane alone has, since a map has lost them.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub(super) fn in_lane_alone(&self) -> anyhow::Result<Vec<(Prefix, KernelBan)>> {
        self.lost(&mut Walk::default())
    }

    /// Every banned network.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn nets(&self) -> anyhow::Result<Vec<(Prefix, KernelBan)>> {
        self.nets.all()
    }

    /// Lets networks move into tables once there are many, if the program finds in one what is known of it. `probe` is the loaded
    /// program [`maps::TABLE_PROBE`].
    ///
    /// # Errors
    ///
    /// Returns an error if it does not; networks stay in the trie then, and are as many as fit into it.
    pub fn prove_tables(&mut self, probe: &Xdp) -> anyhow::Result<()> {
        self.nets.prove_tables(probe)
    }

    /// Puts in order what hangs on the bans, after a walk through all of them: the program looks for networks exactly where there
    /// are some, and `SIEVE` has the bits of the bans that there are and no others.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn settle(&mut self, walk: &Walk) -> anyhow::Result<()> {
        if let (Some(met), Some(lane), Place::End) = (&walk.met, &walk.lane, walk.at) {
            self.sieve.settle(met, || self.lane.is_alone_since(lane));
            self.lane.settle(lane);
        }
        self.nets.settle()
    }

    /// Has the program find the bans, whatever else has written into what it asks before the maps. Says what was different. To be called
    /// by the one that has [made it pass over](Self::use_sieve) sources without a bit.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn keep(&mut self) -> anyhow::Result<Vec<&'static str>> {
        let mut differed = Vec::new();
        if self.sieve.keep() {
            differed.push("the prefilter");
        }
        if self.nets.keep()? {
            differed.push("where banned networks are looked for");
        }
        Ok(differed)
    }

    /// Makes the program pass over sources that have no bit in `SIEVE`, in which this walks through all bans first. Returns how full the
    /// maps are.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn use_sieve(&mut self, settings: &mut SettingsMap) -> anyhow::Result<[Fill; BAN_MAPS.len()]> {
        self.sieve.own();
        let mut walk = self.begin();
        while self.next(&mut walk)?.is_some() {}
        self.settle(&walk)?;
        settings.set_sieve_in_use()?;
        Ok(self.fill(&walk))
    }
}

impl Key {
    /// A source as the express lane knows it; networks are not in it.
    fn lane(&self) -> Option<u64> {
        match self {
            Self::V4(key) => key.lane(),
            Self::V6(key) => key.lane(),
            Self::Net => None,
        }
    }

    /// A source as the sieve knows it; networks are not in it.
    fn word(&self) -> Option<u64> {
        match self {
            Self::V4(key) => Some(key.word()),
            Self::V6(key) => Some(key.word()),
            Self::Net => None,
        }
    }
}

fn key(target: &Prefix) -> Key {
    if !target.is_single() {
        return Key::Net;
    }
    match target.addr() {
        IpAddr::V4(v4) => Key::V4(v4.octets()),
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h, ..] = v6.octets();
            Key::V6([a, b, c, d, e, f, g, h])
        }
    }
}
