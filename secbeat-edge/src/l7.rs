//! Banned sources as the HTTP side sees them: asked on every request, written by the enforcer alone.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

use secbeat_common::{daemon::protect::Protected, prefix::Prefix};

use crate::{
    kernel::{BootTime, boot_now},
    sources::proxy::Gate,
};

/// Banned sources and when each ban ends.
#[derive(Debug)]
pub struct L7Bans {
    bans: RwLock<HashMap<Prefix, BootTime>>,
    protected: Arc<Protected>,
}

impl L7Bans {
    /// Nobody is banned yet.
    #[must_use]
    pub fn new(protected: Arc<Protected>) -> Self {
        Self {
            bans: RwLock::default(),
            protected,
        }
    }

    /// Bans `target` until `ends`.
    pub fn put(&self, target: Prefix, ends: BootTime) {
        self.bans
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(target, ends);
    }

    /// Lifts the ban of `target`.
    pub fn remove(&self, target: &Prefix) {
        self.bans
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(target);
    }

    fn is_banned_at(&self, client: IpAddr, now: impl FnOnce() -> BootTime) -> bool {
        let ends = self
            .bans
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&Prefix::of_source(client))
            .copied();
        // As in the kernel: the end and the allowlist are looked at on a hit only.
        ends.is_some_and(|ends| now() < ends && !self.protected.contains(client))
    }
}

impl Gate for L7Bans {
    fn is_banned(&self, client: IpAddr) -> bool {
        self.is_banned_at(client, boot_now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bans(protected: &[&str]) -> L7Bans {
        let nets = protected.iter().map(|net| (net.parse().unwrap(), 1)).collect();
        L7Bans::new(Arc::new(Protected::new(nets)))
    }

    #[test]
    fn a_ban_holds_for_the_source_until_its_end() {
        let bans = bans(&[]);
        bans.put("2001:db8:1:2::/64".parse().unwrap(), BootTime(100));
        let client = "2001:db8:1:2:3::4".parse().unwrap();
        assert!(bans.is_banned_at(client, || BootTime(99)));
        assert!(!bans.is_banned_at(client, || BootTime(100)));
        assert!(!bans.is_banned_at("2001:db8:1:3::4".parse().unwrap(), || BootTime(0)));
        bans.remove(&"2001:db8:1:2::/64".parse().unwrap());
        assert!(!bans.is_banned_at(client, || BootTime(0)));
    }

    #[test]
    fn an_allowlisted_client_is_never_refused_at_l7() {
        let bans = bans(&["2001:db8:1:2::9/128"]);
        bans.put("2001:db8:1:2::/64".parse().unwrap(), BootTime(100));
        assert!(!bans.is_banned_at("2001:db8:1:2::9".parse().unwrap(), || BootTime(0)));
        assert!(bans.is_banned_at("2001:db8:1:2::8".parse().unwrap(), || BootTime(0)));
    }
}
