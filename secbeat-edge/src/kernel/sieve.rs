//! `SIEVE`: bits for each banned source, so that the program need not look up all the others.
//!
//! A ban whose bits are missing would not be enforced, so there is one rule: set the bits, then write the ban. Bits are set
//! in memory shared with the kernel, atomically, so that several processes may do it at once. Bans that ended leave theirs
//! behind, which costs lookups in vain and no more; each walk through all bans clears them, and sets any that is missing.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};
use aya::maps::MapData;
use secbeat_common::maps::{self, Sieved, sieve_shift};

use super::{Pins, shared::Shared};

/// The map, shared with the kernel.
pub(super) struct Sieve {
    shared: Shared,
    shift: u32,
    /// The bits that this process has set since [`begin`](Self::begin).
    recent: Box<[AtomicU64]>,
    /// The bits that must be set, as far as this process knows; none unless it sees to them.
    due: Box<[AtomicU64]>,
    /// The word from which on [`keep`](Self::keep) goes on.
    kept: usize,
}

/// Words that are compared in one look, those of 4 million slots.
const KEPT_AT_ONCE: usize = 1 << 20;

/// The bits of the bans that a walk has met.
#[derive(Debug)]
pub(super) struct Met(Vec<u64>);

impl Sieve {
    pub(super) fn open(pins: &Pins) -> anyhow::Result<Self> {
        let path = pins.map(maps::SIEVE);
        let data = MapData::from_pin(&path)
            .with_context(|| format!("opening the pinned map {} (is SecBeat attached?)", path.display()))?;
        let info = data.info()?;
        let words = info.max_entries();
        ensure!(
            info.value_size() as usize == size_of::<u64>() && words.is_power_of_two() && words > 1,
            "{} is not a prefilter bitmap of this release",
            maps::SIEVE
        );
        let sharing = || format!("sharing memory with {}", path.display());
        let shared = Shared::map(&data, words as usize).with_context(sharing)?;
        let recent = (0..words).map(|_| AtomicU64::default()).collect();
        Ok(Self {
            shared,
            shift: sieve_shift(words),
            recent,
            due: Box::default(),
            kept: 0,
        })
    }

    /// Makes this process see to the bits of its bans. To be called before a walk through all of them.
    pub(super) fn own(&mut self) {
        self.due = (0..self.recent.len()).map(|_| AtomicU64::default()).collect();
    }

    /// Sets the bits again that bans need and something else has cleared. Says whether there were any.
    pub(super) fn keep(&mut self) -> bool {
        let end = (self.kept + KEPT_AT_ONCE).min(self.due.len());
        let words = self.shared.words().iter().zip(&self.due);
        let mut is_lost = false;
        for (word, due) in words.take(end).skip(self.kept) {
            let due = due.load(Ordering::Relaxed);
            if word.load(Ordering::Relaxed) & due != due {
                word.fetch_or(due, Ordering::SeqCst);
                is_lost = true;
            }
        }
        self.kept = if end == self.due.len() { 0 } else { end };
        is_lost
    }

    /// To be called before a ban of `source` (see [`maps::Flood::source`]) is written.
    pub(super) fn add(&self, source: u64) {
        let Sieved { word, bits } = Sieved::of(source, self.shift);
        self.recent[word as usize].fetch_or(bits, Ordering::SeqCst);
        if let Some(due) = self.due.get(word as usize) {
            due.fetch_or(bits, Ordering::SeqCst);
        }
        self.shared.words()[word as usize].fetch_or(bits, Ordering::SeqCst);
    }

    /// Begins a walk through all bans.
    pub(super) fn begin(&self) -> Met {
        for word in &self.recent {
            word.store(0, Ordering::SeqCst);
        }
        Met(vec![0; self.recent.len()])
    }

    /// The walk has met a ban of `source`.
    pub(super) fn meet(&self, met: &mut Met, source: u64) {
        let Sieved { word, bits } = Sieved::of(source, self.shift);
        let shared = &self.shared.words()[word as usize];
        // Most have theirs.
        if shared.load(Ordering::SeqCst) & bits != bits {
            shared.fetch_or(bits, Ordering::SeqCst);
        }
        met.0[word as usize] |= bits;
    }

    /// Ends a walk: what belongs to none of the bans it met, nor to one written meanwhile, is cleared. `is_alone`: no other process
    /// has written bans since the walk began; otherwise theirs are not known, and all bits stay.
    pub(super) fn settle(&self, met: &Met, is_alone: impl Fn() -> bool) {
        for ((due, met), recent) in self.due.iter().zip(&met.0).zip(&self.recent) {
            due.store(met | recent.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        if !is_alone() {
            return;
        }
        let mut cleared = Vec::new();
        for (at, ((word, met), recent)) in self
            .shared
            .words()
            .iter()
            .zip(&met.0)
            .zip(&self.recent)
            .enumerate()
        {
            let stays = met | recent.load(Ordering::SeqCst);
            if word.load(Ordering::SeqCst) & !stays != 0 {
                cleared.push((at, word.fetch_and(stays, Ordering::SeqCst) & !stays));
            }
        }
        if !is_alone() {
            for (at, bits) in cleared {
                self.shared.words()[at].fetch_or(bits, Ordering::SeqCst);
            }
        }
    }
}
