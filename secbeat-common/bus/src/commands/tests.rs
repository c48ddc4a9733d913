use secbeat_common::sign::{SecretKey, Signer};
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
    crate::samples::ban(target(), Uuid::now_v7(), NOW_MS, lasts_ms)
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
    // A bucket that was made again counts from the beginning.
    lab.reader.begin(Created(1));
    assert!(lab.bans(&entry(1, EntryKind::Put, sealed)));
}

#[test]
fn a_ban_after_a_longer_one_that_was_lifted_ends_by_itself() {
    let mut lab = Lab::new();
    let long = ban(HOUR_MS);
    let sealed = lab.signer.seal(&long, 0).unwrap();
    assert!(lab.bans(&entry(10, EntryKind::Put, sealed.clone())));
    let lifted = entry(11, EntryKind::Purge, lab.signer.seal(&lift(&long), 10).unwrap());
    assert_eq!(lab.read(&lifted), Statement::Gone(target()));
    let short = lab.signer.seal(&ban(-1), 11).unwrap();
    assert!(lab.bans(&entry(12, EntryKind::Put, short)));
    // The server's own deletion at its end.
    let marker = entry(13, EntryKind::Purge, Vec::new());
    assert_eq!(lab.read(&marker), Statement::Untrusted(target()));
    assert_eq!(lab.refused(), []);
    // The longer one is remembered all the same.
    assert_eq!(
        lab.read(&entry(14, EntryKind::Put, sealed)),
        Statement::Untrusted(target())
    );
    assert_eq!(lab.refused(), [("replayed", 1)]);
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
    // Where nothing is verified, anyone who removes it lifts it.
    let mut open = CommandReader::<BlockCommand, Lift>::new(
        Trust::default(),
        RefusedCommands::default(),
        Arc::default(),
    );
    let removed = open.read(&[entry(5, EntryKind::Delete, Vec::new())], NOW_MS);
    assert_eq!(removed, [Statement::Gone(target())]);
}
