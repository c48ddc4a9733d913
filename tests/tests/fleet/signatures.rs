//! What single requests give away: from the web server's log to the ban and its reasons.

use std::{fs, time::Duration};

use secbeat_common::maps::reason;
use secbeat_tests::lab::{
    fleet::{Family, Fleet, Front, Options},
    wait::wait_until,
};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);

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

const OURS: &str = r#"[[signature]]
id = "shop-export"
title = "Export of customers"
class = "sensitive-file"
severity = "high"
reference = "https://wiki.example.org/exports"
any = [{ in = "path", starts = "/export/" }]
must = ["GET /export/customers.csv"]
"#;

/// What an orchestrator's command says that succeeds.
#[track_caller]
fn told(fleet: &Fleet, arguments: &[&str]) -> String {
    text(fleet.cli("orchestrator", arguments))
}

/// Waits until the only edge has the set that its orchestrator published last, and returns its digest.
fn await_agreement(fleet: &Fleet) -> String {
    let published: Value =
        serde_json::from_str(&told(fleet, &["signatures", "published", "-o", "json"])).unwrap();
    wait_until("the edge has what was published", SOON, || {
        let edges: Value = serde_json::from_str(&told(fleet, &["edges", "-o", "json"])).unwrap();
        let edge = &edges[0];
        let has_it = edge["record"]["signatures"]["fleet"] == published["digest"];
        has_it.then(|| assert_eq!(edge["signatures"], "agrees"))
    });
    published["digest"].as_str().unwrap().to_owned()
}

#[test]
fn what_a_fleet_publishes_and_disables_holds_on_its_edges_at_once_and_without_nats() {
    let mut fleet = Fleet::start(&Options {
        front: Front::Nginx,
        enforcement: "kernel",
        secured: true,
        ..Options::default()
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.toml");
    let path = file.to_str().unwrap();
    fs::write(&file, OURS.replace("/export/\"", "/x/\"")).unwrap();
    let refused = fleet.cli("orchestrator", &["signatures", "publish", path]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && why.contains("shop.toml:1: signature shop-export"),
        "{why}"
    );
    fs::write(&file, OURS).unwrap();
    let dry = told(&fleet, &["signatures", "publish", "--dry-run", path]);
    assert!(
        dry.contains("published 1 signature\n") && !dry.contains("set "),
        "{dry}"
    );
    told(&fleet, &["signatures", "publish", path]);
    told(
        &fleet,
        &["signatures", "disable", "env-file", "--note", "our own export"],
    );
    let digest = await_agreement(&fleet);
    let listed = text(fleet.cli("edge", &["signatures", "list"]));
    assert!(
        listed.contains("disabled by the fleet: our own export"),
        "{listed}"
    );
    assert!(
        listed.contains(&format!("the fleet's set {digest}: shop.toml, 1 disabled")),
        "{listed}"
    );

    let family = Family::V4;
    let attacker = family.attacker().to_string();
    let mut client = fleet.attacking(family);
    let mut ask = |target: &str| {
        client
            .get(&format!("http://{}{target}", family.edge_for_attacker()))
            .unwrap()
    };
    for target in ["/.env", "/export/customers.csv"] {
        ask(target);
    }
    let seen = || told(&fleet, &["why", &attacker]);
    wait_until("what the fleet looks for is recognised", SOON, || {
        seen().contains("shop-export (Export of customers; sensitive-file, high)")
    });
    assert!(!seen().contains("env-file"), "{}", seen());
    assert_eq!(fleet.ban_of(family.attacker()), None);

    // The next start hears nothing of NATS, and goes by its copy.
    fleet.nats.kill9();
    fleet.kill_edge();
    fleet.start_edge();
    let held = |fleet: &Fleet| {
        fleet
            .edge_stats()
            .map(|stats| stats["signatures"]["fleet"].clone())
    };
    wait_until("the edge looks for what the fleet published", SOON, || {
        held(&fleet) == Some(digest.clone().into())
    });
    fleet.nats.restart();
    fleet.await_edge();
    wait_until("orders are taken again", SOON, || {
        let output = fleet.cli("orchestrator", &["signatures", "enable", "env-file"]);
        output.status.success()
    });
    told(&fleet, &["signatures", "withdraw"]);
    assert_ne!(await_agreement(&fleet), digest);
    let tested = text(fleet.cli("edge", &["signatures", "test", "GET /export/customers.csv"]));
    assert_eq!(tested, "no signature matches\n");
    let audit = told(&fleet, &["audit", "--kind", "signatures", "-o", "csv"]);
    for change in [
        "published 1 in shop.toml",
        "disabled env-file: our own export",
        "enabled env-file",
        "withdrew",
    ] {
        assert!(audit.contains(change), "no `{change}` in\n{audit}");
    }
}
