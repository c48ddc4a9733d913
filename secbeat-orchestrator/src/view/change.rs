//! Events of the fleet, as they are shown.

use secbeat_common::wire::{AuditRecord, Decision};
use secbeat_daemon::time::{end, rfc3339};
use secbeat_orchestrator_core::{
    analyzers::Finding,
    decider::Announcement,
    presence::{self, What},
};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use utoipa::ToSchema;

use crate::{engine::Happening, events::Event};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[strum(const_into_str, serialize_all = "kebab-case")]
pub enum Change {
    /// A source crossed a rule's threshold.
    Finding {
        /// CIDR.
        target: String,
        /// Name of the rule.
        rule: String,
        /// Events in the rule's window.
        count: u32,
        /// Length of the window, in milliseconds.
        window_ms: u64,
        /// The reason why no client is banned for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        suppressed: Option<String>,
    },
    /// NATS has a ban, and every edge hears of it.
    Ban {
        /// Id of the ban; its trace has the same.
        command_id: String,
        /// Address or CIDR.
        target: String,
        /// `manual`, or the name of the rule.
        reason: String,
        /// `kernel` or `l7`.
        layer: String,
        /// Earlier bans that count as repeat offences.
        strikes: u32,
        /// Its note; empty if there is none.
        note: String,
        /// The user, token or daemon that banned.
        actor: String,
        /// RFC 3339.
        /// `null` for a ban without end.
        expires_at: Option<String>,
    },
    /// A ban was lifted before its end.
    Unban {
        /// Id of the ban; its trace has the same.
        command_id: String,
        /// Address or CIDR.
        target: String,
        /// The user, token or daemon that decided.
        actor: String,
        /// The reason for it; missing if none was given.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
    },
    /// A network came onto the allowlist, or stays there otherwise.
    Allow {
        /// Address or CIDR.
        target: String,
        /// Comment of the one who added it.
        comment: String,
        /// The user, token or daemon that decided.
        actor: String,
        /// RFC 3339; missing if it does not expire.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<String>,
    },
    /// A network was taken off the allowlist.
    Disallow { target: String, actor: String },
    /// An edge is there again, or for the first time.
    EdgeUp { edge_id: String },
    /// An edge has stopped, or has not been heard of for too long.
    EdgeDown { edge_id: String },
    /// An edge has held other bans than the ledger for too long.
    EdgeDrifts {
        /// Name of the edge.
        edge_id: String,
        /// RFC 3339.
        since: String,
    },
    /// An edge that drifted holds the ledger's bans again.
    EdgeAgrees { edge_id: String },
}

impl Change {
    /// Returns what others are told of `happening`; `None` if it changes nothing.
    #[must_use]
    pub fn new(happening: &Happening) -> Option<Self> {
        match happening {
            Happening::Announced(announcement) => Some(Self::announced(announcement)),
            Happening::Decided(record) => Self::decided(record),
        }
    }

    fn announced(announcement: &Announcement) -> Self {
        match announcement {
            Announcement::Finding { finding, suppressed } => {
                Self::finding(finding, suppressed.as_ref().map(ToString::to_string))
            }
            Announcement::Edge(presence::Event { edge_id, what }) => {
                let edge_id = edge_id.clone();
                match *what {
                    What::Up => Self::EdgeUp { edge_id },
                    What::Down(_) => Self::EdgeDown { edge_id },
                    What::Drifts { since_ms, .. } => Self::EdgeDrifts {
                        edge_id,
                        since: rfc3339(since_ms),
                    },
                    What::Agrees => Self::EdgeAgrees { edge_id },
                }
            }
        }
    }

    fn finding(finding: &Finding, suppressed: Option<String>) -> Self {
        Self::Finding {
            target: finding.source.to_string(),
            rule: finding.rule.name().to_owned(),
            count: finding.count(),
            window_ms: u64::try_from(finding.window().as_millis()).unwrap_or(u64::MAX),
            suppressed,
        }
    }

    fn decided(record: &AuditRecord) -> Option<Self> {
        let (target, actor) = (record.target.to_string(), record.actor.clone());
        match &record.decision {
            Decision::Ban {
                command_id,
                reason,
                note,
                expires_at_ms,
                strikes,
                layer,
                ..
            } => Some(Self::Ban {
                command_id: command_id.to_string(),
                target,
                reason: reason.name().to_owned(),
                layer: layer.name().to_owned(),
                strikes: *strikes,
                note: note.clone(),
                actor,
                expires_at: end(*expires_at_ms),
            }),
            Decision::Unban { command_id, note, .. } => Some(Self::Unban {
                command_id: command_id.to_string(),
                target,
                actor,
                note: note.clone(),
            }),
            Decision::Allow {
                comment, until_ms, ..
            } => Some(Self::Allow {
                target,
                comment: comment.clone(),
                actor,
                until: until_ms.map(rfc3339),
            }),
            Decision::Disallow => Some(Self::Disallow { target, actor }),
            Decision::Observed { .. } | Decision::Suppressed { .. } => None,
        }
    }

    /// The event's name on the stream.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.into_str()
    }
}

/// One event, as JSON on the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Event)]
pub struct EventView {
    /// Resumes the stream after this event.
    pub id: String,
    /// RFC 3339.
    pub at: String,
    #[serde(flatten)]
    pub change: Change,
}

impl EventView {
    /// `None` if the event changes nothing.
    #[must_use]
    pub fn new(event: &Event<Happening>) -> Option<Self> {
        Some(Self {
            id: event.id.to_string(),
            at: rfc3339(event.at_ms),
            change: Change::new(&event.what)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_flat_json_that_names_its_kind() {
        let event = EventView {
            id: "1000-0".to_owned(),
            at: "2026-11-20T10:00:07.000Z".to_owned(),
            change: Change::EdgeUp {
                edge_id: "edge-1".to_owned(),
            },
        };
        let json = r#"{"id":"1000-0","at":"2026-11-20T10:00:07.000Z","kind":"edge-up","edge_id":"edge-1"}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), json);
        assert_eq!(serde_json::from_str::<EventView>(json).unwrap(), event);
    }

    #[test]
    fn the_stream_and_the_api_have_the_same_kinds() {
        for kind in [
            "finding",
            "ban",
            "unban",
            "allow",
            "disallow",
            "edge-up",
            "edge-down",
            "edge-drifts",
            "edge-agrees",
        ] {
            let json = serde_json::json!({
                "kind": kind, "target": "", "rule": "", "count": 0, "window_ms": 0, "command_id": "", "reason": "",
                "layer": "", "strikes": 0, "note": "", "actor": "", "comment": "", "edge_id": "", "since": "",
            });
            let change: Change = serde_json::from_value(json).unwrap();
            assert_eq!(change.kind(), kind);
        }
    }
}
