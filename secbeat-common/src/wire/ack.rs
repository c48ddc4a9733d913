//! What edges make of commands: on `secbeat.acks.<edge_id>`, once for each command that is new to the edge.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Message;
use crate::prefix::Prefix;

/// Commands acknowledged in one message at most, so that it fits whatever the reasons are.
pub const MAX_ACKS: usize = 1024;

/// What became of the commands that an edge took together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckBatch {
    pub edge_id: String,
    /// The edge's wall clock once all of them were in its maps, or refused, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// At most [`MAX_ACKS`].
    pub acks: Vec<Ack>,
}

/// What became of one command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub command_id: Uuid,
    pub target: Prefix,
    /// The command's own, from the issuer's wall clock.
    pub issued_at_ms: i64,
    pub outcome: Enforcement,
}

/// What an edge made of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enforcement {
    Enforced,
    /// The edge will not enforce it, for this reason: protected here, say. Should the reason go, it is acknowledged again.
    Refused(String),
    /// The kernel did not take it, for this reason; reconciliation tries again.
    Failed(String),
}

impl Message for AckBatch {}

#[cfg(test)]
mod tests {
    use super::{
        super::{decode, encode},
        *,
    };

    fn batch() -> AckBatch {
        let ack = |outcome| Ack {
            command_id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
            target: "198.51.100.7".parse().unwrap(),
            issued_at_ms: 1_000,
            outcome,
        };
        AckBatch {
            edge_id: "e".to_owned(),
            at_ms: 1_003,
            acks: vec![
                ack(Enforcement::Enforced),
                ack(Enforcement::Refused("r".to_owned())),
                ack(Enforcement::Failed("f".to_owned())),
            ],
        }
    }

    #[test]
    fn the_encoding_is_golden() {
        let bytes = encode(&batch()).unwrap();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, GOLDEN);
        assert_eq!(decode(&bytes), Ok(batch()));
    }

    const GOLDEN: &str = "010165fbd60703100192000000007000800000000000000100000000000000000000ffffc633640780fbd00700100192000000007000800000000000000100000000000000000000ffffc633640780fbd007010172100192000000007000800000000000000100000000000000000000ffffc633640780fbd007020166";
}
