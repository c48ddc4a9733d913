//! Scratch memory of a search: used again for each request, so that none allocates.

use arrayvec::ArrayVec;
use strum::EnumCount as _;

use crate::{
    forms::Forms,
    known::{Known, Spent},
    signature::Field,
};

/// Most signatures that are told of one request: the most severe ones.
pub const MAX_HITS: usize = 8;
/// Most signatures of which a condition holds in one request that are looked into.
pub(crate) const MAX_TOUCHED: usize = 128;
/// Most literals that one request is compared with, each at a place that has its gram.
pub(crate) const MAX_PLACES: u32 = 2048;
/// Most bytes that expressions are compared with in one request.
pub(crate) const MAX_COMPARED: usize = 8 * 1024;

/// The signatures that a request matches, as indices of [`Matcher::signatures`](crate::Matcher::signatures), the most severe first.
pub type Hits = ArrayVec<u32, MAX_HITS>;

/// Memory for searches, of whichever matcher.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The matcher that it was used with last.
    matcher: u64,
    /// The request, counted.
    stamp: u32,
    /// By condition: the last request of which it held.
    holds: Vec<u32>,
    /// By signature: the last request of which one of its conditions held.
    touched_at: Vec<u32>,
    /// By exclusion: the last request in which it was looked into, and whether it held.
    excluded: Vec<(u32, bool)>,
    /// By field: the last request in which exclusions were looked for.
    looked_at: [u32; Field::COUNT],
    /// The signatures of which a condition holds.
    pub(crate) touched: Vec<u32>,
    /// Number of bytes that may still be compared.
    pub(crate) left: usize,
    /// Number of literals that may still be compared.
    places: u32,
    /// There was more to look at than is looked at.
    pub(crate) is_cut: bool,
    /// By field.
    pub(crate) forms: [Forms; Field::COUNT],
    pub(crate) known: Known,
    /// The conditions that hold.
    pub(crate) noted: Vec<u32>,
    /// How much of the path's last form leads to something, once that was asked for.
    pub(crate) leads_to: Option<usize>,
    /// A header's line.
    pub(crate) line: Vec<u8>,
}

impl Scratch {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins with a request for the matcher with this number, which has so many conditions, signatures and exclusions.
    pub(crate) fn begin(&mut self, matcher: u64, conditions: usize, signatures: usize, exclusions: usize) {
        if self.matcher != matcher || self.stamp == u32::MAX {
            self.matcher = matcher;
            self.stamp = 0;
            self.holds.clear();
            self.holds.resize(conditions, 0);
            self.touched_at.clear();
            self.touched_at.resize(signatures, 0);
            self.excluded.clear();
            self.excluded.resize(exclusions, (0, false));
            self.looked_at = [0; Field::COUNT];
            self.known.clear();
        }
        self.stamp += 1;
        self.touched.clear();
        self.noted.clear();
        self.left = MAX_COMPARED;
        self.places = MAX_PLACES;
        self.is_cut = false;
        self.leads_to = None;
    }

    pub(crate) fn holds(&self, condition: u32) -> bool {
        self.holds.get(condition as usize) == Some(&self.stamp)
    }

    /// Whether exclusions of a field have not been looked for in this request. They have been from now on.
    pub(crate) fn is_first_look(&mut self, field: Field) -> bool {
        std::mem::replace(&mut self.looked_at[field as usize], self.stamp) != self.stamp
    }

    /// Whether an exclusion holds of this request, if it was looked into.
    pub(crate) fn excludes(&self, exclusion: u32) -> Option<bool> {
        let (at, holds) = *self.excluded.get(exclusion as usize)?;
        (at == self.stamp).then_some(holds)
    }

    /// Keeps whether an exclusion holds of this request.
    pub(crate) fn keep(&mut self, exclusion: u32, holds: bool) {
        if let Some(known) = self.excluded.get_mut(exclusion as usize) {
            *known = (self.stamp, holds);
        }
    }

    /// `condition` of `signature` holds.
    pub(crate) fn note(&mut self, condition: u32, signature: u32) {
        if let Some(at) = self.holds.get_mut(condition as usize) {
            *at = self.stamp;
            self.noted.push(condition);
        }
        match self.touched_at.get_mut(signature as usize) {
            Some(at) if *at != self.stamp && self.touched.len() < MAX_TOUCHED => {
                *at = self.stamp;
                self.touched.push(signature);
            }
            Some(at) if *at != self.stamp => self.is_cut = true,
            _ => {}
        }
    }

    /// Takes one of the literals that may be compared. Returns whether there was one.
    pub(crate) fn spend_place(&mut self) -> bool {
        let left = self.places.checked_sub(1);
        self.is_cut |= left.is_none();
        self.places = left.unwrap_or(0);
        left.is_some()
    }

    /// What this request has taken so far of what it may take.
    pub(crate) fn spent(&self) -> Spent {
        Spent {
            places: MAX_PLACES - self.places,
            bytes: (MAX_COMPARED - self.left) as u32,
        }
    }

    /// Takes as much as an earlier request did. Returns whether there was so much; if not, it takes nothing.
    pub(crate) fn spend_again(&mut self, spent: Spent) -> bool {
        let left = self.places.checked_sub(spent.places);
        let left = left.zip(self.left.checked_sub(spent.bytes as usize));
        if let Some((places, bytes)) = left {
            (self.places, self.left) = (places, bytes);
        }
        left.is_some()
    }

    /// Takes `bytes` of what may be compared. Returns whether there were so many.
    pub(crate) fn spend(&mut self, bytes: usize) -> bool {
        let left = self.left.checked_sub(bytes);
        self.is_cut |= left.is_none();
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}
