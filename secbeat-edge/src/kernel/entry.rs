//! An entry of a ban map, as it is written and as it is missing.

use aya::maps::MapError;
use secbeat_common::{maps::Ban, prefix::Prefix};
use secbeat_edge_core::KernelBan;

use super::JiffyClock;

/// A ban with its end in the program's own time.
#[derive(Clone, Copy, Debug)]
pub(super) struct JiffyBan(Ban);

impl JiffyBan {
    pub(super) fn ban(&self) -> &Ban {
        &self.0
    }

    /// As it is written over `known`, whose counts go on.
    pub(super) fn counting_on(&self, known: Option<Ban>) -> Ban {
        Ban {
            dropped_packets: known.map_or(self.0.dropped_packets, |known| known.dropped_packets),
            dropped_bytes: known.map_or(self.0.dropped_bytes, |known| known.dropped_bytes),
            ..self.0
        }
    }
}

/// What becomes of the drop counts of a ban that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    GoOn,
    AsGiven,
}

/// Bans that the kernel did not take.
#[derive(Debug, thiserror::Error)]
#[error("{} bans were not written into the kernel, the first of them {}", targets.len(), first(targets))]
pub struct Unwritten {
    pub targets: Vec<Prefix>,
    /// What the kernel said to the first.
    #[source]
    pub error: anyhow::Error,
}

fn first(targets: &[Prefix]) -> String {
    targets.first().map_or_else(String::new, Prefix::to_string)
}

pub(super) fn absent_is_none<T>(result: Result<T, MapError>) -> Result<Option<T>, MapError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl JiffyBan {
    pub(super) fn new(ban: &KernelBan, clock: &JiffyClock) -> Self {
        Self(Ban {
            expires_jiffies: clock.jiffies_at(ban.ends),
            expires_boot_ns: ban.ends.0,
            dropped_packets: ban.dropped_packets,
            dropped_bytes: ban.dropped_bytes,
            reason: ban.reason,
            origin: ban.origin,
            strikes: u16::try_from(ban.strikes).unwrap_or(u16::MAX),
            unallowed_in: ban.unallowed_in,
        })
    }
}
