//! The program's verdict on every kind of packet and ban, through `BPF_PROG_TEST_RUN`: the action, the counters of the
//! verdict and the counters of the ban.

use std::net::IpAddr;

use secbeat_common::{
    maps::{Ban, ClockReading, Settings, mode},
    prefix::Prefix,
    verdict::Verdict,
};
use secbeat_tests::lab::{
    bpf::Filter,
    frames::{ETHERTYPE_OLD_QINQ, ETHERTYPE_QINQ, ETHERTYPE_VLAN, datagram_from},
    model::{XDP_DROP, XDP_PASS},
};

const SOURCES: [&str; 2] = ["198.51.100.7", "2001:db8:bad:1::7"];

const TAGS: [&[u16]; 8] = [
    &[ETHERTYPE_OLD_QINQ, ETHERTYPE_VLAN],
    &[],
    &[ETHERTYPE_VLAN],
    &[ETHERTYPE_QINQ],
    &[ETHERTYPE_VLAN, ETHERTYPE_VLAN],
    &[ETHERTYPE_QINQ, ETHERTYPE_VLAN],
    &[ETHERTYPE_VLAN, ETHERTYPE_QINQ],
    &[ETHERTYPE_QINQ, ETHERTYPE_QINQ],
];

pub(super) const NEVER_ENDING: Ban = Ban {
    expires_jiffies: u64::MAX,
    expires_boot_ns: u64::MAX,
    dropped_packets: 0,
    dropped_bytes: 0,
    reason: 2,
    origin: 1,
    strikes: 0,
    unallowed_in: 0,
};

fn packets() -> impl Iterator<Item = (IpAddr, Vec<u8>, String)> {
    SOURCES.iter().flat_map(|source| {
        let source: IpAddr = source.parse().unwrap();
        TAGS.iter().map(move |tags| {
            (
                source,
                datagram_from(source, tags),
                format!("{source} behind tags {tags:04x?}"),
            )
        })
    })
}

/// Runs `packet` and checks that exactly `verdict` was counted, once and with all its bytes; also the action.
#[track_caller]
fn expect(filter: &Filter, packet: &[u8], verdict: Verdict, action: u32, what: &str) {
    let before = filter.counters();
    let outcome = filter.test_run(packet);
    let after = filter.counters();
    assert_eq!(outcome.action, action, "action on {what}");
    assert_eq!(outcome.packet, packet, "{what} was changed");
    for slot in Verdict::ALL {
        let (before, after) = (before[slot as usize], after[slot as usize]);
        let delta = (after.packets - before.packets, after.bytes - before.bytes);
        let expected = if slot == verdict {
            (1, packet.len() as u64)
        } else {
            (0, 0)
        };
        assert_eq!(
            delta,
            expected,
            "packets and bytes counted as {} for {what}",
            slot.name()
        );
    }
}

/// Runs every packet against `ban` of its source and checks the verdict and what the ban itself has counted.
fn expect_of_ban(filter: &mut Filter, ban: Ban, verdict: Verdict, action: u32) {
    for (source, packet, what) in packets() {
        filter.ban(source, ban);
        expect(filter, &packet, verdict, action, &what);
        let counts = matches!(verdict, Verdict::Banned | Verdict::Observed);
        let (packets, bytes) = if counts { (1, packet.len() as u64) } else { (0, 0) };
        let expected = Ban {
            dropped_packets: ban.dropped_packets + packets,
            dropped_bytes: ban.dropped_bytes + bytes,
            ..ban
        };
        assert_eq!(filter.ban_of(source), Some(expected), "the ban after {what}");
    }
}

#[test]
fn a_source_without_a_ban_passes() {
    let filter = Filter::load();
    for (_, packet, what) in packets() {
        expect(&filter, &packet, Verdict::Clean, XDP_PASS, &what);
    }
}

#[test]
fn a_banned_source_is_dropped_and_counted() {
    expect_of_ban(&mut Filter::load(), NEVER_ENDING, Verdict::Banned, XDP_DROP);
}

#[test]
fn a_neighbour_of_a_banned_source_passes() {
    let mut filter = Filter::load();
    for banned in ["198.51.100.7", "2001:db8:bad:1::7"] {
        filter.ban(banned.parse().unwrap(), NEVER_ENDING);
    }
    for neighbour in [
        "198.51.100.6",
        "198.51.100.8",
        "198.51.100.0",
        "2001:db8:bad::7",
        "2001:db8:bad:2::7",
    ] {
        let packet = datagram_from(neighbour.parse().unwrap(), &[]);
        expect(&filter, &packet, Verdict::Clean, XDP_PASS, neighbour);
    }
}

#[test]
fn an_ipv6_ban_covers_the_whole_slash_64() {
    let mut filter = Filter::load();
    filter.ban("2001:db8:bad:1::".parse().unwrap(), NEVER_ENDING);
    for address in [
        "2001:db8:bad:1::",
        "2001:db8:bad:1::1",
        "2001:db8:bad:1:ffff:ffff:ffff:ffff",
    ] {
        let packet = datagram_from(address.parse().unwrap(), &[]);
        expect(&filter, &packet, Verdict::Banned, XDP_DROP, address);
    }
}

#[test]
fn an_expired_ban_is_never_enforced() {
    let mut filter = Filter::load();
    let now = filter.clocks();
    let by_jiffies = [1, now.jiffies - 1, now.jiffies].map(|end| Ban {
        expires_jiffies: end,
        ..NEVER_ENDING
    });
    let by_boot_clock = [1, now.boot_ns].map(|end| Ban {
        expires_boot_ns: end,
        ..NEVER_ENDING
    });
    for ban in by_jiffies.into_iter().chain(by_boot_clock) {
        expect_of_ban(&mut filter, ban, Verdict::Expired, XDP_PASS);
    }
    // However many packets a ban has dropped, its end in jiffies is looked at.
    for dropped_packets in [1, 63, 64, 65, u64::MAX - 1] {
        let ban = Ban {
            expires_jiffies: now.jiffies,
            dropped_packets,
            ..NEVER_ENDING
        };
        expect_of_ban(&mut filter, ban, Verdict::Expired, XDP_PASS);
    }
}

#[test]
fn a_ban_that_has_not_ended_is_enforced() {
    let mut filter = Filter::load();
    let ClockReading { jiffies, boot_ns } = filter.clocks();
    let ban = Ban {
        expires_jiffies: jiffies + 1_000_000,
        expires_boot_ns: boot_ns + 1_000_000_000_000,
        ..NEVER_ENDING
    };
    expect_of_ban(&mut filter, ban, Verdict::Banned, XDP_DROP);
}

#[test]
fn the_boot_clock_ends_a_ban_within_64_packets_when_jiffies_stood_still() {
    let mut filter = Filter::load();
    let source: IpAddr = SOURCES[0].parse().unwrap();
    let packet = datagram_from(source, &[]);
    let ban = Ban {
        expires_boot_ns: filter.clocks().boot_ns,
        dropped_packets: 1,
        ..NEVER_ENDING
    };
    filter.ban(source, ban);
    for number in 1..64 {
        expect(
            &filter,
            &packet,
            Verdict::Banned,
            XDP_DROP,
            &format!("packet {number}"),
        );
    }
    for number in 64..70 {
        expect(
            &filter,
            &packet,
            Verdict::Expired,
            XDP_PASS,
            &format!("packet {number}"),
        );
    }
}

#[test]
fn a_ban_compared_with_an_older_allowlist_is_looked_up_again() {
    for (unallowed_in, allow_generation) in [(0, 0), (0, 7), (6, 7), (7, 6), (1, 0)] {
        let mut filter = Filter::load();
        filter.set_settings(Settings {
            mode: mode::ENFORCE,
            allow_generation,
            ..Settings::default()
        });
        for source in SOURCES {
            filter.allow(Prefix::host(source.parse().unwrap()));
        }
        let ban = Ban {
            unallowed_in,
            ..NEVER_ENDING
        };
        expect_of_ban(&mut filter, ban, Verdict::Allowed, XDP_PASS);
    }
}

#[test]
fn a_ban_compared_with_the_current_allowlist_is_dropped() {
    let mut filter = Filter::load();
    filter.set_settings(Settings {
        mode: mode::ENFORCE,
        allow_generation: 7,
        ..Settings::default()
    });
    filter.allow("192.0.2.0/24".parse().unwrap());
    expect_of_ban(
        &mut filter,
        Ban {
            unallowed_in: 7,
            ..NEVER_ENDING
        },
        Verdict::Banned,
        XDP_DROP,
    );
}

#[test]
fn an_allowlisted_source_is_never_dropped() {
    for allowed in [
        SOURCES,
        ["198.51.100.0/24", "2001:db8:bad::/48"],
        ["0.0.0.0/0", "::/0"],
    ] {
        let mut filter = Filter::load();
        for prefix in allowed {
            filter.allow(prefix.parse().unwrap());
        }
        expect_of_ban(&mut filter, NEVER_ENDING, Verdict::Allowed, XDP_PASS);
    }
}

#[test]
fn an_allowlisted_host_in_a_banned_slash_64_passes_and_its_neighbours_do_not() {
    let mut filter = Filter::load();
    filter.ban("2001:db8:bad:1::".parse().unwrap(), NEVER_ENDING);
    filter.allow("2001:db8:bad:1::53/128".parse().unwrap());
    let expected = [
        ("2001:db8:bad:1::53", Verdict::Allowed, XDP_PASS),
        ("2001:db8:bad:1::52", Verdict::Banned, XDP_DROP),
        ("2001:db8:bad:1::54", Verdict::Banned, XDP_DROP),
    ];
    for (address, verdict, action) in expected {
        expect(
            &filter,
            &datagram_from(address.parse().unwrap(), &[]),
            verdict,
            action,
            address,
        );
    }
}

#[test]
fn the_allowlist_of_one_family_does_not_cover_the_other() {
    let mut filter = Filter::load();
    filter.allow("0.0.0.0/0".parse().unwrap());
    let v6: IpAddr = SOURCES[1].parse().unwrap();
    filter.ban(v6, NEVER_ENDING);
    expect(
        &filter,
        &datagram_from(v6, &[]),
        Verdict::Banned,
        XDP_DROP,
        "IPv6 beside an IPv4 allowlist",
    );
}

#[test]
fn observe_mode_counts_and_passes_what_would_be_dropped() {
    let mut filter = Filter::load();
    filter.set_mode(mode::OBSERVE);
    expect_of_ban(&mut filter, NEVER_ENDING, Verdict::Observed, XDP_PASS);
    filter.set_mode(mode::ENFORCE);
    expect_of_ban(&mut filter, NEVER_ENDING, Verdict::Banned, XDP_DROP);
}

#[test]
fn an_unknown_mode_enforces() {
    let mut filter = Filter::load();
    filter.set_mode(77);
    expect_of_ban(&mut filter, NEVER_ENDING, Verdict::Banned, XDP_DROP);
}

#[test]
fn the_clock_probe_reads_clocks_that_advance() {
    let filter = Filter::load();
    let before = filter.clocks();
    std::thread::sleep(std::time::Duration::from_millis(100));
    let after = filter.clocks();
    let elapsed = after.boot_ns - before.boot_ns;
    assert!(
        (100_000_000..10_000_000_000).contains(&elapsed),
        "{elapsed} ns of boot clock in 100 ms of sleep"
    );
    // CONFIG_HZ is between 100 and 1000.
    let hz = (after.jiffies - before.jiffies) as f64 * 1e9 / elapsed as f64;
    assert!((80.0..1200.0).contains(&hz), "{hz} jiffies a second");
}
