//! Parts of a whole.

use serde::{Deserialize, Serialize};

/// A part of a whole, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(u32);

/// A number that is not a share.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("invalid share {0}: expected more than 0 and at most 1")]
pub struct NoShare(f64);

impl TryFrom<f64> for Share {
    type Error = NoShare;

    fn try_from(part: f64) -> Result<Self, NoShare> {
        Self::new(part).ok_or(NoShare(part))
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.part()
    }
}

impl Share {
    const WHOLE: u32 = 1_000_000;
    pub const QUARTER: Self = Self(Self::WHOLE / 4);

    /// `None` unless `part` is above 0 and at most 1.
    #[must_use]
    pub fn new(part: f64) -> Option<Self> {
        let millionths = (part * f64::from(Self::WHOLE)).round();
        // NaN is in no range, and a cast of what is in this one loses nothing.
        (1.0..=f64::from(Self::WHOLE))
            .contains(&millionths)
            .then_some(Self(millionths as u32))
    }

    /// The part, above 0 and at most 1.
    #[must_use]
    pub fn part(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }

    /// The share of `count`, rounded down.
    #[must_use]
    pub fn of(self, count: u64) -> u64 {
        let share = u128::from(count) * u128::from(self.0) / u128::from(Self::WHOLE);
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}
