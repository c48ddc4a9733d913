//! Reads a bucket of signed commands: decides of each entry whether it counts.
//!
//! A command counts if a trusted key signed it for the key under which it stands, and if it was not there before: it names
//! the revision of the bucket after which it was written, and that is not older than any command of its key before it. The
//! same holds of what takes a command away. What else removes a key, be it the server at the command's end or somebody who may not, takes nothing
//! away: commands know their own end.

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

    /// When it is over, milliseconds since the Unix epoch.
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

/// What an entry says, if it counts.
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

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(const_into_str, serialize_all = "snake_case")]
pub enum RefusalReason {
    /// It is no command.
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

/// How many commands were refused, by reason. All clones are one.
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
    /// The latest command of each network that was obeyed.
    latest: HashMap<Prefix, Latest>,
    forget_at: usize,
    /// When the bucket was made.
    created: Option<Created>,
    reads: PhantomData<(C, G)>,
}

#[derive(Clone, Copy, Debug)]
struct Latest {
    revision: u64,
    ends_ms: i64,
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
            self.latest.retain(|_, latest| latest.ends_ms > now_ms);
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

    /// What was opened, if it counts.
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
        let still = before.filter(|before| before.ends_ms > now_ms);
        let latest = Latest {
            revision: entry.revision,
            ends_ms: still.map_or(0, |still| still.ends_ms).max(command.ends_ms()),
        };
        self.latest.insert(network, latest);
        Some(command)
    }

    fn refuse(&self, entry: &Entry, what: &str, reason: RefusalReason, error: &dyn std::fmt::Display) {
        self.refused.count(reason);
        self.garbage.report(&entry.key, what, error);
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::{
        sign::{SecretKey, Signer},
        wire::{Action, Layer, NO_LEASE, Reason, Scope},
    };
    use uuid::Uuid;

    use super::*;

    const HOUR_MS: i64 = 3_600_000;
    const NOW_MS: i64 = 1_800_000_000_000;

    /// A fleet with a key, and who reads its bans.
    struct Lab {
        signer: Signer,
        reader: CommandReader<BlockCommand, Lift>,
        refused: RefusedCommands,
    }

    impl Lab {
        fn new() -> Self {
            let key = SecretKey::generate().unwrap();
            let refused = RefusedCommands::default();
            Self {
                reader: CommandReader::new(
                    [key.public()].into_iter().collect(),
                    refused.clone(),
                    Arc::default(),
                ),
                signer: Some(key).into(),
                refused,
            }
        }

        fn read(&mut self, entry: &Entry) -> Statement<BlockCommand> {
            let mut heard = self.reader.read(std::slice::from_ref(entry), NOW_MS);
            assert_eq!(heard.len(), 1);
            heard.remove(0)
        }

        fn bans(&mut self, entry: &Entry) -> bool {
            matches!(self.read(entry), Statement::Put(_))
        }

        fn refused(&self) -> Vec<(&'static str, u64)> {
            let counts = self.refused.counts().filter(|(_, count)| *count > 0);
            counts.map(|(reason, count)| (reason.name(), count)).collect()
        }
    }

    fn target() -> Prefix {
        "198.51.100.7".parse().unwrap()
    }

    fn ban(lasts_ms: i64) -> BlockCommand {
        BlockCommand {
            id: Uuid::now_v7(),
            action: Action::Block,
            target: target(),
            reason: Reason::Manual,
            note: String::new(),
            evidence: None,
            scope: Scope::Fleet,
            strikes: 0,
            issued_at_ms: NOW_MS,
            expires_at_ms: NOW_MS + lasts_ms,
            issuer: "alice".to_owned(),
            layer: Layer::Kernel,
            epoch: NO_LEASE,
        }
    }

    fn lift(command: &BlockCommand) -> Lift {
        Lift {
            target: command.target,
            id: command.id,
            expires_at_ms: command.expires_at_ms,
        }
    }

    fn entry(revision: u64, kind: EntryKind, value: Vec<u8>) -> Entry {
        Entry {
            key: target().key(),
            value: value.into(),
            revision,
            at_ms: 0,
            kind,
        }
    }

    #[test]
    fn statistics_have_a_word_for_each_refusal() {
        assert_eq!(
            RefusedCommands::default()
                .counts()
                .map(|(reason, _)| reason.name())
                .collect::<Vec<_>>(),
            [
                "malformed",
                "unsigned",
                "unknown_key",
                "forged",
                "readdressed",
                "replayed",
                "expired",
                "stale"
            ]
        );
    }

    #[test]
    fn a_target_is_banned_again_however_the_ban_before_ended() {
        let mut lab = Lab::new();
        let put = |lab: &Lab, command: &BlockCommand, over, revision| {
            entry(revision, EntryKind::Put, lab.signer.seal(command, over).unwrap())
        };
        // One that ends by itself: the server forgets its key, and a moment later that there was one.
        let first = put(&lab, &ban(-1), 4, 10);
        assert!(lab.bans(&first));
        let marker = entry(15, EntryKind::Purge, Vec::new());
        assert_eq!(lab.read(&marker), Statement::Untrusted(target()));
        // The writer has seen the bucket up to there, though the key is gone.
        let for_ever = BlockCommand {
            expires_at_ms: PERMANENT,
            ..ban(0)
        };
        let second = put(&lab, &for_ever, 20, 21);
        assert!(lab.bans(&second));
        // Shortened, lifted, and again.
        let short = ban(HOUR_MS);
        let third = put(&lab, &short, 21, 22);
        assert!(lab.bans(&third));
        let lifted = entry(23, EntryKind::Purge, lab.signer.seal(&lift(&short), 22).unwrap());
        assert_eq!(lab.read(&lifted), Statement::Gone(target()));
        let fourth = put(&lab, &ban(HOUR_MS), 90, 91);
        assert!(lab.bans(&fourth));
        // What a reconnect names again.
        assert!(lab.bans(&fourth));
        assert_eq!(lab.refused(), []);
    }

    #[test]
    fn what_was_there_before_does_not_come_back() {
        let mut lab = Lab::new();
        let command = ban(HOUR_MS);
        let sealed = lab.signer.seal(&command, 0).unwrap();
        let end = lab.signer.seal(&lift(&command), 10).unwrap();
        assert!(lab.bans(&entry(10, EntryKind::Put, sealed.clone())));
        assert_eq!(
            lab.read(&entry(11, EntryKind::Purge, end.clone())),
            Statement::Gone(target())
        );
        assert_eq!(
            lab.read(&entry(12, EntryKind::Put, sealed.clone())),
            Statement::Untrusted(target())
        );
        let again = lab.signer.seal(&ban(HOUR_MS), 12).unwrap();
        assert!(lab.bans(&entry(13, EntryKind::Put, again)));
        assert_eq!(
            lab.read(&entry(14, EntryKind::Purge, end)),
            Statement::Untrusted(target())
        );
        assert_eq!(lab.refused(), [("replayed", 2)]);
        // A bucket that was made anew counts from the beginning.
        lab.reader.begin(Created(1));
        assert!(lab.bans(&entry(1, EntryKind::Put, sealed)));
    }

    #[test]
    fn only_what_is_signed_takes_a_ban_away() {
        let mut lab = Lab::new();
        let sealed = lab.signer.seal(&ban(HOUR_MS), 0).unwrap();
        assert!(lab.bans(&entry(1, EntryKind::Put, sealed)));
        for (revision, kind) in [(2, EntryKind::Delete), (3, EntryKind::Purge)] {
            let removed = entry(revision, kind, Vec::new());
            assert_eq!(lab.read(&removed), Statement::Untrusted(target()));
        }
        let unsigned = Signer::default().seal(&lift(&ban(0)), 3).unwrap();
        assert_eq!(
            lab.read(&entry(4, EntryKind::Purge, unsigned)),
            Statement::Untrusted(target())
        );
        assert_eq!(lab.refused(), [("unsigned", 3)]);
        // Where nothing is verified, whoever removes it lifts it.
        let mut open = CommandReader::<BlockCommand, Lift>::new(
            Trust::default(),
            RefusedCommands::default(),
            Arc::default(),
        );
        let removed = open.read(&[entry(5, EntryKind::Delete, Vec::new())], NOW_MS);
        assert_eq!(removed, [Statement::Gone(target())]);
    }
}
