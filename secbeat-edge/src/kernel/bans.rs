//! The kernel's bans, over all three maps.

use std::net::IpAddr;

use anyhow::Context;
use aya::programs::Xdp;
use secbeat_common::{maps, prefix::Prefix};
use secbeat_edge_core::{BAN_MAPS, Fill, KernelBan};

use super::{
    JiffyClock, Pins, SettingsMap,
    banned_nets::BannedNets,
    batch::Cursor,
    entry::{Counts, JiffyBan, Unwritten},
    sieve::{Met, Sieve},
    source_bans::{SourceBans, SourceKey as _},
};

/// A walk through the three maps, a few thousand bans at a time.
#[derive(Debug, Default)]
pub struct Walk {
    at: Place,
    entries: [u64; BAN_MAPS.len()],
    /// The bits of the bans that it met, if the sieve is to be put in order after it.
    met: Option<Met>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    V4(Cursor),
    V6(Cursor),
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
}

/// Where a target's ban is kept.
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
    /// When they are not pinned, or are no ban maps of this release.
    pub fn open(pins: &Pins) -> anyhow::Result<Self> {
        Ok(Self {
            v4: SourceBans::open(pins, maps::BANNED_V4)?,
            v6: SourceBans::open(pins, maps::BANNED_V6)?,
            nets: BannedNets::open(pins)?,
            sieve: Sieve::open(pins)?,
        })
    }

    /// Writes a ban. The drop counts of a ban that is already there are kept; what CPUs still hold back of it (see
    /// [`HeldBack`](super::HeldBack)) is lost to them if its end moves.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn put(&mut self, target: &Prefix, ban: &KernelBan, clock: &JiffyClock) -> anyhow::Result<()> {
        let ban = JiffyBan::new(ban, clock);
        match self.prefiltered(target) {
            Key::V4(key) => self.v4.put(key, &ban),
            Key::V6(key) => self.v6.put(key, &ban),
            Key::Net => self.nets.put(target, &ban),
        }
        .with_context(|| format!("writing the ban of {target} into the kernel"))
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
    /// work. One that is there all the same starts to count anew.
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
        for (target, ban) in bans {
            match self.prefiltered(target) {
                Key::V4(key) => v4.push((key, JiffyBan::new(ban, clock))),
                Key::V6(key) => v6.push((key, JiffyBan::new(ban, clock))),
                Key::Net => nets.push((*target, JiffyBan::new(ban, clock))),
            }
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

    /// Removes a ban; one that is not there is fine.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn remove(&mut self, target: &Prefix) -> anyhow::Result<()> {
        match key(target) {
            Key::V4(key) => self.v4.remove(&key),
            Key::V6(key) => self.v6.remove(&key),
            Key::Net => self.nets.remove(target),
        }
        .with_context(|| format!("removing the ban of {target} from the kernel"))
    }

    /// The ban of exactly `target`, if there is one.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn get(&self, target: &Prefix) -> anyhow::Result<Option<KernelBan>> {
        match key(target) {
            Key::V4(key) => self.v4.get(&key),
            Key::V6(key) => self.v6.get(&key),
            Key::Net => self.nets.get(target),
        }
        .with_context(|| format!("reading the ban of {target} from the kernel"))
        .map(|found| found.map(KernelBan::from))
    }

    /// Begins a walk that puts the maps in order: see [`settle`](Self::settle).
    #[must_use]
    pub fn begin(&self) -> Walk {
        Walk {
            met: Some(self.sieve.begin()),
            ..Walk::default()
        }
    }

    /// The next few thousand bans of a walk, ended ones too; `None` at its end. A ban that is there all the time comes
    /// exactly once, whatever is written meanwhile.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn next(&self, walk: &mut Walk) -> anyhow::Result<Option<Vec<(Prefix, KernelBan)>>> {
        let (map, bans, next) = match walk.at {
            Place::V4(Cursor::End) => {
                walk.at = Place::V6(Cursor::Start);
                return self.next(walk);
            }
            Place::V6(Cursor::End) => {
                walk.at = Place::Nets;
                return self.next(walk);
            }
            Place::V4(mut cursor) => (0, self.v4.next(&mut cursor)?, Place::V4(cursor)),
            Place::V6(mut cursor) => (1, self.v6.next(&mut cursor)?, Place::V6(cursor)),
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

    /// How full the maps were when `walk` came through, in the order of [`BAN_MAPS`].
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
    /// When the kernel refuses.
    pub fn all(&self) -> anyhow::Result<Vec<(Prefix, KernelBan)>> {
        let (mut walk, mut all) = (Walk::default(), Vec::new());
        while let Some(bans) = self.next(&mut walk)? {
            all.extend(bans);
        }
        Ok(all)
    }

    /// Every banned network.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn nets(&self) -> anyhow::Result<Vec<(Prefix, KernelBan)>> {
        self.nets.all()
    }

    /// Lets networks move into tables once there are many, if the program finds in one what is known of it. `probe` is the loaded
    /// program [`maps::TABLE_PROBE`].
    ///
    /// # Errors
    ///
    /// When it does not; networks stay in the trie then, and are as many as fit into it.
    pub fn prove_tables(&mut self, probe: &Xdp) -> anyhow::Result<()> {
        self.nets.prove_tables(probe)
    }

    /// Puts in order what hangs on the bans, after a walk through all of them: the program looks for networks exactly where there
    /// are some, and `SIEVE` has the bits of the bans that there are and no others.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn settle(&mut self, walk: &Walk) -> anyhow::Result<()> {
        if let (Some(met), Place::End) = (&walk.met, walk.at) {
            self.sieve.settle(met);
        }
        self.nets.settle()
    }

    /// Makes the program pass over sources that have no bit in `SIEVE`, in which this walks through all bans first.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn use_sieve(&mut self, settings: &mut SettingsMap) -> anyhow::Result<()> {
        let mut walk = self.begin();
        while self.next(&mut walk)?.is_some() {}
        self.settle(&walk)?;
        settings.set_sieve_in_use()
    }
}

impl Key {
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
