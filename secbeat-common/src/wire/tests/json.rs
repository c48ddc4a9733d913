//! Presence and audit records, which are JSON, across releases.

use serde_json::{Value, json};

use super::super::*;

fn presence() -> Value {
    json!({
        "edge_id": "edge-1",
        "boot_id": "01920000-0000-7000-8000-000000000001",
        "version": "0.1.0",
        "speaks": { "format": 2, "kinds": { "ban": [1] } },
        "started_at_ms": 1,
        "at_ms": 2,
        "enforcement": "kernel",
        "observe_only": false,
        "interfaces": [{ "name": "eth0", "mode": "native" }],
        "bans": {
            "active": 3,
            "fleet": { "issued_before_ms": 0, "ending_from_ms": 10_000, "bans": 2, "digest": "00" },
            "set_aside": 0,
            "unwritten": 0,
            "synced": true
        },
        "allowlist": 4,
        "drops": { "packets": 5, "bytes": 6 },
        "telemetry_lost": 7,
        "spool": { "batches": 0, "bytes": 0 },
        "bus_revision": 8,
        "clock": { "ahead_ms": -600_000, "error_ms": 2 },
        "refused_config": "edge.toml:3: unknown key `x`",
        "logs": [{
            "name": "nginx", "lines": 100, "not_understood": 60, "recent": 100, "recent_not_understood": 60,
            "delay_ms": 12, "bytes_behind": 0, "silent_ms": 5, "trouble": "half of its last lines or more are not understood"
        }]
    })
}

fn read(presence: Value) -> Presence {
    serde_json::from_value(presence).unwrap()
}

#[test]
fn presence_of_this_release_leads_back() {
    let record = read(presence());
    assert_eq!(record.speaks.kinds["ban"], [1]);
    assert_eq!(serde_json::to_value(&record).unwrap(), presence());
}

#[test]
fn a_clock_reads_as_people_expect() {
    let clock = |ahead_ms| {
        ClockOffset::tell(Some(ClockOffset {
            ahead_ms,
            error_ms: 2,
        }))
    };
    assert_eq!(
        clock(4),
        "0.004 s ahead of the clock that bans go by (to within 2 ms)"
    );
    assert_eq!(
        clock(-999),
        "0.999 s behind the clock that bans go by (to within 2 ms)"
    );
    assert_eq!(
        clock(600_000),
        "WRONG: 600.000 s ahead of the clock that bans go by (to within 2 ms): set it right (NTP)"
    );
    assert!(clock(-1_000).starts_with("WRONG: 1.000 s behind"));
}

#[test]
fn presence_of_an_older_release_says_that_it_reads_nothing_of_this_one() {
    let mut older = presence();
    older.as_object_mut().unwrap().remove("speaks");
    older.as_object_mut().unwrap().remove("clock");
    older.as_object_mut().unwrap().remove("logs");
    older.as_object_mut().unwrap().remove("refused_config");
    let expected = Presence {
        speaks: Speaks::default(),
        clock: None,
        logs: Vec::new(),
        refused_config: None,
        ..read(presence())
    };
    assert_eq!(read(older), expected);
    assert!(!expected.speaks.can_read(Kind::Ban, &[]));
}

#[test]
fn presence_of_a_newer_release_is_read_but_for_what_is_unknown() {
    let mut newer = presence();
    newer["load"] = json!(0.5);
    newer["logs"][0]["inode"] = json!(7);
    newer["bans"]["lists"] = json!([1, 2]);
    newer["speaks"]["compression"] = json!(["zstd"]);
    newer["speaks"]["kinds"]["list"] = json!([1, 2]);
    newer["enforcement"] = json!("smartnic");
    let record = read(newer);
    assert_eq!(record.enforcement, EnforcedAt::Unknown);
    assert_eq!(record.speaks.kinds["list"], [1, 2]);
    assert!(record.speaks.can_read(Kind::Ban, &[1]));
    assert_eq!(record.bans, read(presence()).bans);
}

fn record() -> Value {
    json!({
        "at_ms": 1,
        "target": "203.0.113.7/32",
        "actor": "orchestrator",
        "kind": "ban",
        "command_id": "01920000-0000-7000-8000-000000000001",
        "reason": "tls-flood",
        "note": "n",
        "expires_at_ms": 2,
        "strikes": 0,
        "evidence": null,
        "layer": "l7",
        "events": [event()]
    })
}

fn event() -> Value {
    json!({
        "at_ms": 1, "edge": "edge-1", "client": "203.0.113.7", "learned_from": "header",
        "answer": { "status": 404, "method": "GET", "user_agent": "curl/8" },
        "path": "/x", "host": "example.org"
    })
}

fn events(record: &Value) -> Vec<SeenEvent> {
    match serde_json::from_value::<AuditRecord>(record.clone())
        .unwrap()
        .decision
    {
        Decision::Ban { events, reason, .. } => {
            assert_eq!(reason.name(), "tls-flood");
            events
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn records_of_a_newer_release_are_read_but_for_what_is_unknown() {
    let mut newer = record();
    newer["why"] = json!({ "campaign": 7 });
    newer["events"][0]["asn"] = json!(64_496);
    newer["events"][0]["answer"]["ja4"] = json!("t13d");
    newer["events"][0]["learned_from"] = json!("quic-lb");
    let mut probe = event();
    probe.as_object_mut().unwrap().remove("answer");
    probe["probe"] = json!({ "port": 22 });
    newer["events"].as_array_mut().unwrap().insert(0, probe);
    let [event] = &events(&newer)[..] else {
        panic!("the event that is known, and no other")
    };
    assert_eq!(event.learned_from, LearnedFrom::Unknown);
    let known = SeenEvent {
        learned_from: LearnedFrom::Header,
        ..event.clone()
    };
    assert_eq!(events(&record()), [known]);
}

#[test]
fn an_unban_and_its_note_are_read_across_releases() {
    let read = |record: &Value| serde_json::from_value::<AuditRecord>(record.clone()).unwrap();
    let older = json!({
        "at_ms": 1,
        "target": "203.0.113.7/32",
        "actor": "alice",
        "kind": "unban",
        "command_id": "01920000-0000-7000-8000-000000000001",
        "strikes": 3
    });
    assert_eq!(serde_json::to_value(read(&older)).unwrap(), older);
    let mut now = older;
    now["note"] = json!("our own crawler");
    assert_eq!(serde_json::to_value(read(&now)).unwrap(), now);
    let mut newer = now.clone();
    newer["ticket"] = json!({ "id": 7 });
    assert_eq!(read(&newer), read(&now));
}

#[test]
fn a_record_whose_decision_or_layer_is_unknown_is_none() {
    let read = |field: &str, value: &str| {
        let mut newer = record();
        newer[field] = json!(value);
        serde_json::from_value::<AuditRecord>(newer)
    };
    assert!(read("kind", "ban").is_ok() && read("layer", "kernel").is_ok());
    for (field, value) in [("kind", "tarpit"), ("layer", "switch")] {
        let error = read(field, value).unwrap_err().to_string();
        assert!(error.contains(&format!("unknown variant `{value}`")), "{error}");
    }
}
