//! What differs from kernel to kernel: the verifier, drivers, links. Tests that need two network cards wired to each other are
//! ignored; the guests of `cargo xtask vm` have such cards.

use std::{
    env, fs,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use aya::programs::XdpMode;
use secbeat_common::{
    maps::{self, Ban},
    verdict::Verdict,
};
use secbeat_tests::lab::{
    bpf::{Filter, Pins},
    host::Host,
    netns::Namespace,
    pinned::PinnedFilter,
    udp::{self, UdpSender, UdpSink},
    wait::wait_until,
    wire::Wire,
};
use socket2::Type;

/// The host's and the clients' addresses: of one client that is banned in the tests, and of one that is not.
const HOST: [&str; 2] = ["198.51.100.1", "2001:db8:a::1"];
const BANNED: [&str; 2] = ["198.51.100.2", "2001:db8:a:1::2"];
const INNOCENT: [&str; 2] = ["198.51.100.3", "2001:db8:a:2::2"];

/// Long, since emulated machines run this too.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a sink listens on after the last packet, for one that got through to be seen.
const AFTERMATH: Duration = Duration::from_millis(100);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Joins `host` with a new host of clients; returns that, and the name of `host`'s interface.
fn join(wire: Wire, host: &Namespace) -> (Namespace, String) {
    let clients = Namespace::new("clients");
    let far = [
        "198.51.100.2/24",
        "198.51.100.3/24",
        "2001:db8:a:1::2/48",
        "2001:db8:a:2::2/48",
    ];
    let interface = wire.join((host, &["198.51.100.1/24", "2001:db8:a::1/48"]), (&clients, &far));
    (clients, interface)
}

/// Every XDP program that is meant for an interface.
fn entries(filter: &Filter) -> Vec<String> {
    let programs = filter.programs().into_iter();
    let is_other = |name: &str| {
        [maps::CLOCK_PROBE, maps::TABLE_PROBE, maps::LIST_PROBE].contains(&name)
            || maps::TC_PROGRAMS.contains(&name)
    };
    programs.filter(|name| !is_other(name)).collect()
}

/// What the verifier processed is left in the file that `SECBEAT_VERIFIED` names, if it names one: `PROGRAM INSTRUCTIONS` a
/// line.
#[test]
fn the_verifier_takes_every_program() {
    let filter = Filter::load_whole();
    let programs = filter.programs();
    assert!(programs.iter().any(|name| name == maps::PROGRAM), "{programs:?}");
    let mut report = String::new();
    for name in programs {
        let info = filter.info(&name);
        // Kernels tell since 5.16.
        if let Some(instructions) = info.verified_instruction_count() {
            report += &format!("{name} {instructions}\n");
        }
    }
    if let Some(file) = env::var_os("SECBEAT_VERIFIED") {
        fs::write(file, report).unwrap();
    }
}

/// Some kernels read the first line of every map in a map alone.
#[test]
fn the_program_finds_in_a_table_what_is_in_it() {
    let pinned = PinnedFilter::load(1024);
    let _ = pinned.bans_with_tables();
    let _ = pinned.lists();
}

fn every_entry_attaches_natively(wire: Wire) {
    let host = Namespace::new("host");
    let (_clients, interface) = join(wire, &host);
    let mut filter = Filter::load_whole();
    for entry in entries(&filter) {
        let program = filter.program_mut(&entry);
        let link = host
            .enter(|| program.attach(&interface, XdpMode::Driver))
            .unwrap_or_else(|error| panic!("attaching {entry} to {wire:?}: {error:?}"));
        assert!(host.xdp_on(&interface).is_some(), "{entry} is not on {wire:?}");
        program.detach(link).unwrap();
        wait_until("the interface is free", PATIENCE, || {
            host.xdp_on(&interface).is_none()
        });
    }
}

#[test]
fn every_entry_attaches_natively_to_veth() {
    every_entry_attaches_natively(Wire::Veth);
}

#[test]
#[ignore = "needs two network cards wired to each other, as `cargo xtask vm` has"]
fn every_entry_attaches_natively_to_a_card() {
    every_entry_attaches_natively(Wire::Cards);
}

/// The clients send through the host's stack, without XDP and then with every entry in turn.
fn a_banned_source_is_dropped(wire: Wire) {
    let host = Namespace::new("host");
    let (clients, interface) = join(wire, &host);
    let mut filter = Filter::load_whole();
    for source in BANNED {
        filter.ban(ip(source), lasting());
    }
    for (address, banned, innocent) in [0, 1].map(|family| (HOST[family], BANNED[family], INNOCENT[family])) {
        let (banned, innocent) = (ip(banned), ip(innocent));
        let sink = UdpSink::start(&host, SocketAddr::new(ip(address), 0));
        udp::send(&clients, banned, sink.address(), 10).unwrap();
        wait_until("ten datagrams arrive without XDP", PATIENCE, || {
            sink.received_from(banned) == 10
        });
        for entry in entries(&filter) {
            let program = filter.program_mut(&entry);
            let link = host
                .enter(|| program.attach(&interface, XdpMode::Driver))
                .unwrap();
            let (before, arrived) = (dropped_by(&filter), sink.received_from(innocent));
            udp::send(&clients, banned, sink.address(), 10).unwrap();
            udp::send(&clients, innocent, sink.address(), 10).unwrap();
            wait_until("ten datagrams are dropped", PATIENCE, || {
                dropped_by(&filter) >= before + 10
            });
            wait_until("the neighbour's ten datagrams arrive", PATIENCE, || {
                sink.received_from(innocent) == arrived + 10
            });
            assert_eq!(
                sink.received_from(banned),
                10,
                "{banned} got through {entry} on {wire:?}"
            );
            filter.program_mut(&entry).detach(link).unwrap();
            wait_until("the interface is free", PATIENCE, || {
                host.xdp_on(&interface).is_none()
            });
        }
    }
}

fn dropped_by(filter: &Filter) -> u64 {
    filter.counters()[Verdict::Banned as usize].packets
}

fn lasting() -> Ban {
    Ban {
        expires_jiffies: u64::MAX,
        expires_boot_ns: u64::MAX,
        ..Ban::default()
    }
}

#[test]
fn a_banned_source_is_dropped_on_veth_and_its_neighbour_is_not() {
    a_banned_source_is_dropped(Wire::Veth);
}

#[test]
#[ignore = "needs two network cards wired to each other, as `cargo xtask vm` has"]
fn a_banned_source_is_dropped_on_a_card_and_its_neighbour_is_not() {
    a_banned_source_is_dropped(Wire::Cards);
}

/// Above about 3500 bytes, veth hands a packet over in several buffers, which not every entry is made for.
#[test]
fn jumbo_packets_of_a_banned_source_are_dropped_on_veth() {
    let host = Namespace::new("host");
    let (clients, interface) = join(Wire::Veth, &host);
    host.ip(&["link", "set", &interface, "mtu", "9000"]);
    clients.ip(&["link", "set", "eth0", "mtu", "9000"]);
    let (banned, innocent) = (ip(BANNED[0]), ip(INNOCENT[0]));
    let mut filter = Filter::load_whole();
    filter.ban(banned, lasting());
    let takes = |entry: &String| {
        let program = filter.program_mut(entry);
        host.enter(|| program.attach(&interface, XdpMode::Driver)).is_ok()
    };
    let taken = entries(&Filter::load_whole()).into_iter().find(takes);
    assert!(taken.is_some(), "no entry is for packets in several buffers");

    let sink = UdpSink::start(&host, SocketAddr::new(ip(HOST[0]), 0));
    for source in [banned, innocent] {
        let socket = clients.socket(source, Type::DGRAM);
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        for _ in 0..10 {
            socket.send_to(&[0x5e; 8000], &sink.address().into()).unwrap();
        }
    }
    wait_until("ten datagrams are dropped", PATIENCE, || {
        dropped_by(&filter) >= 10
    });
    wait_until("the neighbour's ten datagrams arrive", PATIENCE, || {
        sink.received_from(innocent) == 10
    });
    assert_eq!(sink.received_from(banned), 0);
    // All their buffers are counted: Ethernet, IPv4 and UDP headers before 8000 bytes.
    let ban = filter.ban_of(banned).unwrap();
    assert_eq!(
        (ban.dropped_packets, ban.dropped_bytes),
        (10, 10 * (14 + 20 + 8 + 8000))
    );
}

/// The edge, with no bus to be reached, bans a source by hand; then it is killed, upgraded and stopped under that source's
/// packets.
fn no_end_of_the_edge_lets_a_packet_pass(wire: Wire) {
    let host = Host::new();
    let (clients, interface) = join(wire, &host.namespace);
    let config = host.edge_config().replace("\"both\"", "\"kernel\"");
    host.write(
        "edge.toml",
        &config.replace("\"eth-a\"", &format!("\"{interface}\"")),
    );
    let mut edge = host.start_edge();
    edge.wait_for_log("running", PATIENCE);

    let (banned, innocent) = (ip(BANNED[0]), ip(INNOCENT[0]));
    let output = host.edge(&["ban", BANNED[0], "--duration", "1h"]);
    assert!(output.status.success(), "{output:?}");
    let pins = Pins::at(host.pin_folder());
    wait_until("the ban is in the kernel", PATIENCE, || {
        pins.ban_of(banned).is_some()
    });

    let sink = UdpSink::start(&host.namespace, SocketAddr::new(ip(HOST[0]), 0));
    let send = |source| UdpSender::start(&clients, source, sink.address(), Duration::from_millis(1));
    let senders = [banned, innocent].map(send);
    let see_drops = |when: &str| {
        let goal = pins.dropped() + 200;
        wait_until(&format!("packets are dropped {when}"), PATIENCE, || {
            pins.dropped() >= goal
        });
    };
    see_drops("while the edge runs");
    edge.kill9();
    see_drops("after SIGKILL");
    let old = host.namespace.xdp_on(&interface).expect("the program stays");
    let mut edge = host.start_edge();
    edge.wait_for_log("running", PATIENCE);
    let new = host.namespace.xdp_on(&interface).expect("the program stays");
    assert_ne!(old, new, "the start of the edge replaced no program");
    see_drops("by the new edge's program");
    assert!(edge.terminate(PATIENCE).success(), "{}", edge.log());
    see_drops("after SIGTERM");

    let sent = senders.map(UdpSender::stop);
    std::thread::sleep(AFTERMATH);
    assert_eq!(sink.received_from(banned), 0, "of {} packets", sent[0]);
    assert!(
        sink.received_from(innocent) > 100,
        "the neighbour was cut off: {} of {} packets",
        sink.received_from(innocent),
        sent[1]
    );
}

#[test]
fn sigkill_upgrade_and_stop_of_the_edge_let_no_packet_pass_on_veth() {
    no_end_of_the_edge_lets_a_packet_pass(Wire::Veth);
}

#[test]
#[ignore = "needs two network cards wired to each other, as `cargo xtask vm` has"]
fn sigkill_upgrade_and_stop_of_the_edge_let_no_packet_pass_on_a_card() {
    no_end_of_the_edge_lets_a_packet_pass(Wire::Cards);
}
