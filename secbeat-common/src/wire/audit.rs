//! Audit records: JSON on `secbeat.audit.<kind>.<target's key>`, for people and for restarts.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Evidence, Layer, Reason, SeenEvent, seen::known};
use crate::prefix::Prefix;

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditRecord {
    /// When it was taken, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// CIDR.
    #[serde(with = "cidr")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub target: Prefix,
    /// A daemon's name, or whoever used the API.
    pub actor: String,
    #[serde(flatten)]
    pub decision: Decision,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Decision {
    Ban {
        command_id: Uuid,
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        reason: Reason,
        note: String,
        expires_at_ms: i64,
        strikes: u32,
        evidence: Option<Evidence>,
        #[serde(default = "kernel")]
        layer: Layer,
        /// The edges that enforce it, if not all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        edges: Option<Vec<String>>,
        /// What the source did, oldest first, cut by [`bounded`](super::bounded).
        #[serde(default, deserialize_with = "known", skip_serializing_if = "Vec::is_empty")]
        events: Vec<SeenEvent>,
    },
    Unban {
        command_id: Uuid,
        strikes: u32,
    },
    /// A finding of a rule that only observes, and the ban that it would have been.
    Observed {
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        reason: Reason,
        note: String,
        expires_at_ms: i64,
        strikes: u32,
        evidence: Option<Evidence>,
        layer: Layer,
        /// As those of a ban.
        #[serde(default, deserialize_with = "known", skip_serializing_if = "Vec::is_empty")]
        events: Vec<SeenEvent>,
    },
    /// A network came onto the allowlist, or stays there otherwise.
    Allow {
        comment: String,
        until_ms: Option<i64>,
    },
    /// A network was taken off the allowlist.
    Disallow,
    /// A finding that banned nobody, and why.
    Suppressed {
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        reason: Reason,
        why: String,
        evidence: Evidence,
        /// As those of a ban.
        #[serde(default, deserialize_with = "known", skip_serializing_if = "Vec::is_empty")]
        events: Vec<SeenEvent>,
    },
}

impl AuditRecord {
    /// The same for every record of the same decision: by it the server recognizes one that is written again.
    #[must_use]
    pub fn id(&self) -> String {
        let kind = self.decision.kind();
        match self.decision {
            Decision::Ban { command_id, .. } | Decision::Unban { command_id, .. } => {
                format!("{kind}.{command_id}")
            }
            Decision::Observed { .. }
            | Decision::Suppressed { .. }
            | Decision::Allow { .. }
            | Decision::Disallow => format!("{kind}.{}.{}", self.target.key(), self.at_ms),
        }
    }

    /// The decision alone, without what led to it.
    #[must_use]
    pub fn without_events(mut self) -> Self {
        match &mut self.decision {
            Decision::Ban { events, .. }
            | Decision::Observed { events, .. }
            | Decision::Suppressed { events, .. } => *events = Vec::new(),
            Decision::Unban { .. } | Decision::Allow { .. } | Decision::Disallow => {}
        }
        self
    }
}

impl Decision {
    /// The third token of the record's subject.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ban { .. } => "ban",
            Self::Unban { .. } => "unban",
            Self::Observed { .. } => "observed",
            Self::Allow { .. } => "allow",
            Self::Disallow => "disallow",
            Self::Suppressed { .. } => "suppressed",
        }
    }
}

/// What bans were before records said it.
const fn kernel() -> Layer {
    Layer::Kernel
}

mod cidr {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::prefix::Prefix;

    pub(super) fn serialize<S: Serializer>(prefix: &Prefix, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(prefix)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Prefix, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record as releases wrote it that attached no events.
    const OLD: &str = r#"{"at_ms":1795168807000,"target":"203.0.113.7/32","actor":"secbeat-orchestrator","kind":"ban","command_id":"01920000-0000-7000-8000-000000000001","reason":"error-flood","note":"50 errors in 60s","expires_at_ms":1795169107000,"strikes":0,"evidence":{"count":50,"window_ms":60000,"at_ms":1795168806998}}"#;

    fn ban(events: Vec<SeenEvent>) -> AuditRecord {
        AuditRecord {
            at_ms: 1_795_168_807_000,
            target: "203.0.113.7".parse().unwrap(),
            actor: "secbeat-orchestrator".to_owned(),
            decision: Decision::Ban {
                command_id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
                reason: Reason::ErrorFlood,
                note: "50 errors in 60s".to_owned(),
                expires_at_ms: 1_795_169_107_000,
                strikes: 0,
                evidence: Some(Evidence {
                    count: 50,
                    window_ms: 60_000,
                    at_ms: 1_795_168_806_998,
                }),
                layer: Layer::Kernel,
                edges: None,
                events,
            },
        }
    }

    #[test]
    fn records_without_events_are_still_read() {
        assert_eq!(serde_json::from_str::<AuditRecord>(OLD).unwrap(), ban(Vec::new()));
    }

    #[test]
    fn a_record_is_recognized_by_its_decision() {
        let record = ban(Vec::new());
        assert_eq!(record.id(), "ban.01920000-0000-7000-8000-000000000001");
        let later = AuditRecord {
            at_ms: record.at_ms + 1,
            ..record.clone()
        };
        assert_eq!(record.id(), later.id());
        let command_id = Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001);
        let lifted = AuditRecord {
            decision: Decision::Unban {
                command_id,
                strikes: 0,
            },
            ..later
        };
        assert_eq!(lifted.id(), "unban.01920000-0000-7000-8000-000000000001");
    }

    #[test]
    fn events_travel_with_the_record() {
        let record = ban(vec![super::super::seen::tests::answer(1)]);
        let json = serde_json::to_string(&record).unwrap();
        assert!(
            json.ends_with(
                r#""layer":"kernel","events":[{"at_ms":1,"edge":"edge-1","client":"203.0.113.7","learned_from":"peer","answer":{"status":404,"method":"GET","user_agent":"curl/8"},"path":"/missing","host":"example.org"}]}"#
            ),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<AuditRecord>(&json).unwrap(), record);
    }
}
