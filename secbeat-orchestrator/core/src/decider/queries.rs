//! Questions: what the decider knows, without a change.

use std::net::IpAddr;

use secbeat_common::{prefix::Prefix, wire::SeenEvent};

use super::{Checked, Decider, Stats};
use crate::{
    Moment, ProtectedNet,
    analyzers::{Excused, WindowCount},
    evidence::{FindingFilter, PastFinding},
    ledger::{ActiveBan, BanQuery, Page},
    presence::Edge,
    propagation::Propagation,
    signatures::Tallies,
    telemetry::EdgeTelemetry,
};

/// Events that an answer shows at most.
const MAX_EVENTS: usize = 200;
/// Latest events whose clients are looked at for those near a threshold.
const LOOKED_AT: usize = 2_000;
/// Clients among them.
const SUSPECTS: usize = 200;
/// Findings that an answer shows at most.
const MAX_FINDINGS: usize = 100;

/// A client under a rule's threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    pub source: Prefix,
    pub window: WindowCount,
}

/// All that is known of one address.
#[derive(Clone, Debug)]
pub struct SourceFacts {
    pub address: IpAddr,
    /// The source prefix that is counted and banned.
    pub source: Prefix,
    /// Time of this view, milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// Whether the ledger was read from the bus since the start.
    pub restored: bool,
    /// Bans in force, of the address, its source or a network around it.
    pub bans: Vec<ActiveBan>,
    /// Networks that protect the source or a part of it.
    pub protected: Vec<ProtectedNet>,
    /// Until when nothing counts against it, after an unban.
    pub forgiven_until_ms: Option<i64>,
    pub strikes: u32,
    /// Whether it is a crawler, if it was looked up.
    pub crawler: Option<Checked>,
    pub windows: Vec<WindowCount>,
    /// What counted against nobody, because most clients of the upstream got the same.
    pub excused: Option<Excused>,
    /// The latest first.
    pub findings: Vec<PastFinding>,
    /// The latest to come first.
    pub events: Vec<SeenEvent>,
}

impl Decider {
    /// The bans that `query` asks for.
    #[must_use]
    pub fn bans(&self, query: &BanQuery) -> Page<'_> {
        self.ledger.page(query)
    }

    /// The recent findings that `filter` asks for, the latest first.
    pub fn findings(&self, filter: FindingFilter) -> impl Iterator<Item = &PastFinding> {
        self.witness.findings.list(filter)
    }

    /// The edges that were heard of, by name.
    pub fn edges(&self) -> impl Iterator<Item = &Edge> {
        self.fleet.edges()
    }

    /// Returns what came of each edge's telemetry, by name.
    #[must_use]
    pub fn telemetry(&self) -> Vec<(String, EdgeTelemetry)> {
        self.telemetry.telemetry()
    }

    /// The clients nearest to a threshold, the nearest first, of those that the latest events and the latest busy batches are about.
    /// Each with the rule that it is nearest to.
    #[must_use]
    pub fn nearest(&self, most: usize, now: Moment) -> Vec<Near> {
        if most == 0 {
            return Vec::new();
        }
        let failing = self.witness.journal.clients().take(LOOKED_AT);
        let failing = failing.map(|client| self.sources.of(client)).take(LOOKED_AT);
        let mut suspects: Vec<_> = Vec::new();
        for source in self.busy.iter().rev().copied().chain(failing) {
            if !suspects.contains(&source) {
                suspects.push(source);
            }
            if suspects.len() >= SUSPECTS {
                break;
            }
        }
        // In thousandths of the threshold.
        let share =
            |window: &WindowCount| window.count.saturating_mul(1000) / u64::from(window.threshold.max(1));
        let near = suspects.into_iter().filter_map(|source| {
            let windows = self.analyzer.windows(&source, now.wall_ms).into_iter();
            let window = windows.filter(|window| window.count > 0).max_by_key(share)?;
            Some(Near { source, window })
        });
        let mut near: Vec<_> = near.collect();
        near.sort_by_key(|near| (std::cmp::Reverse(share(&near.window)), near.source));
        near.truncate(most);
        near
    }

    /// Requests and error responses, each counted once: without what was read again.
    #[must_use]
    pub const fn counted(&self) -> (u64, u64) {
        (self.counts.requests, self.counts.errors)
    }

    /// Returns how long bans take to the edges.
    #[must_use]
    pub fn propagation(&self) -> &Propagation {
        &self.propagation
    }

    /// Returns how often each signature was met by what this process judges.
    #[must_use]
    pub const fn tallies(&self) -> &Tallies {
        self.signatures.tallies()
    }

    /// Returns what is counted, at `now`.
    pub fn stats(&mut self, now: Moment) -> Stats {
        let analyzer = self.analyzer.stats();
        let brakes = self.brakes(None, now.wall_ms);
        Stats {
            active_bans: self.ledger.len(),
            tracked_sources: analyzer.tracked,
            evicted_sources: analyzer.evicted,
            excused: analyzer.excused,
            batches: self.counts.batches,
            events: self.counts.events,
            requests: self.counts.requests,
            errors: self.counts.errors,
            waf_events: self.counts.waf_events,
            waf_too_old: self.counts.waf_too_old,
            service_events: self.counts.service_events,
            service_too_old: self.counts.service_too_old,
            service_uncounted: self.counts.service_uncounted,
            possible_successes: self.counts.possible_successes,
            findings: self.counts.findings,
            suppressed: self.counts.suppressed,
            braked: self.counts.braked,
            rules: self.counts.by_rule.clone(),
            brake: self.ledger.braking(brakes, now.wall_ms),
            held_back: self.ledger.held_back(),
            held_back_by: self.ledger.held_back_by(brakes.well_behaved, now.wall_ms),
            restored: self.is_restored(),
            behind_since_ms: self.behind_since_ms,
            unwritten: self.decisions.open.len(),
            unwritten_since_ms: self.decisions.waiting_since_ms(),
            edges: self.telemetry.telemetry(),
        }
    }

    /// All that is known of `address`, at `now`.
    #[must_use]
    pub fn explain(&self, address: IpAddr, now: Moment) -> SourceFacts {
        let now_ms = now.wall_ms;
        let source = self.sources.of(address);
        let bans = Prefix::host(address)
            .around()
            .filter_map(|target| self.ledger.get(&target))
            .filter(|ban| ban.command.expires_at_ms > now_ms);
        let filter = FindingFilter {
            source: Some(source),
            rule: None,
        };
        let overlaps = |net: &Prefix| net.covers(&source) || source.covers(net);
        let protected = self.protected.all();
        SourceFacts {
            address,
            source,
            now_ms,
            restored: self.is_restored(),
            bans: bans.cloned().collect(),
            protected: protected
                .filter(|protected| overlaps(&protected.network))
                .cloned()
                .collect(),
            forgiven_until_ms: self.resets.forgiven_until_ms(&source, now_ms),
            strikes: self.ledger.strikes(&source, now_ms),
            crawler: self.crawlers.of(&source, now_ms).cloned(),
            windows: self.analyzer.windows(&source, now_ms),
            excused: self.analyzer.excused(&source),
            findings: self.findings(filter).take(MAX_FINDINGS).cloned().collect(),
            events: self.witness.journal.of(&source).take(MAX_EVENTS).collect(),
        }
    }
}
