//! Feeds: lists of networks that others publish, as the fleet keeps them.

use serde::{Deserialize, Serialize};

use super::{Kind, Message};
use crate::sign::Command;

/// Most feeds of a fleet: as many as a kernel has lists.
pub const MAX_FEEDS: usize = 32;
/// Most networks of a feed.
pub const MAX_FEED_NETWORKS: usize = 2_000_000;
/// Most bytes of the networks of a feed, packed.
pub const MAX_FEED_BYTES: u64 = 48 * 1024 * 1024;
/// Bytes of a chunk of them; the last one has fewer.
pub const FEED_CHUNK: usize = 512 * 1024;
/// Longest text in the record of a feed, in bytes.
pub const MAX_FEED_TEXT: usize = 1024;

/// A feed, with what is known of its source: stored under [`subjects::feed`](crate::subjects::feed). Times are milliseconds since
/// the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetFeed {
    pub name: String,
    pub verdict: FeedVerdict,
    /// URL or file, without a password.
    pub source: String,
    /// Interval at which the source is asked, and how long a list counts, in milliseconds.
    pub every_ms: i64,
    pub ttl_ms: i64,
    /// Tells apart the settings with which the source was last asked.
    pub asked: u64,
    /// Time at which the record was written. Grows with each one: an older one is one that was there before.
    pub changed_at_ms: i64,
    /// The networks that edges hold of it; `None` before the first accepted list.
    pub content: Option<FeedContent>,
    /// Time at which the source last had the accepted list; 0 before the first one.
    pub fresh_at_ms: i64,
    /// Time at which the list expires, unless the source answers before.
    pub ends_at_ms: i64,
    /// Time at which the source was last asked.
    pub tried_at_ms: i64,
    /// Time at which it is asked next.
    pub next_at_ms: i64,
    /// The reason why the last answer was not taken, if so.
    pub trouble: Option<FeedTrouble>,
    /// `ETag` of what was taken.
    pub etag: Option<String>,
    /// `Last-Modified` of what was taken.
    pub last_modified: Option<String>,
}

/// Action of edges on packets from the networks of a feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FeedVerdict {
    /// The edge counts them.
    #[default]
    Observe,
    /// The edge drops them.
    Ban,
    /// The edge lets them pass, no matter who else bans their client.
    Allow,
}

/// Where the networks of a feed are, and what became of the entries of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedContent {
    /// SHA-256 of the packed networks.
    pub digest: [u8; 32],
    /// Their bytes.
    pub bytes: u64,
    /// Tells apart the settings with which the list was sifted.
    pub settings: u64,
    /// The slot of chunks that holds them, of two: the next list goes into the other one.
    pub slot: u8,
    pub networks_v4: u32,
    pub networks_v6: u32,
    /// The format of the list, such as `list`.
    pub format: String,
    /// Time at which it was taken.
    pub taken_at_ms: i64,
    /// Entries of the list.
    pub entries: u32,
    /// Lines that were not entries.
    pub invalid: u32,
    /// Entries that must not be banned, or that are not public.
    pub unusable: u32,
    /// Networks that were not in the list before.
    pub added: u32,
    /// Networks that were in the list before.
    pub removed: u32,
}

/// The reason why the list of a feed was not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedTrouble {
    pub why: String,
    /// Whether there was an answer, which was refused. Else the source could not be read.
    pub is_refused: bool,
    /// Start of the time in which nothing was accepted.
    pub since_ms: i64,
    /// Attempts since then.
    pub attempts: u32,
}

/// Invalid record of a feed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFeed {
    #[error("its name is `{0}`, and its key has another one")]
    Name(String),
    #[error("a list of {0} networks; a feed has at most {MAX_FEED_NETWORKS}")]
    Networks(u64),
    #[error("a list of {0} bytes; a feed has at most {MAX_FEED_BYTES}")]
    Bytes(u64),
    #[error("its list is in slot {0}; there are two")]
    Slot(u8),
}

impl Message for FleetFeed {
    const KIND: Kind = Kind::Feed;
}

impl Command for FleetFeed {}

impl FleetFeed {
    /// The record itself, if it is within its bounds and is the one of `name`.
    ///
    /// # Errors
    ///
    /// See [`BadFeed`].
    pub fn checked(self, name: &str) -> Result<Self, BadFeed> {
        if self.name != name {
            return Err(BadFeed::Name(self.name));
        }
        if let Some(content) = &self.content {
            let networks = content.networks();
            if networks > MAX_FEED_NETWORKS as u64 {
                return Err(BadFeed::Networks(networks));
            }
            if content.bytes > MAX_FEED_BYTES {
                return Err(BadFeed::Bytes(content.bytes));
            }
            if content.slot > 1 {
                return Err(BadFeed::Slot(content.slot));
            }
        }
        Ok(self)
    }

    /// Returns what counts of the feed at `now_ms`: a list whose time has not ended.
    #[must_use]
    pub fn in_force(&self, now_ms: i64) -> Option<&FeedContent> {
        self.content.as_ref().filter(|_| now_ms < self.ends_at_ms)
    }
}

impl FeedContent {
    /// Networks of the list.
    #[must_use]
    pub fn networks(&self) -> u64 {
        u64::from(self.networks_v4) + u64::from(self.networks_v6)
    }

    /// Chunks that hold the list.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.bytes.div_ceil(FEED_CHUNK as u64)
    }

    /// The digest's first digits, by which people tell lists apart.
    #[must_use]
    pub fn short_digest(&self) -> String {
        let first = self.digest.iter().take(8);
        first.map(|byte| format!("{byte:02x}")).collect()
    }
}

impl FeedVerdict {
    /// The word that people read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Ban => "ban",
            Self::Allow => "allow",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(content: FeedContent) -> FleetFeed {
        FleetFeed {
            name: "drop".to_owned(),
            content: Some(content),
            ends_at_ms: 100,
            ..FleetFeed::default()
        }
    }

    #[test]
    fn a_record_out_of_its_bounds_is_refused() {
        let good = FeedContent {
            networks_v4: 1_999_999,
            networks_v6: 1,
            bytes: MAX_FEED_BYTES,
            slot: 1,
            ..FeedContent::default()
        };
        assert!(feed(good.clone()).checked("drop").is_ok());
        let other = feed(good.clone()).checked("other").unwrap_err();
        assert_eq!(other, BadFeed::Name("drop".to_owned()));
        for (content, error) in [
            (
                FeedContent {
                    networks_v6: 2,
                    ..good.clone()
                },
                BadFeed::Networks(2_000_001),
            ),
            (
                FeedContent {
                    bytes: MAX_FEED_BYTES + 1,
                    ..good.clone()
                },
                BadFeed::Bytes(MAX_FEED_BYTES + 1),
            ),
            (FeedContent { slot: 2, ..good }, BadFeed::Slot(2)),
        ] {
            assert_eq!(feed(content).checked("drop").unwrap_err(), error);
        }
    }

    #[test]
    fn a_list_counts_until_its_time_ends() {
        let feed = feed(FeedContent::default());
        assert!(feed.in_force(99).is_some());
        assert_eq!(feed.in_force(100), None);
        let chunks = |bytes| {
            FeedContent {
                bytes,
                ..FeedContent::default()
            }
            .chunks()
        };
        assert_eq!(
            [
                chunks(0),
                chunks(1),
                chunks(FEED_CHUNK as u64),
                chunks(FEED_CHUNK as u64 + 1)
            ],
            [0, 1, 1, 2]
        );
    }
}
