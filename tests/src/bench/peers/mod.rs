//! What is used today to drop a banned source: each on a track of its own, among other bans, counting what it drops.

mod ipset;
mod iptables;
mod nftables;
mod tool;
mod xdp_filter;

pub(super) use nftables::install_intervals as install_nft_intervals;

use crate::{
    bench::{
        contender::{Contender, FRAMES_DROPPED_BY_XDP, FRAMES_INTO_STACK, Rows, Sample},
        sources::{BANNED_V4, frame_of},
        tally::Reach,
        track::{Run, Track},
    },
    lab::netns::Namespace,
};

pub(super) const XDP_FILTER: &str = "xdp-filter, native, deny";
pub(super) const NFT_INGRESS: &str = "nftables netdev ingress set";
pub(super) const NFT_RAW: &str = "nftables raw prerouting set";
pub(super) const IPSET_RAW: &str = "ipset in raw PREROUTING";
pub(super) const NFT_INPUT: &str = "nftables input set";
pub(super) const IPTABLES_NFT: &str = "iptables INPUT, 50 rules";
pub(super) const IPTABLES_LEGACY: &str = "iptables-legacy, 50 rules";
const NO_FILTER: &str = "no filter";

/// Frames that a peer says it has dropped; `None` where nothing is dropped. Owns what has to be removed afterwards.
type Dropped = Box<dyn Fn() -> Result<Option<u64>, String>>;

/// A way to drop banned sources.
struct Peer {
    name: &'static str,
    reach: Reach,
    /// Makes a host drop what comes from [`BANNED_V4`].
    install: fn(&Namespace) -> Result<Dropped, String>,
}

const PEERS: [Peer; 8] = [
    Peer {
        name: XDP_FILTER,
        reach: Reach::Interface,
        install: xdp_filter::install,
    },
    Peer {
        name: NFT_INGRESS,
        reach: Reach::Interface,
        install: |host| nftables::install(host, nftables::Hook::Ingress),
    },
    Peer {
        name: NFT_RAW,
        reach: Reach::Ip,
        install: |host| nftables::install(host, nftables::Hook::Raw),
    },
    Peer {
        name: IPSET_RAW,
        reach: Reach::Ip,
        install: ipset::install,
    },
    Peer {
        name: NFT_INPUT,
        reach: Reach::Ip,
        install: |host| nftables::install(host, nftables::Hook::Input),
    },
    Peer {
        name: IPTABLES_NFT,
        reach: Reach::Ip,
        install: |host| iptables::install(host, iptables::Variant::Nft),
    },
    Peer {
        name: IPTABLES_LEGACY,
        reach: Reach::Ip,
        install: |host| iptables::install(host, iptables::Variant::Legacy),
    },
    Peer {
        name: NO_FILTER,
        reach: Reach::Socket,
        install: |_| Ok(Box::new(|| Ok(None))),
    },
];

/// A peer on its track.
struct Installed {
    name: &'static str,
    reach: Reach,
    frame: Vec<u8>,
    // Dropped before the host that it is on.
    dropped: Dropped,
    track: Track,
}

/// Every peer with its name, or the reason why it cannot run here.
pub(super) fn all() -> Rows {
    PEERS.iter().map(|peer| (peer.name, peer.start())).collect()
}

impl Peer {
    fn start(&self) -> Result<Box<dyn Contender>, String> {
        let track = Track::new();
        Ok(Box::new(Installed {
            name: self.name,
            reach: self.reach,
            frame: frame_of(BANNED_V4),
            dropped: (self.install)(track.receiver())?,
            track,
        }))
    }
}

impl Contender for Installed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_plain_drop(&self) -> bool {
        self.reach != Reach::Socket
    }

    fn sample(&self) -> Result<Sample, String> {
        let live = self.track.time(&Run {
            generator: self.track.repeating(),
            frame: &self.frame,
            count: if self.name == XDP_FILTER {
                FRAMES_DROPPED_BY_XDP
            } else {
                FRAMES_INTO_STACK
            },
            reach: self.reach,
            counted: &self.dropped,
        })?;
        Ok(Sample { test_run: None, live })
    }
}
