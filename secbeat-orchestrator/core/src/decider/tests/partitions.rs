//! Partitions that come and go: windows are rebuilt, and nobody is judged twice.

use super::*;

/// Loses and takes the partition of `client`.
fn retake(rig: &mut Rig, client: &str) {
    assert_eq!(rig.lose(client), []);
    assert_eq!(rig.take(client, 2), []);
}

#[test]
fn a_lost_partitions_windows_are_forgotten() {
    let mut rig = Rig::ready();
    rig.errors("edge-1", CLIENT, 49);
    rig.errors("edge-1", OTHER_CLIENT, 49);
    retake(&mut rig, CLIENT);
    assert_eq!((rig.counted(CLIENT), rig.counted(OTHER_CLIENT)), (0, 49));
}

#[test]
fn a_partition_that_is_taken_anew_without_a_loss_keeps_its_windows() {
    let mut rig = Rig::ready();
    rig.errors("edge-1", CLIENT, 49);
    assert_eq!(rig.take(CLIENT, 2), []);
    let [command] = &written(&rig.errors("edge-1", CLIENT, 1))[..] else {
        panic!()
    };
    assert_eq!(command.epoch, 2);
}

#[test]
fn telemetry_of_a_partition_that_is_taken_is_read_again_and_counts_again() {
    let mut rig = Rig::ready();
    let batch = rig.batch("edge-1", vec![error(CLIENT, NOW); 49]);
    rig.telemetry(CLIENT, batch.clone());
    retake(&mut rig, CLIENT);
    rig.telemetry(CLIENT, batch);
    assert_eq!(rig.counted(CLIENT), 49);
}

#[test]
fn a_client_that_was_banned_is_not_banned_again_for_what_is_read_again() {
    let mut rig = Rig::ready();
    let batch = rig.batch("edge-1", vec![error(CLIENT, NOW); 50]);
    let commands = written(&rig.telemetry(CLIENT, batch.clone()));
    rig.acknowledge(&commands[0], 7);
    rig.pass(300_000);
    rig.tick();
    retake(&mut rig, CLIENT);
    assert_eq!(rig.received(CLIENT, batch, NOW), []);
    assert_eq!((rig.counted(CLIENT), rig.strikes(CLIENT)), (0, 1));
}

#[test]
fn what_a_client_did_before_its_unban_does_not_count_when_it_is_read_again() {
    let mut rig = Rig::ready();
    let batch = rig.batch("edge-1", vec![error(CLIENT, NOW); 50]);
    let commands = written(&rig.telemetry(CLIENT, batch.clone()));
    rig.acknowledge(&commands[0], 7);
    rig.pass(1_000);
    rig.unban(1, CLIENT);
    rig.done(&commands[0], Fate::Lifted);
    retake(&mut rig, CLIENT);
    assert_eq!(rig.received(CLIENT, batch, NOW), []);
    assert_eq!(rig.counted(CLIENT), 0);
}

#[test]
fn an_unban_of_a_network_holds_for_all_that_is_read_again() {
    let mut rig = Rig::ready();
    let command = rig.ordered(1, "198.51.100.0/24", 3_600);
    rig.acknowledge(&command, 7);
    rig.pass(1_000);
    rig.unban(2, "198.51.100.0/24");
    retake(&mut rig, CLIENT);
    let batch = rig.batch("edge-1", vec![error(CLIENT, NOW + 1_000); 50]);
    assert_eq!(rig.telemetry(CLIENT, batch), []);
    assert_eq!(rig.counted(CLIENT), 0);
}

#[test]
fn what_another_orchestrator_decided_about_its_partition_is_known_when_it_is_taken() {
    let mut rig = Rig::ready();
    rig.hold_all(Tenure::None);
    rig.lose(CLIENT);
    rig.hear(&theirs(CLIENT, 9), 7);
    rig.hold_all(Tenure::Owned { epoch: 2 });
    rig.take(CLIENT, 2);
    assert_eq!(rig.errors("edge-1", CLIENT, 50), []);
    assert_eq!(rig.decider.stats(rig.now).findings, 0);
}

#[test]
fn nothing_is_watched_for_another_orchestrators_bans() {
    let mut rig = Rig::ready();
    rig.lose(CLIENT);
    rig.hear(&theirs(CLIENT, 9), 7);
    rig.hear(&theirs(OTHER_CLIENT, 10), 8);
    assert_eq!(rig.decider.stats(rig.now).tracked_sources, 1);
}

#[test]
fn what_a_client_does_within_the_grace_after_its_unban_does_not_count() {
    let mut rig = Rig::ready_with(|config| config.unban_grace = Duration::from_secs(60));
    let command = rig.found(CLIENT);
    rig.acknowledge(&command, 7);
    rig.unban(1, CLIENT);
    let facts = rig.decider.explain(CLIENT.parse().unwrap(), rig.now);
    assert_eq!(facts.forgiven_until_ms, Some(NOW + 60_000));
    rig.pass(60_000);
    assert_eq!(rig.errors("edge-1", CLIENT, 50), []);
    rig.pass(1);
    let facts = rig.decider.explain(CLIENT.parse().unwrap(), rig.now);
    assert_eq!(facts.forgiven_until_ms, None);
    rig.found(CLIENT);
}

#[test]
fn a_ban_takes_the_place_of_the_grace_before_it() {
    let mut rig = Rig::ready_with(|config| config.unban_grace = Duration::from_secs(60));
    rig.ordered(1, CLIENT, 3_600);
    rig.unban(2, CLIENT);
    rig.ordered(3, CLIENT, 10);
    let facts = rig.decider.explain(CLIENT.parse().unwrap(), rig.now);
    assert_eq!(facts.forgiven_until_ms, None);
    rig.pass(10_000);
    rig.tick();
    rig.found(CLIENT);
}
