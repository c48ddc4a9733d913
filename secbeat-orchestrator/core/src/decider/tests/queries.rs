//! Questions.

use secbeat_common::rules::{Match, Statuses};

use super::*;
use crate::{
    analyzers::{Rule, RuleConfig},
    evidence::{FindingFilter, Outcome},
};

fn all() -> FindingFilter {
    FindingFilter::default()
}

#[test]
fn an_address_is_explained_by_its_bans_windows_and_events() {
    let mut rig = Rig::ready();
    rig.errors("edge-1", CLIENT, 3);
    let around = rig.ordered(1, "198.51.100.0/24", 3_600);
    let facts = rig.decider.explain(CLIENT.parse().unwrap(), rig.now);
    assert_eq!((facts.source, facts.now_ms), (target(CLIENT), NOW));
    assert!(facts.restored);
    assert_eq!(facts.bans, [pending(&around)]);
    assert_eq!((facts.strikes, facts.forgiven_until_ms), (0, None));
    let windows: Vec<_> = facts
        .windows
        .iter()
        .map(|window| (window.rule.name().to_owned(), window.count, window.threshold))
        .collect();
    assert_eq!(
        windows,
        [
            ("error-flood".to_owned(), 3, 50),
            ("request-flood".to_owned(), 0, 1_000),
            ("waf-flood".to_owned(), 0, 5),
            ("probe".to_owned(), 0, 3),
            ("attack".to_owned(), 0, 1)
        ]
    );
    assert_eq!(facts.events.len(), 3);
    assert_eq!(
        (&facts.events[0].edge[..], &facts.events[0].path[..]),
        ("edge-1", "/missing")
    );
    assert_eq!(facts.findings, []);
}

#[test]
fn an_expired_ban_explains_nothing() {
    let mut rig = Rig::ready();
    rig.hear(&theirs(CLIENT, 9), 7);
    rig.pass(300_000);
    assert_eq!(rig.decider.explain(CLIENT.parse().unwrap(), rig.now).bans, []);
}

#[test]
fn an_answer_shows_the_latest_200_events() {
    let mut rig = Rig::ready_with(|config| {
        config.ledger.max_bans_per_minute = 0;
        config.evidence_bytes = 1_000_000;
    });
    rig.errors("edge-1", CLIENT, 201);
    rig.pass(1_000);
    rig.errors("edge-2", CLIENT, 1);
    let facts = rig.decider.explain(CLIENT.parse().unwrap(), rig.now);
    assert_eq!((facts.events.len(), &facts.events[0].edge[..]), (200, "edge-2"));
}

#[test]
fn findings_are_listed_the_latest_first_with_what_became_of_them() {
    let mut rig = Rig::ready_with(|config| config.ledger.max_bans_per_minute = 1);
    let command = rig.found(CLIENT);
    rig.errors("edge-1", OTHER_CLIENT, 50);
    let findings: Vec<_> = rig.decider.findings(all()).collect();
    assert_eq!(findings.len(), 2);
    assert_eq!(findings[0].source, target(OTHER_CLIENT));
    assert!(matches!(findings[0].outcome, Outcome::Suppressed(_)));
    assert_eq!(findings[1].source, target(CLIENT));
    assert_eq!(
        findings[1].outcome,
        Outcome::Banned {
            command_id: command.id
        }
    );
    let of_client = FindingFilter {
        source: Some(target(CLIENT)),
        ..all()
    };
    assert_eq!(rig.decider.findings(of_client).count(), 1);
}

#[test]
fn bans_are_listed_by_target_page_by_page() {
    let mut rig = Rig::ready();
    for (n, client) in ["203.0.113.3", "203.0.113.1", "203.0.113.2"].iter().enumerate() {
        rig.order(n as u64, client, 60);
    }
    let mut query = BanQuery {
        limit: Some(2),
        ..BanQuery::default()
    };
    let targets = |rig: &Rig, query: &BanQuery| {
        let page = rig.decider.bans(query);
        let targets = page.bans.iter().map(|ban| ban.command.target.to_string());
        (targets.collect::<Vec<_>>(), page.next)
    };
    let (first, next) = targets(&rig, &query);
    assert_eq!(first, ["203.0.113.1/32", "203.0.113.2/32"]);
    query.after = next;
    assert_eq!(targets(&rig, &query), (vec!["203.0.113.3/32".to_owned()], None));
}

#[test]
fn what_is_counted_is_shown() {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    let mut batch = rig.batch("edge-1", vec![error(OTHER_CLIENT, NOW); 2]);
    batch.counts = vec![requests(OTHER_CLIENT, NOW, 5)];
    rig.telemetry(OTHER_CLIENT, batch);
    let stats = rig.decider.stats(rig.now);
    assert_eq!((stats.active_bans, stats.unwritten, stats.restored), (1, 1, true));
    assert_eq!((stats.batches, stats.events, stats.findings), (2, 52, 1));
    assert_eq!((stats.tracked_sources, stats.evicted_sources), (2, 0));
    assert_eq!((stats.suppressed, stats.braked, stats.brake), (0, 0, None));
    let expected = Outcomes {
        banned: 1,
        ..Outcomes::default()
    };
    assert_eq!(
        stats.rules.into_iter().collect::<Vec<_>>(),
        [("error-flood".to_owned(), expected)]
    );
    assert_eq!(stats.edges[0].1.requests, 5);
    rig.acknowledge(&command, 7);
    assert_eq!(rig.decider.stats(rig.now).unwritten, 0);
}

#[test]
fn edges_have_to_report_one_by_one_what_a_rule_counts_of_all_requests() {
    let filter = Match {
        statuses: vec![Statuses::new(302, 302).unwrap()],
        ..Match::default()
    };
    let rig = Rig::with(|config| {
        let preset = RuleConfig::preset(Rule::RequestFlood).unwrap();
        config.detect.rules.push(RuleConfig {
            rule: Rule::Own("redirects".parse().unwrap()),
            filter: filter.clone(),
            ..preset
        });
    });
    assert_eq!(rig.decider.interest(), Interest::of([filter]));
    assert_eq!(Rig::new().decider.interest(), Interest::default());
}
