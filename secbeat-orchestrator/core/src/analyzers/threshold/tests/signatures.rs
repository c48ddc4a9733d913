//! Rules over signatures.

use secbeat_common::wire::{LearnedFrom, MatchedSignature};

use super::super::{
    Action, Counted, Counts, DetectConfig, Detector, Request, Rule, RuleConfig, Sighting, SignatureFilter,
    Upstreams,
};
use crate::analyzers::Finding;

fn matched(id: &str, class: &str, severity: &str) -> MatchedSignature {
    MatchedSignature {
        id: id.to_owned(),
        class: class.to_owned(),
        severity: severity.to_owned(),
    }
}

fn detector(rules: Vec<RuleConfig>) -> Detector {
    Detector::new(DetectConfig {
        rules,
        ..DetectConfig::default()
    })
}

/// What follows a request of one client at `at_ms` that was answered with `status`.
fn observe(
    detector: &mut Detector,
    at_ms: i64,
    status: u16,
    signatures: &[MatchedSignature],
) -> Option<Finding> {
    let sighting = Sighting {
        source: "203.0.113.7/32".parse().unwrap(),
        at_ms,
        upstream: Upstreams::default().intern("edge", "log"),
        learned_from: LearnedFrom::Peer,
    };
    let request = Request {
        status,
        method: "GET",
        path: "/",
        signatures,
        ..Request::default()
    };
    detector.observe_event(sighting, &request)
}

fn preset(rule: Rule) -> RuleConfig {
    RuleConfig::preset(rule).unwrap()
}

#[test]
fn three_different_signatures_are_a_probe_and_one_three_times_is_none() {
    let mut detector = detector(vec![preset(Rule::Probe)]);
    let env = [matched("env-file", "sensitive-file", "high")];
    for n in 0..10 {
        assert_eq!(observe(&mut detector, n, 200, &env), None);
    }
    assert_eq!(
        observe(&mut detector, 10, 404, &[matched("git-config", "vcs", "high")]),
        None
    );
    // What ordinary programs may ask for does not count.
    assert_eq!(
        observe(
            &mut detector,
            11,
            404,
            &[matched("wp-readme", "info-leak", "info")]
        ),
        None
    );
    let found = observe(&mut detector, 12, 200, &[matched("xss-alert", "xss", "high")]).unwrap();
    assert_eq!(
        (found.rule, found.count(), found.action),
        (Rule::Probe, 3, Action::Ban)
    );
    assert_eq!(found.why.to_string(), "3 distinct signatures in 60s");
}

#[test]
fn one_request_can_match_all_three() {
    let mut detector = detector(vec![preset(Rule::Probe)]);
    let three = ["a", "b", "c"].map(|id| matched(id, "sqli", "high"));
    assert_eq!(observe(&mut detector, 0, 200, &three).unwrap().rule, Rule::Probe);
}

#[test]
fn signatures_further_apart_than_the_window_are_no_probe() {
    let mut detector = detector(vec![preset(Rule::Probe)]);
    for (at_ms, id) in [(0, "a"), (59_999, "b"), (60_000, "c"), (119_998, "a")] {
        let found = observe(&mut detector, at_ms, 404, &[matched(id, "sqli", "high")]);
        assert_eq!(found.is_some(), at_ms == 119_998, "{at_ms}");
    }
}

#[test]
fn a_critical_one_is_an_attack_that_is_only_observed() {
    let mut detector = detector(vec![preset(Rule::Attack)]);
    assert_eq!(
        observe(&mut detector, 0, 404, &[matched("a", "sqli", "high")]),
        None
    );
    let found = observe(&mut detector, 1, 404, &[matched("b", "rce", "critical")]).unwrap();
    assert_eq!((found.rule, found.action), (Rule::Attack, Action::Observe));
}

#[test]
fn a_scanner_is_found_by_its_agent() {
    let mut detector = detector(vec![preset(Rule::Scanner)]);
    let research = matched("agent-research", "scanner-agent", "info");
    assert_eq!(observe(&mut detector, 0, 200, &[research]), None);
    let found = observe(
        &mut detector,
        1,
        200,
        &[matched("agent-sqlmap", "scanner-agent", "high")],
    );
    assert_eq!(found.unwrap().rule, Rule::Scanner);
}

#[test]
fn lists_select_and_exclude_signatures() {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let signature = matched("a", "sqli", "high");
    for (classes, severities, ids, excluded_ids, expected) in [
        (&[][..], &[][..], &[][..], &[][..], true),
        (&["sqli", "xss"], &["high"], &["a", "b"], &["c"], true),
        (&["xss"], &[], &[], &[], false),
        (&[], &["critical"], &[], &[], false),
        (&[], &[], &["b"], &[], false),
        (&[], &[], &[], &["a"], false),
    ] {
        let filter = SignatureFilter {
            classes: words(classes),
            severities: words(severities),
            ids: words(ids),
            excluded_ids: words(excluded_ids),
        };
        assert_eq!(filter.holds(&signature), expected, "{filter:?}");
        let mut rule = preset(Rule::Attack);
        rule.counts = Counts::Signatures(filter);
        assert_eq!(rule.counted(), Counted::Signatures);
        let found = observe(
            &mut detector(vec![rule]),
            0,
            200,
            std::slice::from_ref(&signature),
        );
        assert_eq!(found.is_some(), expected);
    }
}
