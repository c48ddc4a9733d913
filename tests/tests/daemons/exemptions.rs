//! `secbeat-edge allowlist` and `unban --except`: whom operators of one host let through at run time.

use std::{process::Output, time::Duration};

use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    host::assert_refused,
    wait::wait_until,
};

const FAILURE: i32 = 1;
const NOT_FOUND: i32 = 3;
const SOON: Duration = Duration::from_secs(20);

const NET: &str = "198.51.100.0/24";
const CLIENT: &str = "198.51.100.2";
const EXEMPT: [&str; 3] = ["unban", CLIENT, "--except"];

#[track_caller]
fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn edge(fleet: &Fleet, arguments: &[&str]) -> String {
    stdout(&fleet.cli("edge", arguments))
}

/// What the kernel does with a packet of the client, and why.
fn judged(fleet: &Fleet) -> String {
    edge(fleet, &["test", CLIENT])
}

fn is_served(fleet: &Fleet) -> bool {
    let url = format!("http://{}/", Family::V4.edge_for_attacker());
    let client = fleet.attacking(Family::V4);
    let answer = client.with_timeout(Duration::from_millis(300)).get(&url);
    answer.is_ok_and(|status| status == 200)
}

#[track_caller]
fn assert_exempts(said: &str) {
    assert!(
        said.starts_with("allowlisted 198.51.100.2/32 on this host for "),
        "{said}"
    );
    assert!(said.ends_with("; 198.51.100.0/24 stays banned\n"), "{said}");
}

#[test]
fn an_address_of_a_banned_network_is_exempt_on_this_host_over_restarts_of_the_daemon() {
    let mut fleet = Fleet::start(&Options::default());
    edge(&fleet, &["ban", NET, "--duration", "1h"]);
    assert!(!is_served(&fleet));
    let would = edge(&fleet, &[&EXEMPT[..], &["--dry-run"]].concat());
    assert_eq!(would, "would allowlist 198.51.100.2/32 on this host\n");
    assert!(!is_served(&fleet));

    assert_exempts(&edge(&fleet, &EXEMPT));
    assert!(is_served(&fleet));
    let judged_with = judged(&fleet);
    for part in [
        "the kernel passes",
        "it is banned",
        "but allowlisted: 198.51.100.2/32 (local, until 2",
        ", exempt from the ban of 198.51.100.0/24)",
    ] {
        assert!(judged_with.contains(part), "no `{part}` in {judged_with}");
    }
    let listed = edge(&fleet, &["allowlist", "list", "-o", "json"]);
    let entries: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&entries[0]["network"], &entries[0]["added_by"]),
        (&"198.51.100.2/32".into(), &"root".into())
    );
    assert!(entries[0]["ends_in_ms"].as_i64().unwrap() > 3_000_000, "{listed}");
    let allowed = edge(&fleet, &["allowed"]);
    assert!(
        allowed.contains("local") && allowed.contains("exempt from the ban of"),
        "{allowed}"
    );
    let status = edge(&fleet, &["status"]);
    assert!(
        status.contains("allowlist  1 of this host's operators"),
        "{status}"
    );
    let again = fleet.cli("edge", &EXEMPT);
    assert!(
        String::from_utf8_lossy(&again.stderr).contains("at least as long already"),
        "{again:?}"
    );
    let not_around = fleet.cli("edge", &["unban", "192.0.2.77", "--except"]);
    assert_refused(
        &not_around,
        NOT_FOUND,
        &["no banned network is around 192.0.2.77/32"],
    );

    fleet.kill_edge();
    assert!(judged(&fleet).contains("the kernel passes"));
    fleet.restart_edge();
    wait_until("the client is served by the next daemon", SOON, || {
        is_served(&fleet)
    });

    let remove = ["allowlist", "remove", CLIENT];
    assert_eq!(
        edge(&fleet, &remove),
        "removed 198.51.100.2/32 from this host's allowlist\n"
    );
    assert!(!is_served(&fleet));
    let absent = ["198.51.100.2/32 is not on the allowlist of this host"];
    assert_refused(&fleet.cli("edge", &remove), NOT_FOUND, &absent);
}

#[test]
fn an_exemption_is_made_and_taken_back_without_the_daemon() {
    let mut fleet = Fleet::start(&Options::default());
    edge(&fleet, &["ban", NET, "--duration", "1h"]);
    fleet.kill_edge();
    assert!(judged(&fleet).contains("the kernel DROPS"));
    let exempt = fleet.cli("edge", &EXEMPT);
    assert_exempts(&stdout(&exempt));
    let warned = String::from_utf8_lossy(&exempt.stderr);
    assert!(warned.contains("the daemon is not running"), "{warned}");
    assert!(judged(&fleet).contains("the kernel passes"));
    let listed = edge(&fleet, &["allowlist", "list"]);
    assert!(listed.contains("198.51.100.2/32"), "{listed}");
    fleet.restart_edge();
    wait_until("the client is served", SOON, || is_served(&fleet));
    assert_eq!(edge(&fleet, &["allowlist", "list"]).lines().count(), 2);

    fleet.kill_edge();
    edge(&fleet, &["allowlist", "remove", CLIENT]);
    assert!(judged(&fleet).contains("the kernel DROPS"));
    let absent = fleet.cli("edge", &["allowlist", "remove", CLIENT]);
    assert_refused(
        &absent,
        NOT_FOUND,
        &["198.51.100.2/32 is not on the allowlist of this host"],
    );
    // What the host itself needs stays, whatever operators add and remove.
    edge(&fleet, &["allowlist", "add", "198.51.100.1"]);
    edge(&fleet, &["allowlist", "remove", "198.51.100.1"]);
    let allowed = edge(&fleet, &["allowed", "-o", "json"]);
    assert!(allowed.contains("own-address"), "{allowed}");
    assert!(edge(&fleet, &["test", "198.51.100.1"]).contains("the kernel passes"));
}

#[test]
fn an_entry_of_a_hosts_allowlist_ends_and_nobody_allowlists_everybody() {
    let fleet = Fleet::start(&Options::default());
    edge(&fleet, &["ban", NET, "--duration", "1h"]);
    let said = edge(
        &fleet,
        &[
            "allowlist",
            "add",
            CLIENT,
            "--duration",
            "5s",
            "--comment",
            "office",
        ],
    );
    assert!(
        said.starts_with("allowlisted 198.51.100.2/32 for 5s on this host"),
        "{said}"
    );
    assert!(is_served(&fleet));
    wait_until("the entry has ended", SOON, || !is_served(&fleet));
    let listed = edge(&fleet, &["allowlist", "list"]);
    assert!(!listed.contains(CLIENT), "{listed}");
    for (network, why) in [
        ("0.0.0.0/0", "0.0.0.0/0 covers all addresses"),
        ("::/64", "holds addresses that stand for IPv4 clients"),
    ] {
        let refused = fleet.cli("edge", &["allowlist", "add", network]);
        assert_refused(&refused, FAILURE, &[why]);
    }
}
