//! Bans for the tests of what reads and writes the bucket.

use secbeat_bus::samples;
use secbeat_common::{prefix::Prefix, wire::BlockCommand};
use secbeat_daemon::time::now_ms;
use uuid::Uuid;

pub(crate) const HOUR_MS: i64 = 3_600_000;

/// The network with this number.
pub(crate) fn target(n: u8) -> Prefix {
    format!("198.51.100.{n}").parse().unwrap()
}

/// An operator's ban of it, for an hour from now.
pub(crate) fn ban(n: u8) -> BlockCommand {
    samples::ban(target(n), Uuid::from_u128(n.into()), now_ms(), HOUR_MS)
}
