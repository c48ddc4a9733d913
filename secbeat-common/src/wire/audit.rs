//! Audit records: JSON on `secbeat.audit.<kind>`, for people and for restarts.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Evidence, Layer, Reason};
use crate::prefix::Prefix;

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When it was taken, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// CIDR.
    #[serde(with = "cidr")]
    pub target: Prefix,
    /// A daemon's name, or whoever used the API.
    pub actor: String,
    #[serde(flatten)]
    pub decision: Decision,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Decision {
    Ban {
        command_id: Uuid,
        reason: Reason,
        note: String,
        expires_at_ms: i64,
        strikes: u32,
        evidence: Option<Evidence>,
        #[serde(default = "kernel")]
        layer: Layer,
    },
    Unban {
        command_id: Uuid,
        strikes: u32,
    },
    /// A finding of a rule that only observes, and the ban that it would have been.
    Observed {
        reason: Reason,
        note: String,
        expires_at_ms: i64,
        strikes: u32,
        evidence: Option<Evidence>,
        layer: Layer,
    },
    /// A finding that banned nobody, and why.
    Suppressed {
        reason: Reason,
        why: String,
        evidence: Evidence,
    },
}

impl Decision {
    /// The last token of the record's subject.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ban { .. } => "ban",
            Self::Unban { .. } => "unban",
            Self::Observed { .. } => "observed",
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
