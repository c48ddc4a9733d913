//! Rules that only observe.

use super::*;
use crate::analyzers::{Action as RuleAction, Rule, RuleConfig};

/// A decider whose rule about errors only observes.
fn observing() -> Rig {
    Rig::ready_with(|config| {
        for rule in &mut config.detect.rules {
            if rule.rule == Rule::ErrorFlood {
                rule.action = RuleAction::Observe;
            }
        }
    })
}

/// What the audit says of a ban of `client` that would have been issued at `at_ms`.
fn record(client: &str, at_ms: i64) -> AuditRecord {
    AuditRecord {
        at_ms,
        target: target(client),
        actor: ACTOR.to_owned(),
        decision: Audited::Observed {
            reason: Reason::ErrorFlood,
            note: "50 errors in 60s".to_owned(),
            expires_at_ms: at_ms + 300_000,
            strikes: 0,
            evidence: Some(Evidence {
                count: 50,
                window_ms: 60_000,
                at_ms,
            }),
            layer: Layer::Kernel,
            events: Vec::new(),
        },
    }
}

#[test]
fn a_rule_that_observes_says_what_it_would_have_done_and_bans_nobody() {
    let mut rig = observing();
    let effects = rig.errors("edge-1", CLIENT, 50);
    assert_eq!(audited(&effects), [record(CLIENT, NOW)]);
    assert!(matches!(
        effects[..],
        [Effect::Audit {
            urgency: Urgency::Now,
            ..
        }]
    ));
    assert_eq!(rig.ban_of(CLIENT), None);
    assert_eq!(rig.decider.stats(rig.now).rules["error-flood"].observed, 1);
}

#[test]
fn it_looks_away_for_as_long_as_the_ban_would_last() {
    let mut rig = observing();
    rig.errors("edge-1", CLIENT, 50);
    rig.pass(299_999);
    assert_eq!(rig.errors("edge-1", CLIENT, 50), []);
    rig.pass(1);
    let effects = rig.errors("edge-1", CLIENT, 50);
    assert_eq!(audited(&effects), [record(CLIENT, NOW + 300_000)]);
}

#[test]
fn other_rules_do_not_look_away() {
    let mut rig = observing();
    rig.errors("edge-1", CLIENT, 50);
    let mut batch = rig.batch("edge-1", Vec::new());
    batch.counts = vec![requests(CLIENT, NOW, 1_000)];
    let [command] = &written(&rig.telemetry(CLIENT, batch))[..] else {
        panic!()
    };
    assert_eq!(command.reason, Reason::RequestFlood);
}

#[test]
fn what_another_orchestrator_observed_is_not_observed_again() {
    let mut rig = observing();
    assert_eq!(rig.handle(Event::Observed(Box::new(record(CLIENT, NOW)))), []);
    rig.pass(1_000);
    assert_eq!(rig.errors("edge-1", CLIENT, 50), []);
    assert_eq!(rig.errors("edge-1", OTHER_CLIENT, 50).len(), 1);
}

#[test]
fn an_observation_that_is_over_already_is_not_audited() {
    let mut rig = observing();
    rig.pass(300_000);
    let mut batch = rig.batch("edge-1", vec![error(CLIENT, NOW); 50]);
    batch.sent_at_ms = NOW;
    assert_eq!(rig.received(CLIENT, batch, NOW), []);
    assert_eq!(rig.decider.stats(rig.now).rules["error-flood"].observed, 1);
}

#[test]
fn a_restored_observation_of_an_unknown_rule_changes_nothing() {
    let mut rig = observing();
    let mut unknown = record(CLIENT, NOW);
    if let Audited::Observed { reason, .. } = &mut unknown.decision {
        *reason = Reason::Rule("gone".parse().unwrap());
    }
    rig.handle(Event::Observed(Box::new(unknown)));
    assert_eq!(rig.errors("edge-1", CLIENT, 50).len(), 1);
}

#[test]
fn the_first_rule_that_bans_goes_before_one_that_observes() {
    let mut rig = Rig::ready_with(|config| {
        let ban = RuleConfig::preset(Rule::ErrorFlood).unwrap();
        let observe = RuleConfig {
            rule: Rule::Own("trial".parse().unwrap()),
            action: RuleAction::Observe,
            ..ban.clone()
        };
        config.detect.rules = vec![observe, ban];
    });
    let command = rig.found(CLIENT);
    assert_eq!(command.reason, Reason::ErrorFlood);
}
