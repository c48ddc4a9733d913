//! Bans for the tests of what reads and writes the bucket.

use secbeat_common::{
    prefix::Prefix,
    wire::{Action, BlockCommand, Layer, NO_LEASE, Reason, Scope},
};
use secbeat_daemon::time::now_ms;
use uuid::Uuid;

pub(crate) const HOUR_MS: i64 = 3_600_000;

/// The network with this number.
pub(crate) fn target(n: u8) -> Prefix {
    format!("198.51.100.{n}").parse().unwrap()
}

/// An operator's ban of it, for an hour from now.
pub(crate) fn ban(n: u8) -> BlockCommand {
    let now_ms = now_ms();
    BlockCommand {
        id: Uuid::from_u128(n.into()),
        action: Action::Block,
        target: target(n),
        reason: Reason::Manual,
        note: String::new(),
        evidence: None,
        scope: Scope::Fleet,
        strikes: 0,
        issued_at_ms: now_ms,
        expires_at_ms: now_ms + HOUR_MS,
        issuer: "alice".to_owned(),
        layer: Layer::Kernel,
        epoch: NO_LEASE,
    }
}
