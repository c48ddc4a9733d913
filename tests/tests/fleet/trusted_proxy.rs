//! Clients that come through a trusted proxy: each is banned at L7 for what it does itself, and the proxy never is.

use std::{net::IpAddr, time::Duration};

use secbeat_tests::lab::{
    chain::{self, APPENDS, FORWARDED, HIDES, SETS, cdn_keys, front, join_cdn, neighbour},
    client::Client,
    fleet::{Family, Fleet, Options},
    wait::wait_until,
};

/// The owner's default.
const ERRORS: u64 = 50;
/// Long enough for a ban to come.
const PATIENCE: Duration = Duration::from_secs(10);

fn fleet(header: &str, options: Options) -> Fleet {
    let fleet = Fleet::start(&Options {
        ban: "1h",
        more_keys: cdn_keys(header),
        ..options
    });
    join_cdn(&fleet);
    fleet
}

/// One request for a missing page through the proxy, and its status.
fn ask(fleet: &Fleet, source: IpAddr, port: u16, headers: &[(&str, &str)]) -> u16 {
    let family = if source.is_ipv4() { Family::V4 } else { Family::V6 };
    let url = format!("http://{}/missing", front(family, port));
    let mut client = Client::new(&fleet.attacker).with_source(source);
    client
        .request("GET", &url, headers, b"")
        .unwrap_or_else(|error| panic!("{source} asks the proxy: {error}"))
        .status
}

/// Bans as a daemon's command line shows them: target and layer.
fn listed(fleet: &Fleet, daemon: &str) -> Vec<(String, String)> {
    let output = fleet.cli(daemon, &["bans", "-o", "json"]);
    assert!(output.status.success(), "{output:?}");
    let bans: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let text = |ban: &serde_json::Value, key: &str| ban[key].as_str().unwrap().to_owned();
    let mut listed: Vec<_> = bans
        .iter()
        .map(|ban| (text(ban, "target"), text(ban, "layer")))
        .collect();
    listed.sort();
    listed
}

fn source(address: IpAddr) -> String {
    secbeat_common::prefix::Prefix::single(address).to_string()
}

/// Makes errors through the proxy until the client is refused, and checks that it alone is, and where.
fn is_banned_at_l7_alone(fleet: &Fleet, family: Family, port: u16, headers: &[(&str, &str)]) {
    let client = family.attacker();
    for n in 1..=ERRORS {
        assert_eq!(ask(fleet, client, port, headers), 404, "request {n}");
    }
    wait_until("the client is refused", PATIENCE, || {
        ask(fleet, client, port, headers) == 403
    });
    assert_eq!(ask(fleet, neighbour(family), port, headers), 404, "the neighbour");
    for daemon in ["edge", "orchestrator"] {
        let bans = listed(fleet, daemon);
        assert!(
            bans.contains(&(source(client), "l7".to_owned())),
            "{daemon}: {bans:?}"
        );
        let expected = if family == Family::V4 { 1 } else { 2 };
        assert_eq!(bans.len(), expected, "somebody else is banned: {bans:?}");
    }
    for address in chain::CDN
        .map(|cdn| cdn.parse().unwrap())
        .into_iter()
        .chain([client])
    {
        assert_eq!(fleet.ban_of(address), None, "{address} is banned in the kernel");
    }
}

#[test]
fn behind_a_proxy_the_client_is_banned_at_l7_whatever_it_claims_and_the_proxy_never() {
    let victim = "192.0.2.77";
    for (header, port, forged) in [
        ("x-forwarded-for", APPENDS, victim),
        ("forwarded", FORWARDED, "for=192.0.2.77, for=\""),
        ("cf-connecting-ip", SETS, victim),
    ] {
        let fleet = fleet(header, Options::default());
        let _cdn = chain::nginx_cdn(&fleet);
        for family in Family::BOTH {
            let headers = match family {
                Family::V4 => [(header, forged), ("x-real-ip", victim)],
                Family::V6 => [(header, "junk,,\"\\"), ("true-client-ip", victim)],
            };
            is_banned_at_l7_alone(&fleet, family, port, &headers);
        }
    }
}

#[test]
fn a_header_from_somebody_else_than_the_proxy_counts_for_nothing() {
    let fleet = fleet("x-forwarded-for", Options::default());
    let victim = neighbour(Family::V4);
    for family in Family::BOTH {
        let url = format!("http://{}/missing", family.edge_for_attacker());
        let mut attacker = fleet.attacking(family);
        let forged = [
            ("x-forwarded-for", "198.51.100.9"),
            ("forwarded", "for=198.51.100.9"),
        ];
        for n in 1..=ERRORS {
            let answer = attacker.request("GET", &url, &forged, b"").unwrap();
            assert_eq!(answer.status, 404, "request {n}");
        }
        fleet.await_ban(family.attacker());
    }
    assert_eq!(fleet.ban_of(victim), None);
    assert_eq!(listed(&fleet, "orchestrator").len(), 2);
}

#[test]
fn what_the_proxy_does_not_tell_is_served_counted_and_blamed_on_nobody() {
    let fleet = fleet("x-forwarded-for", Options::default());
    let _cdn = chain::nginx_cdn(&fleet);
    for family in Family::BOTH {
        for n in 0..ERRORS + 10 {
            assert_eq!(ask(&fleet, family.attacker(), HIDES, &[]), 404, "request {n}");
        }
    }
    let unattributed = |why: &str| fleet.edge_stats().unwrap()["unattributed"][why].as_u64();
    assert_eq!(unattributed("hidden"), Some(2 * (ERRORS + 10)));
    assert_eq!(unattributed("malformed"), Some(0));
    // Whoever asks after it is all that was reported.
    assert_eq!(ask(&fleet, neighbour(Family::V6), APPENDS, &[]), 404);
    fleet.await_events(1);
    assert_eq!(fleet.orchestrator_stats().unwrap()["events"], 1);
    assert_eq!(listed(&fleet, "orchestrator"), []);
}

#[test]
fn a_ban_at_l7_outlives_the_edge_and_deepens_once_its_client_comes_by_itself() {
    let mut fleet = fleet("x-forwarded-for", Options::default());
    let _cdn = chain::nginx_cdn(&fleet);
    for family in Family::BOTH {
        is_banned_at_l7_alone(&fleet, family, APPENDS, &[]);
    }
    fleet.kill_edge();
    fleet.restart_edge();
    for family in Family::BOTH {
        assert_eq!(ask(&fleet, family.attacker(), APPENDS, &[]), 403, "{family:?}");
        assert_eq!(ask(&fleet, neighbour(family), APPENDS, &[]), 404, "{family:?}");
        assert_eq!(fleet.ban_of(family.attacker()), None);
    }
    fleet.bounce_orchestrator();
    for family in Family::BOTH {
        // Refused from the first request on, and dropped once it has made too many.
        let url = format!("http://{}/missing", family.edge_for_attacker());
        for n in 1..=ERRORS {
            assert_eq!(fleet.attacking(family).get(&url).unwrap(), 403, "request {n}");
        }
        let ban = fleet.await_ban(family.attacker());
        assert_eq!(ban.strikes, 0, "the same offence");
        let bans = listed(&fleet, "orchestrator");
        assert!(
            bans.contains(&(source(family.attacker()), "kernel".to_owned())),
            "{bans:?}"
        );
        assert_eq!(bans.len(), 2);
        // Its packets of its own are dropped, and those of the proxy are not.
        assert_eq!(ask(&fleet, family.attacker(), APPENDS, &[]), 403);
        assert_eq!(ask(&fleet, neighbour(family), APPENDS, &[]), 404);
    }
}

#[test]
fn operators_bans_hold_behind_proxies_too_where_the_edge_enforces_in_the_kernel_alone() {
    let fleet = fleet(
        "x-forwarded-for",
        Options {
            enforcement: "kernel",
            ..Options::default()
        },
    );
    let _cdn = chain::nginx_cdn(&fleet);
    for family in Family::BOTH {
        let address = family.attacker().to_string();
        let output = fleet.cli("orchestrator", &["ban", &address, "--duration", "1h"]);
        assert!(output.status.success(), "{output:?}");
        fleet.await_ban(family.attacker());
        assert_eq!(ask(&fleet, family.attacker(), APPENDS, &[]), 403);
        assert_eq!(ask(&fleet, neighbour(family), APPENDS, &[]), 404);
    }
}

#[test]
fn a_trusted_proxy_is_not_banned_even_if_the_fleet_says_so() {
    let fleet = fleet("x-forwarded-for", Options::default());
    let _cdn = chain::nginx_cdn(&fleet);
    for (family, cdn) in Family::BOTH.into_iter().zip(chain::CDN) {
        // The orchestrator has not been told of the proxy.
        let output = fleet.cli("orchestrator", &["ban", cdn]);
        assert!(output.status.success(), "{output:?}");
        // Later orders have been obeyed, so that one has been refused.
        let after = fleet.cli("orchestrator", &["ban", &neighbour(family).to_string()]);
        assert!(after.status.success(), "{after:?}");
        fleet.await_ban(neighbour(family));
        assert_eq!(ask(&fleet, family.attacker(), APPENDS, &[]), 404);
    }
    // Of IPv6 the /64 around it is banned, and lets the proxy pass.
    let refused = fleet.cli("edge", &["ban", chain::CDN[0]]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("is allowlisted on this host"), "{said}");
    assert_eq!(fleet.ban_of(chain::CDN[0].parse().unwrap()), None);
    let allowed = fleet.cli("edge", &["allowed"]);
    let allowed = String::from_utf8(allowed.stdout).unwrap();
    assert_eq!(allowed.matches("trusted-proxy").count(), 2, "{allowed}");
}

#[test]
fn the_proxy_protocol_names_the_client_from_the_trusted_proxy_alone() {
    let fleet = fleet(
        "x-forwarded-for",
        Options {
            proxy_keys: "proxy_protocol = true".to_owned(),
            ..Options::default()
        },
    );
    let _cdn = chain::haproxy_cdn(&fleet);
    let stat = |key: &str| fleet.edge_stats().unwrap()[key].as_u64().unwrap();
    for family in Family::BOTH {
        // A header counts for nothing here: whom the PROXY header names is no proxy.
        is_banned_at_l7_alone(&fleet, family, APPENDS, &[("x-forwarded-for", "192.0.2.77")]);
        let before = stat("proxy_protocol_refused");
        let url = format!("http://{}/missing", family.edge_for_attacker());
        fleet.attacking(family).get(&url).unwrap_err();
        assert_eq!(stat("proxy_protocol_refused"), before + 1);
    }
    wait_until("the proxy's own questions count for nobody", PATIENCE, || {
        fleet.edge_stats().unwrap()["unattributed"]["local"].as_u64() > Some(0)
    });
}
