//! The allowlist of one edge: what its host needs, what its config lists, and what the fleet adds.

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
    /// Both together, as last merged.
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

    /// All networks.
    #[must_use]
    pub fn nets(&self) -> &Arc<HashMap<Prefix, u32>> {
        &self.nets
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
        self.fleet = entries
            .iter()
            .map(|entry| (entry.network, entry.until_ms))
            .collect();
    }

    /// Whether an entry of the fleet has expired since the last merge, or a clock set back has revived one.
    pub(crate) fn is_outdated(&self, now_ms: i64) -> bool {
        let mut ends = self.fleet.values().flatten();
        ends.any(|until| (now_ms < *until) != (self.merged_at_ms < *until))
    }

    /// Merges both parts as of `now_ms`. Returns whether anything changed.
    pub(crate) fn merge(&mut self, now_ms: i64) -> bool {
        self.merged_at_ms = now_ms;
        let mut nets = self.host.clone();
        let holding = self
            .fleet
            .iter()
            .filter(|(_, until)| until.is_none_or(|until| now_ms < until));
        for (network, _) in holding {
            nets.entry(*network).or_insert(allow::FLEET);
        }
        let changed = *self.nets != nets;
        if changed {
            self.nets = Arc::new(nets);
        }
        changed
    }
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
}
