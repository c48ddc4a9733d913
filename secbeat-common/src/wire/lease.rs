//! Owners of the partitions.

use std::hash::Hasher as _;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::{Kind, Message, Part, PartWriter, WireError};

/// The epoch of a command that needs no lease: manual orders hold no matter who passes them on.
pub const NO_LEASE: u64 = 0;

/// The value of every key in the bucket of leases: of an orchestrator that it lives, of a partition who owns it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// An orchestrator's id; `None` for a partition that was given back.
    pub holder: Option<String>,
    /// Start of the lease, by the holder's wall clock, milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// Part 1, of an orchestrator's heartbeat: what it goes by.
    #[serde(skip)]
    pub config: ConfigDigests,
    /// Part 2, of an orchestrator's heartbeat: the bus stores none of its bans at the moment.
    #[serde(skip)]
    pub is_stuck: bool,
}

/// What of an orchestrator's config is to be the same for all, each part as a digest. Empty if it says nothing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigDigests {
    /// The orchestrator's release: another one digests in another way.
    release: String,
    /// Digests, by the config's keys.
    parts: Vec<(String, u64)>,
}

impl ConfigDigests {
    /// Digests of `parts`, each with its key in the config and whatever is the same for equal ones in `release`. SipHash-1-3
    /// without a key: nobody gains by two configs with one digest.
    #[must_use]
    pub fn new<'a>(release: &str, parts: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let digest = |(key, content): (&str, String)| {
            let mut hasher = SipHasher13::new();
            hasher.write(content.as_bytes());
            (key.to_owned(), hasher.finish())
        };
        Self {
            release: release.to_owned(),
            parts: parts.into_iter().map(digest).collect(),
        }
    }

    /// The keys of this one in which `other` differs. None if it says nothing, or is of another release.
    #[must_use]
    pub fn differing(&self, other: &Self) -> Vec<&str> {
        if self.release != other.release {
            return Vec::new();
        }
        let differs = |part: &&(String, u64)| !other.parts.contains(part);
        let differing = self.parts.iter().filter(differs);
        differing.map(|(key, _)| key.as_str()).collect()
    }

    fn is_empty(&self) -> bool {
        self.release.is_empty() && self.parts.is_empty()
    }
}

const CONFIG: u16 = 1;
const STUCK: u16 = 2;

impl Message for Lease {
    const KIND: Kind = Kind::Lease;
    const PARTS: &'static [u16] = &[CONFIG, STUCK];

    fn write_parts(&self, parts: &mut PartWriter<'_>) -> Result<(), WireError> {
        if !self.config.is_empty() {
            parts.put(CONFIG, &self.config)?;
        }
        if self.is_stuck {
            parts.put(STUCK, &self.is_stuck)?;
        }
        Ok(())
    }

    fn read_part(&mut self, part: Part<'_>) -> Result<(), WireError> {
        match part.tag() {
            CONFIG => self.config = part.read()?,
            _ => self.is_stuck = part.read()?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(release: &str, rules: &str, ban: &str) -> ConfigDigests {
        ConfigDigests::new(release, [("rule", rules.to_owned()), ("ban", ban.to_owned())])
    }

    #[test]
    fn what_differs_is_named_between_orchestrators_of_one_release() {
        let one = digests("0.1.0", "a", "b");
        for (other, expected) in [
            (digests("0.1.0", "a", "b"), vec![]),
            (digests("0.1.0", "x", "b"), vec!["rule"]),
            (digests("0.1.0", "b", "a"), vec!["rule", "ban"]),
            (digests("0.2.0", "x", "y"), vec![]),
            (ConfigDigests::default(), vec![]),
        ] {
            assert_eq!(one.differing(&other), expected, "{other:?}");
        }
        let less = ConfigDigests::new("0.1.0", [("rule", "a".to_owned())]);
        assert_eq!(one.differing(&less), ["ban"]);
    }
}
