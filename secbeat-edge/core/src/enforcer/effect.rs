//! Everything that comes out of the enforcer, to be carried out in order.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use secbeat_common::{
    prefix::Prefix,
    wire::{Ack, Layer, Reason},
};

use super::{
    id::{Ticket, WriteId},
    status::ReconcileStats,
};
use crate::{BootTime, Drift, Enforced, Entry, Fill, FilterMode, Origin, Refusal};

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The HTTP layer refuses the target until `ends`.
    HttpBan {
        target: Prefix,
        ends: BootTime,
        layer: Layer,
    },
    /// The HTTP layer refuses the target no longer.
    HttpUnban(Prefix),
    /// Write these entries into the kernel's ban maps, in order, and report [`Event::Written`](super::Event::Written).
    Write(WriteId, Vec<Entry>),
    /// These networks are never banned from now on, in the kernel and in the HTTP layer. Report
    /// [`Event::AllowlistFailed`](super::Event::AllowlistFailed) if the kernel does not take them.
    Allow(Arc<HashMap<Prefix, u32>>),
    /// Switch the kernel and then the HTTP layer, and report [`Event::ModeSet`](super::Event::ModeSet).
    SetMode(Ticket, FilterMode),
    /// Take this step once nothing more urgent waits. It takes the place of a step that was not yet taken.
    Next(Step),
    /// Tell the fleet what became of a command that was received at this time.
    Acknowledge(Ack, SystemTime),
    Reply(Ticket, Reply),
    /// Something to log or to count.
    Report(Fact),
}

/// A step of a reconciliation. Each is short, so that orders need not wait for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Begin to read the kernel's bans: report as [`ReadOn`](Self::ReadOn) does.
    BeginRead,
    /// Read some more, and report [`Event::KernelBans`](super::Event::KernelBans), or
    /// [`Event::KernelEnd`](super::Event::KernelEnd) if there are none.
    ReadOn,
    /// Report [`Event::Repair`](super::Event::Repair).
    Repair,
}

/// The answer to an [`Order`](super::Order).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The ban that is in force now.
    Ban(Result<Enforced, OrderError>),
    /// The fleet has banned the target for as long; this edge adds nothing.
    Covered,
    /// The origin of the ban that was lifted; `None` if there was none.
    Unban(Result<Option<Origin>, OrderError>),
    Mode(Result<(), OrderError>),
}

/// The reason why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A ban or its removal is tried again.
    #[error("the kernel did not take it: {0}")]
    NotWritten(String),
}

/// Something worth logging or counting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A ban of the fleet is in force.
    Banned {
        target: Prefix,
        reason: Reason,
        note: String,
    },
    /// The fleet lifted a ban.
    Lifted(Prefix),
    BannedHere(Prefix),
    LiftedHere(Prefix),
    /// This edge's own detector has banned.
    Detected {
        target: Prefix,
        reason: Reason,
        note: String,
    },
    /// So many bans from before this host joined the fleet are in force.
    Brought {
        bans: usize,
    },
    /// The fleet's ban has taken the place of one that this edge's own detector made.
    TakenOver(Prefix),
    /// A ban of the fleet is not enforced here.
    Refused {
        target: Prefix,
        refusal: Refusal,
    },
    /// A command was new and stale; it was refused.
    StaleCommand,
    /// A ban had expired `late_ms` before it was received.
    ExpiredCommand {
        target: Prefix,
        late_ms: i64,
    },
    /// A snapshot was read, with so many bans.
    SnapshotRead {
        bans: usize,
    },
    /// The bucket is another one: what it does not hold was not lifted.
    BucketReplaced,
    AllowlistChanged,
    AllowlistFailed(String),
    ModeSwitched(FilterMode),
    /// The kernel does not enforce bans everywhere where it should.
    Unprotected(String),
    /// It does so again.
    Protected,
    /// The kernel did not take entries; the next reconciliation tries again.
    WriteFailed(String),
    /// The kernel's bans were not as they should be, and are repaired.
    Drifted(Drift),
    /// A map has become more than half full.
    Crowded {
        map: &'static str,
        fill: Fill,
    },
    Reconciled(ReconcileStats),
    /// The kernel's bans could not be compared.
    ReconcileFailed(String),
}
