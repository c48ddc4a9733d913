//! Severity of a notice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// How much something matters.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    IntoStaticStr,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[strum(const_into_str, serialize_all = "lowercase")]
pub enum Severity {
    /// Bans, unbans, and troubles that are over.
    #[default]
    Info,
    /// An edge that is down, a feed that is not taken.
    Warning,
    /// All other troubles.
    Critical,
}

impl Severity {
    /// The word that users meet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.into_str()
    }
}
