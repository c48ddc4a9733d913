//! Feeds of the fleet: followed on the bus, read if they are news, kept for a start without NATS, and put in force as static lists.

mod copies;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;
use secbeat_bus::{Bus, DirectiveBucket, Entry, EntryKind, FeedBucket, Garbage, Update, unpack};
use secbeat_common::{
    prefix::Prefix,
    sign::{Signer, Trust},
    subjects,
    wire::{FeedContent, FeedInForce, FeedVerdict, FleetFeed},
};
use secbeat_daemon::time::now_ms;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use self::copies::Copies;
use crate::{
    kernel::{Pins, read_lists},
    lists::{ListName, ListVerdict, Lists, NewList, Origin},
};

/// Interval at which it is looked for a list that is to be tried again, or whose time has ended.
const LOOK: Duration = Duration::from_secs(5);
/// Ends of lists in the kernel are moved when they are this part of the time to live behind: moving them builds a table.
const SLACK: i64 = 10;

/// What an edge has of the fleet's feeds. All clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Feeds(Arc<Mutex<BTreeMap<String, Held>>>);

/// A feed, as it is to be and as it is.
#[derive(Clone, Debug)]
struct Held {
    record: FleetFeed,
    /// The record as it stood in its bucket, with its signature.
    sealed: Vec<u8>,
    in_force: Option<InForce>,
    trouble: Option<String>,
}

/// A list that the kernel has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct InForce {
    digest: [u8; 32],
    verdict: FeedVerdict,
    /// Its end there.
    ends_at_ms: i64,
}

impl Feeds {
    /// Returns what the fleet is told, with what the lists of `pins` met.
    pub(crate) fn in_force(&self, pins: Option<&Pins>) -> Vec<FeedInForce> {
        if self.0.lock().is_empty() {
            return Vec::new();
        }
        let tables = pins.and_then(|pins| read_lists(pins).ok().flatten());
        let listings = tables
            .and_then(|tables| tables.listings().ok())
            .unwrap_or_default();
        self.told(|name| {
            let met = listings.iter().find(|listing| listing.described.name == name);
            met.map_or((0, 0), |listing| (listing.counted.packets, listing.counted.bytes))
        })
    }

    fn told(&self, met: impl Fn(&str) -> (u64, u64)) -> Vec<FeedInForce> {
        let held = self.0.lock();
        let told = held.iter().map(|(name, feed)| {
            let content = feed.record.content.as_ref();
            let content = content.filter(|content| feed.has(&content.digest));
            let (packets, bytes) = met(name);
            FeedInForce {
                name: name.clone(),
                digest: content.map(FeedContent::short_digest).unwrap_or_default(),
                packets,
                bytes,
                trouble: feed.trouble.clone(),
            }
        });
        told.collect()
    }

    /// Takes over a record, unless a newer one is known.
    fn hear(&self, record: FleetFeed, sealed: Vec<u8>) {
        let mut held = self.0.lock();
        match held.get_mut(&record.name) {
            Some(known) if known.record.changed_at_ms >= record.changed_at_ms => {}
            Some(known) => (known.record, known.sealed) = (record, sealed),
            None => {
                let name = record.name.clone();
                let new = Held {
                    record,
                    sealed,
                    in_force: None,
                    trouble: None,
                };
                held.insert(name, new);
            }
        }
    }

    /// Returns what is to be done at `now_ms`.
    fn due(&self, now_ms: i64) -> Vec<Held> {
        let held = self.0.lock();
        held.values()
            .filter(|feed| feed.is_due(now_ms))
            .cloned()
            .collect()
    }

    fn note(&self, name: &str, in_force: Option<InForce>, trouble: Option<String>) {
        if let Some(held) = self.0.lock().get_mut(name) {
            (held.in_force, held.trouble) = (in_force, trouble);
        }
    }
}

impl Held {
    fn has(&self, digest: &[u8; 32]) -> bool {
        self.in_force
            .as_ref()
            .is_some_and(|in_force| in_force.digest == *digest)
    }

    /// Whether something else is to be in force than is.
    fn is_due(&self, now_ms: i64) -> bool {
        match (self.record.in_force(now_ms), &self.in_force) {
            (None, in_force) => in_force.is_some(),
            (Some(_), None) => true,
            (Some(content), Some(in_force)) => {
                let behind_ms = self.record.ends_at_ms.saturating_sub(in_force.ends_at_ms);
                content.digest != in_force.digest
                    || self.record.verdict != in_force.verdict
                    || behind_ms >= (self.record.ttl_ms / SLACK).max(1)
            }
        }
    }
}

/// Follows the feeds of the fleet.
pub(crate) struct FeedKeeper {
    bus: Bus,
    trust: Trust,
    garbage: Arc<Garbage>,
    lists: Lists,
    feeds: Feeds,
    copies: Copies,
    bucket: FeedBucket,
}

impl FeedKeeper {
    pub(crate) fn new(
        bus: &Bus,
        trust: &Trust,
        garbage: &Arc<Garbage>,
        lists: Lists,
        state_dir: &Path,
    ) -> Self {
        Self {
            bucket: FeedBucket::new(bus, trust.clone(), Signer::default()),
            bus: bus.clone(),
            trust: trust.clone(),
            garbage: garbage.clone(),
            lists,
            feeds: Feeds::default(),
            copies: Copies::in_folder(state_dir),
        }
    }

    /// Returns what the edge has of the feeds.
    pub(crate) fn feeds(&self) -> Feeds {
        self.feeds.clone()
    }

    /// Puts in force what was kept, and follows the bus for ever.
    pub(crate) async fn run(self) {
        self.restore().await;
        let mut follower = DirectiveBucket::follow(&self.bus);
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                update = follower.next() => match update {
                    Update::Held(entries) => for entry in &entries {
                        self.take(entry).await;
                    },
                    Update::Changed(entry) => self.take(&entry).await,
                    Update::Complete => self.drop_others().await,
                    Update::Begin(_) => continue,
                },
                _ = looks.tick() => {}
            }
            for feed in self.feeds.due(now_ms()) {
                self.bring(feed).await;
            }
        }
    }

    /// What the fleet published when this edge last heard of it.
    async fn restore(&self) {
        let (copies, trust) = (self.copies.clone(), self.trust.clone());
        let kept = spawn_blocking(move || copies.read(&trust))
            .await
            .unwrap_or_default();
        for (record, sealed) in kept {
            self.feeds.hear(record, sealed);
        }
        for feed in self.feeds.due(now_ms()) {
            self.bring(feed).await;
        }
    }

    async fn take(&self, entry: &Entry) {
        let Some(name) = subjects::feed_name(&entry.key) else {
            return;
        };
        if entry.kind != EntryKind::Put {
            return self.give_up(name).await;
        }
        match FeedBucket::open(name, &entry.value, &self.trust) {
            Ok(opened) => {
                self.garbage.skip(opened.skipped);
                self.feeds.hear(opened.command, entry.value.to_vec());
            }
            Err(error) => self.garbage.report(&entry.key, "a feed", &error),
        }
    }

    /// Gives up a feed that the fleet has no more.
    async fn give_up(&self, name: &str) {
        let Some(held) = self.feeds.0.lock().remove(name) else {
            return;
        };
        // The name of one that never was in force may be another list's.
        if held.in_force.is_some() {
            info!(
                feed = name,
                "the fleet has no such feed any more: its list is out of force"
            );
            self.remove(name).await;
        }
        self.copies.remove(name);
    }

    async fn remove(&self, name: &str) -> Option<String> {
        let Ok(list) = name.parse::<ListName>() else {
            return None;
        };
        self.lists.remove(list).await.err().map(|error| error.to_string())
    }

    /// Takes lists out of force of feeds that were removed while nobody followed.
    async fn drop_others(&self) {
        let names = self
            .feeds
            .0
            .lock()
            .keys()
            .filter_map(|name| name.parse().ok())
            .collect();
        if let Err(error) = self.lists.keep_only(Origin::Feed, names).await {
            warn!("lists of feeds that the fleet has no more are still in force: {error}");
        }
    }

    /// Puts in force what is to be of a feed.
    async fn bring(&self, feed: Held) {
        let name = feed.record.name.clone();
        let Some(content) = feed.record.in_force(now_ms()).cloned() else {
            warn!(
                feed = name,
                "the time of the last list has ended: it is out of force"
            );
            let trouble = self.remove(&name).await;
            let still = feed.in_force.filter(|_| trouble.is_some());
            return self.feeds.note(&name, still, trouble);
        };
        match self.put(&feed, &content).await {
            Ok(in_force) => {
                if !feed.has(&content.digest) {
                    let (networks, mode) = (content.networks(), feed.record.verdict.name());
                    info!(feed = name, networks, mode, "the list of a feed is in force");
                }
                self.feeds.note(&name, Some(in_force), None);
            }
            Err(why) => {
                if feed.trouble.as_ref() != Some(&why) {
                    warn!(
                        feed = name,
                        "the list of a feed is not in force as it should be, retrying: {why}"
                    );
                }
                if let Ok(list) = name.parse() {
                    let at_ms = u64::try_from(now_ms()).unwrap_or_default();
                    self.lists.note_problem(&list, &why, at_ms);
                }
                self.feeds.note(&name, feed.in_force, Some(why));
            }
        }
    }

    async fn put(&self, feed: &Held, content: &FeedContent) -> Result<InForce, String> {
        let (record, sealed) = (&feed.record, &feed.sealed);
        let list: ListName = record.name.parse()?;
        let (copies, name, of) = (self.copies.clone(), record.name.clone(), content.clone());
        let kept = spawn_blocking(move || copies.networks(&name, &of))
            .await
            .ok()
            .flatten();
        let packed = match kept {
            Some(packed) => packed,
            None => {
                let packed = self.bucket.download(&record.name, content).await;
                packed.map_err(|error| error.to_string())?
            }
        };
        let (copies, name, sealed) = (self.copies.clone(), record.name.clone(), sealed.clone());
        let unpacked = spawn_blocking(move || {
            let networks = unpack(&packed).map_err(|error| error.to_string())?;
            if let Err(error) = copies.write(&name, &sealed, &packed) {
                warn!(
                    feed = name,
                    "a restart without NATS will forget the list: {error}"
                );
            }
            Ok::<Vec<Prefix>, String>(networks)
        });
        let networks = unpacked.await.map_err(|error| error.to_string())??;
        let ends = u64::try_from(record.ends_at_ms).unwrap_or_default();
        let new = NewList {
            name: list,
            verdict: match record.verdict {
                FeedVerdict::Observe => ListVerdict::Observe,
                FeedVerdict::Ban => ListVerdict::Ban,
                FeedVerdict::Allow => ListVerdict::Allow,
            },
            origin: Origin::Feed,
            entries: networks
                .into_iter()
                .map(|network| (network, Some(ends)))
                .collect(),
        };
        self.lists.replace(new).await.map_err(|error| error.to_string())?;
        Ok(InForce {
            digest: content.digest,
            verdict: record.verdict,
            ends_at_ms: record.ends_at_ms,
        })
    }
}
