//! Signatures: which the fleet knows, and what became of what they recognised.

use secbeat_common::wire::{FleetSignatures, Presence, SignatureChange, SignatureText};
use secbeat_daemon::time::rfc3339;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use utoipa::ToSchema;

/// A signature, and what became of requests that it recognised. Counts are of all orchestrators together, since the fleet began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Signature)]
pub struct SignatureView {
    /// Id of the signature.
    pub id: String,
    /// Its origin.
    pub origin: Origin,
    /// Title; empty where only an edge knows it.
    pub title: String,
    /// Class of attack, such as `sqli`.
    #[serde(default)]
    pub class: String,
    /// `info`, `low`, `medium`, `high` or `critical`.
    #[serde(default)]
    pub severity: String,
    /// Addresses of its descriptions.
    #[serde(default)]
    pub references: Vec<String>,
    /// Requests that matched.
    pub hits: u64,
    /// Bans with such a request among their evidence.
    pub bans: u64,
    /// Those bans that an operator lifted, or whose client an operator allowlisted.
    pub lifted: u64,
    /// By whom it is disabled on all edges; missing if it is looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<DisabledView>,
}

impl SignatureView {
    /// The signature `id` of an edge's own, of which nothing is known.
    #[must_use]
    pub const fn unmet(id: String) -> Self {
        Self {
            id,
            origin: Origin::Edge,
            title: String::new(),
            class: String::new(),
            severity: String::new(),
            references: Vec::new(),
            hits: 0,
            bans: 0,
            lifted: 0,
            disabled: None,
        }
    }
}

/// Origin of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[strum(const_into_str, serialize_all = "lowercase")]
#[schema(as = SignatureOrigin)]
pub enum Origin {
    /// SecBeat has it.
    Shipped,
    /// The fleet published it.
    Fleet,
    /// An edge has reported it that has it of its own.
    Edge,
}

impl Origin {
    /// The word that people read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.into_str()
    }
}

/// A disabled signature, with its author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DisabledSignature)]
pub struct DisabledView {
    /// Note; empty if there is none.
    pub note: String,
    /// The user or token that disabled it.
    pub by: String,
    /// RFC 3339.
    pub at: String,
}

impl DisabledView {
    /// Of the signature `id`, if `set` disables it.
    #[must_use]
    pub fn of(set: &FleetSignatures, id: &str) -> Option<Self> {
        set.disabled(id).map(|disabled| Self {
            note: disabled.note.clone(),
            by: disabled.by.clone(),
            at: rfc3339(disabled.at_ms),
        })
    }
}

/// The set of signatures that the fleet published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PublishedSignatures)]
pub struct PublishedView {
    /// Which set it is, as edges say it of theirs; missing where nothing was published and nothing disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<String>,
    /// The user or token that changed it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<String>,
    /// Signatures in the files.
    pub signatures: usize,
    /// Ids of those that are disabled on all edges.
    pub disabled: Vec<String>,
    /// The published files.
    pub files: Vec<SignatureText>,
}

impl PublishedView {
    /// Returns what `set` is, with so many `signatures` in its files.
    #[must_use]
    pub fn new(set: &FleetSignatures, signatures: usize) -> Self {
        Self {
            digest: Some(set.digest()),
            changed_at: Some(rfc3339(set.changed_at_ms)),
            changed_by: Some(set.changed_by.clone()),
            signatures,
            disabled: set.disabled.iter().map(|disabled| disabled.id.clone()).collect(),
            files: set.files.clone(),
        }
    }
}

/// Comparison of an edge's signatures with the fleet's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignatureAgreement {
    /// It has what the fleet published last.
    Agrees,
    /// It has what was published before, or nothing of it.
    Differs,
    /// Its config has it look for none.
    Off,
    /// It does not say.
    #[default]
    Unknown,
}

impl SignatureAgreement {
    /// Of the edge that says `record`, where the fleet's set has the digest `fleet`.
    #[must_use]
    pub fn of(record: &Presence, fleet: Option<&str>) -> Self {
        match &record.signatures {
            None => Self::Unknown,
            Some(held) if held.count == 0 => Self::Off,
            Some(held) if held.fleet.as_deref() == fleet => Self::Agrees,
            Some(_) => Self::Differs,
        }
    }
}

/// Returns what was changed.
#[must_use]
pub fn signature_change(change: &SignatureChange) -> String {
    let with = |note: &str| match note {
        "" => String::new(),
        note => format!(": {note}"),
    };
    match change {
        SignatureChange::Published { files, digest, .. } if files.is_empty() => {
            format!("withdrew all files, {digest}")
        }
        SignatureChange::Published {
            files,
            signatures,
            digest,
        } => format!("published {signatures} in {}, {digest}", files.join(", ")),
        SignatureChange::Disabled { ids, note } => format!("disabled {}{}", ids.join(", "), with(note)),
        SignatureChange::Enabled { ids } => format!("enabled {}", ids.join(", ")),
    }
}
