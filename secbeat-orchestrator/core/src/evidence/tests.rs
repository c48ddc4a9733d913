//! The journal beside a list that keeps everything, and the findings.

use std::time::Duration;

use proptest::prelude::*;
use secbeat_common::{
    prefix::Prefix,
    wire::{
        Layer, LearnedFrom, MatchedSignature, Scope, SeenEvent, SeenWhat, Severity, TelemetryEvent,
        UNREADABLE, WafEvent, WafOutcome, WafRule,
    },
};

use super::*;
use crate::{
    analyzers::{Action, Counted, Finding, Rule, Why},
    ledger::{Refusal, Suppression},
};

/// The `n`th of few clients, some of which share a source, at `at_ms`.
fn answer(n: u8, at_ms: i64, path: String) -> TelemetryEvent {
    let client = match n % 3 {
        0 => format!("198.51.100.{n}"),
        1 => format!("2001:db8:{n}::{n}"),
        _ => format!("2001:db8::{n}"),
    };
    TelemetryEvent {
        client: client.parse().unwrap(),
        at_ms,
        status: 400 + u16::from(n),
        upstream: 0,
        learned_from: [LearnedFrom::Peer, LearnedFrom::Header, LearnedFrom::ProxyProtocol]
            [usize::from(n % 3)],
        method: ["GET", "POST", ""][usize::from(n % 3)].to_owned(),
        path,
        host: format!("{n}.example"),
        user_agent: "curl/8".to_owned(),
        signatures: match n % 2 {
            0 => Vec::new(),
            _ => vec![signature("env-file"), signature("vcs-x")],
        },
        cross_site: n % 2 == 1,
    }
}

fn signature(id: &str) -> MatchedSignature {
    MatchedSignature {
        id: id.to_owned(),
        class: "sensitive-file".to_owned(),
        severity: "high".to_owned(),
    }
}

fn seen(edge: &str, event: &TelemetryEvent) -> SeenEvent {
    SeenEvent {
        at_ms: event.at_ms,
        edge: edge.to_owned(),
        client: event.client,
        learned_from: event.learned_from,
        what: SeenWhat::Answer {
            status: event.status,
            method: event.method.clone(),
            user_agent: event.user_agent.clone(),
        },
        path: event.path.clone(),
        host: event.host.clone(),
        signatures: event.signatures.clone(),
        cross_site: event.cross_site,
    }
}

#[test]
fn of_many_signatures_the_first_that_fit_are_kept() {
    let mut journal = Journal::new(1 << 16);
    let mut event = answer(1, 1000, "/a".to_owned());
    event.signatures = vec![signature(&"x".repeat(40)); 8];
    let source = note(&mut journal, &event);
    let kept: Vec<_> = journal.of(&source).map(|event| event.signatures).collect();
    assert_eq!(kept, [&event.signatures[..4]]);
}

#[test]
fn a_line_that_could_not_be_read_is_evidence_under_its_name() {
    let mut journal = Journal::new(1 << 16);
    let event = TelemetryEvent {
        status: UNREADABLE,
        ..answer(1, 1000, "/a".to_owned())
    };
    let source = note(&mut journal, &event);
    let what: Vec<_> = journal.of(&source).map(|event| event.what).collect();
    let unreadable = SeenWhat::Unreadable {
        method: "POST".to_owned(),
        user_agent: "curl/8".to_owned(),
    };
    assert_eq!(what, [unreadable]);
}

fn note(journal: &mut Journal, event: &TelemetryEvent) -> Prefix {
    let source = Prefix::single(event.client);
    journal.answer(&source, event.at_ms, "edge-1", event);
    source
}

/// Every event of `source` in `all`, the latest to come first.
fn naive(all: &[TelemetryEvent], source: Prefix) -> impl Iterator<Item = SeenEvent> {
    let of_it = all
        .iter()
        .rev()
        .filter(move |event| Prefix::single(event.client) == source);
    of_it.map(|event| seen("edge-1", event))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn of_every_source_the_latest_events_are_found_as_a_list_of_all_has_them(
        events in prop::collection::vec((0..40_u8, any::<i64>(), 0..300_usize), 1..1500),
    ) {
        let mut journal = Journal::new(MIN_MEMORY);
        let mut all = Vec::new();
        for (n, at_ms, len) in events {
            let path = format!("/{n}/{}", "xé".repeat(len));
            let event = answer(n, at_ms, wire::cut(&path).to_owned());
            note(&mut journal, &event);
            all.push(event);
        }
        let kept = &all[all.len() - journal.len()..];
        // Some 400 places; of the longest texts there are fewer.
        prop_assert!(kept.len() >= all.len().min(50), "{} of {}", kept.len(), all.len());
        for n in 0..40 {
            let source = Prefix::single(answer(n, 0, String::new()).client);
            let found: Vec<_> = journal.of(&source).collect();
            prop_assert_eq!(found, naive(kept, source).collect::<Vec<_>>());
        }
    }
}

#[test]
fn short_texts_leave_as_many_events_as_there_are_places() {
    let mut journal = Journal::new(MIN_MEMORY);
    assert!(journal.is_empty());
    for n in 0..100_000 {
        note(&mut journal, &answer(n as u8, n, String::new()));
    }
    assert_eq!((journal.len(), journal.noted()), (MIN_MEMORY / 160, 100_000));
}

#[test]
fn what_a_firewall_reported_is_told_apart() {
    let mut journal = Journal::new(MIN_MEMORY);
    let event = WafEvent {
        client: "198.51.100.7".parse().unwrap(),
        at_ms: 1,
        learned_from: LearnedFrom::Peer,
        outcome: WafOutcome::Blocked,
        rules: vec![WafRule {
            id: 942_100,
            severity: Some(Severity::Critical),
        }],
        anomaly_score: Some(5),
        message: "é".repeat(100),
        uri: "/login".to_owned(),
        host: "example.org".to_owned(),
    };
    let source = Prefix::single(event.client);
    journal.waf(&source, 7, "edge-2", &event);
    let expected = SeenEvent {
        at_ms: 7,
        edge: "edge-2".to_owned(),
        client: event.client,
        learned_from: LearnedFrom::Peer,
        what: SeenWhat::Waf {
            rule: Some(942_100),
            outcome: WafOutcome::Blocked,
            message: "é".repeat(64),
        },
        path: "/login".to_owned(),
        host: "example.org".to_owned(),
        signatures: Vec::new(),
        cross_site: false,
    };
    assert_eq!(journal.of(&source).collect::<Vec<_>>(), [expected]);
}

#[test]
fn a_source_in_the_bucket_of_a_busy_one_costs_a_bounded_walk() {
    let mut journal = Journal::new(DEFAULT_MEMORY);
    let quiet = note(&mut journal, &answer(0, 0, String::new()));
    let busy = answer(3, 0, String::new());
    for _ in 0..100_000 {
        note(&mut journal, &busy);
    }
    assert_eq!(journal.of(&Prefix::single(busy.client)).count(), 20_000);
    assert!(journal.of(&quiet).count() <= 1);
}

fn finding(source: &str, at_ms: i64) -> Finding {
    Finding {
        source: source.parse().unwrap(),
        rule: Rule::ErrorFlood,
        at_ms,
        layer: Layer::Kernel,
        why: Why::Threshold {
            count: 50,
            counted: Counted::Errors,
            window: Duration::from_secs(60),
        },
        action: Action::Ban,
        ban: None,
        scope: Scope::Fleet,
    }
}

#[test]
fn findings_are_listed_by_source_and_rule_the_latest_first() {
    let mut findings = Findings::default();
    for n in 0..10_500 {
        findings.note(
            &finding(&format!("10.0.{}.{}", n >> 8, n & 255), n),
            Outcome::AlreadyBanned,
        );
    }
    let list = |source: &str, rule: &str| {
        let filter = FindingFilter {
            source: Some(source.parse().unwrap()),
            rule: Some(rule.parse().unwrap()),
        };
        findings.list(filter).take(3).cloned().collect::<Vec<_>>()
    };
    let all: Vec<_> = findings.list(FindingFilter::default()).collect();
    assert_eq!((all.len(), all[0].at_ms, all[9_999].at_ms), (10_000, 10_499, 500));
    let times: Vec<_> = list("10.0.40.0/24", "error-flood")
        .iter()
        .map(|found| found.at_ms)
        .collect();
    assert_eq!(times, [10_495, 10_494, 10_493]);
    assert_eq!(list("10.0.40.0/24", "request-flood"), []);
    assert_eq!(list("10.0.0.1", "error-flood"), [], "past the bound");
}

#[test]
fn a_loud_protected_source_fills_one_line_and_not_the_list() {
    let mut findings = Findings::default();
    let net = "10.0.0.1/32".parse().unwrap();
    let why = || Outcome::Suppressed(Suppression::Protected(Refusal::Protected(net)));
    findings.note(&finding("10.0.0.2", 1), Outcome::AlreadyBanned);
    for at_ms in 2..=100 {
        findings.note(&finding("10.0.0.1", at_ms), why());
    }
    let list: Vec<_> = findings.list(FindingFilter::default()).collect();
    assert_eq!(list.len(), 2);
    assert_eq!((list[0].at_ms, list[0].times), (100, 99));
    assert_eq!((list[1].at_ms, list[1].times), (1, 1));
}
