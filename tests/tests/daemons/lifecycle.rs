//! Upgrades, other layouts, other interfaces: what is pinned outlives them, and no banned packet slips through.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use secbeat_common::maps;
use secbeat_tests::lab::{
    bpf::{Filter, Pins},
    client::Client,
    executable::{Executable as _, Program},
    fleet::{Family, Fleet, Options},
    host::{Host, assert_refused},
    old_layout::{OldBan, pin_old_bans},
    udp::{UdpSender, UdpSink},
    wait::wait_until,
};

const PORT: u16 = 7777;
const START: Duration = Duration::from_secs(20);

/// The attacker's packets on their way to the edge, over both families.
struct Attack(Vec<(Family, UdpSender, UdpSink)>);

impl Attack {
    fn start(fleet: &Fleet) -> Self {
        Self(
            Family::BOTH
                .into_iter()
                .map(|family| {
                    let at = SocketAddr::new(family.edge_for_attacker().ip(), PORT);
                    let sink = UdpSink::start(&fleet.host, at);
                    let pause = Duration::from_micros(200);
                    let sender = UdpSender::start(&fleet.attacker, family.attacker(), at, pause);
                    (family, sender, sink)
                })
                .collect(),
        )
    }

    /// Waits until so many more packets have been sent.
    fn go_on(&self, packets: u64) {
        for (family, sender, _) in &self.0 {
            let goal = sender.sent() + packets;
            wait_until(&format!("the attack over {family:?} goes on"), START, || {
                sender.sent() >= goal
            });
        }
    }

    /// Ends the attack, of which nothing may have come through.
    #[track_caller]
    fn end(self) {
        for (family, sender, sink) in self.0 {
            let sent = sender.stop();
            let passed = sink.received_from(family.attacker());
            assert_eq!(passed, 0, "{passed} of {sent} packets passed over {family:?}");
        }
    }
}

fn banned_fleet() -> Fleet {
    let fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    for family in Family::BOTH {
        fleet.make_errors(family, 50);
        fleet.await_ban(family.attacker());
    }
    fleet
}

#[test]
fn an_upgrade_under_traffic_lets_not_one_banned_packet_pass() {
    let mut fleet = banned_fleet();
    let attack = Attack::start(&fleet);
    for _ in 0..3 {
        attack.go_on(200);
        assert!(fleet.edge.terminate(START).success());
        attack.go_on(200);
        fleet.restart_edge();
    }
    attack.go_on(200);
    attack.end();
}

#[test]
fn other_ban_slots_carry_live_bans_over_and_let_not_one_banned_packet_pass() {
    let mut fleet = banned_fleet();
    let attack = Attack::start(&fleet);
    attack.go_on(200);
    for slots in [("4096", "8192"), ("8192", "2048")] {
        fleet.kill_edge();
        let before = Family::BOTH.map(|family| fleet.ban_of(family.attacker()).unwrap());
        let dropped = fleet.pins().dropped();
        fleet.reconfigure_edge(
            &format!("ban_slots = {}", slots.0),
            &format!("ban_slots = {}", slots.1),
        );
        fleet.restart_edge();
        assert_eq!(fleet.pins().ban_slots().to_string(), slots.1);
        for (family, before) in Family::BOTH.into_iter().zip(before) {
            let after = fleet.ban_of(family.attacker()).unwrap();
            assert_eq!((after.reason, after.strikes), (before.reason, before.strikes));
            let moved = after.expires_boot_ns.abs_diff(before.expires_boot_ns);
            assert!(moved < 1_000_000_000, "the end moved by {moved} ns");
            assert!(
                after.dropped_packets >= before.dropped_packets,
                "{before:?} {after:?}"
            );
        }
        assert!(
            fleet.pins().dropped() >= dropped,
            "the counters of verdicts started over"
        );
        attack.go_on(200);
    }
    attack.end();
    let staged = |name: &String| name.starts_with("next-");
    assert!(!fleet.pinned().iter().any(staged), "{:?}", fleet.pinned());
}

/// Bans these addresses on the edge, each with the kernel's word for it.
fn ban_all(fleet: &Fleet, numbers: RangeInclusive<u8>) {
    for number in numbers {
        let target = Ipv4Addr::new(192, 0, 2, number);
        let body = format!("{{\"target\": \"{target}\", \"duration\": \"1h\"}}");
        let answer = fleet.order(8080, "POST", "/api/v1/bans", &body).unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        assert!(fleet.ban_of(IpAddr::V4(target)).is_some(), "{target}");
    }
}

#[test]
fn the_ban_maps_grow_under_traffic_and_let_not_one_banned_packet_pass() {
    let mut fleet = Fleet::start(&Options {
        ban: "1h",
        ban_slots: 8,
        ..Options::default()
    });
    for family in Family::BOTH {
        fleet.make_errors(family, 50);
        fleet.await_ban(family.attacker());
    }
    let attack = Attack::start(&fleet);
    attack.go_on(200);
    let before = Family::BOTH.map(|family| fleet.ban_of(family.attacker()).unwrap());
    let holds = |fleet: &Fleet, last: u8| {
        for (family, before) in Family::BOTH.into_iter().zip(before) {
            let after = fleet.ban_of(family.attacker()).unwrap();
            let moved = after.expires_boot_ns.abs_diff(before.expires_boot_ns);
            assert!(moved < 1_000_000_000, "the end moved by {moved} ns");
            assert!(
                after.dropped_packets >= before.dropped_packets,
                "{before:?} {after:?}"
            );
        }
        let is_banned = |number| {
            fleet
                .ban_of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)))
                .is_some()
        };
        assert!((1..=last).all(is_banned));
        let staged = |name: &String| name.starts_with("next-");
        assert!(!fleet.pinned().iter().any(staged), "{:?}", fleet.pinned());
    };
    fleet.reconfigure_edge("ban_slots = 8", "ban_slots = 1024");
    fleet.reload_edge();
    ban_all(&fleet, 1..=40);
    assert_eq!(fleet.pins().ban_slots(), 128);
    attack.go_on(200);
    holds(&fleet, 40);
    fleet.kill_edge();
    // What the kernel may hold beside what the fleet says is not known yet.
    fleet.nats.stop();
    fleet.reconfigure_edge("ban_slots = 1024", "ban_slots = 128");
    fleet.start_edge();
    fleet.edge.wait_for_log("running", START);
    assert_eq!(fleet.pins().ban_slots(), 128);
    fleet.reconfigure_edge("ban_slots = 128", "ban_slots = 1024");
    fleet.reload_edge();
    ban_all(&fleet, 41..=140);
    assert_eq!(fleet.pins().ban_slots(), 512);
    holds(&fleet, 140);
    attack.go_on(200);
    attack.end();
}

#[test]
fn a_layout_of_another_release_is_carried_over_by_field_names() {
    let host = Host::new();
    let boot_ns = Filter::load().clocks().boot_ns;
    let old = |reason, dropped_packets, end: i64| OldBan {
        reason,
        dropped_packets,
        expires_boot_ns: boot_ns.checked_add_signed(end * 1_000_000_000).unwrap(),
        note: *b"whatever",
    };
    let (live, long, ended) = (
        Ipv4Addr::new(198, 51, 100, 7),
        Ipv4Addr::new(198, 51, 100, 8),
        Ipv4Addr::new(198, 51, 100, 9),
    );
    pin_old_bans(
        host.pin_folder(),
        &[
            (live, old(2, 17, 300)),
            (long, old(3, 0, 1_000_000)),
            (ended, old(2, 5, -1)),
        ],
    );
    let mut edge = host.start_edge();
    edge.wait_for_log("running", START);
    edge.kill9();
    let pins = Pins::at(host.pin_folder());
    let ban = pins.ban_of(IpAddr::V4(live)).unwrap();
    assert_eq!((ban.reason, ban.dropped_packets), (2, 17));
    assert_eq!(ban.expires_boot_ns, boot_ns + 300_000_000_000);
    assert!(ban.expires_jiffies > 0 && ban.expires_jiffies < u64::MAX);
    assert_eq!(pins.ban_of(IpAddr::V4(long)).unwrap().reason, 3);
    assert_eq!(pins.ban_of(IpAddr::V4(ended)), None);
}

#[test]
fn a_migration_that_was_killed_begins_again() {
    let host = Host::new();
    let boot_ns = Filter::load().clocks().boot_ns;
    let source = Ipv4Addr::new(198, 51, 100, 7);
    let ban = OldBan {
        reason: 2,
        dropped_packets: 0,
        expires_boot_ns: boot_ns + 300_000_000_000,
        note: [0; 8],
    };
    pin_old_bans(host.pin_folder(), &[(source, ban)]);
    // What a start that got no further leaves: an empty map under the staging name.
    let staged = host.pin_folder().join(format!("next-{}", maps::BANNED_V4));
    let shape = [
        "type",
        "lru_hash",
        "key",
        "4",
        "value",
        "40",
        "entries",
        "4096",
        "name",
        "BANNED_V4",
    ];
    let made = Program::Bpftool
        .command()
        .args(["map", "create", staged.to_str().unwrap()])
        .args(shape)
        .status()
        .unwrap();
    assert!(made.success());
    let mut edge = host.start_edge();
    edge.wait_for_log("running", START);
    edge.kill9();
    assert_eq!(
        Pins::at(host.pin_folder())
            .ban_of(IpAddr::V4(source))
            .unwrap()
            .reason,
        2
    );
    assert!(!staged.exists());
}

#[test]
fn the_program_for_packets_in_several_buffers_takes_jumbo_frames_natively() {
    let host = Host::new();
    for end in ["eth-a", "peer-a"] {
        host.namespace.ip(&["link", "set", end, "mtu", "9000"]);
    }
    let mut edge = host.start_edge();
    edge.wait_for_log("running", START);
    edge.kill9();
    let status = host.edge(&["status"]);
    let text = String::from_utf8_lossy(&status.stdout);
    assert!(text.contains("native on eth-a"), "{text}");
    assert_eq!(host.xdp_program_on("eth-a").as_deref(), Some(maps::PROGRAM_FRAGS));
}

#[test]
fn interfaces_share_one_set_of_maps() {
    let fleet = banned_fleet();
    // The attacker's address, seen on the visitor's link: its ban holds there too.
    let family = Family::V4;
    fleet.visitor.add_address("eth0", "198.51.100.2/32");
    let at = SocketAddr::new(family.edge_for_visitor().ip(), PORT);
    let sink = UdpSink::start(&fleet.host, at);
    let before = fleet.pins().dropped();
    let sender = UdpSender::start(&fleet.visitor, family.attacker(), at, Duration::from_micros(200));
    wait_until("its packets are dropped on the other link", START, || {
        fleet.pins().dropped() >= before + 100
    });
    drop(sender);
    assert_eq!(sink.received_from(family.attacker()), 0);
}

#[test]
fn detach_leaves_nothing_behind() {
    let host = Host::new();
    host.reconfigure("\"eth-a\"", "\"eth-a\", \"eth-b\"");
    let mut edge = host.start_edge();
    edge.wait_for_log("running", START);
    edge.kill9();
    assert!(host.edge(&["detach"]).status.success());
    let tested = host.edge(&["test", "198.51.100.7"]);
    assert_eq!(tested.status.code(), Some(1), "{tested:?}");
    assert!(!host.pin_folder().exists());
    for interface in ["eth-a", "eth-b"] {
        wait_until(&format!("{interface} is free"), START, || {
            host.xdp_program_on(interface).is_none()
        });
    }
}

/// The effective capabilities of every thread of a process.
fn capabilities(pid: u32) -> Vec<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .map(|task| {
            let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let held = ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"].map(|set| {
                let line = status.lines().find_map(|line| line.strip_prefix(set)).unwrap();
                u64::from_str_radix(line.trim(), 16).unwrap()
            });
            held.into_iter().fold(0, |all, set| all | set)
        })
        .collect()
}

#[test]
fn after_loading_two_threads_keep_capabilities_and_the_others_none() {
    /// `CAP_BPF`, for tables of lists.
    const MAPS: u64 = 1 << 39;
    /// The same with `CAP_NET_ADMIN` and `CAP_PERFMON`, for a program with larger maps.
    const KEPT: u64 = 1 << 12 | 1 << 38 | MAPS;
    let mut fleet = banned_fleet();
    let held = capabilities(fleet.edge.pid());
    let count = |wanted: u64| held.iter().filter(|held| **held == wanted).count();
    assert_eq!(
        [count(KEPT), count(MAPS), count(0)],
        [1, 1, held.len() - 2],
        "{held:x?}"
    );
    // Bans are still written, listed and lifted.
    assert!(fleet.cli("edge", &["ban", "192.0.2.77"]).status.success());
    assert!(fleet.cli("edge", &["unban", "192.0.2.77"]).status.success());
    assert!(fleet.edge.terminate(START).success());
}

#[test]
fn an_interface_that_is_deleted_and_made_again_is_protected_again_at_once() {
    // Nothing but the kernel's word of the interface can bring the program back in time.
    let fleet = Fleet::start(&Options {
        ban: "1h",
        reconcile: "1h",
        ..Options::default()
    });
    let family = Family::V4;
    fleet.make_errors(family, 50);
    fleet.await_ban(family.attacker());
    fleet.recreate_interface();
    wait_until("the new interface is protected", START, || {
        fleet.host.xdp_on("to-attacker").is_some()
    });
    let at = SocketAddr::new(family.edge_for_attacker().ip(), PORT);
    let sink = UdpSink::start(&fleet.host, at);
    let before = fleet.pins().dropped();
    let sender = UdpSender::start(&fleet.attacker, family.attacker(), at, Duration::from_micros(200));
    wait_until("packets are dropped there", START, || {
        fleet.pins().dropped() > before + 100
    });
    drop(sender);
    assert_eq!(sink.received_from(family.attacker()), 0);
}

#[test]
fn the_kill_switch_stays_thrown_when_an_interface_comes() {
    let fleet = Fleet::start(&Options::default());
    assert!(fleet.cli("edge", &["detach"]).status.success());
    fleet.recreate_interface();
    // The kernel tells of both in order, so whoever has heard of the address has heard of the interface.
    fleet.host.add_address("to-attacker", "198.51.100.99/24");
    wait_until("the edge has heard of the new address", START, || {
        let allowed = fleet.cli("edge", &["allowed"]);
        String::from_utf8_lossy(&allowed.stdout).contains("198.51.100.99")
    });
    assert_eq!(fleet.host.xdp_on("to-attacker"), None);
    assert!(!fleet.pin_folder().exists());
}

#[test]
fn generic_mode_needs_leave_and_is_shown_with_a_warning() {
    let host = Host::new();
    // Loopback has no native XDP.
    host.reconfigure("\"eth-a\"", "\"lo\"");
    assert_refused(
        &host.edge(&["run"]),
        1,
        &["lo takes no native XDP", "kernel.allow_generic = true"],
    );
    assert!(!host.pin_folder().exists());

    host.reconfigure(
        "interfaces = [\"eth-a\"]",
        "interfaces = [\"eth-a\", \"lo\"]\nallow_generic = true",
    );
    let mut edge = host.start_edge();
    edge.wait_for_log("NO NATIVE XDP", START);
    edge.wait_for_log("running", START);
    let status = host.edge(&["status"]);
    let text = String::from_utf8_lossy(&status.stdout);
    assert!(text.contains("native on eth-a\n"), "{text}");
    assert!(text.contains("generic on lo  (SLOW"), "{text}");
    let metrics = Client::new(&host.namespace).request("GET", "http://127.0.0.1:8080/metrics", &[], b"");
    let metrics = String::from_utf8(metrics.unwrap().body).unwrap();
    assert!(
        metrics.contains("secbeat_edge_xdp_attached{interface=\"lo\",mode=\"generic\"} 1"),
        "{metrics}"
    );
}
