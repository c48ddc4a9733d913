//! Rules over clients of one provider.

use std::net::IpAddr;

use secbeat_common::wire::{ServiceClass, ServiceEvent};

use super::*;

fn rule(action: Action) -> RuleConfig {
    RuleConfig {
        rule: Rule::Own("own".parse().unwrap()),
        counts: Counts::ServiceEvents(ServiceFilter {
            class: ServiceClass::AuthFailure,
            services: Vec::new(),
        }),
        filter: Match::default(),
        also: Vec::new(),
        excluded: Vec::new(),
        distinct: Some(Distinct::Clients),
        threshold: threshold(5, 60_000),
        ban: None,
        labels: Labels::new(),
        action,
    }
}

/// One that takes the second octet of an address for the number of its provider.
fn detector(action: Action) -> Detector {
    let config = DetectConfig {
        rules: vec![rule(action)],
        ..DetectConfig::default()
    };
    let of = |source: &Prefix| match source.addr() {
        IpAddr::V4(addr) => Some(u32::from(addr.octets()[1])),
        IpAddr::V6(_) => None,
    };
    Detector::new(config).with_providers(Providers::new(of))
}

/// What follows a login of `client` that a service refused `after_ms` after the start.
fn fails(detector: &mut Detector, client: [u8; 4], after_ms: i64) -> Option<Finding> {
    let at_ms = START + after_ms;
    let event = ServiceEvent {
        client: client.into(),
        at_ms,
        learned_from: PEER,
        class: ServiceClass::AuthFailure,
        service: "sshd".to_owned(),
        kind: "failed-password".to_owned(),
        user: String::new(),
    };
    detector.observe_service(&event, at_ms)
}

/// `count` clients of the provider 18 fail once each.
fn fail_once(detector: &mut Detector, count: u8) {
    for n in 1..=count {
        assert_eq!(fails(detector, [198, 18, 0, n], i64::from(n)), None);
    }
}

#[test]
fn clients_of_one_provider_are_found_one_by_one_once_they_are_many() {
    let mut detector = detector(Action::Ban);
    fail_once(&mut detector, 5);
    let found = fails(&mut detector, [198, 18, 0, 1], 100).unwrap();
    assert_eq!(found.source.to_string(), "198.18.0.1/32");
    assert_eq!(found.why.to_string(), "5 clients of one provider in 60s");
    assert_eq!(
        fails(&mut detector, [198, 18, 0, 9], 200),
        None,
        "its first password that was wrong"
    );
    assert!(fails(&mut detector, [198, 18, 0, 9], 300).is_some());
    let other: Vec<_> = (0..9)
        .filter_map(|n| fails(&mut detector, [198, 19, 0, 1], 400 + n))
        .collect();
    assert_eq!(other, [], "a client of another provider");
    let windows = detector.windows(&source(2), START + 400);
    assert_eq!((windows[0].count, windows[0].threshold), (5, 5));
    let idle = detector.windows(&source(77), START + 400);
    assert_eq!(idle[0].count, 0, "a client that did nothing");
    let elsewhere = Prefix::single([198, 19, 0, 1].into());
    assert_eq!(detector.windows(&elsewhere, START + 400)[0].count, 1);
}

#[test]
fn few_clients_find_nobody_however_often_they_fail() {
    let mut detector = detector(Action::Ban);
    for round in 0..20 {
        for n in 1..=4 {
            assert_eq!(fails(&mut detector, [198, 18, 0, n], round * 100), None);
        }
    }
}

#[test]
fn clients_count_for_one_window() {
    let mut detector = detector(Action::Ban);
    fail_once(&mut detector, 5);
    // All but the last are a minute old; of the last, this is the second.
    assert_eq!(fails(&mut detector, [198, 18, 0, 5], 60_004), None);
    assert_eq!(fails(&mut detector, [198, 18, 0, 5], 60_004), None);
    for n in 6..=8 {
        assert_eq!(fails(&mut detector, [198, 18, 0, n], 60_010), None);
    }
    assert_eq!(
        fails(&mut detector, [198, 18, 0, 5], 60_020),
        None,
        "four are left"
    );
    assert_eq!(fails(&mut detector, [198, 18, 0, 9], 60_030), None);
    assert!(fails(&mut detector, [198, 18, 0, 5], 60_040).is_some());
}

#[test]
fn a_finding_has_the_time_of_its_client_and_what_was_long_before_finds_nobody() {
    let mut detector = detector(Action::Ban);
    for n in 1..=5 {
        assert_eq!(fails(&mut detector, [198, 18, 0, n], 50_000), None);
    }
    // As if its partition came again from the beginning of the window.
    for after_ms in [0, 1, 19_999] {
        assert_eq!(fails(&mut detector, [198, 18, 0, 9], after_ms), None);
    }
    // Partitions are never quite as far as each other.
    let found = fails(&mut detector, [198, 18, 0, 9], 20_000).unwrap();
    assert_eq!(found.at_ms, START + 20_000);
}

#[test]
fn a_dry_run_finds_the_others_too() {
    let mut detector = detector(Action::Observe);
    fail_once(&mut detector, 5);
    for n in 1..=5 {
        let found = fails(&mut detector, [198, 18, 0, n], 100).unwrap();
        assert_eq!(found.action, Action::Observe);
    }
}

#[test]
fn of_a_client_whose_provider_nobody_knows_nothing_follows() {
    let mut knows = detector(Action::Ban);
    let mut knows_none = Detector::new(DetectConfig {
        rules: vec![rule(Action::Ban)],
        ..DetectConfig::default()
    });
    for n in 1..=9 {
        for at_ms in 0..3 {
            assert_eq!(fails(&mut knows_none, [198, 18, 0, n], at_ms), None);
            let event = ServiceEvent {
                client: IpAddr::from([0x2001, 0xdb8, 0, u16::from(n), 0, 0, 0, 1]),
                at_ms: START + at_ms,
                learned_from: PEER,
                class: ServiceClass::AuthFailure,
                service: "sshd".to_owned(),
                kind: "failed-password".to_owned(),
                user: String::new(),
            };
            assert_eq!(knows.observe_service(&event, event.at_ms), None);
        }
    }
}

#[test]
fn what_left_the_window_is_forgotten() {
    let mut detector = detector(Action::Ban);
    fail_once(&mut detector, 5);
    detector.cleanup(START + 60_000);
    assert_eq!(detector.windows(&source(1), START + 5)[0].count, 5);
    detector.cleanup(START + 60_005);
    assert_eq!(detector.windows(&source(1), START + 5)[0].count, 0);
}
