//! Feeds: what is known of each, what its source has now, and what packets met it.

use std::collections::BTreeMap;

use secbeat_common::wire::{EnforcedAt, FeedTrouble, FeedVerdict, FleetFeed, Presence};
use secbeat_daemon::time::rfc3339;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use utoipa::ToSchema;

use crate::feeds::{FeedEntry, Sifted};

/// A feed, and the list that edges have of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Feed)]
pub struct FeedView {
    /// Name of the feed.
    pub name: String,
    /// `observe`, `ban` or `allow`.
    pub mode: String,
    /// URL or file, without a password.
    pub source: String,
    /// State of its list.
    pub state: FeedState,
    /// Format of the list, such as `list`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub format: String,
    /// Entries of the list.
    pub entries: u32,
    /// Networks that edges have of it.
    pub networks: u64,
    /// Lines that were not entries.
    pub invalid: u32,
    /// Entries that are excluded, not public, or must not be banned.
    pub unusable: u32,
    /// Networks that came and went with the last list.
    pub added: u32,
    /// Networks that went with the last list.
    pub removed: u32,
    /// Bytes that edges read of it.
    pub bytes: u64,
    /// Tells lists apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Time at which the list was accepted, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<String>,
    /// Time at which the source last had it, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_at: Option<String>,
    /// The same in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_at_ms: Option<i64>,
    /// Time at which the list expires if the source does not answer before, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<String>,
    /// Time of the next request to the source, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<String>,
    /// The reason why the last answer was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<FeedTroubleView>,
    /// Edges that have this list in force.
    pub edges: usize,
    /// Edges that have another one, or none.
    pub other_edges: usize,
    /// Packets from its networks since the edges' kernels have the feed.
    pub packets: u64,
    /// Bytes of these packets.
    pub packet_bytes: u64,
    /// Networks of this feed that other feeds have, too, by their names; missing in lists of feeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlaps: Option<BTreeMap<String, usize>>,
}

/// State of a feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoStaticStr, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[strum(const_into_str, serialize_all = "lowercase")]
pub enum FeedState {
    /// No list was taken yet.
    #[default]
    Waiting,
    /// The source has what was taken.
    Fresh,
    /// The source cannot be read; the last list counts.
    Failing,
    /// What the source has is not taken; the last list counts.
    Refused,
    /// The last list is too old to count.
    Ended,
}

impl FeedState {
    /// The word that people read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.into_str()
    }
}

/// The reason why the list of a feed was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = FeedTrouble)]
pub struct FeedTroubleView {
    /// The reason why the list was not taken.
    pub why: String,
    /// RFC 3339.
    pub since: String,
    /// Attempts that failed since.
    pub attempts: u32,
}

impl From<&FeedTrouble> for FeedTroubleView {
    fn from(trouble: &FeedTrouble) -> Self {
        Self {
            why: trouble.why.clone(),
            since: rfc3339(trouble.since_ms),
            attempts: trouble.attempts,
        }
    }
}

impl FeedView {
    /// Of a feed whose source was never asked.
    #[must_use]
    pub(crate) fn waiting(entry: &FeedEntry) -> Self {
        Self {
            name: entry.name.clone(),
            mode: FeedVerdict::from(entry.mode).name().to_owned(),
            source: entry.place().to_string(),
            ..Self::default()
        }
    }

    /// Of the record `feed`, as of `now_ms`.
    #[must_use]
    pub fn new(feed: &FleetFeed, now_ms: i64) -> Self {
        let content = feed.content.as_ref();
        let state = match (&feed.trouble, content) {
            (_, Some(_)) if feed.in_force(now_ms).is_none() => FeedState::Ended,
            (Some(trouble), _) if trouble.is_refused => FeedState::Refused,
            (Some(_), _) => FeedState::Failing,
            (None, Some(_)) => FeedState::Fresh,
            (None, None) => FeedState::Waiting,
        };
        let had = content.is_some();
        let content = content.cloned().unwrap_or_default();
        Self {
            name: feed.name.clone(),
            mode: feed.verdict.name().to_owned(),
            source: feed.source.clone(),
            state,
            entries: content.entries,
            networks: content.networks(),
            invalid: content.invalid,
            unusable: content.unusable,
            added: content.added,
            removed: content.removed,
            bytes: content.bytes,
            digest: had.then(|| content.short_digest()),
            taken_at: had.then(|| rfc3339(content.taken_at_ms)),
            fresh_at: had.then(|| rfc3339(feed.fresh_at_ms)),
            fresh_at_ms: had.then_some(feed.fresh_at_ms),
            ends_at: had.then(|| rfc3339(feed.ends_at_ms)),
            next_at: Some(rfc3339(feed.next_at_ms)),
            trouble: feed.trouble.as_ref().map(Into::into),
            format: content.format,
            ..Self::default()
        }
    }

    /// Adds what the edges that are up say of it.
    #[must_use]
    pub fn with_edges<'a>(mut self, edges: impl IntoIterator<Item = &'a Presence>) -> Self {
        // Those that enforce in the HTTP layer alone have no lists.
        let edges = edges
            .into_iter()
            .filter(|edge| edge.enforcement != EnforcedAt::L7);
        for edge in edges {
            let held = edge.feeds.iter().find(|feed| feed.name == self.name);
            match held {
                Some(held) if held.trouble.is_none() && Some(&held.digest) == self.digest.as_ref() => {
                    self.edges += 1;
                }
                _ => self.other_edges += 1,
            }
            if let Some(held) = held {
                self.packets = self.packets.saturating_add(held.packets);
                self.packet_bytes = self.packet_bytes.saturating_add(held.bytes);
            }
        }
        self
    }
}

/// Present list at the source of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = FeedTest)]
pub struct FeedTestView {
    /// Whether it would be taken.
    pub taken: bool,
    /// The reason why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Format of the list.
    pub format: String,
    /// Entries that were read.
    pub entries: usize,
    /// Networks that these come to.
    pub networks: usize,
    /// Lines that are invalid.
    pub invalid: usize,
    /// The first invalid line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_invalid: Option<String>,
    /// Entries that are excluded, not public, or must not be banned.
    pub unusable: usize,
    /// Networks that it has and edges do not: how many, and the first of them.
    pub added: usize,
    /// The first of those networks.
    pub added_networks: Vec<String>,
    /// Networks that edges have and it does not.
    pub removed: usize,
    /// The first of those networks.
    pub removed_networks: Vec<String>,
}

impl From<Sifted> for FeedTestView {
    fn from(sifted: Sifted) -> Self {
        Self {
            format: sifted.format,
            entries: sifted.entries,
            networks: sifted.networks.len(),
            invalid: sifted.invalid,
            first_invalid: sifted.first_invalid,
            unusable: sifted.unusable,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::FeedContent;

    use super::*;

    #[test]
    fn the_state_says_what_counts() {
        let feed = |content: bool, trouble: Option<bool>, ends_at_ms| FleetFeed {
            content: content.then(FeedContent::default),
            trouble: trouble.map(|is_refused| FeedTrouble {
                is_refused,
                ..FeedTrouble::default()
            }),
            ends_at_ms,
            ..FleetFeed::default()
        };
        for (feed, state) in [
            (feed(false, None, 0), FeedState::Waiting),
            (feed(false, Some(false), 0), FeedState::Failing),
            (feed(true, None, 9), FeedState::Fresh),
            (feed(true, Some(true), 9), FeedState::Refused),
            (feed(true, Some(false), 9), FeedState::Failing),
            (feed(true, Some(false), 5), FeedState::Ended),
        ] {
            assert_eq!(FeedView::new(&feed, 5).state, state, "{feed:?}");
        }
    }
}
