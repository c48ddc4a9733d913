//! One config's analyzer and ledger, and what they made of the lines.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

use ahash::RandomState;
use secbeat_common::{
    prefix::Prefix,
    rules::short_path,
    sources::SourceLengths,
    wire::{LearnedFrom, MatchedSignature, ServiceEvent, cut},
};
use secbeat_logs::LogLine;
use secbeat_orchestrator_core::{
    analyzers::{
        Analyzer as _, DetectConfig, Finding, Observation, Providers, Request, Reset, Schedule, Seen,
        Sighting, ThresholdAnalyzer, UpstreamId, Upstreams,
    },
    ledger::{Brakes, Decision, HeldBack, Ledger, LedgerConfig},
};
use secbeat_signatures::Scratch;
use uuid::Uuid;

use super::{
    answer::{Answer, Told},
    output::{Outcome, Record},
    summary::{RuleVerdicts, Verdicts},
};
use crate::signatures;

/// A config that is tried on logs.
#[derive(Debug)]
pub(crate) struct Trial {
    analyzer: ThresholdAnalyzer,
    /// Whether a rule goes by what good answers were to.
    asks: bool,
    /// What the shipped signatures are looked for with, if a rule counts them.
    signatures: Option<Scratch>,
    sources: SourceLengths,
    ledger: Ledger,
    upstreams: Upstreams,
    /// That were observed.
    requests: u64,
    /// Sources that the analyzer has taken up.
    admitted: u64,
    seen: HashSet<Prefix, RandomState>,
    verdicts: Verdicts,
    /// Whom each rule found.
    found: BTreeMap<String, HashSet<Prefix, RandomState>>,
    /// Findings that were judged, for ids.
    judged: u64,
    /// Time at which the brakes were looked at last, seconds since the Unix epoch.
    looked_s: i64,
    /// Whether they let go of something then, and perhaps of more.
    lets_go: bool,
}

/// Which time a finding is judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Occurrence {
    First,
    /// A brake held it back.
    Again,
}

impl Trial {
    #[must_use]
    pub(crate) fn new(detect: DetectConfig, ledger: LedgerConfig) -> Self {
        let sources = detect.sources;
        // One core judges, so that one partition will do; verdicts are the same. Lines may come in any order, so that nothing
        // is forgotten.
        let detect = DetectConfig {
            partitions: 1,
            ..detect
        };
        let signatures = detect.counts_signatures().then(Scratch::new);
        let analyzer = ThresholdAnalyzer::new(detect, Schedule::new(i64::MAX, i64::MAX)).reproducible();
        Self {
            sources,
            asks: !analyzer.interest().is_empty(),
            signatures,
            analyzer,
            ledger: Ledger::new(ledger),
            upstreams: Upstreams::default(),
            requests: 0,
            admitted: 0,
            seen: HashSet::default(),
            verdicts: Verdicts::default(),
            found: BTreeMap::new(),
            judged: 0,
            looked_s: i64::MIN,
            lets_go: false,
        }
    }

    /// One whose rules over clients of one provider know providers by `providers`.
    #[must_use]
    pub(crate) fn with_providers(self, providers: Providers) -> Self {
        Self {
            analyzer: self.analyzer.with_providers(providers),
            ..self
        }
    }

    /// Judges, as often as an orchestrator does, what a brake has held back and does not any more.
    pub(super) fn let_go(&mut self, at_ms: i64) -> Option<Record> {
        if self.ledger.held_back() == 0 {
            return None;
        }
        let at_s = at_ms.div_euclid(1000);
        if at_s > self.looked_s {
            self.looked_s = at_s;
            self.ledger.forget_stale(at_ms);
        } else if !self.lets_go {
            return None;
        }
        let well_behaved = Some(self.analyzer.well_behaved(at_ms));
        let free = self.ledger.let_go(well_behaved, at_ms);
        self.lets_go = free.is_some();
        let HeldBack { finding, .. } = free?;
        Some(self.judge(&finding, at_ms, Occurrence::Again))
    }

    /// Returns what came of it.
    #[must_use]
    pub(crate) fn finish(mut self) -> Verdicts {
        self.verdicts.sources = self.seen.len();
        for (rule, sources) in self.found {
            self.verdicts.rules.entry(rule).or_default().sources = sources.len();
        }
        self.verdicts
    }

    /// Returns the upstream of that name.
    pub(super) fn upstream(&mut self, name: &str) -> UpstreamId {
        self.upstreams.intern("replay", name)
    }

    /// Returns what it has to be told of answers.
    pub(super) const fn told(&self) -> Told {
        match self.asks || self.signatures.is_some() {
            true => Told::All,
            false => Told::Failures,
        }
    }

    /// Evaluates one answer of an upstream; returns what followed.
    pub(super) fn observe(&mut self, answer: &Answer<'_>, upstream: UpstreamId) -> Option<Record> {
        self.requests += 1;
        let sighting = Sighting {
            source: self.sources.of(answer.client),
            at_ms: answer.at_ms,
            upstream,
            learned_from: LearnedFrom::Peer,
        };
        match answer.line.filter(|_| self.told().is_all_of(answer.status)) {
            Some(line) => self.observe_told(sighting, answer.status, line),
            None => {
                let request = Request {
                    status: answer.status,
                    ..Request::default()
                };
                self.observe_request(sighting, &request)
            }
        }
    }

    /// Evaluates an answer of which all counts that its line tells.
    fn observe_told(&mut self, sighting: Sighting, status: u16, line: &LogLine<'_>) -> Option<Record> {
        let signatures = self.signatures(line);
        let told = !signatures.is_empty() || self.asks || Told::Failures.is_all_of(status);
        let text = |bytes| match told {
            true => text_of(bytes),
            false => Cow::Borrowed(""),
        };
        let host = line.host.as_deref().map(text).unwrap_or_default();
        let user_agent = line.user_agent.as_deref().map(text).unwrap_or_default();
        let path = text(&line.path);
        let request = Request {
            status,
            method: &text(&line.method),
            path: &short_path(&path),
            host: &host,
            user_agent: cut(&user_agent),
            signatures: &signatures,
        };
        self.observe_request(sighting, &request)
    }

    #[inline]
    fn observe_request(&mut self, sighting: Sighting, request: &Request<'_>) -> Option<Record> {
        let finding = self.analyzer.observe_answer(sighting, request);
        let admitted = self.analyzer.admitted();
        if admitted != self.admitted {
            self.admitted = admitted;
            self.seen.insert(sighting.source);
        }
        let finding = finding?;
        let at_ms = finding.at_ms;
        Some(self.judge(&finding, at_ms, Occurrence::First))
    }

    /// Evaluates what a service reported of a client; returns what followed.
    pub(super) fn observe_service(&mut self, event: &ServiceEvent) -> Option<Record> {
        let seen = Observation {
            edge: "",
            seen: Seen::Service(event, event.at_ms),
        };
        let mut findings = Vec::new();
        self.analyzer.observe(&seen, &mut findings);
        self.admitted = self.analyzer.admitted();
        let finding = findings.pop()?;
        let at_ms = finding.at_ms;
        Some(self.judge(&finding, at_ms, Occurrence::First))
    }

    /// Returns how many requests were observed.
    pub(super) const fn requests(&self) -> u64 {
        self.requests
    }

    /// Returns what the request of `line` matches, as an edge would report it.
    fn signatures(&mut self, line: &LogLine<'_>) -> Vec<MatchedSignature> {
        let Some(scratch) = &mut self.signatures else {
            return Vec::new();
        };
        let matcher = signatures::shipped();
        let request = secbeat_signatures::Request {
            method: &line.method,
            target: &line.path,
            status: line.status,
            user_agent: line.user_agent.as_deref().unwrap_or_default(),
            referer: line.referer.as_deref().unwrap_or_default(),
            host: line.host.as_deref().unwrap_or_default(),
            ..secbeat_signatures::Request::default()
        };
        let hits = matcher.find(&request, scratch);
        let signatures = hits.iter().filter_map(|hit| matcher.signature(*hit));
        signatures
            .map(|signature| MatchedSignature {
                id: signature.id.clone(),
                class: signature.class.to_string(),
                severity: signature.severity.to_string(),
            })
            .collect()
    }

    fn judge(&mut self, finding: &Finding, at_ms: i64, which: Occurrence) -> Record {
        self.ledger.expire(at_ms);
        self.judged += 1;
        // The id is never shown; it has to be new, and the same next time.
        let id = Uuid::from_u128(u128::from(self.judged));
        // Whose edge it was, logs do not say.
        let brakes = Brakes {
            well_behaved: Some(self.analyzer.well_behaved(at_ms)),
            edge: None,
            waited: which == Occurrence::Again,
        };
        let record = match self.ledger.judge(finding, brakes, at_ms, id) {
            Decision::Ban(command) => {
                let reset = Reset::Banned {
                    until_ms: command.expires_at_ms,
                    layer: command.layer,
                };
                self.analyzer.reset(finding.source, reset);
                self.ledger.acknowledged(command.id);
                Record::banned(finding, &command)
            }
            Decision::Observed(command) => {
                let reset = Reset::Observed {
                    rule: finding.rule,
                    until_ms: command.expires_at_ms,
                };
                self.analyzer.reset(finding.source, reset);
                Record::banned(finding, &command)
            }
            Decision::AlreadyBanned => Record::suppressed(finding, "already banned".to_owned()),
            Decision::Suppressed(why) => Record::suppressed(finding, why.to_string()),
        };
        self.admitted = self.analyzer.admitted();
        let rule = finding.rule.name();
        let counts = match self.verdicts.rules.get_mut(rule) {
            Some(counts) => counts,
            None => self.verdicts.rules.entry(rule.to_owned()).or_default(),
        };
        let RuleVerdicts {
            findings,
            bans,
            observed,
            suppressed,
            sources: _,
        } = counts;
        let first = u64::from(which == Occurrence::First);
        *findings += first;
        self.verdicts.findings += first;
        let (of_rule, of_all) = match record.outcome() {
            Outcome::Banned => (bans, &mut self.verdicts.bans),
            Outcome::Observed => (observed, &mut self.verdicts.observed),
            Outcome::Suppressed => (suppressed, &mut self.verdicts.suppressed),
        };
        *of_rule += 1;
        *of_all += 1;
        match self.found.get_mut(rule) {
            Some(sources) => sources.insert(finding.source),
            None => self
                .found
                .entry(rule.to_owned())
                .or_default()
                .insert(finding.source),
        };
        record
    }
}

/// As [`String::from_utf8_lossy`], which is slower for what is text, as most is.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}
