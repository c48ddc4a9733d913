//! Reach of a ban, by the number of edges that support it.
//!
//! Telemetry is an edge's word. A compromised edge can report of any visitor what it likes, so with `agreeing` = k above 1 no
//! edge's word alone bans on all edges: reports of one edge count for at most a k-th of a rule's threshold towards that. A ban
//! that lacks the others' word is enforced where it was seen, on the edges that reported a k-th of the threshold by themselves,
//! until others have seen as much.
//!
//! Each edge has a [`Detector`] of its own for this, with a k-th of each threshold, so that all that rules say of requests is
//! true here too. With k = 1 there is nothing to count, and no [`Agreement`].

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
};

use secbeat_common::{
    prefix::Prefix,
    subjects::PARTITIONS,
    wire::{Interest, Reason, Scope},
};

use super::{
    Action, Analyzer, AnalyzerStats, DetectConfig, Excused, Finding, Observation, Reset, Rule, Schedule,
    Seen, WindowCount, threshold::Detector,
};
use crate::millis;

/// For each edge so many times fewer sources are watched than for the fleet: an edge sees a part of them.
const PART_OF_SOURCES: usize = 8;

/// Wraps an analyzer: its findings ban on all edges only where enough edges agree.
#[derive(Debug)]
pub struct Agreement<A> {
    inner: A,
    /// For each edge.
    config: DetectConfig,
    /// How much one edge's word counts at most, and what all have to make up, by rule.
    shares: HashMap<Rule, Share>,
    edges: HashMap<String, Detector>,
    /// Edges that have said all they can of a source, until their word is too old.
    words: HashMap<Prefix, Vec<EdgeReport>>,
    schedule: Schedule,
}

#[derive(Clone, Copy, Debug)]
struct Share {
    most: u64,
    needed: u64,
}

/// A ban that one edge's reports support.
#[derive(Clone, Debug)]
struct EdgeReport {
    edge: String,
    /// `None` if the source is banned on this edge alone.
    rule: Option<Rule>,
    until_ms: i64,
}

impl<A: Analyzer> Agreement<A> {
    /// Wraps `inner`, whose rules are those of `config`; `agreeing` edges have to agree. Quiet sources are forgotten by
    /// `schedule`.
    #[must_use]
    pub fn new(inner: A, config: &DetectConfig, agreeing: NonZeroU32, schedule: Schedule) -> Self {
        let agreeing = agreeing.get();
        let mut config = config.clone();
        config.max_sources /= PART_OF_SOURCES;
        let mut shares = HashMap::new();
        for rule in &mut config.rules {
            let threshold = rule.threshold.count.get();
            let most = threshold.div_ceil(agreeing);
            // More than all but one of them can say, for thresholds that cannot be shared out evenly.
            let needed = threshold.max((agreeing - 1).saturating_mul(most) + 1);
            let share = Share {
                most: u64::from(most),
                needed: u64::from(needed),
            };
            shares.insert(rule.rule, share);
            rule.threshold.count = NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN);
            // One that bans would empty the windows of the others.
            rule.action = Action::Observe;
        }
        Self {
            inner,
            config,
            shares,
            edges: HashMap::new(),
            words: HashMap::new(),
            schedule,
        }
    }

    /// Whether `source` is banned on `edge` already, though not on all: what that edge reports adds nothing, and must not start
    /// the others' count from zero.
    fn has_said_enough(&self, source: &Prefix, edge: &str, at_ms: i64) -> bool {
        let words = self.words.get(source).map_or(&[][..], Vec::as_slice);
        words
            .iter()
            .any(|word| word.rule.is_none() && word.edge == edge && word.until_ms > at_ms)
    }

    fn note(&mut self, edge: &str, source: Prefix, rule: Option<Rule>, until_ms: i64) {
        let words = self.words.entry(source).or_default();
        match words
            .iter_mut()
            .find(|word| word.edge == edge && word.rule == rule)
        {
            Some(word) => word.until_ms = word.until_ms.max(until_ms),
            None => words.push(EdgeReport {
                edge: edge.to_owned(),
                rule,
                until_ms,
            }),
        }
    }

    /// Returns where a ban that follows from `finding`, which the report of `reporter` completed, is to be enforced.
    fn scope(&self, finding: &Finding, reporter: &str) -> Scope {
        let Some(share) = self.shares.get(&finding.rule) else {
            return Scope::of_edges(vec![reporter.to_owned()]);
        };
        let words = self.words.get(&finding.source).map_or(&[][..], Vec::as_slice);
        let holds = |word: &&EdgeReport| {
            word.until_ms > finding.at_ms && word.rule.is_none_or(|rule| rule == finding.rule)
        };
        let said: HashSet<&str> = words
            .iter()
            .filter(holds)
            .map(|word| word.edge.as_str())
            .collect();
        let reason: Reason = finding.rule.into();
        let mut agreeing: Vec<String> = said.iter().map(|edge| (*edge).to_owned()).collect();
        let mut sum = share.most * agreeing.len() as u64;
        for (edge, detector) in self
            .edges
            .iter()
            .filter(|(edge, _)| !said.contains(edge.as_str()))
        {
            let windows = detector.windows(&finding.source, finding.at_ms);
            let count = windows
                .iter()
                .find(|window| window.rule == reason)
                .map_or(0, |window| window.count.min(share.most));
            sum += count;
            if count == share.most {
                agreeing.push(edge.clone());
            }
        }
        if sum >= share.needed {
            return Scope::Fleet;
        }
        if agreeing.is_empty() {
            // What each has seen of it is less than its share, or was forgotten.
            agreeing.push(reporter.to_owned());
        }
        agreeing.sort();
        Scope::of_edges(agreeing)
    }
}

impl<A: Analyzer> Analyzer for Agreement<A> {
    fn interest(&self) -> Interest {
        self.inner.interest()
    }

    fn expect(&mut self, sources: &mut dyn Iterator<Item = Prefix>) {
        self.inner.expect(sources);
    }

    fn observe(&mut self, seen: &Observation<'_>, findings: &mut Vec<Finding>) {
        let (source, at_ms) = match seen.seen {
            Seen::Event(sighting, _) | Seen::Requests(sighting, _) | Seen::Answer(sighting, _) => {
                (sighting.source, sighting.at_ms)
            }
            Seen::Waf(event, at_ms) => (self.config.sources.of(event.client), at_ms),
            Seen::Service(event, at_ms) => (self.config.sources.of(event.client), at_ms),
        };
        if self.has_said_enough(&source, seen.edge, at_ms) {
            return;
        }
        let detector = match self.edges.get_mut(seen.edge) {
            Some(detector) => detector,
            None => self
                .edges
                .entry(seen.edge.to_owned())
                .or_insert_with(|| Detector::new(self.config.clone())),
        };
        if let Some(finding) = detector.observe(&seen.seen) {
            let until_ms = finding.at_ms.saturating_add(millis(finding.window()));
            self.note(seen.edge, finding.source, Some(finding.rule), until_ms);
        }
        let known = findings.len();
        self.inner.observe(seen, findings);
        for finding in findings.iter_mut().skip(known) {
            finding.scope = self.scope(finding, seen.edge);
        }
    }

    fn reset(&mut self, target: Prefix, reset: Reset) {
        match reset {
            // It is banned everywhere now.
            Reset::Banned { .. } => {
                if let Some(words) = self.words.get_mut(&target) {
                    words.retain(|word| word.rule.is_some());
                }
            }
            Reset::Lifted { until_ms } => {
                self.words
                    .retain(|source, _| !target.covers(source) && *source != target);
                for detector in self.edges.values_mut() {
                    detector.forget(target, until_ms);
                }
            }
            Reset::Observed { .. } => {}
        }
        self.inner.reset(target, reset);
    }

    fn banned_on(&mut self, target: Prefix, edges: &[String], until_ms: i64) {
        // Of a ban that this one takes the place of.
        if let Some(words) = self.words.get_mut(&target) {
            words.retain(|word| word.rule.is_some());
        }
        for edge in edges {
            self.note(edge, target, None, until_ms);
        }
        self.inner.banned_on(target, edges, until_ms);
    }

    fn forget_partition(&mut self, partition: u16) {
        self.words
            .retain(|source, _| source.partition(PARTITIONS) != partition);
        for detector in self.edges.values_mut() {
            detector.forget_partition(partition);
        }
        self.inner.forget_partition(partition);
    }

    fn tick(&mut self, now_ms: i64, findings: &mut Vec<Finding>) {
        if let Some(before_ms) = self.schedule.due(now_ms) {
            self.edges.retain(|_, detector| {
                detector.cleanup(before_ms);
                detector.tracked() > 0
            });
            self.words.retain(|_, words| {
                words.retain(|word| word.until_ms > before_ms);
                !words.is_empty()
            });
        }
        self.inner.tick(now_ms, findings);
    }

    fn windows(&self, source: &Prefix, now_ms: i64) -> Vec<WindowCount> {
        self.inner.windows(source, now_ms)
    }

    fn excused(&self, source: &Prefix) -> Option<Excused> {
        self.inner.excused(source)
    }

    fn well_behaved(&self, now_ms: i64) -> u64 {
        self.inner.well_behaved(now_ms)
    }

    fn stats(&self) -> AnalyzerStats {
        self.inner.stats()
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::LearnedFrom;

    use super::*;
    use crate::analyzers::{Request, Sighting, ThresholdAnalyzer, Upstreams};

    const NOW: i64 = 1_795_168_800_000;
    const SCHEDULE: Schedule = Schedule::new(60_000, 0);

    /// A fleet in which `agreeing` edges have to agree.
    fn fleet(agreeing: u32) -> Agreement<ThresholdAnalyzer> {
        let config = DetectConfig::default();
        let inner = ThresholdAnalyzer::new(config.clone(), SCHEDULE);
        Agreement::new(inner, &config, NonZeroU32::new(agreeing).unwrap(), SCHEDULE)
    }

    /// `n` errors of a source that `edge` reports, and how far the ban of the last finding reaches.
    fn errors(
        fleet: &mut Agreement<ThresholdAnalyzer>,
        edge: &str,
        source: &str,
        n: u32,
        at_ms: i64,
    ) -> Option<Scope> {
        let sighting = Sighting {
            source: source.parse().unwrap(),
            at_ms,
            upstream: Upstreams::default().intern("any", "site"),
            learned_from: LearnedFrom::Peer,
        };
        let request = Request {
            status: 404,
            method: "GET",
            path: "/missing",
            host: "",
            user_agent: "",
            signatures: &[],
        };
        let seen = Seen::Event(sighting, request);
        let mut findings = Vec::new();
        for _ in 0..n {
            fleet.observe(&Observation { edge, seen }, &mut findings);
        }
        findings.pop().map(|finding| finding.scope)
    }

    fn only(edges: &[&str]) -> Option<Scope> {
        Some(Scope::of_edges(edges.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn what_one_edge_saw_bans_there_alone() {
        assert_eq!(errors(&mut fleet(2), "a", "203.0.113.7", 50, NOW), only(&["a"]));
    }

    #[test]
    fn a_word_of_one_edge_and_a_request_at_another_ban_nobody_there() {
        let mut fleet = fleet(2);
        assert_eq!(errors(&mut fleet, "liar", "203.0.113.7", 49, NOW), None);
        assert_eq!(errors(&mut fleet, "b", "203.0.113.7", 1, NOW), only(&["liar"]));
        assert_eq!(errors(&mut fleet, "liar", "203.0.113.8", 49, NOW), None);
        assert_eq!(
            errors(&mut fleet, "b", "203.0.113.8", 1, NOW + 1),
            only(&["liar"]),
            "however much it says"
        );
    }

    #[test]
    fn what_enough_edges_saw_bans_everywhere_however_it_is_spread() {
        let mut fleet = fleet(2);
        assert_eq!(errors(&mut fleet, "a", "203.0.113.7", 25, NOW), None);
        assert_eq!(
            errors(&mut fleet, "b", "203.0.113.7", 25, NOW),
            Some(Scope::Fleet)
        );
        for edge in ["a", "b", "c", "d"] {
            assert_eq!(errors(&mut fleet, edge, "203.0.113.8", 10, NOW), None);
        }
        assert_eq!(
            errors(&mut fleet, "e", "203.0.113.8", 10, NOW),
            Some(Scope::Fleet)
        );
    }

    #[test]
    fn edges_agree_one_after_the_other_for_as_long_as_the_ban_lasts() {
        let mut fleet = fleet(2);
        let source = "203.0.113.7/32".parse().unwrap();
        assert_eq!(errors(&mut fleet, "a", "203.0.113.7", 50, NOW), only(&["a"]));
        fleet.banned_on(source, &["a".to_owned()], NOW + 300_000);
        assert_eq!(
            errors(&mut fleet, "b", "203.0.113.7", 50, NOW + 299_000),
            Some(Scope::Fleet)
        );
        let until_ms = NOW + 299_000;
        fleet.reset(source, Reset::Lifted { until_ms });
        assert_eq!(
            errors(&mut fleet, "b", "203.0.113.7", 50, NOW + 299_500),
            only(&["b"]),
            "an unban takes back all words"
        );
    }

    #[test]
    fn an_edge_that_bans_a_source_adds_nothing_until_that_ban_is_over_or_reaches_all() {
        let mut fleet = fleet(2);
        let source = "203.0.113.7/32".parse().unwrap();
        fleet.banned_on(source, &["a".to_owned()], NOW + 1_000);
        assert_eq!(errors(&mut fleet, "a", "203.0.113.7", 500, NOW), None);
        assert_eq!(
            fleet.windows(&source, NOW)[0].count,
            0,
            "the others' count begins anew otherwise"
        );
        assert_eq!(
            errors(&mut fleet, "a", "203.0.113.7", 50, NOW + 1_000),
            only(&["a"]),
            "the ban is over"
        );
        fleet.banned_on(source, &["b".to_owned()], NOW + 9_000);
        let (until_ms, layer) = (NOW + 2_000, secbeat_common::wire::Layer::Kernel);
        fleet.reset(source, Reset::Banned { until_ms, layer });
        assert_eq!(errors(&mut fleet, "b", "203.0.113.7", 49, NOW + 3_000), None);
        assert_eq!(
            fleet.windows(&source, NOW + 3_000)[0].count,
            49,
            "the fleet's ban is over"
        );
    }

    #[test]
    fn a_word_is_forgotten_with_its_window() {
        let mut fleet = fleet(2);
        assert_eq!(errors(&mut fleet, "a", "203.0.113.7", 50, NOW), only(&["a"]));
        assert_eq!(
            errors(&mut fleet, "b", "203.0.113.7", 50, NOW + 61_000),
            only(&["b"])
        );
        let mut tick = |now_ms| {
            fleet.tick(now_ms, &mut Vec::new());
            (fleet.words.len(), fleet.edges.len())
        };
        assert_eq!(tick(NOW), (1, 2), "begins to count the interval");
        assert_eq!(tick(NOW + 61_000), (1, 1));
        assert_eq!(tick(NOW + 122_000), (0, 0));
    }

    #[test]
    fn thresholds_that_cannot_be_shared_out_need_more_than_all_but_one_can_say() {
        // Five WAF events among four edges: two each at most, and three edges make up six.
        for share in fleet(4).shares.values() {
            assert!(share.needed > share.most * 3);
            assert!(share.needed <= share.most * 4);
        }
    }
}
