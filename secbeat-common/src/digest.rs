//! A digest of the fleet's bans, kept up with each ban, by which an orchestrator knows whether an edge holds its ledger.
//!
//! Two sets with the same digest are the same set. Bans come and end all the time, and no two daemons look at the same
//! moment by the same clock; therefore an [`Extract`] names the bans that it speaks of: those issued up to one moment and
//! ending after another, both far enough from now that every edge has heard of them and none has ended them yet. A ban that
//! is shorter than [`SHORTEST_MS`] is in no digest.

use std::{collections::BTreeMap, hash::Hasher as _};

use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use uuid::Uuid;

use crate::{prefix::Prefix, wire::BlockCommand};

/// What times are rounded to.
const STEP_MS: i64 = 10_000;
/// Time that a ban may take to every edge.
const SETTLED_MS: i64 = 10_000;
/// How long before its end a ban no longer counts: the daemons' clocks may differ by nearly as much.
const ENDING_MS: i64 = 30_000;
/// A ban is digested if it lasts as long, in milliseconds: the bans of an [`Extract`] are told by two independent sums as
/// long as whatever was issued too late for it ends late enough.
pub const SHORTEST_MS: i64 = 60_000;

/// A digest's data of a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub target: Prefix,
    pub command_id: Uuid,
    pub issued_at_ms: i64,
    pub expires_at_ms: i64,
}

impl From<&BlockCommand> for Item {
    fn from(command: &BlockCommand) -> Self {
        Self {
            target: command.target,
            command_id: command.id,
            issued_at_ms: command.issued_at_ms,
            expires_at_ms: command.expires_at_ms,
        }
    }
}

impl Item {
    /// SipHash-1-3 with 128 bits of output and no key. It must be the same in every release, since edges and orchestrators
    /// upgrade one by one.
    fn hash(&self) -> u128 {
        let key = self.target.net_key();
        let mut hasher = SipHasher13::new();
        hasher.write(&key.addr);
        hasher.write(&key.prefix_len.to_le_bytes());
        hasher.write(self.command_id.as_bytes());
        hasher.write(&self.expires_at_ms.to_le_bytes());
        hasher.finish128().as_u128()
    }

    fn counts(&self) -> bool {
        self.expires_at_ms.saturating_sub(self.issued_at_ms) >= SHORTEST_MS
    }
}

/// A sum of hashes, in which order does not matter and from which a part can be taken again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    hashes: u128,
    bans: u64,
}

impl Sum {
    fn plus(self, other: Self) -> Self {
        Self {
            hashes: self.hashes.wrapping_add(other.hashes),
            bans: self.bans.wrapping_add(other.bans),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            hashes: self.hashes.wrapping_sub(other.hashes),
            bans: self.bans.wrapping_sub(other.bans),
        }
    }
}

/// The digest of a set of bans that changes. Adding and removing cost the same however many there are.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    /// By when they end and by when they were issued, in steps.
    ending: BTreeMap<i64, Sum>,
    issued: BTreeMap<i64, Sum>,
}

impl Digest {
    /// Adds a ban that is not in the set.
    pub fn add(&mut self, item: &Item) {
        self.change(item, Sum::plus);
    }

    /// Removes a ban that is in the set.
    pub fn remove(&mut self, item: &Item) {
        self.change(item, Sum::minus);
    }

    fn change(&mut self, item: &Item, change: fn(Sum, Sum) -> Sum) {
        if !item.counts() {
            return;
        }
        let one = Sum {
            hashes: item.hash(),
            bans: 1,
        };
        let cells = [
            (&mut self.ending, item.expires_at_ms),
            (&mut self.issued, item.issued_at_ms),
        ];
        for (cells, at_ms) in cells {
            let step = at_ms.div_euclid(STEP_MS);
            let cell = cells.entry(step).or_default();
            *cell = change(*cell, one);
            if *cell == Sum::default() {
                cells.remove(&step);
            }
        }
    }

    /// The bans that have settled at `now_ms`.
    #[must_use]
    pub fn extract(&self, now_ms: i64) -> Extract {
        let now_ms = now_ms.div_euclid(STEP_MS).saturating_mul(STEP_MS);
        self.extract_of(Span {
            issued_before_ms: now_ms.saturating_sub(SETTLED_MS),
            ending_from_ms: now_ms.saturating_add(ENDING_MS),
        })
    }

    /// The bans of `span`.
    #[must_use]
    pub fn extract_of(&self, span: Span) -> Extract {
        let sum = |cells: &BTreeMap<i64, Sum>, from_ms: i64| {
            let cells = cells.range(from_ms.div_euclid(STEP_MS)..);
            cells.fold(Sum::default(), |sum, (_, cell)| sum.plus(*cell))
        };
        // One that was issued later ends later still, see `SHORTEST_MS`.
        let sum = sum(&self.ending, span.ending_from_ms).minus(sum(&self.issued, span.issued_before_ms));
        Extract {
            span,
            bans: sum.bans,
            digest: format!("{:032x}", sum.hashes),
        }
    }
}

/// Range of the bans that a digest covers. Both times are milliseconds since the Unix epoch and whole steps of ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Span {
    /// Time before which the bans were issued.
    pub issued_before_ms: i64,
    /// Earliest end of the bans.
    pub ending_from_ms: i64,
}

impl Span {
    /// Whether a daemon whose clock says `now_ms` can compare its own bans with an extract of this span: none of them has
    /// ended there, and the two sums are independent.
    #[must_use]
    pub fn is_comparable(&self, now_ms: i64) -> bool {
        let length = self.ending_from_ms.saturating_sub(self.issued_before_ms);
        let whole = |at_ms: i64| at_ms.rem_euclid(STEP_MS) == 0;
        self.ending_from_ms > now_ms
            && (0..=SHORTEST_MS).contains(&length)
            && whole(self.issued_before_ms)
            && whole(self.ending_from_ms)
    }
}

/// A digest over some bans, to compare an edge with the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Extract {
    #[serde(flatten)]
    pub span: Span,
    /// Number of bans.
    pub bans: u64,
    /// The sum of their hashes modulo 2^128, 32 hex digits.
    pub digest: String,
}

#[cfg(test)]
mod tests;
