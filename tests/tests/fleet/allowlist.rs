//! The fleet's allowlist: whoever is on it is let through everywhere, and stays so whatever is restarted.

use std::{net::SocketAddr, process::Output, time::Duration};

use secbeat_common::verdict::Verdict;
use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    local::socket,
    udp::{self, UdpSink},
    wait::wait_until,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);
const ERRORS: u64 = 50;
const NOT_FOUND: i32 = 3;

fn start() -> Fleet {
    Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    })
}

#[track_caller]
fn orchestrator(fleet: &Fleet, arguments: &[&str]) -> String {
    let output = fleet.cli("orchestrator", arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn entries(fleet: &Fleet) -> Value {
    json(&orchestrator(fleet, &["allowlist", "list", "-o", "json"]))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Packets of banned sources that the kernel dropped so far.
fn dropped(fleet: &Fleet) -> u64 {
    fleet.pins().counters()[Verdict::Banned as usize].packets
}

/// Whether a packet of the attacker's gets through the kernel.
fn gets_through(fleet: &Fleet, family: Family) -> bool {
    let at = SocketAddr::new(family.edge_for_attacker().ip(), 0);
    let (sink, dropped) = (UdpSink::start(&fleet.host, at), dropped(fleet));
    udp::send(&fleet.attacker, family.attacker(), sink.address(), 1).unwrap();
    wait_until("the kernel has judged the packet", PATIENCE, || {
        let through = sink.received_from(family.attacker()) > 0;
        (through || self::dropped(fleet) > dropped).then_some(through)
    })
}

#[track_caller]
fn await_through(fleet: &Fleet, family: Family) {
    wait_until(&format!("packets over {family:?} get through"), PATIENCE, || {
        gets_through(fleet, family)
    });
}

#[track_caller]
fn await_dropped(fleet: &Fleet, family: Family) {
    wait_until(&format!("packets over {family:?} are dropped"), PATIENCE, || {
        !gets_through(fleet, family)
    });
}

/// The status that the attacker is answered with; `None` if it is not answered.
fn answer(fleet: &Fleet, family: Family) -> Option<u16> {
    let mut attacker = fleet.attacking(family).with_timeout(Duration::from_millis(500));
    attacker
        .get(&format!("http://{}/", family.edge_for_attacker()))
        .ok()
}

/// Waits until all of the attacker's errors so far are worked through, then asserts that none of it is banned.
#[track_caller]
fn assert_spared(fleet: &Fleet, family: Family, events: u64) {
    fleet.await_events(events);
    assert_eq!(fleet.ban_of(family.attacker()), None, "banned over {family:?}");
}

#[test]
fn a_banned_client_is_let_through_while_it_is_on_the_allowlist() {
    let fleet = start();
    for family in Family::BOTH {
        let attacker = family.attacker().to_string();
        fleet.make_errors(family, ERRORS);
        fleet.await_ban(family.attacker());
        assert!(!gets_through(&fleet, family));
        assert_eq!(answer(&fleet, family), None);

        let text = orchestrator(
            &fleet,
            &["allowlist", "add", &attacker, "-d", "1h", "--comment", "office"],
        );
        assert!(
            text.starts_with("allowlisted ") && text.contains(" for 1h"),
            "{text}"
        );
        await_through(&fleet, family);
        assert_eq!(answer(&fleet, family), Some(200));
        assert!(fleet.ban_of(family.attacker()).is_some(), "the ban is gone");
        let source = json(&orchestrator(&fleet, &["why", &attacker, "-o", "json"]));
        assert_eq!(source["bans"].as_array().unwrap().len(), 1, "{source}");
        let here = String::from_utf8(fleet.cli("edge", &["allowed", "-o", "json"]).stdout).unwrap();
        let here = json(&here);
        let here = here.as_array().unwrap().iter();
        let here: Vec<_> = here.filter(|entry| entry["reason"] == "fleet").collect();
        assert_eq!(here.len(), 1);
        assert_eq!(
            (&here[0]["network"], &here[0]["comment"], &here[0]["until"]),
            (
                &source["source"],
                &Value::from("office"),
                &entries(&fleet)[0]["until"]
            )
        );

        let removed = orchestrator(&fleet, &["allowlist", "remove", &attacker]);
        assert!(removed.contains("from the fleet's allowlist"), "{removed}");
        await_dropped(&fleet, family);
        assert_eq!(answer(&fleet, family), None);
        assert_eq!(entries(&fleet), Value::Array(Vec::new()));
        let again = fleet.cli("orchestrator", &["allowlist", "remove", &attacker]);
        assert_eq!(again.status.code(), Some(NOT_FOUND), "{again:?}");
        assert!(said(&again).contains("is not on the allowlist"), "{again:?}");

        wait_until("the audit has both changes", PATIENCE, || {
            let audit = json(&orchestrator(
                &fleet,
                &["audit", "-o", "json", "--target", &attacker, "--actor", "root"],
            ));
            let kinds: Vec<_> = audit.as_array()?.iter().map(|record| &record["kind"]).collect();
            (kinds == ["disallow", "allow"]).then_some(())
        });
    }
}

#[test]
fn a_client_on_the_allowlist_is_never_banned_and_why_names_its_entry() {
    let fleet = start();
    let network = "198.51.100.0/24";
    orchestrator(
        &fleet,
        &[
            "allowlist",
            "add",
            "-r",
            network,
            "--comment",
            "office",
            "--until",
            "2100-01-01T00:00:00Z",
        ],
    );
    fleet.make_errors(Family::V4, ERRORS + 10);
    assert_spared(&fleet, Family::V4, ERRORS + 10);
    let entry = "198.51.100.0/24: on the fleet's allowlist (office), until 2100-01-01T00:00:00.000Z";
    let why = ["why", "198.51.100.2"];
    let text = orchestrator(&fleet, &why);
    let sentence = format!("198.51.100.2/32 is allowlisted, because of {entry}.");
    assert!(text.contains(&sentence), "{text}");
    let source = json(&orchestrator(&fleet, &[&why[..], &["-o", "json"]].concat()));
    assert_eq!(source["standing"], "protected");
    assert_eq!(source["protected"][0]["reason"], "fleet");

    let refused = fleet.cli("orchestrator", &["ban", "198.51.100.2"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains(entry), "{refused:?}");
    let everybody = fleet.cli("orchestrator", &["allowlist", "add", "0.0.0.0/0"]);
    assert!(
        said(&everybody).contains("network: 0.0.0.0/0 covers all addresses"),
        "{everybody:?}"
    );

    // The other family is nobody's friend.
    fleet.make_errors(Family::V6, ERRORS);
    fleet.await_ban(Family::V6.attacker());
    let mut timeline = wait_until("the timeline tells who added it", PATIENCE, || {
        let text = orchestrator(&fleet, &why);
        text.contains("root put 198.51.100.0/24 on the allowlist")
            .then_some(text)
    });
    timeline.retain(|char| char != '\n');
    assert!(
        timeline.contains("until 2100-01-01T00:00:00.000Z (office)"),
        "{timeline}"
    );
}

#[test]
fn an_entry_ends_by_itself_and_its_ban_is_enforced_again() {
    let fleet = start();
    let family = Family::V4;
    fleet.make_errors(family, ERRORS);
    fleet.await_ban(family.attacker());
    orchestrator(&fleet, &["allowlist", "add", "198.51.100.2", "-d", "4s"]);
    await_through(&fleet, family);
    await_dropped(&fleet, family);
    assert_eq!(entries(&fleet), Value::Array(Vec::new()));
    wait_until("it can be banned by hand again", PATIENCE, || {
        fleet
            .cli("orchestrator", &["ban", "198.51.100.2"])
            .status
            .success()
    });
    let removed = fleet.cli("orchestrator", &["allowlist", "remove", "198.51.100.2"]);
    assert_eq!(removed.status.code(), Some(NOT_FOUND), "{removed:?}");
}

#[test]
fn it_survives_restarts_of_edge_orchestrator_and_bus() {
    let mut fleet = start();
    let (banned, spared) = (Family::V4, Family::V6);
    fleet.make_errors(banned, ERRORS);
    fleet.await_ban(banned.attacker());
    for family in Family::BOTH {
        let attacker = family.attacker().to_string();
        orchestrator(&fleet, &["allowlist", "add", &attacker, "--comment", "office"]);
    }
    await_through(&fleet, banned);
    let before = entries(&fleet);
    assert_eq!(before.as_array().unwrap().len(), 2);
    let errors = ERRORS + 5;

    fleet.bounce_orchestrator();
    assert_eq!(entries(&fleet), before);
    fleet.make_errors(spared, errors);
    assert_spared(&fleet, spared, errors);

    fleet.kill_edge();
    fleet.restart_edge();
    assert!(gets_through(&fleet, banned));

    fleet.nats.kill9();
    fleet.nats.restart();
    wait_until("NATS answers again", PATIENCE, || {
        fleet
            .cli("orchestrator", &["allowlist", "add", "192.0.2.1"])
            .status
            .success()
    });
    orchestrator(&fleet, &["allowlist", "remove", "192.0.2.1"]);
    assert_eq!(entries(&fleet), before);
    assert!(gets_through(&fleet, banned));
    assert_eq!(fleet.ban_of(spared.attacker()), None);

    orchestrator(&fleet, &["allowlist", "remove", "198.51.100.2"]);
    await_dropped(&fleet, banned);
}

#[test]
fn what_one_orchestrator_is_told_holds_for_the_others() {
    let fleet = start();
    let mut other = fleet.another_orchestrator(3031);
    other.wait_for_log("read the allowlist", PATIENCE);
    orchestrator(
        &fleet,
        &["allowlist", "add", "192.0.2.0/24", "--comment", "office"],
    );
    let socket = socket(&fleet.host, "secbeat-orchestrator-3031");
    let url = format!("unix:{}", socket.display());
    let there = ["--url", &url];
    let refused = wait_until("the other one hears of it", PATIENCE, || {
        let list = orchestrator(&fleet, &[&there[..], &["allowlist", "list"]].concat());
        let ban = || fleet.cli("orchestrator", &[&there[..], &["ban", "192.0.2.7"]].concat());
        list.contains("office").then(ban)
    });
    assert!(
        said(&refused).contains("on the fleet's allowlist (office)"),
        "{refused:?}"
    );
    orchestrator(
        &fleet,
        &[&there[..], &["allowlist", "remove", "192.0.2.0/24"]].concat(),
    );
    wait_until("the first one hears that it is gone", PATIENCE, || {
        entries(&fleet) == Value::Array(Vec::new())
    });
}

#[test]
fn an_edge_without_the_bus_keeps_it_also_over_a_restart() {
    let mut fleet = start();
    let family = Family::V4;
    fleet.make_errors(family, ERRORS);
    fleet.await_ban(family.attacker());
    orchestrator(&fleet, &["allowlist", "add", "198.51.100.2"]);
    await_through(&fleet, family);
    let before = dropped(&fleet);

    fleet.nats.kill9();
    let refused = wait_until("the orchestrator refuses changes", PATIENCE, || {
        let removed = fleet.cli("orchestrator", &["allowlist", "remove", "198.51.100.2"]);
        said(&removed).contains("NATS is unreachable").then_some(removed)
    });
    assert_eq!(refused.status.code(), Some(1));
    assert!(gets_through(&fleet, family));
    fleet.kill_edge();
    assert!(gets_through(&fleet, family));
    fleet.start_edge();
    fleet.edge.wait_for_log("running", PATIENCE);
    // Its reconciler has looked at the host and the kernel by then.
    wait_until("the edge has looked twice", PATIENCE, || {
        fleet
            .edge_stats()
            .is_some_and(|stats| stats["reconcile"]["completed"].as_u64() >= Some(2))
    });
    assert!(gets_through(&fleet, family));
    assert_eq!(dropped(&fleet), before, "a packet was dropped");

    fleet.nats.restart();
    wait_until("the entry can be removed", PATIENCE, || {
        fleet
            .cli("orchestrator", &["allowlist", "remove", "198.51.100.2"])
            .status
            .success()
    });
    await_dropped(&fleet, family);
}

#[test]
fn what_a_bus_without_its_store_has_lost_is_written_again() {
    let mut fleet = start();
    let family = Family::V4;
    orchestrator(
        &fleet,
        &[
            "allowlist",
            "add",
            "198.51.100.2",
            "-d",
            "1h",
            "--comment",
            "office",
        ],
    );
    let before = entries(&fleet);
    fleet.nats.lose_store();
    fleet.nats.restart();
    wait_until("the bucket has the entry again", Duration::from_secs(30), || {
        fleet
            .nats
            .messages("KV_secbeat_allow", "$KV.secbeat_allow.v4.c6336402.32")
            == 1
    });
    let kept = |entries: Value| {
        ["network", "until", "comment", "added_by", "added_at"].map(|key| entries[0][key].clone())
    };
    assert_eq!(kept(entries(&fleet)), kept(before));
    fleet.make_errors(family, ERRORS + 5);
    assert_spared(&fleet, family, ERRORS + 5);
}
