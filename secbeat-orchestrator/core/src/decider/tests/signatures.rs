//! What edges recognised in requests.

use secbeat_common::wire::MatchedSignature;

use super::*;
use crate::signatures::Tally;

/// A request of `CLIENT` now that was answered 200 and matches a signature.
fn matching(id: &str) -> TelemetryEvent {
    TelemetryEvent {
        status: 200,
        signatures: vec![MatchedSignature {
            id: id.to_owned(),
            class: "sensitive-file".to_owned(),
            severity: "high".to_owned(),
        }],
        ..error(CLIENT, NOW)
    }
}

fn tally(rig: &Rig, id: &str) -> (u64, u64) {
    let Tally { hits, bans } = rig.decider.tallies().get(id).copied().unwrap_or_default();
    (hits, bans)
}

#[test]
fn hits_and_bans_of_each_signature_are_counted() {
    let mut rig = Rig::ready();
    let ids = ["env-file", "git-config", "env-file", "backup-sql"];
    let batch = rig.batch("edge-1", ids.map(matching).to_vec());
    let effects = rig.telemetry(CLIENT, batch);
    let [command] = &written(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(command.reason.name(), "probe");
    assert_eq!(tally(&rig, "env-file"), (2, 0));
    rig.acknowledge(command, 7);
    for (id, counted) in [
        ("env-file", (2, 1)),
        ("git-config", (1, 1)),
        ("backup-sql", (1, 1)),
    ] {
        assert_eq!(tally(&rig, id), counted, "{id}");
    }
}

#[test]
fn a_disabled_signature_counts_for_nobody_and_is_no_evidence() {
    let mut rig = Rig::ready();
    rig.handle(Event::SignaturesDisabled(vec!["env-file".to_owned()]));
    let ids = ["env-file", "git-config", "backup-sql"];
    let batch = rig.batch("edge-1", ids.map(matching).to_vec());
    assert_eq!(rig.telemetry(CLIENT, batch), []);
    assert_eq!(tally(&rig, "env-file"), (0, 0));
    let address = CLIENT.parse().unwrap();
    let seen = rig.decider.explain(address, rig.now).events;
    let recognised: Vec<_> = seen.iter().flat_map(|event| &event.signatures).collect();
    assert_eq!(recognised.len(), 2, "{recognised:?}");
    rig.handle(Event::SignaturesDisabled(Vec::new()));
    let batch = rig.batch("edge-1", vec![matching("env-file")]);
    assert_eq!(written(&rig.telemetry(CLIENT, batch)).len(), 1);
}

#[test]
fn what_another_orchestrator_received_is_not_counted_again() {
    let mut rig = Rig::ready();
    let batch = rig.batch("edge-1", vec![matching("env-file")]);
    rig.received(CLIENT, batch, NOW - 1);
    assert_eq!(tally(&rig, "env-file"), (0, 0));
    let batch = rig.batch("edge-1", vec![matching("env-file")]);
    rig.received(CLIENT, batch, NOW);
    assert_eq!(tally(&rig, "env-file"), (1, 0));
}

#[test]
fn after_an_unban_signatures_count_as_errors_do() {
    let mut rig = Rig::ready();
    let ids = ["env-file", "git-config", "backup-sql"];
    let batch = rig.batch("edge-1", ids.map(matching).to_vec());
    let effects = rig.telemetry(CLIENT, batch);
    let [command] = &written(&effects)[..] else {
        panic!("{effects:?}");
    };
    rig.acknowledge(command, 7);
    rig.pass(2_000);
    rig.unban(1, CLIENT);
    rig.done(command, Fate::Lifted);
    rig.pass(1_000);
    let again = |id| TelemetryEvent {
        at_ms: NOW + 3_000,
        ..matching(id)
    };
    let batch = rig.batch("edge-1", ids.map(again).to_vec());
    let effects = rig.telemetry(CLIENT, batch);
    let [command] = &written(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(command.reason.name(), "probe");
}
