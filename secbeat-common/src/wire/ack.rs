//! Acknowledgements of commands: on `secbeat.acks.<edge_id>`, once for each command that is new to the edge.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Evidence, Kind, Layer, Message, Part, PartWriter, Reason, WireError, cut};
use crate::prefix::Prefix;

/// Commands acknowledged in one message at most, so that it fits whatever the reasons are.
pub const MAX_ACKS: usize = 1024;
/// Bans that an edge made itself in one message at most.
pub const MAX_LOCAL_BANS: usize = 1024;

/// Outcomes of the commands that an edge took together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckBatch {
    pub edge_id: String,
    /// The edge's wall clock once all of them were in its maps, or refused, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Outcomes, at most [`MAX_ACKS`].
    pub acks: Vec<Ack>,
    /// Part 1: what the edge banned itself while no orchestrator decided. At most [`MAX_LOCAL_BANS`].
    #[serde(skip)]
    pub banned: Vec<LocalBan>,
}

/// A ban that an edge's own detector made. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalBan {
    pub id: Uuid,
    pub target: Prefix,
    /// The rule.
    pub reason: Reason,
    pub layer: Layer,
    pub evidence: Evidence,
    pub issued_at_ms: i64,
    pub expires_at_ms: i64,
}

/// Outcome of one command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub command_id: Uuid,
    pub target: Prefix,
    /// The command's own, from the issuer's wall clock.
    pub issued_at_ms: i64,
    pub outcome: Enforcement,
}

/// Outcome of a command at an edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Outcome", into = "Outcome")]
pub enum Enforcement {
    Enforced,
    /// The edge will not enforce it, for this reason: protected here, say. Should the reason go, it is acknowledged again.
    Refused(String),
    /// The kernel did not take it, for this reason; reconciliation tries again.
    Failed(String),
}

/// The form on the bus, which leaves room for outcomes of later releases.
#[derive(Serialize, Deserialize)]
struct Outcome {
    number: u8,
    why: String,
}

impl From<Enforcement> for Outcome {
    fn from(outcome: Enforcement) -> Self {
        let (number, why) = match outcome {
            Enforcement::Enforced => (0, String::new()),
            Enforcement::Refused(why) => (1, why),
            Enforcement::Failed(why) => (2, why),
        };
        Self { number, why }
    }
}

/// The reason is cut at [`MAX_TEXT`](super::MAX_TEXT) bytes. An outcome of a later release counts as failed: it must not count as enforced.
impl From<Outcome> for Enforcement {
    fn from(Outcome { number, why }: Outcome) -> Self {
        let why = cut(&why).to_owned();
        match number {
            0 => Self::Enforced,
            1 => Self::Refused(why),
            _ => Self::Failed(why),
        }
    }
}

const BANNED: u16 = 1;

impl Message for AckBatch {
    const KIND: Kind = Kind::Acks;
    const PARTS: &'static [u16] = &[BANNED];

    fn write_parts(&self, parts: &mut PartWriter<'_>) -> Result<(), WireError> {
        match self.banned.is_empty() {
            true => Ok(()),
            false => parts.put(BANNED, &self.banned),
        }
    }

    fn read_part(&mut self, part: Part<'_>) -> Result<(), WireError> {
        self.banned = part.read()?;
        Ok(())
    }
}
