//! Reads a bucket of signed commands: decides of each entry whether it counts.
//!
//! A command counts if a trusted key signed it for the key under which it stands, and if it was not there before: it names
//! the revision of the bucket after which it was written, and that is not older than any command of its key before it. The
//! same holds of what takes a command away. What else removes a key, be it the server at the command's end or somebody who may not, takes nothing
//! away: commands know their own end.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use secbeat_common::{
    prefix::Prefix,
    sign::{Command, Opened, Trust, Untrusted},
    wire::{AllowEntry, BlockCommand, Disallow, Lift, PERMANENT},
};
use strum::{IntoStaticStr, VariantArray};

use crate::{
    backend::{Created, Entry, EntryKind},
    garbage::Garbage,
};

/// With fewer keys known, none is forgotten.
const KNOWN: usize = 4096;
/// What the server may remove before its end by this clock.
const SKEW_MS: i64 = 60_000;

/// A command about a network, which stands under its key.
pub trait NetworkCommand: Command {
    /// What people call it.
    const WHAT: &'static str;

    fn network(&self) -> Prefix;

    /// Returns when it is over, milliseconds since the Unix epoch.
    fn ends_ms(&self) -> i64;
}

impl NetworkCommand for BlockCommand {
    const WHAT: &'static str = "a ban";

    fn network(&self) -> Prefix {
        self.target
    }

    fn ends_ms(&self) -> i64 {
        self.expires_at_ms
    }
}

impl NetworkCommand for Lift {
    const WHAT: &'static str = "the end of a ban";

    fn network(&self) -> Prefix {
        self.target
    }

    fn ends_ms(&self) -> i64 {
        self.expires_at_ms
    }
}

impl NetworkCommand for AllowEntry {
    const WHAT: &'static str = "an entry of the allowlist";

    fn network(&self) -> Prefix {
        self.network
    }

    fn ends_ms(&self) -> i64 {
        self.until_ms.unwrap_or(PERMANENT)
    }
}

impl NetworkCommand for Disallow {
    const WHAT: &'static str = "the end of an entry of the allowlist";

    fn network(&self) -> Prefix {
        self.network
    }

    fn ends_ms(&self) -> i64 {
        self.until_ms.unwrap_or(PERMANENT)
    }
}

/// Content of an entry that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement<C> {
    Put(Box<C>),
    /// There is no command about this network any more.
    Gone(Prefix),
    /// Says nothing about this network: what stands under its key does not count.
    Untrusted(Prefix),
    /// The key names no network.
    InvalidKey,
}

/// The reason why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(const_into_str, serialize_all = "snake_case")]
pub enum RefusalReason {
    /// It is not a command.
    Malformed,
    Unsigned,
    UnknownKey,
    Forged,
    /// It stands under the key of another network.
    Readdressed,
    /// It was there before, and has been replaced or lifted since.
    Replayed,
    /// It was over before it came.
    Expired,
    /// Its issuer no longer owned the target's partition.
    Stale,
}

impl RefusalReason {
    /// The word in statistics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.into_str()
    }
}

/// Number of commands that were refused, by reason. All clones are one.
#[derive(Clone, Debug, Default)]
pub struct RefusedCommands(Arc<[AtomicU64; RefusalReason::VARIANTS.len()]>);

impl RefusedCommands {
    pub fn count(&self, reason: RefusalReason) {
        if let Some(count) = self.0.get(reason as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Each reason with its number so far.
    pub fn counts(&self) -> impl Iterator<Item = (RefusalReason, u64)> {
        let counts = self.0.iter().map(|count| count.load(Relaxed));
        RefusalReason::VARIANTS.iter().copied().zip(counts)
    }
}

/// Reads a bucket in which `C` stands until it ends or `G` takes its place.
#[derive(Debug)]
pub struct CommandReader<C, G> {
    trust: Trust,
    refused: RefusedCommands,
    garbage: Arc<Garbage>,
    /// The latest command of each network that was accepted.
    latest: HashMap<Prefix, Latest>,
    forget_at: usize,
    /// When the bucket was made.
    created: Option<Created>,
    reads: PhantomData<(C, G)>,
}

#[derive(Clone, Copy, Debug)]
struct Latest {
    revision: u64,
    /// The end of this command.
    ends_ms: i64,
    /// The last end of all commands that stood under its key: one of them may be put there again until then.
    replays_end_ms: i64,
}

impl<C: NetworkCommand, G: NetworkCommand> CommandReader<C, G> {
    #[must_use]
    pub fn new(trust: Trust, refused: RefusedCommands, garbage: Arc<Garbage>) -> Self {
        Self {
            trust,
            refused,
            garbage,
            latest: HashMap::new(),
            forget_at: KNOWN,
            created: None,
            reads: PhantomData,
        }
    }

    /// Prepares for entries of the bucket that was made at `created`. Forgets all of another one: its revisions began again.
    pub fn begin(&mut self, created: Created) {
        if self.created.replace(created) != Some(created) {
            self.latest.clear();
        }
    }

    /// Returns what `entries` say, in their order.
    pub fn read(&mut self, entries: &[Entry], now_ms: i64) -> Vec<Statement<C>> {
        let puts = entries.iter().filter(|entry| entry.kind == EntryKind::Put);
        let puts: Vec<_> = puts.map(|entry| &*entry.value).collect();
        let mut opened = self.trust.open_all(&puts).into_iter();
        if self.latest.len() >= self.forget_at {
            self.latest.retain(|_, latest| latest.replays_end_ms > now_ms);
            self.forget_at = KNOWN.max(self.latest.len() * 2);
        }
        let mut hear = |entry: &Entry| {
            let opened = match entry.kind {
                EntryKind::Put => opened.next(),
                EntryKind::Delete | EntryKind::Purge => None,
            };
            let Ok(network) = Prefix::from_key(&entry.key).inspect_err(|error| {
                self.garbage.report(&entry.key, C::WHAT, error);
            }) else {
                return Statement::InvalidKey;
            };
            match opened {
                Some(opened) => match self.admit(entry, network, opened, now_ms) {
                    Some(command) => Statement::Put(Box::new(command)),
                    None => Statement::Untrusted(network),
                },
                None => self.removed(entry, network, now_ms),
            }
        };
        entries.iter().map(&mut hear).collect()
    }

    fn removed(&mut self, entry: &Entry, network: Prefix, now_ms: i64) -> Statement<C> {
        if !self.trust.is_needed() {
            return Statement::Gone(network);
        }
        if entry.value.is_empty() {
            // Most likely the server's, at the command's end.
            let latest = self.latest.get(&network);
            if latest.is_some_and(|latest| latest.ends_ms > now_ms.saturating_add(SKEW_MS)) {
                self.refuse(entry, G::WHAT, RefusalReason::Unsigned, &Untrusted::Unsigned);
            }
            return Statement::Untrusted(network);
        }
        let opened = self.trust.open::<G>(&entry.value);
        match self.admit(entry, network, opened, now_ms) {
            Some(_) => Statement::Gone(network),
            None => Statement::Untrusted(network),
        }
    }

    /// Returns what was opened, if it counts.
    fn admit<M: NetworkCommand>(
        &mut self,
        entry: &Entry,
        network: Prefix,
        opened: Result<Opened<M>, Untrusted>,
        now_ms: i64,
    ) -> Option<M> {
        let Opened {
            command,
            after,
            skipped,
        } = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let reason = match error {
                    Untrusted::Wire(_) | Untrusted::Uncovered => RefusalReason::Malformed,
                    Untrusted::Unsigned => RefusalReason::Unsigned,
                    Untrusted::UnknownKey(_) => RefusalReason::UnknownKey,
                    Untrusted::Forged => RefusalReason::Forged,
                };
                self.refuse(entry, M::WHAT, reason, &error);
                return None;
            }
        };
        self.garbage.skip(skipped);
        if command.network() != network {
            let error = format!("one of {} under the key of {network}", command.network());
            self.refuse(entry, M::WHAT, RefusalReason::Readdressed, &error);
            return None;
        }
        if !self.trust.is_needed() {
            return Some(command);
        }
        let before = self.latest.get(&network).copied();
        // What is read again after a reconnect is the latest itself.
        if before.is_some_and(|before| after < before.revision && before.revision < entry.revision) {
            self.refuse(entry, M::WHAT, RefusalReason::Replayed, &"it was there before");
            return None;
        }
        let still = before.filter(|before| before.replays_end_ms > now_ms);
        let ends_ms = command.ends_ms();
        let latest = Latest {
            revision: entry.revision,
            ends_ms,
            replays_end_ms: still.map_or(ends_ms, |still| still.replays_end_ms.max(ends_ms)),
        };
        self.latest.insert(network, latest);
        Some(command)
    }

    fn refuse(&self, entry: &Entry, what: &str, reason: RefusalReason, error: &dyn std::fmt::Display) {
        self.refused.count(reason);
        self.garbage.report(&entry.key, what, error);
    }
}
