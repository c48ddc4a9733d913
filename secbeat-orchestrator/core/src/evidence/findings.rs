//! The most recent findings.

use std::collections::VecDeque;

use secbeat_common::{prefix::Prefix, wire::Reason};
use uuid::Uuid;

use crate::{analyzers::Finding, ledger::Suppression, millis};

/// Findings that are kept.
const MAX_FINDINGS: usize = 10_000;
/// How far back a finding like the present one is looked for.
const LOOK_BACK: usize = 64;

/// Outcome of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its source was banned.
    Banned { command_id: Uuid },
    /// A ban of its source, or of a network around it, was in force.
    AlreadyBanned,
    /// Its rule only observes: no client was banned.
    Observed,
    /// No client was banned.
    Suppressed(Suppression),
}

/// The findings that are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct FindingFilter {
    /// Of sources in this prefix, or around it.
    pub source: Option<Prefix>,
    pub rule: Option<Reason>,
}

/// The most recent findings, the latest last.
#[derive(Debug, Default)]
pub struct Findings {
    recent: VecDeque<PastFinding>,
}

/// A finding, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastFinding {
    pub source: Prefix,
    pub rule: Reason,
    /// Events in the rule's window.
    pub count: u32,
    pub window_ms: i64,
    /// Event time, milliseconds since the Unix epoch.
    pub at_ms: i64,
    pub outcome: Outcome,
    /// Number of times that this was found, the last time at `at_ms`: a client that is not banned for it is found again and
    /// again.
    pub times: u32,
}

impl Findings {
    /// Notes a finding. One that repeats a recent one, as those of a protected source do, takes its place; past
    /// [`MAX_FINDINGS`] the oldest goes.
    pub fn note(&mut self, finding: &Finding, outcome: Outcome) {
        let rule = finding.rule.into();
        let like = |kept: &PastFinding| {
            (kept.source, kept.rule) == (finding.source, rule) && kept.outcome == outcome
        };
        let recent = self.recent.len().saturating_sub(LOOK_BACK);
        let before = self.recent.iter().skip(recent).rposition(like);
        let before = before.and_then(|index| self.recent.remove(recent + index));
        if self.recent.len() >= MAX_FINDINGS {
            self.recent.pop_front();
        }
        self.recent.push_back(PastFinding {
            source: finding.source,
            rule,
            count: finding.count(),
            window_ms: millis(finding.window()),
            at_ms: finding.at_ms,
            outcome,
            times: before.map_or(0, |before| before.times).saturating_add(1),
        });
    }

    /// Those that `filter` asks for, the latest first.
    pub fn list(&self, filter: FindingFilter) -> impl Iterator<Item = &PastFinding> {
        let wanted = move |past: &&PastFinding| {
            filter
                .source
                .is_none_or(|net| net.covers(&past.source) || past.source.covers(&net))
                && filter.rule.is_none_or(|rule| rule == past.rule)
        };
        self.recent.iter().rev().filter(wanted)
    }
}
