//! Detection: which source crossed which threshold, and when.
//!
//! [`Detector`] is the whole of it: sightings go in, [`Finding`](super::Finding)s come out. Its verdicts equal those of a detector that
//! keeps every timestamp for ever (a property test holds it to that): windows are exact to the millisecond. Only
//! [eviction](DetectConfig::max_sources) and [`Detector::cleanup`] forget, and what they forget can only delay a
//! finding, never cause one.
//!
//! * `rule`: what counts, and how much is too much.
//! * `presets`: the rules that SecBeat ships.
//! * `window`: the sliding window of one source and rule.
//! * `outage`: the guard that keeps a failing upstream from getting its visitors banned.
//! * `shape`: which paths are alike for the guard.
//! * `waf`: which events of web application firewalls count.
//! * `service`: which events of services count.
//! * `provider`: clients of one provider that count together.
//! * `source`: what is known of one source.
//! * `slab`: where sources lie, and in which order they were seen.
//! * `index`: where sources lie, by the hash of their keys.
//! * `ahead`: sources that were looked up before their events come.
//! * `recent`: how many sources were seen lately.
//! * `shard`: the sources of one partition, and who goes first when memory is short.

mod ahead;
mod analyzer;
mod detector;
mod index;
mod outage;
mod presets;
mod provider;
mod recent;
mod rule;
mod service;
mod shape;
mod shard;
mod slab;
mod source;
#[cfg(test)]
mod tests;
mod upstreams;
mod waf;
mod window;

use std::{num::NonZeroU32, time::Duration};

use secbeat_common::{
    prefix::Prefix,
    sources::SourceLengths,
    subjects,
    wire::{Interest, LearnedFrom, MatchedSignature, Reason},
};
use serde::{Deserialize, Serialize};

pub(crate) use self::window::Window;
pub use self::{
    ahead::AHEAD,
    analyzer::{Schedule, ThresholdAnalyzer},
    detector::{Detector, Stats},
    provider::Providers,
    rule::{Action, Counted, Counts, Distinct, Rule, RuleConfig, SignatureFilter},
    service::ServiceFilter,
    upstreams::{UpstreamId, Upstreams},
    waf::{RuleIds, WafFilter},
    window::MAX_WINDOW_MS,
};

use crate::millis;

/// Most rules that there may be.
pub const MAX_RULES: usize = 64;

/// Configuration of the detector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectConfig {
    /// At most [`MAX_RULES`]; those past it do not count. Where several fire on one event, the first that bans is
    /// reported, or else the first that observes.
    pub rules: Vec<RuleConfig>,
    /// Most sources tracked at a time, over all partitions; each partition gets an equal part. A source costs about
    /// 120 bytes, and 8 more for each further millisecond in which it was active within a window.
    pub max_sources: usize,
    /// Prefix lengths that count as one source.
    pub sources: SourceLengths,
    /// Shards; [`subjects::PARTITIONS`] in a fleet.
    pub partitions: u16,
}

impl DetectConfig {
    /// Length of the longest window of a rule about firewalls' events, in milliseconds.
    #[must_use]
    pub fn waf_window_ms(&self) -> i64 {
        let rules = self.rules.iter();
        rules
            .filter(|rule| matches!(rule.counts, Counts::WafEvents(_)))
            .map(|rule| millis(rule.threshold.window))
            .max()
            .unwrap_or(0)
    }

    /// Length of the longest window of a rule about services' events, in milliseconds.
    #[must_use]
    pub fn service_window_ms(&self) -> i64 {
        let rules = self.rules.iter();
        rules
            .filter(|rule| rule.counts_services())
            .map(|rule| millis(rule.threshold.window))
            .max()
            .unwrap_or(0)
    }

    /// Whether a rule goes by user agents, or by signatures, which do.
    #[must_use]
    pub fn reads_user_agents(&self) -> bool {
        let mut excluded = self.rules.iter().flat_map(|rule| &rule.excluded);
        excluded.any(|exclusion| !exclusion.user_agents.is_empty()) || self.counts_signatures()
    }

    /// Whether a rule counts signatures.
    #[must_use]
    pub fn counts_signatures(&self) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|rule| matches!(rule.counts, Counts::Signatures(_)))
    }

    /// Returns which requests edges have to report one by one, beside errors.
    #[must_use]
    pub fn interest(&self) -> Interest {
        Interest::of(self.rules.iter().flat_map(RuleConfig::asked))
    }
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            rules: RuleConfig::defaults(),
            max_sources: 2_000_000,
            sources: SourceLengths::default(),
            partitions: subjects::PARTITIONS,
        }
    }
}

/// Number of events within a window that are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// This many are a finding, one fewer is none.
    pub count: NonZeroU32,
    /// Length of the window; resolution 1 ms, at least that.
    pub window: Duration,
}

/// A client, with the time and place at which it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// [One source](DetectConfig::sources); of anything else no notice is taken.
    pub source: Prefix,
    /// Event time, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The upstream that answered.
    pub upstream: UpstreamId,
    pub learned_from: LearnedFrom,
}

/// Requests of one source at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub requests: u32,
    /// Number of them that were errors.
    pub errors: u32,
    /// Number of them with a status of 500–599.
    pub server_errors: u32,
}

/// One request and how it was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// 0 if the client gave up before there was one.
    pub status: u16,
    pub method: &'a str,
    /// With or without the query.
    pub path: &'a str,
    /// With or without the port.
    pub host: &'a str,
    pub user_agent: &'a str,
    /// Signatures that its edge recognised in it.
    pub signatures: &'a [MatchedSignature],
}

/// Answers of one source that counted against nobody, because most clients of their upstream got the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excused {
    /// So many, since the start.
    pub count: u64,
    /// Status of the last one.
    pub status: u16,
    /// The latest, milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// Count of a source under one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowCount {
    pub rule: Reason,
    /// Events within the window.
    pub count: u64,
    pub threshold: u32,
    pub window: Duration,
    /// Whether the rule only observes.
    pub observe: bool,
}
