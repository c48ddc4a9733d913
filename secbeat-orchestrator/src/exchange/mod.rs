//! Bans as they are imported and exported: files in three formats, and one ban in the form that the API takes.

mod read;
mod write;

use jiff::Timestamp;
use secbeat_common::{
    prefix::{Prefix, PrefixError},
    wire::{Layer, PERMANENT, Reason},
};
use secbeat_daemon::{config::MAX_DURATION, term::Term};
use secbeat_orchestrator_core::ledger::{MAX_NOTE, ManualBan};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) use self::{
    read::{Numbered, read},
    write::Writer,
};
use crate::{millis, view::BanView};

#[cfg(test)]
mod tests;

/// How bans are written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// An array of objects, which keeps all there is.
    Json,
    /// With a header line.
    Csv,
    /// An address or a CIDR on each line; what follows a `#` is a comment.
    List,
}

/// One ban. It says when it ends in exactly one way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BanEntry {
    /// An address, which stands for its source, or a CIDR.
    pub target: String,
    /// From the import on, as `4h` or `permanent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub duration: Option<Term>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub permanent: bool,
    /// `manual` unless set, or the name of a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reason: Option<Reason>,
    /// `kernel` unless set, or `l7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// Earlier bans that count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strikes: Option<u32>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Why an entry is no ban.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EntryError {
    #[error("{0}")]
    Target(#[from] PrefixError),
    #[error("it does not say when the ban ends (duration, expires_at or permanent)")]
    NoEnd,
    #[error("it says twice when the ban ends")]
    Ends,
    #[error("it ends in more than ten years; for ever is `permanent`")]
    TooLong,
    #[error("its note has {0} bytes, at most {MAX_NOTE} are kept")]
    Note(usize),
}

impl BanEntry {
    fn target(&self) -> Result<Prefix, PrefixError> {
        self.target.parse()
    }

    /// Whether it says when it ends.
    #[must_use]
    pub(crate) fn has_end(&self) -> bool {
        self.duration.is_some() || self.expires_at.is_some() || self.permanent
    }

    /// The ban, issued by `issuer` at `now_ms`.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub(crate) fn ban(self, issuer: String, now_ms: i64) -> Result<ManualBan, EntryError> {
        let expires_at_ms = match (self.duration, self.expires_at, self.permanent) {
            (Some(term), None, false) => term.end(now_ms),
            (None, Some(at), false) => at.as_millisecond(),
            (None, None, true) => PERMANENT,
            (None, None, false) => return Err(EntryError::NoEnd),
            _ => return Err(EntryError::Ends),
        };
        if expires_at_ms != PERMANENT && expires_at_ms.saturating_sub(now_ms) > millis(MAX_DURATION) {
            return Err(EntryError::TooLong);
        }
        if self.note.len() > MAX_NOTE {
            return Err(EntryError::Note(self.note.len()));
        }
        Ok(ManualBan {
            target: self.target()?,
            expires_at_ms,
            reason: self.reason.unwrap_or(Reason::Manual),
            layer: self.layer.unwrap_or(Layer::Kernel),
            strikes: self.strikes,
            note: self.note,
            issuer,
            // What an import keeps is sifted before.
            shortens: true,
        })
    }
}

impl From<&BanView> for BanEntry {
    fn from(ban: &BanView) -> Self {
        Self {
            target: ban.target.clone(),
            duration: None,
            expires_at: ban.expires_at.as_ref().and_then(|at| at.parse().ok()),
            permanent: ban.expires_at.is_none(),
            reason: ban.reason.parse().ok(),
            layer: [Layer::Kernel, Layer::L7]
                .into_iter()
                .find(|layer| layer.name() == ban.layer),
            strikes: Some(ban.strikes),
            note: ban.note.clone(),
        }
    }
}
