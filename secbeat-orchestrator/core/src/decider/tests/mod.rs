//! Each decision, without a bus.

mod agreement;
mod allowlist;
mod brakes;
mod crawlers;
mod detection;
mod determinism;
mod duplicates;
mod edge_bans;
mod edges;
mod fates;
mod imports;
mod labels;
mod observing;
mod orders;
mod others;
mod parked;
mod partitions;
mod queries;
mod recheck;
mod rejected;
mod restore;
mod rig;
mod rules;
mod signatures;
mod telemetry;
mod values;

use std::net::IpAddr;

use secbeat_common::wire::{
    Action, AuditRecord, BlockCommand, Decision as Audited, Evidence, Layer, LearnedFrom, PERMANENT, Reason,
    Scope, SourceCount, TelemetryBatch, TelemetryEvent,
};

pub(super) use self::rig::Rig;
use self::values::*;
use super::*;
use crate::{
    bucket::{Gone, Written},
    leases::{Ownership, Tenure},
    ledger::{ActiveBan, BanQuery, ManualBan, WriteState},
    writer::{Fate, Write, WriteRequest},
};

/// 2026-11-20T10:00:00Z.
const NOW: i64 = 1_795_168_800_000;
/// Its partition is 2.
const CLIENT: &str = "198.51.100.7";
/// Its partition is 8.
const OTHER_CLIENT: &str = "198.51.100.8";
