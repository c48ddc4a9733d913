//! Packets on every CPU while the owner and another process change bans. No verdict is wrong.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use secbeat_common::{
    maps::{self, allow},
    prefix::Prefix,
    verdict::Verdict,
};
use secbeat_edge::kernel::{AllowedNets, BanMaps, JiffyClock};
use secbeat_tests::lab::{
    frames::datagram_from,
    model::{XDP_DROP, XDP_PASS},
    pinned::PinnedFilter,
    random::Random,
};

use super::{HOUR, Host, ban_of, many, walk};

/// Packets of one call: so many that what it costs to begin and to end one, two graces, is not most of it.
const AT_ONCE: u32 = 400_000;
/// Sources that are banned all the time, never, and now and then.
const BANNED: usize = 12;
const INNOCENT: usize = 8;
const ALL: u32 = 120;

/// Sends packets of these sources in turn until `is_over`, and counts them in `sent`.
fn send(pinned: &PinnedFilter, sources: &[IpAddr], sent: &AtomicU64, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        for source in sources {
            let packet = datagram_from(*source, &[]);
            let _ = pinned.filter.time(maps::PROGRAM, &packet, AT_ONCE);
            sent.fetch_add(u64::from(AT_ONCE), Ordering::Relaxed);
        }
    }
}

/// The side that changes bans.
struct Changer<'a> {
    pinned: &'a PinnedFilter,
    bans: &'a mut BanMaps,
    allowed: &'a mut AllowedNets,
    clock: JiffyClock,
    random: Random,
    dropped: u64,
    passed: u64,
}

impl Changer<'_> {
    fn expect(&mut self, source: IpAddr, action: u32) {
        let met = self.pinned.filter.test_run(&datagram_from(source, &[])).action;
        assert_eq!(met, action, "{source}");
        match action {
            XDP_DROP => self.dropped += 1,
            _ => self.passed += 1,
        }
    }

    fn ban(&mut self, source: IpAddr, for_: Duration, bans: Option<&mut BanMaps>) {
        let target = Prefix::single(source);
        let ban = ban_of(self.allowed, &target, for_);
        let bans = match bans {
            Some(bans) => bans,
            None => &mut *self.bans,
        };
        bans.put(&target, &ban, &self.clock).unwrap();
    }

    fn unban(&mut self, source: IpAddr) {
        self.bans.remove(&Prefix::single(source)).unwrap();
    }
}

/// Changes sources so many times or more, until so many packets arrived meanwhile.
fn race(host: &mut Host, steps: u32, packets: u64, mut change: impl FnMut(&mut Changer<'_>, IpAddr) + Send) {
    let sources = many(ALL);
    let (banned, rest) = sources.split_at(BANNED);
    let (innocent, changing) = rest.split_at(INNOCENT);
    let Host {
        pinned,
        bans,
        allowed,
        clock,
    } = host;
    let before = pinned.filter.counters();
    let is_over = AtomicBool::new(false);
    let mut changer = Changer {
        pinned,
        bans,
        allowed,
        clock: *clock,
        random: Random::new(7),
        dropped: 0,
        passed: 0,
    };
    let pinned = &*pinned;
    let (dropped, passed) = (AtomicU64::new(0), AtomicU64::new(0));
    let arrived = || dropped.load(Ordering::Relaxed) + passed.load(Ordering::Relaxed);
    thread::scope(|scope| {
        scope.spawn(|| send(pinned, banned, &dropped, &is_over));
        scope.spawn(|| send(pinned, innocent, &passed, &is_over));
        let changes = scope.spawn(|| {
            let mut done = 0;
            while done < steps || arrived() < packets {
                let source = changer.random.pick(changing);
                change(&mut changer, source);
                done += 1;
            }
        });
        let outcome = changes.join();
        is_over.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
    let (dropped, passed) = (dropped.into_inner(), passed.into_inner());
    let after = pinned.filter.counters();
    let counted = |verdict: Verdict| after[verdict as usize].packets - before[verdict as usize].packets;
    let all: u64 = Verdict::ALL.into_iter().map(counted).sum();
    assert_eq!(counted(Verdict::Banned), dropped + changer.dropped);
    assert_eq!(all, dropped + passed + changer.dropped + changer.passed);
}

/// The map has none of the bans that hold all the time, so that nothing but the lane enforces them.
#[test]
fn no_packet_is_judged_wrongly_while_the_owner_changes_the_lane() {
    // So small that entries have to move.
    let mut host = Host::with_lane(24);
    for source in &many(ALL)[..BANNED] {
        host.ban(*source, HOUR);
        host.evict(*source);
    }
    race(&mut host, 4000, 60_000_000, |changer, source| {
        match changer.random.below(40) {
            0..=21 => {
                changer.ban(source, HOUR, None);
                changer.expect(source, XDP_DROP);
            }
            22..=24 => {
                changer.ban(source, Duration::ZERO, None);
                changer.expect(source, XDP_PASS);
            }
            25 => walk(changer.bans),
            _ => {
                changer.unban(source);
                changer.expect(source, XDP_PASS);
            }
        }
    });
}

/// Here the lane goes out of force and comes back, its owner changes, and so does the allowlist.
#[test]
fn no_packet_is_judged_wrongly_while_others_change_bans_and_the_allowlist_changes() {
    let mut host = Host::with_lane(31);
    for source in &many(ALL)[..BANNED] {
        host.ban(*source, HOUR);
    }
    let mut other = host.pinned.bans();
    race(&mut host, 2000, 40_000_000, |changer, source| {
        let target = Prefix::single(source);
        match changer.random.below(40) {
            0..=15 => {
                changer.ban(source, HOUR, None);
                changer.expect(source, XDP_DROP);
            }
            16..=18 => {
                changer.ban(source, HOUR, Some(&mut other));
                changer.expect(source, XDP_DROP);
            }
            19..=21 => {
                other.remove(&target).unwrap();
                changer.expect(source, XDP_PASS);
            }
            22 => {
                changer
                    .allowed
                    .set(&[(target, allow::CONFIGURED)].into())
                    .unwrap();
                changer.ban(source, HOUR, None);
                changer.expect(source, XDP_PASS);
                changer.bans.allow(changer.allowed);
                changer.expect(source, XDP_PASS);
                changer.allowed.set(&[].into()).unwrap();
                changer.bans.allow(changer.allowed);
                changer.expect(source, XDP_DROP);
            }
            23 => {
                *changer.bans = changer.pinned.bans();
                changer.bans.own_lane(changer.allowed, &changer.clock);
            }
            24..=26 => walk(changer.bans),
            _ => {
                changer.unban(source);
                changer.expect(source, XDP_PASS);
            }
        }
    });
}
