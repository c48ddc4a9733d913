//! Other rules while the decider runs.

use std::num::NonZeroU32;

use super::*;

#[test]
fn requests_that_are_read_again_count_once_under_other_rules_and_on_another_orchestrator() {
    let mut rig = Rig::ready();
    let mut batch = rig.batch("edge-1", Vec::new());
    batch.counts = vec![SourceCount {
        errors: 2,
        ..requests(CLIENT, NOW, 5)
    }];
    let counted = |rig: &mut Rig| {
        let Stats {
            requests,
            errors,
            edges,
            ..
        } = rig.decider.stats(rig.now);
        assert_eq!(rig.decider.counted(), (requests, errors));
        (requests, errors, edges[0].1.requests)
    };
    rig.telemetry(CLIENT, batch.clone());
    assert_eq!(counted(&mut rig), (5, 2, 5));
    let rules = Rules {
        detect: DetectConfig::default(),
        max_age: Duration::from_secs(120),
    };
    rig.pass(1_000);
    rig.handle(Event::Rules(Box::new(rules)));
    rig.received(CLIENT, batch.clone(), NOW);
    assert_eq!(counted(&mut rig), (5, 2, 5), "under other rules");
    rig.lose(CLIENT);
    rig.take(CLIENT, 2);
    rig.received(CLIENT, batch.clone(), NOW);
    assert_eq!(counted(&mut rig), (5, 2, 5), "after a lease came back");
    let mut other = Rig::new();
    other.pass(1_000);
    other.restore(Vec::new(), Vec::new());
    other.own_all(2);
    other.received(CLIENT, batch.clone(), NOW);
    assert_eq!(counted(&mut other), (0, 0, 0), "after a start");
    batch.sequence += 1;
    for rig in [&mut rig, &mut other] {
        let now_ms = rig.now.wall_ms;
        rig.received(CLIENT, batch.clone(), now_ms);
    }
    assert_eq!((counted(&mut rig), counted(&mut other)), ((10, 4, 10), (5, 2, 5)));
}

#[test]
fn under_other_rules_what_is_read_again_counts_and_is_evidence_once() {
    let mut rig = Rig::ready();
    let batch = rig.batch("edge-1", vec![error(CLIENT, NOW); 30]);
    assert_eq!(rig.telemetry(CLIENT, batch.clone()), []);
    let banned = rig.found(OTHER_CLIENT);
    let mut detect = DetectConfig::default();
    for rule in &mut detect.rules {
        rule.threshold.count = NonZeroU32::new(30).unwrap();
    }
    let rules = Rules {
        detect,
        max_age: Duration::from_secs(120),
    };
    rig.pass(1_000);
    assert_eq!(rig.handle(Event::Rules(Box::new(rules))), []);
    assert_eq!(rig.counted(CLIENT), 0);
    let effects = rig.received(CLIENT, batch, NOW);
    let [command] = &written(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(command.target, target(CLIENT));
    let facts = rig.decider.explain(CLIENT.parse().unwrap(), rig.now);
    assert_eq!(facts.events.len(), 30);
    // What led to a ban is paid for.
    let again = rig.batch("edge-1", vec![error(OTHER_CLIENT, NOW); 50]);
    assert_eq!(rig.received(OTHER_CLIENT, again, NOW), []);
    assert_eq!(rig.ban_of(OTHER_CLIENT), Some(banned.id));
}
