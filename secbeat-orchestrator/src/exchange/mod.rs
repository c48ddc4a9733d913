//! Bans as they are imported and exported: lists in the formats that people have, and one ban in the form that the API takes.

mod columns;
mod csv;
mod decode;
mod fail2ban;
mod firewall;
mod json;
mod list;
mod merge;
mod nft;
mod plain;
mod read;
mod server;
mod sets;
mod target;
mod when;
mod words;
mod write;

use jiff::{Timestamp, tz::TimeZone};
use secbeat_common::{
    prefix::{Prefix, PrefixError},
    wire::{Layer, PERMANENT, Reason},
};
use secbeat_daemon::{config::MAX_DURATION, term::Term};
use secbeat_orchestrator_core::ledger::{MAX_NOTE, ManualBan};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::list::About;
pub(crate) use self::{
    list::{End, Listed, Purpose, Rounded},
    merge::{aggregate, distinct},
    read::{Format, MAX_LIST_BYTES, Reading, Request, names, read},
    write::{Layout, Writer},
};
use crate::{millis, view::BanView};

#[cfg(test)]
mod tests;

/// The formats that `import` reads, as a table for the docs: each with the beginning of a list in it.
#[must_use]
pub fn table() -> String {
    read::table()
}

/// Reads `bytes` as every format, and as the one that fits.
///
/// # Panics
///
/// When an entry or a complaint is of no line.
pub fn check(bytes: &[u8]) {
    let formats = <Format as clap::ValueEnum>::value_variants()
        .iter()
        .map(|format| Some(*format));
    for format in formats.chain([None]) {
        for purpose in [Purpose::Bans, Purpose::Allowlist] {
            let request = Request {
                format,
                purpose,
                zone: TimeZone::UTC,
            };
            let Ok(reading) = read(bytes, &request) else {
                continue;
            };
            let lines = reading.entries.iter().map(|entry| entry.line);
            let lines: Vec<_> = lines.chain(reading.bad.iter().map(|bad| bad.line)).collect();
            let last = 2 + bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            assert!(
                lines.iter().all(|line| (1..=last).contains(line)),
                "{lines:?} of {last}"
            );
            let mut entries = reading.entries;
            distinct(&mut entries, 0);
            let merged = aggregate(entries.clone(), 0);
            assert!(merged.len() <= entries.len(), "merging makes fewer");
        }
    }
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

    /// What it says beside its target.
    ///
    /// # Errors
    ///
    /// When it says more than once when it ends.
    fn about(&self) -> Result<About, EntryError> {
        let end = match (self.duration, self.expires_at, self.permanent) {
            (None, None, false) => None,
            (Some(term), None, false) => Some(End::For(term)),
            (None, Some(at), false) => Some(End::At(at)),
            (None, None, true) => Some(End::For(Term::Permanent)),
            _ => return Err(EntryError::Ends),
        };
        Ok(About {
            end,
            reason: self.reason,
            layer: self.layer,
            strikes: self.strikes,
            note: self.note.clone(),
        })
    }

    /// The ban, issued by `issuer` at `now_ms`.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub(crate) fn ban(self, issuer: String, now_ms: i64) -> Result<ManualBan, EntryError> {
        let end = self.about()?.end.ok_or(EntryError::NoEnd)?;
        let expires_at_ms = end.ms(now_ms);
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
            list: None,
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
