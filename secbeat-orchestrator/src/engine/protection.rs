//! Whom the ledger protects: what was found on this host or is in the config, and the fleet's allowlist.

use secbeat_daemon::{allowlist::Allowlist, time::now_ms};
use tokio::sync::watch;
use tracing::info;

use super::Engine;
use crate::protection::ProtectedNet;

/// Networks that are never banned, and why.
pub(super) struct Protections {
    here: Vec<ProtectedNet>,
    /// Entries of the allowlist that have not ended.
    fleet: Vec<ProtectedNet>,
    allowlist: watch::Receiver<Option<Allowlist>>,
}

impl Protections {
    pub(super) fn new(here: Vec<ProtectedNet>, allowlist: watch::Receiver<Option<Allowlist>>) -> Self {
        Self {
            here,
            fleet: Vec::new(),
            allowlist,
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &ProtectedNet> {
        self.here.iter().chain(&self.fleet)
    }

    /// Whether the allowlist has been read from the bus since the start.
    pub(super) fn is_complete(&self) -> bool {
        self.allowlist.borrow().is_some()
    }

    /// Takes up the allowlist's changes, if there are any. Returns whether there were.
    fn hear(&mut self, now_ms: i64) -> bool {
        let has_changed = self.allowlist.has_changed().unwrap_or(false);
        if has_changed {
            self.fleet = holding(self.allowlist.borrow_and_update().as_ref(), now_ms);
        }
        has_changed
    }

    /// Forgets the allowlist's entries that have ended. Returns whether there were any.
    fn expire(&mut self, now_ms: i64) -> bool {
        let before = self.fleet.len();
        self.fleet
            .retain(|net| net.until_ms.is_none_or(|until_ms| now_ms < until_ms));
        self.fleet.len() != before
    }
}

fn holding(list: Option<&Allowlist>, now_ms: i64) -> Vec<ProtectedNet> {
    let entries = list.into_iter().flat_map(|list| list.entries.values());
    entries
        .filter(|entry| entry.holds_at(now_ms))
        .map(ProtectedNet::of_fleet)
        .collect()
}

impl Engine {
    /// Before anything is decided.
    pub(super) fn hear_allowlist(&mut self) {
        if self.protected.hear(now_ms()) {
            self.protect();
        }
    }

    /// Once a second.
    pub(super) fn expire_allowlist(&mut self) {
        self.hear_allowlist();
        if self.protected.expire(now_ms()) {
            info!("entries of the allowlist have ended");
            self.protect();
        }
    }

    /// What this host's look over itself found.
    pub(super) fn protect_here(&mut self, networks: Vec<ProtectedNet>) {
        self.protected.here = networks;
        self.protect();
    }

    fn protect(&mut self) {
        self.ledger
            .protect(self.protected.all().map(|net| net.network).collect());
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::{prefix::Prefix, wire::AllowEntry};

    use super::*;

    fn entry(network: &str, until_ms: Option<i64>) -> (Prefix, AllowEntry) {
        let entry = AllowEntry {
            network: network.parse().unwrap(),
            comment: "office".to_owned(),
            until_ms,
            added_by: "api".to_owned(),
            added_at_ms: 0,
        };
        (entry.network, entry)
    }

    fn networks(protections: &Protections) -> Vec<String> {
        let networks = protections
            .all()
            .map(|net| format!("{} {}", net.network, net.reason));
        networks.collect()
    }

    #[test]
    fn the_allowlist_protects_from_when_it_is_heard_until_its_entries_end() {
        let here = ProtectedNet {
            network: "127.0.0.0/8".parse().unwrap(),
            reason: "loopback",
            comment: String::new(),
            until_ms: None,
        };
        let (allowlist, known) = watch::channel(None);
        let mut protections = Protections::new(vec![here], known);
        assert!(!protections.is_complete() && !protections.hear(1));

        let entries = [
            entry("192.0.2.0/24", Some(1_000)),
            entry("198.51.100.0/24", Some(2_000)),
            entry("203.0.113.0/24", None),
        ];
        allowlist.send_replace(Some(Allowlist {
            entries: entries.into(),
            ..Allowlist::default()
        }));
        assert!(protections.is_complete() && protections.hear(1_000));
        assert!(!protections.hear(1_000), "it has changed once");
        assert_eq!(
            networks(&protections),
            [
                "127.0.0.0/8 loopback",
                "198.51.100.0/24 fleet",
                "203.0.113.0/24 fleet"
            ]
        );
        assert!(!protections.expire(1_999));
        assert!(protections.expire(2_000));
        assert_eq!(
            networks(&protections),
            ["127.0.0.0/8 loopback", "203.0.113.0/24 fleet"]
        );

        allowlist.send_replace(Some(Allowlist::default()));
        assert!(protections.hear(2_000));
        assert_eq!(networks(&protections), ["127.0.0.0/8 loopback"]);
    }
}
