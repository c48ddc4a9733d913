//! A rule that goes by requests which are no errors, from its config to the kernel.

use std::time::Duration;

use secbeat_common::maps::reason;
use secbeat_tests::lab::{
    client::Client,
    fleet::{Family, Fleet, Front, Options},
    wait::wait_until,
};

const PATIENCE: Duration = Duration::from_secs(20);
const POSTS: u64 = 20;
const RULE: &str = r#"
[[rule]]
name = "login-flood"
counts = "requests"
methods = ["POST"]
paths = ["/login"]
threshold = 20
window = "60s"
"#;

fn fleet(front: Front) -> Fleet {
    Fleet::start(&Options {
        front,
        enforcement: "kernel",
        more_orchestrator_config: RULE.to_owned(),
        ..Options::default()
    })
}

fn await_interest(fleet: &mut Fleet, filters: usize) {
    fleet
        .edge
        .wait_for_log(&format!("read telemetry filters filters={filters}"), PATIENCE);
}

fn ask(client: &mut Client, method: &str, url: &str, times: u64) {
    for n in 1..=times {
        let answer = client.request(method, url, &[], b"").unwrap();
        assert_eq!(answer.status, 200, "{method} number {n}");
    }
}

fn posts(fleet: &Fleet, family: Family, times: u64) {
    let url = format!("http://{}/login", family.edge_for_attacker());
    ask(&mut fleet.attacking(family), "POST", &url, times);
}

#[test]
fn whoever_posts_too_often_is_banned_and_whoever_reads_is_not() {
    for front in [Front::Proxy, Front::Nginx] {
        let mut fleet = fleet(front);
        await_interest(&mut fleet, 1);
        let mut visitor = Client::new(&fleet.visitor).with_source(Family::V4.visitor());
        let url = format!("http://{}", Family::V4.edge_for_visitor());
        ask(&mut visitor, "GET", &format!("{url}/login?from=here"), 2 * POSTS);
        ask(&mut visitor, "POST", &format!("{url}/"), 2 * POSTS);
        let mut seen = 0;
        for family in Family::BOTH {
            posts(&fleet, family, POSTS - 1);
            seen += POSTS - 1;
            fleet.await_events(seen);
            assert_eq!(
                fleet.ban_of(family.attacker()),
                None,
                "{front:?}: 19 posts banned"
            );
            posts(&fleet, family, 1);
            seen += 1;
            assert_eq!(fleet.await_ban(family.attacker()).reason, reason::OWN_RULE);
        }
        assert_eq!(fleet.ban_of(Family::V4.visitor()), None, "{front:?}");
        ask(&mut visitor, "GET", &format!("{url}/"), 1);
        // Nothing else was reported.
        assert_eq!(fleet.orchestrator_stats().unwrap()["events"], seen, "{front:?}");
    }
}

#[test]
fn the_interest_outlives_daemons_and_follows_the_config() {
    let mut fleet = fleet(Front::Proxy);
    await_interest(&mut fleet, 1);
    posts(&fleet, Family::V4, 5);
    fleet.await_events(5);

    // The bucket alone tells an edge that starts.
    fleet.orchestrator.kill9();
    fleet.kill_edge();
    fleet.restart_edge();
    await_interest(&mut fleet, 1);
    posts(&fleet, Family::V4, 5);
    // Without the bus, what was read last holds.
    fleet.nats.stop();
    wait_until("the edge has lost the bus", PATIENCE, || {
        fleet.edge.log().contains("lost NATS")
    });
    posts(&fleet, Family::V4, 5);
    fleet.nats.restart();
    fleet.bounce_orchestrator();
    posts(&fleet, Family::V6, 1);
    wait_until("what was posted without the bus has come", PATIENCE, || {
        fleet
            .orchestrator_stats()
            .is_some_and(|stats| stats["events"].as_u64() >= Some(6))
    });

    fleet.reconfigure_orchestrator(
        "methods = [\"POST\"]\npaths = [\"/login\"]",
        "paths = [\"/\"]\nstatuses = [401]",
    );
    fleet.bounce_orchestrator();
    await_interest(&mut fleet, 0);
    let before = fleet.edge_stats().unwrap()["telemetry"].clone();
    posts(&fleet, Family::V6, POSTS);
    fleet.make_errors(Family::V6, 1);
    wait_until("all is settled", PATIENCE, || {
        fleet
            .edge_stats()
            .is_some_and(|stats| stats["telemetry"] != before)
    });
    assert_eq!(fleet.ban_of(Family::V6.attacker()), None);
}
