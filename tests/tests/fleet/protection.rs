//! Nobody who must get in is locked out.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use secbeat_common::verdict::Verdict;
use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    login, udp,
    wait::wait_until,
};

fn packets(fleet: &Fleet, verdict: Verdict) -> u64 {
    fleet.pins().counters()[verdict as usize].packets
}

#[test]
fn a_live_ssh_session_is_never_locked_out() {
    let fleet = Fleet::start(&Options::default());
    let family = Family::V4;
    let session = login::logind_session(family.attacker(), "active");
    fleet.files.replace("/run/systemd/sessions/3", session);
    wait_until("the SSH peer is protected", Duration::from_secs(10), || {
        let allowed = fleet.api(8080, "/api/v1/allowed").unwrap();
        String::from_utf8_lossy(&allowed.body).contains("ssh-peer")
    });
    fleet.make_errors(family, 60);
    fleet.await_events(60);
    assert_eq!(fleet.ban_of(family.attacker()), None);
    let refused = fleet.cli("edge", &["ban", &family.attacker().to_string()]);
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("allowlisted on this host"),
        "{refused:?}"
    );
}

#[test]
fn an_address_that_becomes_protected_gets_through_while_its_banned_neighbours_stay_out() {
    let fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    let family = Family::V6;
    fleet.make_errors(family, 50);
    let ban = fleet.await_ban(family.attacker());
    assert_ne!(ban.unallowed_in, 0, "the ban was not compared with the allowlist");

    let neighbour: IpAddr = "2001:db8:a:1::99".parse().unwrap();
    fleet.attacker.add_address("eth0", "2001:db8:a:1::99/48");
    fleet.host.add_address("lo", "2001:db8:a:1::99/128");
    let at = SocketAddr::new(family.edge_for_attacker().ip(), 9);
    wait_until(
        "the protected neighbour gets through",
        Duration::from_secs(10),
        || {
            udp::send(&fleet.attacker, neighbour, at, 1).unwrap();
            packets(&fleet, Verdict::Allowed) > 0
        },
    );
    let (allowed, dropped) = (
        packets(&fleet, Verdict::Allowed),
        packets(&fleet, Verdict::Banned),
    );
    udp::send(&fleet.attacker, family.attacker(), at, 100).unwrap();
    wait_until("the banned source stays out", Duration::from_secs(10), || {
        packets(&fleet, Verdict::Banned) >= dropped + 100
    });
    assert_eq!(packets(&fleet, Verdict::Allowed), allowed);

    fleet
        .host
        .ip(&["address", "delete", "2001:db8:a:1::99/128", "dev", "lo"]);
    wait_until(
        "the protection ends with its reason",
        Duration::from_secs(10),
        || {
            udp::send(&fleet.attacker, neighbour, at, 1).unwrap();
            let stamped = fleet.ban_of(neighbour).is_some_and(|ban| ban.unallowed_in != 0);
            stamped && packets(&fleet, Verdict::Banned) > dropped + 100
        },
    );
}
