//! Banned sources and networks as the HTTP side sees them: asked on every request, written by the enforcer alone.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use secbeat_common::{daemon::protect::Protected, prefix::Prefix};

use crate::{
    kernel::{BootTime, FilterMode, boot_now},
    net_table::NetTable,
    sources::proxy::Gate,
};

/// Whom the HTTP side refuses.
#[derive(Debug)]
pub struct L7Bans {
    bans: RwLock<Bans>,
    protected: Arc<Protected>,
    observing: AtomicBool,
    observed: AtomicU64,
}

/// When each ban ends.
#[derive(Debug, Default)]
struct Bans {
    sources: HashMap<Prefix, BootTime>,
    nets: NetTable<BootTime>,
}

impl L7Bans {
    /// Nobody is banned yet.
    #[must_use]
    pub fn new(protected: Arc<Protected>, mode: FilterMode) -> Self {
        Self {
            bans: RwLock::default(),
            protected,
            observing: AtomicBool::new(mode == FilterMode::Observe),
            observed: AtomicU64::default(),
        }
    }

    /// Whether banned clients are refused or only counted.
    #[must_use]
    pub fn mode(&self) -> FilterMode {
        match self.observing.load(Relaxed) {
            true => FilterMode::Observe,
            false => FilterMode::Enforce,
        }
    }

    /// Refuses banned clients, or only counts them, from the next request on.
    pub fn set_mode(&self, mode: FilterMode) {
        self.observing.store(mode == FilterMode::Observe, Relaxed);
    }

    /// Requests that would have been refused.
    #[must_use]
    pub fn observed(&self) -> u64 {
        self.observed.load(Relaxed)
    }

    /// Bans `target` until `ends`.
    pub fn put(&self, target: Prefix, ends: BootTime) {
        let mut bans = self.bans.write().unwrap_or_else(PoisonError::into_inner);
        if target.is_source() {
            bans.sources.insert(target, ends);
        } else {
            bans.nets.insert(target, ends);
        }
    }

    /// Lifts the ban of `target`.
    pub fn remove(&self, target: &Prefix) {
        let mut bans = self.bans.write().unwrap_or_else(PoisonError::into_inner);
        if target.is_source() {
            bans.sources.remove(target);
        } else {
            bans.nets.remove(target);
        }
    }

    fn is_banned_at(&self, client: IpAddr, now: impl FnOnce() -> BootTime) -> bool {
        let ends = self
            .bans
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .end(client);
        // As in the kernel: the end and the allowlist are looked at on a hit only.
        ends.is_some_and(|ends| now() < ends && !self.protected.contains(client))
    }
}

impl Bans {
    /// The latest end of all bans that `client` falls under.
    fn end(&self, client: IpAddr) -> Option<BootTime> {
        let source = self.sources.get(&Prefix::of_source(client)).copied();
        if self.nets.is_empty() {
            return source;
        }
        let host = Prefix::host(client);
        let nets = self.nets.around(&host).map(|(_, ends)| *ends);
        nets.chain(source).max()
    }
}

impl Gate for L7Bans {
    fn is_banned(&self, client: IpAddr) -> bool {
        let banned = self.is_banned_at(client, boot_now);
        if banned && self.mode() == FilterMode::Observe {
            self.observed.fetch_add(1, Relaxed);
            return false;
        }
        banned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bans(protected: &[&str]) -> L7Bans {
        let nets = protected.iter().map(|net| (net.parse().unwrap(), 1)).collect();
        L7Bans::new(Arc::new(Protected::new(nets)), FilterMode::Enforce)
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
    fn observe_mode_counts_and_lets_through() {
        let bans = bans(&[]);
        let client = "198.51.100.7".parse().unwrap();
        bans.put("198.51.100.7".parse().unwrap(), BootTime(u64::MAX));
        assert!(bans.is_banned(client));
        bans.set_mode(FilterMode::Observe);
        assert!(!bans.is_banned(client));
        assert!(!bans.is_banned("198.51.100.8".parse().unwrap()));
        assert_eq!(bans.observed(), 1);
        bans.set_mode(FilterMode::Enforce);
        assert!(bans.is_banned(client));
    }

    #[test]
    fn the_longest_of_all_bans_around_a_client_counts() {
        let bans = bans(&["198.51.100.9/32"]);
        for (target, ends) in [
            ("198.51.100.0/24", 100),
            ("198.51.100.0/28", 50),
            ("198.51.100.7", 20),
            ("2001:db8:1:2::9/128", 100),
        ] {
            bans.put(target.parse().unwrap(), BootTime(ends));
        }
        let banned = |client: &str, now| bans.is_banned_at(client.parse().unwrap(), || BootTime(now));
        for client in [
            "198.51.100.7",
            "198.51.100.8",
            "198.51.100.255",
            "2001:db8:1:2::9",
        ] {
            assert!(banned(client, 99) && !banned(client, 100), "{client}");
        }
        for client in ["198.51.101.7", "198.51.100.9", "2001:db8:1:2::8"] {
            assert!(!banned(client, 0), "{client}");
        }
        bans.remove(&"198.51.100.0/24".parse().unwrap());
        assert!(banned("198.51.100.8", 49) && !banned("198.51.100.8", 50));
        assert!(!banned("198.51.100.255", 0));
    }

    #[test]
    fn an_allowlisted_client_is_never_refused_at_l7() {
        let bans = bans(&["2001:db8:1:2::9/128"]);
        bans.put("2001:db8:1:2::/64".parse().unwrap(), BootTime(100));
        assert!(!bans.is_banned_at("2001:db8:1:2::9".parse().unwrap(), || BootTime(0)));
        assert!(bans.is_banned_at("2001:db8:1:2::8".parse().unwrap(), || BootTime(0)));
    }
}
