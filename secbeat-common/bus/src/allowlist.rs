//! The fleet's allowlist as a daemon sees it: the bucket is followed for ever, and while it cannot be, what is known stays.

use std::collections::{BTreeMap, BTreeSet};

use secbeat_common::{
    prefix::Prefix,
    subjects,
    wire::{AllowEntry, Disallow},
};
use tokio::sync::watch;
use tracing::info;

use crate::{
    backend::{Created, Entry},
    bus::Bus,
    commands::{CommandReader, Statement},
    follow::{Follower, Update},
};

/// The entries, and what the bucket lost of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowlist {
    pub entries: BTreeMap<Prefix, AllowEntry>,
    /// Those that the bucket does not have any more, though nobody has removed them: it was made again, or something that does
    /// not count took their place.
    pub lost: BTreeSet<Prefix>,
}

impl Allowlist {
    fn take(&mut self, statement: Statement<AllowEntry>) {
        match statement {
            Statement::Put(entry) => {
                self.lost.remove(&entry.network);
                self.entries.insert(entry.network, *entry);
            }
            Statement::Gone(network) => {
                self.entries.remove(&network);
                self.lost.remove(&network);
            }
            // What took its place says nothing.
            Statement::Untrusted(network) if self.entries.contains_key(&network) => {
                self.lost.insert(network);
            }
            Statement::Untrusted(_) | Statement::InvalidKey => {}
        }
    }
}

/// Reads the bucket.
pub type AllowReader = CommandReader<AllowEntry, Disallow>;

/// Follows the fleet's allowlist.
pub struct AllowFollower {
    follower: Follower,
    reader: AllowReader,
    /// The wall clock, milliseconds since the Unix epoch.
    now_ms: fn() -> i64,
    known: watch::Sender<Option<Allowlist>>,
    /// The bucket that was read last.
    created: Option<Created>,
}

impl AllowFollower {
    /// Publishes what is read to `known`.
    #[must_use]
    pub fn new(
        bus: &Bus,
        reader: AllowReader,
        now_ms: fn() -> i64,
        known: watch::Sender<Option<Allowlist>>,
    ) -> Self {
        Self {
            follower: Follower::new(bus, subjects::ALLOW_BUCKET),
            reader,
            now_ms,
            known,
            created: None,
        }
    }

    /// Follows the bucket until nobody listens. Publishes nothing before it was read once.
    pub async fn run(mut self) {
        let known = self.known.clone();
        tokio::select! {
            () = self.follow() => {}
            () = known.closed() => {}
        }
    }

    async fn follow(&mut self) {
        let (mut held, mut created) = (Vec::new(), None);
        loop {
            match self.follower.next().await {
                Update::Begin(snapshot) => {
                    created = Some(snapshot.created);
                    held.clear();
                }
                Update::Held(entries) => held.extend(entries),
                Update::Complete => {
                    if let Some(created) = created {
                        self.snapshot(created, &held);
                    }
                    held.clear();
                }
                Update::Changed(entry) => {
                    let statements = self.reader.read(&[entry], (self.now_ms)());
                    self.known.send_modify(|list| {
                        let list = list.get_or_insert_default();
                        statements.into_iter().for_each(|statement| list.take(statement));
                    });
                }
            }
        }
    }

    fn snapshot(&mut self, created: Created, held: &[Entry]) {
        self.reader.begin(created);
        let mut list = Allowlist::default();
        let before = self.known.borrow().clone().unwrap_or_default();
        for statement in self.reader.read(held, (self.now_ms)()) {
            // What is not to be accepted takes nothing away.
            if let Statement::Untrusted(network) = statement
                && let Some(entry) = before.entries.get(&network)
            {
                list.entries.insert(network, entry.clone());
            }
            list.take(statement);
        }
        if self.created.is_some_and(|before| before != created) {
            for (network, entry) in before.entries {
                list.lost
                    .extend((!list.entries.contains_key(&network)).then_some(network));
                list.entries.entry(network).or_insert(entry);
            }
        }
        self.created = Some(created);
        info!(
            entries = list.entries.len(),
            lost = list.lost.len(),
            "read the allowlist"
        );
        self.known.send_replace(Some(list));
    }
}
