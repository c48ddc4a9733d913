//! SecBeat under systemd: its units, and what it tells PID 1.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use secbeat_tests::lab::{
    booted::{Booted, Surroundings, unit_file},
    client::Client,
    executable::{Executable as _, TestProgram},
    wait::wait_until,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Checks that `systemd-analyze security` rates the unit in `file` with no more than these tenths.
#[track_caller]
fn expect_exposure(file: &Path, threshold: u8) {
    let output = TestProgram::SystemdAnalyze
        .command()
        .args(["security", "--offline=true"])
        .arg(format!("--threshold={threshold}"))
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}: {said}", file.display());
}

#[test]
fn the_units_are_hardened() {
    // The edge's comes from what it is for: BPF, the network's configuration, netlink.
    for (unit, threshold) in [
        ("secbeat", 18),
        ("secbeat-edge", 18),
        ("secbeat-orchestrator", 11),
        ("secbeat-nats", 11),
        ("secbeat-pins", 14),
    ] {
        expect_exposure(&unit_file(unit), threshold);
    }
}

/// Without the tilde, systemd adds the capabilities of a drop-in to those of the unit.
#[test]
fn the_drop_in_of_the_docs_takes_a_right_away() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/security.md");
    let page = fs::read_to_string(page).unwrap();
    let drop_in: Vec<_> = page
        .lines()
        .map(|line| line.strip_prefix("    ").unwrap_or_default())
        .skip_while(|line| *line != "[Service]")
        .take_while(|line| !line.is_empty())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    for unit in ["secbeat", "secbeat-edge"] {
        let shipped = fs::read_to_string(unit_file(unit)).unwrap();
        let file = folder.path().join(format!("{unit}.service"));
        fs::write(&file, format!("{shipped}\n{}\n", drop_in.join("\n"))).unwrap();
        expect_exposure(&file, 17);
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
        assert_eq!(around.answer().unwrap(), 404, "request {n}");
    }
    wait_until("the attacker is banned", PATIENCE, || {
        bans().contains(Surroundings::ATTACKER)
    });
    assert!(get().is_err());
    // Not the latest of the target: a ban has further lines, as of the search for a crawler.
    for daemon in ["secbeat-edge", "secbeat-orchestrator"] {
        let unit = format!("_SYSTEMD_UNIT={daemon}.service");
        let target = format!("SECBEAT_TARGET={}/32", Surroundings::ATTACKER);
        let reason = "SECBEAT_REASON=error-flood";
        let arguments = ["--output=json", "--lines=1", &unit, &target, reason];
        let entry = booted.ask(TestProgram::Journalctl, &arguments);
        assert!(entry.contains("\"MESSAGE\":\"banned"), "{daemon}: {entry}");
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

#[test]
fn one_host_is_protected_under_its_unit_and_bans_outlive_a_restart() {
    let around = Surroundings::new();
    let booted = Booted::boot_one_host(&around.host, &around.edge_config());
    let get = || around.get();
    let bans = || booted.edge(&["bans", "-o", "json"]);
    for n in 0..50 {
        assert_eq!(around.answer().unwrap(), 404, "request {n}");
    }
    wait_until("the attacker is banned", PATIENCE, || {
        bans().contains(Surroundings::ATTACKER)
    });
    assert!(get().is_err());
    let fleet = || booted.orchestrator(&["bans", "-o", "json"]);
    assert!(fleet().contains(Surroundings::ATTACKER), "{}", fleet());
    let pid = booted.property("secbeat", "MainPID");
    booted.ask(TestProgram::Kill, &["-KILL", &pid]);
    wait_until("systemd has started it again", PATIENCE, || {
        assert!(get().is_err(), "a banned client was answered");
        booted.property("secbeat", "NRestarts") != "0"
            && booted.property("secbeat", "ActiveState") == "active"
    });
    assert!(bans().contains(Surroundings::ATTACKER));
    assert!(fleet().contains(Surroundings::ATTACKER));
    booted.ask(TestProgram::Systemctl, &["stop", "secbeat"]);
    let result = booted.property("secbeat", "Result");
    assert_eq!(result, "success", "{}", booted.journal());
    assert!(get().is_err(), "the kernel goes on without the daemon");
}

#[test]
fn a_restart_of_the_edge_refuses_no_client_and_lets_an_open_request_end() {
    let around = Surroundings::new();
    let booted = Booted::boot(&around.host, &around.edge_config());
    wait_until("the proxy answers", PATIENCE, || {
        Client::new(&around.attacker)
            .get(SITE)
            .is_ok_and(|status| status == 200)
    });
    let restarted = || {
        let (id, state) = ("InvocationID", "ActiveState");
        (
            booted.property("secbeat-edge", id),
            booted.property("secbeat-edge", state),
        )
    };
    let (before, _) = restarted();
    let mut slow = around.attacker.enter(|| TcpStream::connect(ADDRESS).unwrap());
    slow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").unwrap();

    let over = AtomicBool::new(false);
    let asked = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut client = Client::new(&around.attacker)
                .without_keep_alive()
                .with_timeout(PATIENCE);
            let mut asked = 0;
            while !over.load(Relaxed) {
                assert_eq!(client.get(SITE).unwrap(), 200, "request {asked}");
                asked += 1;
                // Far below what is a flood.
                thread::sleep(Duration::from_millis(50));
            }
            asked
        });
        booted.ask(TestProgram::Systemctl, &["restart", "--no-block", "secbeat-edge"]);
        wait_until("the edge ends", PATIENCE, || restarted().1 == "deactivating");
        slow.write_all(b"Connection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        slow.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        wait_until("the edge runs again", PATIENCE, || {
            let (id, state) = restarted();
            id != before && state == "active"
        });
        over.store(true, Relaxed);
        asking.join().unwrap()
    });
    assert!(asked > 0);
    assert_eq!(Client::new(&around.attacker).get(SITE).unwrap(), 200);
}

#[test]
fn who_takes_over_the_edge_can_change_nothing_outside_of_it() {
    let around = Surroundings::new();
    let booted = Booted::boot_unenrolled(&around.host, &around.edge_config());
    let status = format!("/proc/{}/status", booted.property("secbeat-edge", "MainPID"));
    let status = booted.ask(TestProgram::Cat, &[&status]);
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap()
    };
    assert_ne!(of("Uid:"), "0");
    assert_eq!(of("CapEff:").trim_matches('0'), "", "{status}");
    for setting in ["core_pattern", "modprobe"] {
        let path = format!("/proc/sys/kernel/{setting}");
        let script = format!("printf %s \"$(cat {path})\" > {path} && echo changed");
        for user in ["secbeat", "root"] {
            let said = booted.within("secbeat-edge", user, &script);
            assert!(!said.contains("changed"), "{setting} by {user}: {said}");
        }
    }
    let said = booted.within(
        "secbeat-edge",
        "secbeat",
        "busctl --address=unix:path=/run/systemd/private call org.freedesktop.systemd1 \
         /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager Reload && echo reloaded",
    );
    assert!(!said.contains("reloaded"), "{said}");
    let said = booted.within("secbeat-edge", "secbeat", "ls /sys/fs/bpf; ls /root && echo read");
    assert!(
        said.starts_with("secbeat\n") && !said.contains("read\n"),
        "{said}"
    );
}

/// What root may read, and the daemon's user may not, would else be found at the next start.
#[test]
fn a_check_by_root_looks_at_files_with_the_rights_of_the_units_user() {
    let around = Surroundings::new();
    let booted = Booted::boot_unenrolled(&around.host, &around.edge_config());
    let write = "install -D -m 0640 -o root -g adm /dev/null /var/log/nginx/access.log; \
                 install -D -m 0600 /dev/null /var/log/caddy/access.log";
    booted.ask(TestProgram::Bash, &["-ec", write]);
    assert!(
        booted
            .edge(&["check"])
            .contains("ok       files, read by the user `secbeat`")
    );
    let with = |log: &str| {
        let script = format!(
            "{{ cat /etc/secbeat/edge.toml; printf '[[access_log]]\\npath = \"/var/log/{log}/access.log\"\\n'; }} > /tmp/edge.toml; \
             secbeat-edge check --config /tmp/edge.toml || echo failed"
        );
        booted.ask(TestProgram::Bash, &["-ec", &script])
    };
    let readable = with("nginx");
    assert!(!readable.contains("failed"), "{readable}");
    let unreadable = with("caddy");
    assert!(
        unreadable.contains("PROBLEM  logs, read by the user `secbeat`: ")
            && unreadable.contains("setfacl -m u:secbeat:r")
            && unreadable.ends_with("failed"),
        "{unreadable}"
    );
}

#[test]
fn pins_that_somebody_removes_are_back_within_seconds_under_the_unit() {
    let around = Surroundings::new();
    let booted = Booted::boot_unenrolled(&around.host, &around.edge_config());
    let get = || Client::new(&around.attacker).get(SITE);
    assert_eq!(get().unwrap(), 200);
    let protected = || {
        let status = booted.property("secbeat-edge", "ActiveState") == "active";
        status && around.host.xdp_on("to-attacker").is_some()
    };
    for remove in ["rm -r /sys/fs/bpf/secbeat", "rm /sys/fs/bpf/secbeat/*"] {
        booted.ask(TestProgram::Bash, &["-ec", remove]);
        assert_eq!(around.host.xdp_on("to-attacker"), None);
        wait_until("the program is attached again", PATIENCE, protected);
        assert!(booted.edge(&["status"]).contains("native on to-attacker"));
    }
    // The kill switch is taken back without a new start.
    booted.edge(&["detach"]);
    assert_eq!(around.host.xdp_on("to-attacker"), None);
    booted.edge(&["attach"]);
    wait_until("the program is attached again", PATIENCE, protected);
    assert_eq!(get().unwrap(), 200);
}

/// The daemon does not see it: its unit has a mount of its own, which goes with it.
#[test]
fn a_bpf_file_system_that_is_unmounted_under_the_unit_is_said() {
    let around = Surroundings::new();
    let booted = Booted::boot_unenrolled(&around.host, &around.edge_config());
    assert!(booted.edge(&["status"]).contains("native on to-attacker"));
    booted.ask(TestProgram::Bash, &["-ec", "umount --lazy /sys/fs/bpf"]);
    let script = "if secbeat-edge status; then exit 1; fi";
    let said = booted.ask(TestProgram::Bash, &["-c", script]);
    assert!(
        said.contains("native on to-attacker")
            && said.contains("nothing is pinned in /sys/fs/bpf/secbeat")
            && said.contains("mount -t bpf"),
        "{said}"
    );
}

#[test]
fn the_edges_unit_starts_on_a_host_that_belongs_to_no_fleet_yet() {
    let around = Surroundings::new();
    let booted = Booted::boot_unenrolled(&around.host, &around.edge_config());
    assert_eq!(Client::new(&around.attacker).get(SITE).unwrap(), 200);
    assert!(booted.edge(&["status"]).contains("native on to-attacker"));
    assert!(
        booted
            .edge(&["ban", Surroundings::ATTACKER])
            .contains(Surroundings::ATTACKER)
    );
    assert!(around.get().is_err(), "the attacker is banned");
    // What root writes while no daemon runs is the daemon's, whoever that is.
    booted.edge(&["ban", "198.51.100.0/24"]);
    booted.ask(TestProgram::Systemctl, &["stop", "secbeat-edge"]);
    let added = booted.edge(&["allowlist", "add", Surroundings::ATTACKER]);
    assert_eq!(added, "allowlisted 198.51.100.2/32 on this host");
    booted.ask(TestProgram::Systemctl, &["start", "secbeat-edge"]);
    assert_eq!(around.answer().unwrap(), 404);
    booted.edge(&["allowlist", "remove", Surroundings::ATTACKER]);
    assert!(around.get().is_err(), "the attacker is banned again");
    // The kill switch needs no config that can be read.
    let detached = booted.edge(&["--config", "/etc/secbeat/missing.toml", "detach"]);
    assert!(detached.starts_with("detached from to-attacker"), "{detached}");
}

const ADDRESS: &str = "198.51.100.1:8443";
const SITE: &str = "http://198.51.100.1:8443/";

#[test]
fn root_and_the_group_change_bans_by_the_units_sockets_and_other_users_read() {
    let around = Surroundings::new();
    let booted = Booted::boot(&around.host, &around.edge_config());
    booted.ask(
        TestProgram::Bash,
        &["-ec", "useradd member; useradd other; usermod -aG secbeat member"],
    );
    let by = |user: &str, command: &str| {
        let script = format!(
            "setpriv --reuid={user} --regid={user} --init-groups --inh-caps=-all {command} 2>&1 || echo \"exit $?\""
        );
        booted.ask(TestProgram::Bash, &["-ec", &script])
    };
    wait_until("the orchestrator is ready", PATIENCE, || {
        booted.orchestrator(&["edges", "-o", "json"]).contains("\"up\"")
    });
    for daemon in ["secbeat-edge", "secbeat-orchestrator"] {
        let listed = by("other", &format!("{daemon} bans"));
        assert!(
            listed.starts_with("TARGET") || !listed.contains("exit"),
            "{listed}"
        );
        let refused = by("other", &format!("{daemon} ban 192.0.2.7"));
        assert!(
            refused.contains("usermod -aG secbeat") && refused.ends_with("exit 77"),
            "{refused}"
        );
        for (user, target) in [("member", "192.0.2.7"), ("root", "192.0.2.8")] {
            let banned = by(user, &format!("{daemon} ban {target}"));
            assert!(
                banned.starts_with(&format!("banned {target}/32 for 4h")),
                "{banned}"
            );
        }
    }
    // All daemons run as one user: one that is taken over commands no other.
    let said = booted.within(
        "secbeat-edge",
        "secbeat",
        "secbeat-orchestrator ban 192.0.2.9; echo \"exit $?\"; \
         secbeat-orchestrator unban 192.0.2.8; echo \"exit $?\"; \
         test -d /etc/secbeat/fleet/nats && echo read; ls /var/lib/secbeat/nats && echo read",
    );
    assert!(
        said.matches("exit 77\n").count() == 2 && !said.contains("read\n"),
        "{said}"
    );
    let refused = by("other", "secbeat-orchestrator why 192.0.2.7");
    assert!(refused.contains("read what clients requested"), "{refused}");
    // The unit's user namespace knows nobody but root and its own user.
    let audit = booted.orchestrator(&["audit", "-o", "json"]);
    let audit: serde_json::Value = serde_json::from_str(&audit).unwrap();
    let actors = audit
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["actor"].as_str().unwrap());
    assert_eq!(actors.collect::<Vec<_>>(), ["root", "group-secbeat"]);
}
