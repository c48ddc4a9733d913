//! Who owns which partition.

use serde::{Deserialize, Serialize};

use super::Message;

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

impl Message for Lease {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{decode, encode};

    #[test]
    fn the_encoding_is_golden_and_leads_back() {
        let held = Lease {
            holder: Some("a".to_owned()),
            since_ms: 1_000,
        };
        let free = Lease {
            holder: None,
            since_ms: 1_000,
        };
        assert_eq!(encode(&held).unwrap(), [1, 1, 1, b'a', 0xfb, 0xd0, 0x07]);
        assert_eq!(encode(&free).unwrap(), [1, 0, 0xfb, 0xd0, 0x07]);
        assert_eq!(decode(&encode(&held).unwrap()), Ok(held));
        assert_eq!(decode(&encode(&free).unwrap()), Ok(free));
    }
}
