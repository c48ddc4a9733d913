//! Messages as chats and pagers understand them, without what lets text of others do more than be read there.

use serde_json::{Value, json};

use super::{
    message::{EventPart, Message},
    severity::Severity,
    text::cut,
};

/// Returns all that a message says, for people: its title, and its lines unless the title says as much.
pub(super) fn all(message: &Message) -> String {
    match message.title.ends_with(&message.text) {
        true => message.title.clone(),
        false => format!("{}\n{}", message.title, message.text),
    }
}

/// <https://docs.slack.dev/messaging/formatting-message-text>: a mention, a link or a date begins with `<`, and of the text three
/// characters are to be escaped. Without `mrkdwn`, `*` is a `*`.
pub(super) fn slack(message: &Message) -> Value {
    let text = cut(&all(message), 12_000);
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    json!({"text": text, "mrkdwn": false, "parse": "none", "link_names": false, "unfurl_links": false, "unfurl_media": false})
}

/// <https://discord.com/developers/docs/resources/message#allowed-mentions-object>: nobody is mentioned, whatever the text says;
/// and markdown is what it is.
pub(super) fn discord(message: &Message) -> Value {
    const MARKDOWN: &str = "\\*_~`|>#-[]()<@:+!.";
    let mut text = String::new();
    for character in cut(&all(message), 1900).chars() {
        let room = 1990 - text.chars().count();
        if room < 2 {
            break;
        }
        if MARKDOWN.contains(character) {
            text.push('\\');
        }
        text.push(character);
    }
    json!({"content": text, "allowed_mentions": {"parse": []}, "flags": 4})
}

/// A card (<https://adaptivecards.io/explorer/TextRun.html>) for a workflow of Teams. In a `TextRun` there is no markdown, and
/// mentions need an entry of their own.
pub(super) fn teams(message: &Message) -> Value {
    let line = |text: &str, weight: &str| {
        let run = json!({"type": "TextRun", "text": cut(text, 8000), "weight": weight});
        json!({"type": "RichTextBlock", "inlines": [run]})
    };
    let mut body = vec![line(&message.title, "bolder")];
    if all(message) != message.title {
        body.extend(message.text.lines().map(|text| line(text, "default")));
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard", "version": "1.4", "body": body,
            },
        }],
    })
}

/// <https://docs.ntfy.sh/publish/#publish-as-json>. Markdown is off unless asked for.
pub(super) fn ntfy(topic: &str, message: &Message) -> Value {
    let priority = match message.severity {
        Severity::Info => 3,
        Severity::Warning => 4,
        Severity::Critical => 5,
    };
    json!({"topic": topic, "title": cut(&message.title, 200), "message": cut(&message.text, 1000), "priority": priority})
}

/// <https://gotify.net/api-docs#/message/createMessage>. Markdown is off unless asked for.
pub(super) fn gotify(message: &Message) -> Value {
    let priority = match message.severity {
        Severity::Info => 4,
        Severity::Warning => 6,
        Severity::Critical => 8,
    };
    json!({"title": cut(&message.title, 200), "message": message.text, "priority": priority})
}

/// <https://developer.pagerduty.com/docs/send-alert-event>: an event for each trouble, which its end resolves, and one for all bans.
pub(super) fn pagerduty(routing_key: &str, message: &Message) -> Vec<Value> {
    let event = |action: &str, key: &str, summary: &str, severity: Severity, source: &str, details: Value| {
        json!({
            "routing_key": routing_key,
            "event_action": action,
            "dedup_key": cut(&format!("secbeat/{key}"), 255),
            "client": "SecBeat",
            "payload": {
                "summary": cut(summary, 1024), "source": source, "severity": severity.name(), "timestamp": message.at,
                "component": "secbeat", "custom_details": details,
            },
        })
    };
    let by = message.orchestrator.as_str();
    if message.test {
        let event = |action| {
            event(
                action,
                "test",
                &message.title,
                Severity::Info,
                by,
                json!({"test": true}),
            )
        };
        return vec![event("trigger"), event("resolve")];
    }
    let of_trouble = |part: &EventPart| {
        let action = if part.over { "resolve" } else { "trigger" };
        let key = format!("{}/{}", part.trouble, part.subject);
        let details = json!({"orchestrator": by, "at": part.at, "left_out": message.left_out});
        event(action, &key, &part.text, part.severity, &part.subject, details)
    };
    let mut events: Vec<_> = message.events.iter().map(of_trouble).collect();
    if message.has_bans() {
        let details = json!({"bans": message.bans, "unbans": message.unbans, "left_out": message.left_out});
        events.push(event(
            "trigger",
            &format!("bans/{by}"),
            &message.title,
            Severity::Info,
            by,
            details,
        ));
    }
    events
}
