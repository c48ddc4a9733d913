//! The most recent findings.

use std::collections::VecDeque;

use secbeat_common::{prefix::Prefix, wire::Reason};
use secbeat_daemon::time::rfc3339;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{detect::Finding, millis};

/// Findings that are kept.
const MAX_FINDINGS: usize = 10_000;
/// How far back a finding like the present one is looked for.
const LOOK_BACK: usize = 64;

/// What became of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Its source was banned.
    Banned { command_id: Uuid },
    /// A ban of its source, or of a network around it, was in force.
    AlreadyBanned,
    /// Its rule only observes: nobody was banned.
    Observed,
    /// Nobody was banned.
    Suppressed { why: String },
}

impl Outcome {
    /// The word that users meet.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Banned { .. } => "banned",
            Self::AlreadyBanned => "already-banned",
            Self::Observed => "observed",
            Self::Suppressed { .. } => "suppressed",
        }
    }
}

/// A finding as people and programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    /// Event time, RFC 3339.
    pub at: String,
    /// The same in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// CIDR.
    pub source: String,
    #[schema(value_type = String)]
    pub rule: Reason,
    /// Events in the rule's window.
    pub count: u32,
    pub window_ms: i64,
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How often this was found, at last at the time above: what goes on unpunished is found again and again.
    pub times: u32,
}

/// Which findings are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct FindingFilter {
    /// Of sources in this prefix, or around it.
    pub source: Option<Prefix>,
    pub rule: Option<Reason>,
}

/// The most recent findings, the latest last.
#[derive(Debug, Default)]
pub struct Findings {
    recent: VecDeque<Kept>,
}

#[derive(Debug)]
struct Kept {
    source: Prefix,
    rule: Reason,
    count: u32,
    window_ms: i64,
    at_ms: i64,
    outcome: Outcome,
    times: u32,
}

impl Findings {
    /// Notes a finding. One that repeats a recent one, as those of a protected source do, takes its place; past
    /// [`MAX_FINDINGS`] the oldest goes.
    pub fn note(&mut self, finding: &Finding, outcome: Outcome) {
        let rule = finding.rule.into();
        let like =
            |kept: &Kept| (kept.source, kept.rule) == (finding.source, rule) && kept.outcome == outcome;
        let recent = self.recent.len().saturating_sub(LOOK_BACK);
        let before = self.recent.iter().skip(recent).rposition(like);
        let before = before.and_then(|index| self.recent.remove(recent + index));
        if self.recent.len() >= MAX_FINDINGS {
            self.recent.pop_front();
        }
        self.recent.push_back(Kept {
            source: finding.source,
            rule,
            count: finding.count,
            window_ms: millis(finding.window),
            at_ms: finding.at_ms,
            outcome,
            times: before.map_or(0, |before| before.times).saturating_add(1),
        });
    }

    /// At most `limit` of those that `filter` asks for, the latest first.
    #[must_use]
    pub fn list(&self, filter: FindingFilter, limit: usize) -> Vec<FindingView> {
        let wanted = |kept: &&Kept| {
            filter
                .source
                .is_none_or(|net| net.covers(&kept.source) || kept.source.covers(&net))
                && filter.rule.is_none_or(|rule| rule == kept.rule)
        };
        let view = |kept: &Kept| FindingView {
            at: rfc3339(kept.at_ms),
            at_ms: kept.at_ms,
            source: kept.source.to_string(),
            rule: kept.rule,
            count: kept.count,
            window_ms: kept.window_ms,
            outcome: kept.outcome.clone(),
            times: kept.times,
        };
        let latest = self.recent.iter().rev();
        latest.filter(wanted).take(limit).map(view).collect()
    }
}
