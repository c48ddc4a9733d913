//! Sources wider than an address, from the config to the kernel.

use std::{net::IpAddr, time::Duration};

use secbeat_tests::lab::{
    client::Client,
    fleet::{Family, Fleet, Front, Options},
    wait::wait_until,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);
/// Two addresses of each source, a neighbour that is not of it, and the source: a /30 or a /60.
const SOURCES: [(Family, [&str; 2], &str, &str); 2] = [
    (
        Family::V4,
        ["198.51.100.5", "198.51.100.6"],
        "198.51.100.9",
        "198.51.100.4/30",
    ),
    (
        Family::V6,
        ["2001:db8:a:10::5", "2001:db8:a:1f::6"],
        "2001:db8:a:20::9",
        "2001:db8:a:10::/60",
    ),
];

fn fleet(front: Front) -> Fleet {
    let mut fleet = Fleet::start(&Options {
        front,
        more_orchestrator_config: "[detect]\nsources = { ipv4 = 30, ipv6 = 60 }\n".to_owned(),
        ..Options::default()
    });
    fleet
        .edge
        .wait_for_log("read source prefixes sources=IPv4 /30 and IPv6 /60", PATIENCE);
    for (_, members, neighbour, _) in SOURCES {
        for address in members.into_iter().chain([neighbour]) {
            let len = if address.contains(':') { 48 } else { 24 };
            fleet.attacker.add_address("eth0", &format!("{address}/{len}"));
        }
    }
    fleet
}

/// `count` requests for missing pages by `address`; the answers' statuses.
fn errors(fleet: &Fleet, family: Family, address: &str, count: u64) -> Vec<std::io::Result<u16>> {
    let mut client = Client::new(&fleet.attacker)
        .with_source(address.parse().unwrap())
        .with_timeout(Duration::from_millis(500));
    let url = |n| format!("http://{}/missing-{n}", family.edge_for_attacker());
    (0..count).map(|n| client.get(&url(n))).collect()
}

fn bans(fleet: &Fleet) -> Vec<String> {
    let listed = fleet.cli("edge", &["bans", "-o", "json"]).stdout;
    let listed: Vec<Value> = serde_json::from_slice(&listed).unwrap();
    let target = |ban: &Value| ban["target"].as_str().unwrap().to_owned();
    listed.iter().map(target).collect()
}

#[test]
fn the_addresses_of_a_wider_source_are_counted_and_banned_as_one() {
    for front in [Front::Proxy, Front::Nginx] {
        let fleet = fleet(front);
        let mut seen = 0;
        for (family, [first, second], neighbour, source) in SOURCES {
            for (address, count) in [(first, 25), (second, 24), (neighbour, 30)] {
                for answer in errors(&fleet, family, address, count) {
                    assert_eq!(answer.unwrap(), 404, "{address}");
                }
                seen += count;
            }
            fleet.await_events(seen);
            assert!(!bans(&fleet).contains(&source.to_owned()), "49 errors ban");
            assert_eq!(*errors(&fleet, family, first, 1)[0].as_ref().unwrap(), 404);
            seen += 1;
            wait_until(&format!("{source} is banned"), PATIENCE, || {
                bans(&fleet).contains(&source.to_owned())
            });
            for member in [first, second] {
                assert!(
                    errors(&fleet, family, member, 1)[0].is_err(),
                    "{member} is served"
                );
            }
            assert_eq!(*errors(&fleet, family, neighbour, 1)[0].as_ref().unwrap(), 404);
            seen += 1;
            let why = fleet.cli("orchestrator", &["why", second, "-o", "json"]).stdout;
            let why: Value = serde_json::from_slice(&why).unwrap();
            assert_eq!(
                (&why["source"], &why["bans"][0]["target"]),
                (&source.into(), &source.into())
            );
            let told = why["events"].as_array().unwrap();
            let clients = |address: &str| {
                let of_it =
                    |event: &&Value| event["client"].as_str().unwrap().parse() == address.parse::<IpAddr>();
                told.iter().filter(of_it).count()
            };
            assert_eq!((clients(first), clients(second)), (26, 24), "{why:#}");
        }
        assert_eq!(bans(&fleet).len(), SOURCES.len(), "{front:?}");
    }
}
