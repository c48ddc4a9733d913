//! How far a ban reaches: on whose word.
//!
//! Telemetry is an edge's word. One that was taken over can say of any visitor what it likes, so with `agreeing` = k above 1 no
//! edge's word alone bans on all edges: reports of one edge count for at most a k-th of a rule's threshold towards that. What a
//! finding lacks then holds where it was seen, on the edges that reported a k-th of the threshold by themselves, until others have
//! seen as much.
//!
//! Each edge has a [`Detector`] of its own for this, with a k-th of each threshold, so that all that rules say of requests holds
//! here too. With k = 1 there is nothing to count, and no [`Corroboration`].

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
};

use secbeat_common::{
    prefix::Prefix,
    subjects::PARTITIONS,
    wire::{Reason, Scope, WafEvent},
};

use crate::{
    detect::{Action, DetectConfig, Detector, Finding, Request, Rule, Sighting, Tally},
    millis,
};

/// For each edge so many times fewer sources are watched than for the fleet: an edge sees a part of them.
const PART_OF_SOURCES: usize = 8;

/// What each edge has said by itself.
#[derive(Debug)]
pub struct Corroboration {
    /// For each edge.
    config: DetectConfig,
    /// What counts of one edge's word at most, and what all have to make up, by rule.
    shares: HashMap<Rule, Share>,
    edges: HashMap<String, Detector>,
    /// Edges that have said all they can of a source, until their word is too old.
    words: HashMap<Prefix, Vec<Word>>,
}

#[derive(Clone, Copy, Debug)]
struct Share {
    most: u64,
    needed: u64,
}

#[derive(Clone, Debug)]
struct Word {
    edge: String,
    /// `None` for all.
    rule: Option<Rule>,
    until_ms: i64,
}

impl Corroboration {
    /// `None` if one edge's word is enough.
    #[must_use]
    pub fn new(config: &DetectConfig, agreeing: NonZeroU32) -> Option<Self> {
        let agreeing = agreeing.get();
        if agreeing == 1 {
            return None;
        }
        let mut config = config.clone();
        config.max_sources /= PART_OF_SOURCES;
        let mut shares = HashMap::new();
        for rule in &mut config.rules {
            let threshold = rule.threshold.count.get();
            let most = threshold.div_ceil(agreeing);
            // More than all but one of them can say, for thresholds that cannot be shared out evenly.
            let needed = threshold.max((agreeing - 1).saturating_mul(most) + 1);
            shares.insert(
                rule.rule,
                Share {
                    most: u64::from(most),
                    needed: u64::from(needed),
                },
            );
            rule.threshold.count = NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN);
            // One that bans would empty the windows of the others.
            rule.action = Action::Observe;
        }
        Some(Self {
            config,
            shares,
            edges: HashMap::new(),
            words: HashMap::new(),
        })
    }

    /// As [`Detector::observe_event`], reported by `edge`.
    pub fn event(&mut self, edge: &str, sighting: Sighting, request: &Request<'_>) {
        self.observe(edge, |detector| detector.observe_event(sighting, request));
    }

    /// As [`Detector::observe_requests`], reported by `edge`.
    pub fn requests(&mut self, edge: &str, sighting: Sighting, tally: Tally) {
        self.observe(edge, |detector| detector.observe_requests(sighting, tally));
    }

    /// As [`Detector::observe_waf`], reported by `edge`.
    pub fn waf(&mut self, edge: &str, event: &WafEvent, at_ms: i64) {
        self.observe(edge, |detector| detector.observe_waf(event, at_ms));
    }

    fn observe(&mut self, edge: &str, observe: impl FnOnce(&mut Detector) -> Option<Finding>) {
        let detector = match self.edges.get_mut(edge) {
            Some(detector) => detector,
            None => self
                .edges
                .entry(edge.to_owned())
                .or_insert_with(|| Detector::new(self.config.clone())),
        };
        if let Some(finding) = observe(detector) {
            let until_ms = finding.at_ms.saturating_add(millis(finding.window));
            self.hear(edge, finding.source, Some(finding.rule), until_ms);
        }
    }

    fn hear(&mut self, edge: &str, source: Prefix, rule: Option<Rule>, until_ms: i64) {
        let words = self.words.entry(source).or_default();
        match words
            .iter_mut()
            .find(|word| word.edge == edge && word.rule == rule)
        {
            Some(word) => word.until_ms = word.until_ms.max(until_ms),
            None => words.push(Word {
                edge: edge.to_owned(),
                rule,
                until_ms,
            }),
        }
    }

    /// Where a ban that follows from `finding`, which the report of `reporter` completed, is to hold.
    #[must_use]
    pub fn reach(&self, finding: &Finding, reporter: &str) -> Scope {
        let Some(share) = self.shares.get(&finding.rule) else {
            return Scope::Edges(vec![reporter.to_owned()]);
        };
        let words = self.words.get(&finding.source).map_or(&[][..], Vec::as_slice);
        let holds =
            |word: &&Word| word.until_ms > finding.at_ms && word.rule.is_none_or(|rule| rule == finding.rule);
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
        Scope::Edges(agreeing)
    }

    /// `source` is banned on `edges` until then: what they have said counts as long.
    pub fn hold(&mut self, source: Prefix, edges: &[String], until_ms: i64) {
        for edge in edges {
            self.hear(edge, source, None, until_ms);
        }
    }

    /// `target` was unbanned at `at_ms`, as in [`Detector::forget`].
    pub fn forget(&mut self, target: Prefix, at_ms: i64) {
        self.words
            .retain(|source, _| !target.covers(source) && *source != target);
        for detector in self.edges.values_mut() {
            detector.forget(target, at_ms);
        }
    }

    /// Somebody else watches `partition` now.
    pub fn forget_partition(&mut self, partition: u16) {
        self.words
            .retain(|source, _| source.partition(PARTITIONS) != partition);
        for detector in self.edges.values_mut() {
            detector.forget_partition(partition);
        }
    }

    /// As [`Detector::cleanup`].
    pub fn cleanup(&mut self, now_ms: i64) {
        self.edges.retain(|_, detector| {
            detector.cleanup(now_ms);
            detector.tracked() > 0
        });
        self.words.retain(|_, words| {
            words.retain(|word| word.until_ms > now_ms);
            !words.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::LearnedFrom;

    use super::*;
    use crate::detect::Upstreams;

    const NOW: i64 = 1_795_168_800_000;

    /// A fleet: the detector of all edges, and what each has said.
    struct Fleet {
        detector: Detector,
        corroboration: Corroboration,
    }

    impl Fleet {
        fn new(agreeing: u32) -> Self {
            let config = DetectConfig::default();
            Self {
                detector: Detector::new(config.clone()),
                corroboration: Corroboration::new(&config, NonZeroU32::new(agreeing).unwrap()).unwrap(),
            }
        }

        /// `n` errors of a source that `edge` reports, and how far the ban of the last finding reaches.
        fn errors(&mut self, edge: &str, source: &str, n: u32, at_ms: i64) -> Option<Scope> {
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
            };
            let mut reach = None;
            for _ in 0..n {
                self.corroboration.event(edge, sighting, &request);
                if let Some(finding) = self.detector.observe_event(sighting, &request) {
                    reach = Some(self.corroboration.reach(&finding, edge));
                }
            }
            reach
        }
    }

    fn only(edges: &[&str]) -> Option<Scope> {
        Some(Scope::Edges(edges.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn one_edges_word_is_enough_unless_told_otherwise() {
        assert!(Corroboration::new(&DetectConfig::default(), NonZeroU32::MIN).is_none());
    }

    #[test]
    fn what_one_edge_saw_bans_there_alone() {
        let mut fleet = Fleet::new(2);
        assert_eq!(fleet.errors("a", "203.0.113.7", 50, NOW), only(&["a"]));
    }

    #[test]
    fn a_word_of_one_edge_and_a_request_at_another_ban_nobody_there() {
        let mut fleet = Fleet::new(2);
        assert_eq!(fleet.errors("liar", "203.0.113.7", 49, NOW), None);
        assert_eq!(fleet.errors("b", "203.0.113.7", 1, NOW), only(&["liar"]));
        assert_eq!(fleet.errors("liar", "203.0.113.8", 49, NOW), None);
        assert_eq!(
            fleet.errors("b", "203.0.113.8", 1, NOW + 1),
            only(&["liar"]),
            "however much it says"
        );
    }

    #[test]
    fn what_enough_edges_saw_bans_everywhere_however_it_is_spread() {
        let mut fleet = Fleet::new(2);
        assert_eq!(fleet.errors("a", "203.0.113.7", 25, NOW), None);
        assert_eq!(fleet.errors("b", "203.0.113.7", 25, NOW), Some(Scope::Fleet));
        for edge in ["a", "b", "c", "d"] {
            assert_eq!(fleet.errors(edge, "203.0.113.8", 10, NOW), None);
        }
        assert_eq!(fleet.errors("e", "203.0.113.8", 10, NOW), Some(Scope::Fleet));
    }

    #[test]
    fn edges_agree_one_after_the_other_for_as_long_as_the_ban_lasts() {
        let mut fleet = Fleet::new(2);
        let source = "203.0.113.7/32".parse().unwrap();
        assert_eq!(fleet.errors("a", "203.0.113.7", 50, NOW), only(&["a"]));
        fleet.corroboration.hold(source, &["a".to_owned()], NOW + 300_000);
        assert_eq!(
            fleet.errors("b", "203.0.113.7", 50, NOW + 299_000),
            Some(Scope::Fleet)
        );
        fleet.corroboration.forget(source, NOW + 299_000);
        assert_eq!(
            fleet.errors("b", "203.0.113.7", 50, NOW + 299_500),
            only(&["b"]),
            "an unban takes back all words"
        );
    }

    #[test]
    fn a_word_is_forgotten_with_its_window() {
        let mut fleet = Fleet::new(2);
        assert_eq!(fleet.errors("a", "203.0.113.7", 50, NOW), only(&["a"]));
        assert_eq!(fleet.errors("b", "203.0.113.7", 50, NOW + 61_000), only(&["b"]));
        fleet.corroboration.cleanup(NOW + 61_000);
        assert_eq!(fleet.corroboration.words.len(), 1);
        fleet.corroboration.cleanup(NOW + 122_000);
        assert!(fleet.corroboration.words.is_empty() && fleet.corroboration.edges.is_empty());
    }

    #[test]
    fn thresholds_that_cannot_be_shared_out_need_more_than_all_but_one_can_say() {
        // Five WAF events among four edges: two each at most, and three edges make up six.
        let corroboration =
            Corroboration::new(&DetectConfig::default(), NonZeroU32::new(4).unwrap()).unwrap();
        for share in corroboration.shares.values() {
            assert!(share.needed > share.most * 3);
            assert!(share.needed <= share.most * 4);
        }
    }
}
