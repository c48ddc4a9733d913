//! Other rules while the decider runs.

use std::num::NonZeroU32;

use super::*;

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
