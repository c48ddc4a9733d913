//! The whole loop in namespaces: who is banned, who is not, and when it ends.

use std::time::{Duration, Instant};

use secbeat_common::maps::{origin, reason};
use secbeat_tests::lab::{
    executable::{Executable as _, Program},
    fleet::{Family, Fleet, Options},
    wait::wait_until,
};

/// The owner's defaults.
const ERRORS: u64 = 50;
const REQUESTS: u64 = 1000;

fn missing(family: Family, n: u64) -> String {
    format!("http://{}/missing-{n}", family.edge_for_attacker())
}

#[test]
fn the_50th_error_bans_the_49th_does_not_and_the_visitor_never_notices() {
    let fleet = Fleet::start(&Options {
        ban: "3s",
        ..Options::default()
    });
    for (round, family) in Family::BOTH.into_iter().enumerate() {
        let (visitor, mut attacker) = (fleet.browsing(family), fleet.attacking(family));
        for n in 1..ERRORS {
            assert_eq!(attacker.get(&missing(family, n)).unwrap(), 404);
        }
        fleet.await_events(ERRORS * round as u64 + ERRORS - 1);
        assert_eq!(
            fleet.ban_of(family.attacker()),
            None,
            "49 errors banned {family:?}"
        );
        assert_eq!(attacker.get(&missing(family, ERRORS)).unwrap(), 404);
        let answered = Instant::now();
        let ban = fleet.await_ban(family.attacker());
        assert_eq!(
            (ban.reason, ban.origin, ban.strikes),
            (reason::ERROR_FLOOD, origin::FLEET, 0)
        );

        let refused = fleet
            .attacking(family)
            .with_timeout(Duration::from_millis(500))
            .get(&missing(family, 0));
        assert!(refused.is_err(), "a banned client was answered {refused:?}");
        assert!(
            fleet
                .ban_of(family.attacker())
                .is_some_and(|ban| ban.dropped_packets > 0)
        );

        wait_until("the ban ends by itself", Duration::from_secs(10), || {
            fleet
                .attacking(family)
                .with_timeout(Duration::from_millis(300))
                .get(&missing(family, 0))
                .is_ok()
        });
        let lasted = answered.elapsed();
        assert!(
            lasted > Duration::from_millis(2900),
            "a ban of 3 s lasted {lasted:?}"
        );
        let report = visitor.stop();
        assert!(
            report.requests > 50 && report.failures.is_empty(),
            "{family:?}: {report:?}"
        );
    }
}

#[test]
fn a_thousand_good_requests_in_the_window_ban() {
    let fleet = Fleet::start(&Options::default());
    for family in Family::BOTH {
        let mut client = fleet.attacking(family);
        let url = format!("http://{}/", family.edge_for_attacker());
        for n in 1..REQUESTS {
            assert_eq!(client.get(&url).unwrap(), 200, "request {n}");
        }
        assert_eq!(
            fleet.ban_of(family.attacker()),
            None,
            "999 requests banned {family:?}"
        );
        let _ = client.get(&url);
        assert_eq!(fleet.await_ban(family.attacker()).reason, reason::REQUEST_FLOOD);
    }
}

#[test]
fn a_banned_client_gets_403_on_its_open_connection_where_xdp_is_not_loaded() {
    let fleet = Fleet::start(&Options {
        enforcement: "l7",
        ..Options::default()
    });
    for family in Family::BOTH {
        let (visitor, mut attacker) = (fleet.browsing(family), fleet.attacking(family));
        for n in 1..=ERRORS {
            assert_eq!(attacker.get(&missing(family, n)).unwrap(), 404);
        }
        wait_until(
            "the open connection is refused with 403",
            Duration::from_secs(5),
            || attacker.get(&missing(family, 0)).unwrap() == 403,
        );
        assert_eq!(fleet.attacking(family).get(&missing(family, 0)).unwrap(), 403);
        let report = visitor.stop();
        assert!(report.failures.is_empty(), "{family:?}: {report:?}");
    }
    assert!(!fleet.pin_folder().exists(), "L7 enforcement pinned something");
}

#[test]
fn an_operator_bans_lifts_and_lists_from_both_ends() {
    let fleet = Fleet::start(&Options::default());
    let (family, url) = (Family::V4, missing(Family::V4, 1));
    let served = || {
        fleet
            .attacking(family)
            .with_timeout(Duration::from_millis(500))
            .get(&url)
            .is_ok()
    };
    let address = family.attacker().to_string();
    let text = |output: std::process::Output| {
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for daemon in ["orchestrator", "edge"] {
        text(fleet.cli(
            daemon,
            &["ban", &address, "--duration", "1h", "--note", "by hand"],
        ));
        let ban = fleet.await_ban(family.attacker());
        assert_eq!(
            ban.origin,
            if daemon == "edge" {
                origin::LOCAL
            } else {
                origin::FLEET
            }
        );
        assert!(!served(), "banned by the {daemon} and served");
        let listed: serde_json::Value =
            serde_json::from_str(&text(fleet.cli(daemon, &["bans", "-o", "json"]))).unwrap();
        assert_eq!(listed[0]["target"], format!("{address}/32"));
        assert_eq!(listed[0]["note"], "by hand");
        text(fleet.cli(daemon, &["unban", &address]));
        wait_until("the ban is lifted", Duration::from_secs(5), || {
            fleet.ban_of(family.attacker()).is_none()
        });
        assert!(served(), "unbanned by the {daemon} and not served");
    }
}

#[test]
fn an_unban_empties_the_windows_so_that_the_next_error_does_not_ban_again() {
    let fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    let family = Family::V4;
    let mut attacker = fleet.attacking(family);
    for n in 1..=ERRORS {
        attacker.get(&missing(family, n)).unwrap();
    }
    fleet.await_ban(family.attacker());
    let output = fleet.cli("orchestrator", &["unban", &family.attacker().to_string()]);
    assert!(output.status.success(), "{output:?}");
    wait_until("the ban is lifted", Duration::from_secs(5), || {
        fleet.ban_of(family.attacker()).is_none()
    });
    let seen = fleet.orchestrator_stats().unwrap()["events"].as_u64().unwrap();
    let mut again = fleet.attacking(family);
    for n in 1..ERRORS {
        assert_eq!(again.get(&missing(family, n)).unwrap(), 404);
    }
    fleet.await_events(seen + ERRORS - 1);
    assert_eq!(fleet.ban_of(family.attacker()), None);
}

#[test]
fn within_the_grace_after_an_unban_nothing_counts() {
    let fleet = Fleet::start(&Options {
        ban: "1h",
        more_orchestrator_config: "unban_grace = \"1h\"\n".to_owned(),
        ..Options::default()
    });
    let family = Family::V4;
    let address = family.attacker().to_string();
    fleet.make_errors(family, ERRORS);
    fleet.await_ban(family.attacker());
    let output = fleet.cli("orchestrator", &["unban", &address]);
    assert!(output.status.success(), "{output:?}");
    wait_until("the ban is lifted", Duration::from_secs(5), || {
        fleet.ban_of(family.attacker()).is_none()
    });
    let seen = fleet.orchestrator_stats().unwrap()["events"].as_u64().unwrap();
    fleet.make_errors(family, 2 * ERRORS);
    fleet.await_events(seen + 2 * ERRORS);
    assert_eq!(fleet.ban_of(family.attacker()), None);
    let why = String::from_utf8(fleet.cli("orchestrator", &["why", &address]).stdout).unwrap();
    assert!(why.contains("Nothing that it does before 2"), "{why}");
}

#[test]
fn bpftool_shows_a_ban_with_named_fields() {
    let fleet = Fleet::start(&Options::default());
    let output = fleet.cli("edge", &["ban", "198.51.100.77"]);
    assert!(output.status.success(), "{output:?}");
    let map = fleet.pin_folder().join("BANNED_V4");
    let dump = Program::Bpftool
        .command()
        .args(["map", "dump", "pinned"])
        .arg(map)
        .output()
        .unwrap();
    let dump = String::from_utf8(dump.stdout).unwrap();
    for field in [
        "expires_jiffies",
        "expires_boot_ns",
        "dropped_packets",
        "reason",
        "origin",
        "strikes",
    ] {
        assert!(dump.contains(field), "no {field} in\n{dump}");
    }
}
