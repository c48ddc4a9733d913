//! Attackers that know the safety limits: crowds of addresses, which use a limit up as a shield for a loud one, and clients of the
//! same networks that do nothing wrong.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use secbeat_common::prefix::Prefix;
use secbeat_orchestrator_core::ledger::{LedgerConfig, Share};

use crate::lab::random::Random;

/// Loud attackers, each in a network of its own: IPv4 and IPv6.
pub(super) const LOUD: usize = 6;
/// Clients that make an error now and then.
const INNOCENTS: usize = 60;
/// The first octet of a loud attacker's IPv4 address, and the first group of an IPv6 address.
const LOUD_V4: u8 = 31;
const LOUD_V6: u16 = 0x2a03;

/// The limit that the crowd uses up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Rate,
    Share,
    Edge,
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Raid {
    /// Addresses of the crowd so far.
    crowd: u32,
    /// How many changes of the bucket the attackers have seen: their own addresses are dropped.
    pub(super) seen: usize,
    /// When each loud attacker was first reported to the bus.
    pub(super) loud_since: [Option<i64>; LOUD],
    /// When an orchestrator crashed, was cut off, or took or lost a partition.
    pub(super) interrupted_ms: Vec<i64>,
    pub(super) innocents: BTreeSet<Prefix>,
}

impl Limit {
    pub(super) fn of(seed: u64) -> Self {
        match seed % 3 {
            0 => Self::Rate,
            1 => Self::Share,
            _ => Self::Edge,
        }
    }

    /// A ledger in which it is the narrow one.
    pub(super) fn ledger(self, issuer: &str) -> LedgerConfig {
        let config = LedgerConfig {
            issuer: issuer.to_owned(),
            ..LedgerConfig::default()
        };
        match self {
            Self::Rate => LedgerConfig {
                max_bans_per_minute: 40,
                ..config
            },
            Self::Share => LedgerConfig {
                max_share: Share::QUARTER,
                share_from_sources: 20,
                ..config
            },
            Self::Edge => LedgerConfig {
                max_bans_per_minute_per_edge: 16,
                ..config
            },
        }
    }
}

impl Raid {
    /// The next address of the crowd: of one site's IPv6 network, of one provider's, of one provider's IPv4 network, or of one that is
    /// nobody else's.
    pub(super) fn next(&mut self, random: &mut Random) -> (IpAddr, u32) {
        self.crowd += 1;
        let n = self.crowd;
        let (high, low) = ((n / 200 % 250) as u8, (n % 200) as u8);
        let group = (n % 0xf000) as u16;
        let address = match random.below(7) {
            0 => v6([0x2001, 0xdb8, 5, group]),
            1 => v6([0x2a01, 0x4f8, group, 1]),
            2 => IpAddr::from([198, 18, high, low]),
            3 | 4 => IpAddr::from([40 + low, high, 7, 1]),
            _ => v6([0x2600, group, 1, 1]),
        };
        (address, n)
    }

    /// One that does nothing wrong, beside the crowd's addresses.
    pub(super) fn innocent(&mut self, random: &mut Random) -> (IpAddr, u32) {
        let n = random.below(INNOCENTS);
        let (octet, group) = (n as u8, n as u16);
        let address = match n % 4 {
            0 => v6([0x2001, 0xdb8, 5, 0xff00 + group]),
            1 => v6([0x2a01, 0x4f8, 0xff00 + group, 1]),
            2 => IpAddr::from([198, 18, octet % 3, 200 + octet % 50]),
            _ => IpAddr::from([40 + octet, 0, 7, 2]),
        };
        self.innocents.insert(Prefix::single(address));
        (address, n as u32)
    }
}

/// The loud attacker `n`.
pub(super) fn loud(n: usize) -> IpAddr {
    match n.is_multiple_of(2) {
        true => IpAddr::from([LOUD_V4, n as u8, 0, 9]),
        false => v6([LOUD_V6, n as u16, 1, 1]),
    }
}

/// Whether `source` is a loud attacker.
pub(super) fn is_loud(source: &Prefix) -> bool {
    match source.addr() {
        IpAddr::V4(v4) => v4.octets()[0] == LOUD_V4,
        IpAddr::V6(v6) => v6.segments()[0] == LOUD_V6,
    }
}

fn v6([a, b, c, d]: [u16; 4]) -> IpAddr {
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, 1).into()
}
