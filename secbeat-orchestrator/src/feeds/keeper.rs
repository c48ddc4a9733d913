//! Feeds kept up to date: asked in time by the orchestrator whose turn it is, put on the bus, and heard back from it.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use futures::StreamExt as _;
use secbeat_bus::{
    Bus, DirectiveBucket, Entry, EntryKind, FeedBucket, Garbage, HeldFeed, Unread, Update, WriteOutcome,
    broker::broker, unpack,
};
use secbeat_common::{
    prefix::Prefix,
    sign::Trust,
    subjects,
    wire::{FeedContent, FleetFeed},
};
use secbeat_daemon::time::now_ms;
use secbeat_lists::{changes, overlap};
use tokio::{sync::watch, task::spawn_blocking};
use tracing::{debug, info};

use super::{
    entry::FeedEntry,
    look::{Looked, Taken, look},
    plan::{next_ms, next_record, tell},
};
use crate::leases::Shares;

/// Sources that are asked at the same time.
const TOGETHER: usize = 4;
/// Attempts to fetch a list that fail before somebody is told, which are some minutes.
const ATTEMPTS: u32 = 3;
/// Interval at which it is seen to that nothing is due.
const RECHECK: Duration = Duration::from_secs(30);

/// The feeds of the config, and what the bus has of them. All clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Feeds {
    bus: Bus,
    bucket: FeedBucket,
    entries: Entries,
    pub(crate) known: watch::Sender<Known>,
}

/// Those of the config, as it was read last.
pub(crate) type Entries = watch::Sender<Arc<Vec<FeedEntry>>>;

/// What the bus is known to have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Whether all of it was read once.
    is_read: bool,
    pub(crate) feeds: BTreeMap<String, FleetFeed>,
}

/// The reason why a source is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// It is time.
    Due,
    /// An operator said so.
    Asked,
    /// An operator takes the list, however much smaller it is.
    Forced,
}

/// The reason why a feed was not brought up to date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the config has no [[feed]] with name = \"{0}\"")]
    Unknown(String),
    #[error(
        "{} is unreachable, so no edge would receive it; nothing was changed",
        broker()
    )]
    Disconnected,
    #[error("another orchestrator brings feed {0} up to date at the same time")]
    Contended(String),
    #[error("NATS did not acknowledge the change, and may have made it all the same: {0}")]
    Unacknowledged(String),
    #[error("{0}")]
    Unread(String),
}

impl From<secbeat_bus::Error> for Refusal {
    fn from(error: secbeat_bus::Error) -> Self {
        Self::Unacknowledged(error.to_string())
    }
}

impl From<Unread> for Refusal {
    fn from(error: Unread) -> Self {
        Self::Unread(error.to_string())
    }
}

/// What a source has now, compared with what edges have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tested {
    pub(crate) looked: Looked,
    pub(crate) added: Vec<Prefix>,
    pub(crate) removed: Vec<Prefix>,
}

impl Feeds {
    pub(crate) fn new(bus: &Bus, bucket: FeedBucket, entries: Entries) -> Self {
        Self {
            bus: bus.clone(),
            bucket,
            entries,
            known: watch::Sender::new(Known::default()),
        }
    }

    /// Returns what is known of the feed `name`.
    pub(crate) fn record(&self, name: &str) -> Option<FleetFeed> {
        self.known.borrow().feeds.get(name).cloned()
    }

    /// Those of the config.
    pub(crate) fn entries(&self) -> Arc<Vec<FeedEntry>> {
        self.entries.borrow().clone()
    }

    /// Returns why the list of a feed is not taken, by the name of each feed: at once if it was refused, else once it could not
    /// be fetched several times.
    pub(crate) fn untaken(&self) -> BTreeMap<String, Option<String>> {
        let why = |entry: &FeedEntry| {
            let trouble = self.record(&entry.name)?.trouble?;
            (trouble.is_refused || trouble.attempts >= ATTEMPTS).then_some(trouble.why)
        };
        let entries = self.entries();
        let named = entries.iter().map(|entry| (entry.name.clone(), why(entry)));
        named.collect()
    }

    fn entry(&self, name: &str) -> Result<FeedEntry, Refusal> {
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.name == name);
        entry.cloned().ok_or_else(|| Refusal::Unknown(name.to_owned()))
    }

    /// Keeps all feeds up to date while this orchestrator owns the first partition, for ever.
    pub(crate) async fn run(self, mut shares: watch::Receiver<Shares>) {
        let (mut known, mut entries) = (self.known.subscribe(), self.entries.subscribe());
        if known.wait_for(|known| known.is_read).await.is_err() {
            return;
        }
        loop {
            let mut is_well = true;
            if self.bus.is_connected() && shares.borrow_and_update().owns_the_first() {
                self.remove_others().await;
                is_well = self.bring_due().await;
            }
            let next = self.next_ms().unwrap_or(i64::MAX).saturating_sub(now_ms());
            // What the bus did not take is not asked for every second.
            let pause = match is_well {
                true => Duration::from_millis(next.max(1_000).unsigned_abs()).min(RECHECK),
                false => RECHECK,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // The sender is in `self`.
                _ = entries.changed() => {}
                changed = shares.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Asks the sources whose time it is. Returns whether the bus took what they have.
    pub(super) async fn bring_due(&self) -> bool {
        let brought = futures::stream::iter(self.due(now_ms())).map(|entry| async move {
            let outcome = self.bring(&entry, Cause::Due).await;
            if let Err(error) = &outcome {
                debug!(
                    feed = entry.name,
                    "bringing the feed up to date failed, retrying: {error}"
                );
            }
            outcome.is_ok()
        });
        let outcomes: Vec<bool> = brought.buffer_unordered(TOGETHER).collect().await;
        !outcomes.contains(&false)
    }

    /// Returns when the next feed is due.
    fn next_ms(&self) -> Option<i64> {
        let known = self.known.borrow();
        let next = |entry: &FeedEntry| next_ms(entry, known.feeds.get(&entry.name));
        self.entries().iter().map(next).min()
    }

    pub(super) fn due(&self, now_ms: i64) -> Vec<FeedEntry> {
        let (entries, known) = (self.entries(), self.known.borrow());
        let is_due = |entry: &&FeedEntry| next_ms(entry, known.feeds.get(&entry.name)) <= now_ms;
        entries.iter().filter(is_due).cloned().collect()
    }

    /// Removes the feeds that the config does not have.
    async fn remove_others(&self) {
        let known = self.known.borrow().feeds.clone();
        for name in known.into_keys().filter(|name| self.entry(name).is_err()) {
            let removed = async {
                let held = self.bucket.held(&name).await?;
                self.bucket.remove(&name, &held).await
            };
            match removed.await {
                Ok(WriteOutcome::Written(_)) => {
                    info!(
                        feed = name,
                        "the config has no such feed any more: edges give its networks up"
                    );
                    self.forget(&name);
                }
                Ok(WriteOutcome::Conflict) => {}
                Err(error) => debug!(feed = name, "removing the feed failed, retrying: {error}"),
            }
        }
    }

    /// Asks the source of the feed `name` now. What is forced is taken however much smaller it is.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such feed, or nobody knows what became of it.
    pub(crate) async fn update(&self, name: &str, is_forced: bool) -> Result<FleetFeed, Refusal> {
        let entry = self.entry(name)?;
        if !self.bus.is_connected() {
            return Err(Refusal::Disconnected);
        }
        self.bring(&entry, if is_forced { Cause::Forced } else { Cause::Asked })
            .await
    }

    /// Looks what the source of the feed `name` has now, and changes nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such feed, or the bus cannot be read.
    pub(crate) async fn test(&self, name: &str) -> Result<Tested, Refusal> {
        let entry = self.entry(name)?;
        let held = self.bucket.held(name).await?.feed;
        let before = self.networks(held.as_ref()).await?;
        // What the source has is to be shown, also if it has nothing new.
        let mut compared = held;
        if let Some(compared) = &mut compared {
            (compared.etag, compared.last_modified) = (None, None);
        }
        let looked = spawn_blocking(move || look(&entry, compared.as_ref(), false)).await;
        let looked = looked.map_err(|error| Refusal::Unread(error.to_string()))?;
        let (added, removed) = match &looked {
            Looked::Taken(taken) => changes(&before, &taken.sifted.networks),
            _ => (Vec::new(), Vec::new()),
        };
        Ok(Tested {
            looked,
            added,
            removed,
        })
    }

    /// Returns how many networks of the feed `name` each of the others has something of.
    ///
    /// # Errors
    ///
    /// Returns an error if the bus cannot be read.
    pub(crate) async fn overlaps(&self, name: &str) -> Result<BTreeMap<String, usize>, Refusal> {
        let known = self.known.borrow().feeds.clone();
        let networks = self.networks(known.get(name)).await?;
        let mut overlaps = BTreeMap::new();
        for (other, feed) in known.iter().filter(|(other, _)| *other != name) {
            let theirs = self.networks(Some(feed)).await?;
            overlaps.insert(other.clone(), overlap(&networks, &theirs));
        }
        Ok(overlaps)
    }

    /// The feeds whose lists in force have `address`, each with the network around it.
    ///
    /// # Errors
    ///
    /// Returns an error if the bus cannot be read.
    pub(crate) async fn with(
        &self,
        address: IpAddr,
        now_ms: i64,
    ) -> Result<Vec<(FleetFeed, Prefix)>, Refusal> {
        let known = self.known.borrow().feeds.clone();
        let mut with = Vec::new();
        for feed in known.into_values().filter(|feed| feed.ends_at_ms > now_ms) {
            let networks = self.networks(Some(&feed)).await?;
            let around = networks.into_iter().find(|network| network.contains(address));
            with.extend(around.map(|network| (feed, network)));
        }
        Ok(with)
    }

    /// The networks that edges have of `feed`.
    async fn networks(&self, feed: Option<&FleetFeed>) -> Result<Vec<Prefix>, Refusal> {
        let Some((feed, content)) = feed.and_then(|feed| Some((feed, feed.content.as_ref()?))) else {
            return Ok(Vec::new());
        };
        let packed = self.bucket.download(&feed.name, content).await?;
        let unpacked = spawn_blocking(move || unpack(&packed)).await;
        let unpacked = unpacked.map_err(|error| Refusal::Unread(error.to_string()))?;
        unpacked.map_err(|error| Refusal::Unread(format!("feed {}: {error}", feed.name)))
    }

    /// Asks the source of `entry`, and puts what that comes to on the bus.
    async fn bring(&self, entry: &FeedEntry, cause: Cause) -> Result<FleetFeed, Refusal> {
        let held = self.bucket.held(&entry.name).await?;
        // What is known may be of before another orchestrator's turn.
        if let Some(feed) = held
            .feed
            .as_ref()
            .filter(|feed| next_ms(entry, Some(feed)) > now_ms())
            && cause == Cause::Due
        {
            self.adopt(feed.clone());
            return Ok(feed.clone());
        }
        let (asked, known) = (entry.clone(), held.feed.clone());
        let looked = spawn_blocking(move || look(&asked, known.as_ref(), cause == Cause::Forced)).await;
        let looked = looked.map_err(|error| Refusal::Unread(error.to_string()))?;
        let content = match &looked {
            Looked::Taken(taken) => Some(self.publish(entry, &held, taken).await?),
            _ => None,
        };
        let next = next_record(entry, held.feed.as_ref(), &looked, content, now_ms());
        match self.bucket.put(&next, &held).await? {
            WriteOutcome::Written(_) => {}
            WriteOutcome::Conflict => return Err(Refusal::Contended(entry.name.clone())),
        }
        tell(&next, held.feed.as_ref());
        self.adopt(next.clone());
        Ok(next)
    }

    /// Puts networks on the bus, unless it has them.
    async fn publish(
        &self,
        entry: &FeedEntry,
        held: &HeldFeed,
        taken: &Taken,
    ) -> Result<FeedContent, Refusal> {
        let old = held.feed.as_ref().and_then(|feed| feed.content.as_ref());
        if let Some(old) = old.filter(|old| secbeat_bus::is_of(old, &taken.packed)) {
            // The bus may have lost it.
            if self.bucket.download(&entry.name, old).await.is_ok() {
                return Ok(taken.content(old, &taken.sifted.networks, old.taken_at_ms));
            }
        }
        // What cannot be read any more was as good as nothing.
        let before = self.networks(held.feed.as_ref()).await.unwrap_or_default();
        let place = self.bucket.upload(&entry.name, &taken.packed, old).await?;
        Ok(taken.content(&place, &before, now_ms()))
    }

    /// Goes by `feed` from now on, unless a newer record is known.
    fn adopt(&self, feed: FleetFeed) {
        self.known.send_if_modified(|known| {
            let old = known.feeds.get(&feed.name);
            let is_news = old.is_none_or(|old| old.changed_at_ms < feed.changed_at_ms);
            if is_news {
                known.feeds.insert(feed.name.clone(), feed);
            }
            is_news
        });
    }

    fn forget(&self, name: &str) {
        self.known
            .send_if_modified(|known| known.feeds.remove(name).is_some());
    }

    fn take(&self, entry: &Entry, trust: &Trust, garbage: &Garbage) {
        let Some(name) = subjects::feed_name(&entry.key) else {
            return;
        };
        if entry.kind != EntryKind::Put {
            return self.forget(name);
        }
        match FeedBucket::open(name, &entry.value, trust) {
            Ok(opened) => {
                garbage.skip(opened.skipped);
                self.adopt(opened.command);
            }
            Err(error) => garbage.report(&entry.key, "a feed", &error),
        }
    }
}

/// Follows what the bus has of feeds, and keeps it up to date, for ever.
pub(crate) async fn keep(feeds: Feeds, trust: Trust, garbage: Arc<Garbage>, shares: watch::Receiver<Shares>) {
    tokio::join!(follow(feeds.clone(), trust, garbage), feeds.run(shares));
}

async fn follow(feeds: Feeds, trust: Trust, garbage: Arc<Garbage>) {
    let mut follower = DirectiveBucket::follow(&feeds.bus);
    loop {
        match follower.next().await {
            Update::Held(entries) => entries
                .iter()
                .for_each(|entry| feeds.take(entry, &trust, &garbage)),
            Update::Changed(entry) => feeds.take(&entry, &trust, &garbage),
            Update::Complete => {
                feeds
                    .known
                    .send_if_modified(|known| !std::mem::replace(&mut known.is_read, true));
            }
            Update::Begin(_) => {}
        }
    }
}
