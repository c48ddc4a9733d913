//! "Why was I banned?", asked of a real fleet.

use std::{process::Output, time::Duration};

use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    wait::wait_until,
};
use serde_json::Value;

/// The owner's default.
const ERRORS: u64 = 50;

#[track_caller]
fn stdout(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn why(fleet: &Fleet, address: &str) -> (Value, String) {
    let text = stdout(fleet.cli("orchestrator", &["why", address]));
    let json = stdout(fleet.cli("orchestrator", &["why", address, "-o", "json"]));
    (serde_json::from_str(&json).unwrap(), text)
}

#[track_caller]
fn assert_shows(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}

/// Bans the attacker of `family` for its errors, and waits until the audit has it.
fn ban(fleet: &Fleet, family: Family) -> String {
    fleet.make_errors(family, ERRORS);
    fleet.await_ban(family.attacker());
    let address = family.attacker().to_string();
    wait_until("the audit has the ban", Duration::from_secs(5), || {
        why(fleet, &address).0["history"][0].is_object()
    });
    address
}

#[test]
fn a_ban_is_explained_by_what_was_seen_and_stays_so_after_a_restart() {
    let mut fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    for family in Family::BOTH {
        let address = ban(&fleet, family);
        let (json, text) = why(&fleet, &address);
        assert_eq!(json["standing"], "banned");
        assert_eq!(json["events"].as_array().unwrap().len() as u64, ERRORS, "{json}");
        for n in 0..ERRORS {
            let event = &json["events"][n as usize];
            assert_eq!(
                (&event["path"], &event["answer"]["status"], &event["edge"]),
                (
                    &Value::from(format!("/missing-{n}")),
                    &Value::from(404),
                    &Value::from("edge-1")
                )
            );
            assert_shows(&text, &[&format!(" /missing-{n} ")]);
        }
        let ban = &json["bans"][0];
        let history = &json["history"][0];
        assert_eq!(history["command_id"], ban["command_id"]);
        // A ban starts when the server received what led to it.
        assert!(history["decided_at"].as_str() >= ban["issued_at"].as_str());
        assert_eq!(history["expires_at"], ban["expires_at"]);
        assert_eq!(history["end"]["how"], "in-force");
        let kinds: Vec<_> = json["timeline"]
            .as_array()
            .unwrap()
            .iter()
            .map(|moment| moment["kind"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["events", "finding", "ban", "written"], "{text}");
        assert_shows(
            &text,
            &[
                "is banned",
                "error-flood (50 errors in 60s)",
                "Z, reported by edge-1: 404 ×50",
                ban["expires_at"].as_str().unwrap(),
            ],
        );
    }

    fleet.bounce_orchestrator();
    for family in Family::BOTH {
        let (json, text) = why(&fleet, &family.attacker().to_string());
        assert_eq!(json["standing"], "banned", "{text}");
        let evidence = json["history"][0]["events"].as_array().unwrap();
        let paths: Vec<_> = evidence
            .iter()
            .map(|event| event["path"].as_str().unwrap())
            .collect();
        let expected: Vec<_> = (30..50).map(|n| format!("/missing-{n}")).collect();
        assert_eq!(paths, expected);
    }
}

#[test]
fn who_lifted_a_ban_is_told_and_the_audit_can_be_asked() {
    let fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    let address = ban(&fleet, Family::V4);
    stdout(fleet.cli(
        "orchestrator",
        &["unban", &address, "--comment", "our own crawler & more"],
    ));
    stdout(fleet.cli(
        "orchestrator",
        &["ban", "198.51.100.2/31", "--note", "a rented network"],
    ));
    let ended = wait_until("the audit has it all", Duration::from_secs(5), || {
        let history = why(&fleet, &address).0["history"].clone();
        (history.as_array().map(Vec::len) == Some(2)).then_some(history)
    });
    assert_eq!(ended[0]["end"]["how"], "lifted");
    assert_eq!(ended[0]["end"]["actor"], "root");
    assert_eq!(ended[0]["end"]["note"], "our own crawler & more");
    assert_eq!(ended[1]["target"], "198.51.100.2/31");
    let (json, text) = why(&fleet, &address);
    assert_eq!(json["strikes"], 0);
    assert_shows(
        &text,
        &[
            "198.51.100.2/31 until",
            "(a rented network)",
            "root lifted the ban of 198.51.100.2/32 (our own crawler & more)",
        ],
    );

    let audit = |arguments: &[&str]| {
        let arguments = [&["audit", "-o", "json"], arguments].concat();
        let records: Value = serde_json::from_str(&stdout(fleet.cli("orchestrator", &arguments))).unwrap();
        let kinds = records.as_array().unwrap().iter();
        kinds
            .map(|record| record["kind"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(audit(&[]), ["ban", "unban", "ban"]);
    assert_eq!(audit(&["--target", &address]), ["ban", "unban", "ban"]);
    assert_eq!(audit(&["--target", "198.51.100.2/31"]), ["ban"]);
    assert_eq!(audit(&["--target", "203.0.113.1"]), Vec::<String>::new());
    assert_eq!(audit(&["--actor", "root"]), ["ban", "unban"]);
    assert_eq!(audit(&["--kind", "unban"]), ["unban"]);
    assert_eq!(audit(&["--limit", "1", "--since", "1h"]), ["ban"]);
    assert_eq!(audit(&["--since", "2099-01-01T00:00:00Z"]), Vec::<String>::new());
    let findings = stdout(fleet.cli("orchestrator", &["findings", "-o", "json"]));
    let findings: Value = serde_json::from_str(&findings).unwrap();
    assert_eq!(findings.as_array().unwrap().len(), 1);
    assert_eq!(findings[0]["outcome"], "banned");
    assert_eq!(findings[0]["source"], "198.51.100.2/32");
}

#[test]
fn visitors_of_a_page_that_embeds_what_is_missing_are_told_from_those_that_follow_links() {
    let family = Family::V4;
    let fleet = Fleet::start(&Options::default());
    let embedded = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Dest", "image")];
    let followed = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Dest", "document")];
    let mut visitor = fleet.attacking(family);
    for n in 0..ERRORS {
        let url = format!("http://{}/gone-{n}.png", family.edge_for_attacker());
        let fields = if n < 10 { followed } else { embedded };
        let answer = visitor.request("GET", &url, &fields, b"").unwrap();
        assert_eq!(answer.status, 404);
    }
    // What any client can say hides nobody.
    fleet.await_ban(family.attacker());
    let (json, text) = why(&fleet, &family.attacker().to_string());
    let events = json["events"].as_array().unwrap();
    let marked = events.iter().filter(|event| event["cross_site"] == true);
    assert_eq!(
        (events.len() as u64, marked.count() as u64),
        (ERRORS, ERRORS - 10)
    );
    assert_shows(
        &text,
        &["40 of the 50 requests seen (80 %) say that a page of another site embeds them."],
    );
}

#[test]
fn why_somebody_is_not_banned() {
    let family = Family::V4;
    let fleet = Fleet::start(&Options {
        more_orchestrator_config:
            "[[protect.allow]]\nnetwork = \"198.51.100.0/24\"\ncomment = \"the scanner we \
                                   rent\"\nuntil = 2099-12-31T00:00:00Z\n"
                .to_owned(),
        ..Options::default()
    });
    fleet.make_errors(family, ERRORS);
    fleet.await_events(ERRORS);
    let address = family.attacker().to_string();
    let (json, text) = why(&fleet, &address);
    assert_eq!(json["standing"], "protected");
    assert_eq!(
        json["protected"][0],
        serde_json::json!({
            "network": "198.51.100.0/24", "reason": "configured", "comment": "the scanner we rent",
            "until": "2099-12-31T00:00:00.000Z",
        })
    );
    assert_eq!(json["findings"][0]["outcome"], "suppressed");
    assert_shows(
        &text,
        &[
            "198.51.100.2/32 is allowlisted, because of 198.51.100.0/24: the orchestrator's config lists it under \
             [protect] (the scanner we rent), until 2099-12-31T00:00:00.000Z.",
            "error-flood found 50 in 1m",
            "/missing-49",
        ],
    );
    assert_eq!(fleet.ban_of(family.attacker()), None);

    let (json, text) = why(&fleet, "192.0.2.77");
    assert_eq!(json["standing"], "unknown");
    assert_shows(
        &text,
        &[
            "192.0.2.77 is not banned, and nothing is known of it.",
            "A ban would take 50 in 1m (error-flood), 1000 in 1m (request-flood), 5 in 1m (waf-flood) or 3 in 1m (probe).",
        ],
    );
    assert_shows(
        &why(&fleet, "127.0.0.1").1,
        &["127.0.0.1 is never banned: loopback."],
    );
}

/// A ban of `target` that ended an hour ago, as releases wrote it whose audit subjects named the kind alone.
fn old_ban(target: &str, actor: &str) -> Vec<u8> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let record = serde_json::json!({
        "at_ms": now_ms - 3_900_000, "target": target, "actor": actor, "kind": "ban",
        "command_id": "01920000-0000-7000-8000-000000000001", "reason": "error-flood", "note": "50 errors in 60s",
        "expires_at_ms": now_ms - 3_600_000, "strikes": 0,
        "evidence": {"count": 50, "window_ms": 60_000, "at_ms": now_ms - 3_900_000},
    });
    serde_json::to_vec(&record).unwrap()
}

#[test]
fn records_of_earlier_releases_are_found_and_counted_and_old_ones_behind_many() {
    let mut fleet = Fleet::start(&Options::default());
    let address = Family::V4.attacker().to_string();
    fleet
        .nats
        .publish("secbeat.audit.ban", &old_ban(&format!("{address}/32"), "early"));
    for n in 0..300 {
        let subject = format!("secbeat.audit.ban.v4.0a0000{:02x}.32", n % 256);
        fleet
            .nats
            .publish(&subject, &old_ban(&format!("10.0.0.{}/32", n % 256), "late"));
    }
    fleet.bounce_orchestrator();
    let (json, text) = why(&fleet, &address);
    assert_eq!(
        (&json["strikes"], &json["standing"]),
        (&Value::from(1), &Value::from("free"))
    );
    assert_eq!(json["history"][0]["end"]["how"], "expired");
    assert_shows(&text, &["Its last ban, of 198.51.100.2/32, ended by itself at "]);
    let count = |arguments: &[&str]| {
        let arguments = [&["audit", "-o", "json"], arguments].concat();
        let records: Value = serde_json::from_str(&stdout(fleet.cli("orchestrator", &arguments))).unwrap();
        records.as_array().unwrap().len()
    };
    assert_eq!(
        count(&["--limit", "5", "--actor", "early"]),
        1,
        "301 records back"
    );
    assert_eq!(count(&["--limit", "1000"]), 301);
    assert_eq!(count(&["--limit", "7"]), 7);
    assert_eq!(count(&["--target", "10.0.0.3", "--limit", "9"]), 2);
}

#[test]
fn without_nats_it_says_what_it_knows_and_what_is_missing() {
    let mut fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    let address = ban(&fleet, Family::V6);
    fleet.nats.stop();
    let (json, text) = why(&fleet, &address);
    assert_eq!(json["standing"], "banned");
    assert_eq!(json["events"].as_array().unwrap().len() as u64, ERRORS);
    assert_shows(
        &text,
        &["The audit could not be read, so earlier decisions are missing here: "],
    );
    wait_until(
        "status says how old it is what it says",
        Duration::from_secs(5),
        || {
            let status = fleet.cli("orchestrator", &["status"]).stdout;
            String::from_utf8_lossy(&status).contains("leases      NOT READ from NATS since 20")
        },
    );
    let edges = fleet.cli("orchestrator", &["edges"]).stdout;
    assert_shows(&String::from_utf8_lossy(&edges), &["HEARD", "s ago"]);
    // One that starts now knows of no ban, and does not say that there are none.
    fleet.orchestrator.kill9();
    fleet.start_orchestrator();
    fleet
        .orchestrator
        .wait_for_log("running", Duration::from_secs(20));
    for arguments in [
        &["bans"][..],
        &["bans", &address],
        &["export"],
        &["unban", "--all"],
    ] {
        let said = fleet.cli("orchestrator", arguments);
        assert!(!said.status.success(), "{arguments:?}: {said:?}");
        let told = String::from_utf8_lossy(&said.stderr);
        assert_shows(&told, &["the ledger is still being read from NATS"]);
    }
}
