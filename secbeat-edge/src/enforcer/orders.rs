//! What the enforcer is asked.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use secbeat_common::{
    digest::Extract,
    prefix::Prefix,
    wire::{AllowEntry, BlockCommand},
};
use secbeat_daemon::time::now;
use tokio::sync::oneshot;

use crate::admin::view::{BanView, EnforcerView};
use secbeat_edge_core::{FilterMode, Origin, Refusal};

/// What others ask of the enforcer.
#[derive(Debug)]
pub enum Order {
    /// A ban from the bus.
    Command(Box<BlockCommand>, Delivery),
    /// The bus no longer desires a ban.
    Withdrawn(Prefix, Delivery),
    /// The bus has named every ban that it desires.
    SnapshotDone(HashSet<Prefix>),
    /// The fleet's allowlist is this from now on.
    Allowlist(Vec<AllowEntry>),
    /// Somebody on this host bans.
    Ban {
        target: Prefix,
        duration: Duration,
        note: String,
        reply: oneshot::Sender<Result<BanView, Refusal>>,
    },
    /// Somebody on this host lifts a ban; the answer tells who had asked for it, if there was one.
    Unban {
        target: Prefix,
        reply: oneshot::Sender<Option<Origin>>,
    },
    List {
        reply: oneshot::Sender<Vec<BanView>>,
    },
    Summary {
        reply: oneshot::Sender<EnforcerView>,
    },
    /// What the fleet is told.
    Holdings {
        reply: oneshot::Sender<Holdings>,
    },
    /// From now on bans are enforced, or only observed.
    SetMode {
        mode: FilterMode,
        reply: oneshot::Sender<anyhow::Result<()>>,
    },
}

/// How an order came by the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Of the bans bucket.
    pub revision: u64,
    pub mode: DeliveryMode,
    /// When it came.
    pub received: SystemTime,
    /// Whether the command's issuer no longer owned the target's partition; see [`secbeat_common::fence`].
    pub stale: bool,
}

impl Delivery {
    /// Of a command that was refused before, and is tried again.
    pub fn again(revision: u64) -> Self {
        Self {
            revision,
            mode: DeliveryMode::Live,
            received: now(),
            stale: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// Among all that the bucket holds, after a connection.
    Snapshot,
    Live,
}

/// What an edge holds of the fleet's bans.
#[derive(Clone, Debug)]
pub struct Holdings {
    /// As received.
    pub fleet: Extract,
    /// Received, and rightly not enforced.
    pub set_aside: usize,
    /// Bans that the kernel did not take, and those that it did not let go of.
    pub unwritten: usize,
    /// The latest revision of the bans bucket that was worked through.
    pub revision: u64,
}
