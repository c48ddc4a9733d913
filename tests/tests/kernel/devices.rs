//! Kinds of interfaces that not every kernel makes; the guests of `cargo xtask vm` load the modules. What the edge says of each is
//! what it may say.

use std::{net::SocketAddr, time::Duration};

use secbeat_daemon::protect::default_route_interfaces;
use secbeat_tests::lab::{
    host::Host,
    netns::{End, Namespace, link},
    udp::{self, UdpSink},
    wait::wait_until,
};

/// Long, since emulated machines run this.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is expected of an interface, in a word of the reason if it is not protected.
type Expected = Result<&'static str, &'static str>;

/// How an interface is made, and what is expected of it.
const KINDS: [(&str, &str, Expected); 19] = [
    ("k-dummy", "type dummy", Ok("tc")),
    ("k-vlan", "link eth-a type vlan id 7", Ok("tc")),
    // QinQ: a tag of a provider, and one of a customer in it.
    ("k-svlan", "link eth-a type vlan proto 802.1ad id 8", Ok("tc")),
    ("k-qinq", "link k-svlan type vlan id 9", Ok("tc")),
    ("k-bond", "type bond mode active-backup", Ok("native")),
    ("k-team", "type team", Ok("tc")),
    (
        "k-gretap",
        "type gretap local 192.0.2.8 remote 192.0.2.9",
        Ok("tc"),
    ),
    ("k-gre", "type gre local 192.0.2.8 remote 192.0.2.9", Ok("tc")),
    // It takes in what any peer sends.
    ("k-gre-any", "type gre local 192.0.2.8", Err("does not read")),
    ("k-gre-flow", "type gre external", Ok("tc")),
    (
        "k-gre6",
        "type ip6gre local 2001:db8::8 remote 2001:db8::9",
        Ok("tc"),
    ),
    ("k-ipip", "type ipip local 192.0.2.8 remote 192.0.2.9", Ok("tc")),
    (
        "k-ip6tnl",
        "type ip6tnl local 2001:db8::8 remote 2001:db8::9",
        Ok("tc"),
    ),
    ("k-sit", "type sit local 192.0.2.8 remote 192.0.2.9", Ok("tc")),
    (
        "k-vti",
        "type vti local 192.0.2.8 remote 192.0.2.9 key 7",
        Ok("tc"),
    ),
    ("k-xfrm", "type xfrm if_id 7", Ok("tc")),
    // Nothing comes in by its hooks.
    ("k-ifb", "type ifb", Err("an ifb")),
    ("k-wireguard", "type wireguard", Ok("tc")),
    // Packets go past its hook.
    ("k-vrf", "type vrf table 10", Err("a VRF")),
];

fn ip(host: &Host, arguments: &str) {
    host.namespace.ip(&arguments.split(' ').collect::<Vec<_>>());
}

#[test]
#[ignore = "needs kernel modules that `cargo xtask vm` loads"]
fn every_kind_of_interface_is_protected_or_said_not_to_be() {
    let host = Host::new();
    for (name, made, ..) in KINDS {
        ip(&host, &format!("link add {name} {made}"));
    }
    ip(&host, "link set eth-b down");
    ip(&host, "link set eth-b master k-bond");
    for (name, ..) in KINDS {
        ip(&host, &format!("link set {name} up"));
    }
    let config = host.edge_config().replace("\"both\"", "\"kernel\"");
    let place = "interfaces = [\"k-*\"]\nattach = \"auto\"\nallow_generic = true";
    host.write(
        "edge.toml",
        &config.replace("interfaces = [\"eth-a\"]\nattach = \"xdp\"", place),
    );
    let mut edge = host.start_edge();
    edge.wait_for_log("running", PATIENCE);
    for (name, _, expected) in KINDS {
        let mut last = Err(String::new());
        wait_until(&format!("{name} is {expected:?}"), PATIENCE, || {
            last = host.protection(name);
            match (&last, expected) {
                (Ok(mode), Ok(expected)) => mode == expected,
                (Err(why), Err(word)) => why.contains(word),
                _ => false,
            }
        });
        println!("{name}: {last:?}");
    }
    assert!(edge.terminate(PATIENCE).success(), "{}", edge.log());
}

/// Tunnels that need nothing but their two ends, in IPv4.
const TUNNELS: [&str; 3] = ["ipip", "gre", "sit mode any"];

#[test]
#[ignore = "needs kernel modules that `cargo xtask vm` loads"]
fn who_is_banned_in_a_tunnel_is_dropped_there() {
    const BANNED: &str = "198.51.100.7";
    const INNOCENT: &str = "198.51.100.8";
    for kind in TUNNELS {
        let (host, clients) = (Host::new(), Namespace::new("clients"));
        link(
            End {
                namespace: &host.namespace,
                interface: "to-clients",
                addresses: &["192.0.2.1/24"],
            },
            End {
                namespace: &clients,
                interface: "eth0",
                addresses: &["192.0.2.2/24"],
            },
        );
        for (namespace, near, far, inner) in [
            (
                &host.namespace,
                "192.0.2.1",
                "192.0.2.2",
                &["198.51.100.1/24"][..],
            ),
            (
                &clients,
                "192.0.2.2",
                "192.0.2.1",
                &["198.51.100.7/24", "198.51.100.8/24"],
            ),
        ] {
            let made = format!("link add k-tunnel type {kind} local {near} remote {far}");
            namespace.ip(&made.split(' ').collect::<Vec<_>>());
            inner
                .iter()
                .for_each(|address| namespace.add_address("k-tunnel", address));
            namespace.ip(&["link", "set", "k-tunnel", "up"]);
        }
        let sink = UdpSink::start(&host.namespace, SocketAddr::from(([198, 51, 100, 1], 0)));
        let config = host.edge_config().replace("\"both\"", "\"kernel\"");
        let place = "interfaces = [\"k-tunnel\"]";
        host.write(
            "edge.toml",
            &config.replace("interfaces = [\"eth-a\"]\nattach = \"xdp\"", place),
        );
        let mut edge = host.start_edge();
        edge.wait_for_log("running", PATIENCE);
        let banned = host.edge(&["ban", BANNED]);
        assert!(banned.status.success(), "{kind}: {banned:?}");
        assert_eq!(host.protection("k-tunnel"), Ok("tc".to_owned()), "{kind}");
        let [banned, innocent] = [BANNED, INNOCENT].map(|address| address.parse().unwrap());
        for source in [banned, innocent] {
            udp::send(&clients, source, sink.address(), 20).unwrap();
        }
        wait_until(&format!("the innocent one is heard by {kind}"), PATIENCE, || {
            sink.received_from(innocent) == 20
        });
        assert_eq!(sink.received_from(banned), 0, "{kind}: a banned one is heard");
        assert!(edge.terminate(PATIENCE).success(), "{}", edge.log());
    }
}

/// The main table knows nothing of them.
#[test]
#[ignore = "needs kernel modules that `cargo xtask vm` loads"]
fn default_routes_of_vrfs_name_the_interfaces_in_them() {
    let host = Host::new();
    let interfaces = || host.namespace.enter(default_route_interfaces).unwrap();
    ip(&host, "link add red type vrf table 10");
    ip(&host, "link set red up");
    ip(&host, "link set eth-a master red");
    host.namespace.add_address("eth-a", "192.0.2.1/24");
    host.namespace.add_address("eth-a", "2001:db8:a::1/64");
    ip(&host, "route add unreachable default metric 4278198272 vrf red");
    assert_eq!(interfaces(), [""; 0]);
    ip(&host, "route add default via 192.0.2.2 vrf red");
    assert_eq!(interfaces(), ["eth-a"]);
    ip(&host, "route del default via 192.0.2.2 vrf red");
    assert_eq!(interfaces(), [""; 0]);
    ip(&host, "-6 route add default via 2001:db8:a::2 vrf red");
    assert_eq!(interfaces(), ["eth-a"]);
}
