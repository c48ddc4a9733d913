//! Allowlist of this host's operators at run time, beside its config.

use std::collections::BTreeMap;

use secbeat_common::{coverage::Coverage, prefix::Prefix, wire::AllowEntry};

/// Most entries: the kernel's allowlist has 4096, which holds the fleet's and the config's as well.
pub const MAX_LOCAL_ALLOWED: usize = 256;

/// The reason why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalRefusal {
    #[error("{0} is not on the allowlist of this host")]
    NotThere(Prefix),
    #[error(
        "{network} and the other entries together would cover all {family} addresses: no client there could be banned any more"
    )]
    Everybody { network: Prefix, family: &'static str },
    #[error("the allowlist of this host is full: it has {MAX_LOCAL_ALLOWED} entries")]
    Full,
}

/// The entries, by network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalAllowlist(BTreeMap<Prefix, AllowEntry>);

impl LocalAllowlist {
    /// Those of `entries` that hold at `now_ms`.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = AllowEntry>, now_ms: i64) -> Self {
        let holding = entries.into_iter().filter(|entry| entry.holds_at(now_ms));
        let first = holding.take(MAX_LOCAL_ALLOWED);
        Self(first.map(|entry| (entry.network, entry)).collect())
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = &AllowEntry> {
        self.0.values()
    }

    /// The entry of exactly `network`.
    #[must_use]
    pub fn get(&self, network: &Prefix) -> Option<&AllowEntry> {
        self.0.get(network)
    }

    /// Adds `entry`, in place of what is there of the same network.
    ///
    /// # Errors
    ///
    /// [`LocalRefusal::Full`], or [`LocalRefusal::Everybody`] if no client of a family would be left to ban.
    pub fn add(&mut self, entry: AllowEntry) -> Result<(), LocalRefusal> {
        let network = entry.network;
        if !self.0.contains_key(&network) && self.0.len() >= MAX_LOCAL_ALLOWED {
            return Err(LocalRefusal::Full);
        }
        for part in Coverage::of(self.0.keys().copied().chain([network])) {
            let family = part.family;
            if part.is_everybody() {
                return Err(LocalRefusal::Everybody { network, family });
            }
        }
        self.0.insert(network, entry);
        Ok(())
    }

    /// Removes the entry of exactly `network`, and returns it.
    ///
    /// # Errors
    ///
    /// [`LocalRefusal::NotThere`].
    pub fn remove(&mut self, network: &Prefix) -> Result<AllowEntry, LocalRefusal> {
        self.0.remove(network).ok_or(LocalRefusal::NotThere(*network))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(network: &str, until_ms: Option<i64>) -> AllowEntry {
        AllowEntry {
            network: network.parse().unwrap(),
            comment: "exempt".to_owned(),
            until_ms,
            added_by: "root".to_owned(),
            added_at_ms: 0,
        }
    }

    fn networks(list: &LocalAllowlist) -> Vec<String> {
        list.entries().map(|entry| entry.network.to_string()).collect()
    }

    #[test]
    fn an_entry_takes_the_place_of_one_of_the_same_network_and_is_removed_by_its_name() {
        let mut list = LocalAllowlist::default();
        list.add(entry("203.0.113.7", Some(5_000))).unwrap();
        list.add(entry("203.0.113.0/24", None)).unwrap();
        list.add(entry("203.0.113.7", Some(9_000))).unwrap();
        assert_eq!(networks(&list), ["203.0.113.0/24", "203.0.113.7/32"]);
        let client = "203.0.113.7".parse().unwrap();
        assert_eq!(list.get(&client).unwrap().until_ms, Some(9_000));
        assert_eq!(list.remove(&client).unwrap().until_ms, Some(9_000));
        assert_eq!(list.remove(&client), Err(LocalRefusal::NotThere(client)));
        assert_eq!(networks(&list), ["203.0.113.0/24"]);
    }

    #[test]
    fn what_has_ended_is_left_out() {
        let kept = [
            entry("203.0.113.1", Some(5_000)),
            entry("203.0.113.2", Some(5_001)),
            entry("203.0.113.3", None),
        ];
        let list = LocalAllowlist::new(kept, 5_000);
        assert_eq!(networks(&list), ["203.0.113.2/32", "203.0.113.3/32"]);
    }

    #[test]
    fn it_is_bounded_and_never_everybody() {
        let of = |n: usize| entry(&format!("10.0.{}.{}", n / 256, n % 256), None);
        let mut list = LocalAllowlist::new((0..MAX_LOCAL_ALLOWED + 1).map(of), 0);
        assert_eq!(list.entries().count(), MAX_LOCAL_ALLOWED);
        let refused = list.add(entry("203.0.113.7", None)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the allowlist of this host is full: it has 256 entries"
        );
        list.add(of(0)).unwrap();

        let mut list = LocalAllowlist::default();
        list.add(entry("0.0.0.0/1", None)).unwrap();
        let refused = list.add(entry("128.0.0.0/1", None)).unwrap_err();
        assert!(matches!(refused, LocalRefusal::Everybody { family: "IPv4", .. }));
        assert_eq!(networks(&list), ["0.0.0.0/1"]);
    }
}
