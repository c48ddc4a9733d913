//! The program's memory of floods: what it drops without a lookup, what it counts, and when it forgets.

use std::net::IpAddr;

use secbeat_common::{
    maps::{Ban, Settings, mode},
    verdict::Verdict,
};
use secbeat_tests::lab::{
    bpf::Filter,
    frames::datagram_from,
    model::{XDP_DROP, XDP_PASS},
};

const SOURCES: [&str; 2] = ["198.51.100.7", "2001:db8:bad:1::7"];

/// An allowlist's generation, and a ban that was compared with it.
const SETTINGS: Settings = Settings {
    mode: mode::ENFORCE,
    allow_generation: 1,
    nets_in_use: 0,
    event_every: 0,
    sieve_in_use: 0,
    ports_in_use: 0,
};

fn lasting() -> Ban {
    Ban {
        expires_jiffies: u64::MAX,
        expires_boot_ns: u64::MAX,
        unallowed_in: SETTINGS.allow_generation,
        ..Ban::default()
    }
}

/// Packets that the CPUs may hold back of one source, each 63: the kernel may move a test from one to another.
fn most_held_back() -> u64 {
    63 * std::thread::available_parallelism().unwrap().get() as u64
}

fn filter() -> Filter {
    let mut filter = Filter::load();
    filter.set_settings(SETTINGS);
    filter
}

fn send(filter: &Filter, source: IpAddr, packets: usize) {
    let packet = datagram_from(source, &[]);
    for number in 0..packets {
        assert_eq!(
            filter.test_run(&packet).action,
            XDP_DROP,
            "packet {number} of {source}"
        );
    }
}

fn counted(filter: &Filter, source: IpAddr) -> u64 {
    filter.ban_of(source).unwrap().dropped_packets
}

/// Sends until a packet is dropped from memory; a jiffy may end at any time and take the memory with it.
fn flood_until_remembered(filter: &Filter, source: IpAddr) {
    for _ in 0..10_000 {
        send(filter, source, 1);
        if filter.held_back().0 > 0 {
            return;
        }
    }
    panic!("{source} was never remembered");
}

#[test]
fn the_first_64_packets_are_counted_at_once() {
    for source in SOURCES {
        let (mut filter, source) = (filter(), source.parse().unwrap());
        filter.ban(source, lasting());
        for sent in 1..=64 {
            send(&filter, source, 1);
            assert_eq!((counted(&filter, source), filter.held_back().0), (sent, 0));
        }
    }
}

#[test]
fn every_packet_of_a_flood_is_in_the_ban_or_held_back() {
    for source in SOURCES {
        let (mut filter, source) = (filter(), source.parse().unwrap());
        filter.ban(source, lasting());
        let mut remembered = 0;
        for sent in 1..=5000 {
            send(&filter, source, 1);
            let (held_back, bytes) = filter.held_back();
            assert!(
                held_back <= most_held_back(),
                "{held_back} held back after {sent}"
            );
            assert_eq!(counted(&filter, source) + held_back, sent);
            let ban = filter.ban_of(source).unwrap();
            let len = datagram_from(source, &[]).len() as u64;
            assert_eq!(ban.dropped_bytes + bytes, sent * len);
            remembered += u64::from(held_back > 0);
        }
        assert!(remembered > 0, "never dropped from memory");
        assert_eq!(filter.counters()[Verdict::Banned as usize].packets, 5000);
    }
}

#[test]
fn sources_that_share_a_slot_lose_no_count() {
    let mut filter = filter();
    // More sources than slots.
    let sources: Vec<IpAddr> = (0..=255).map(|low| IpAddr::from([198, 51, 100, low])).collect();
    for &source in &sources {
        filter.ban(source, lasting());
    }
    let mut sent = vec![0; sources.len()];
    for round in 0..60 {
        for (number, &source) in sources.iter().enumerate() {
            let burst = 1 + (number * 7 + round) % 9;
            send(&filter, source, burst);
            sent[number] += burst as u64;
        }
    }
    let counted: u64 = sources.iter().map(|&source| counted(&filter, source)).sum();
    assert_eq!(counted + filter.held_back().0, sent.iter().sum::<u64>());
    for (&source, &sent) in sources.iter().zip(&sent) {
        let ban = filter.ban_of(source).unwrap();
        assert!(
            (sent.saturating_sub(most_held_back())..=sent).contains(&ban.dropped_packets),
            "{source}: {ban:?}, sent {sent}"
        );
    }
}

#[test]
fn a_lifted_ban_is_forgotten_within_a_jiffy() {
    for source in SOURCES {
        let (mut filter, source) = (filter(), source.parse().unwrap());
        filter.ban(source, lasting());
        flood_until_remembered(&filter, source);
        filter.unban(source);
        filter.wait_for_next_jiffy();
        assert_eq!(filter.test_run(&datagram_from(source, &[])).action, XDP_PASS);
        // A new ban does not inherit the old one's packets.
        filter.ban(
            source,
            Ban {
                expires_boot_ns: u64::MAX - 1,
                ..lasting()
            },
        );
        send(&filter, source, 1);
        assert_eq!(counted(&filter, source), 1);
    }
}

#[test]
fn a_lifted_ban_is_forgotten_within_64_packets() {
    let (mut filter, source) = (filter(), SOURCES[0].parse().unwrap());
    filter.ban(source, lasting());
    flood_until_remembered(&filter, source);
    filter.unban(source);
    let packet = datagram_from(source, &[]);
    let dropped = (0..most_held_back())
        .filter(|_| filter.test_run(&packet).action == XDP_DROP)
        .count() as u64;
    assert!(dropped < most_held_back(), "{dropped} packets after the unban");
    assert_eq!(filter.test_run(&packet).action, XDP_PASS);
}

#[test]
fn observe_mode_ends_the_memory_of_drops() {
    let (mut filter, source) = (filter(), SOURCES[0].parse().unwrap());
    filter.ban(source, lasting());
    flood_until_remembered(&filter, source);
    filter.set_settings(Settings {
        mode: mode::OBSERVE,
        ..SETTINGS
    });
    filter.wait_for_next_jiffy();
    let held_back = filter.held_back().0;
    for _ in 0..200 {
        assert_eq!(filter.test_run(&datagram_from(source, &[])).action, XDP_PASS);
    }
    // What another CPU held back before stays there, but no more comes.
    assert!(filter.held_back().0 <= held_back, "remembered in observe mode");
}

#[test]
fn a_ban_that_the_allowlist_may_touch_is_never_remembered() {
    let mut filter = filter();
    let banned: IpAddr = "2001:db8:bad:1::7".parse().unwrap();
    let allowed: IpAddr = "2001:db8:bad:1::53".parse().unwrap();
    filter.allow("2001:db8:bad:1::53/128".parse().unwrap());
    filter.ban(
        banned,
        Ban {
            unallowed_in: 0,
            ..lasting()
        },
    );
    for _ in 0..500 {
        send(&filter, banned, 1);
        assert_eq!(filter.test_run(&datagram_from(allowed, &[])).action, XDP_PASS);
    }
    assert_eq!(filter.held_back().0, 0);
    assert_eq!(counted(&filter, banned), 500);
}

#[test]
fn the_boot_clock_ends_a_flooding_ban_when_jiffies_stood_still() {
    let (mut filter, source) = (filter(), SOURCES[0].parse().unwrap());
    let ends = filter.clocks().boot_ns + 300_000_000;
    filter.ban(
        source,
        Ban {
            expires_boot_ns: ends,
            ..lasting()
        },
    );
    let packet = datagram_from(source, &[]);
    while filter.clocks().boot_ns < ends {
        let _ = filter.test_run(&packet);
    }
    assert!(counted(&filter, source) > 64, "too slow to flood");
    let dropped = (0..2 * most_held_back())
        .filter(|_| filter.test_run(&packet).action == XDP_DROP)
        .count() as u64;
    assert!(
        dropped <= most_held_back() + 64,
        "{dropped} packets after the end"
    );
    assert_eq!(filter.test_run(&packet).action, XDP_PASS);
}
