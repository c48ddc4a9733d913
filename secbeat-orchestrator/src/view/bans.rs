//! Bans.

use std::collections::BTreeMap;

use secbeat_common::wire::{List, ListUse, PERMANENT, tell_labels};
use secbeat_daemon::{
    geo::{Geo, Origin},
    time::{end, ms_to_end, rfc3339},
};
use secbeat_orchestrator_core::{
    decider,
    ledger::{ActiveBan, Refusal, Sifted, WriteState},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::protection::allowlisted;
use crate::engine::Bans;

/// One ban.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BanView {
    /// Id of the ban; its trace has the same.
    pub command_id: String,
    /// CIDR.
    pub target: String,
    /// `manual`, or the name of the rule.
    pub reason: String,
    /// `issued` once NATS has it, `pending` before.
    pub state: String,
    /// `kernel` or `l7`.
    pub layer: String,
    /// Earlier bans that count as repeat offences.
    pub strikes: u32,
    /// Issuer: a user, a token or a daemon.
    pub issuer: String,
    /// Its note; empty if there is none.
    pub note: String,
    /// RFC 3339.
    pub issued_at: String,
    /// `null` for a ban without end, as the next one.
    pub expires_at: Option<String>,
    /// Milliseconds until it expires; `null` if it never does.
    pub expires_in_ms: Option<i64>,
    /// Events in the rule's window when it fired.
    pub count: Option<u32>,
    /// Country and provider of the target, by the files of `[geo]`.
    #[serde(flatten)]
    pub origin: Origin,
    /// The edges that enforce it; `null` if all do. Others may enforce it for their labels.
    pub edges: Option<Vec<String>>,
    /// Edges with all labels of one of these enforce it, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<BTreeMap<String, String>>,
    /// The list that it is of, as the audit names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<Uuid>,
    /// Networks in it that the fleet's allowlist exempts, in the answer to an order to ban.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exempt: Vec<String>,
    /// Whether the audit does not have it yet, in the answer to an order to ban: NATS has not taken the record within 2 s, and it is
    /// tried again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unrecorded: bool,
}

impl BanView {
    /// `ban` as of `now_ms`.
    #[must_use]
    pub fn new(ban: &ActiveBan, geo: &Geo, now_ms: i64) -> Self {
        let command = &ban.command;
        Self {
            command_id: command.id.to_string(),
            target: command.target.to_string(),
            reason: command.reason.name().to_owned(),
            state: match ban.write {
                WriteState::Pending => "pending",
                WriteState::Acknowledged => "issued",
            }
            .to_owned(),
            layer: command.layer.name().to_owned(),
            strikes: command.strikes,
            issuer: command.issuer.clone(),
            note: command.note.clone(),
            issued_at: rfc3339(command.issued_at_ms),
            expires_at: end(command.expires_at_ms),
            expires_in_ms: ms_to_end(command.expires_at_ms, now_ms),
            count: command.evidence.map(|evidence| evidence.count),
            origin: geo.of(&command.target),
            edges: command.scope.edges().map(<[String]>::to_vec),
            labels: command.scope.labels().to_vec(),
            list: command.list,
            exempt: Vec::new(),
            unrecorded: false,
        }
    }

    /// The edges that enforce it, as people read them: ids, and labels in place of the ids of the edges that have them.
    /// `None` are all.
    #[must_use]
    pub fn edges(&self) -> Option<String> {
        let ids = self.edges.as_ref()?.iter().cloned();
        let all: Vec<_> = ids.chain(self.labels.iter().map(tell_labels)).collect();
        Some(all.join(" "))
    }
}

/// `GET /api/v1/bans`: some of the bans, in the order that was asked for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BanPage {
    /// The bans of this page.
    pub bans: Vec<BanView>,
    /// Value of `after` for the next page; `null` on the last one.
    pub next: Option<String>,
    /// Bans on all pages; only on the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
}

impl BanPage {
    /// `page` as of `now_ms`.
    #[must_use]
    pub fn new(page: &Bans, geo: &Geo, now_ms: i64) -> Self {
        let bans = page.bans.iter().map(|ban| BanView::new(ban, geo, now_ms));
        Self {
            bans: bans.collect(),
            next: page.next.map(|place| place.to_string()),
            total: page.total,
        }
    }
}

/// Outcome of an import, or of its dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// New bans.
    pub banned: usize,
    /// Those among them that take the place of another one.
    #[serde(default)]
    pub longer: usize,
    /// Targets whose ban in force reaches as deep and lasts as long.
    pub kept: usize,
    /// Bans that have ended already.
    pub ended: usize,
    /// Those that cannot be banned.
    pub refused: Vec<Refused>,
    /// Networks among the new bans that are not single clients and were not banned before.
    pub new_networks: usize,
    /// Networks that can be banned beside those that were before the import.
    pub free_networks: usize,
    /// New bans around networks that the fleet's allowlist exempts from them.
    #[serde(default)]
    pub exempting: usize,
    /// Of a dry run: what would happen with each ban of the request, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fates: Vec<Fate>,
}

/// Effect of an import on one of its bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It becomes a ban.
    New,
    /// It takes the place of a ban that ends earlier, or reaches less far.
    Longer,
    /// A ban in force, or another one of the request, goes before it.
    Kept,
    /// It has ended already.
    Ended,
    /// `refused` says why.
    Refused,
}

impl From<Sifted> for Fate {
    fn from(sifted: Sifted) -> Self {
        match sifted {
            Sifted::New => Self::New,
            Sifted::Longer => Self::Longer,
            Sifted::Kept => Self::Kept,
            Sifted::Ended => Self::Ended,
            Sifted::Refused(_) => Self::Refused,
        }
    }
}

/// A ban that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refused {
    /// Its place in the request, from 0.
    pub index: usize,
    /// Target of the request.
    pub target: String,
    /// The reason why it was refused.
    pub why: String,
    /// The same for programs, such as `allowlisted`, `unbannable`, `too_many_networks`, or `invalid` for what is not a ban at all.
    #[serde(default)]
    pub code: String,
}

impl Imported {
    /// The same of a whole request: its bans at `places` were looked at, and those of `invalid`, by their places, are not bans.
    /// In a dry run each has its fate.
    #[must_use]
    pub fn with_invalid(mut self, places: &[usize], invalid: Vec<Refused>, is_dry_run: bool) -> Self {
        for refused in &mut self.refused {
            refused.index = places.get(refused.index).copied().unwrap_or(refused.index);
        }
        if is_dry_run {
            let mut fates = vec![Fate::Refused; places.len() + invalid.len()];
            for (place, fate) in places.iter().zip(&self.fates) {
                if let Some(of_place) = fates.get_mut(*place) {
                    *of_place = *fate;
                }
            }
            self.fates = fates;
        }
        self.refused.extend(invalid);
        self.refused.sort_by_key(|refused| refused.index);
        self
    }

    /// The list `id`, which came by the API.
    #[must_use]
    pub fn list(&self, id: Uuid) -> List {
        List {
            id,
            what: ListUse::Ban,
            digest: None,
            format: "api".to_owned(),
            name: String::new(),
            note: String::new(),
            new: (self.banned - self.longer) as u64,
            longer: self.longer as u64,
            unchanged: self.kept as u64,
            left_out: (self.ended + self.refused.len()) as u64,
            complete: true,
        }
    }
}

impl From<decider::Imported> for Imported {
    fn from(imported: decider::Imported) -> Self {
        let refused = imported.refused.iter().map(|order| Refused {
            index: order.index,
            target: order.refused.target.to_string(),
            why: refusal(&order.refused),
            code: refusal_code(&order.refused.refusal).to_owned(),
        });
        Self {
            banned: imported.banned,
            longer: imported.longer,
            kept: imported.kept,
            ended: imported.ended,
            refused: refused.collect(),
            new_networks: imported.new_networks,
            free_networks: imported.free_networks,
            exempting: imported.exempting,
            fates: imported.fates.into_iter().map(Fate::from).collect(),
        }
    }
}

/// Returns why a target is not banned, in a word for programs.
#[must_use]
pub const fn refusal_code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Protected(_) => "allowlisted",
        Refusal::TooManyNets => ROOM,
        Refusal::Outlasted(_) => "banned_for_longer",
        Refusal::Outreached(_) => "banned_on_more_edges",
        Refusal::Unbannable(_) => "unbannable",
        Refusal::Ended => "expired",
    }
}

/// The code of a network for which there is no room.
pub const ROOM: &str = "too_many_networks";

/// Returns why a target is not banned, in a sentence.
#[must_use]
pub fn refusal(refused: &decider::Refused) -> String {
    let target = refused.target;
    match (refused.refusal, &refused.protected) {
        (Refusal::Unbannable(why), _) => format!("{target} is never banned: {why}"),
        (Refusal::Protected(_), Some(protected)) => allowlisted(&target.to_string(), protected),
        (Refusal::Protected(net), None) => format!("{target} is allowlisted ({net} is)"),
        (Refusal::Outlasted(until_ms), _) => format!(
            "{target} is banned {}, which is longer; --shorten (`shorten` in the API) replaces that ban",
            until(until_ms)
        ),
        (Refusal::Outreached(until_ms), _) => format!(
            "{target} is banned {} on edges without these labels, too: unban it first",
            until(until_ms)
        ),
        (refusal @ (Refusal::TooManyNets | Refusal::Ended), _) => format!("{target}: {refusal}"),
    }
}

fn until(end_ms: i64) -> String {
    match end_ms {
        PERMANENT => "for ever".to_owned(),
        end_ms => format!("until {}", rfc3339(end_ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_ban_hides_the_fate_of_no_other() {
        let refused = |index, code: &str| Refused {
            index,
            target: String::new(),
            why: String::new(),
            code: code.to_owned(),
        };
        // Of five bans the second and the last cannot be read; of the others the second is never banned.
        let imported = Imported {
            banned: 1,
            refused: vec![refused(1, "unbannable")],
            fates: vec![Fate::New, Fate::Refused, Fate::Kept],
            ..Imported::default()
        };
        let invalid = vec![refused(1, "invalid"), refused(4, "invalid")];
        let whole = imported.with_invalid(&[0, 2, 3], invalid.clone(), true);
        let places: Vec<_> = whole
            .refused
            .iter()
            .map(|of| (of.index, of.code.as_str()))
            .collect();
        assert_eq!(places, [(1, "invalid"), (2, "unbannable"), (4, "invalid")]);
        assert_eq!(
            whole.fates,
            [Fate::New, Fate::Refused, Fate::Refused, Fate::Kept, Fate::Refused]
        );
        let done = Imported::default().with_invalid(&[], invalid, false);
        assert_eq!((done.refused.len(), done.fates.len()), (2, 0));
    }
}
