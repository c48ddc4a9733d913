//! Bans, and orders about them.

use secbeat_common::{
    maps::origin,
    prefix::Prefix,
    wire::{Layer, Reason},
};
use secbeat_daemon::time::rfc3339;
use secbeat_edge_core::{BootTime, Enforced, KernelBan, Moment, Origin};
use serde::{Deserialize, Serialize};

use crate::enforcer::ActiveBan;

/// One ban.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BanView {
    /// CIDR.
    pub target: String,
    pub reason: String,
    /// `fleet` or `local`.
    pub origin: String,
    /// `kernel` or `l7`.
    pub layer: String,
    pub strikes: u32,
    /// RFC 3339; `null` for a permanent ban, as the next one.
    pub expires_at: Option<String>,
    pub expires_in_ms: Option<i64>,
    pub dropped_packets: u64,
    pub dropped_bytes: u64,
    pub note: String,
}

impl BanView {
    /// A ban that the daemon knows, with the kernel's counts of it where it holds one.
    #[must_use]
    pub(crate) fn of_desired(
        target: &Prefix,
        ban: &Enforced,
        counts: Option<&KernelBan>,
        now: Moment,
    ) -> Self {
        let left = left(ban.ends, now);
        Self {
            target: target.to_string(),
            reason: ban.reason.name().to_owned(),
            origin: if ban.origin == Origin::Local {
                "local"
            } else {
                "fleet"
            }
            .to_owned(),
            layer: ban.layer.name().to_owned(),
            strikes: ban.strikes,
            expires_at: left.map(|left| rfc3339(now.wall_ms.saturating_add(left))),
            expires_in_ms: left,
            dropped_packets: counts.map_or(0, |ban| ban.dropped_packets),
            dropped_bytes: counts.map_or(0, |ban| ban.dropped_bytes),
            note: ban.note.to_string(),
        }
    }

    /// A ban read from the pinned maps, without the daemon.
    #[must_use]
    pub(crate) fn of_kernel(target: &Prefix, ban: &KernelBan, now: Moment) -> Self {
        let left = left(ban.ends, now);
        Self {
            target: target.to_string(),
            reason: Reason::name_of_code(ban.reason).to_owned(),
            origin: if ban.origin == origin::LOCAL {
                "local"
            } else {
                "fleet"
            }
            .to_owned(),
            layer: Layer::Kernel.name().to_owned(),
            strikes: ban.strikes,
            expires_at: left.map(|left| rfc3339(now.wall_ms.saturating_add(left))),
            expires_in_ms: left,
            dropped_packets: ban.dropped_packets,
            dropped_bytes: ban.dropped_bytes,
            note: String::new(),
        }
    }
}

impl BanView {
    /// A ban as the enforcer lists it.
    #[must_use]
    pub(crate) fn of_active(active: &ActiveBan, now: Moment) -> Self {
        Self::of_desired(&active.target, &active.ban, active.counts.as_ref(), now)
    }
}

/// Returns why a ban of `target` that would end before `ends`, the end of one that is in force, is refused.
#[must_use]
pub(crate) fn outlasted(target: &Prefix, ends: BootTime, now: Moment) -> String {
    let longer = match left(ends, now) {
        None => "without end".to_owned(),
        Some(ms) => format!("for {} more, which is longer", secbeat_daemon::time::left(ms)),
    };
    format!("{target} is banned {longer}; --shorten (`shorten` in the API) replaces that ban")
}

/// Milliseconds until `ends`; `None` if that never comes.
fn left(ends: BootTime, now: Moment) -> Option<i64> {
    (ends != BootTime::NEVER).then(|| i64::try_from(ends.since(now.boot).as_millis()).unwrap_or(i64::MAX))
}

/// `POST /api/v1/bans`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BanRequest {
    /// An address, which stands for its source, or a CIDR.
    pub target: String,
    /// Duration, such as `4h`.
    pub duration: String,
    #[serde(default)]
    pub note: String,
    /// Whether it takes the place of a ban of this host's operators that ends later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shorten: bool,
}

/// The query of `DELETE /api/v1/bans/…`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UnbanRequest {
    /// The reason for it, for the log.
    pub note: String,
}

/// The answer to `DELETE /api/v1/bans/…`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Unbanned {
    pub target: String,
    /// The fleet had asked for the ban, and the other edges still enforce it.
    pub fleet_ban: bool,
}
