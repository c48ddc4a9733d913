//! Bans, and their ends before their time.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Kind, Message, Part, PartWriter, Reason, WireError};
use crate::{prefix::Prefix, sign::Command};

/// A ban: desired state, stored under the target's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockCommand {
    /// UUIDv7, new with each command.
    pub id: Uuid,
    pub action: Action,
    pub target: Prefix,
    pub reason: Reason,
    /// For people: what was seen, or what the operator wrote.
    pub note: String,
    /// Part 1 of the message.
    #[serde(skip)]
    pub evidence: Option<Evidence>,
    /// The list that it is of, if it is of one. Part 3 of the message.
    #[serde(skip)]
    pub list: Option<Uuid>,
    pub scope: Scope,
    /// Earlier bans of the target within the strike window.
    pub strikes: u32,
    /// The issuer's wall clock, milliseconds since the Unix epoch.
    pub issued_at_ms: i64,
    /// As `issued_at_ms`; from then on the ban is over everywhere. [`PERMANENT`] never comes.
    pub expires_at_ms: i64,
    pub issuer: String,
    pub layer: Layer,
    /// Fencing: the epoch of the issuer's lease of the target's partition. A command of a lower epoch than one written
    /// before it for the same partition is stale. [`NO_LEASE`] for what people order, which needs no lease and is never
    /// stale.
    pub epoch: u64,
}

/// [`BlockCommand::expires_at_ms`] of a ban without end.
pub const PERMANENT: i64 = i64::MAX;

impl BlockCommand {
    /// Whether it never ends.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.expires_at_ms == PERMANENT
    }
}

/// The end of a ban before its time: what stands in the deletion of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lift {
    pub target: Prefix,
    /// Of the ban's command.
    pub id: Uuid,
    /// When that would have ended, milliseconds since the Unix epoch.
    pub expires_at_ms: i64,
}

/// What to do to the target. A reader that does not know the variant refuses the command. The same holds for [`Scope`] and
/// [`Layer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    Block,
}

/// What a rule saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Evidence {
    /// Events in the window when the rule fired.
    pub count: u32,
    pub window_ms: u64,
    /// Event time of the finding, milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// Which edges enforce a ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    Fleet,
    /// Only the edges of these ids, in ascending order: those that have seen enough of it by themselves.
    Edges(Vec<String>),
}

/// Where a ban is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// In the kernel and at L7.
    Kernel,
    /// At L7 only: the address came from a header, so the packets carry a proxy's address instead.
    L7,
}

impl Layer {
    /// The name that users meet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::L7 => "l7",
        }
    }
}

impl Scope {
    /// Whether the edge `id` is to enforce it.
    #[must_use]
    pub fn holds_on(&self, id: &str) -> bool {
        match self {
            Self::Fleet => true,
            Self::Edges(edges) => edges.iter().any(|edge| edge == id),
        }
    }

    /// The edges of both.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let (Self::Edges(ours), Self::Edges(theirs)) = (self, other) else {
            return Self::Fleet;
        };
        let all: BTreeSet<_> = ours.iter().chain(theirs).cloned().collect();
        Self::Edges(all.into_iter().collect())
    }

    /// The edges, where those are not all.
    #[must_use]
    pub fn edges(&self) -> Option<&[String]> {
        match self {
            Self::Fleet => None,
            Self::Edges(edges) => Some(edges),
        }
    }
}

/// [`BlockCommand::evidence`].
const EVIDENCE: u16 = 1;
/// [`BlockCommand::list`].
const LIST: u16 = 3;

impl Message for BlockCommand {
    const KIND: Kind = Kind::Ban;
    const PARTS: &'static [u16] = &[EVIDENCE, LIST];

    fn write_parts(&self, parts: &mut PartWriter<'_>) -> Result<(), WireError> {
        if let Some(evidence) = self.evidence {
            parts.put(EVIDENCE, &evidence)?;
        }
        self.list.map_or(Ok(()), |list| parts.put(LIST, &list))
    }

    fn read_part(&mut self, part: Part<'_>) -> Result<(), WireError> {
        match part.tag() {
            LIST => self.list = Some(part.read()?),
            _ => self.evidence = Some(part.read()?),
        }
        Ok(())
    }
}

impl Message for Lift {
    const KIND: Kind = Kind::Lift;
}

impl Command for BlockCommand {}
impl Command for Lift {}
