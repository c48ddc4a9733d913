//! Behaviour of the whole detector.

mod guard;
mod naive_guard;
mod oracle;
mod outages;
mod providers;
mod rules;
mod signatures;

use std::{net::Ipv4Addr, num::NonZeroU32, time::Duration};

use secbeat_common::{
    rules::{Exclusion, Match},
    wire::{Labels, Layer, LearnedFrom, Scope, Severity, WafEvent, WafOutcome, WafRule},
};

use super::*;
use crate::analyzers::{Finding, Why};

const PEER: LearnedFrom = LearnedFrom::Peer;
/// 2026-11-20T10:00:00Z.
const START: i64 = 1_795_168_800_000;

fn source(n: u32) -> Prefix {
    Prefix::single(Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + n).into())
}

fn at(source: Prefix, at_ms: i64) -> Sighting {
    Sighting {
        source,
        at_ms,
        upstream: UpstreamId(0),
        learned_from: LearnedFrom::Peer,
    }
}

fn status(status: u16) -> Request<'static> {
    Request {
        status,
        ..Request::default()
    }
}

/// The default rules, some with other thresholds.
fn config(thresholds: &[(Rule, Threshold)]) -> DetectConfig {
    let mut rules = RuleConfig::defaults();
    for rule in &mut rules {
        if let Some((_, threshold)) = thresholds.iter().find(|(of, _)| *of == rule.rule) {
            rule.threshold = *threshold;
        }
    }
    DetectConfig {
        rules,
        ..DetectConfig::default()
    }
}

fn threshold(count: u32, window_ms: u64) -> Threshold {
    Threshold {
        count: NonZeroU32::new(count).unwrap(),
        window: Duration::from_millis(window_ms),
    }
}

/// A transaction of `source` that a firewall only detected, with a rule that counts by default or none.
fn waf_event(source: Prefix, learned_from: LearnedFrom, counts: bool) -> WafEvent {
    let severity = if counts {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let rule = |id| WafRule {
        id,
        severity: Some(severity),
    };
    WafEvent {
        client: source.addr(),
        at_ms: 0,
        learned_from,
        outcome: WafOutcome::Detected,
        rules: vec![rule(920_350), rule(942_100)],
        anomaly_score: None,
        message: String::new(),
        uri: String::new(),
        host: String::new(),
    }
}

#[test]
fn test_error_flood_triggers_block() {
    let mut detector = Detector::new(DetectConfig::default());
    for n in 0..49 {
        assert_eq!(
            detector.observe_event(at(source(7), START + n * 1000), &status(404)),
            None,
            "error {}",
            n + 1
        );
    }
    let expected = Finding {
        source: source(7),
        rule: Rule::ErrorFlood,
        at_ms: START + 49_000,
        layer: Layer::Kernel,
        why: Why::Threshold {
            count: 50,
            counted: Counted::Errors,
            window: Duration::from_secs(60),
        },
        action: Action::Ban,
        ban: None,
        scope: Scope::Fleet,
    };
    assert_eq!(
        detector.observe_event(at(source(7), START + 49_000), &status(404)),
        Some(expected)
    );
}

#[test]
fn test_request_flood_triggers_block() {
    let mut detector = Detector::new(DetectConfig::default());
    for n in 0..999 {
        assert_eq!(
            detector.observe_answer(at(source(7), START + n * 60), &status(200)),
            None,
            "request {}",
            n + 1
        );
    }
    let found = detector
        .observe_answer(at(source(7), START + 999 * 60), &status(200))
        .unwrap();
    assert_eq!(
        (found.rule, found.count(), found.at_ms),
        (Rule::RequestFlood, 1000, START + 999 * 60)
    );
}

#[test]
fn the_fifth_waf_event_in_a_window_is_a_finding_and_those_that_do_not_count_are_none() {
    let mut detector = Detector::new(DetectConfig::default());
    for n in 0..4 {
        assert_eq!(
            detector.observe_waf(&waf_event(source(7), PEER, false), START + n),
            None
        );
        let counted = detector.observe_waf(&waf_event(source(7), PEER, true), START + n * 15_000);
        assert_eq!(counted, None, "event {}", n + 1);
    }
    let fifth = waf_event(source(7), PEER, true);
    assert_eq!(
        detector.observe_waf(&fifth, START + 60_000),
        None,
        "the first has left the window"
    );
    let expected = Finding {
        source: source(7),
        rule: Rule::WafFlood,
        at_ms: START + 60_001,
        layer: Layer::Kernel,
        why: Why::Threshold {
            count: 5,
            counted: Counted::WafEvents,
            window: Duration::from_secs(60),
        },
        action: Action::Ban,
        ban: None,
        scope: Scope::Fleet,
    };
    assert_eq!(detector.observe_waf(&fifth, START + 60_001), Some(expected));
    assert_eq!(detector.observe_waf(&fifth, START + 60_002), None, "emptied");
}

#[test]
fn waf_events_of_a_source_that_only_a_header_names_are_a_finding_at_l7() {
    let mut detector = Detector::new(DetectConfig::default());
    let event = waf_event(source(7), LearnedFrom::Header, true);
    let mut findings = (0..5).filter_map(|n| detector.observe_waf(&event, START + n));
    assert_eq!(findings.next().map(|found| found.layer), Some(Layer::L7));
}

#[test]
fn waf_events_do_not_count_as_errors_nor_errors_as_waf_events() {
    let config = config(&[
        (Rule::ErrorFlood, threshold(2, 1000)),
        (Rule::WafFlood, threshold(2, 1000)),
    ]);
    let mut detector = Detector::new(config);
    let event = waf_event(source(7), PEER, true);
    assert_eq!(detector.observe_waf(&event, START), None);
    assert_eq!(detector.observe_event(at(source(7), START), &status(403)), None);
    let found = detector.observe_waf(&event, START + 1).map(|found| found.rule);
    assert_eq!(found, Some(Rule::WafFlood));
    assert_eq!(
        detector.observe_event(at(source(7), START + 1), &status(403)),
        None,
        "the finding emptied all windows"
    );
}

#[test]
fn test_cleanup_removes_inactive_ips() {
    let mut detector = Detector::new(DetectConfig::default());
    detector.observe_event(at(source(1), START), &status(404));
    detector.observe_answer(at(source(2), START + 1), &status(200));
    detector.ignore_until(source(3), START + 300_000, Layer::Kernel);
    assert_eq!(detector.cleanup(START + 59_999), 0);
    assert_eq!(detector.cleanup(START + 60_000), 1, "the first left (0, 60] s");
    assert_eq!(detector.cleanup(START + 60_001), 1);
    assert_eq!(detector.tracked(), 1);
    assert_eq!(detector.cleanup(START + 299_999), 0, "still banned");
    assert_eq!(detector.cleanup(START + 300_000), 1);
    assert_eq!(detector.tracked(), 0);
}

#[test]
fn the_well_behaved_are_those_seen_lately_and_not_banned() {
    let mut detector = Detector::new(DetectConfig::default());
    for n in 0..100 {
        detector.ignore_until(source(n), START, Layer::Kernel);
    }
    for n in 0..1000 {
        for ms in 0..3 {
            detector.observe_answer(at(source(n), START + ms), &status(404));
        }
    }
    assert_eq!(detector.well_behaved(START + 1000), 900);
    assert_eq!(detector.well_behaved(START + 200_000), 0);
}

#[test]
fn fifty_errors_in_more_than_a_window_are_no_finding() {
    let mut detector = Detector::new(DetectConfig::default());
    for n in 0..500 {
        assert_eq!(
            detector.observe_event(at(source(7), START + n * 1225), &status(404)),
            None,
            "49 in any 60 s"
        );
    }
}

#[test]
fn a_tally_is_judged_as_a_whole() {
    let mut detector = Detector::new(DetectConfig::default());
    let tally = |requests| Tally {
        requests,
        errors: 0,
        server_errors: 0,
    };
    assert_eq!(detector.observe_requests(at(source(7), START), tally(900)), None);
    let found = detector
        .observe_requests(at(source(7), START + 200), tally(900))
        .unwrap();
    assert_eq!(
        (found.rule, found.count(), found.at_ms),
        (Rule::RequestFlood, 1800, START + 200)
    );
    assert_eq!(
        detector.observe_requests(at(source(7), START + 200), tally(0)),
        None
    );
}

#[test]
fn an_answer_that_crosses_both_thresholds_is_an_error_flood_and_empties_both_windows() {
    let config = config(&[
        (Rule::ErrorFlood, threshold(3, 1000)),
        (Rule::RequestFlood, threshold(3, 1000)),
    ]);
    let mut detector = Detector::new(config);
    for _ in 0..2 {
        assert_eq!(detector.observe_answer(at(source(7), START), &status(404)), None);
    }
    assert_eq!(
        detector
            .observe_answer(at(source(7), START), &status(404))
            .map(|f| f.rule),
        Some(Rule::ErrorFlood)
    );
    for _ in 0..2 {
        assert_eq!(detector.observe_answer(at(source(7), START), &status(404)), None);
    }
}

#[test]
fn only_counted_statuses_are_errors() {
    let mut config = config(&[(Rule::ErrorFlood, threshold(1, 1000))]);
    config.rules[0].excluded = vec![Exclusion {
        filter: Match {
            statuses: vec!["404".parse().unwrap()],
            ..Match::default()
        },
        ..Exclusion::default()
    }];
    let mut detector = Detector::new(config);
    // 499 and 0: the client gave up.
    for code in [0, 100, 200, 301, 304, 399, 404, 499, 600, 65535] {
        assert_eq!(
            detector.observe_event(at(source(7), START), &status(code)),
            None,
            "{code}"
        );
    }
    for code in [400, 403, 429, 444, 498] {
        assert!(
            detector
                .observe_event(at(source(7), START), &status(code))
                .is_some(),
            "{code}"
        );
    }
}

#[test]
fn an_outage_bans_no_visitor_and_a_prober_of_a_healthy_backend_is_found() {
    let mut detector = Detector::new(DetectConfig::default());
    for n in 0..2000 {
        let visitor = source(u32::try_from(n % 20).unwrap());
        assert_eq!(
            detector.observe_answer(at(visitor, START + n * 30), &status(502)),
            None,
            "outage"
        );
    }
    assert_eq!(detector.stats().excused, 2000);
    let healthy = START + 100_000;
    for n in 0..49 {
        assert_eq!(
            detector.observe_answer(at(source(1), healthy + n * 100), &status(200)),
            None
        );
        assert_eq!(
            detector.observe_answer(at(source(9), healthy + n * 100), &status(500)),
            None
        );
    }
    assert!(
        detector
            .observe_answer(at(source(9), healthy + 5_000), &status(500))
            .is_some()
    );
}

#[test]
fn a_ban_ignores_its_time_and_no_more() {
    let mut detector = Detector::new(config(&[(Rule::ErrorFlood, threshold(2, 1000))]));
    detector.observe_event(at(source(7), START), &status(404));
    detector.ignore_until(source(7), START + 500, Layer::Kernel);
    for ms in [1, 2, 499] {
        assert_eq!(
            detector.observe_event(at(source(7), START + ms), &status(404)),
            None,
            "banned"
        );
    }
    assert_eq!(
        detector.observe_event(at(source(7), START + 500), &status(404)),
        None,
        "the first that counts"
    );
    assert!(
        detector
            .observe_event(at(source(7), START + 501), &status(404))
            .is_some()
    );
}

#[test]
fn an_unban_forgets_the_past_and_starts_anew() {
    let mut detector = Detector::new(config(&[(Rule::ErrorFlood, threshold(2, 1000))]));
    detector.ignore_until(source(7), START + 300_000, Layer::Kernel);
    detector.forget(source(7), START + 100);
    assert_eq!(
        detector.observe_event(at(source(7), START + 99), &status(404)),
        None,
        "on its way during the unban"
    );
    assert_eq!(
        detector.observe_event(at(source(7), START + 100), &status(404)),
        None,
        "same"
    );
    assert_eq!(
        detector.observe_event(at(source(7), START + 101), &status(404)),
        None,
        "the first that counts"
    );
    assert!(
        detector
            .observe_event(at(source(7), START + 102), &status(404))
            .is_some()
    );
}

#[test]
fn the_unban_of_a_network_forgets_the_past_of_all_in_it_and_of_nobody_else() {
    let mut detector = Detector::new(config(&[(Rule::ErrorFlood, threshold(2, 1000))]));
    let net = Prefix::new(source(7).addr(), 31).unwrap();
    let sources = [source(6), source(7), source(8)];
    detector.ignore_until(net, START + 300_000, Layer::Kernel);
    assert_eq!(detector.tracked(), 0, "a network is no source");
    for source in sources {
        assert_eq!(detector.observe_event(at(source, START), &status(404)), None);
    }
    detector.forget(net, START + 1);
    let found = sources.map(|source| {
        detector
            .observe_event(at(source, START + 2), &status(404))
            .is_some()
    });
    assert_eq!(found, [false, false, true]);
}

#[test]
fn the_unban_of_a_network_holds_for_whoever_is_seen_in_it_only_later() {
    let mut detector = Detector::new(config(&[(Rule::ErrorFlood, threshold(2, 1000))]));
    let net = Prefix::new(source(7).addr(), 31).unwrap();
    // As when a partition is read again from before the unban.
    detector.forget(net, START + 100);
    // Each source has errors of its own, since an error that all get counts against nobody.
    let of = |n: u32| status(400 + n as u16);
    let mut error = |n, at_ms| detector.observe_event(at(source(n), at_ms), &of(n)).is_some();
    let times = [START + 98, START + 99, START + 100, START + 101, START + 102];
    assert_eq!(
        times.map(|at_ms| error(7, at_ms)),
        [false, false, false, false, true]
    );
    assert_eq!(
        times.map(|at_ms| error(8, at_ms)),
        [false, true, false, true, false]
    );
    detector.cleanup(START + 100);
    let found = |detector: &mut Detector, n| {
        let times = [START + 99, START + 100];
        times.map(|at_ms| detector.observe_event(at(source(n), at_ms), &of(n)).is_some())
    };
    assert_eq!(found(&mut detector, 6), [false, false], "may still come");
    detector.cleanup(START + 101);
    let net = Prefix::new(source(16).addr(), 31).unwrap();
    detector.forget(net, START + 100);
    (0..16).for_each(|partition| detector.forget_partition(partition));
    assert_eq!(
        found(&mut detector, 16),
        [false, true],
        "forgotten with its partition"
    );
}

#[test]
fn wider_sources_are_counted_and_forgotten_as_one() {
    let mut detector = Detector::new(DetectConfig {
        sources: SourceLengths::new(24, 48).unwrap(),
        ..config(&[(Rule::ErrorFlood, threshold(2, 1000))])
    });
    let net: Prefix = "198.51.100.0/24".parse().unwrap();
    assert_eq!(detector.sources().of("198.51.100.7".parse().unwrap()), net);
    for narrower in ["198.51.100.7", "198.51.0.0/16", "2001:db8:1:2::/64"] {
        let sighting = at(narrower.parse().unwrap(), START);
        assert_eq!(detector.observe_event(sighting, &status(404)), None);
    }
    assert_eq!(detector.tracked(), 0, "no sources here");
    let mut error = |source: Prefix, at_ms| detector.observe_event(at(source, at_ms), &status(404));
    assert_eq!(error(net, START), None);
    let found = error(net, START + 1).unwrap();
    assert_eq!((found.source, found.count()), (net, 2));
    assert_eq!(error(net, START + 2), None);
    detector.forget("198.51.100.7".parse().unwrap(), START + 2);
    let view = detector.windows(&net, START + 2);
    assert_eq!(view[0].count, 1, "a part of a source is none");
    detector.forget(net, START + 2);
    assert_eq!(detector.windows(&net, START + 2)[0].count, 0);
    assert_eq!(detector.observe_event(at(net, START + 3), &status(404)), None);
    detector.forget("198.51.0.0/16".parse().unwrap(), START + 3);
    assert_eq!(detector.windows(&net, START + 3)[0].count, 0);
}

#[test]
fn a_flood_of_unique_addresses_does_not_push_out_a_source_about_to_cross() {
    let mut detector = Detector::new(DetectConfig {
        max_sources: 160,
        ..Default::default()
    });
    for n in 0..49 {
        detector.observe_answer(at(source(0), START + n), &status(404));
    }
    for n in 1..=20_000 {
        let now = START + 50 + i64::from(n) / 10;
        detector.observe_event(at(source(n), now), &status(403));
        detector.observe_requests(
            at(source(n), now),
            Tally {
                requests: 1,
                errors: 0,
                server_errors: 0,
            },
        );
    }
    assert!(detector.tracked() <= 160);
    assert!(detector.evicted() >= 19_000, "{}", detector.evicted());
    let found = detector
        .observe_answer(at(source(0), START + 5_000), &status(404))
        .unwrap();
    assert_eq!((found.source, found.count()), (source(0), 50));
}

fn forwarded(source: Prefix, at_ms: i64) -> Sighting {
    Sighting {
        learned_from: LearnedFrom::Header,
        ..at(source, at_ms)
    }
}

#[test]
fn one_sighting_as_a_peer_within_the_window_makes_a_finding_the_kernels() {
    let config = config(&[(Rule::ErrorFlood, threshold(3, 1000))]);
    let layer = |sightings: [Sighting; 3]| {
        let mut detector = Detector::new(config.clone());
        let findings = sightings.map(|sighting| detector.observe_event(sighting, &status(404)));
        assert_eq!(findings[..2], [None, None]);
        findings[2].as_ref().unwrap().layer
    };
    let (s, t) = (source(7), START);
    for (sightings, expected) in [
        ([forwarded(s, t), forwarded(s, t), forwarded(s, t)], Layer::L7),
        ([forwarded(s, t), at(s, t), forwarded(s, t)], Layer::Kernel),
        (
            [at(s, t + 1), forwarded(s, t + 2), forwarded(s, t + 1000)],
            Layer::Kernel,
        ),
    ] {
        assert_eq!(layer(sightings), expected, "{sightings:?}");
    }
    // A request as a peer that has left the window is no evidence any more.
    let mut detector = Detector::new(config);
    detector.observe_answer(at(s, t), &status(200));
    for n in 1..3 {
        assert_eq!(detector.observe_event(forwarded(s, t + n), &status(404)), None);
    }
    let found = detector
        .observe_event(forwarded(s, t + 1000), &status(404))
        .unwrap();
    assert_eq!(found.layer, Layer::L7);
}

#[test]
fn a_source_banned_at_l7_is_still_judged_by_what_it_does_as_a_peer() {
    let mut detector = Detector::new(config(&[(Rule::ErrorFlood, threshold(3, 1000))]));
    let s = source(7);
    detector.ignore_until(s, START + 10_000, Layer::L7);
    for n in 0..100 {
        assert_eq!(
            detector.observe_event(forwarded(s, START + n), &status(404)),
            None
        );
    }
    for n in 0..2 {
        assert_eq!(detector.observe_event(at(s, START + n), &status(403)), None);
    }
    let found = detector.observe_event(at(s, START + 2), &status(403)).unwrap();
    assert_eq!((found.count(), found.layer), (3, Layer::Kernel));

    detector.ignore_until(s, START + 10_000, Layer::Kernel);
    for n in 0..100 {
        assert_eq!(detector.observe_event(at(s, START + n), &status(403)), None);
    }
    detector.ignore_until(s, START + 10_000, Layer::L7);
    detector.forget(s, START + 20);
    for n in 21..23 {
        assert_eq!(
            detector.observe_event(forwarded(s, START + n), &status(404)),
            None
        );
    }
    assert!(
        detector
            .observe_event(forwarded(s, START + 23), &status(404))
            .is_some(),
        "an unban ends that, too"
    );
}

#[test]
fn windows_tell_how_far_a_source_is_under_each_rule() {
    let mut detector = Detector::new(DetectConfig::default());
    let counts = |detector: &Detector, n, now_ms| {
        let windows = detector.windows(&source(n), now_ms).into_iter();
        windows
            .map(|window| (window.rule.name().to_owned(), window.count, window.threshold))
            .collect::<Vec<_>>()
    };
    let rules = |errors, requests, waf| {
        [
            ("error-flood".to_owned(), errors, 50),
            ("request-flood".to_owned(), requests, 1000),
            ("waf-flood".to_owned(), waf, 5),
            ("probe".to_owned(), 0, 3),
            ("attack".to_owned(), 0, 1),
        ]
    };
    for n in 0..10 {
        detector.observe_answer(at(source(1), START + n), &status(404));
    }
    detector.observe_answer(at(source(1), START + 30_000), &status(200));
    detector.observe_waf(&waf_event(source(1), PEER, true), START + 30_000);
    assert_eq!(counts(&detector, 1, START + 30_000), rules(10, 11, 1));
    assert_eq!(
        counts(&detector, 1, START + 60_004),
        rules(5, 6, 1),
        "at the clock, not at the latest event"
    );
    assert_eq!(counts(&detector, 1, START + 90_000), rules(0, 0, 0));
    assert_eq!(counts(&detector, 2, START), rules(0, 0, 0), "never seen");
}
