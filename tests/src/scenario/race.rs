//! One attacker after another, each from an address of its own: how long from the error that bans to the first drop.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, SystemTime},
};

use crate::{
    lab::{
        bpf::OpenBans,
        fleet::{Family, Fleet},
        interrupt::heed,
    },
    scenario::{
        attack::{LIMIT, decision},
        knock::{Enforced, Knocker, watch},
        moment::ms_between,
    },
};

/// Most attackers over IPv4: what is left of 198.51.100.0/24 beside the edge and the fleet's own attacker.
pub const MOST_V4: usize = 252;
/// Most attackers over IPv6, each in a /64 of its own below 2001:db8:a::/48.
pub const MOST_V6: usize = 10_000;

/// By when a ban must have come.
const BANNED_WITHIN: Duration = Duration::from_secs(5);

/// Of how many attackers an address is made.
const FIRST_V4: usize = 3;
const FIRST_V6: usize = 0x100;

/// One attacker's race, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Race {
    pub family: Family,
    /// 50th error answered → ban decided.
    pub to_decision: f64,
    /// Ban decided → seen in the kernel's map.
    pub to_kernel: f64,
    /// Seen in the map → first packet dropped.
    pub to_drop: f64,
    /// 50th error answered → first packet dropped.
    pub total: f64,
}

/// What was measured while the attackers ran; the orchestrator's log is read later.
struct Lap {
    family: Family,
    source: IpAddr,
    fiftieth: SystemTime,
    enforced: Enforced,
}

/// Address `n` (from 0) of a family, and its prefix length on the attacker's interface.
fn address(family: Family, n: usize) -> (IpAddr, u8) {
    match family {
        Family::V4 => {
            let last = u8::try_from(FIRST_V4 + n).expect("at most MOST_V4 attackers");
            (Ipv4Addr::new(198, 51, 100, last).into(), 24)
        }
        Family::V6 => {
            let subnet = u16::try_from(FIRST_V6 + n).expect("at most MOST_V6 attackers");
            (Ipv6Addr::new(0x2001, 0xdb8, 0xa, subnet, 0, 0, 0, 2).into(), 48)
        }
    }
}

/// Lets `attackers` race, IPv4 and IPv6 in turn.
///
/// # Panics
///
/// When one is not banned within 5 s, or the edge does not answer.
#[must_use]
pub fn run(fleet: &Fleet, attackers: usize) -> Vec<Race> {
    let sources = sources(attackers);
    for (_, (source, len)) in &sources {
        heed();
        fleet.attacker.add_address("eth0", &format!("{source}/{len}"));
    }
    let bans = fleet.pins().open_bans().expect("the edge has pinned its maps");
    let laps: Vec<Lap> = sources
        .into_iter()
        .map(|(family, (source, _))| lap(fleet, &bans, family, source))
        .collect();
    laps.iter().map(|lap| race(fleet, lap)).collect()
}

/// Half of each family, in turn, as far as IPv4 has addresses; the rest over IPv6.
fn sources(attackers: usize) -> Vec<(Family, (IpAddr, u8))> {
    let v4 = attackers.div_ceil(2).min(MOST_V4);
    let mut sources = Vec::new();
    for n in 0..v4.max(attackers - v4) {
        if n < v4 {
            sources.push((Family::V4, address(Family::V4, n)));
        }
        if n < attackers - v4 {
            sources.push((Family::V6, address(Family::V6, n)));
        }
    }
    sources
}

fn lap(fleet: &Fleet, bans: &OpenBans, family: Family, source: IpAddr) -> Lap {
    let knocker = Knocker::new(fleet, family, source);
    let mut client = fleet.attacking(family).with_source(source);
    let page = format!("http://{}/missing", family.edge_for_attacker());
    for n in 1..=LIMIT {
        heed();
        let answer = client.get(&page);
        assert!(matches!(answer, Ok(404)), "error {n} of {source}: {answer:?}");
    }
    let fiftieth = SystemTime::now();
    let enforced = watch(bans, source, BANNED_WITHIN, || knocker.knock());
    heed();
    let enforced =
        enforced.unwrap_or_else(|| panic!("no ban dropped a packet of {source} within {BANNED_WITHIN:?}"));
    Lap {
        family,
        source,
        fiftieth,
        enforced,
    }
}

fn race(fleet: &Fleet, lap: &Lap) -> Race {
    let decided = decision(fleet, lap.source);
    let Enforced {
        in_kernel,
        first_drop,
    } = lap.enforced;
    Race {
        family: lap.family,
        to_decision: ms_between(lap.fiftieth, decided),
        to_kernel: ms_between(decided, in_kernel),
        to_drop: ms_between(in_kernel, first_drop),
        total: ms_between(lap.fiftieth, first_drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attacker_has_a_source_of_its_own() {
        use secbeat_common::prefix::Prefix;
        for attackers in [1, 200, 600] {
            let keys: std::collections::HashSet<_> = sources(attackers)
                .iter()
                .map(|(_, (source, _))| Prefix::single(*source))
                .collect();
            assert_eq!(keys.len(), attackers);
        }
    }
}
