//! Who has to be banned: keeps the time of every event, and counts by hand.
//!
//! Only when a ban ends is taken from its record in the audit, since the server's clock decides that; whether it could
//! have been then, is judged.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use secbeat_common::{
    prefix::Prefix,
    subjects::PARTITIONS,
    wire::{AuditRecord, Decision, LearnedFrom, Reason, TelemetryBatch},
};
use secbeat_daemon::time::rfc3339;

use super::{
    edges::Sent,
    traffic::{BROKEN, PROTECTED},
};

/// The rules as they are by default.
const WINDOW_MS: i64 = 60_000;
const ERRORS: usize = 50;
const REQUESTS: usize = 1000;

/// How long first bans are.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub error_flood: Duration,
    pub request_flood: Duration,
}

/// What has to come of the traffic.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Findings that ban, by the source and how often it was banned before.
    pub bans: BTreeMap<(Prefix, u32), AuditRecord>,
    /// Findings of protected sources, by the rule.
    pub suppressed: BTreeMap<(Prefix, String), u64>,
    /// Sources that came to 90 % of a threshold, and were not found.
    pub just_below: BTreeSet<Prefix>,
    /// Where the audit differs.
    pub differences: Vec<String>,
}

/// One source.
#[derive(Default)]
struct Log {
    errors: Window,
    requests: Window,
    ignored_before: Option<i64>,
    bans: u32,
    closest: usize,
}

/// Every time of an event.
#[derive(Default)]
struct Window {
    times: Vec<i64>,
    latest: Option<i64>,
}

impl Window {
    /// `n` events at `at`; how many the window then holds, and until when it reaches.
    fn add(&mut self, at: i64, n: u32) -> Option<(usize, i64)> {
        // What is too old is no occasion to judge.
        if self.latest.is_some_and(|latest| at <= latest - WINDOW_MS) {
            return None;
        }
        self.times.extend((0..n).map(|_| at));
        let latest = self.latest.map_or(at, |latest| latest.max(at));
        self.latest = Some(latest);
        let inside = self.times.iter().filter(|at| **at > latest - WINDOW_MS);
        Some((inside.count(), latest))
    }
}

struct Judge {
    terms: Terms,
    logs: HashMap<Prefix, Log>,
    /// What the audit says, by source and in its order.
    audited: HashMap<Prefix, VecDeque<AuditRecord>>,
    protected: Prefix,
    verdict: Verdict,
}

/// One finding.
struct Found {
    source: Prefix,
    rule: Reason,
    count: usize,
    at_ms: i64,
    learned_from: LearnedFrom,
    received_ms: (i64, i64),
}

/// Judges what the server got, and compares with the bans in the audit.
///
/// # Panics
///
/// When the network of protected sources is none.
#[must_use]
pub fn judge(sent: &[Sent], audit: Vec<AuditRecord>, terms: Terms) -> Verdict {
    let mut judge = Judge {
        terms,
        logs: HashMap::new(),
        audited: HashMap::new(),
        protected: PROTECTED.parse().expect("a network"),
        verdict: Verdict::default(),
    };
    for record in audit {
        judge.audited.entry(record.target).or_default().push_back(record);
    }
    let mut known = BTreeSet::new();
    for Sent { batch, received_ms } in sent {
        let partition = batch
            .counts
            .first()
            .map(|count| count.source.partition(PARTITIONS));
        if known.insert((batch.boot_id, partition, batch.sequence)) {
            judge.batch(batch, *received_ms);
        }
    }
    judge.verdict()
}

impl Judge {
    fn batch(&mut self, batch: &TelemetryBatch, received_ms: (i64, i64)) {
        for event in &batch.events {
            // An upstream that fails everybody is to blame itself.
            if event.status >= 500 && event.upstream == BROKEN {
                continue;
            }
            let source = Prefix::single(event.client);
            self.see(
                source,
                Reason::ErrorFlood,
                event.at_ms,
                1,
                event.learned_from,
                received_ms,
            );
        }
        for count in &batch.counts {
            let (source, at_ms) = (count.source, count.at_ms);
            self.see(
                source,
                Reason::RequestFlood,
                at_ms,
                count.requests,
                count.learned_from,
                received_ms,
            );
        }
    }

    fn see(
        &mut self,
        source: Prefix,
        rule: Reason,
        at_ms: i64,
        n: u32,
        learned_from: LearnedFrom,
        received_ms: (i64, i64),
    ) {
        let log = self.logs.entry(source).or_default();
        if log.ignored_before.is_some_and(|until| at_ms < until) {
            return;
        }
        let (window, threshold) = match rule {
            Reason::ErrorFlood => (&mut log.errors, ERRORS),
            _ => (&mut log.requests, REQUESTS),
        };
        let Some((count, latest)) = window.add(at_ms, n) else {
            return;
        };
        log.closest = log.closest.max(count * 100 / threshold);
        if count >= threshold {
            log.errors.times.clear();
            log.requests.times.clear();
            self.found(&Found {
                source,
                rule,
                count,
                at_ms: latest,
                learned_from,
                received_ms,
            });
        }
    }

    fn found(&mut self, found: &Found) {
        let source = found.source;
        if self.protected.covers(&source) {
            let found = self
                .verdict
                .suppressed
                .entry((source, found.rule.name().to_owned()));
            *found.or_default() += 1;
            return;
        }
        let record = self.audited.get_mut(&source).and_then(VecDeque::pop_front);
        let Some(log) = self.logs.get_mut(&source) else {
            return;
        };
        let strikes = log.bans;
        let Some(record) = record else {
            let missing = format!(
                "{source} was not banned: {} at {}",
                found.rule.name(),
                rfc3339(found.at_ms)
            );
            self.verdict.differences.push(missing);
            return;
        };
        log.bans += 1;
        if let Decision::Ban { expires_at_ms, .. } = record.decision {
            log.ignored_before = Some(expires_at_ms);
        }
        if let Some(difference) = found.difference(&record, strikes, self.terms) {
            self.verdict.differences.push(difference);
        }
        self.verdict.bans.insert((source, strikes), record);
    }

    fn verdict(mut self) -> Verdict {
        for (source, records) in self.audited.iter().filter(|(_, records)| !records.is_empty()) {
            let extra = format!("{source} was banned for nothing: {records:?}");
            self.verdict.differences.push(extra);
        }
        let close = self
            .logs
            .iter()
            .filter(|(_, log)| (90..100).contains(&log.closest));
        self.verdict.just_below = close.map(|(source, _)| *source).collect();
        self.verdict
    }
}

impl Found {
    /// In what the record of the ban is not what it should be.
    fn difference(&self, record: &AuditRecord, before: u32, terms: Terms) -> Option<String> {
        let Decision::Ban {
            reason,
            expires_at_ms,
            strikes,
            evidence,
            layer,
            ..
        } = &record.decision
        else {
            return Some(format!("not a ban: {record:?}"));
        };
        let first = match self.rule {
            Reason::ErrorFlood => terms.error_flood,
            _ => terms.request_flood,
        };
        let length_ms = i64::try_from(first.as_millis()).ok()? << before;
        let (earliest, latest) = self.received_ms;
        let in_time = (earliest + length_ms..=latest + length_ms).contains(expires_at_ms);
        let evidence = evidence.map(|evidence| (evidence.count as usize, evidence.at_ms));
        let as_found = (*reason, *strikes, *layer, evidence, in_time)
            == (
                self.rule,
                before,
                self.learned_from.layer(),
                Some((self.count, self.at_ms)),
                true,
            );
        (!as_found).then(|| {
            format!(
                "{}: {} {} at {} with {before} strikes, received {}, for {length_ms} ms; the audit says {record:?}",
                self.source,
                self.count,
                self.rule.name(),
                rfc3339(self.at_ms),
                rfc3339(earliest),
            )
        })
    }
}
