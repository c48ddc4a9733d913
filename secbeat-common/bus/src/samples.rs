//! What tests put on a bus.

use secbeat_common::{
    digest::Digest,
    prefix::Prefix,
    wire::{
        Action, BlockCommand, Drops, EnforcedAt, EnforcedBans, Layer, NO_LEASE, Presence, Reason, Scope,
        Speaks, Spooled,
    },
};
use uuid::Uuid;

use crate::{Bus, BusClock, Clocks};

/// A clock that is measured and that nothing goes by.
#[must_use]
pub fn clock(bus: &Bus) -> BusClock {
    let clocks = Clocks {
        boot_us: || 0,
        wall_us: || 0,
        now_us: || 0,
        follow: |_| {},
    };
    BusClock::new(bus, clocks)
}

/// An operator's ban of `target`. Times are milliseconds, since the Unix epoch and long.
#[must_use]
pub fn ban(target: Prefix, id: Uuid, issued_at_ms: i64, lasts_ms: i64) -> BlockCommand {
    BlockCommand {
        id,
        action: Action::Block,
        list: None,
        target,
        reason: Reason::Manual,
        note: String::new(),
        evidence: None,
        scope: Scope::Fleet,
        strikes: 0,
        issued_at_ms,
        expires_at_ms: issued_at_ms + lasts_ms,
        issuer: "alice".to_owned(),
        layer: Layer::Kernel,
        epoch: NO_LEASE,
    }
}

/// The record of an edge without bans, made at `at_ms` (milliseconds since the Unix epoch).
#[must_use]
pub fn presence(edge_id: &str, at_ms: i64) -> Presence {
    Presence {
        edge_id: edge_id.to_owned(),
        boot_id: Uuid::nil(),
        version: "0.1.0".to_owned(),
        speaks: Speaks::edge(),
        started_at_ms: 0,
        at_ms,
        enforcement: EnforcedAt::Both,
        observe_only: false,
        interfaces: Vec::new(),
        bans: EnforcedBans {
            active: 0,
            fleet: Digest::default().extract(0),
            set_aside: 0,
            unwritten: 0,
            synced: true,
        },
        allowlist: 0,
        drops: Drops { packets: 0, bytes: 0 },
        labels: std::collections::BTreeMap::new(),
        telemetry_lost: 0,
        spool: Spooled { batches: 0, bytes: 0 },
        bus_revision: 0,
        clock: None,
        signatures: None,
        feeds: Vec::new(),
        logs: Vec::new(),
        refused_config: None,
    }
}
