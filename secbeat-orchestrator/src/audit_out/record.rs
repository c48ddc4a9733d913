//! One audit record on its way out: as JSON by its own names or by those of the Elastic Common Schema, and as syslog.
//!
//! It is read as JSON, not as the type: a record that only a later release knows goes out as well.

use secbeat_common::{prefix::Prefix, subjects::AuditPart};
use secbeat_daemon::time::rfc3339;
use serde_json::{Map, Value, json};

use super::settings::Format;

/// The version of the Elastic Common Schema whose names these are: <https://www.elastic.co/docs/reference/ecs>.
const ECS: &str = "8.17.0";
/// Facility 10, security and authorization (RFC 5424, section 6.2.1).
const FACILITY: u8 = 10;
/// Whose structured data it is. SecBeat has no number of its own: this one is for examples (RFC 5612).
const SD_ID: &str = "secbeat@32473";

/// A record, and where it stands in the audit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OutRecord {
    part: AuditPart,
    sequence: u64,
    fields: Map<String, Value>,
}

impl OutRecord {
    /// `None` if it is not a record.
    pub(super) fn parse(part: AuditPart, sequence: u64, payload: &[u8]) -> Option<Self> {
        match serde_json::from_slice(payload).ok()? {
            Value::Object(fields) => Some(Self {
                part,
                sequence,
                fields,
            }),
            _ => None,
        }
    }

    /// One line of JSON, without a line break.
    pub(super) fn json(&self, format: Format) -> String {
        match format {
            Format::Secbeat => Value::Object(self.own()).to_string(),
            Format::Ecs => self.ecs().to_string(),
        }
    }

    /// The same without what led to the decision, for whom it would be too long.
    pub(super) fn without_events(mut self) -> Self {
        self.fields.remove("events");
        self
    }

    /// RFC 5424. What a parser may need is structured data; the message is JSON.
    pub(super) fn syslog(&self, format: Format, host: &str) -> String {
        // Notice, and a finding that banned nobody is a warning.
        let severity = if self.text("kind") == "suppressed" { 4 } else { 5 };
        let priority = FACILITY * 8 + severity;
        let mut data = format!(
            "[{SD_ID} part=\"{}\" sequence=\"{}\"",
            self.part.name(),
            self.sequence
        );
        for name in [
            "kind",
            "target",
            "reason",
            "actor",
            "note",
            "why",
            "comment",
            "command_id",
        ] {
            let value = self.text(name);
            if !value.is_empty() {
                data.push_str(&format!(" {name}=\"{}\"", escaped(value)));
            }
        }
        let kind = header(self.text("kind"), 32);
        format!(
            "<{priority}>1 {} {} secbeat-orchestrator - {kind} {data}] {}",
            self.at(),
            header(host, 255),
            self.json(format)
        )
    }

    fn text(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn at(&self) -> String {
        rfc3339(
            self.fields
                .get("at_ms")
                .and_then(Value::as_i64)
                .unwrap_or_default(),
        )
    }

    fn own(&self) -> Map<String, Value> {
        let mut fields = self.fields.clone();
        fields.insert("at".to_owned(), self.at().into());
        fields.insert("part".to_owned(), self.part.name().into());
        fields.insert("sequence".to_owned(), self.sequence.into());
        fields
    }

    fn ecs(&self) -> Value {
        let (kind, reason, actor) = (self.text("kind"), self.text("reason"), self.text("actor"));
        let is_manual = reason == "manual" || reason.is_empty();
        let (categories, of_type) = match kind {
            "ban" => (json!(["network", "intrusion_detection"]), "denied"),
            "unban" => (json!(["network", "intrusion_detection"]), "allowed"),
            "allow" => (json!(["configuration"]), "creation"),
            "disallow" => (json!(["configuration"]), "deletion"),
            _ => (json!(["intrusion_detection"]), "info"),
        };
        let mut event = json!({
            "kind": if is_manual { "event" } else { "alert" },
            "category": categories, "type": [of_type], "action": kind, "outcome": "success",
            "module": "secbeat", "dataset": "secbeat.audit", "provider": "secbeat-orchestrator", "sequence": self.sequence,
        });
        for (name, value) in [("id", self.text("command_id")), ("reason", self.because())] {
            if !value.is_empty() {
                event[name] = value.into();
            }
        }
        let mut ecs = json!({
            "@timestamp": self.at(),
            "ecs": { "version": ECS },
            "event": event,
            "message": format!("{kind} {}: {}", self.text("target"), self.because()),
            "observer": { "vendor": "SecBeat", "product": "SecBeat", "type": "ids" },
            "secbeat": self.own(),
        });
        self.who(&mut ecs);
        if !is_manual {
            ecs["rule"] = json!({ "name": reason, "ruleset": "secbeat" });
        } else if !actor.is_empty() {
            ecs["user"] = json!({ "name": actor });
            ecs["related"]["user"] = json!([actor]);
        }
        ecs
    }

    /// Of whom it is: `source.ip` is one address, and a network is none.
    fn who(&self, ecs: &mut Value) {
        let target = self.text("target");
        if target.is_empty() {
            return;
        }
        ecs["source"] = json!({ "address": target });
        let Ok(prefix) = target.parse::<Prefix>() else {
            return;
        };
        let bits = if prefix.addr().is_ipv4() { 32 } else { 128 };
        if prefix.len() == bits {
            let ip = prefix.addr().to_string();
            ecs["source"] = json!({ "address": ip, "ip": ip });
            ecs["related"] = json!({ "ip": [ip] });
        }
    }

    fn because(&self) -> &str {
        let words = ["note", "why", "comment"].map(|name| self.text(name));
        words
            .into_iter()
            .find(|word| !word.is_empty())
            .unwrap_or_default()
    }
}

/// A value of structured data: three characters have a `\` before them (RFC 5424, section 6.3.3), and there is no control.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '"' | '\\' | ']' => text.extend(['\\', character]),
            control if control.is_control() => text.push(' '),
            other => text.push(other),
        }
    }
    text
}

/// A field of the header: printable ASCII without spaces; `-` for none.
fn header(text: &str, most: usize) -> String {
    let text: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}
