//! The bucket of bans, as it is heard of and written to.

use std::collections::HashMap;

use secbeat_common::{prefix::Prefix, wire::BlockCommand};
use uuid::Uuid;

/// A ban that the bucket has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub command: BlockCommand,
    /// Of its key.
    pub revision: u64,
}

/// The bucket has no ban of `target` any more: it was lifted, or has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    pub target: Prefix,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Of the key's deletion.
    pub revision: u64,
}

/// One change of the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Written(Box<Written>),
    Gone(Gone),
    /// Something that must not be accepted took the place of this target's ban, if there was one.
    Spoiled {
        target: Prefix,
        revision: u64,
    },
}

/// What the key of a target holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Ban(Box<BlockCommand>),
    /// The end of the ban of this id.
    Lifted(Uuid),
    /// Nothing that counts.
    Nothing,
}

/// What became of a write that depends on what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Written {
        revision: u64,
    },
    /// Something else was there.
    Conflict,
}

/// What a key of the bucket holds, for a write on top of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// 0 if there is nothing.
    pub revision: u64,
    /// The end of the ban; 0 if there is none.
    pub expires_at_ms: i64,
    /// The latest revision in the whole bucket that is known. A command says that it was written after it, and so after
    /// all that anybody has seen of its key, also if the server has forgotten that since.
    pub seen: u64,
}

/// What was last heard of each key of the bucket.
#[derive(Clone, Debug, Default)]
pub struct Revisions {
    held: HashMap<Prefix, Held>,
    seen: u64,
}

impl Revisions {
    /// Of the key of `target`'s ban, as far as is known.
    #[must_use]
    pub fn of(&self, target: &Prefix) -> Held {
        let held = self.held.get(target).copied().unwrap_or_default();
        Held {
            seen: self.seen,
            ..held
        }
    }

    /// The same of a key that holds `revision`, and a ban until `expires_at_ms` (0: none).
    #[must_use]
    pub fn at(&self, revision: u64, expires_at_ms: i64) -> Held {
        Held {
            revision,
            expires_at_ms,
            seen: self.seen.max(revision),
        }
    }

    /// The key of `target` holds something at `revision`: a ban until `expires_at_ms`, or nothing that counts (0).
    pub fn holds(&mut self, target: Prefix, revision: u64, expires_at_ms: i64) {
        self.seen = self.seen.max(revision);
        let held = Held {
            revision,
            expires_at_ms,
            seen: revision,
        };
        self.held.insert(target, held);
    }

    /// The key of `target` was deleted at `revision`.
    pub fn deleted(&mut self, target: &Prefix, revision: u64) {
        self.seen = self.seen.max(revision);
        self.held.remove(target);
    }

    /// Forgets all: the bucket's latest revision is `seen`.
    pub fn begin(&mut self, seen: u64) {
        *self = Self {
            held: HashMap::new(),
            seen,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_goes_on_top_of_what_was_last_heard_of_its_key() {
        let mut revisions = Revisions::default();
        let target: Prefix = "198.51.100.7".parse().unwrap();
        assert_eq!(revisions.of(&target), Held::default());
        revisions.begin(7);
        revisions.holds(target, 9, 5_000);
        let held = |revision, expires_at_ms, seen| Held {
            revision,
            expires_at_ms,
            seen,
        };
        assert_eq!(revisions.of(&target), held(9, 5_000, 9));
        revisions.holds("198.51.100.8".parse().unwrap(), 12, 0);
        assert_eq!(
            revisions.of(&target),
            held(9, 5_000, 12),
            "seen is the whole bucket's"
        );
        assert_eq!(revisions.at(15, 6_000), held(15, 6_000, 15));
        assert_eq!(revisions.at(3, 6_000), held(3, 6_000, 12));
        revisions.deleted(&target, 13);
        assert_eq!(
            revisions.of(&target),
            held(0, 0, 13),
            "a deleted key is written anew"
        );
        revisions.begin(2);
        assert_eq!(revisions.of(&target), held(0, 0, 2), "another bucket");
    }
}
