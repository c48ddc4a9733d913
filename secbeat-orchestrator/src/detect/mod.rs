//! Detection: which source crossed which threshold, and when.
//!
//! [`Detector`] is the whole of it: sightings go in, [`Finding`]s come out. Its verdicts equal those of a detector that
//! keeps every timestamp for ever (a property test holds it to that): windows are exact to the millisecond. Only
//! [eviction](DetectConfig::max_sources) and [`Detector::cleanup`] forget, and what they forget can only delay a
//! finding, never cause one.
//!
//! * `window`: the sliding window of one source and rule.
//! * `outage`: the guard that keeps a failing upstream from getting its visitors banned.
//! * `waf`: which events of web application firewalls count.
//! * `shard`: the sources of one partition, and who goes first when memory is short.

mod detector;
mod outage;
mod shard;
#[cfg(test)]
mod tests;
mod upstreams;
mod waf;
mod window;

use std::{num::NonZeroU32, time::Duration};

use secbeat_common::{
    prefix::Prefix,
    subjects,
    wire::{Layer, LearnedFrom, Reason},
};

pub(crate) use self::window::{Limit, Window};
pub use self::{
    detector::{Detector, Stats},
    upstreams::{UpstreamId, Upstreams},
    waf::{RuleIds, WafFlood},
};

/// What the detector looks for. How long a ban lasts is the [ledger](crate::ledger)'s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectConfig {
    /// Answers with a status of 400–599.
    pub error_flood: Threshold,
    /// Requests of any outcome.
    pub request_flood: Threshold,
    /// Transactions in which the rules of a web application firewall matched.
    pub waf_flood: WafFlood,
    /// Most sources tracked at a time, over all partitions; each partition gets an equal part. A source costs about
    /// 200 bytes, and 16 more for each further millisecond in which it was active within a window.
    pub max_sources: usize,
    /// Statuses of 400–599 that do not count as errors.
    pub excluded_statuses: Vec<u16>,
    /// Shards; [`subjects::PARTITIONS`] in a fleet.
    pub partitions: u16,
}

impl Default for DetectConfig {
    fn default() -> Self {
        let window = Duration::from_secs(60);
        Self {
            error_flood: Threshold {
                count: const { NonZeroU32::new(50).unwrap() },
                window,
            },
            request_flood: Threshold {
                count: const { NonZeroU32::new(1000).unwrap() },
                window,
            },
            waf_flood: WafFlood::default(),
            max_sources: 2_000_000,
            excluded_statuses: Vec::new(),
            partitions: subjects::PARTITIONS,
        }
    }
}

/// How many events within how long are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// This many are a finding, one fewer is none.
    pub count: NonZeroU32,
    /// Length of the window; resolution 1 ms, at least that.
    pub window: Duration,
}

/// Who was seen when, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub source: Prefix,
    /// Event time, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Who answered.
    pub upstream: UpstreamId,
    pub learned_from: LearnedFrom,
}

/// Requests of one source at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub requests: u32,
    /// How many of them got a status of 500–599.
    pub server_errors: u32,
}

/// What a source can be found guilty of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    ErrorFlood,
    RequestFlood,
    WafFlood,
}

impl Rule {
    /// The name that users meet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ErrorFlood => "error-flood",
            Self::RequestFlood => "request-flood",
            Self::WafFlood => "waf-flood",
        }
    }
}

impl From<Rule> for Reason {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::ErrorFlood => Self::ErrorFlood,
            Rule::RequestFlood => Self::RequestFlood,
            Rule::WafFlood => Self::WafFlood,
        }
    }
}

/// A source that crossed a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    pub source: Prefix,
    pub rule: Rule,
    /// Events in the window: the threshold, or more if a [`Tally`] jumped past it.
    pub count: u32,
    /// The rule's window.
    pub window: Duration,
    /// Latest event time in the window, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Where a ban can meet the source: in the kernel if it was seen as a TCP peer since the window's start, even
    /// once; otherwise its packets carry the address of a proxy.
    pub layer: Layer,
}
