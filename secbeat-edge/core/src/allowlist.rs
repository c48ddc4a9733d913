//! The allowlist of one edge: what its host needs, what its config lists, and what the fleet and the host's operators add.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use secbeat_common::{maps::allow, prefix::Prefix, wire::AllowEntry};

/// Networks that are never banned on this edge, each with a code of [`allow`].
#[derive(Clone, Debug, Default)]
pub struct Allowlist {
    /// Of the host and its config.
    host: HashMap<Prefix, u32>,
    /// Of the fleet, each with its expiry in milliseconds since the Unix epoch, where it has one.
    fleet: BTreeMap<Prefix, Option<i64>>,
    /// Of the host's operators, with their expiries.
    local: BTreeMap<Prefix, Option<i64>>,
    /// All together, as last merged.
    nets: Arc<HashMap<Prefix, u32>>,
    merged_at_ms: i64,
}

impl Allowlist {
    /// Starts with the networks of the host, and those of the fleet that the kernel still holds: they stay until the
    /// fleet's allowlist is read.
    #[must_use]
    pub fn new(host: HashMap<Prefix, u32>, fleet: impl IntoIterator<Item = Prefix>) -> Self {
        let mut allowlist = Self {
            host,
            fleet: fleet.into_iter().map(|network| (network, None)).collect(),
            ..Self::default()
        };
        allowlist.merge(0);
        allowlist
    }

    /// Adds the entries of the host's operators.
    #[must_use]
    pub fn with_local<'e>(mut self, entries: impl IntoIterator<Item = &'e AllowEntry>) -> Self {
        self.local = ends(entries);
        self.merge(self.merged_at_ms);
        self
    }

    /// All networks.
    #[must_use]
    pub fn nets(&self) -> &Arc<HashMap<Prefix, u32>> {
        &self.nets
    }

    /// Returns how many networks have this code of [`allow`].
    pub(crate) fn of_reason(&self, reason: u32) -> usize {
        self.nets.values().filter(|code| **code == reason).count()
    }

    /// Whether all of `target` is allowlisted. One allowlisted address within a banned /64 does not cover its neighbours:
    /// the kernel and the HTTP layer let that address alone through.
    #[must_use]
    pub fn covers(&self, target: &Prefix) -> bool {
        self.nets.keys().any(|net| net.covers(target))
    }

    /// Replaces the host's networks; [`merge`](Self::merge) is due.
    pub(crate) fn set_host(&mut self, nets: HashMap<Prefix, u32>) {
        self.host = nets;
    }

    /// Replaces the fleet's networks; [`merge`](Self::merge) is due.
    pub(crate) fn set_fleet(&mut self, entries: &[AllowEntry]) {
        self.fleet = ends(entries);
    }

    /// Replaces those of the host's operators; [`merge`](Self::merge) is due.
    pub(crate) fn set_local(&mut self, entries: &[AllowEntry]) {
        self.local = ends(entries);
    }

    /// Whether an entry with an expiry has expired since the last merge, or a clock set back has revived one.
    pub(crate) fn is_outdated(&self, now_ms: i64) -> bool {
        let mut ends = self.fleet.values().chain(self.local.values()).flatten();
        ends.any(|until| (now_ms < *until) != (self.merged_at_ms < *until))
    }

    /// Merges all parts as of `now_ms`. Returns whether anything changed.
    pub(crate) fn merge(&mut self, now_ms: i64) -> bool {
        self.merged_at_ms = now_ms;
        let mut nets = self.host.clone();
        for (entries, reason) in [(&self.fleet, allow::FLEET), (&self.local, allow::LOCAL)] {
            let holding = entries
                .iter()
                .filter(|(_, until)| until.is_none_or(|until| now_ms < until));
            for (network, _) in holding {
                nets.entry(*network).or_insert(reason);
            }
        }
        let changed = *self.nets != nets;
        if changed {
            self.nets = Arc::new(nets);
        }
        changed
    }
}

/// Returns when each entry expires.
fn ends<'e>(entries: impl IntoIterator<Item = &'e AllowEntry>) -> BTreeMap<Prefix, Option<i64>> {
    let entries = entries.into_iter();
    entries.map(|entry| (entry.network, entry.until_ms)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(network: &str, until_ms: Option<i64>) -> AllowEntry {
        AllowEntry {
            network: network.parse().unwrap(),
            comment: String::new(),
            added_by: "alice".to_owned(),
            added_at_ms: 0,
            until_ms,
        }
    }

    #[test]
    fn an_entry_of_the_fleet_holds_until_its_expiry_and_again_when_the_clock_is_set_back() {
        let mut allowlist = Allowlist::default();
        allowlist.set_fleet(&[entry("192.0.2.0/24", Some(5_000)), entry("203.0.113.0/24", None)]);
        assert!(allowlist.merge(4_999));
        let client = "192.0.2.7".parse().unwrap();
        assert!(allowlist.covers(&client) && !allowlist.is_outdated(4_999));
        assert!(allowlist.is_outdated(5_000));
        assert!(allowlist.merge(5_000));
        assert!(!allowlist.covers(&client) && allowlist.covers(&"203.0.113.7".parse().unwrap()));
        assert!(allowlist.is_outdated(4_000) && allowlist.merge(4_000) && allowlist.covers(&client));
    }

    #[test]
    fn the_hosts_reason_for_a_network_comes_before_the_fleets() {
        let net: Prefix = "192.0.2.0/24".parse().unwrap();
        let mut allowlist = Allowlist::new(HashMap::from([(net, allow::CONFIGURED)]), [net]);
        assert_eq!(allowlist.nets()[&net], allow::CONFIGURED);
        allowlist.set_host(HashMap::new());
        assert!(allowlist.merge(1));
        assert_eq!(allowlist.nets()[&net], allow::FLEET);
        assert!(!allowlist.merge(2), "nothing changed");
    }

    #[test]
    fn an_entry_of_an_operator_holds_until_its_expiry_beside_the_fleets() {
        let net: Prefix = "192.0.2.0/24".parse().unwrap();
        let mine = [
            entry("192.0.2.0/24", Some(9_000)),
            entry("198.51.100.7", Some(5_000)),
        ];
        let mut allowlist = Allowlist::new(HashMap::new(), []).with_local(&mine);
        assert_eq!(allowlist.nets()[&net], allow::LOCAL);
        allowlist.set_fleet(&[entry("192.0.2.0/24", Some(6_000))]);
        assert!(allowlist.merge(4_999));
        assert_eq!(allowlist.nets()[&net], allow::FLEET);
        let client = "198.51.100.7".parse().unwrap();
        assert!(allowlist.covers(&client) && !allowlist.is_outdated(4_999) && allowlist.is_outdated(5_000));
        assert!(allowlist.merge(6_000));
        assert_eq!(
            **allowlist.nets(),
            HashMap::from([(net, allow::LOCAL)]),
            "what outlasts the fleet's entry"
        );
        allowlist.set_local(&[]);
        assert!(allowlist.merge(6_001) && allowlist.nets().is_empty());
    }
}
