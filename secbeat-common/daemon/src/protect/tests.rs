use super::*;

/// 2026-11-20T10:00:00Z.
const NOW_MS: i64 = 1_795_168_800_000;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn collect_from_nothing(known: &Known) -> HashMap<Prefix, u32> {
    collect(known, &known.resolve(&Names::default()), &HashMap::new(), NOW_MS)
}

fn entry(network: &str, until: Option<&str>) -> Allowed {
    Allowed {
        network: prefix(network),
        comment: String::new(),
        until: until.map(|until| until.parse().unwrap()),
    }
}

#[test]
fn the_host_itself_is_protected() {
    let protected = Protected::new(collect_from_nothing(&Known::default()));
    assert!(protected.contains("127.0.0.1".parse().unwrap()));
    assert!(protected.contains("::1".parse().unwrap()));
    assert!(!protected.contains("198.51.100.7".parse().unwrap()));
}

#[test]
fn configured_networks_proxies_upstream_bus_and_operator_are_protected() {
    let known = Known {
        configured: vec![entry("203.0.113.0/24", None)],
        trusted_proxies: vec![prefix("2001:db8:ff::/48"), prefix("203.0.113.0/24")],
        bus: vec![("192.0.2.9".to_owned(), 4222), ("192.0.2.10".to_owned(), 4222)],
        upstreams: vec![("2001:db8::5".to_owned(), 80)],
        operator: Some("198.51.100.7".parse().unwrap()),
    };
    let nets = collect_from_nothing(&known);
    for (net, reason) in [
        ("203.0.113.0/24", allow::CONFIGURED),
        ("2001:db8:ff::/48", allow::TRUSTED_PROXY),
        ("192.0.2.9/32", allow::BUS),
        ("192.0.2.10/32", allow::BUS),
        ("2001:db8::5/128", allow::UPSTREAM),
        ("198.51.100.7/32", allow::SSH_PEER),
    ] {
        assert_eq!(nets.get(&prefix(net)), Some(&reason), "{net}");
    }
}

#[test]
fn a_configured_entry_protects_until_its_end_and_no_longer() {
    let known = Known {
        configured: vec![
            entry("203.0.113.0/24", Some("2026-11-20T10:00:00.001Z")),
            entry("198.51.100.0/24", Some("2026-11-20T10:00:00Z")),
        ],
        ..Known::default()
    };
    let nets = collect_from_nothing(&known);
    assert!(nets.contains_key(&prefix("203.0.113.0/24")));
    assert!(!nets.contains_key(&prefix("198.51.100.0/24")));
}

#[test]
fn a_server_that_cannot_be_resolved_stays_protected_where_it_was() {
    let known = Known {
        bus: vec![("nats.invalid".to_owned(), 4222)],
        ..Known::default()
    };
    let before = Names {
        bus: vec![vec!["192.0.2.10".parse().unwrap()]],
        ..Names::default()
    };
    assert_eq!(known.resolve(&before), before);
}

#[test]
fn what_cannot_be_read_keeps_whom_it_protected() {
    let before = HashMap::from([
        (prefix("192.0.2.53/32"), allow::RESOLVER),
        (prefix("192.0.2.1/32"), allow::GATEWAY),
    ]);
    let failed = Err(io::Error::other("too many open files"));
    assert_eq!(
        found_or_kept(allow::RESOLVER, failed, &before),
        ["192.0.2.53".parse::<IpAddr>().unwrap()]
    );
    assert!(found_or_kept(allow::RESOLVER, Ok(Vec::new()), &before).is_empty());
}

#[test]
fn one_protected_address_does_not_protect_its_neighbours() {
    let protected = Protected::new(HashMap::from([(prefix("2001:db8::5/128"), 1)]));
    assert!(protected.contains("2001:db8::5".parse().unwrap()));
    assert!(!protected.contains("2001:db8::6".parse().unwrap()));
    assert!(!protected.covers(&prefix("2001:db8::/64")));
    assert!(protected.replace(HashMap::from([(prefix("2001:db8::/32"), 1)])));
    assert!(protected.covers(&prefix("2001:db8::/64")));
}
