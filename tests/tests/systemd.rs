//! SecBeat under systemd: its units, and what it tells PID 1.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{net::SocketAddr, process::Command, time::Duration};

use secbeat_tests::lab::{
    booted::{Booted, unit_file},
    client::Client,
    netns::{End, Namespace, link},
    nginx::Nginx,
    wait::wait_until,
};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_units_are_hardened() {
    for unit in ["secbeat-edge", "secbeat-orchestrator", "secbeat-nats"] {
        let output = Command::new("systemd-analyze")
            // Tenths: an exposure below 3.0.
            .args(["security", "--offline=true", "--threshold=29"])
            .arg(unit_file(unit))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{unit}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

#[test]
fn the_loop_runs_under_the_units_and_a_restart_or_a_hang_loses_no_enforcement() {
    let (host, attacker) = (Namespace::new("edge"), Namespace::new("attacker"));
    link(
        End {
            namespace: &host,
            interface: "to-attacker",
            addresses: &["198.51.100.1/24"],
        },
        End {
            namespace: &attacker,
            interface: "eth0",
            addresses: &["198.51.100.2/24"],
        },
    );
    let nginx = Nginx::start(&host, SocketAddr::from(([127, 0, 0, 1], 0)));
    let booted = Booted::boot(
        &host,
        &format!(
            "[kernel]\ninterfaces = [\"to-attacker\"]\n[proxy]\nlisten = \"[::]:8443\"\nupstream = \"http://{}\"\n",
            nginx.address()
        ),
    );
    let get = || {
        Client::new(&attacker)
            .with_timeout(Duration::from_millis(300))
            .get("http://198.51.100.1:8443/missing")
    };
    let bans = || booted.ask(&["secbeat-edge", "bans", "-o", "json"]);
    wait_until("the edge has heard the bus", PATIENCE, || {
        booted
            .ask(&["secbeat-edge", "check"])
            .contains("signed commands alone")
            && booted
                .ask(&["secbeat-orchestrator", "edges", "-o", "json"])
                .contains("\"up\"")
    });
    for n in 0..50 {
        assert_eq!(get().unwrap(), 404, "request {n}");
    }
    wait_until("the attacker is banned", PATIENCE, || {
        bans().contains("198.51.100.2/32")
    });
    assert!(get().is_err());

    let restarted = |unit| booted.property(unit, "InvocationID");
    let before = restarted("secbeat-edge");
    booted.ask(&["systemctl", "restart", "--no-block", "secbeat-edge"]);
    wait_until("the edge was restarted", PATIENCE, || {
        assert!(get().is_err(), "a banned client was answered");
        restarted("secbeat-edge") != before && booted.property("secbeat-edge", "ActiveState") == "active"
    });
    assert!(bans().contains("198.51.100.2/32"));

    for unit in ["secbeat-orchestrator", "secbeat-edge"] {
        let pid = booted.property(unit, "MainPID");
        booted.ask(&["kill", "-STOP", &pid]);
        wait_until(&format!("systemd has started {unit} again"), PATIENCE, || {
            assert!(get().is_err(), "a banned client was answered");
            booted.property(unit, "NRestarts") != "0" && booted.property(unit, "ActiveState") == "active"
        });
    }
    assert!(bans().contains("198.51.100.2/32"));
    for unit in ["secbeat-edge", "secbeat-orchestrator", "secbeat-nats"] {
        booted.ask(&["systemctl", "stop", unit]);
        assert_eq!(
            booted.property(unit, "Result"),
            "success",
            "{unit}: {}",
            booted.journal()
        );
    }
    assert!(get().is_err(), "the kernel goes on without the daemons");
}
