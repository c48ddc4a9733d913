//! Lists of networks in the formats that people have, read and written, and one ban of them in the form that the API takes. No I/O.

mod chain;
mod columns;
mod csv;
mod decode;
mod documents;
mod draft;
mod fail2ban;
mod firewall;
mod firewalld;
mod hosts;
mod json;
mod keys;
mod list;
mod logs;
mod merge;
mod nft;
mod nft_json;
mod no_list;
mod ours;
mod plain;
mod ranges;
mod read;
mod routers;
mod server;
mod sets;
mod stix;
mod target;
mod ufw;
mod values;
mod verdict;
mod when;
mod words;
mod write;

use jiff::{Timestamp, tz::TimeZone};
use secbeat_common::{
    prefix::{Prefix, PrefixError},
    wire::{Layer, Reason},
};
use secbeat_daemon::term::Term;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::{
    list::{About, BadLine, End, Listed, Purpose, Rounded},
    merge::{aggregate, distinct},
    ranges::{Ranges, changes, overlap},
    read::{Format, MAX_LIST_BYTES, Reading, Request, misfit, names, read},
    write::{Layout, Writer},
};

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
            let ends = bytes.iter().filter(|byte| matches!(**byte, b'\n' | b'\r'));
            let last = 2 + ends.count() as u64;
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
pub struct BanEntry {
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
    /// Whether it never expires.
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

/// The reason why an entry is not a ban.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("{0}")]
    Target(#[from] PrefixError),
    #[error("it does not say when the ban ends (duration, expires_at or permanent)")]
    NoEnd,
    #[error("it has two ends of the ban")]
    Ends,
    #[error("it ends in more than ten years; for ever is `permanent`")]
    TooLong,
    #[error("its note has {bytes} bytes, at most {most} are kept")]
    Note { bytes: usize, most: usize },
}

impl BanEntry {
    /// The network that its target names.
    ///
    /// # Errors
    ///
    /// Returns an error if it names none.
    pub fn target(&self) -> Result<Prefix, PrefixError> {
        self.target.parse()
    }

    /// Returns what it says beside its target.
    ///
    /// # Errors
    ///
    /// Returns an error if it says more than once when it ends.
    pub fn about(&self) -> Result<About, EntryError> {
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
}
