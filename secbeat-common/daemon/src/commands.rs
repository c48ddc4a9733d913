//! What a bucket of signed commands says, entry by entry, to whoever reads it: edges, and orchestrators among themselves.
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

use async_nats::jetstream::kv::{Entry, Operation};
use secbeat_common::{
    prefix::Prefix,
    sign::{Command, Opened, Trust, Untrusted},
    wire::{AllowEntry, BlockCommand, Disallow, Lift, PERMANENT},
};
use strum::{IntoStaticStr, VariantArray};

use super::{garbage::Garbage, time::now_ms};

/// Entries that are verified together at most.
pub const TOGETHER: usize = 256;
/// With fewer keys known, none is forgotten.
const KNOWN: usize = 4096;
/// What the server may remove before its end by this clock.
const SKEW_MS: i64 = 60_000;

/// A command about a network, which stands under its key.
pub trait About: Command {
    /// What people call it.
    const WHAT: &'static str;

    fn network(&self) -> Prefix;

    /// When it is over, milliseconds since the Unix epoch.
    fn ends_ms(&self) -> i64;
}

impl About for BlockCommand {
    const WHAT: &'static str = "a ban";

    fn network(&self) -> Prefix {
        self.target
    }

    fn ends_ms(&self) -> i64 {
        self.expires_at_ms
    }
}

impl About for Lift {
    const WHAT: &'static str = "the end of a ban";

    fn network(&self) -> Prefix {
        self.target
    }

    fn ends_ms(&self) -> i64 {
        self.expires_at_ms
    }
}

impl About for AllowEntry {
    const WHAT: &'static str = "an entry of the allowlist";

    fn network(&self) -> Prefix {
        self.network
    }

    fn ends_ms(&self) -> i64 {
        self.until_ms.unwrap_or(PERMANENT)
    }
}

impl About for Disallow {
    const WHAT: &'static str = "the end of an entry of the allowlist";

    fn network(&self) -> Prefix {
        self.network
    }

    fn ends_ms(&self) -> i64 {
        self.until_ms.unwrap_or(PERMANENT)
    }
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard<C> {
    Put(Box<C>),
    /// There is none for this network any more.
    Gone(Prefix),
    /// Nothing of this network: what stands under its key is not to be obeyed.
    Nothing(Prefix),
    /// The key is none.
    Garbage,
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(const_into_str, serialize_all = "snake_case")]
pub enum Reason {
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

impl Reason {
    /// The word in statistics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.into_str()
    }
}

/// How many commands were refused, by reason. All clones are one.
#[derive(Clone, Debug, Default)]
pub struct Refused(Arc<[AtomicU64; Reason::VARIANTS.len()]>);

impl Refused {
    pub fn count(&self, reason: Reason) {
        if let Some(count) = self.0.get(reason as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Each reason with its number so far.
    pub fn counts(&self) -> impl Iterator<Item = (Reason, u64)> {
        let counts = self.0.iter().map(|count| count.load(Relaxed));
        Reason::VARIANTS.iter().copied().zip(counts)
    }
}

/// Reads a bucket in which `C` stands until it ends or `G` takes its place.
#[derive(Debug)]
pub struct Reader<C, G> {
    trust: Trust,
    refused: Refused,
    garbage: Arc<Garbage>,
    /// The latest command of each network that was obeyed.
    latest: HashMap<Prefix, Latest>,
    forget_at: usize,
    /// When the bucket was made.
    made: Option<i128>,
    reads: PhantomData<(C, G)>,
}

#[derive(Clone, Copy, Debug)]
struct Latest {
    revision: u64,
    ends_ms: i64,
}

impl<C: About, G: About> Reader<C, G> {
    #[must_use]
    pub fn new(trust: Trust, refused: Refused, garbage: Arc<Garbage>) -> Self {
        Self {
            trust,
            refused,
            garbage,
            latest: HashMap::new(),
            forget_at: KNOWN,
            made: None,
            reads: PhantomData,
        }
    }

    /// What comes is of the bucket that was made at `made`. All of another one is forgotten: its revisions began again.
    pub fn begin(&mut self, made: i128) {
        if self.made.replace(made) != Some(made) {
            self.latest.clear();
        }
    }

    /// What `entries` say, in their order.
    pub fn read(&mut self, entries: &[Entry]) -> Vec<Heard<C>> {
        let puts = entries.iter().filter(|entry| entry.operation == Operation::Put);
        let puts: Vec<_> = puts.map(|entry| &*entry.value).collect();
        let mut opened = self.trust.open_all(&puts).into_iter();
        let now_ms = now_ms();
        if self.latest.len() >= self.forget_at {
            self.latest.retain(|_, latest| latest.ends_ms > now_ms);
            self.forget_at = KNOWN.max(self.latest.len() * 2);
        }
        let mut hear = |entry: &Entry| {
            let opened = match entry.operation {
                Operation::Put => opened.next(),
                Operation::Delete | Operation::Purge => None,
            };
            let Ok(network) = Prefix::from_key(&entry.key).inspect_err(|error| {
                self.garbage.report(&entry.key, C::WHAT, error);
            }) else {
                return Heard::Garbage;
            };
            match opened {
                Some(opened) => match self.admit(entry, network, opened, now_ms) {
                    Some(command) => Heard::Put(Box::new(command)),
                    None => Heard::Nothing(network),
                },
                None => self.removed(entry, network, now_ms),
            }
        };
        entries.iter().map(&mut hear).collect()
    }

    fn removed(&mut self, entry: &Entry, network: Prefix, now_ms: i64) -> Heard<C> {
        if !self.trust.is_needed() {
            return Heard::Gone(network);
        }
        if entry.value.is_empty() {
            // Most likely the server's, at the command's end.
            let latest = self.latest.get(&network);
            if latest.is_some_and(|latest| latest.ends_ms > now_ms.saturating_add(SKEW_MS)) {
                self.refuse(entry, G::WHAT, Reason::Unsigned, &Untrusted::Unsigned);
            }
            return Heard::Nothing(network);
        }
        let opened = self.trust.open::<G>(&entry.value);
        match self.admit(entry, network, opened, now_ms) {
            Some(_) => Heard::Gone(network),
            None => Heard::Nothing(network),
        }
    }

    /// What was opened, if it counts.
    fn admit<M: About>(
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
                    Untrusted::Wire(_) | Untrusted::Uncovered => Reason::Malformed,
                    Untrusted::Unsigned => Reason::Unsigned,
                    Untrusted::UnknownKey(_) => Reason::UnknownKey,
                    Untrusted::Forged => Reason::Forged,
                };
                self.refuse(entry, M::WHAT, reason, &error);
                return None;
            }
        };
        self.garbage.skip(skipped);
        if command.network() != network {
            let error = format!("one of {} under the key of {network}", command.network());
            self.refuse(entry, M::WHAT, Reason::Readdressed, &error);
            return None;
        }
        if !self.trust.is_needed() {
            return Some(command);
        }
        let before = self.latest.get(&network).copied();
        // What is read again after a reconnect is the latest itself.
        if before.is_some_and(|before| after < before.revision && before.revision < entry.revision) {
            self.refuse(entry, M::WHAT, Reason::Replayed, &"it was there before");
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

    fn refuse(&self, entry: &Entry, what: &str, reason: Reason, error: &dyn std::fmt::Display) {
        self.refused.count(reason);
        self.garbage.report(&entry.key, what, error);
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::{
        sign::{SecretKey, Signer},
        wire::{Action, Layer, NO_LEASE, Reason as BanReason, Scope},
    };
    use uuid::Uuid;

    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    /// A fleet with a key, and who reads its bans.
    struct Lab {
        signer: Signer,
        reader: Reader<BlockCommand, Lift>,
        refused: Refused,
    }

    impl Lab {
        fn new() -> Self {
            let key = SecretKey::generate().unwrap();
            let refused = Refused::default();
            Self {
                reader: Reader::new(
                    [key.public()].into_iter().collect(),
                    refused.clone(),
                    Arc::default(),
                ),
                signer: Some(key).into(),
                refused,
            }
        }

        fn read(&mut self, entry: &Entry) -> Heard<BlockCommand> {
            let mut heard = self.reader.read(std::slice::from_ref(entry));
            assert_eq!(heard.len(), 1);
            heard.remove(0)
        }

        fn bans(&mut self, entry: &Entry) -> bool {
            matches!(self.read(entry), Heard::Put(_))
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
            reason: BanReason::Manual,
            note: String::new(),
            evidence: None,
            scope: Scope::Fleet,
            strikes: 0,
            issued_at_ms: now_ms(),
            expires_at_ms: now_ms() + lasts_ms,
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

    fn entry(revision: u64, operation: Operation, value: Vec<u8>) -> Entry {
        Entry {
            bucket: "secbeat_bans".to_owned(),
            key: target().key(),
            value: value.into(),
            revision,
            delta: 0,
            created: time::OffsetDateTime::UNIX_EPOCH,
            operation,
            seen_current: true,
        }
    }

    #[test]
    fn statistics_have_a_word_for_each_refusal() {
        assert_eq!(
            Refused::default()
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
            entry(revision, Operation::Put, lab.signer.seal(command, over).unwrap())
        };
        // One that ends by itself: the server forgets its key, and a moment later that there was one.
        let first = put(&lab, &ban(-1), 4, 10);
        assert!(lab.bans(&first));
        let marker = entry(15, Operation::Purge, Vec::new());
        assert_eq!(lab.read(&marker), Heard::Nothing(target()));
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
        let lifted = entry(23, Operation::Purge, lab.signer.seal(&lift(&short), 22).unwrap());
        assert_eq!(lab.read(&lifted), Heard::Gone(target()));
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
        assert!(lab.bans(&entry(10, Operation::Put, sealed.clone())));
        assert_eq!(
            lab.read(&entry(11, Operation::Purge, end.clone())),
            Heard::Gone(target())
        );
        assert_eq!(
            lab.read(&entry(12, Operation::Put, sealed.clone())),
            Heard::Nothing(target())
        );
        let again = lab.signer.seal(&ban(HOUR_MS), 12).unwrap();
        assert!(lab.bans(&entry(13, Operation::Put, again)));
        assert_eq!(
            lab.read(&entry(14, Operation::Purge, end)),
            Heard::Nothing(target())
        );
        assert_eq!(lab.refused(), [("replayed", 2)]);
        // A bucket that was made anew counts from the beginning.
        lab.reader.begin(1);
        assert!(lab.bans(&entry(1, Operation::Put, sealed)));
    }

    #[test]
    fn only_what_is_signed_takes_a_ban_away() {
        let mut lab = Lab::new();
        let sealed = lab.signer.seal(&ban(HOUR_MS), 0).unwrap();
        assert!(lab.bans(&entry(1, Operation::Put, sealed)));
        for (revision, operation) in [(2, Operation::Delete), (3, Operation::Purge)] {
            let removed = entry(revision, operation, Vec::new());
            assert_eq!(lab.read(&removed), Heard::Nothing(target()));
        }
        let unsigned = Signer::default().seal(&lift(&ban(0)), 3).unwrap();
        assert_eq!(
            lab.read(&entry(4, Operation::Purge, unsigned)),
            Heard::Nothing(target())
        );
        assert_eq!(lab.refused(), [("unsigned", 3)]);
        // Where nothing is verified, whoever removes it lifts it.
        let mut open =
            Reader::<BlockCommand, Lift>::new(Trust::default(), Refused::default(), Arc::default());
        let removed = open.read(&[entry(5, Operation::Delete, Vec::new())]);
        assert_eq!(removed, [Heard::Gone(target())]);
    }
}
