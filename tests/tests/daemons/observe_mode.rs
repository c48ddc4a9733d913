//! Observe mode, and what the edge tells of drops.

use std::{net::SocketAddr, time::Duration};

use secbeat_common::verdict::Verdict;
use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    udp::{UdpSender, UdpSink},
    wait::wait_until,
};

const PORT: u16 = 7777;
const PATIENCE: Duration = Duration::from_secs(20);

/// A fleet that has banned the attacker, which goes on sending.
fn under_attack(options: &Options) -> (Fleet, UdpSender, UdpSink) {
    let fleet = Fleet::start(options);
    let family = Family::V4;
    fleet.make_errors(family, 50);
    fleet.await_ban(family.attacker());
    let at = SocketAddr::new(family.edge_for_attacker().ip(), PORT);
    let sink = UdpSink::start(&fleet.host, at);
    let sender = UdpSender::start(&fleet.attacker, family.attacker(), at, Duration::from_micros(200));
    (fleet, sender, sink)
}

fn long() -> Options {
    Options {
        ban: "1h",
        enforcement: "both",
        ..Options::default()
    }
}

fn packets(fleet: &Fleet, verdict: Verdict) -> u64 {
    fleet.pins().counters()[verdict as usize].packets
}

fn mode(fleet: &Fleet, arguments: &[&str]) -> String {
    let output = fleet.cli("edge", &[&["mode"], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn observe_mode_is_switched_live_and_counts_what_it_lets_pass() {
    let (mut fleet, _sender, sink) = under_attack(&long());
    let family = Family::V4;
    wait_until("packets are dropped", PATIENCE, || {
        packets(&fleet, Verdict::Banned) > 100
    });
    assert_eq!(sink.received_from(family.attacker()), 0);
    assert_eq!(mode(&fleet, &[]), "enforce\n");

    let program = fleet.host.xdp_on("to-attacker");
    assert!(mode(&fleet, &["observe"]).starts_with("observe"));
    wait_until("the banned source's packets pass", PATIENCE, || {
        sink.received_from(family.attacker()) > 100
    });
    assert!(packets(&fleet, Verdict::Observed) > 0);
    let before = fleet.ban_of(family.attacker()).unwrap().dropped_packets;
    wait_until("its ban goes on counting", PATIENCE, || {
        fleet.ban_of(family.attacker()).unwrap().dropped_packets > before
    });
    let said = |arguments: &[&str]| String::from_utf8(fleet.cli("edge", arguments).stdout).unwrap();
    let bans = said(&["bans"]);
    assert!(bans.contains(" MET ") && !bans.contains("DROPPED"), "{bans}");
    let tested = said(&["test", &family.attacker().to_string()]);
    assert!(
        tested.contains("enforced   nowhere: the mode is observe"),
        "{tested}"
    );
    // The HTTP side lets it through as well, and counts.
    let url = format!("http://{}/", family.edge_for_attacker());
    assert_eq!(fleet.attacking(family).get(&url).unwrap(), 200);
    let stats = fleet.edge_stats().unwrap();
    assert_eq!(
        (&stats["mode"], &stats["l7_observed"]),
        (&"observe".into(), &1.into())
    );

    assert!(mode(&fleet, &["enforce"]).starts_with("enforce"));
    assert_eq!(
        fleet.host.xdp_on("to-attacker"),
        program,
        "switching loaded another program"
    );
    let enforced = packets(&fleet, Verdict::Banned);
    wait_until("packets are dropped again", PATIENCE, || {
        packets(&fleet, Verdict::Banned) > enforced + 100
    });

    // Without the daemon, too.
    fleet.kill_edge();
    assert!(mode(&fleet, &["observe"]).starts_with("observe"));
    assert_eq!(mode(&fleet, &[]), "observe\n");
    let passed = sink.received_from(family.attacker());
    wait_until("packets pass again", PATIENCE, || {
        sink.received_from(family.attacker()) > passed + 100
    });
    // The config holds from the next start on.
    fleet.restart_edge();
    assert_eq!(mode(&fleet, &[]), "enforce\n");
}

#[test]
fn the_config_may_start_an_edge_that_only_observes() {
    let mut fleet = Fleet::start(&long());
    fleet.kill_edge();
    fleet.reconfigure_edge("[kernel]\n", "[kernel]\nmode = \"observe\"\n");
    fleet.restart_edge();
    let family = Family::V6;
    fleet.make_errors(family, 50);
    fleet.await_ban(family.attacker());
    let url = format!("http://{}/", family.edge_for_attacker());
    assert_eq!(fleet.attacking(family).get(&url).unwrap(), 200);
    wait_until("would-be drops are counted", PATIENCE, || {
        packets(&fleet, Verdict::Observed) > 0
    });
    assert_eq!(packets(&fleet, Verdict::Banned), 0);
    let status = fleet.cli("edge", &["status"]);
    let text = String::from_utf8(status.stdout).unwrap();
    assert!(text.contains("mode       observe"), "{text}");
}

#[test]
fn one_interface_only_observes_while_the_host_enforces() {
    let (mut fleet, _sender, sink) = under_attack(&long());
    let attacker = Family::V4.attacker();
    let passes = |fleet: &Fleet, after: &str| {
        let (before, observed) = (sink.received_from(attacker), packets(fleet, Verdict::Observed));
        wait_until(&format!("packets pass after {after}"), PATIENCE, || {
            sink.received_from(attacker) > before + 100 && packets(fleet, Verdict::Observed) > observed + 100
        });
    };
    let is_dropped = |fleet: &Fleet, after: &str| {
        let before = packets(fleet, Verdict::Banned);
        wait_until(&format!("packets are dropped after {after}"), PATIENCE, || {
            packets(fleet, Verdict::Banned) > before + 100
        });
    };
    let on_attackers = ["--interface", "to-attacker"];
    is_dropped(&fleet, "the ban");
    let said = mode(&fleet, &[&["observe"][..], &on_attackers].concat());
    assert!(said.starts_with("observe on to-attacker, until"), "{said}");
    passes(&fleet, "the switch");
    assert_eq!(mode(&fleet, &[]), "enforce\nonly observed on to-attacker\n");
    let stats = fleet.edge_stats().unwrap();
    let on = |interface: &str| {
        let mut interfaces = stats["xdp"].as_array().unwrap().iter();
        let found = interfaces.find(|it| it["interface"] == interface).unwrap();
        (found["protected"] == true, found["observes"] == true)
    };
    assert_eq!(
        (on("to-attacker"), on("to-visitor")),
        ((true, true), (true, false))
    );
    let status = String::from_utf8(fleet.cli("edge", &["status"]).stdout).unwrap();
    assert!(status.contains("to-attacker ONLY OBSERVES"), "{status}");
    wait_until("the fleet knows", PATIENCE, || {
        let edges = fleet.cli("orchestrator", &["edges", "-o", "json"]).stdout;
        let edges: serde_json::Value = serde_json::from_slice(&edges).unwrap_or_default();
        edges[0]["record"]["interfaces"][0]["observes"] == true
    });
    // Without the daemon, and by an operator who does not need it.
    fleet.kill_edge();
    passes(&fleet, "the daemon's death");
    let said = mode(&fleet, &[&["enforce"][..], &on_attackers].concat());
    assert!(said.starts_with("enforce on to-attacker in the kernel"), "{said}");
    is_dropped(&fleet, "a switch without the daemon");
    assert_eq!(mode(&fleet, &[]), "enforce\n");
    // The config holds from the next start on, and from the next reload.
    fleet.reconfigure_edge(
        "[kernel]\n",
        "[kernel]\ninterface_modes = { 'to-*' = 'observe' }\n",
    );
    fleet.restart_edge();
    passes(&fleet, "a start");
    fleet.reconfigure_edge(
        "'to-*' = 'observe'",
        "'to-*' = 'observe', to-attacker = 'enforce'",
    );
    fleet.reload_edge();
    is_dropped(&fleet, "a reload");
    assert!(!fleet.edge_log().contains("waits for a restart"));
    assert_eq!(mode(&fleet, &[]), "enforce\nonly observed on to-visitor\n");
    // What is made again, under the same name and another number, has the mode of its name.
    fleet.reconfigure_edge(", to-attacker = 'enforce'", "");
    fleet.reload_edge();
    fleet.recreate_interface();
    wait_until("the new interface observes", PATIENCE, || {
        let stats = fleet.edge_stats().unwrap();
        let interfaces = stats["xdp"].as_array().unwrap();
        interfaces
            .iter()
            .all(|it| it["observes"] == true && it["protected"] == true)
    });
    let unknown = fleet.cli("edge", &["mode", "observe", "--interface", "eth9"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        !unknown.status.success() && said.contains("`eth9` is not a protected interface"),
        "{said}"
    );
}

#[test]
fn metrics_and_the_log_tell_of_drops_events_modes_and_drift() {
    let (fleet, _sender, _sink) = under_attack(&long());
    let metric = |name: &str| {
        let text = String::from_utf8(fleet.api(8080, "/metrics").ok()?.body).ok()?;
        let line = text
            .lines()
            .find(|line| line.starts_with(name) && !line.starts_with('#'))?;
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    wait_until("packets are dropped", PATIENCE, || {
        metric("secbeat_edge_packets_total{verdict=\"banned\"}") > Some(5000.0)
    });
    wait_until("events are read", PATIENCE, || {
        metric("secbeat_edge_drop_events_total{reason=\"error-flood\"}") >= Some(2.0)
    });
    // The lab's daemons run with `drops=trace`.
    let log = fleet.edge_log();
    let traced: Vec<_> = log.lines().filter(|line| line.contains("TRACE drops:")).collect();
    assert!(traced.len() >= 2, "{log}");
    let attacker = Family::V4.attacker();
    let told = format!("source={attacker} verdict=\"banned\" reason=\"error-flood\"");
    assert!(traced.iter().all(|line| line.contains(&told)), "{traced:?}");
    assert!(traced[0].contains("dropped_packets=1"), "{traced:?}");
    let native = "secbeat_edge_xdp_attached{interface=\"to-attacker\",mode=\"native\"}";
    for (name, value) in [
        (native, 1.0),
        ("secbeat_edge_observing", 0.0),
        ("secbeat_edge_bans", 1.0),
        ("secbeat_edge_drop_events_lost_total", 0.0),
        ("secbeat_edge_evictions_total", 0.0),
        ("secbeat_edge_map_slots{map=\"BANNED_V4\"}", 4096.0),
        ("secbeat_edge_bus_connected", 1.0),
    ] {
        assert_eq!(metric(name), Some(value), "{name}");
    }
    wait_until("the kernel is compared with what is desired", PATIENCE, || {
        metric("secbeat_edge_reconciliations_total{outcome=\"completed\"}") > Some(1.0)
    });
    assert_eq!(metric("secbeat_edge_map_entries{map=\"BANNED_V4\"}"), Some(1.0));
}
