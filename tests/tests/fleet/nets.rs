//! Bans of networks through the whole loop: by the fleet and by hand, in both families, with and without the daemon.

use std::{net::SocketAddr, process::Output, time::Duration};

use secbeat_tests::lab::{
    client::Client,
    executable::Program,
    fleet::{Family, Fleet, Options},
    host::assert_refused,
    udp::{UdpSender, UdpSink},
    wait::wait_until,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);
const PORT: u16 = 7777;
const FAILURE: i32 = 1;

/// Networks around the attacker that hold no address of the edge's host, which the orchestrator would protect.
const AROUND_ATTACKER: [(Family, &str); 2] =
    [(Family::V4, "198.51.100.2/31"), (Family::V6, "2001:db8:a:1::/80")];

fn fleet(enforcement: &'static str) -> Fleet {
    Fleet::start(&Options {
        ban: "1h",
        enforcement,
        ..Options::default()
    })
}

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn get(client: Client, family: Family) -> std::io::Result<u16> {
    let url = format!("http://{}/", family.edge_for_attacker());
    client.with_timeout(Duration::from_millis(500)).get(&url)
}

fn is_served(fleet: &Fleet, family: Family) -> bool {
    get(fleet.attacking(family), family).is_ok_and(|status| status == 200)
}

#[track_caller]
fn await_served(fleet: &Fleet, family: Family, served: bool) {
    let what = if served { "is served" } else { "is not served" };
    wait_until(&format!("the attacker over {family:?} {what}"), PATIENCE, || {
        is_served(fleet, family) == served
    });
}

/// The edge's bans, as its command line lists them.
#[track_caller]
fn listed(fleet: &Fleet) -> Vec<Value> {
    serde_json::from_str(&done(&fleet.cli("edge", &["bans", "-o", "json"]))).unwrap()
}

fn entry(fleet: &Fleet, target: &str) -> Option<Value> {
    listed(fleet).into_iter().find(|ban| ban["target"] == target)
}

fn reconciliations(fleet: &Fleet) -> u64 {
    fleet
        .edge_stats()
        .map_or(0, |stats| stats["reconcile"]["completed"].as_u64().unwrap())
}

fn await_reconciliations(fleet: &Fleet, more: u64) {
    let goal = reconciliations(fleet) + more;
    wait_until("reconciliations", PATIENCE, || reconciliations(fleet) >= goal);
}

#[test]
fn a_network_banned_by_the_fleet_is_dropped_and_lifted() {
    let fleet = fleet("kernel");
    for (family, net) in AROUND_ATTACKER {
        await_served(&fleet, family, true);
        let said = done(&fleet.cli("orchestrator", &["ban", net, "--duration", "1h"]));
        assert_eq!(said, format!("banned {net} for 1h on every edge\n"));
        await_served(&fleet, family, false);
        let ban = entry(&fleet, net).unwrap();
        assert_eq!(
            (&ban["origin"], &ban["layer"]),
            (&"fleet".into(), &"kernel".into())
        );
        assert!(ban["dropped_packets"].as_u64().unwrap() > 0, "{ban}");
    }
    for (family, net) in AROUND_ATTACKER {
        done(&fleet.cli("orchestrator", &["unban", net]));
        await_served(&fleet, family, true);
    }
    assert_eq!(listed(&fleet), Vec::<Value>::new());
}

#[test]
fn a_banned_network_gets_403_where_xdp_is_not_loaded() {
    let fleet = fleet("l7");
    for (family, net) in AROUND_ATTACKER {
        done(&fleet.cli("orchestrator", &["ban", net]));
        wait_until("the attacker gets 403", PATIENCE, || {
            get(fleet.attacking(family), family).is_ok_and(|status| status == 403)
        });
        done(&fleet.cli("orchestrator", &["unban", net]));
        await_served(&fleet, family, true);
    }
}

#[test]
fn one_address_of_a_slash_64_is_banned_alone() {
    let fleet = fleet("both");
    let neighbour = "2001:db8:a:1::3";
    let added = fleet
        .attacker
        .command(Program::Ip)
        .args(["addr", "add", &format!("{neighbour}/48"), "dev", "eth0", "nodad"])
        .status();
    assert!(added.unwrap().success());
    // Both find the host's link address before one of them cannot ask for it any more.
    let await_neighbour = || {
        wait_until("the neighbour is served", PATIENCE, || {
            let neighbour = Client::new(&fleet.attacker).with_source(neighbour.parse().unwrap());
            get(neighbour, Family::V6).is_ok_and(|status| status == 200)
        });
    };
    await_served(&fleet, Family::V6, true);
    await_neighbour();
    done(&fleet.cli("orchestrator", &["ban", "2001:db8:a:1::2/128"]));
    await_served(&fleet, Family::V6, false);
    await_neighbour();
}

#[test]
fn a_network_within_a_network_hides_nothing_when_it_is_lifted_or_ends() {
    let fleet = fleet("kernel");
    let (outer, inner) = ("198.51.100.2/31", "198.51.100.2/32");
    // A /32 is a source, so this nests through the other family too.
    let (outer_v6, inner_v6) = ("2001:db8:a:1::/80", "2001:db8:a:1::/112");
    for (family, outer, inner) in [(Family::V4, outer, inner), (Family::V6, outer_v6, inner_v6)] {
        done(&fleet.cli("edge", &["ban", outer, "--duration", "1h"]));
        done(&fleet.cli("edge", &["ban", inner, "--duration", "1s"]));
        wait_until("the inner ban has ended", PATIENCE, || {
            entry(&fleet, inner).is_none()
        });
        assert!(!is_served(&fleet, family), "the end of {inner} lifted {outer}");
        done(&fleet.cli("edge", &["ban", inner, "--duration", "1h"]));
        let lifted = fleet.cli("edge", &["unban", inner]);
        let said = String::from_utf8_lossy(&lifted.stderr);
        let is_said = said.contains(&format!("{outer}, which covers it, is banned"));
        assert!(lifted.status.code() == Some(1) && is_said, "{lifted:?}");
        assert!(!is_served(&fleet, family), "lifting {inner} lifted {outer}");
        done(&fleet.cli("edge", &["ban", inner, "--duration", "1h"]));
        done(&fleet.cli("edge", &["unban", outer]));
        assert!(!is_served(&fleet, family), "lifting {outer} lifted {inner}");
        done(&fleet.cli("edge", &["unban", inner]));
        await_served(&fleet, family, true);
    }
}

#[test]
fn an_inner_ban_that_ends_while_the_daemon_is_dead_does_not_hide_the_wider_one() {
    let mut fleet = fleet("kernel");
    let (outer, inner) = ("2001:db8:a:1::/80", "2001:db8:a:1::/112");
    // It finds the host's link address before it cannot ask for it any more.
    await_served(&fleet, Family::V6, true);
    done(&fleet.cli("edge", &["ban", outer, "--duration", "1h"]));
    done(&fleet.cli("edge", &["ban", inner, "--duration", "2s"]));
    fleet.kill_edge();
    let sink = UdpSink::start(
        &fleet.host,
        SocketAddr::new(Family::V6.edge_for_attacker().ip(), PORT),
    );
    let sender = UdpSender::start(
        &fleet.attacker,
        Family::V6.attacker(),
        SocketAddr::new(Family::V6.edge_for_attacker().ip(), PORT),
        Duration::from_millis(1),
    );
    // Three seconds' worth: time itself is the condition.
    wait_until("the inner ban's time is over", Duration::from_secs(20), || {
        sender.sent() > 3000
    });
    assert_eq!(
        sink.received_from(Family::V6.attacker()),
        0,
        "of {}",
        sender.stop()
    );
}

#[test]
fn bans_of_networks_outlive_the_edge_and_are_lifted_by_the_next() {
    let mut fleet = fleet("both");
    for (_, net) in AROUND_ATTACKER {
        done(&fleet.cli("orchestrator", &["ban", net]));
    }
    for (family, _) in AROUND_ATTACKER {
        await_served(&fleet, family, false);
    }
    fleet.kill_edge();
    let before = fleet.pins().dropped();
    for (family, net) in AROUND_ATTACKER {
        assert!(get(fleet.attacking(family), family).is_err());
        assert!(
            entry(&fleet, net).is_some(),
            "{net} is not listed without the daemon"
        );
    }
    assert!(
        fleet.pins().dropped() > before,
        "nothing was dropped without the daemon"
    );
    fleet.restart_edge();
    await_reconciliations(&fleet, 2);
    for (family, net) in AROUND_ATTACKER {
        assert!(!is_served(&fleet, family), "the restart lifted {net}");
        done(&fleet.cli("orchestrator", &["unban", net]));
        await_served(&fleet, family, true);
    }
}

#[test]
fn a_network_banned_on_this_host_survives_reconciliation_and_the_daemons_death() {
    let mut fleet = fleet("both");
    let (net, own) = ("198.51.100.0/24", "198.51.100.1");
    done(&fleet.cli("edge", &["ban", net, "--duration", "1h"]));
    assert!(!is_served(&fleet, Family::V4));
    await_reconciliations(&fleet, 2);
    assert!(!is_served(&fleet, Family::V4), "reconciliation lifted it");
    fleet.kill_edge();
    let without = "2001:db8:a:1::/80";
    done(&fleet.cli("edge", &["ban", without, "--duration", "1h"]));
    assert_eq!(entry(&fleet, net).unwrap()["origin"], "local");
    fleet.restart_edge();
    await_reconciliations(&fleet, 2);
    for (family, net) in [(Family::V4, net), (Family::V6, without)] {
        assert!(!is_served(&fleet, family), "the restart lifted {net}");
        assert_eq!(entry(&fleet, net).unwrap()["origin"], "local");
        done(&fleet.cli("edge", &["unban", net]));
        await_served(&fleet, family, true);
    }
    // The host's own address lay in the banned network all the time.
    assert_refused(&fleet.cli("edge", &["ban", own]), FAILURE, &["is allowlisted"]);
}

#[test]
fn listings_show_every_dropped_packet_with_the_daemon_and_without() {
    let mut fleet = fleet("kernel");
    let source = Family::V4.attacker();
    done(&fleet.cli("edge", &["ban", &source.to_string()]));
    // Compared with the allowlist, so that CPUs may hold counts back.
    await_reconciliations(&fleet, 2);
    let at = SocketAddr::new(Family::V4.edge_for_attacker().ip(), PORT);
    let sender = UdpSender::start(&fleet.attacker, source, at, Duration::ZERO);
    wait_until("packets", PATIENCE, || sender.sent() > 20_000);
    let _ = sender.stop();
    let dropped = || fleet.pins().dropped();
    let total = wait_until("the last packet has arrived", PATIENCE, || {
        let before = dropped();
        std::thread::sleep(Duration::from_millis(200));
        (dropped() == before).then_some(before)
    });
    let counted = |fleet: &Fleet| {
        entry(fleet, "198.51.100.2/32").unwrap()["dropped_packets"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(counted(&fleet), total);
    fleet.kill_edge();
    assert_eq!(counted(&fleet), total, "without the daemon");
}

#[test]
fn networks_too_wide_to_be_meant_are_refused_everywhere() {
    let mut fleet = fleet("kernel");
    let wide = [
        ("198.0.0.0/7", "wider than a /8"),
        ("2001::/18", "wider than a /19"),
    ];
    for (net, why) in wide {
        for daemon in ["edge", "orchestrator"] {
            assert_refused(
                &fleet.cli(daemon, &["ban", net]),
                FAILURE,
                &["is never banned", why],
            );
        }
    }
    fleet.kill_edge();
    for (net, why) in wide {
        assert_refused(
            &fleet.cli("edge", &["ban", net]),
            FAILURE,
            &["is never banned", why],
        );
    }
}
