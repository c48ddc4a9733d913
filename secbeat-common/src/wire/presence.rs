//! Heartbeat of an edge: JSON in the bucket `secbeat_edges`, for people too. An orchestrator ignores what it does not
//! know in it, so that the daemons of a fleet can be upgraded one by one.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Speaks, cut, labels};
use crate::digest::Extract;

/// One edge, as of `at_ms`. Counters count since the daemon's start unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Presence {
    /// Name of the edge.
    pub edge_id: String,
    /// Labels that its operator gave it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// New with every start of the daemon.
    pub boot_id: Uuid,
    /// Release of the edge.
    pub version: String,
    /// The messages that it reads.
    #[serde(default)]
    pub speaks: Speaks,
    /// Milliseconds since the Unix epoch, by the NATS server's clock once the edge has measured it.
    pub started_at_ms: i64,
    /// Time at which the heartbeat was sent, milliseconds since the Unix epoch.
    pub at_ms: i64,
    pub enforcement: EnforcedAt,
    /// Whether bans are enforced, or only observed.
    pub observe_only: bool,
    /// Interfaces to which the XDP program is to be attached.
    pub interfaces: Vec<XdpInterface>,
    /// Bans that the edge enforces.
    pub bans: EnforcedBans,
    /// Networks that are never banned on this host.
    pub allowlist: u64,
    /// Packets dropped since the kernel's maps were made.
    pub drops: Drops,
    /// Answers that could not be reported.
    pub telemetry_lost: u64,
    /// Telemetry that waits on its disk.
    pub spool: Spooled,
    /// The latest revision of the bans bucket that the edge has worked through, 0 before the first.
    pub bus_revision: u64,
    /// Offset of its host's clock; missing before the first measure, and of releases that do not measure it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockOffset>,
    /// The signatures that it looks for; missing where it reports no requests, and of releases that do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<SignaturesInForce>,
    /// The feeds that it has; missing of releases that have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feeds: Vec<FeedInForce>,
    /// The logs that it follows, those in trouble first; missing of releases that do not say it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<FollowedLog>,
    /// The reason why the config that it read last is refused; missing while that one is in use, and of releases that do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_config: Option<String>,
}

/// State of a log that an edge follows. Counts are since the daemon's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FollowedLog {
    /// Name of the log.
    pub name: String,
    /// Lines, understood or not.
    #[serde(default)]
    pub lines: u64,
    /// Lines that were not understood.
    #[serde(default)]
    pub not_understood: u64,
    /// The last lines that `recent_not_understood` is about: up to a hundred.
    #[serde(default)]
    pub recent: u64,
    /// Lines among these that were not understood.
    #[serde(default)]
    pub recent_not_understood: u64,
    /// Delay between the time in a line and its reading, in milliseconds: the median of the last lines. Missing before enough of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<i64>,
    /// Bytes that are not read yet.
    #[serde(default)]
    pub bytes_behind: u64,
    /// Time since the last line was read, in milliseconds; missing before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_ms: Option<i64>,
    /// The reason why it is not read as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A feed as an edge has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FeedInForce {
    /// Name of the feed.
    pub name: String,
    /// The first hexadecimal digits of the digest of the list in force; empty if there is none.
    #[serde(default)]
    pub digest: String,
    /// Packets from its networks since the kernel has the feed.
    #[serde(default)]
    pub packets: u64,
    /// Bytes of these packets.
    #[serde(default)]
    pub bytes: u64,
    /// The reason why it is not in force as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// The signatures that an edge looks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SignaturesInForce {
    /// Their number; 0 where its config disables them.
    pub count: u64,
    /// The digest of the set that the fleet published, 16 hexadecimal digits; missing if the edge has read none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<String>,
    /// Files and signatures that are wrong, and are left out.
    #[serde(default)]
    pub problems: u64,
}

/// Offset of a host's wall clock from the NATS server's. What daemons decide and report goes by the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ClockOffset {
    /// Milliseconds by which the host's clock is ahead; negative where it is behind.
    pub ahead_ms: i64,
    /// Greatest error of that, in milliseconds: half of a round trip.
    pub error_ms: u64,
}

impl ClockOffset {
    /// Offset in milliseconds from which on a clock is wrong.
    pub const WRONG_MS: u64 = 1_000;

    /// Whether the host's clock has to be set right.
    #[must_use]
    pub const fn is_wrong(self) -> bool {
        self.ahead_ms.unsigned_abs() >= Self::WRONG_MS
    }

    /// Returns how far the host's is ahead, in seconds.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.ahead_ms as f64 / 1000.0
    }

    /// Returns what `status` says of it.
    #[must_use]
    pub fn tell(clock: Option<Self>) -> String {
        match clock {
            None => "not measured yet against the clock that bans go by; the host's counts".to_owned(),
            Some(clock) if clock.is_wrong() => {
                format!("WRONG: {clock}: set it right (NTP)")
            }
            Some(clock) => clock.to_string(),
        }
    }
}

impl fmt::Display for ClockOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, error_ms) = (self.seconds().abs(), self.error_ms);
        let way = if self.ahead_ms < 0 { "behind" } else { "ahead of" };
        write!(
            f,
            "{seconds:.3} s {way} the clock that bans go by (to within {error_ms} ms)"
        )
    }
}

/// Logs that a record has room for.
pub const MAX_LOGS: usize = 64;
/// Most interfaces of a [bounded](Presence::bounded) record.
const MAX_INTERFACES: usize = 256;

impl Presence {
    /// The record with its texts cut at [`MAX_TEXT`](super::MAX_TEXT) bytes, and no more interfaces than a host may have: an edge
    /// could have written anything.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let shorten = |text: &mut String| text.truncate(cut(text).len());
        shorten(&mut self.version);
        self.labels = labels::bounded(self.labels);
        if let Some(SignaturesInForce {
            fleet: Some(fleet), ..
        }) = &mut self.signatures
        {
            shorten(fleet);
        }
        self.feeds.truncate(super::MAX_FEEDS);
        for feed in &mut self.feeds {
            shorten(&mut feed.name);
            shorten(&mut feed.digest);
            feed.trouble.iter_mut().for_each(shorten);
        }
        self.logs.truncate(MAX_LOGS);
        for log in &mut self.logs {
            shorten(&mut log.name);
            log.trouble.iter_mut().for_each(shorten);
        }
        self.refused_config.iter_mut().for_each(shorten);
        self.interfaces.truncate(MAX_INTERFACES);
        for interface in &mut self.interfaces {
            shorten(&mut interface.name);
            shorten(&mut interface.mode);
            interface.unprotected.iter_mut().for_each(shorten);
        }
        self
    }
}

/// Layers with which an edge enforces bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum EnforcedAt {
    Kernel,
    L7,
    Both,
    /// Somewhere that only a later release knows.
    #[serde(other)]
    Unknown,
}

/// An interface that is to be protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct XdpInterface {
    /// Name of the interface.
    pub name: String,
    /// `native` or `generic`; `none` where the program does not run.
    pub mode: String,
    /// Whether bans are only observed there; missing of releases that do not say it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observes: bool,
    /// The reason why no ban is enforced there, if that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unprotected: Option<String>,
}

/// An edge's bans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct EnforcedBans {
    /// Entries in force there, its own ones included.
    pub active: u64,
    /// The fleet's bans as the edge has received them, also those that it rightly does not enforce: what the edge holds,
    /// and what its orchestrators hold, is compared by this.
    pub fleet: Extract,
    /// Bans of the fleet that it does not enforce: protected there, lifted there, for another edge, or one network too many.
    pub set_aside: u64,
    /// Bans that should be in its kernel, and are not: it did not take them, or a crowded map lost them.
    pub unwritten: u64,
    /// Whether it has read all of the fleet's bans.
    pub synced: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Drops {
    /// Dropped packets.
    pub packets: u64,
    /// Bytes of dropped packets.
    pub bytes: u64,
}

/// Telemetry that waits on disk for NATS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Spooled {
    /// Batches in the spool.
    pub batches: u64,
    /// Size of the spool, in bytes.
    pub bytes: u64,
}
