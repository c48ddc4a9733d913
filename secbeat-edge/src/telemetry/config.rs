//! `[telemetry]` in the edge's config file.

use std::{
    fmt,
    num::NonZeroUsize,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use secbeat_daemon::config::{HumanDuration, schema};
use secbeat_edge_core::{BatchConfig, MAX_EVENTS, MAX_SOURCES};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::spool::SpoolConfig;

/// Answers that wait for the batcher, unless configured otherwise. Under a tenth of them are ever taken in normal
/// operation; full of errors with the longest texts, they are 60 MB.
pub const DEFAULT_QUEUE: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
/// Longest queue.
const MAX_QUEUE: NonZeroUsize = NonZeroUsize::new(1 << 20).unwrap();
/// Longest that an answer may wait for company.
const MAX_LINGER: Duration = Duration::from_millis(50);
/// Where telemetry waits for NATS, unless configured otherwise, in the edge's state folder.
const DEFAULT_SPOOL: &str = "spool";
/// The smallest spool: several of the largest batches.
const MIN_SPOOL_BYTES: u64 = 4 * 1024 * 1024;
const DEFAULT_SPOOL_BYTES: u64 = 64 * 1024 * 1024;
/// A tebibyte.
const MAX_SPOOL_BYTES: u64 = 1 << 40;
/// Twice the longest window of the orchestrator's default rules.
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(120);
/// Oldest that telemetry may be when it is sent: the orchestrator's windows are shorter by far.
const LONGEST_MAX_AGE: Duration = Duration::from_secs(24 * 3600);

/// Settings of the reports about responses.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Disable to enforce bans without reporting.
    pub enabled: bool,
    /// Responses that may wait to be batched. Further ones are dropped and counted.
    #[schemars(range(max = MAX_QUEUE.get()))]
    #[serde(deserialize_with = "queue")]
    pub queue: NonZeroUsize,
    /// Time that a busy edge collects error responses before it sends a batch, from 1 to 50 ms. An idle edge sends
    /// at once.
    #[serde(deserialize_with = "linger")]
    pub linger: HumanDuration,
    /// The same for successful responses, from 1 to 50 ms.
    #[serde(deserialize_with = "linger")]
    pub good_linger: HumanDuration,
    /// Send a batch early once it holds this many error responses.
    #[schemars(range(min = 1, max = MAX_EVENTS))]
    #[serde(deserialize_with = "events")]
    pub max_events: usize,
    /// Send a batch early once it holds this many sources.
    #[schemars(range(min = 1, max = MAX_SOURCES))]
    #[serde(deserialize_with = "sources")]
    pub max_sources: usize,
    /// Folder where telemetry waits while NATS is down: for this edge only, in `state_dir` unless it begins with
    /// `/`. `off`: drop it.
    #[schemars(with = "schema::Spool")]
    pub spool: SpoolPlace,
    /// Size limit of the spool in bytes. Past it the oldest telemetry is dropped.
    #[schemars(range(min = MIN_SPOOL_BYTES, max = MAX_SPOOL_BYTES))]
    #[serde(deserialize_with = "spool_bytes")]
    pub spool_max_bytes: u64,
    /// Drop spooled telemetry that is older than this, from 1 s to a day. Set twice the longest window of the
    /// orchestrator's rules.
    #[serde(deserialize_with = "max_age")]
    pub max_age: HumanDuration,
}

/// A folder, absolute or in the edge's state folder, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpoolPlace {
    Off,
    Folder(PathBuf),
}

impl Serialize for SpoolPlace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::Folder(folder) => folder.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for SpoolPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "off" => Ok(Self::Off),
            "" => Err(D::Error::custom("neither a folder nor \"off\"")),
            folder => Ok(Self::Folder(folder.into())),
        }
    }
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        let batch = BatchConfig::default();
        Self {
            enabled: true,
            queue: DEFAULT_QUEUE,
            linger: HumanDuration(batch.linger),
            good_linger: HumanDuration(batch.good_linger),
            max_events: batch.max_events,
            max_sources: batch.max_sources,
            spool: SpoolPlace::Folder(DEFAULT_SPOOL.into()),
            spool_max_bytes: DEFAULT_SPOOL_BYTES,
            max_age: HumanDuration(DEFAULT_MAX_AGE),
        }
    }
}

impl TelemetryConfig {
    /// Returns what the batcher is told.
    #[must_use]
    pub fn batch(&self) -> BatchConfig {
        BatchConfig {
            linger: self.linger.0,
            good_linger: self.good_linger.0,
            max_events: self.max_events,
            max_sources: self.max_sources,
            ..BatchConfig::default()
        }
    }

    /// Returns what the spool of an edge with this state folder is told; `None` without one.
    #[must_use]
    pub fn spool(&self, state_dir: &Path) -> Option<SpoolConfig> {
        match &self.spool {
            SpoolPlace::Off => None,
            SpoolPlace::Folder(folder) => Some(SpoolConfig {
                folder: state_dir.join(folder),
                max_bytes: self.spool_max_bytes,
                max_age: self.max_age.0,
            }),
        }
    }
}

fn within<T: PartialOrd + fmt::Display, E: serde::de::Error>(
    value: T,
    range: &RangeInclusive<T>,
) -> Result<T, E> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(E::custom(format!(
        "invalid value {value}: expected {} to {}",
        range.start(),
        range.end()
    )))
}

fn queue<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroUsize, D::Error> {
    within(
        NonZeroUsize::deserialize(deserializer)?,
        &(NonZeroUsize::MIN..=MAX_QUEUE),
    )
}

fn linger<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HumanDuration, D::Error> {
    within(
        HumanDuration::deserialize(deserializer)?,
        &(HumanDuration(Duration::from_millis(1))..=HumanDuration(MAX_LINGER)),
    )
}

fn max_age<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HumanDuration, D::Error> {
    within(
        HumanDuration::deserialize(deserializer)?,
        &(HumanDuration(Duration::from_secs(1))..=HumanDuration(LONGEST_MAX_AGE)),
    )
}

fn events<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    within(usize::deserialize(deserializer)?, &(1..=MAX_EVENTS))
}

fn sources<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    within(usize::deserialize(deserializer)?, &(1..=MAX_SOURCES))
}

fn spool_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    within(
        u64::deserialize(deserializer)?,
        &(MIN_SPOOL_BYTES..=MAX_SPOOL_BYTES),
    )
}
