//! Interfaces of every kind that this kernel makes, hooks, and the ways to name them: wherever the edge says that an interface is
//! protected, a banned client gets nowhere, and its neighbour does.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    time::{Duration, Instant},
};

use aya::programs::{LinkOrder, ProgramInfo, SchedClassifier, TcAttachType, XdpMode, tc::TcAttachOptions};
use secbeat_common::maps;
use secbeat_tests::lab::{
    bpf::Filter,
    frames::{self, PORT},
    host::{Host, assert_refused},
    netns::{End, Namespace, link},
    process::Daemon,
    shortcut::Shortcut,
    tun::Tun,
    udp::{self, UdpSink},
    wait::wait_until,
};

const START: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(5);
const USAGE: i32 = 64;
const UNAVAILABLE: i32 = 69;
const BANNED: &str = "198.51.100.7";
const INNOCENT: &str = "198.51.100.8";
const PLACE: &str = "interfaces = [\"eth-a\"]\nattach = \"xdp\"";

/// A host with a further interface, `to-clients`, and who is behind it.
fn with_clients() -> (Host, Namespace) {
    let (host, clients) = (Host::new(), Namespace::new("clients"));
    let near = End {
        namespace: &host.namespace,
        interface: "to-clients",
        addresses: &["198.51.100.1/24"],
    };
    let far = End {
        namespace: &clients,
        interface: "eth0",
        addresses: &["198.51.100.7/24", "198.51.100.8/24"],
    };
    link(near, far);
    (host, clients)
}

fn start(host: &Host) -> Daemon {
    let mut edge = host.start_edge();
    edge.wait_for_log("running", START);
    edge
}

fn stop(mut edge: Daemon) {
    assert!(edge.terminate(START).success());
}

fn ban(host: &Host) {
    let output = host.edge(&["ban", BANNED]);
    assert!(output.status.success(), "{output:?}");
}

#[track_caller]
fn await_protection(host: &Host, interface: &str, mode: &str) {
    wait_until(&format!("{interface} is protected by {mode}"), SOON, || {
        host.protection(interface).is_ok_and(|found| found == mode)
    });
}

/// Sends from both, and waits until all that the innocent one sent has arrived: what the banned one sent before is decided by then.
#[track_caller]
fn expect_only_the_innocent(clients: &Namespace, sink: &UdpSink) {
    let [banned, innocent] = [BANNED, INNOCENT].map(|address| address.parse().unwrap());
    let before = [banned, innocent].map(|source| sink.received_from(source));
    udp::send(clients, banned, sink.address(), 20).unwrap();
    udp::send(clients, innocent, sink.address(), 20).unwrap();
    wait_until("the innocent one is heard", SOON, || {
        sink.received_from(innocent) == before[1] + 20
    });
    assert_eq!(sink.received_from(banned), before[0], "a banned one is heard");
}

fn sink(host: &Host) -> UdpSink {
    UdpSink::start(&host.namespace, "198.51.100.1:0".parse().unwrap())
}

#[test]
fn the_stacks_hook_enforces_without_the_daemon_and_hooks_are_changed_without_a_gap() {
    let (host, clients) = with_clients();
    let sink = sink(&host);
    let mut links = Vec::new();
    for (attach, mode) in [
        ("tc", "tc"),
        ("auto", "native"),
        ("tc", "tc"),
        ("xdp", "native"),
        ("auto", "native"),
    ] {
        host.reconfigure(
            PLACE,
            &format!("interfaces = [\"to-clients\"]\nattach = \"{attach}\""),
        );
        let edge = start(&host);
        if links.is_empty() {
            ban(&host);
        }
        assert_eq!(host.protection("to-clients"), Ok(mode.to_owned()), "{attach}");
        expect_only_the_innocent(&clients, &sink);
        links = host
            .pinned()
            .into_iter()
            .filter(|name| name.starts_with("link-"))
            .collect();
        assert_eq!(links, [format!("link-{mode}-to-clients")]);
        stop(edge);
        expect_only_the_innocent(&clients, &sink);
    }
    assert!(host.edge(&["detach"]).status.success());
    assert_eq!(host.pinned(), [""; 0]);
    let banned: IpAddr = BANNED.parse().unwrap();
    udp::send(&clients, banned, sink.address(), 1).unwrap();
    wait_until("nobody is banned any more", SOON, || {
        sink.received_from(banned) > 0
    });
}

#[test]
fn beside_another_xdp_program_the_stacks_hook_enforces() {
    let (host, clients) = with_clients();
    let sink = sink(&host);
    let mut other = Filter::load_whole();
    let program = other.program_mut(maps::PROGRAM);
    host.namespace
        .enter(|| program.attach("to-clients", XdpMode::Driver))
        .unwrap();
    let theirs = host.namespace.xdp_on("to-clients");
    host.reconfigure(PLACE, "interfaces = [\"to-clients\"]");
    let edge = start(&host);
    ban(&host);
    await_protection(&host, "to-clients", "tc");
    expect_only_the_innocent(&clients, &sink);
    assert_eq!(host.namespace.xdp_on("to-clients"), theirs);
    stop(edge);
}

/// What passes a packet on there may end its way through the hook.
#[test]
fn a_program_before_ours_in_the_stacks_hook_is_said_to_make_protection_void() {
    let (host, clients) = with_clients();
    let sink = sink(&host);
    host.reconfigure(PLACE, "interfaces = [\"to-clients\"]\nattach = \"tc\"");
    let edge = start(&host);
    ban(&host);
    await_protection(&host, "to-clients", "tc");
    let (_, ours) = hook_of(&host);
    let mut other = Filter::load_whole();
    let program = other.classifier_mut(maps::PROGRAM_TC);
    let first = TcAttachOptions::TcxOrder(LinkOrder::first());
    let link = host
        .namespace
        .enter(|| program.attach_with_options("to-clients", TcAttachType::Ingress, first))
        .unwrap();
    wait_until("it is said", SOON, || {
        host.protection("to-clients")
            .is_err_and(|why| why.contains("runs before it"))
    });
    let both = hook_of(&host);
    assert_eq!((both.1.len(), &both.1[1..]), (2, ours.as_slice()));
    // This one leaves them to ours.
    expect_only_the_innocent(&clients, &sink);
    // The daemon looks every 2 s, and changes nothing.
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        assert_eq!(hook_of(&host), both);
    }
    program.detach(link).unwrap();
    await_protection(&host, "to-clients", "tc");
    assert_eq!(hook_of(&host), (both.0 + 1, ours));
    expect_only_the_innocent(&clients, &sink);
    stop(edge);
}

/// The programs in the stack's hook of `to-clients`, in their order, and how often something has changed there.
fn hook_of(host: &Host) -> (u64, Vec<u32>) {
    let ask = || SchedClassifier::query_tcx("to-clients", TcAttachType::Ingress);
    let (revision, programs) = host.namespace.enter(ask).unwrap();
    (revision, programs.iter().map(ProgramInfo::id).collect())
}

#[test]
fn a_refused_start_with_another_hook_leaves_the_one_before_in_force() {
    let (host, clients) = with_clients();
    let sink = sink(&host);
    let both = "interfaces = [\"to-clients\", \"lo\"]\nattach = ";
    host.reconfigure(PLACE, &format!("{both}\"tc\""));
    let edge = start(&host);
    ban(&host);
    stop(edge);
    let before = host.pinned();
    // Loopback has no native XDP.
    host.reconfigure(PLACE, &format!("{both}\"xdp\""));
    assert_refused(&host.edge(&["run"]), 1, &["lo takes no native XDP"]);
    assert_eq!(host.pinned(), before);
    expect_only_the_innocent(&clients, &sink);
}

fn end<'a>(namespace: &'a Namespace, interface: &'a str, addresses: &'a [&'a str]) -> End<'a> {
    End {
        namespace,
        interface,
        addresses,
    }
}

/// XDP does not see them, and nothing in the namespace of the interface shows that.
#[test]
fn packets_that_a_cni_hands_to_a_veth_past_xdp_meet_the_stacks_hook_and_check_says_so() {
    const MAC: &str = "02:00:00:00:00:07";
    let (host, router, clients) = (Host::new(), Namespace::new("router"), Namespace::new("clients"));
    link(
        end(&host.namespace, "to-clients", &["198.51.100.1/24"]),
        end(&router, "to-pod", &[]),
    );
    link(
        end(&router, "uplink", &[]),
        end(&clients, "eth0", &["198.51.100.7/24", "198.51.100.8/24"]),
    );
    router.ip(&["link", "set", "uplink", "address", MAC]);
    let neighbour = ["neigh", "replace", "198.51.100.1", "lladdr", MAC, "dev", "eth0"];
    clients.ip(&neighbour);
    let _shortcut = Shortcut::new(&router, "uplink", "to-pod");
    let sink = sink(&host);
    let is_said = |state: &str| {
        let said = host.edge(&["check"]).stdout;
        let said = String::from_utf8_lossy(&said);
        let mut lines = said.lines();
        let line = lines.find(|line| line.contains("interface to-clients: "));
        line.is_some_and(|line| line.starts_with(state) && line.contains("`bpf_redirect_peer`"))
    };

    host.reconfigure(PLACE, "interfaces = [\"to-clients\"]");
    assert!(is_said("note "));
    let edge = start(&host);
    ban(&host);
    await_protection(&host, "to-clients", "native");
    assert!(is_said("ok "));
    let banned: IpAddr = BANNED.parse().unwrap();
    udp::send(&clients, banned, sink.address(), 20).unwrap();
    wait_until("XDP does not see them", SOON, || sink.received_from(banned) == 20);
    stop(edge);

    host.reconfigure(PLACE, "interfaces = [\"to-clients\"]\nattach = \"tc\"");
    let edge = start(&host);
    await_protection(&host, "to-clients", "tc");
    assert!(!is_said(""));
    expect_only_the_innocent(&clients, &sink);
    stop(edge);
}

/// Every packet was "not IP" there, or read as if it began with an Ethernet header.
#[test]
fn tunnels_without_ethernet_headers_are_protected() {
    let host = Host::new();
    let tunnel = Tun::new(&host.namespace, "tun0", "198.51.100.1/24");
    let sink = UdpSink::start(&host.namespace, SocketAddr::from(([198, 51, 100, 1], PORT)));
    host.reconfigure(
        PLACE,
        "interfaces = [\"tun0\"]\nattach = \"xdp\"\nallow_generic = true",
    );
    assert_refused(
        &host.edge(&["run"]),
        1,
        &["tun0: its packets have no Ethernet header", "kernel.attach"],
    );
    host.reconfigure(PLACE, "interfaces = [\"tun0\"]");
    let edge = start(&host);
    ban(&host);
    await_protection(&host, "tun0", "tc");
    let target = "198.51.100.1".parse().unwrap();
    let send = |source: &str| {
        let source = source.parse().unwrap();
        let datagram = frames::udp(IpAddr::V4(source), IpAddr::V4(target), b"hello");
        tunnel.receive(&frames::ipv4(source, target, 0, 17, &datagram));
    };
    for _ in 0..20 {
        send(BANNED);
        send(INNOCENT);
    }
    let innocent = INNOCENT.parse().unwrap();
    wait_until("the innocent one is heard", SOON, || {
        sink.received_from(innocent) == 20
    });
    assert_eq!(sink.received_from(BANNED.parse().unwrap()), 0);
    stop(edge);
}

/// How many packets of the banned client were dropped.
fn dropped(host: &Host) -> u64 {
    let bans = host.edge(&["bans", "-o", "json"]).stdout;
    let bans: serde_json::Value = serde_json::from_slice(&bans).unwrap();
    let is_of = |ban: &&serde_json::Value| ban["target"] == format!("{BANNED}/32");
    let ban = bans.as_array().unwrap().iter().find(is_of);
    ban.unwrap()["dropped_packets"].as_u64().unwrap()
}

/// Where packets begin with an IP header, and what begins like one, such as the label of MPLS from 262144 on.
#[test]
fn the_stacks_word_for_a_packet_counts_and_not_its_first_bytes() {
    const MPLS: u16 = 0x8847;
    let host = Host::new();
    let tunnel = Tun::new(&host.namespace, "tun0", "198.51.100.1/24");
    host.namespace.ip(&["route", "add", "8.0.0.0/8", "dev", "tun0"]);
    let sink = UdpSink::start(&host.namespace, SocketAddr::from(([198, 51, 100, 1], PORT)));
    host.reconfigure(PLACE, "interfaces = [\"tun0\"]");
    let edge = start(&host);
    ban(&host);
    await_protection(&host, "tun0", "tc");
    let target = Ipv4Addr::new(198, 51, 100, 1);
    let packet = |source: Ipv4Addr| {
        let datagram = frames::udp(source.into(), target.into(), b"hello");
        frames::ipv4(source, target, 0, 17, &datagram)
    };
    let of_banned = packet(BANNED.parse().unwrap());

    // An Ethernet frame's EtherType would be the upper half of this source, and an IP header its lower half.
    let tricky = Ipv4Addr::new(8, 0, 0x45, 9);
    let packet_of_tricky = packet(tricky);
    let misread: [u8; 4] = packet_of_tricky[26..30].try_into().unwrap();
    let misread = Ipv4Addr::from(misread).to_string();
    assert!(host.edge(&["ban", &misread]).status.success(), "{misread}");
    for _ in 0..20 {
        tunnel.receive_as(MPLS, &of_banned);
        tunnel.receive(&packet_of_tricky);
    }
    wait_until("who is not banned is heard", SOON, || {
        sink.received_from(tricky.into()) == 20
    });
    assert_eq!(dropped(&host), 0, "a label was read as a client");
    for _ in 0..20 {
        tunnel.receive(&of_banned);
    }
    wait_until("the banned one is dropped", SOON, || dropped(&host) == 20);
    stop(edge);
}

/// Packets do not meet its hooks.
#[test]
fn an_ifb_is_said_not_to_be_protected() {
    let host = Host::new();
    host.namespace.ip(&["link", "add", "ifb7", "type", "ifb"]);
    host.reconfigure(PLACE, "interfaces = [\"eth-*\", \"ifb*\"]");
    let edge = start(&host);
    await_protection(&host, "eth-a", "native");
    wait_until("it is said of ifb7", SOON, || {
        host.protection("ifb7").is_err_and(|why| why.contains("an ifb"))
    });
    stop(edge);
}

#[test]
fn bridges_and_what_lies_on_other_interfaces_are_protected() {
    let host = Host::new();
    let ip = |arguments: &str| host.namespace.ip(&arguments.split(' ').collect::<Vec<_>>());
    ip("link add br0 type bridge");
    ip("link set eth-a master br0");
    ip("link add mac0 link eth-b type macvlan");
    ip("link add vx0 type vxlan id 7 dev eth-b dstport 4789");
    let devices = [
        ("br0", "tc"),
        ("eth-a", "native"),
        ("mac0", "tc"),
        ("vx0", "tc"),
        ("lo", "tc"),
    ];
    let names = devices.map(|(name, _)| format!("\"{name}\"")).join(", ");
    host.reconfigure(PLACE, &format!("interfaces = [{names}]"));
    let edge = start(&host);
    for (name, mode) in devices {
        await_protection(&host, name, mode);
    }
    // A detached program comes back.
    let link = host.pin_folder().join("link-tc-br0");
    std::fs::remove_file(link).unwrap();
    await_protection(&host, "br0", "tc");
    wait_until("its link is pinned again", SOON, || {
        is_pinned(&host, "link-tc-br0")
    });
    stop(edge);
}

fn is_pinned(host: &Host, name: &str) -> bool {
    Path::exists(&host.pin_folder().join(name))
}

#[test]
fn the_interfaces_of_the_default_routes_are_followed() {
    let (host, clients) = with_clients();
    let sink = sink(&host);
    host.reconfigure(PLACE, "interfaces = \"auto\"\nexclude_interfaces = [\"eth-*\"]");
    let edge = start(&host);
    wait_until("that nothing is protected is said", SOON, || {
        host.protection("auto") == Err("there is no default route".to_owned())
    });
    assert!(!host.edge(&["status"]).status.success());
    host.namespace
        .ip(&["route", "add", "default", "via", "198.51.100.2"]);
    await_protection(&host, "to-clients", "native");
    ban(&host);
    expect_only_the_innocent(&clients, &sink);
    // A route that goes for a moment takes no protection with it.
    host.namespace.ip(&["route", "del", "default"]);
    host.namespace.ip(&["link", "set", "peer-a", "up"]);
    host.namespace.ip(&["route", "add", "default", "dev", "peer-a"]);
    await_protection(&host, "peer-a", "native");
    assert_eq!(host.protection("to-clients"), Ok("native".to_owned()));
    stop(edge);
    // What is excluded is not taken.
    host.namespace.ip(&["route", "del", "default"]);
    host.namespace.ip(&["route", "add", "default", "dev", "eth-b"]);
    let edge = start(&host);
    wait_until("that nothing is protected is said", SOON, || {
        host.protection("auto").is_err()
    });
    stop(edge);
}

#[test]
fn patterns_take_interfaces_as_they_come() {
    let host = Host::new();
    host.reconfigure(
        PLACE,
        "interfaces = [\"eth-*\", \"peer-a\"]\nexclude_interfaces = [\"*-b\"]",
    );
    let edge = start(&host);
    for name in ["eth-a", "peer-a"] {
        await_protection(&host, name, "native");
    }
    assert!(host.protection("eth-b").is_err());
    host.namespace.ip(&["link", "add", "eth-c", "type", "veth"]);
    await_protection(&host, "eth-c", "native");
    host.namespace.ip(&["link", "del", "eth-c"]);
    wait_until("nobody misses it", SOON, || {
        host.protection("eth-c").is_err() && host.edge(&["status"]).status.success()
    });
    stop(edge);
}

#[test]
fn bans_may_be_limited_to_ports() {
    let (host, clients) = with_clients();
    let (open, closed) = (sink(&host), sink(&host));
    let port = closed.address().port();
    host.reconfigure(PLACE, &format!("interfaces = [\"to-clients\"]\nports = [{port}]"));
    let edge = start(&host);
    ban(&host);
    expect_only_the_innocent(&clients, &closed);
    let banned: IpAddr = BANNED.parse().unwrap();
    udp::send(&clients, banned, open.address(), 20).unwrap();
    wait_until("other ports are open", SOON, || open.received_from(banned) == 20);
    stop(edge);
    // The next start decides anew.
    host.reconfigure(PLACE, "interfaces = [\"to-clients\"]");
    let edge = start(&host);
    expect_only_the_innocent(&clients, &open);
    stop(edge);
}

#[test]
fn a_test_asks_the_kernel_and_says_why() {
    let (host, clients) = with_clients();
    let sink = sink(&host);
    let test = |arguments: &[&str]| {
        let output = host.edge(&[&["test"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_refused(
        &host.edge(&["test", BANNED]),
        UNAVAILABLE,
        &["SecBeat is not active on this host"],
    );
    host.reconfigure(PLACE, "interfaces = [\"to-clients\"]\nports = [443]");
    let edge = start(&host);
    assert!(
        test(&[BANNED])
            .contains("passes a TCP packet to port 443 from 198.51.100.7\nwhy        it is not banned\n")
    );
    ban(&host);
    let said = test(&[BANNED]);
    assert!(
        said.starts_with("the kernel DROPS a TCP packet to port 443 from 198.51.100.7\n"),
        "{said}"
    );
    assert!(
        said.contains("why        198.51.100.7/32 is banned: manual\n"),
        "{said}"
    );
    assert!(said.ends_with("enforced   on to-clients (native)\n"), "{said}");
    for other in [&[BANNED, "--port", "22"][..], &[BANNED, "--protocol", "icmp"]] {
        let said = test(other);
        assert!(
            said.contains("passes") && said.contains("bans do not reach this port"),
            "{said}"
        );
    }
    assert!(host.edge(&["ban", "2001:db8:bad:1::7"]).status.success());
    assert!(test(&["2001:db8:bad:1::8", "--protocol", "udp"]).contains("DROPS a UDP packet to port 443"));
    assert!(test(&["2001:db8:bad:2::8"]).contains("it is not banned"));
    assert!(host.edge(&["mode", "observe"]).status.success());
    assert!(test(&[BANNED]).contains("it is banned, but the mode is observe"));
    assert!(host.edge(&["mode", "enforce"]).status.success());
    // As the wire has it, also without the daemon.
    stop(edge);
    assert!(test(&["::ffff:198.51.100.7"]).contains("DROPS a TCP packet"));
    drop((clients, sink));
}

#[test]
fn what_cannot_be_said_of_interfaces_and_ports_is_refused() {
    let host = Host::new();
    for (to, parts) in [
        (
            "interfaces = \"eth0\"",
            ["kernel.interfaces", "list of names, such as [\"eth0\"]"],
        ),
        ("interfaces = [\"eth[\"]", ["kernel.interfaces", "`eth[`"]),
        ("interfaces = []", ["kernel.interfaces", "at least one interface"]),
        ("ports = []", ["kernel.ports", "bans would reach nothing"]),
        ("ports = [0]", ["kernel.ports", "1 to 65535"]),
        ("ports = \"http\"", ["kernel.ports", "such as [80, 443]"]),
        ("attach = \"generic\"", ["kernel.attach", "generic"]),
    ] {
        host.reconfigure(PLACE, to);
        assert_refused(&host.edge(&["check"]), USAGE, &parts);
    }
}
