//! A day in the life of an operator, who has the command line and knows other programs.

use std::{fs, process::Output, time::Duration};

use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    host::assert_refused,
    wait::wait_until,
};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(15);

#[track_caller]
fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What an orchestrator's command says that succeeds.
#[track_caller]
fn told(fleet: &Fleet, line: &str) -> String {
    let arguments: Vec<_> = line.split(' ').collect();
    stdout(&fleet.cli("orchestrator", &arguments))
}

#[track_caller]
fn told_json(fleet: &Fleet, line: &str) -> Value {
    serde_json::from_str(&told(fleet, line)).unwrap()
}

#[test]
fn an_operator_watches_bans_explains_exempts_and_moves_lists() {
    let mut fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    morning(&fleet);
    rules_change(&mut fleet);
    a_ban_ends_early_and_counts(&fleet);
    an_address_is_exempt_from_the_ban_around_it(&fleet);
    lists_come_and_go(&fleet);
    words_of_other_programs(&fleet);
    let audit = told(&fleet, "audit -o csv --sort at");
    for kind in ["ban", "allow", "disallow"] {
        assert!(audit.contains(&format!(",{kind},")), "no {kind} in\n{audit}");
    }
    assert!(fleet.edge.terminate(SOON).success());
    let alerts = wait_until("an alert of the edge that stopped", SOON, || {
        let output = fleet.cli("orchestrator", &["alerts"]);
        (output.status.code() == Some(1)).then_some(output)
    });
    let alerts = String::from_utf8(alerts.stdout).unwrap();
    assert!(alerts.contains("edge-stopped  edge-1"), "{alerts}");
}

fn morning(fleet: &Fleet) {
    // An edge is heard of once it says so.
    wait_until("nothing is wrong", SOON, || {
        let alerts = fleet.cli("orchestrator", &["alerts"]);
        let said = String::from_utf8_lossy(&alerts.stderr);
        alerts.status.success() && said.contains("nothing is wrong")
    });
    for (line, part) in [
        ("ping", "secbeat-orchestrator answers at "),
        ("version", "daemon at "),
        ("metrics", "secbeat_orchestrator_ready 1"),
        ("edges --utc", " UTC "),
        ("edges -o csv", "\nedge-1,up,20"),
        ("rules --sort -threshold --limit 1 -o csv", "\nrequest-flood,"),
    ] {
        let said = told(fleet, line);
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }
    let bans = fleet.cli("orchestrator", &["list"]);
    assert!(
        String::from_utf8_lossy(&bans.stderr).starts_with("no bans in force"),
        "{bans:?}"
    );
}

/// Errors from before count under the new rule; a file that is wrong changes nothing.
fn rules_change(fleet: &mut Fleet) {
    fleet.make_errors(Family::V4, 30);
    fleet.await_events(30);
    assert_eq!(fleet.ban_of(Family::V4.attacker()), None);
    let rule = "[[rule]]\nname = \"error-flood\"\nthreshold = 30\nwindow = \"1m\"\n\n[nats]";
    fleet.reconfigure_orchestrator("[nats]", &rule.replace("30", "\"many\""));
    fleet.orchestrator.signal(libc::SIGHUP);
    fleet
        .orchestrator
        .wait_for_log("the config cannot be used, and nothing changes", SOON);
    fleet.reconfigure_orchestrator("\"many\"", "30");
    fleet.orchestrator.signal(libc::SIGHUP);
    fleet
        .orchestrator
        .wait_for_log("the config's rules are in force", SOON);
    fleet.await_ban(Family::V4.attacker());
    let shown = told(fleet, "rules -o csv");
    assert!(shown.contains("\nerror-flood,errors,30,1m,"), "{shown}");
    let why = told(fleet, "status 198.51.100.2");
    assert!(why.starts_with("198.51.100.2 is banned"), "{why}");
    let events = told_json(fleet, "why 198.51.100.2 -o json")["events"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(events, 30, "evidence is told once, although it was read twice");
}

fn a_ban_ends_early_and_counts(fleet: &Fleet) {
    told(fleet, "unban 198.51.100.2 --keep-strikes");
    wait_until("the ban has ended", SOON, || {
        told_json(fleet, "bans --json") == serde_json::json!([])
            && fleet.ban_of(Family::V4.attacker()).is_none()
    });
    assert_eq!(told_json(fleet, "why 198.51.100.2 -o json")["strikes"], 1);
}

fn an_address_is_exempt_from_the_ban_around_it(fleet: &Fleet) {
    told(fleet, "allowlist add 198.51.100.2 --comment auditor");
    let said = told(fleet, "ban 198.51.100.2/31 --reason rented --duration 3600");
    assert_eq!(
        said,
        "banned 198.51.100.2/31 for 1h on every edge, except 198.51.100.2/32: on the fleet's allowlist\n"
    );
    wait_until("the edge enforces the ban around it", SOON, || {
        stdout(&fleet.cli("edge", &["bans", "198.51.100.3"])).contains("198.51.100.2/31")
    });
    let url = format!("http://{}/", Family::V4.edge_for_attacker());
    assert_eq!(fleet.attacking(Family::V4).get(&url).unwrap(), 200);
    let entries = told(fleet, "whitelist");
    assert!(entries.contains("auditor"), "{entries}");
    told(fleet, "allowlist add 0.0.0.0/1");
    assert_refused(
        &fleet.cli("orchestrator", &["allowlist", "add", "128.0.0.0/1"]),
        1,
        &["128.0.0.0/1 and the other entries together would cover all IPv4 addresses"],
    );
    told(fleet, "allowlist remove 0.0.0.0/1");
    // It may mean two things, and nobody is there to ask.
    let unclear = fleet.cli("orchestrator", &["ban", "192.0.2.7/24"]);
    assert_refused(&unclear, 64, &["`192.0.2.0/24` (or --network)", "or `192.0.2.7`"]);
    told(fleet, "unban 198.51.100.2/31");
}

fn lists_come_and_go(fleet: &Fleet) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        file.path(),
        "192.0.2.1 # a\n192.0.2.2 # b\n203.0.113.129/25 # c\n",
    )
    .unwrap();
    let path = file.path().to_str().unwrap();
    let imported = fleet.cli("orchestrator", &["import", path, "--duration", "2h"]);
    let said = String::from_utf8_lossy(&imported.stderr);
    assert!(said.contains("203.0.113.129/25 on line 3"), "{imported:?}");
    told(fleet, "ban 192.0.2.3 --duration -1");
    let targets = |line: &str| -> Vec<String> {
        let bans = told_json(fleet, line);
        let bans = bans.as_array().unwrap().iter();
        bans.map(|ban| ban["target"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        targets("bans --json --sort -expires_at --limit 2"),
        ["192.0.2.3/32", "203.0.113.128/25"]
    );
    assert_eq!(targets("decisions list -o json --sort note").len(), 4);
    assert_eq!(targets("banned 203.0.113.200 --json"), ["203.0.113.128/25"]);
    // What is listed can be imported, and says nothing new.
    fs::write(file.path(), told(fleet, "bans -o csv")).unwrap();
    let again = told(fleet, &format!("import {path}"));
    assert!(
        again.starts_with("imported 0 bans, 4 banned already for as long"),
        "{again}"
    );
    assert!(told(fleet, "export -f list").contains("192.0.2.3"));
    told(fleet, "unban --all");
}

fn words_of_other_programs(fleet: &Fleet) {
    for (daemon, line, hint) in [
        (
            "orchestrator",
            "set sshd banip 192.0.2.9",
            "`secbeat-orchestrator ban 192.0.2.9` bans it",
        ),
        ("orchestrator", "status sshd", "there are no jails"),
        (
            "orchestrator",
            "reload",
            "`systemctl reload secbeat-orchestrator`",
        ),
        ("edge", "get sshd banip", "`secbeat-edge bans`"),
    ] {
        let arguments: Vec<_> = line.split(' ').collect();
        assert_refused(&fleet.cli(daemon, &arguments), 2, &[hint]);
    }
    told(
        fleet,
        "decisions add --ip 192.0.2.9 --duration 4h --reason scanner",
    );
    told(fleet, "decisions delete --ip 192.0.2.9");
}
