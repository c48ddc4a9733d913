//! Feeds through the whole loop: from a list to the kernel of an edge, and out of it again.

use std::{fs, process::Output, time::Duration};

use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    wait::wait_until,
};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);

#[track_caller]
fn told(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn is_served(fleet: &Fleet) -> bool {
    let url = format!("http://{}/", Family::V4.edge_for_attacker());
    let mut client = fleet
        .attacking(Family::V4)
        .with_timeout(Duration::from_millis(500));
    client.get(&url).is_ok_and(|status| status == 200)
}

/// What the orchestrator says of the only feed.
fn shown(fleet: &Fleet) -> Value {
    let listed = told(&fleet.cli("orchestrator", &["feed", "list", "-o", "json"]));
    serde_json::from_str::<Value>(&listed).unwrap()[0].clone()
}

#[test]
fn what_a_feed_lists_is_dropped_until_it_lists_it_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list");
    let attacker = Family::V4.attacker();
    let others = "192.0.2.0/24\n10.0.0.0/8\n2001:db8:ffff::/48\n";
    fs::write(&list, others).unwrap();
    let config = format!(
        "[[feed]]\nname = \"drop\"\nfile = \"{}\"\nmode = \"ban\"\n",
        list.display()
    );
    let mut fleet = Fleet::start(&Options {
        enforcement: "kernel",
        secured: true,
        more_orchestrator_config: config,
        ..Options::default()
    });
    wait_until("the edge has the feed in force", SOON, || {
        shown(&fleet)["edges"] == 1
    });
    let feed = shown(&fleet);
    assert_eq!(
        (&feed["state"], &feed["networks"]),
        (&"fresh".into(), &2.into()),
        "{feed}"
    );
    assert!(is_served(&fleet));

    fs::write(&list, format!("{attacker}\n{others}")).unwrap();
    let diff = told(&fleet.cli("orchestrator", &["feed", "diff", "drop"]));
    assert_eq!(
        diff,
        format!("+ {attacker}/32\n1 networks would be added, 0 removed, of 3\n")
    );
    let updated = told(&fleet.cli("orchestrator", &["feed", "update", "drop"]));
    assert_eq!(updated, "drop: 3 networks, 1 added, 0 removed\n");
    wait_until("the attacker is dropped", SOON, || !is_served(&fleet));
    wait_until("the fleet knows what the feed met", SOON, || {
        shown(&fleet)["packets"]
            .as_u64()
            .is_some_and(|packets| packets > 0)
    });
    let tested = told(&fleet.cli("edge", &["test", &attacker.to_string()]));
    assert!(tested.contains("drop"), "{tested}");
    let why = told(&fleet.cli("orchestrator", &["why", &attacker.to_string()]));
    assert!(
        why.contains("is on the list of the feed drop (mode ban)"),
        "{why}"
    );
    let lifted = fleet.cli("orchestrator", &["unban", &attacker.to_string()]);
    let said = String::from_utf8_lossy(&lifted.stderr);
    assert!(
        !lifted.status.success() && said.contains("is on the list of the feed drop"),
        "{said}"
    );

    // The next start hears nothing of NATS.
    fleet.nats.kill9();
    fleet.kill_edge();
    fleet.start_edge();
    wait_until("the edge has it without NATS", SOON, || {
        fleet
            .edge_stats()
            .is_some_and(|stats| stats["lists"]["lists"][0]["in_force"] == true)
    });
    assert!(!is_served(&fleet));
    fleet.nats.restart();
    fleet.await_edge();

    // A list that breaks off is not taken, whoever is on it.
    fs::write(&list, "192.0.2.0/24\n").unwrap();
    wait_until("it is refused", SOON, || {
        let refused = fleet.cli("orchestrator", &["feed", "update", "drop"]);
        String::from_utf8_lossy(&refused.stdout).contains("drop: NOT TAKEN: it has 1 entries, and had 4")
    });
    let alerts = fleet.cli("orchestrator", &["alerts"]);
    assert!(
        String::from_utf8_lossy(&alerts.stdout).contains("feed-refused"),
        "{alerts:?}"
    );
    assert!(!is_served(&fleet));
    told(&fleet.cli("orchestrator", &["feed", "update", "--force", "drop"]));
    wait_until("the attacker is served", SOON, || is_served(&fleet));
}
