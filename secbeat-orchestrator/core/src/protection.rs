//! Networks that are never banned.

use secbeat_common::{maps::allow, prefix::Prefix, wire::AllowEntry};
use serde::{Deserialize, Serialize};

/// A network that is never banned, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectedNet {
    pub network: Prefix,
    /// One of [`allow`]'s codes.
    pub code: u32,
    /// What the config says of it, or the operator who put it on the allowlist.
    pub comment: String,
    /// Time at which its protection ends, milliseconds since the Unix epoch.
    pub until_ms: Option<i64>,
}

impl ProtectedNet {
    /// Returns what an entry of the fleet's allowlist protects.
    #[must_use]
    pub fn of_fleet(entry: &AllowEntry) -> Self {
        Self {
            network: entry.network,
            code: allow::FLEET,
            comment: entry.comment.clone(),
            until_ms: entry.until_ms,
        }
    }
}
