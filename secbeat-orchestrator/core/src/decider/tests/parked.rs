//! Findings while the lease of their partition is uncertain.

use super::*;

#[test]
fn a_finding_waits_for_a_lapsed_lease_and_is_judged_when_it_is_back() {
    let mut rig = Rig::ready();
    rig.hold_all(Tenure::Lapsed);
    assert_eq!(rig.errors("edge-1", CLIENT, 50), []);
    assert_eq!(rig.decider.stats(rig.now).findings, 0);
    rig.pass(2_000);
    rig.hold_all(Tenure::Owned { epoch: 5 });
    assert_eq!(rig.take(OTHER_CLIENT, 5), [], "another partition");
    let [command] = &written(&rig.take(CLIENT, 5))[..] else {
        panic!()
    };
    assert_eq!(
        (command.epoch, command.issued_at_ms),
        (5, NOW),
        "as it was received"
    );
}

#[test]
fn a_finding_waits_once_the_lease_may_be_over() {
    let mut rig = Rig::ready();
    rig.pass(3_600_000);
    assert_eq!(rig.errors("edge-1", CLIENT, 50), []);
    rig.hold_all(Tenure::Owned { epoch: 5 });
    assert_eq!(written(&rig.take(CLIENT, 5)).len(), 1);
}

#[test]
fn findings_that_waited_are_judged_in_order() {
    let mut rig = Rig::ready_with(|config| config.ledger.max_bans_per_minute = 1);
    rig.hold_all(Tenure::Lapsed);
    for client in [CLIENT, "203.0.113.16"] {
        assert_eq!(target(client).partition(16), 2);
        rig.errors("edge-1", client, 50);
    }
    rig.hold_all(Tenure::Owned { epoch: 5 });
    let effects = rig.take(CLIENT, 5);
    assert_eq!(written(&effects)[0].target, target(CLIENT));
    assert_eq!(audited(&effects)[0].target, target("203.0.113.16"), "suppressed");
}

#[test]
fn a_finding_that_waits_is_dropped_when_another_orchestrator_takes_its_partition() {
    let mut rig = Rig::ready();
    rig.hold_all(Tenure::Lapsed);
    rig.errors("edge-1", CLIENT, 50);
    rig.errors("edge-1", OTHER_CLIENT, 50);
    rig.lose(CLIENT);
    let effects = rig.own_all(5);
    let targets: Vec<_> = written(&effects).iter().map(|command| command.target).collect();
    assert_eq!(targets, [target(OTHER_CLIENT)]);
}

#[test]
fn a_finding_of_another_orchestrators_partition_is_forgotten() {
    let mut rig = Rig::ready();
    rig.hold_all(Tenure::None);
    assert_eq!(rig.errors("edge-1", CLIENT, 50), [], "it is watched still");
    assert_eq!(rig.own_all(5), []);
    assert_eq!(rig.decider.stats(rig.now).findings, 0);
}

#[test]
fn a_finding_waits_on_while_the_lease_lapses_again() {
    let mut rig = Rig::ready();
    rig.hold_all(Tenure::Lapsed);
    rig.errors("edge-1", CLIENT, 50);
    assert_eq!(rig.take(CLIENT, 5), [], "the table says that it has lapsed again");
    rig.hold_all(Tenure::Owned { epoch: 6 });
    assert_eq!(written(&rig.take(CLIENT, 6)).len(), 1);
}
