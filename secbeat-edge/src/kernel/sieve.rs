//! `SIEVE`: a bit for each banned source, so that the program need not look up all the others.
//!
//! A ban whose bit is missing would not be enforced, so there is one rule: set the bit, then write the ban. Bits are set
//! in memory shared with the kernel, atomically, so that several processes may do it at once. Bans that ended leave theirs
//! behind, which costs lookups in vain and no more; each walk through all bans clears them, and sets any that is missing.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};
use aya::maps::MapData;
use secbeat_common::maps::{self, SIEVE_WORDS, Sieved};

use super::{Pins, shared::Shared};

const WORDS: usize = SIEVE_WORDS as usize;

/// The map, shared with the kernel.
pub(super) struct Sieve {
    shared: Shared,
    /// The bits that this process has set since [`begin`](Self::begin).
    recent: Box<[AtomicU64]>,
}

/// The bits of the bans that a walk has met.
#[derive(Debug)]
pub(super) struct Met(Vec<u64>);

impl Sieve {
    pub(super) fn open(pins: &Pins) -> anyhow::Result<Self> {
        let path = pins.map(maps::SIEVE);
        let data = MapData::from_pin(&path)
            .with_context(|| format!("opening the pinned map {} (is SecBeat attached?)", path.display()))?;
        let info = data.info()?;
        ensure!(
            (info.value_size() as usize, info.max_entries() as usize) == (size_of::<u64>(), WORDS),
            "{} is not a prefilter bitmap of this release",
            maps::SIEVE
        );
        let sharing = || format!("sharing memory with {}", path.display());
        let shared = Shared::map(&data, WORDS).with_context(sharing)?;
        let recent = (0..WORDS).map(|_| AtomicU64::default()).collect();
        Ok(Self { shared, recent })
    }

    /// To be called before a ban of `source` (see [`maps::Flood::source`]) is written.
    pub(super) fn add(&self, source: u64) {
        let Sieved { word, bit } = Sieved::of(source);
        self.recent[word as usize].fetch_or(bit, Ordering::SeqCst);
        self.shared.words()[word as usize].fetch_or(bit, Ordering::SeqCst);
    }

    /// Begins a walk through all bans.
    pub(super) fn begin(&self) -> Met {
        for word in &self.recent {
            word.store(0, Ordering::SeqCst);
        }
        Met(vec![0; WORDS])
    }

    /// The walk has met a ban of `source`.
    pub(super) fn meet(&self, met: &mut Met, source: u64) {
        self.add(source);
        let Sieved { word, bit } = Sieved::of(source);
        met.0[word as usize] |= bit;
    }

    /// Ends a walk: what belongs to none of the bans it met, nor to one written meanwhile, is cleared.
    pub(super) fn settle(&self, met: &Met) {
        for ((word, met), recent) in self.shared.words().iter().zip(&met.0).zip(&self.recent) {
            let stays = met | recent.load(Ordering::SeqCst);
            if word.load(Ordering::SeqCst) & !stays != 0 {
                word.fetch_and(stays, Ordering::SeqCst);
            }
        }
    }
}
