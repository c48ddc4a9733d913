//! Enums that later releases may extend: one byte on the bus. A number that this release does not know is read as
//! [`Growing::UNKNOWN`], so that one unknown word does not make a whole batch unreadable.
//!
//! This is for enums that report something. Enums that say what to do are not growing: an unknown variant makes the message
//! malformed.

use serde::{Deserialize as _, Deserializer, Serializer};

/// An enum without fields, for `#[serde(with = "growing")]`.
pub(super) trait Growing: Copy + PartialEq + 'static {
    /// In the order of their numbers, from 0 on. Numbers never change.
    const KNOWN: &'static [Self];
    /// Stands for a variant of a later release. Readers treat it as the least consequential one.
    const UNKNOWN: Self;
}

/// The number of [`Growing::UNKNOWN`], which no other variant gets.
const UNKNOWN: u8 = u8::MAX;

pub(super) fn serialize<T: Growing, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let number = T::KNOWN.iter().position(|known| known == value);
    let number = number.and_then(|number| u8::try_from(number).ok());
    serializer.serialize_u8(number.unwrap_or(UNKNOWN))
}

pub(super) fn deserialize<'de, T: Growing, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let number = u8::deserialize(deserializer)?;
    let known = T::KNOWN.get(usize::from(number)).copied();
    Ok(known.unwrap_or(T::UNKNOWN))
}
