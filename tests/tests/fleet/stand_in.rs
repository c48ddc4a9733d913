//! Nobody in the fleet decides: each edge's own detector stands in, says so, and hands over.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use secbeat_common::{
    maps::{Ban, origin, reason},
    prefix::Prefix,
};
use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    wait::wait_until,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);
/// From the threshold to the ban, on a machine that builds beside.
const USUAL: Duration = Duration::from_secs(2);
const ATTACKER: Family = Family::V4;

fn detection(fleet: &Fleet) -> Value {
    let stats = fleet.edge_stats();
    stats.map(|stats| stats["detection"].clone()).unwrap_or_default()
}

fn await_rules(fleet: &Fleet) {
    wait_until("the edge has heard the rules", PATIENCE, || {
        detection(fleet)["has_rules"] == true
    });
}

fn await_deciding(fleet: &Fleet, away: &str) {
    wait_until("the edge decides by itself", PATIENCE, || {
        let detection = detection(fleet);
        !detection["deciding_since_ms"].is_null() && detection["away"] == away
    });
}

fn await_ban_of(fleet: &Fleet, address: IpAddr, of: u8) -> Ban {
    wait_until("the kernel has the ban", PATIENCE, || {
        fleet.ban_of(address).filter(|ban| ban.origin == of)
    })
}

/// What a command of the edge prints.
fn edge_says(fleet: &Fleet, arguments: &[&str]) -> String {
    let output = fleet.cli("edge", arguments);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until the fleet has the one ban of `address`, which ends when `before` does.
fn assert_handed_over(fleet: &Fleet, address: IpAddr, before: &Ban) {
    let after = await_ban_of(fleet, address, origin::FLEET);
    let apart = after.expires_boot_ns.abs_diff(before.expires_boot_ns);
    assert!(apart < 5_000_000_000, "{before:?} {after:?}");
    assert_eq!((after.reason, after.strikes), (reason::ERROR_FLOOD, 0));
    wait_until("the edge has handed its ban over", PATIENCE, || {
        let detection = detection(fleet);
        detection["taken_over"] == 1 && detection["waiting"] == 0 && detection["deciding_since_ms"].is_null()
    });
}

#[test]
fn without_nats_and_orchestrator_an_edge_bans_by_itself_and_hands_over() {
    let mut fleet = Fleet::start(&Options::default());
    let protected = Prefix::single(Family::V6.attacker()).to_string();
    let allowed = fleet.cli("orchestrator", &["allowlist", "add", &protected]);
    assert!(allowed.status.success(), "{allowed:?}");
    fleet.make_errors(ATTACKER, 30);
    fleet.await_events(30);
    await_rules(&fleet);
    wait_until("the edge allows the protected", PATIENCE, || {
        edge_says(&fleet, &["allowed"]).contains(&protected)
    });
    fleet.orchestrator.kill9();
    fleet.nats.kill9();
    await_deciding(&fleet, "NATS is unreachable");

    fleet.make_errors(Family::V6, 60);
    fleet.make_errors(ATTACKER, 19);
    assert_eq!(fleet.ban_of(ATTACKER.attacker()), None, "49 errors banned");
    let began = Instant::now();
    fleet.make_errors(ATTACKER, 1);
    let ban = await_ban_of(&fleet, ATTACKER.attacker(), origin::LOCAL);
    assert!(began.elapsed() < USUAL, "{:?}", began.elapsed());
    assert_eq!(ban.reason, reason::ERROR_FLOOD);
    assert_eq!(
        fleet.ban_of(Family::V6.attacker()),
        None,
        "a protected client was banned"
    );
    let bans = edge_says(&fleet, &["bans"]);
    assert!(bans.contains("local") && bans.contains("error-flood"), "{bans}");
    let status = edge_says(&fleet, &["status"]);
    assert!(
        status.contains("detection  HERE since") && status.contains("NATS is unreachable"),
        "{status}"
    );
    let metrics = fleet.api(8080, "/metrics").unwrap();
    let metrics = String::from_utf8(metrics.body).unwrap();
    assert!(metrics.contains("secbeat_edge_standing_in 1"), "{metrics}");
    assert!(
        metrics.contains("secbeat_edge_own_bans_total{fate=\"made\"} 1"),
        "{metrics}"
    );

    fleet.nats.restart();
    fleet.start_orchestrator();
    assert_handed_over(&fleet, ATTACKER.attacker(), &ban);
    wait_until("the spool is empty", PATIENCE, || {
        fleet
            .edge_stats()
            .is_some_and(|stats| stats["telemetry"]["spool"]["batches"] == 0)
    });
    let listed = fleet.cli("orchestrator", &["bans", "-o", "json"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_eq!(listed.matches("\"error-flood\"").count(), 1, "{listed}");
    // It is the fleet's now: lifted there, it is lifted here.
    let lifted = fleet.cli("orchestrator", &["unban", &ATTACKER.attacker().to_string()]);
    assert!(lifted.status.success(), "{lifted:?}");
    wait_until("the ban is lifted", PATIENCE, || {
        fleet.ban_of(ATTACKER.attacker()).is_none()
    });
}

#[test]
fn an_edge_that_is_restarted_meanwhile_forgets_nothing() {
    let mut fleet = Fleet::start(&Options::default());
    await_rules(&fleet);
    fleet.orchestrator.kill9();
    fleet.nats.kill9();
    await_deciding(&fleet, "NATS is unreachable");
    fleet.make_errors(ATTACKER, 50);
    let ban = await_ban_of(&fleet, ATTACKER.attacker(), origin::LOCAL);
    fleet.make_errors(Family::V6, 30);
    assert!(fleet.edge.terminate(PATIENCE).success());
    fleet.start_edge();
    await_deciding(&fleet, "NATS is unreachable");
    assert_eq!(detection(&fleet)["waiting"], 1, "{}", detection(&fleet));
    fleet.make_errors(Family::V6, 20);
    await_ban_of(&fleet, Family::V6.attacker(), origin::LOCAL);
    wait_until("both are kept", PATIENCE, || {
        let kept = std::fs::read_to_string(fleet.edge_state("own-bans.json")).unwrap_or_default();
        kept.matches("expires_at_ms").count() == 2
    });
    // Without a chance to write anything at the end.
    fleet.kill_edge();
    fleet.nats.restart();
    fleet.start_orchestrator();
    fleet.restart_edge();
    for family in [ATTACKER, Family::V6] {
        await_ban_of(&fleet, family.attacker(), origin::FLEET);
    }
    let after = await_ban_of(&fleet, ATTACKER.attacker(), origin::FLEET);
    let apart = after.expires_boot_ns.abs_diff(ban.expires_boot_ns);
    assert!(apart < 10_000_000_000, "{ban:?} {after:?}");
    assert_eq!(after.strikes, 0);
    wait_until("nothing is left to hand over", PATIENCE, || {
        let detection = detection(&fleet);
        detection["waiting"] == 0 && detection["taken_over"] == 2
    });
}

#[test]
fn without_an_orchestrator_alone_an_edge_bans_as_of_when_the_threshold_was_reached() {
    let mut fleet = Fleet::start(&Options::default());
    await_rules(&fleet);
    fleet.orchestrator.kill9();
    // The fleet's leases still hold: nobody decides, and nobody knows.
    fleet.make_errors(ATTACKER, 50);
    let ban = await_ban_of(&fleet, ATTACKER.attacker(), origin::LOCAL);
    await_deciding(&fleet, "no orchestrator is ready");
    fleet.start_orchestrator();
    assert_handed_over(&fleet, ATTACKER.attacker(), &ban);
}

#[test]
fn a_restarted_edge_goes_by_the_rules_and_the_allowlist_that_it_heard_last() {
    let mut fleet = Fleet::start(&Options {
        more_orchestrator_config: "[[rule]]\nname = \"error-flood\"\nthreshold = 7\n".to_owned(),
        ..Options::default()
    });
    await_rules(&fleet);
    fleet.nats.kill9();
    fleet.kill_edge();
    fleet.start_edge();
    await_deciding(&fleet, "NATS is unreachable");
    fleet.make_errors(ATTACKER, 6);
    assert_eq!(fleet.ban_of(ATTACKER.attacker()), None, "6 errors banned");
    fleet.make_errors(ATTACKER, 1);
    await_ban_of(&fleet, ATTACKER.attacker(), origin::LOCAL);
}
