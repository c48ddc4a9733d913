//! What messages say, and that text of others does nothing in them.

use secbeat_common::wire::{AuditRecord, Decision, Layer};
use secbeat_orchestrator_core::decider::ACTOR;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{
    engine::Happening,
    notify::{notice, severity::Severity, shapes, template::Template},
};

/// When it is told.
const NOW_MS: i64 = 1_795_168_807_000;

fn is_plain(text: &str) -> bool {
    !text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}')
}

#[test]
fn one_ban_is_a_sentence_and_a_raid_has_counts() {
    let one = message([ban(Reason::ErrorFlood, "o", "50 errors in 60s")]);
    assert_eq!(
        one.title,
        "SecBeat: 198.51.100.7/32 banned by rule error-flood for ever: 50 errors in 60s"
    );
    assert_eq!(shapes::all(&one), one.title);
    let by_hand = message([ban(Reason::Manual, "alice", "")]);
    assert_eq!(by_hand.text, "198.51.100.7/32 banned by operator alice for ever");
    let raid = (0..7).map(|_| ban(Reason::ErrorFlood, "o", ""));
    let raid = message(raid.chain([
        ban(Reason::Manual, "alice", ""),
        begun(TroubleKind::EdgeDown, "web-1", "it was stopped"),
    ]));
    assert_eq!(raid.title, "SecBeat: 8 bans, 1 trouble");
    assert_eq!(
        raid.text,
        "8 banned within 1s: 7 by rule error-flood, 1 by operators. 198.51.100.7/32, 198.51.100.7/32, 198.51.100.7/32, \
         198.51.100.7/32, 198.51.100.7/32 and 3 more\nEdge web-1 is down: it was stopped"
    );
    assert_eq!(raid.severity, Severity::Warning);
}

#[test]
fn a_rules_ban_that_an_operator_ends_early_is_told_as_an_unban() {
    let told = |actor: &str, reason, note: &str, left_ms| {
        let record = AuditRecord {
            at_ms: NOW_MS,
            target: "198.51.100.7".parse().unwrap(),
            actor: actor.to_owned(),
            decision: Decision::Ban {
                command_id: Uuid::from_u128(1),
                reason,
                note: note.to_owned(),
                expires_at_ms: NOW_MS + left_ms,
                strikes: 0,
                evidence: None,
                layer: Layer::Kernel,
                list: None,
                edges: None,
                labels: Vec::new(),
                events: Vec::new(),
            },
        };
        message(notice::of(NOW_MS, &Happening::Decided(Box::new(record)))).text
    };
    assert_eq!(
        told("alice", Reason::ErrorFlood, "", 1_990),
        "198.51.100.7/32 unbanned by alice"
    );
    assert_eq!(
        told("alice", Reason::ErrorFlood, "our own scanner", 1_990),
        "198.51.100.7/32 unbanned by alice: our own scanner"
    );
    // One that an import brought back, one of a rule, and one by hand, however short.
    for (actor, reason, left_ms) in [
        ("alice", Reason::ErrorFlood, 60_000),
        (ACTOR, Reason::ErrorFlood, 1_000),
        ("alice", Reason::Manual, 1_000),
    ] {
        let told = told(actor, reason, "", left_ms);
        assert!(told.starts_with("198.51.100.7/32 banned by "), "{told}");
    }
}

#[test]
fn an_unban_tells_the_reason_that_was_given() {
    let record = AuditRecord {
        at_ms: NOW_MS,
        target: "198.51.100.7".parse().unwrap(),
        actor: "alice".to_owned(),
        decision: Decision::Unban {
            command_id: Uuid::from_u128(1),
            strikes: 0,
            note: "false alarm".to_owned(),
            list: None,
        },
    };
    let one = message(notice::of(NOW_MS, &Happening::Decided(Box::new(record))));
    assert_eq!(
        one.title,
        "SecBeat: 198.51.100.7/32 unbanned by alice: false alarm"
    );
    assert_eq!(
        serde_json::to_value(&one).unwrap()["unbans"]["named"],
        json!([{ "target": "198.51.100.7/32", "actor": "alice", "note": "false alarm" }])
    );
    let template = "[{% for unban in unbans.named %}{{ unban.note }}, {% endfor %}{{ text }}]";
    let template = Template::new(template, true).unwrap();
    assert_eq!(
        template.render(&one).unwrap(),
        r#"["false alarm", "198.51.100.7/32 unbanned by alice: false alarm"]"#
    );
    assert_eq!(
        message([unban("alice", "")]).text,
        "198.51.100.7/32 unbanned by alice"
    );
    let long = message([unban("alice", &"x".repeat(1024))]);
    assert!(long.text.chars().count() < 350, "{}", long.text);
    assert_eq!(
        message([unban("alice", "one"), unban("bob", "two")]).text,
        "2 unbanned: 198.51.100.7/32, 198.51.100.7/32"
    );
}

#[test]
fn programs_read_the_same() {
    let message = message([
        ban(Reason::ErrorFlood, "o", ""),
        over(TroubleKind::NotReady, "orchestrator-1"),
    ]);
    let json = serde_json::to_value(&message).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(
        (&json["bans"]["automatic"], &json["bans"]["manual"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(json["bans"]["named"][0]["expires_at"], Value::Null);
    assert_eq!(
        json["events"][0],
        json!({
            "event": "ready", "trouble": "not-ready", "subject": "orchestrator-1", "over": true, "severity": "info",
            "at": "2026-11-20T10:01:37.000Z", "text": "orchestrator-1 can ban again after 1m 30s",
        })
    );
}

#[test]
fn what_nobody_was_told_is_said() {
    let mut summary = summary([ban(Reason::ErrorFlood, "o", "")]);
    (
        summary.left_out.messages,
        summary.left_out.undelivered,
        summary.left_out.missed,
    ) = (2, 30, 7);
    let message = Message::new(&summary, "o", &Geo::default(), 0);
    let expected = "Not told: 2 messages with 30 notices could not be delivered, 7 notices came too fast";
    assert_eq!(message.text.lines().last(), Some(expected));
    assert!(shapes::all(&message).ends_with(expected));
}

#[test]
fn nothing_that_others_write_is_a_control_a_line_or_long() {
    let long = message([ban(Reason::Manual, &"x".repeat(10_000), "")]);
    assert!(long.text.len() < 500, "{}", long.text);
    let message = hostile();
    let json = serde_json::to_value(&message).unwrap();
    fn walk(value: &Value) {
        match value {
            Value::String(text) => assert!(is_plain(text), "{text:?}"),
            Value::Array(values) => values.iter().for_each(walk),
            Value::Object(values) => values.values().for_each(walk),
            _ => {}
        }
    }
    walk(&json);
    assert_eq!(message.text.lines().count(), 3);
    assert!(!message.title.contains('\n'));
}

#[test]
fn slack_is_told_nothing_that_mentions_or_links() {
    let body = shapes::slack(&hostile());
    let text = body["text"].as_str().unwrap();
    assert!(!text.contains('<') && !text.contains('>'), "{text}");
    assert!(text.contains("&lt;!channel&gt;"), "{text}");
    assert_eq!(
        (&body["mrkdwn"], &body["link_names"]),
        (&json!(false), &json!(false))
    );
}

#[test]
fn discord_mentions_nobody_and_shows_markdown_as_it_is() {
    let body = shapes::discord(&hostile());
    assert_eq!(body["allowed_mentions"], json!({"parse": []}));
    let text = body["content"].as_str().unwrap();
    assert!(
        text.contains("\\*\\*b\\*\\*") && text.contains("\\@everyone"),
        "{text}"
    );
    let long = message((0..40).map(|n| begun(TroubleKind::EdgeDown, &format!("*{n}"), &"*".repeat(200))));
    assert!(
        shapes::discord(&long)["content"]
            .as_str()
            .unwrap()
            .chars()
            .count()
            <= 2000
    );
}

#[test]
fn a_card_of_teams_has_only_runs_of_text() {
    let body = shapes::teams(&hostile());
    let card = &body["attachments"][0]["content"];
    let blocks = card["body"].as_array().unwrap();
    assert_eq!(blocks.len(), 4);
    for block in blocks {
        assert_eq!(
            (&block["type"], &block["inlines"][0]["type"]),
            (&json!("RichTextBlock"), &json!("TextRun"))
        );
    }
    assert_eq!(card.get("msteams"), None);
}

#[test]
fn pagers_get_an_event_for_each_trouble_which_its_end_resolves() {
    let begin = begun(TroubleKind::EdgeDown, "web-1", "it was stopped");
    let events = shapes::pagerduty("KEY", &message([begin, ban(Reason::ErrorFlood, "o", "")]));
    let end = shapes::pagerduty("KEY", &message([over(TroubleKind::EdgeDown, "web-1")]));
    let facts = |event: &Value| (event["event_action"].clone(), event["dedup_key"].clone());
    assert_eq!(
        facts(&events[0]),
        (json!("trigger"), json!("secbeat/edge-down/web-1"))
    );
    assert_eq!(
        facts(&events[1]),
        (json!("trigger"), json!("secbeat/bans/orchestrator-1"))
    );
    assert_eq!(
        facts(&end[0]),
        (json!("resolve"), json!("secbeat/edge-down/web-1"))
    );
    assert_eq!(events[0]["payload"]["severity"], "warning");
    // A test leaves nothing open.
    let test = shapes::pagerduty("KEY", &Message::test("o", 0));
    assert_eq!(
        test.iter().map(|event| facts(event).0).collect::<Vec<_>>(),
        ["trigger", "resolve"]
    );
}

#[test]
fn a_template_makes_json_whatever_stands_in_the_text() {
    let template = Template::new(
        r#"{"text": {{ text }}, "all": [{{ bans.count }}, {{ title ~ "!" }}], "named": {{ bans.named }}}"#,
        true,
    )
    .unwrap();
    let message = hostile();
    let body: Value = serde_json::from_str(&template.render(&message).unwrap()).unwrap();
    assert_eq!(body["text"], message.text);
    assert_eq!(body["all"], json!([1, format!("{}!", message.title)]));
    assert_eq!(body["named"][0]["manual"], true);
    let plain = Template::new("{{ title }} ({{ severity }})", false).unwrap();
    assert_eq!(
        plain.render(&Message::test("o", 0)).unwrap(),
        "SecBeat: test message (info)"
    );
}

#[test]
fn a_template_that_does_not_do_is_an_error_at_once() {
    for (text, why) in [
        ("{\"a\": {{ nothing }}}", "undefined"),
        ("{\"a\": \"{{ text }}\"}", "bring their own quotes"),
        ("{{ text", "unexpected end"),
        ("{% include \"/etc/passwd\" %}", ""),
    ] {
        let error = Template::new(text, true).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}
