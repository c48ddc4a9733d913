//! Banned networks: what `BANNED_NETS` drops, and that it is consulted only when in use.

use std::net::IpAddr;

use secbeat_common::{
    maps::{Ban, Settings, mode},
    verdict::Verdict,
};
use secbeat_tests::lab::{bpf::Filter, frames::datagram_from};

const IN_USE: Settings = Settings {
    mode: mode::ENFORCE,
    allow_generation: 0,
    nets_in_use: 1,
    event_every: 0,
    sieve_in_use: 0,
    ports_in_use: 0,
};

const LASTING: Ban = Ban {
    expires_jiffies: u64::MAX,
    expires_boot_ns: u64::MAX,
    dropped_packets: 0,
    dropped_bytes: 0,
    reason: 1,
    origin: 1,
    strikes: 0,
    unallowed_in: 0,
};

/// An end in the past.
const ENDED: Ban = Ban {
    expires_jiffies: 1,
    ..LASTING
};

#[track_caller]
fn expect(filter: &Filter, source: &str, verdict: Verdict) {
    let before = filter.counters()[verdict as usize].packets;
    let address: IpAddr = source.parse().unwrap();
    let _ = filter.test_run(&datagram_from(address, &[]));
    let after = filter.counters()[verdict as usize].packets;
    assert_eq!(
        after - before,
        1,
        "{source} was not {}: {:?}",
        verdict.name(),
        filter.counters()
    );
}

#[test]
fn networks_of_any_length_are_banned() {
    let mut filter = Filter::load();
    filter.set_settings(IN_USE);
    let nets = [
        ("198.51.100.0/24", "198.51.100.255", "198.51.101.0"),
        ("203.0.113.8/31", "203.0.113.9", "203.0.113.10"),
        ("2001:db8:a::/48", "2001:db8:a:ffff::1", "2001:db8:b::1"),
        ("2001:db8:c:1::7/128", "2001:db8:c:1::7", "2001:db8:c:1::8"),
    ];
    for (net, inside, outside) in nets {
        filter.ban_net(net.parse().unwrap(), LASTING);
        expect(&filter, inside, Verdict::Banned);
        expect(&filter, outside, Verdict::Clean);
        let ban = filter.ban_of_net(net.parse().unwrap()).unwrap();
        assert_eq!(ban.dropped_packets, 1, "{net}");
    }
}

#[test]
fn networks_are_looked_up_only_when_in_use() {
    let mut filter = Filter::load();
    filter.ban_net("198.51.100.0/24".parse().unwrap(), LASTING);
    expect(&filter, "198.51.100.1", Verdict::Clean);
    filter.set_settings(IN_USE);
    expect(&filter, "198.51.100.1", Verdict::Banned);
}

#[test]
fn an_ended_ban_of_a_source_does_not_hide_the_ban_of_its_network() {
    let mut filter = Filter::load();
    filter.set_settings(IN_USE);
    for (source, net) in [
        ("198.51.100.1", "198.51.100.0/24"),
        ("2001:db8:a:1::1", "2001:db8:a::/48"),
    ] {
        filter.ban(source.parse().unwrap(), ENDED);
        expect(&filter, source, Verdict::Expired);
        filter.ban_net(net.parse().unwrap(), LASTING);
        expect(&filter, source, Verdict::Banned);
    }
}

#[test]
fn an_ended_ban_of_a_network_is_never_enforced() {
    let mut filter = Filter::load();
    filter.set_settings(IN_USE);
    filter.ban_net("198.51.100.0/24".parse().unwrap(), ENDED);
    expect(&filter, "198.51.100.1", Verdict::Expired);
}

#[test]
fn an_allowlisted_source_in_a_banned_network_is_never_dropped() {
    let mut filter = Filter::load();
    filter.set_settings(IN_USE);
    filter.ban_net("198.51.100.0/24".parse().unwrap(), LASTING);
    filter.allow("198.51.100.4/30".parse().unwrap());
    for _ in 0..200 {
        expect(&filter, "198.51.100.5", Verdict::Allowed);
        expect(&filter, "198.51.100.8", Verdict::Banned);
    }
}

#[test]
fn observe_mode_counts_would_be_drops_of_a_network() {
    let mut filter = Filter::load();
    filter.set_settings(Settings {
        mode: mode::OBSERVE,
        ..IN_USE
    });
    filter.ban_net("198.51.100.0/24".parse().unwrap(), LASTING);
    expect(&filter, "198.51.100.1", Verdict::Observed);
    let ban = filter.ban_of_net("198.51.100.0/24".parse().unwrap()).unwrap();
    assert_eq!(ban.dropped_packets, 1);
}
