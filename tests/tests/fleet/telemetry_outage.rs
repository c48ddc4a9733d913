//! NATS away while clients make errors: what happened meanwhile counts afterwards, at its own time, exactly once; what is
//! too old or too much is discarded, counted and shown on both sides.

use std::{thread, time::Duration};

use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    wait::wait_until,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);
const ATTACKER: Family = Family::V4;

fn telemetry(fleet: &Fleet) -> Option<Value> {
    fleet.edge_stats().map(|stats| stats["telemetry"].clone())
}

/// What the orchestrator says of the edge.
fn edge(fleet: &Fleet) -> Option<Value> {
    fleet.orchestrator_stats().map(|stats| stats["edges"][0].clone())
}

fn number(value: Option<Value>, pointer: &str) -> u64 {
    value
        .and_then(|value| value.pointer(pointer)?.as_u64())
        .unwrap_or(0)
}

/// Waits until all that the edge recorded is on disk.
fn await_spooled(fleet: &Fleet) {
    wait_until("telemetry is spooled", PATIENCE, || {
        number(telemetry(fleet), "/spool/batches") > 0
    });
}

fn await_empty_spool(fleet: &Fleet) {
    wait_until("the spool is empty", PATIENCE, || {
        telemetry(fleet).is_some_and(|telemetry| telemetry["spool"]["batches"] == 0)
    });
}

#[test]
fn errors_made_while_nats_is_away_count_exactly_and_ban() {
    let mut fleet = Fleet::start(&Options::default());
    fleet.make_errors(ATTACKER, 20);
    fleet.await_events(20);
    fleet.nats.kill9();
    fleet.make_errors(ATTACKER, 29);
    await_spooled(&fleet);
    fleet.nats.restart();
    fleet.await_events(49);
    assert_eq!(fleet.ban_of(ATTACKER.attacker()), None, "49 errors banned");
    let edge = edge(&fleet).unwrap();
    assert_eq!(
        (&edge["lost"], &edge["missing_batches"]),
        (&0.into(), &0.into()),
        "{edge}"
    );
    assert_eq!(edge["requests"], 49, "{edge}");
    assert!(edge["late"].as_u64() > Some(0), "{edge}");
    fleet.make_errors(ATTACKER, 1);
    let ban = fleet.await_ban(ATTACKER.attacker());
    assert_eq!(ban.strikes, 0);
}

#[test]
fn nats_killed_in_the_middle_of_an_attack_costs_and_doubles_no_error() {
    let mut fleet = Fleet::start(&Options::default());
    for round in 1..=3 {
        let family = ATTACKER;
        thread::scope(|scope| {
            let url = format!("http://{}/missing", family.edge_for_attacker());
            let mut attacker = fleet.attacking(family);
            let attack = scope.spawn(move || {
                for _ in 0..15 {
                    assert_eq!(attacker.get(&url).unwrap(), 404);
                    thread::sleep(Duration::from_millis(2));
                }
            });
            fleet.nats.kill9();
            attack.join().unwrap();
        });
        fleet.nats.restart();
        fleet.await_events(15 * round);
    }
    await_empty_spool(&fleet);
    let edge = edge(&fleet).unwrap();
    assert_eq!(edge["requests"], 45, "{edge}");
    assert_eq!(
        (&edge["lost"], &edge["missing_batches"]),
        (&0.into(), &0.into()),
        "{edge}"
    );
    assert_eq!(fleet.ban_of(ATTACKER.attacker()), None, "45 errors banned");
    fleet.make_errors(ATTACKER, 5);
    fleet.await_ban(ATTACKER.attacker());
}

#[test]
fn a_killed_edge_sends_what_it_spooled_once_it_runs_again() {
    let mut fleet = Fleet::start(&Options::default());
    fleet.nats.stop();
    fleet.make_errors(ATTACKER, 49);
    wait_until("49 errors are spooled", PATIENCE, || {
        let telemetry = telemetry(&fleet);
        let settled = number(telemetry.clone(), "/recorded") == 49;
        settled && number(telemetry.clone(), "/spool/batches") == number(telemetry, "/spool/written")
    });
    fleet.kill_edge();
    fleet.nats.restart();
    fleet.restart_edge();
    fleet.await_events(49);
    assert_eq!(fleet.ban_of(ATTACKER.attacker()), None, "49 errors banned");
    fleet.make_errors(ATTACKER, 1);
    fleet.await_ban(ATTACKER.attacker());
}

#[test]
fn a_stopped_edge_leaves_nothing_unsaid() {
    let mut fleet = Fleet::start(&Options::default());
    fleet.nats.stop();
    fleet.make_errors(ATTACKER, 49);
    let status = fleet.edge.terminate(PATIENCE);
    assert!(status.success(), "{status}");
    fleet.nats.restart();
    fleet.restart_edge();
    fleet.make_errors(ATTACKER, 1);
    fleet.await_ban(ATTACKER.attacker());
}

#[test]
fn telemetry_that_is_too_old_is_discarded_and_both_sides_say_so() {
    let mut fleet = Fleet::start(&Options {
        more_config: "[detect]\nlocal = \"off\"\n[telemetry]\nmax_age = \"1s\"\n".to_owned(),
        ..Options::default()
    });
    fleet.nats.stop();
    fleet.make_errors(ATTACKER, 49);
    await_spooled(&fleet);
    // Age is what is tested, so here time itself is the condition.
    thread::sleep(Duration::from_millis(1500));
    fleet.nats.restart();
    wait_until("the old errors are discarded", PATIENCE, || {
        number(telemetry(&fleet), "/lost/too-old") == 49
    });
    fleet.make_errors(ATTACKER, 1);
    wait_until("the orchestrator knows what it missed", PATIENCE, || {
        number(edge(&fleet), "/lost") == 49 && number(edge(&fleet), "/requests") == 1
    });
    assert_eq!(fleet.ban_of(ATTACKER.attacker()), None);
    fleet
        .orchestrator
        .wait_for_log("an edge lost telemetry", PATIENCE);
    let metrics = fleet.api(8080, "/metrics").unwrap();
    let metrics = String::from_utf8(metrics.body).unwrap();
    assert!(
        metrics.contains("secbeat_edge_answers_lost_total{reason=\"too-old\"} 49"),
        "{metrics}"
    );
}

#[test]
fn a_full_spool_keeps_the_youngest_within_its_bound_and_every_error_is_accounted_for() {
    const ERRORS: u64 = 10_000;
    let mut fleet = Fleet::start(&Options {
        more_config: "[detect]\nlocal = \"off\"\n[telemetry]\nspool_max_bytes = 4194304\n".to_owned(),
        ..Options::default()
    });
    fleet.nats.stop();
    let mut attacker = fleet.attacking(ATTACKER);
    let url = format!("http://{}/{}", ATTACKER.edge_for_attacker(), "x".repeat(255));
    let agent = "y".repeat(256);
    for _ in 0..ERRORS {
        let answer = attacker
            .request("GET", &url, &[("user-agent", &agent)], b"")
            .unwrap();
        assert_eq!(answer.status, 404);
    }
    let spool = telemetry(&fleet).unwrap()["spool"].clone();
    assert!(spool["bytes"].as_u64() <= Some(4_194_304), "{spool}");
    fleet.nats.restart();
    await_empty_spool(&fleet);
    let full = number(telemetry(&fleet), "/lost/spool-full");
    assert!((1..ERRORS).contains(&full), "{full} of {ERRORS} gave way");
    fleet.await_events(ERRORS - full);
    fleet.await_ban(ATTACKER.attacker());
    assert_eq!(number(telemetry(&fleet), "/dropped"), full);
}

#[test]
fn a_spool_that_cannot_be_written_is_shown_and_hurts_nobody() {
    let mut fleet = Fleet::start(&Options {
        more_config: "[telemetry]\nspool = \"/proc/secbeat\"\n".to_owned(),
        ..Options::default()
    });
    fleet.edge.wait_for_log("the spool cannot be used", PATIENCE);
    fleet.edge.wait_for_log("NATS takes telemetry", PATIENCE);
    fleet.nats.stop();
    fleet.make_errors(ATTACKER, 49);
    wait_until("the errors are counted as lost", PATIENCE, || {
        number(telemetry(&fleet), "/lost/disk") == 49
    });
    let status = fleet.cli("edge", &["status"]);
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(text.contains("UNUSABLE"), "{text}");
    fleet.nats.restart();
    fleet.edge.wait_for_log_count("NATS takes telemetry", 2, PATIENCE);
    fleet.make_errors(ATTACKER, 1);
    wait_until("the orchestrator knows what it missed", PATIENCE, || {
        number(edge(&fleet), "/lost") == 49
    });
    assert_eq!(fleet.ban_of(ATTACKER.attacker()), None);
}
