//! `LANE`: the express lane in front of `BANNED_V4` and `BANNED_V6`. See [`secbeat_common::lane`].
//!
//! The daemon owns it: it writes each change of a ban into the map first, then here. Every other process changes the map alone, and
//! says so in the lane's epoch, which puts the lane out of force until the daemon has compared both.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use anyhow::{Context, ensure};
use aya::maps::MapData;
use secbeat_common::{
    lane::{self, Line, Reader, Slot, Words, Writer},
    maps::{self, Ban, origin},
    prefix::Prefix,
};
use secbeat_edge_core::{BootTime, KernelBan};
use tracing::warn;

use super::{JiffyClock, Pins, boot_now, shared::Shared, syscall::wait_for_programs};

/// More cleared places than this are made usable again at once.
const MOST_RESTING: usize = 4096;

/// The lane's memory, shared with the program.
#[derive(Clone)]
struct Memory(Arc<Shared>);

impl Words for Memory {
    fn load(&self, at: usize) -> u64 {
        self.0.words()[at].load(Ordering::SeqCst)
    }

    fn store(&self, at: usize, value: u64) {
        self.0.words()[at].store(value, Ordering::SeqCst);
    }

    fn store_lower(&self, at: usize, value: u32) {
        let word = &self.0.words()[at];
        let mut before = word.load(Ordering::SeqCst);
        // The program counts in the upper half.
        while let Err(now) = word.compare_exchange_weak(
            before,
            before >> 32 << 32 | u64::from(value),
            Ordering::SeqCst,
            Ordering::SeqCst,
        ) {
            before = now;
        }
    }

    /// The program runs where the kernel's RCU sees it, and this call waits for RCU: `membarrier(2)`.
    fn wait_for_readers(&self) -> bool {
        static WARNED: AtomicBool = AtomicBool::new(false);
        let waited = wait_for_programs();
        if let Err(error) = &waited
            && !WARNED.swap(true, Ordering::Relaxed)
        {
            warn!(%error, "the kernel does not tell when its programs have ended: the express lane is hardly used");
        }
        waited.is_ok()
    }
}

/// The lane, as one process has it.
pub(super) struct Lane {
    reader: Reader<Memory>,
    /// Of its owner.
    writer: Option<Mutex<Writer<Memory>>>,
    /// The epoch in which the owner last compared the lane with the maps.
    compared: AtomicU64,
}

/// What a walk through the maps has met of the lane.
#[derive(Debug)]
pub(super) struct Met {
    epoch: u64,
    /// A bit for each place.
    seen: Vec<u64>,
    /// Keys that the maps do not have.
    lost: Vec<u64>,
}

impl Lane {
    pub(super) fn open(pins: &Pins) -> anyhow::Result<Self> {
        let path = pins.map(maps::LANE);
        let data = MapData::from_pin(&path)
            .with_context(|| format!("opening the pinned map {} (is SecBeat attached?)", path.display()))?;
        let info = data.info()?;
        let lines = info.max_entries();
        ensure!(
            info.value_size() as usize == size_of::<Line>() && lines > 1,
            "{} is not an express lane of this release",
            maps::LANE
        );
        let lines = lines - 1;
        let shared = Shared::map(&data, lane::words(lines))
            .with_context(|| format!("sharing memory with {}", path.display()))?;
        let words = Memory(Arc::new(shared));
        Ok(Self {
            reader: Reader { words, lines },
            writer: None,
            compared: AtomicU64::new(0),
        })
    }

    /// Makes this process the owner. There is one, which holds the pins' lock.
    pub(super) fn own(&mut self) {
        self.writer = Some(Mutex::new(Writer::new(
            self.reader.words.clone(),
            self.reader.lines,
        )));
    }

    fn writer(&self) -> Option<MutexGuard<'_, Writer<Memory>>> {
        let writer = self.writer.as_ref()?;
        Some(writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A ban of `key` is about to be written into its map. What it is to enforce no more, it enforces no more from now on.
    pub(super) fn prepare(&self, key: Option<u64>, ban: &Ban) {
        let (Some(key), Some(mut writer)) = (key, self.writer()) else {
            return;
        };
        match is_untouched(ban, writer.generation()) {
            true => writer.shorten(key, end(ban)),
            false => writer.remove(key),
        }
    }

    /// A ban of `key` was written into its map.
    pub(super) fn put(&self, key: Option<u64>, ban: &Ban) {
        if let (Some(key), Some(mut writer)) = (key, self.writer())
            && is_untouched(ban, writer.generation())
        {
            writer.put(key, end(ban));
        }
    }

    /// The ban of `key` that the map has lost, if the lane has it.
    pub(super) fn lost_ban(&self, key: Option<u64>) -> Option<KernelBan> {
        let entry = self.reader.get(key?).filter(|_| self.reader.is_filled())?;
        Some(lost_ban(entry.end, self.clock().as_ref()))
    }

    /// A ban of `key` is about to be removed from its map.
    pub(super) fn remove(&self, key: Option<u64>) {
        if let (Some(key), Some(mut writer)) = (key, self.writer()) {
            writer.remove(key);
            if writer.resting() > MOST_RESTING {
                writer.rest();
            }
        }
    }

    /// This process has changed bans; before that too, if it is not the owner.
    pub(super) fn changed(&self) {
        if self.writer.is_none() {
            self.reader.words.0.words()[2 * lane::EPOCH].fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Adds to a ban what the lane holds back of its counts.
    pub(super) fn counted(&self, key: Option<u64>, ban: KernelBan) -> KernelBan {
        let entry = key.and_then(|key| self.reader.get(key));
        let (packets, bytes) = entry.map_or((0, 0), |entry| lane::held(entry.met));
        KernelBan {
            dropped_packets: ban.dropped_packets + u64::from(packets),
            dropped_bytes: ban.dropped_bytes + u64::from(bytes),
            ..ban
        }
    }

    /// Removes what is touched by the allowlist, and takes its generation over.
    pub(super) fn allow(&self, generation: u32, touches: impl Fn(&Prefix) -> bool) {
        if let Some(mut writer) = self.writer()
            && generation != 0
        {
            writer.allow(generation, |key| touches(&target(key)));
        }
    }

    /// Notes the owner's clock.
    pub(super) fn set_clock(&self, clock: &JiffyClock) {
        if self.writer.is_some() {
            for (at, value) in lane::CLOCK.into_iter().zip(clock.parts()) {
                self.reader.words.store(at, value);
            }
        }
    }

    /// Begins a walk through the maps.
    pub(super) fn begin(&self) -> Met {
        if let Some(mut writer) = self.writer() {
            writer.begin();
        }
        Met {
            epoch: self.reader.epoch(),
            seen: vec![0; self.reader.slots().end / 64 + 1],
            lost: Vec::new(),
        }
    }

    /// Whether no other process has changed bans since that walk began.
    pub(super) fn is_alone_since(&self, met: &Met) -> bool {
        self.reader.epoch() == met.epoch
    }

    /// Whether others have changed bans since the owner last compared the lane with the maps.
    pub(super) fn is_outdated(&self) -> bool {
        self.writer.is_some() && self.reader.epoch() != self.compared.load(Ordering::Relaxed)
    }

    /// The walk has met this ban. The owner makes the lane agree with it.
    pub(super) fn meet(&self, met: &mut Met, key: Option<u64>, ban: &Ban) {
        let Some(key) = key else { return };
        if let Some(mut writer) = self.writer() {
            let is_untouched = is_untouched(ban, writer.generation());
            writer.meet(key, end(ban), is_untouched);
        }
        if let Some(slot) = self.reader.slot(key) {
            met.see(slot);
        }
    }

    /// Bans in the lane that the maps have lost, once the walk has met all that they have. `is_in_map` tells of a target whether it
    /// has come into a map meanwhile.
    pub(super) fn lost(
        &self,
        met: &mut Met,
        is_in_map: impl Fn(&Prefix) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Vec<(Prefix, KernelBan)>> {
        let mut lost = Vec::new();
        let clock = self.clock();
        for slot in self.reader.slots() {
            let entry = self.reader.entry(slot);
            if entry.key == 0 || met.seen[slot / 64] >> (slot % 64) & 1 != 0 {
                continue;
            }
            let target = target(entry.key);
            // While an entry moves it is in two places, of which one counts.
            if is_in_map(&target)? || self.reader.slot(entry.key) != Some(slot) {
                continue;
            }
            met.lost.push(entry.key);
            lost.push((target, lost_ban(entry.end, clock.as_ref())));
        }
        // What others have lifted is not told from what the maps lost, unless nobody has lifted anything.
        match self.reader.is_filled() {
            true => Ok(lost),
            false => Ok(Vec::new()),
        }
    }

    /// As the owner noted it.
    fn clock(&self) -> Option<JiffyClock> {
        JiffyClock::of_parts(lane::CLOCK.map(|at| self.reader.words.load(at)))
    }

    /// Ends a walk that came through: what has ended goes, and the lane comes into force.
    pub(super) fn settle(&self, met: &Met) {
        let Some(mut writer) = self.writer() else { return };
        let now = self.clock().map_or(0, |clock| clock.jiffies_at(boot_now()));
        writer.settle(now, met.epoch, &met.lost);
        self.compared.store(met.epoch, Ordering::Relaxed);
    }
}

impl Met {
    fn see(&mut self, slot: Slot) {
        self.seen[slot / 64] |= 1 << (slot % 64);
    }
}

/// Whether a ban was compared with the allowlist of that generation, and is touched by nothing there.
fn is_untouched(ban: &Ban, generation: u32) -> bool {
    ban.unallowed_in != 0 && ban.unallowed_in == generation
}

/// The end of a ban as its entry has it.
fn end(ban: &Ban) -> u32 {
    let local = match ban.origin {
        origin::LOCAL => lane::LOCAL,
        _ => 0,
    };
    lane::end(ban.expires_jiffies) | local
}

/// Returns what the lane alone knows of a ban: until when, and who ordered it.
fn lost_ban(end: u32, clock: Option<&JiffyClock>) -> KernelBan {
    let ends = match clock {
        Some(clock) if end & lane::LAST < lane::LAST => clock.boot_at(lane::end_in_jiffies(end)),
        _ => BootTime(Ban::NEVER),
    };
    KernelBan {
        ends,
        reason: 0,
        origin: match end & lane::LOCAL {
            0 => origin::FLEET,
            _ => origin::LOCAL,
        },
        strikes: 0,
        unallowed_in: 0,
        dropped_packets: 0,
        dropped_bytes: 0,
    }
}

/// Returns whose key it is.
fn target(key: u64) -> Prefix {
    match lane::source(key) {
        Ok(address) => Prefix::single(std::net::Ipv4Addr::from(address).into()),
        Err(upper_half) => Prefix::of_upper_half(upper_half.to_be_bytes()),
    }
}
