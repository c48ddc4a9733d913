//! Analyzers: what edges report goes in, findings come out.
//!
//! [`threshold`] counts in sliding windows. [`agreement`] wraps an analyzer so that a ban of the whole fleet needs more
//! than one edge's word.

mod agreement;
pub mod threshold;

use std::{fmt, time::Duration};

use secbeat_common::{
    prefix::Prefix,
    wire::{Evidence, Interest, Layer, Scope, ServiceEvent, WafEvent},
};

pub use self::{
    agreement::Agreement,
    threshold::{
        AHEAD, Action, Counted, DetectConfig, Excused, MAX_RULES, MAX_WINDOW_MS, Providers, Request, Rule,
        RuleConfig, Schedule, Sighting, Tally, ThresholdAnalyzer, UpstreamId, Upstreams, WindowCount,
    },
};
use crate::millis;

/// Finds clients that should be banned. An analyzer has no clock: it goes by the times of what it is shown.
pub trait Analyzer: fmt::Debug + Send {
    /// Returns which requests edges have to report one by one for it.
    fn interest(&self) -> Interest;

    /// Says whose events come next, at most [`AHEAD`] of them, so that they can be fetched from memory together. Changes no
    /// finding.
    fn expect(&mut self, sources: &mut dyn Iterator<Item = Prefix>);

    /// Takes in one thing that an edge reported, and adds what follows from it to `findings`.
    fn observe(&mut self, seen: &Observation<'_>, findings: &mut Vec<Finding>);

    /// Empties what is counted of `target`.
    fn reset(&mut self, target: Prefix, reset: Reset);

    /// `target` is banned on `edges` alone until `until_ms`, milliseconds since the Unix epoch.
    fn banned_on(&mut self, target: Prefix, edges: &[String], until_ms: i64);

    /// Forgets all sources of `partition`: another orchestrator watches them, or they are read again.
    fn forget_partition(&mut self, partition: u16);

    /// Lets time pass, to `now_ms` (milliseconds since the Unix epoch).
    fn tick(&mut self, now_ms: i64, findings: &mut Vec<Finding>);

    /// Returns how far `source` is under each rule at `now_ms`.
    fn windows(&self, source: &Prefix, now_ms: i64) -> Vec<WindowCount>;

    /// Returns which answers of `source` counted against nobody, as far as that is remembered.
    fn excused(&self, source: &Prefix) -> Option<Excused>;

    /// About how many sources were seen within the minute before `now_ms` and led to no ban.
    fn well_behaved(&self, now_ms: i64) -> u64;

    /// The analyzer in numbers.
    fn stats(&self) -> AnalyzerStats;
}

/// One thing that an edge reported.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The edge's name.
    pub edge: &'a str,
    pub seen: Seen<'a>,
}

/// A report.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// One request, whose [sum](Self::Requests) is reported apart.
    Event(Sighting, Request<'a>),
    /// All requests of one source at one upstream and time. They are judged together: a finding's count may exceed the
    /// threshold.
    Requests(Sighting, Tally),
    /// One request of which no sum is reported.
    Answer(Sighting, Request<'a>),
    /// A transaction that a web application firewall objected to, at this time (milliseconds since the Unix epoch).
    Waf(&'a WafEvent, i64),
    /// What the log of a service told of a client, at this time (milliseconds since the Unix epoch).
    Service(&'a ServiceEvent, i64),
}

/// From when on a target's events count. Times are milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Those after a ban's end, of clients learned at this layer or above.
    Banned { until_ms: i64, layer: Layer },
    /// Those after an unban and the grace that followed.
    Lifted { until_ms: i64 },
    /// For this rule alone: those after the end of the ban that it would have made.
    Observed { rule: Rule, until_ms: i64 },
}

/// A client that an analyzer would ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub source: Prefix,
    pub rule: Rule,
    /// Event time, milliseconds since the Unix epoch: the latest in the window.
    pub at_ms: i64,
    /// Where a ban can meet the client: in the kernel if it was seen as a TCP peer since the window's start, even once;
    /// otherwise its packets carry the address of a proxy.
    pub layer: Layer,
    pub why: Why,
    pub action: Action,
    /// Length of a first ban by this rule, if not the [ledger](crate::ledger)'s.
    pub ban: Option<Duration>,
    /// Edges that are to enforce a ban.
    pub scope: Scope,
}

/// The reason why a client was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// So many events within a window.
    Threshold {
        /// The threshold, or more if a [`Tally`] jumped past it.
        count: u32,
        counted: Counted,
        window: Duration,
    },
}

impl Finding {
    /// Returns how far back the events go that led to it.
    #[must_use]
    pub const fn window(&self) -> Duration {
        let Why::Threshold { window, .. } = self.why;
        window
    }

    /// Events in the window.
    #[must_use]
    pub const fn count(&self) -> u32 {
        let Why::Threshold { count, .. } = self.why;
        count
    }

    /// Returns what a command or a record says of it.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        let Why::Threshold { count, window, .. } = self.why;
        Evidence {
            count,
            window_ms: millis(window).unsigned_abs(),
            at_ms: self.at_ms,
        }
    }
}

impl fmt::Display for Why {
    /// As people read it: `50 errors in 60s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Threshold {
            count,
            counted,
            window,
        } = self;
        write!(f, "{count} {} in {window:?}", counted.named(*count))
    }
}

/// An analyzer in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnalyzerStats {
    /// Sources watched now.
    pub tracked: usize,
    /// Sources forgotten because too many were watched, since the start.
    pub evicted: u64,
    /// Responses that did not count because most clients of their upstream got the same, since the start.
    pub excused: u64,
}
