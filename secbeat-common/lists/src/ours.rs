//! Bans as `export` and `bans -o json` write them, with all that SecBeat knows of them.

use secbeat_common::wire::{Labels, Layer, tell_labels};
use serde_json::value::RawValue;

use super::{
    BanEntry,
    list::{Found, Purpose},
    values::Fields,
};

/// A ban as `bans -o json` and the API tell of it, as far as it is read.
#[derive(serde::Deserialize)]
struct ExportedBan {
    target: String,
    /// RFC 3339; `None` for a ban without end.
    expires_at: Option<String>,
    reason: String,
    layer: String,
    strikes: u32,
    #[serde(default)]
    note: String,
    edges: Option<Vec<String>>,
    #[serde(default)]
    labels: Vec<Labels>,
}

impl From<&ExportedBan> for BanEntry {
    fn from(ban: &ExportedBan) -> Self {
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

/// Takes a ban that SecBeat wrote, with these `fields`.
pub(super) fn read(line: u64, value: &RawValue, fields: &Fields<'_>, purpose: Purpose, found: &mut Found) {
    let offset = |error: &serde_json::Error| line + error.line().saturating_sub(1) as u64;
    let is_ban = || {
        ["command_id", "origin", "reason", "layer", "strikes"]
            .iter()
            .any(|key| fields.contains_key(*key))
    };
    if purpose == Purpose::Allowlist && is_ban() {
        return found.bad(line, "a ban of SecBeat; `import` takes it");
    }
    // An edge tells of the origin, and a fleet of the command.
    let entry = if ["command_id", "origin"]
        .iter()
        .any(|key| fields.contains_key(*key))
    {
        match serde_json::from_str::<ExportedBan>(value.get()) {
            Ok(ExportedBan {
                edges: Some(edges),
                labels,
                target,
                ..
            }) => {
                let edges: Vec<_> = edges.into_iter().chain(labels.iter().map(tell_labels)).collect();
                let edges = edges.join(", ");
                return found.bad(
                    line,
                    format!("the ban of {target} holds on some edges only ({edges})"),
                );
            }
            Ok(ban) => Ok(BanEntry::from(&ban)),
            Err(error) => Err(error),
        }
    } else {
        serde_json::from_str::<BanEntry>(value.get())
    };
    match entry {
        Ok(entry) => match entry.about() {
            Ok(about) => found.take(line, &entry.target, about),
            Err(why) => found.bad(line, why),
        },
        Err(error) => found.bad(offset(&error), error),
    }
}
