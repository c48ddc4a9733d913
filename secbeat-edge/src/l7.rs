//! Banned sources and networks as the HTTP side sees them: asked on every request, written by the enforcer alone.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwapOption;
use parking_lot::RwLock;
use secbeat_common::{
    lists::{ALLOWS, BANS},
    net_table::NetTable,
    prefix::Prefix,
    wire::Layer,
};
use secbeat_daemon::protect::Protected;
use secbeat_edge_core::{BootTime, FilterMode};
use tokio::sync::watch;

use crate::{
    config::Enforcement,
    kernel::boot_now,
    sources::{
        client_address::Client,
        gate::{Admission, Gate},
    },
};

/// Whom the HTTP side refuses.
#[derive(Debug)]
pub(crate) struct L7Bans {
    bans: RwLock<Bans>,
    protected: Arc<Protected>,
    /// What the static lists in force say of an address; `None` while there are none.
    lists: ArcSwapOption<Listed>,
    /// Whether bans that the kernel could enforce are refused here as well.
    doubles_kernel: bool,
    observing: AtomicBool,
    observed: AtomicU64,
    changes: watch::Sender<()>,
}

/// The lists that an address is on at a time, with [`BANS`] and [`ALLOWS`].
pub(crate) struct Listed(pub(crate) Box<dyn Fn(IpAddr, BootTime) -> u64 + Send + Sync>);

impl fmt::Debug for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("static lists")
    }
}

/// When each ban ends, and where it is enforced.
#[derive(Debug, Default)]
struct Bans {
    sources: HashMap<Prefix, (BootTime, Layer)>,
    nets: NetTable<(BootTime, Layer)>,
}

impl L7Bans {
    /// A table without bans.
    #[must_use]
    pub(crate) fn new(protected: Arc<Protected>, mode: FilterMode, enforcement: Enforcement) -> Self {
        Self {
            bans: RwLock::default(),
            protected,
            lists: ArcSwapOption::empty(),
            doubles_kernel: enforcement.at_l7(),
            observing: AtomicBool::new(mode == FilterMode::Observe),
            observed: AtomicU64::default(),
            changes: watch::Sender::default(),
        }
    }

    /// Whether banned clients are refused or only counted.
    #[must_use]
    pub(crate) fn mode(&self) -> FilterMode {
        match self.observing.load(Relaxed) {
            true => FilterMode::Observe,
            false => FilterMode::Enforce,
        }
    }

    /// Refuses banned clients, or only counts them, from the next request on.
    pub(crate) fn set_mode(&self, mode: FilterMode) {
        self.observing.store(mode == FilterMode::Observe, Relaxed);
        self.changes.send_replace(());
    }

    /// Requests that would have been refused.
    #[must_use]
    pub(crate) fn observed(&self) -> u64 {
        self.observed.load(Relaxed)
    }

    /// Goes by these static lists from the next request on.
    pub(crate) fn set_lists(&self, lists: Option<Listed>) {
        self.lists.store(lists.map(Arc::new));
        self.changes.send_replace(());
    }

    /// Bans `target` until `ends`.
    pub(crate) fn put(&self, target: Prefix, ends: BootTime, layer: Layer) {
        let mut bans = self.bans.write();
        if target.is_single() {
            bans.sources.insert(target, (ends, layer));
        } else {
            bans.nets.insert(target, (ends, layer));
        }
        drop(bans);
        self.changes.send_replace(());
    }

    /// Lifts the ban of `target`.
    pub(crate) fn remove(&self, target: &Prefix) {
        let mut bans = self.bans.write();
        if target.is_single() {
            bans.sources.remove(target);
        } else {
            bans.nets.remove(target);
        }
    }

    fn admission_at(&self, client: Client, now: impl FnOnce() -> BootTime) -> Admission {
        let bans = self.bans.read();
        let mut around = bans.around(client.address).peekable();
        let lists = self.lists.load();
        // As in the kernel: the end and the allowlist are looked at on a hit only.
        if around.peek().is_none() && lists.is_none() {
            return Admission::Served;
        }
        let now = now();
        let listed = lists.as_ref().map_or(0, |lists| lists.0(client.address, now));
        if listed & ALLOWS != 0 {
            return Admission::Served;
        }
        let (mut in_kernel, mut at_l7) = (listed & BANS != 0, false);
        for (_, layer) in around.filter(|(ends, _)| now < *ends) {
            in_kernel |= layer == Layer::Kernel;
            at_l7 |= layer == Layer::L7;
        }
        let is_peer = client.learned_from.layer() == Layer::Kernel;
        let refused = at_l7 || (in_kernel && (self.doubles_kernel || !is_peer));
        match refused && !self.protected.contains(client.address) {
            false => Admission::Served,
            true if is_peer && !in_kernel => Admission::RefusedAsPeer,
            true => Admission::Refused,
        }
    }
}

impl Bans {
    /// All bans that `client` falls under.
    fn around(&self, client: IpAddr) -> impl Iterator<Item = (BootTime, Layer)> {
        let source = self.sources.get(&Prefix::single(client)).copied();
        let nets = match self.nets.is_empty() {
            true => Vec::new(),
            false => {
                let host = Prefix::host(client);
                self.nets.around(&host).map(|(_, ban)| *ban).collect()
            }
        };
        nets.into_iter().chain(source)
    }
}

impl Gate for L7Bans {
    fn admission(&self, client: Client) -> Admission {
        let admission = self.admission_at(client, boot_now);
        if admission != Admission::Served && self.mode() == FilterMode::Observe {
            self.observed.fetch_add(1, Relaxed);
            return Admission::Served;
        }
        admission
    }

    fn refuses(&self, client: Client) -> bool {
        self.mode() == FilterMode::Enforce && self.admission_at(client, boot_now) != Admission::Served
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::LearnedFrom;

    use super::*;

    fn bans(protected: &[&str]) -> L7Bans {
        let nets = protected.iter().map(|net| (net.parse().unwrap(), 1)).collect();
        L7Bans::new(
            Arc::new(Protected::new(nets)),
            FilterMode::Enforce,
            Enforcement::Both,
        )
    }

    fn peer(address: &str) -> Client {
        Client::peer(address.parse().unwrap())
    }

    fn refuses(bans: &L7Bans, address: &str, now: u64) -> bool {
        bans.admission_at(peer(address), || BootTime(now)) != Admission::Served
    }

    #[test]
    fn a_ban_holds_for_the_source_until_its_end() {
        let bans = bans(&[]);
        bans.put("2001:db8:1:2::/64".parse().unwrap(), BootTime(100), Layer::Kernel);
        assert!(refuses(&bans, "2001:db8:1:2:3::4", 99));
        assert!(!refuses(&bans, "2001:db8:1:2:3::4", 100));
        assert!(!refuses(&bans, "2001:db8:1:3::4", 0));
        bans.remove(&"2001:db8:1:2::/64".parse().unwrap());
        assert!(!refuses(&bans, "2001:db8:1:2:3::4", 0));
    }

    #[test]
    fn how_the_client_was_learned_and_the_layer_of_its_ban_decide() {
        use Admission::{Refused, RefusedAsPeer, Served};
        let by = |learned_from, address: &str| Client {
            learned_from,
            ..peer(address)
        };
        // Of sources and of networks; the last one is banned both ways.
        let (kernel, l7) = (["198.51.100.1", "203.0.113.1"], ["198.51.100.2", "192.0.2.2"]);
        let both = "203.0.113.2";
        for (enforcement, in_kernel) in [
            (Enforcement::Both, Refused),
            (Enforcement::L7, Refused),
            (Enforcement::Kernel, Served),
        ] {
            let bans = L7Bans::new(Arc::default(), FilterMode::Enforce, enforcement);
            for (target, layer) in [
                ("198.51.100.1", Layer::Kernel),
                ("203.0.113.0/24", Layer::Kernel),
                ("198.51.100.2", Layer::L7),
                ("192.0.2.0/24", Layer::L7),
                ("203.0.113.2", Layer::L7),
            ] {
                bans.put(target.parse().unwrap(), BootTime(100), layer);
            }
            let admission = |client| bans.admission_at(client, || BootTime(99));
            for address in kernel {
                assert_eq!(admission(peer(address)), in_kernel, "{address}");
            }
            for address in l7 {
                assert_eq!(admission(peer(address)), RefusedAsPeer, "{address}");
            }
            assert_eq!(admission(peer(both)), Refused);
            for learned_from in [LearnedFrom::Header, LearnedFrom::ProxyProtocol] {
                for address in kernel.into_iter().chain(l7).chain([both]) {
                    assert_eq!(admission(by(learned_from, address)), Refused, "{address}");
                }
                assert_eq!(admission(by(learned_from, "198.51.100.3")), Served);
            }
        }
    }

    #[test]
    fn static_lists_hold_for_clients_that_the_kernel_does_not_see() {
        let listed = |address: IpAddr, _| match address.to_string().as_str() {
            "192.0.2.1" => BANS | 1,
            "192.0.2.2" => BANS | ALLOWS | 3,
            "192.0.2.3" => ALLOWS | 2,
            "192.0.2.4" => 4,
            _ => 0,
        };
        let bans = bans(&["192.0.2.9/32"]);
        bans.put("192.0.2.3/32".parse().unwrap(), BootTime(100), Layer::Kernel);
        assert!(refuses(&bans, "192.0.2.3", 0) && !refuses(&bans, "192.0.2.1", 0));
        bans.set_lists(Some(Listed(Box::new(listed))));
        let refused = ["1", "2", "3", "4", "9"].map(|host| refuses(&bans, &format!("192.0.2.{host}"), 0));
        assert_eq!(refused, [true, false, false, false, false]);
        // Where the kernel alone enforces, it drops packets of peers; it cannot see others.
        let bans = L7Bans::new(
            Arc::new(Protected::new(HashMap::new())),
            FilterMode::Enforce,
            Enforcement::Kernel,
        );
        bans.set_lists(Some(Listed(Box::new(listed))));
        let client = |learned_from| Client {
            address: "192.0.2.1".parse().unwrap(),
            learned_from,
        };
        let admission = |learned_from| bans.admission_at(client(learned_from), || BootTime(0));
        assert_eq!(admission(LearnedFrom::Peer), Admission::Served);
        assert_eq!(admission(LearnedFrom::Header), Admission::Refused);
        bans.set_lists(None);
        assert_eq!(admission(LearnedFrom::Header), Admission::Served);
    }

    #[test]
    fn observe_mode_counts_and_lets_through() {
        let bans = bans(&[]);
        let client = peer("198.51.100.7");
        bans.put("198.51.100.7".parse().unwrap(), BootTime(u64::MAX), Layer::L7);
        assert_eq!(bans.admission(client), Admission::RefusedAsPeer);
        bans.set_mode(FilterMode::Observe);
        assert_eq!(bans.admission(client), Admission::Served);
        assert_eq!(bans.admission(peer("198.51.100.8")), Admission::Served);
        assert_eq!(bans.observed(), 1);
        bans.set_mode(FilterMode::Enforce);
        assert_eq!(bans.admission(client), Admission::RefusedAsPeer);
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
            bans.put(target.parse().unwrap(), BootTime(ends), Layer::Kernel);
        }
        for client in [
            "198.51.100.7",
            "198.51.100.8",
            "198.51.100.255",
            "2001:db8:1:2::9",
        ] {
            assert!(
                refuses(&bans, client, 99) && !refuses(&bans, client, 100),
                "{client}"
            );
        }
        for client in ["198.51.101.7", "198.51.100.9", "2001:db8:1:2::8"] {
            assert!(!refuses(&bans, client, 0), "{client}");
        }
        bans.remove(&"198.51.100.0/24".parse().unwrap());
        assert!(refuses(&bans, "198.51.100.8", 49) && !refuses(&bans, "198.51.100.8", 50));
        assert!(!refuses(&bans, "198.51.100.255", 0));
    }

    #[test]
    fn an_allowlisted_client_is_never_refused_at_l7() {
        let bans = bans(&["2001:db8:1:2::9/128"]);
        for layer in [Layer::Kernel, Layer::L7] {
            bans.put("2001:db8:1:2::/64".parse().unwrap(), BootTime(100), layer);
            assert!(!refuses(&bans, "2001:db8:1:2::9", 0), "{layer:?}");
            assert!(refuses(&bans, "2001:db8:1:2::8", 0), "{layer:?}");
        }
    }
}
