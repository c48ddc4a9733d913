//! Entries of the fleet's allowlist.

use serde::{Deserialize, Serialize};

use super::Message;
use crate::{prefix::Prefix, sign::Command};

/// Most entries that the fleet's allowlist has: a quarter of what an edge's kernel holds, which has its own beside them.
pub const MAX_ALLOWED: usize = crate::maps::ALLOWED_SLOTS as usize / 4;

/// A network that nobody in the fleet bans, stored under [`subjects::allow`](crate::subjects::allow).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowEntry {
    pub network: Prefix,
    /// Why, for whoever looks later.
    pub comment: String,
    /// The first instant at which it holds no more, milliseconds since the Unix epoch; never if there is none.
    pub until_ms: Option<i64>,
    /// Whoever added it.
    pub added_by: String,
    /// Milliseconds since the Unix epoch.
    pub added_at_ms: i64,
}

impl AllowEntry {
    /// Whether it holds at `now_ms`.
    #[must_use]
    pub fn holds_at(&self, now_ms: i64) -> bool {
        self.until_ms.is_none_or(|until_ms| now_ms < until_ms)
    }
}

/// The end of an entry before its time: what stands in the deletion of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disallow {
    pub network: Prefix,
    /// The entry's own end.
    pub until_ms: Option<i64>,
}

impl Message for AllowEntry {}
impl Message for Disallow {}

impl Command for AllowEntry {
    const PURPOSE: &'static str = "allow";
}

impl Command for Disallow {
    const PURPOSE: &'static str = "disallow";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{decode, encode};

    #[test]
    fn the_encoding_is_golden() {
        let entry = AllowEntry {
            network: "203.0.113.0/24".parse().unwrap(),
            comment: "office".to_owned(),
            until_ms: Some(1_000),
            added_by: "api".to_owned(),
            added_at_ms: 5,
        };
        let bytes = encode(&entry).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "0100000000000000000000ffffcb00710078066f666669636501fbd007036170690a"
        );
        assert_eq!(decode(&bytes), Ok(entry.clone()));
        assert!(entry.holds_at(999) && !entry.holds_at(1_000));
    }
}
