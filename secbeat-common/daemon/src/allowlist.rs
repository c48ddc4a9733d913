//! The fleet's allowlist as a daemon sees it: the bucket is followed for ever, and while it cannot be, what is known stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context as _;
use async_nats::jetstream;
use futures::StreamExt as _;
use secbeat_common::{
    prefix::Prefix,
    subjects,
    wire::{AllowEntry, Disallow},
};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    bus::Bus,
    commands::{Heard, Reader},
};

/// Pause before the watch is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How long the server may take between two entries of a snapshot.
const PATIENCE: Duration = Duration::from_secs(5);

/// The entries, and what the bucket lost of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowlist {
    pub entries: BTreeMap<Prefix, AllowEntry>,
    /// Those that the bucket does not have any more, though nobody has removed them: it was made anew, or something that does
    /// not count took their place.
    pub lost: BTreeSet<Prefix>,
}

impl Allowlist {
    fn take(&mut self, heard: Heard<AllowEntry>) {
        match heard {
            Heard::Put(entry) => {
                self.lost.remove(&entry.network);
                self.entries.insert(entry.network, *entry);
            }
            Heard::Gone(network) => {
                self.entries.remove(&network);
                self.lost.remove(&network);
            }
            // What took its place says nothing.
            Heard::Nothing(network) if self.entries.contains_key(&network) => {
                self.lost.insert(network);
            }
            Heard::Nothing(_) | Heard::Garbage => {}
        }
    }
}

/// Reads the bucket.
pub type AllowReader = Reader<AllowEntry, Disallow>;

/// Follows the bucket and publishes what it holds, until nobody listens. Nothing is published before it was read once.
pub async fn follow(mut bus: Bus, known: watch::Sender<Option<Allowlist>>, mut reader: AllowReader) {
    let (mut connection, mut made) = (0, None);
    while !known.is_closed() {
        connection = bus.connection_after(connection).await;
        let mut complained = false;
        loop {
            let mut watched = bus.clone();
            let outcome = tokio::select! {
                outcome = read(&bus, &known, &mut made, &mut reader) => outcome,
                _ = watched.connection_after(connection) => break,
                () = known.closed() => return,
            };
            if let Err(error) = outcome
                && !std::mem::replace(&mut complained, true)
            {
                warn!("cannot follow the allowlist yet, retrying: {error:#}");
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// `made` tells the bucket that was read last.
async fn read(
    bus: &Bus,
    known: &watch::Sender<Option<Allowlist>>,
    made: &mut Option<i128>,
    reader: &mut AllowReader,
) -> anyhow::Result<()> {
    let context = jetstream::new(bus.client.clone());
    let bucket = context
        .get_key_value(subjects::ALLOW_BUCKET)
        .await
        .context("opening its bucket")?;
    let status = bucket.status().await.context("reading its bucket's status")?;
    let this = status.info.created.unix_timestamp_nanos();
    let mut watch = bucket
        .watch_with_history(">")
        .await
        .context("watching its bucket")?;
    let (mut list, mut entries) = (Allowlist::default(), Vec::new());
    let mut reading = status.values() > 0;
    while reading {
        let entry = tokio::time::timeout(PATIENCE, watch.next()).await;
        let entry = entry.context("its bucket fell silent")?;
        let entry = entry
            .context("the watch of its bucket ended")?
            .context("reading its bucket")?;
        reading = entry.delta > 0;
        entries.push(entry);
    }
    reader.begin(this);
    let before = known.borrow().clone().unwrap_or_default();
    for heard in reader.read(&entries) {
        // What is not to be obeyed takes nothing away.
        if let Heard::Nothing(network) = heard
            && let Some(entry) = before.entries.get(&network)
        {
            list.entries.insert(network, entry.clone());
        }
        list.take(heard);
    }
    if made.is_some_and(|made| made != this) {
        for (network, entry) in before.entries {
            list.lost
                .extend((!list.entries.contains_key(&network)).then_some(network));
            list.entries.entry(network).or_insert(entry);
        }
    }
    *made = Some(this);
    info!(
        entries = list.entries.len(),
        lost = list.lost.len(),
        "read the fleet's allowlist"
    );
    known.send_replace(Some(list));
    while let Some(entry) = watch.next().await {
        let entry = entry.context("reading its bucket")?;
        let heard = reader.read(&[entry]);
        known.send_modify(|list| {
            let list = list.get_or_insert_default();
            heard.into_iter().for_each(|heard| list.take(heard));
        });
    }
    anyhow::bail!("the watch of its bucket ended")
}
