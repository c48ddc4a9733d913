//! Certificates and keys of the bus are renewed while the fleet runs.

use std::time::Duration;

use secbeat_tests::lab::{
    fleet::{Fleet, Options},
    pair::FIRST,
    wait::wait_until,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(15);

fn ban(fleet: &Fleet, target: &str) {
    let body = format!("{{\"target\":\"{target}\",\"duration\":\"1h\"}}");
    wait_until(&format!("{target} is banned"), PATIENCE, || {
        let answer = fleet.order(FIRST, "POST", "/api/v1/bans", &body);
        answer.is_ok_and(|answer| answer.status == 201)
    });
    fleet.await_ban(target.parse().unwrap());
}

/// When the certificate of NATS ends, as a daemon says.
fn server_ends(stats: Option<&Value>) -> Option<i64> {
    let certificates = stats?["bus_certificates"].as_array()?;
    let of_server = |certificate: &&Value| {
        let name = certificate["name"].as_str();
        name.is_some_and(|name| name.starts_with("nats-server "))
    };
    certificates.iter().find(of_server)?["expires_at_seconds"].as_i64()
}

#[test]
fn certificates_and_keys_are_renewed_without_a_new_fleet() {
    let mut fleet = Fleet::start(&Options {
        secured: true,
        ..Options::default()
    });
    let year = 365 * 24 * 3600;
    for daemon in ["edge", "orchestrator"] {
        let ends = wait_until("the certificate of NATS is known", PATIENCE, || {
            let stats = match daemon {
                "edge" => fleet.edge_stats(),
                _ => fleet.orchestrator_stats(),
            };
            server_ends(stats.as_ref())
        });
        let lasts = ends - secbeat_daemon::time::now_ms() / 1000;
        assert!((year..=2 * year).contains(&lasts), "{lasts} s");
        let status = fleet.cli(daemon, &["status"]);
        let status = String::from_utf8_lossy(&status.stdout).into_owned();
        assert!(
            status.contains("fleet-ca until ") && !status.contains("EXPIRES SOON"),
            "{status}"
        );
    }

    // New certificates: nobody has to do anything, also not who connects anew.
    fleet.nats.change_fleet(&["init", "--renew"]);
    ban(&fleet, "192.0.2.1");
    fleet.nats.restart();
    ban(&fleet, "192.0.2.2");

    // New credentials of the edge, whose earlier ones hold until it has them.
    fleet.nats.change_fleet(&["enroll", "--renew", "edge-1"]);
    ban(&fleet, "192.0.2.3");
    let credentials = fleet.nats.fleet().join("credentials/edge-1.toml");
    let installed = fleet.cli("edge", &["enroll", "--replace", credentials.to_str().unwrap()]);
    assert!(installed.status.success(), "{installed:?}");
    fleet.edge.terminate(PATIENCE);
    fleet.restart_edge();
    ban(&fleet, "192.0.2.4");
    fleet.nats.change_fleet(&["enroll", "--retire", "edge-1"]);
    ban(&fleet, "192.0.2.5");
    assert!(
        fleet
            .edge_stats()
            .is_some_and(|stats| stats["bus_connected"] == true)
    );
}
