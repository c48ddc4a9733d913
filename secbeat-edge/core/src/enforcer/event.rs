//! Everything that goes into the enforcer.

use std::{collections::HashMap, time::SystemTime};

use secbeat_common::{
    prefix::Prefix,
    wire::{AllowEntry, BlockCommand},
};

use super::id::{Ticket, WriteId};
use crate::{BAN_MAPS, Fill, FilterMode, LocalBan, ObservedBan};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Updates of the bans bucket, in their order. Their bans are written into the kernel together, so a removal is reported
    /// before a ban of the same event that it lifts.
    Bucket(Vec<BucketUpdate>),
    /// An operator of this host orders something. [`Effect::Reply`](super::Effect::Reply) answers, with the same ticket.
    Order(Ticket, Order),
    /// Bans that were in force on this host before it joined the fleet. They are this host's own from now on.
    Brought(Vec<BlockCommand>),
    /// The fleet's allowlist was read or has changed.
    FleetAllowlist(Vec<AllowEntry>),
    /// The allowlist of this host's operators was read or has changed.
    LocalAllowlist(Vec<AllowEntry>),
    /// The networks that this host and its config allowlist, each with a code of [`secbeat_common::maps::allow`].
    HostAllowlist(HashMap<Prefix, u32>),
    /// The kernel did not take the allowlist, for this reason.
    AllowlistFailed(String),
    /// The outcome of [`Effect::Write`](super::Effect::Write) with the same id.
    Written(WriteId, WriteOutcome),
    /// The outcome of [`Effect::SetMode`](super::Effect::SetMode).
    ModeSet(Ticket, FilterMode, Result<(), String>),
    /// Some of the kernel's bans, as a [`Step`](super::Step) asked for.
    KernelBans(Vec<ObservedBan>),
    /// All of the kernel's bans were read; the maps of [`BAN_MAPS`] are so full.
    KernelEnd([Fill; BAN_MAPS.len()]),
    /// The kernel's bans cannot be read, for this reason.
    KernelUnreadable(String),
    /// Where the kernel does not enforce bans although it should, and why; `None` if it does so everywhere.
    Unprotected(Option<String>),
    /// Nothing more urgent waits, and [`Step::Repair`](super::Step::Repair) asked for this.
    Repair,
    /// About a second has passed.
    Tick,
    /// It is time to compare the kernel's bans with the desired ones.
    ReconcileDue,
}

/// An update of the bans bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketUpdate {
    /// A new connection begins to read all that the bucket holds.
    SnapshotBegin(BucketId),
    /// A command stands in the bucket.
    Put {
        command: Box<BlockCommand>,
        revision: u64,
        received: SystemTime,
    },
    /// A ban was lifted.
    Removed { target: Prefix, revision: u64 },
    /// What stands under the target's key, or removed it, is not to be trusted. A ban of the target stays.
    Spoiled { target: Prefix },
    /// The snapshot is complete; further updates are live.
    SnapshotEnd,
    /// The time of day was set: what was reckoned with the one before was wrong.
    TimeSet,
}

/// Tells a bucket from one of the same name made later, by when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketId(pub i128);

/// An order of an operator of this host, or of its own detector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    Ban(LocalBan),
    Unban(Prefix),
    /// This edge's own detector bans, unless the fleet has done so for as long.
    StandIn(Box<BlockCommand>),
    /// Enforce bans from now on, or only observe.
    SetMode(FilterMode),
}

/// Outcome of the entries of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOutcome {
    /// Targets whose entry the kernel neither took nor removed.
    pub failed: Vec<Prefix>,
    /// The reason; of several, one.
    pub why: String,
}
