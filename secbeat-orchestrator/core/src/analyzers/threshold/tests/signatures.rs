//! Rules over signatures.

use secbeat_common::wire::{LearnedFrom, MAX_MATCHED, MatchedSignature};

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
    observe_at(detector, at_ms, "/", status, signatures)
}

/// The same of a request of `path`.
fn observe_at(
    detector: &mut Detector,
    at_ms: i64,
    path: &str,
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
        path,
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
fn one_request_counts_once_whatever_it_matches() {
    let mut detector = detector(vec![preset(Rule::Probe), preset(Rule::Attack)]);
    // As the address of a picture on another page may be: asked for again and again, it is one signature.
    let picture = [
        matched("passwd-file", "traversal", "high"),
        matched("dotdot-query", "traversal", "high"),
        matched("xss-alert", "xss", "high"),
    ];
    for n in 0..10 {
        assert_eq!(observe(&mut detector, n, 404, &picture), None);
    }
    let other = [picture[1].clone(), matched("env-file", "sensitive-file", "high")];
    assert_eq!(observe(&mut detector, 10, 404, &other), None);
    let third = [
        matched("wp-readme", "info-leak", "info"),
        matched("git-config", "vcs", "high"),
    ];
    assert_eq!(observe(&mut detector, 11, 404, &third).unwrap().rule, Rule::Probe);
    // What is critical is an attack, however few requests there are.
    let critical = [matched("log4shell", "log4shell", "critical"), picture[0].clone()];
    let found = observe(&mut detector, 12, 404, &critical).unwrap();
    assert_eq!((found.rule, found.action), (Rule::Attack, Action::Observe));
}

#[test]
fn what_a_client_adds_to_all_requests_hides_nothing() {
    let mut detector = detector(vec![preset(Rule::Probe)]);
    let decoy = matched("log4shell", "log4shell", "critical");
    let asked = |id: &str| [decoy.clone(), matched(id, "sensitive-file", "high")];
    assert_eq!(observe(&mut detector, 0, 404, &asked("env-file")), None);
    assert_eq!(observe(&mut detector, 1, 404, &asked("git-config")), None);
    let found = observe(&mut detector, 2, 404, &asked("wp-config")).unwrap();
    assert_eq!((found.rule, found.count()), (Rule::Probe, 3));
}

#[test]
fn so_many_signatures_that_no_more_are_told_hide_no_paths() {
    let mut detector = detector(vec![preset(Rule::Probe)]);
    let full: Vec<_> = (0..MAX_MATCHED)
        .map(|n| matched(&format!("decoy-{n}"), "rce", "critical"))
        .collect();
    for n in 0..10 {
        assert_eq!(observe_at(&mut detector, n, "/picture?n", 404, &full), None);
    }
    // One less is the whole set.
    for path in ["/a", "/b", "/c"] {
        assert_eq!(observe_at(&mut detector, 10, path, 404, &full[1..]), None);
    }
    let found = observe_at(&mut detector, 20, "/.env", 404, &full).unwrap();
    assert_eq!((found.rule, found.count()), (Rule::Probe, 3));
}

#[test]
fn a_scanner_that_says_its_name_is_counted_by_what_it_asks_for() {
    let mut detector = detector(vec![preset(Rule::Probe)]);
    let agent = matched("agent-nikto", "scanner-agent", "high");
    for n in 0..3 {
        assert_eq!(observe(&mut detector, n, 404, std::slice::from_ref(&agent)), None);
    }
    let asked = |id: &str| [agent.clone(), matched(id, "vcs", "low")];
    assert_eq!(observe(&mut detector, 3, 404, &asked("git-config")), None);
    assert_eq!(
        observe(&mut detector, 4, 404, &asked("svn-entries"))
            .unwrap()
            .rule,
        Rule::Probe
    );
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
