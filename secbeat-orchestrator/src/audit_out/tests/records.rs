//! What a copy says.

use secbeat_common::{
    subjects::AuditPart,
    wire::{AuditRecord, Decision},
};
use serde_json::{Value, json};

use super::*;
use crate::audit_out::{
    AuditOut,
    settings::{Format, SyslogServer},
};

#[test]
fn by_its_own_names_a_record_is_what_the_api_shows_and_where_it_stands() {
    let record = ban(7, "50 errors in 60s");
    let line = out(42, &record).json(Format::Secbeat);
    assert!(!line.contains('\n'));
    let mut line: Value = serde_json::from_str(&line).unwrap();
    let fields = line.as_object_mut().unwrap();
    assert_eq!(fields.remove("part"), Some(json!("bans")));
    assert_eq!(fields.remove("sequence"), Some(json!(42)));
    assert_eq!(fields.remove("at"), Some(json!("2026-11-20T10:00:07.000Z")));
    assert_eq!(line, serde_json::to_value(&record).unwrap());
}

#[test]
fn by_the_names_of_ecs_it_is_an_alert_of_a_rule_or_an_operators_event() {
    let ecs =
        |record: &AuditRecord| -> Value { serde_json::from_str(&out(42, record).json(Format::Ecs)).unwrap() };
    let alert = ecs(&ban(7, "50 errors in 60s"));
    assert_eq!(alert["@timestamp"], "2026-11-20T10:00:07.000Z");
    assert_eq!(
        alert["event"],
        json!({
            "kind": "alert", "category": ["network", "intrusion_detection"], "type": ["denied"], "action": "ban",
            "outcome": "success", "module": "secbeat", "dataset": "secbeat.audit", "provider": "secbeat-orchestrator",
            "sequence": 42, "id": "00000000-0000-0000-0000-000000000007", "reason": "50 errors in 60s",
        })
    );
    assert_eq!(
        alert["source"],
        json!({"address": "198.51.100.7", "ip": "198.51.100.7"})
    );
    assert_eq!(alert["rule"]["name"], "error-flood");
    assert_eq!(alert.get("user"), None);
    let allowed = ecs(&AuditRecord {
        target: "203.0.113.0/24".parse().unwrap(),
        actor: "alice".to_owned(),
        decision: Decision::Allow {
            comment: "office".to_owned(),
            until_ms: None,
            list: None,
        },
        ..ban(7, "")
    });
    assert_eq!(allowed["event"]["category"], json!(["configuration"]));
    assert_eq!(allowed["source"], json!({"address": "203.0.113.0/24"}));
    assert_eq!(
        (&allowed["user"]["name"], &allowed["related"]),
        (&json!("alice"), &json!({"user": ["alice"]}))
    );
}

#[test]
fn a_kind_of_another_release_goes_out_too() {
    let record = OutRecord::parse(
        AuditPart::Orders,
        1,
        br#"{"at_ms":0,"kind":"imported","actor":"alice","count":7}"#,
    )
    .unwrap();
    let line: Value = serde_json::from_str(&record.json(Format::Secbeat)).unwrap();
    assert_eq!((&line["kind"], &line["count"]), (&json!("imported"), &json!(7)));
    let ecs: Value = serde_json::from_str(&record.json(Format::Ecs)).unwrap();
    assert_eq!(ecs["event"]["action"], "imported");
    assert!(record.syslog(Format::Secbeat, "h").contains(" imported ["));
    assert_eq!(OutRecord::parse(AuditPart::Orders, 1, b"[]"), None);
}

#[test]
fn syslog_is_rfc_5424_whatever_the_note_says() {
    let hostile = "a\"]\\ \n<0>1 x\u{1b}[2J";
    let record = out(42, &ban(7, hostile));
    let message = record.syslog(Format::Secbeat, "host 1\n");
    let (head, json) = message.split_once("] {").unwrap();
    assert_eq!(
        head,
        "<85>1 2026-11-20T10:00:07.000Z host1 secbeat-orchestrator - ban [secbeat@32473 part=\"bans\" sequence=\"42\" kind=\"ban\" \
         target=\"198.51.100.7/32\" reason=\"error-flood\" actor=\"orchestrator-1\" note=\"a\\\"\\]\\\\  <0>1 x [2J\" \
         command_id=\"00000000-0000-0000-0000-000000000007\""
    );
    let json: Value = serde_json::from_str(&format!("{{{json}")).unwrap();
    assert_eq!(json["note"], hostile);
    assert!(!message.contains(char::is_control), "{message:?}");
}

#[test]
fn a_server_is_named_by_how_it_is_spoken_to() {
    for text in [
        "tls://siem.example.org:6514",
        "tcp://[2001:db8::1]:601",
        "udp://h:514",
        "unix:/dev/log",
    ] {
        assert_eq!(text.parse::<SyslogServer>().unwrap().to_string(), text);
    }
    for text in [
        "siem:514",
        "http://siem:514",
        "tls://siem",
        "tls://:6514",
        "tls://a@b:1",
        "unix:log",
        "tls://h/x:1",
    ] {
        assert!(text.parse::<SyslogServer>().unwrap_err().contains(text), "{text}");
    }
}

#[test]
fn what_contradicts_itself_is_an_error() {
    let wrong = |toml: &str| toml::from_str::<AuditOut>(toml).unwrap().wrong();
    let relative = "[file]\npath = \"audit.json\"";
    assert_eq!(wrong(relative).unwrap().0, "audit.file.path");
    let plain = "[syslog]\nserver = \"tcp://h:1\"\nca_file = \"/ca\"";
    assert_eq!(wrong(plain).unwrap().0, "audit.syslog.ca_file");
    assert_eq!(wrong(&plain.replace("tcp", "tls")), None);
}
