//! Bans as they are imported and exported.

use secbeat_common::wire::{Layer, PERMANENT, Reason, Scope};
use secbeat_daemon::config::MAX_DURATION;
pub(crate) use secbeat_lists::{
    BanEntry, End, EntryError, Format, Layout, Listed, MAX_LIST_BYTES, Purpose, Reading, Request, Rounded,
    Writer, aggregate, distinct, misfit, names, read,
};
use secbeat_orchestrator_core::ledger::{MAX_NOTE, ManualBan};

use crate::{millis, view::BanView};

/// The ban of an entry, issued by `issuer` at `now_ms`.
///
/// # Errors
///
/// Returns an error if it is invalid.
pub(crate) fn manual_ban(entry: BanEntry, issuer: String, now_ms: i64) -> Result<ManualBan, EntryError> {
    let end = entry.about()?.end.ok_or(EntryError::NoEnd)?;
    let expires_at_ms = end.ms(now_ms);
    if expires_at_ms != PERMANENT && expires_at_ms.saturating_sub(now_ms) > millis(MAX_DURATION) {
        return Err(EntryError::TooLong);
    }
    if entry.note.len() > MAX_NOTE {
        return Err(note_too_long(&entry.note));
    }
    Ok(ManualBan {
        target: entry.target()?,
        expires_at_ms,
        reason: entry.reason.unwrap_or(Reason::Manual),
        layer: entry.layer.unwrap_or(Layer::Kernel),
        scope: Scope::Fleet,
        strikes: entry.strikes,
        note: entry.note,
        issuer,
        list: None,
        // What an import keeps is sifted before.
        shortens: true,
    })
}

/// That a note is too long.
pub(crate) const fn note_too_long(note: &str) -> EntryError {
    EntryError::Note {
        bytes: note.len(),
        most: MAX_NOTE,
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_168_800_000;

    #[test]
    fn an_entry_ends_in_exactly_one_way() {
        let entry = |json: &str| {
            let entry = serde_json::from_str(json).unwrap();
            manual_ban(entry, "alice".to_owned(), NOW).map(|ban| ban.expires_at_ms)
        };
        assert_eq!(
            entry(r#"{"target":"198.51.100.7","duration":"1m"}"#),
            Ok(NOW + 60_000)
        );
        assert_eq!(
            entry(r#"{"target":"198.51.100.7","duration":"permanent"}"#),
            Ok(PERMANENT)
        );
        assert_eq!(
            entry(r#"{"target":"198.51.100.7","permanent":true}"#),
            Ok(PERMANENT)
        );
        assert_eq!(entry(r#"{"target":"198.51.100.7"}"#), Err(EntryError::NoEnd));
        assert_eq!(
            entry(r#"{"target":"198.51.100.7","duration":"1m","permanent":true}"#),
            Err(EntryError::Ends)
        );
        assert_eq!(
            entry(r#"{"target":"198.51.100.7","expires_at":"2999-01-01T00:00:00Z"}"#),
            Err(EntryError::TooLong),
            "the server would overflow"
        );
        let note = format!(
            r#"{{"target":"198.51.100.7","permanent":true,"note":"{}"}}"#,
            "é".repeat(513)
        );
        assert_eq!(
            entry(&note),
            Err(EntryError::Note {
                bytes: 1026,
                most: 1024
            })
        );
    }
}
