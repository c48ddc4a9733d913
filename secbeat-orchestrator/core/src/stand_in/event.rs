//! Inputs and outputs of an edge's own detector.

use std::fmt;

use secbeat_common::{
    prefix::Prefix,
    wire::{BlockCommand, LocalBan},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Orders, Seen};
use crate::ProtectedNet;

/// The reason why nobody in the fleet decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// This edge does not reach NATS.
    Bus,
    /// NATS keeps no telemetry, so that no orchestrator reads any.
    Telemetry,
    /// Partitions have no orchestrator.
    Orchestrators,
    /// NATS stores none of the orchestrators' bans.
    Bans,
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bus => "NATS is unreachable",
            Self::Telemetry => "NATS takes no telemetry",
            Self::Orchestrators => "no orchestrator is ready",
            Self::Bans => "NATS stores no bans",
        })
    }
}

/// When an edge decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// While the fleet is away.
    Fallback,
    /// At any time, beside the fleet.
    Always,
}

/// A ban that the fleet is to take over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaiting {
    pub ban: LocalBan,
    /// How often the fleet was told of it.
    pub told: u8,
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// The fleet's rules were heard.
    Orders(Box<Orders>),
    /// The reason why the fleet does not decide; `None` while it does.
    Fleet(Option<Away>),
    /// Networks that are never banned on this host, no matter who says so.
    Protected(Vec<ProtectedNet>),
    Seen(Seen),
    /// What an earlier process of this edge had to hand over, and what it had [reported](Seen) when.
    Recalled {
        waiting: Vec<Awaiting>,
        reports: Vec<(i64, Seen)>,
    },
    /// Bans that were in force on this host before it joined the fleet. The fleet is told of those that rules made.
    Brought(Vec<BlockCommand>),
    /// What became of [`Effect::Ban`] of this id: whether it is in force because of this edge, and not because of the fleet.
    Settled {
        id: Uuid,
        banned: bool,
    },
    /// The fleet has banned this target at least as long as this edge did.
    TakenOver(Prefix),
    /// About a second has passed.
    Tick,
}

/// Action to carry out.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Ban on this host, unless the fleet has done so, and say [`Event::Settled`].
    Ban(Box<BlockCommand>),
    /// Tell the fleet of these bans.
    Tell(Vec<LocalBan>),
    /// From now on this edge decides, for this reason.
    Began(Option<Away>),
    /// The fleet decides again; this edge has banned so many clients meanwhile.
    Ended { bans: u64 },
}

/// Whether this edge decides, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Since when this edge decides, milliseconds since the Unix epoch.
    pub since_ms: Option<i64>,
    /// The reason why the fleet does not.
    pub away: Option<Away>,
    /// Whether the fleet's rules are known.
    pub has_rules: bool,
    /// Bans since the start of the daemon.
    pub banned: u64,
    /// Those among them that the fleet has taken over.
    pub taken_over: u64,
    /// Those that it is to be told of.
    pub waiting: usize,
}
