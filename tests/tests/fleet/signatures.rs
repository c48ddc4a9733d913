//! What single requests give away: from the web server's log to the ban and its reasons.

use std::{fs, time::Duration};

use secbeat_common::maps::reason;
use secbeat_tests::lab::{
    fleet::{Family, Fleet, Front, Options},
    wait::wait_until,
};

#[track_caller]
fn text(output: std::process::Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn whoever_looks_for_secrets_and_holes_is_banned_and_why_says_what_was_recognised() {
    let fleet = Fleet::start(&Options {
        front: Front::Nginx,
        enforcement: "kernel",
        ..Options::default()
    });
    let family = Family::V4;
    let attacker = family.attacker().to_string();
    let url = |target: &str| format!("http://{}{target}", family.edge_for_attacker());
    let mut client = fleet.attacking(family);
    let mut ask = |target: &str| client.get(&url(target)).unwrap();
    // The same one again and again is no probe, and queries that are answered well are looked at.
    for _ in 0..5 {
        ask("/.env");
    }
    ask("/?id=1+union+select+password,2+from+users");
    let seen = || text(fleet.cli("orchestrator", &["why", &attacker]));
    wait_until("both are known", Duration::from_secs(10), || {
        seen().contains("sqli-union-select (Second query appended by UNION; sqli, high)")
    });
    assert_eq!(fleet.ban_of(family.attacker()), None);
    ask("/%2e%67it/config");
    assert_eq!(fleet.await_ban(family.attacker()).reason, reason::PROBE);
    wait_until("the ban is explained", Duration::from_secs(10), || {
        let why = seen();
        why.contains("env-file (Environment file of an application; sensitive-file, high) ×5")
            && why.contains("git-config (Repository of git: its configuration; vcs, high)")
            && why.contains("POSSIBLE SUCCESS, answered 200")
    });
    assert!(!seen().contains("password"), "the query stays on the edge");

    let log = fleet.nginx.combined_log();
    let log = log.to_str().unwrap();
    let tested = text(fleet.cli("edge", &["signatures", "test", "--log", log]));
    assert!(tested.contains("7 of them match"), "{tested}");
    assert!(tested.contains("5  env-file\n"), "{tested}");
    let explained = text(fleet.cli("edge", &["explain", log]));
    assert!(explained.contains("[git-config, git-folder]"), "{explained}");
    let replayed = text(fleet.cli("orchestrator", &["replay", "-o", "json", log]));
    assert!(replayed.contains("\"rule\":\"probe\""), "{replayed}");
    assert!(fs::read_to_string(log).unwrap().contains("password"));
}
