//! Who owns which partition.

use serde::{Deserialize, Serialize};

use super::{Kind, Message};

/// The epoch of a command that needs no lease: what people order holds whoever passes it on.
pub const NO_LEASE: u64 = 0;

/// The value of every key in the bucket of leases: of an orchestrator that it lives, of a partition who owns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// An orchestrator's id; `None` for a partition that was given back.
    pub holder: Option<String>,
    /// Since when, by the holder's wall clock, milliseconds since the Unix epoch.
    pub since_ms: i64,
}

impl Message for Lease {
    const KIND: Kind = Kind::Lease;
}
