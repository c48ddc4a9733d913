//! Rules beyond the two floods.

use super::*;

fn detector(rules: Vec<RuleConfig>) -> Detector {
    Detector::new(DetectConfig {
        rules,
        max_sources: 1000,
        ..DetectConfig::default()
    })
}

fn own(counts: Counts, filter: Match, count: u32) -> RuleConfig {
    RuleConfig {
        rule: Rule::Own("own".parse().unwrap()),
        counts,
        filter,
        also: Vec::new(),
        excluded: Vec::new(),
        distinct: None,
        threshold: threshold(count, 1000),
        ban: None,
        labels: Labels::new(),
        action: Action::Ban,
    }
}

fn errors() -> Counts {
    Counts::Errors
}

const fn missing(path: &str) -> Request<'_> {
    Request {
        status: 404,
        method: "GET",
        path,
        host: "example.org",
        user_agent: "",
        signatures: &[],
    }
}

#[test]
fn a_path_scan_is_twenty_different_missing_paths_and_a_broken_picture_is_none() {
    let mut detector = detector(vec![RuleConfig::preset(Rule::PathScan).unwrap()]);
    for n in 0..200 {
        let path = format!("/picture.png?{n}");
        let found = detector.observe_event(at(source(1), START + n), &missing(&path));
        assert_eq!(found, None, "one path, whatever its query");
    }
    for n in 0..19 {
        let path = format!("/backup-{n}.zip");
        let found = detector.observe_event(at(source(7), START + n), &missing(&path));
        assert_eq!(found, None, "path {}", n + 1);
        let forbidden = Request {
            status: 403,
            ..missing("/somewhere")
        };
        assert_eq!(detector.observe_event(at(source(7), START + n), &forbidden), None);
    }
    let found = detector
        .observe_event(at(source(7), START + 19), &missing("/.env"))
        .unwrap();
    assert_eq!(
        (found.rule, found.why.to_string()),
        (Rule::PathScan, "20 distinct paths in 60s".to_owned())
    );
}

#[test]
fn guessing_passwords_is_ten_refusals_on_paths_of_logins() {
    let mut detector = detector(vec![RuleConfig::preset(Rule::LoginBruteforce).unwrap()]);
    let refused = |status, path| Request {
        status,
        ..missing(path)
    };
    for n in 0..100 {
        for request in [
            refused(401, "/downloads"),
            refused(404, "/login"),
            refused(200, "/login"),
        ] {
            assert_eq!(detector.observe_event(at(source(7), START + n), &request), None);
        }
    }
    for n in 0..9 {
        let request = refused(if n % 2 == 0 { 401 } else { 403 }, "/wp-login.php?redirect=/");
        assert_eq!(
            detector.observe_event(at(source(7), START + n), &request),
            None,
            "{n}"
        );
    }
    let found = detector
        .observe_event(at(source(7), START + 9), &refused(401, "//users/sign_in"))
        .unwrap();
    assert_eq!((found.rule, found.count()), (Rule::LoginBruteforce, 10));
}

#[test]
fn filtered_requests_count_by_events_and_all_requests_by_sums() {
    let posts = Match {
        methods: vec!["POST".parse().unwrap()],
        ..Match::default()
    };
    let all = RuleConfig {
        rule: Rule::RequestFlood,
        ..own(Counts::Requests, Match::default(), 5)
    };
    let mut detector = detector(vec![all, own(Counts::Requests, posts, 3)]);
    let request = |method| Request {
        status: 200,
        method,
        ..missing("/")
    };
    let tally = Tally {
        requests: 2,
        errors: 0,
        server_errors: 0,
    };
    for n in 0..2 {
        let sighting = at(source(7), START + n);
        assert_eq!(detector.observe_event(sighting, &request("GET")), None);
        assert_eq!(detector.observe_event(sighting, &request("POST")), None);
        assert_eq!(detector.observe_requests(sighting, tally), None);
    }
    let found = detector.observe_event(at(source(7), START + 2), &request("POST"));
    assert_eq!(
        found.map(|found| (found.rule.to_string(), found.count())),
        Some(("own".to_owned(), 3))
    );
    for n in 3..5 {
        assert_eq!(
            detector.observe_requests(at(source(7), START + n), tally),
            None,
            "a finding empties all"
        );
    }
    let found = detector.observe_requests(at(source(7), START + 5), tally);
    assert_eq!(
        found.map(|found| (found.rule, found.count())),
        Some((Rule::RequestFlood, 6))
    );
}

#[test]
fn an_outage_counts_for_no_rule_that_names_statuses() {
    let failed = Match {
        statuses: vec!["500-599".parse().unwrap()],
        ..Match::default()
    };
    for counts in [errors(), Counts::Requests] {
        let mut detector = detector(vec![own(counts, failed.clone(), 2)]);
        let bad_gateway = Request {
            status: 502,
            ..missing("/")
        };
        for n in 0..50 {
            assert_eq!(
                detector.observe_answer(at(source(n % 5), START), &bad_gateway),
                None
            );
        }
        assert_eq!(detector.stats().excused, 50);
        let later = START + 10_000;
        for n in 0..100 {
            detector.observe_answer(
                at(source(n % 5), later),
                &Request {
                    status: 200,
                    ..missing("/")
                },
            );
        }
        assert_eq!(detector.observe_answer(at(source(9), later), &bad_gateway), None);
        assert!(
            detector
                .observe_answer(at(source(9), later + 1), &bad_gateway)
                .is_some()
        );
    }
}

#[test]
fn firewalls_events_are_filtered_by_host_and_path() {
    let filter = Match {
        hosts: vec!["*.example.org".parse().unwrap()],
        paths: vec!["/api".parse().unwrap()],
        ..Match::default()
    };
    let mut detector = detector(vec![own(Counts::WafEvents(WafFilter::default()), filter, 1)]);
    let mut finds = |host: &str, uri: &str| {
        let event = WafEvent {
            host: host.to_owned(),
            uri: uri.to_owned(),
            ..waf_event(source(7), PEER, true)
        };
        detector.observe_waf(&event, START).is_some()
    };
    assert!(!finds("example.org", "/api"));
    assert!(!finds("www.example.org", "/"));
    assert!(finds("www.example.org", "/api/v1"));
}

#[test]
fn a_rule_that_observes_finds_as_often_as_it_would_ban_and_hides_no_other() {
    let observing = RuleConfig {
        action: Action::Observe,
        ban: Some(Duration::from_secs(9)),
        ..own(errors(), Match::default(), 2)
    };
    let banning = RuleConfig {
        rule: Rule::ErrorFlood,
        ..own(errors(), Match::default(), 5)
    };
    let mut detector = detector(vec![observing, banning]);
    let mut found = Vec::new();
    for n in 0..8 {
        let sighting = at(source(7), START + n);
        if let Some(finding) = detector.observe_event(sighting, &missing("/")) {
            let observes = finding.action == Action::Observe;
            found.push((n, finding.rule.to_string(), observes, finding.ban));
            if observes {
                detector.observe_until(finding.source, finding.rule, START + 6);
            }
        }
    }
    let ban = Some(Duration::from_secs(9));
    assert_eq!(
        found,
        [
            (1, "own".to_owned(), true, ban),
            (4, "error-flood".to_owned(), false, None),
            (6, "own".to_owned(), true, ban),
        ],
        "the finding that bans empties all windows and what would have been"
    );
}

#[test]
fn a_rule_that_bans_by_now_finds_those_whom_its_dry_run_found() {
    for (action, finds) in [(Action::Observe, false), (Action::Ban, true)] {
        let rule = RuleConfig {
            action,
            ..own(errors(), Match::default(), 1)
        };
        let name = rule.rule;
        let mut detector = detector(vec![rule]);
        detector.observe_until(source(7), name, START + 6);
        let found = detector.observe_event(at(source(7), START), &missing("/"));
        assert_eq!(found.is_some(), finds, "{action:?}");
    }
}

#[test]
fn where_several_rules_fire_on_one_event_the_first_that_bans_is_reported() {
    let named = |rule, action| RuleConfig {
        rule,
        action,
        ..own(errors(), Match::default(), 1)
    };
    let rules = [
        named(Rule::ErrorFlood, Action::Observe),
        named(Rule::PathScan, Action::Ban),
        named(Rule::LoginBruteforce, Action::Ban),
    ];
    let first = |rules: &[RuleConfig]| {
        let mut detector = detector(rules.to_vec());
        detector
            .observe_event(at(source(7), START), &missing("/"))
            .unwrap()
            .rule
    };
    assert_eq!(first(&rules), Rule::PathScan);
    assert_eq!(first(&rules[..1]), Rule::ErrorFlood);
}
