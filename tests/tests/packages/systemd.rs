//! SecBeat under systemd: its units, and what it tells PID 1.

use std::time::Duration;

use secbeat_tests::lab::{
    booted::{Booted, Surroundings, unit_file},
    executable::{Executable as _, TestProgram},
    wait::wait_until,
};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_units_are_hardened() {
    for unit in ["secbeat-edge", "secbeat-orchestrator", "secbeat-nats"] {
        let output = TestProgram::SystemdAnalyze
            .command()
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
    let around = Surroundings::new();
    let booted = Booted::boot(&around.host, &around.edge_config());
    let get = || around.get();
    let bans = || booted.edge(&["bans", "-o", "json"]);
    wait_until("the edge has heard the bus", PATIENCE, || {
        booted.edge(&["check"]).contains("signed commands only")
            && booted.orchestrator(&["edges", "-o", "json"]).contains("\"up\"")
    });
    for n in 0..50 {
        assert_eq!(get().unwrap(), 404, "request {n}");
    }
    wait_until("the attacker is banned", PATIENCE, || {
        bans().contains(Surroundings::ATTACKER)
    });
    assert!(get().is_err());
    for daemon in ["secbeat-edge", "secbeat-orchestrator"] {
        let unit = format!("_SYSTEMD_UNIT={daemon}.service");
        let target = format!("SECBEAT_TARGET={}/32", Surroundings::ATTACKER);
        let entry = booted.ask(
            TestProgram::Journalctl,
            &["--output=json", "--lines=1", &unit, &target],
        );
        assert!(entry.contains("\"SECBEAT_REASON\":\"error-flood\""), "{entry}");
    }

    let restarted = |unit| booted.property(unit, "InvocationID");
    let before = restarted("secbeat-edge");
    booted.ask(TestProgram::Systemctl, &["restart", "--no-block", "secbeat-edge"]);
    wait_until("the edge was restarted", PATIENCE, || {
        assert!(get().is_err(), "a banned client was answered");
        restarted("secbeat-edge") != before && booted.property("secbeat-edge", "ActiveState") == "active"
    });
    assert!(bans().contains(Surroundings::ATTACKER));

    for unit in ["secbeat-orchestrator", "secbeat-edge"] {
        let pid = booted.property(unit, "MainPID");
        booted.ask(TestProgram::Kill, &["-STOP", &pid]);
        wait_until(&format!("systemd has started {unit} again"), PATIENCE, || {
            assert!(get().is_err(), "a banned client was answered");
            booted.property(unit, "NRestarts") != "0" && booted.property(unit, "ActiveState") == "active"
        });
    }
    assert!(bans().contains(Surroundings::ATTACKER));
    for unit in ["secbeat-edge", "secbeat-orchestrator", "secbeat-nats"] {
        booted.ask(TestProgram::Systemctl, &["stop", unit]);
        assert_eq!(
            booted.property(unit, "Result"),
            "success",
            "{unit}: {}",
            booted.journal()
        );
    }
    assert!(get().is_err(), "the kernel goes on without the daemons");
}
