//! Enums of which a later release may know more variants: one byte on the bus. What this release does not know is read as
//! [`Growing::UNKNOWN`], so that one unknown word does not make a batch of thousands unreadable.
//!
//! This is for what is reported. An enum that says what to do is not one: an unknown variant of it makes the message
//! malformed.

use serde::{Deserialize as _, Deserializer, Serializer};

/// An enum without fields, for `#[serde(with = "growing")]`.
pub(super) trait Growing: Copy + PartialEq + 'static {
    /// In the order of their numbers, from 0 on. Numbers never change.
    const KNOWN: &'static [Self];
    /// Stands for what this release does not know. Chosen so that it harms nobody.
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
