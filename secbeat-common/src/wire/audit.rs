//! Audit records: JSON, on the subjects of their [part](AuditPart), for people and for restarts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Evidence, Layer, Reason, SeenEvent, seen::known};
use crate::{prefix::Prefix, subjects::AuditPart};

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditRecord {
    /// Time at which it was taken, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// CIDR.
    #[serde(with = "cidr")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub target: Prefix,
    /// The daemon, user or token that decided.
    pub actor: String,
    #[serde(flatten)]
    pub decision: Decision,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Decision {
    Ban {
        /// Id of the ban; its trace has the same.
        command_id: Uuid,
        /// `manual`, or the name of the rule.
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        reason: Reason,
        /// Its note; empty if there is none.
        note: String,
        /// Time of expiry, milliseconds since the Unix epoch.
        expires_at_ms: i64,
        /// Earlier bans that count as repeat offences.
        strikes: u32,
        /// The rule's count; `null` for manual bans.
        evidence: Option<Evidence>,
        /// Layer that enforces it: `kernel` or `l7`.
        #[serde(default = "kernel")]
        layer: Layer,
        /// The list that it is of, if it is of one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        list: Option<Uuid>,
        /// The edges that enforce it, if not all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        edges: Option<Vec<String>>,
        /// Edges with all labels of one of these enforce it, too.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        labels: Vec<BTreeMap<String, String>>,
        /// The source's events, oldest first: the latest 20 at most.
        #[serde(default, deserialize_with = "known", skip_serializing_if = "Vec::is_empty")]
        events: Vec<SeenEvent>,
    },
    Unban {
        /// Id of the ban; its trace has the same.
        command_id: Uuid,
        /// Repeat offences that the ban counted.
        strikes: u32,
        /// The reason for the unban; empty if none was given.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
        /// Like that of a ban.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        list: Option<Uuid>,
    },
    /// A finding of a rule that only observes, and the ban that it would have been.
    Observed {
        /// `manual`, or the name of the rule.
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        reason: Reason,
        /// Its note; empty if there is none.
        note: String,
        /// Time of expiry, milliseconds since the Unix epoch.
        expires_at_ms: i64,
        /// Earlier bans that count as repeat offences.
        strikes: u32,
        /// The rule's count; `null` for manual bans.
        evidence: Option<Evidence>,
        /// Layer that enforces it: `kernel` or `l7`.
        layer: Layer,
        /// Like those of a ban.
        #[serde(default, deserialize_with = "known", skip_serializing_if = "Vec::is_empty")]
        events: Vec<SeenEvent>,
    },
    /// A network came onto the allowlist, or stays there otherwise.
    Allow {
        /// Comment of the one who added it.
        comment: String,
        /// Time at which the entry expires, milliseconds since the Unix epoch; `null` for never.
        until_ms: Option<i64>,
        /// Like that of a ban.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        list: Option<Uuid>,
    },
    /// A network was taken off the allowlist.
    Disallow,
    /// A finding that did not lead to a ban, and why.
    Suppressed {
        /// `manual`, or the name of the rule.
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        reason: Reason,
        /// The reason why no client was banned.
        why: String,
        /// The rule's count.
        evidence: Evidence,
        /// Like those of a ban.
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

    /// The part of the audit that it belongs to.
    #[must_use]
    pub const fn part(&self) -> AuditPart {
        match &self.decision {
            Decision::Ban { list: Some(_), .. }
            | Decision::Unban { list: Some(_), .. }
            | Decision::Allow { list: Some(_), .. } => AuditPart::Lists,
            Decision::Ban {
                reason: Reason::Manual,
                ..
            }
            | Decision::Unban { .. }
            | Decision::Allow { .. }
            | Decision::Disallow => AuditPart::Orders,
            Decision::Ban { .. } => AuditPart::Bans,
            Decision::Observed { .. } | Decision::Suppressed { .. } => AuditPart::Findings,
        }
    }

    /// Returns where it goes.
    #[must_use]
    pub fn subject(&self) -> String {
        self.part().record(self.decision.kind(), &self.target.key())
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

/// Many decisions that were made together: what an operator imported, or unbanned at once. Their records, which name its id, are in
/// the part `lists` of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ListRecord {
    /// Time at which it was done, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The user or token that used the API.
    pub actor: String,
    kind: ListTag,
    #[serde(flatten)]
    pub list: List,
}

/// Always `list`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
enum ListTag {
    #[default]
    List,
}

/// A list, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct List {
    /// Id of the list, which its records name.
    pub id: Uuid,
    /// The action: `ban`, `unban` or `allow`.
    pub what: ListUse,
    /// `sha256:` and 64 hexadecimal digits, of the list as it was read; none if it came by the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Format of the list, such as `plain` or `crowdsec`.
    pub format: String,
    /// Its file, if there was one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The reason for it; empty if none was given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Entries that took effect, and were not there before.
    pub new: u64,
    /// Entries that last longer than before.
    pub longer: u64,
    /// Entries that changed nothing.
    pub unchanged: u64,
    /// Entries that were refused, invalid or over.
    pub left_out: u64,
    /// Whether all of it was worked through.
    pub complete: bool,
}

/// Use of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ListUse {
    Ban,
    Unban,
    Allow,
}

impl ListUse {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::Unban => "unban",
            Self::Allow => "allow",
        }
    }
}

impl ListRecord {
    /// The kind of all such records.
    pub const KIND: &'static str = "list";

    #[must_use]
    pub const fn new(list: List, actor: String, at_ms: i64) -> Self {
        Self {
            at_ms,
            actor,
            kind: ListTag::List,
            list,
        }
    }

    /// As [`AuditRecord::id`].
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}.{}", Self::KIND, self.list.id)
    }

    /// Returns where the record of the list `id` goes.
    #[must_use]
    pub fn subject(id: Uuid) -> String {
        AuditPart::Orders.record(Self::KIND, &id.to_string())
    }
}

/// An operator's decision about signatures, for all edges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SignatureRecord {
    /// Time of the decision, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The user or token that used the API.
    pub actor: String,
    kind: SignatureTag,
    #[serde(flatten)]
    pub change: SignatureChange,
}

/// Always `signatures`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
enum SignatureTag {
    #[default]
    Signatures,
}

/// A change of the fleet's signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum SignatureChange {
    /// These files took the place of those before; none if they were withdrawn.
    Published {
        /// Their names.
        files: Vec<String>,
        /// Signatures in them.
        signatures: u64,
        /// The whole set's digest, 16 hexadecimal digits.
        digest: String,
    },
    Disabled {
        /// Ids of signatures.
        ids: Vec<String>,
        /// Its note; empty if there is none.
        note: String,
    },
    Enabled {
        /// Ids of signatures.
        ids: Vec<String>,
    },
}

impl SignatureRecord {
    /// The kind of all such records.
    pub const KIND: &'static str = "signatures";

    #[must_use]
    pub const fn new(change: SignatureChange, actor: String, at_ms: i64) -> Self {
        Self {
            at_ms,
            actor,
            kind: SignatureTag::Signatures,
            change,
        }
    }

    /// As [`AuditRecord::id`]: no two changes are of one time.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}.{}", Self::KIND, self.at_ms)
    }

    /// Returns where it goes.
    #[must_use]
    pub fn subject(&self) -> String {
        AuditPart::Orders.record(Self::KIND, &self.at_ms.to_string())
    }
}

/// One record of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Audited {
    Decision(AuditRecord),
    List(ListRecord),
    Signatures(SignatureRecord),
}

impl Audited {
    /// Returns when it was decided, milliseconds since the Unix epoch.
    #[must_use]
    pub const fn at_ms(&self) -> i64 {
        match self {
            Self::Decision(record) => record.at_ms,
            Self::List(record) => record.at_ms,
            Self::Signatures(record) => record.at_ms,
        }
    }

    #[must_use]
    pub fn actor(&self) -> &str {
        match self {
            Self::Decision(record) => &record.actor,
            Self::List(record) => &record.actor,
            Self::Signatures(record) => &record.actor,
        }
    }

    /// As [`Decision::kind`].
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Decision(record) => record.decision.kind(),
            Self::List(_) => ListRecord::KIND,
            Self::Signatures(_) => SignatureRecord::KIND,
        }
    }

    /// All kinds.
    pub const KINDS: [&'static str; 8] = [
        "ban",
        "unban",
        "allow",
        "disallow",
        ListRecord::KIND,
        SignatureRecord::KIND,
        "observed",
        "suppressed",
    ];
}

/// Returns what bans were before records said it.
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
                list: None,
                edges: None,
                labels: Vec::new(),
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
                note: String::new(),
                list: None,
            },
            ..later
        };
        assert_eq!(lifted.id(), "unban.01920000-0000-7000-8000-000000000001");
    }

    #[test]
    fn the_note_of_an_unban_is_written_only_if_there_is_one() {
        /// As releases wrote it that knew no note.
        const WITHOUT: &str = r#"{"at_ms":1,"target":"203.0.113.7/32","actor":"alice","kind":"unban","command_id":"01920000-0000-7000-8000-000000000001","strikes":2}"#;
        let record = |note: &str| AuditRecord {
            at_ms: 1,
            target: "203.0.113.7".parse().unwrap(),
            actor: "alice".to_owned(),
            decision: Decision::Unban {
                command_id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
                strikes: 2,
                note: note.to_owned(),
                list: None,
            },
        };
        assert_eq!(serde_json::from_str::<AuditRecord>(WITHOUT).unwrap(), record(""));
        assert_eq!(serde_json::to_string(&record("")).unwrap(), WITHOUT);
        let noted = serde_json::to_string(&record("our \"own\" crawler\u{1b}")).unwrap();
        let note = r#","note":"our \"own\" crawler\u001b"}"#;
        assert!(noted.ends_with(note) && noted.is_ascii(), "{noted}");
        assert_eq!(
            serde_json::from_str::<AuditRecord>(&noted).unwrap(),
            record("our \"own\" crawler\u{1b}")
        );
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

    #[test]
    fn much_of_one_kind_pushes_out_none_of_another() {
        let with = |reason, list| {
            let mut record = ban(Vec::new());
            if let Decision::Ban {
                reason: of,
                list: in_,
                ..
            } = &mut record.decision
            {
                (*of, *in_) = (reason, list);
            }
            record
        };
        assert_eq!(with(Reason::ErrorFlood, None).part(), AuditPart::Bans);
        assert_eq!(with(Reason::Manual, None).part(), AuditPart::Orders);
        let of_list = with(Reason::Manual, Some(Uuid::nil()));
        assert_eq!(of_list.part(), AuditPart::Lists);
        assert_eq!(of_list.subject(), "secbeat.audit-lists.ban.v4.cb007107.32");
        for part in AuditPart::ALL {
            assert!(part.holds("ban") || part == AuditPart::Findings);
        }
    }

    #[test]
    fn a_list_is_told_from_a_decision() {
        let list = List {
            id: Uuid::nil(),
            what: ListUse::Ban,
            digest: None,
            format: "plain".to_owned(),
            name: String::new(),
            note: "false positives".to_owned(),
            new: 1,
            longer: 2,
            unchanged: 3,
            left_out: 4,
            complete: true,
        };
        let change = SignatureChange::Disabled {
            ids: vec!["env-file".to_owned()],
            note: "our own export".to_owned(),
        };
        let of_signatures = SignatureRecord::new(change, "alice".to_owned(), 2);
        assert_eq!(of_signatures.subject(), "secbeat.audit.signatures.2");
        let records = [
            Audited::Signatures(of_signatures),
            Audited::List(ListRecord::new(list, "alice".to_owned(), 1)),
            Audited::Decision(ban(Vec::new())),
        ];
        for record in records {
            let json = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Audited>(&json).unwrap(), record, "{json}");
        }
        assert_eq!(
            ListRecord::subject(Uuid::nil()),
            "secbeat.audit.list.00000000-0000-0000-0000-000000000000"
        );
    }
}
