//! An orchestrator is ready only while a ban could be made and reach the edges.

use std::time::Duration;

use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    pair::FIRST,
    wait::wait_until,
};
use serde_json::Value;

/// Longer than a write may wait, and than a lease lasts.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lets a stream take `max_bytes` at most (-1: any number). Returns what it took before.
fn limit(fleet: &Fleet, stream: &str, max_bytes: i64) {
    let info = fleet.nats.request(&format!("$JS.API.STREAM.INFO.{stream}"), b"");
    let mut config = info["config"].clone();
    config["max_bytes"] = Value::from(max_bytes);
    config["discard"] = Value::from("new");
    let subject = format!("$JS.API.STREAM.UPDATE.{stream}");
    let answer = fleet.nats.request(&subject, config.to_string().as_bytes());
    assert_eq!(answer["error"], Value::Null, "{answer}");
}

fn delete(fleet: &Fleet, stream: &str) {
    let answer = fleet
        .nats
        .request(&format!("$JS.API.STREAM.DELETE.{stream}"), b"");
    assert_eq!(answer["success"], Value::Bool(true), "{answer}");
}

/// The status of `/readyz`, and what it says; 0 while nobody listens.
fn readiness(fleet: &Fleet) -> (u16, String) {
    match fleet.api(FIRST, "/readyz") {
        Ok(answer) => (answer.status, String::from_utf8_lossy(&answer.body).into_owned()),
        Err(error) => (0, error.to_string()),
    }
}

fn await_unready(fleet: &Fleet, because: &str) {
    wait_until("it is not ready", PATIENCE, || {
        let (status, text) = readiness(fleet);
        status == 503 && text.contains(because)
    });
    let metrics = fleet.api(FIRST, "/metrics").unwrap().body;
    let metrics = String::from_utf8_lossy(&metrics);
    assert!(metrics.contains("secbeat_orchestrator_ready 0"), "{metrics}");
    let status = fleet.cli("orchestrator", &["status"]);
    let status = String::from_utf8_lossy(&status.stdout);
    let line = status.lines().find(|line| line.starts_with("ready "));
    assert!(line.is_some_and(|line| line.contains(because)), "{status}");
}

fn await_ready(fleet: &Fleet) {
    wait_until("it is ready again", PATIENCE, || readiness(fleet).0 == 200);
}

#[test]
fn it_is_not_ready_while_nats_takes_no_bans_and_makes_them_up_for() {
    let fleet = Fleet::start(&Options::default());
    await_ready(&fleet);
    limit(&fleet, "KV_secbeat_bans", 1);
    fleet.make_errors(Family::V4, 50);
    await_unready(&fleet, "NATS has not taken a ban");
    limit(&fleet, "KV_secbeat_bans", -1);
    fleet.await_ban(Family::V4.attacker());
    await_ready(&fleet);
}

#[test]
fn while_the_audit_takes_nothing_bans_are_made_and_said_not_to_be_recorded() {
    let fleet = Fleet::start(&Options::default());
    await_ready(&fleet);
    limit(&fleet, "SECBEAT_AUDIT", 1);
    let said = |arguments: &[&str]| {
        let output = fleet.cli("orchestrator", arguments);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let banned = said(&["ban", "192.0.2.8"]);
    assert!(
        banned.starts_with("banned 192.0.2.8/32 for 4h") && banned.contains("; NOT IN THE AUDIT YET: NATS"),
        "{banned}"
    );
    fleet.await_ban([192, 0, 2, 8].into());
    wait_until("the trouble is an alert", PATIENCE, || {
        let alerts = said(&["alerts"]);
        let mut lines = alerts.lines();
        lines.any(|line| line.contains("bus-unwritable") && line.contains("SECBEAT_AUDIT"))
    });
    assert_eq!(readiness(&fleet).0, 200);
    limit(&fleet, "SECBEAT_AUDIT", -1);
    wait_until("it is recorded", PATIENCE, || {
        said(&["audit"]).contains("192.0.2.8/32")
    });
    assert!(!said(&["unban", "192.0.2.8"]).contains("NOT IN THE AUDIT"));
}

#[test]
fn it_is_not_ready_while_its_leases_or_telemetry_are_gone_from_nats() {
    let mut fleet = Fleet::start(&Options::default());
    await_ready(&fleet);
    for (stream, because) in [
        ("KV_secbeat_leases", "cannot read the owners of the partitions"),
        ("SECBEAT_TELEMETRY", "telemetry cannot be read"),
    ] {
        delete(&fleet, stream);
        await_unready(&fleet, because);
        // Whoever starts makes it anew.
        fleet.bounce_orchestrator();
        await_ready(&fleet);
    }
    fleet.make_errors(Family::V4, 50);
    fleet.await_ban(Family::V4.attacker());
}

/// What `status` says of `name`.
fn status(fleet: &Fleet, name: &str) -> Vec<String> {
    let status = fleet.cli("orchestrator", &["status"]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    let lines = status.lines().filter(|line| line.starts_with(name));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_full_disk_of_nats_is_named_and_nothing_of_ours_has_to_start_again() {
    let mut fleet = Fleet::start(&Options::default());
    fleet.nats.move_to_disk_of(16);
    wait_until("the orchestrator has made everything anew", PATIENCE, || {
        let ban = r#"{"target":"192.0.2.8","duration":"1h"}"#;
        let answer = fleet.order(FIRST, "POST", "/api/v1/bans", ban);
        answer.is_ok_and(|answer| answer.status == 201)
    });
    await_ready(&fleet);
    fleet.nats.fill_disk();
    fleet.make_errors(Family::V4, 50);
    await_unready(&fleet, "NATS stores nothing in secbeat_");
    let metrics = fleet.api(FIRST, "/metrics").unwrap().body;
    let metrics = String::from_utf8_lossy(&metrics);
    let full = "secbeat_orchestrator_bus_trouble{trouble=\"unwritable\"} 1";
    assert!(metrics.contains(full), "{metrics}");
    assert!(
        status(&fleet, "NATS")
            .iter()
            .any(|line| line.contains("TROUBLE: ") && line.contains("disk is full"))
    );
    assert!(fleet.orchestrator.log().contains("NATS stores nothing in"));
    // nats-server writes to no stream again that once found the disk full before it is restarted.
    fleet.nats.free_disk();
    fleet.nats.restart();
    await_ready(&fleet);
    let ban = r#"{"target":"192.0.2.9","duration":"1h"}"#;
    let answer = fleet.order(FIRST, "POST", "/api/v1/bans", ban).unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    fleet.await_ban([192, 0, 2, 9].into());
    wait_until("no trouble is left", PATIENCE, || {
        status(&fleet, "NATS").len() == 1
    });
}
