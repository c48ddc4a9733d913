//! Entries of the fleet's allowlist.

use serde::{Deserialize, Serialize};

use super::{Kind, Message};
use crate::{prefix::Prefix, sign::Command};

/// Most entries that the fleet's allowlist has: a quarter of what an edge's kernel holds, which has its own beside them.
pub const MAX_ALLOWED: usize = crate::maps::ALLOWED_SLOTS as usize / 4;

/// A network that no edge of the fleet bans, stored under [`subjects::allow`](crate::subjects::allow).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowEntry {
    pub network: Prefix,
    /// The reason, for later readers.
    pub comment: String,
    /// The first instant at which it holds no more, milliseconds since the Unix epoch; never if there is none.
    pub until_ms: Option<i64>,
    /// The one who added it.
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

impl Message for AllowEntry {
    const KIND: Kind = Kind::Allow;
}

impl Message for Disallow {
    const KIND: Kind = Kind::Disallow;
}

impl Command for AllowEntry {}
impl Command for Disallow {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_holds_until_its_end() {
        let entry = |until_ms| AllowEntry {
            network: "203.0.113.0/24".parse().unwrap(),
            comment: "office".to_owned(),
            until_ms,
            added_by: "api".to_owned(),
            added_at_ms: 5,
        };
        assert!(entry(Some(1_000)).holds_at(999) && !entry(Some(1_000)).holds_at(1_000));
        assert!(entry(None).holds_at(i64::MAX));
    }
}
