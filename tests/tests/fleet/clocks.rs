//! Hosts whose clocks are wrong: bans end by the NATS server's clock, on every host.

use std::time::{Duration, Instant};

use secbeat_common::maps::Ban;
use secbeat_daemon::time::boot_us;
use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    wait::wait_until,
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Of an operator, who is not interested in the attacker.
const TARGET: &str = "198.51.100.77";

/// Starts both daemons again on hosts whose clocks are so many seconds ahead.
fn restart(fleet: &mut Fleet, edge_ahead: i64, orchestrator_ahead: i64) {
    fleet.stop();
    fleet.set_clock("edge", edge_ahead);
    fleet.set_clock("orchestrator", orchestrator_ahead);
    fleet.start_orchestrator();
    fleet.restart_edge();
    fleet.await_orchestrator();
}

/// How long a ban in the kernel still lasts, in seconds.
fn left(ban: &Ban) -> i64 {
    (i64::try_from(ban.expires_boot_ns).unwrap() / 1000 - boot_us()) / 1_000_000
}

fn answer(fleet: &Fleet, daemon: &str, arguments: &[&str]) -> String {
    let output = fleet.cli(daemon, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a daemon's metric of this name says.
fn metric(fleet: &Fleet, port: u16, name: &str) -> Option<f64> {
    let text = fleet.api(port, "/metrics").ok()?.body;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn clocks_ten_minutes_off_either_way_neither_end_nor_prolong_nor_refuse_a_ban() {
    let mut fleet = Fleet::start(&Options {
        ban: "5s",
        secured: true,
        own_clocks: true,
        ..Options::default()
    });
    for (ahead, family) in [(600, Family::V4), (-600, Family::V6)] {
        restart(&mut fleet, ahead, -ahead);
        let before = Instant::now();
        fleet.make_errors(family, 50);
        let ban = fleet.await_ban(family.attacker());
        assert!(
            (2..=5).contains(&left(&ban)),
            "{ahead:+} s: {} s left",
            left(&ban)
        );
        answer(&fleet, "orchestrator", &["ban", TARGET, "--duration", "5m"]);
        let ban = fleet.await_ban(TARGET.parse().unwrap());
        assert!(
            (290..=300).contains(&left(&ban)),
            "{ahead:+} s: {} s left",
            left(&ban)
        );
        wait_until("the automatic ban has ended everywhere", PATIENCE, || {
            let stats = fleet.orchestrator_stats();
            fleet.ban_of(family.attacker()).is_none() && stats.is_some_and(|stats| stats["active_bans"] == 1)
        });
        assert!(
            before.elapsed() > Duration::from_secs(5),
            "{:?}",
            before.elapsed()
        );
        told_everywhere(&fleet, ahead);
        answer(&fleet, "orchestrator", &["unban", TARGET]);
    }
}

/// Whoever is asked says that the edge's clock is so many seconds ahead, and the orchestrator's as many behind.
fn told_everywhere(fleet: &Fleet, ahead: i64) {
    let is_near =
        |said: Option<f64>, expected: i64| said.is_some_and(|said| (said - expected as f64).abs() < 2.0);
    let (edge, orchestrator) = (8080, 3030);
    for (port, name, expected) in [
        (edge, "secbeat_edge_clock_offset_seconds ", ahead),
        (orchestrator, "secbeat_orchestrator_clock_offset_seconds ", -ahead),
        (
            orchestrator,
            "secbeat_orchestrator_edge_clock_offset_seconds{",
            ahead,
        ),
    ] {
        wait_until(&format!("{name} says {expected}"), PATIENCE, || {
            is_near(metric(fleet, port, name), expected)
        });
    }
    let edges = answer(fleet, "orchestrator", &["edges"]);
    assert!(edges.contains(&format!("WRONG {:+}.0 s", ahead)), "{edges}");
    let status = answer(fleet, "orchestrator", &["status"]);
    let wrong = status.matches("WRONG: ").count();
    assert_eq!(wrong, 2, "its own and the edge's: {status}");
    let status = answer(fleet, "edge", &["status"]);
    assert!(status.contains("clock      WRONG: "), "{status}");
    for log in [fleet.edge.log(), fleet.orchestrator.log()] {
        assert_eq!(
            log.matches("off that of the NATS server").count(),
            1,
            "once: {log}"
        );
    }
}
