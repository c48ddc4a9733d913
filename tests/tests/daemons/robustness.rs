//! What the world does to a fleet: full disks, wrong clocks, cables that come loose, readers that are too slow, and nonsense
//! without end. (Files that are no bpffs, and hosts that lack something, are in `bad_host`.)

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use secbeat_common::{
    subjects,
    wire::{FORMAT, Kind},
};
use secbeat_tests::lab::{
    client::Client,
    executable::{Executable as _, Program, TestProgram},
    fleet::{Family, Fleet, Options},
    wait::wait_until,
};

const PATIENCE: Duration = Duration::from_secs(30);
const HOUR: i64 = 3600;
const SIGSTOP: i32 = 19;
const SIGCONT: i32 = 18;

fn is_refused(fleet: &Fleet, family: Family) -> bool {
    let url = format!("http://{}/", family.edge_for_attacker());
    let mut client = fleet.attacking(family).with_timeout(Duration::from_millis(300));
    client.get(&url).is_err()
}

/// How often the edge has compared the kernel's bans with the desired ones.
fn comparisons(fleet: &Fleet) -> u64 {
    let stats = fleet.edge_stats();
    stats.map_or(0, |stats| stats["reconcile"]["completed"].as_u64().unwrap())
}

#[test]
fn a_clock_that_jumps_an_hour_either_way_neither_ends_a_ban_nor_prolongs_it() {
    let fleet = Fleet::start(&Options {
        ban: "40s",
        own_clocks: true,
        ..Options::default()
    });
    fleet.make_errors(Family::V4, 50);
    fleet.await_ban(Family::V4.attacker());
    let banned = Instant::now();
    fleet.set_clock("edge", HOUR);
    wait_until("the orchestrator hears that it is ahead", PATIENCE, || {
        let edges = fleet.cli("orchestrator", &["edges", "-o", "json"]);
        let edges: serde_json::Value = serde_json::from_slice(&edges.stdout).unwrap();
        edges[0]["clock_ahead_ms"].as_i64() > Some(3_500_000)
    });
    for daemon in ["edge", "orchestrator"] {
        for ahead in [HOUR, -HOUR, 0] {
            fleet.set_clock(daemon, ahead);
            assert!(is_refused(&fleet, Family::V4), "{daemon} {ahead:+} s");
            let before = comparisons(&fleet);
            wait_until("the edge has looked at its bans again", PATIENCE, || {
                comparisons(&fleet) >= before + 2
            });
            assert!(
                is_refused(&fleet, Family::V4),
                "{daemon} {ahead:+} s, looked at again"
            );
        }
    }
    assert!(
        banned.elapsed() < Duration::from_secs(38),
        "too slow to say anything"
    );
    wait_until("the ban has ended by itself", PATIENCE, || {
        !is_refused(&fleet, Family::V4)
    });
    let lasted = banned.elapsed();
    assert!(lasted > Duration::from_secs(37), "{lasted:?}");
}

#[test]
fn ten_thousand_malformed_messages_cost_a_counter_and_a_few_lines() {
    let fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    fleet.make_errors(Family::V4, 50);
    fleet.await_ban(Family::V4.attacker());
    let lines = || fleet.edge.log().lines().count() + fleet.orchestrator.log().lines().count();
    let before = lines();
    // Of all lengths, with the right format and a wrong one, cut off and going on.
    let kinds = [Kind::Telemetry, Kind::Sealed, Kind::Sealed, Kind::Acks, Kind::Waf];
    let nonsense = |n: u32| {
        let format = if n.is_multiple_of(3) { 9 } else { FORMAT };
        let mut bytes = vec![format, kinds[n as usize % kinds.len()] as u8];
        bytes.extend((0..n % 700).map(|byte| (byte.wrapping_mul(n) >> 3) as u8));
        bytes
    };
    let subject = |n: u32| match n % 5 {
        0 => subjects::telemetry("rogue", (n % 16) as u16),
        1 => subjects::ban(&format!("192.0.2.{}", n % 250).parse().unwrap()),
        2 => subjects::allow(&format!("203.0.113.{}", n % 250).parse().unwrap()),
        3 => subjects::acks("rogue"),
        _ => subjects::waf_events("rogue"),
    };
    fleet
        .nats
        .publish_all((0..10_000).map(|n| (subject(n), nonsense(n))));
    let garbage =
        |stats: Option<serde_json::Value>| stats.and_then(|stats| stats["garbage"].as_u64()).unwrap_or(0);
    // A reader of a bucket that is slower than the writer gets only the latest entry of each key: 50 bans, 50 of the allowlist.
    wait_until("all of it was counted", PATIENCE, || {
        garbage(fleet.orchestrator_stats()) >= 5500 && garbage(fleet.edge_stats()) >= 100
    });
    assert!(is_refused(&fleet, Family::V4), "a ban was lost");
    fleet.make_errors(Family::V6, 50);
    fleet.await_ban(Family::V6.attacker());
    // One line for each key that nonsense stood under, at most.
    let more = lines() - before;
    assert!(more < 1200, "{more} lines of log");
}

#[test]
fn a_flapping_interface_is_protected_whenever_it_is_up() {
    let fleet = Fleet::start(&Options {
        ban: "1h",
        reconcile: "1h",
        ..Options::default()
    });
    fleet.make_errors(Family::V4, 50);
    fleet.await_ban(Family::V4.attacker());
    for _ in 0..20 {
        fleet.host.ip(&["link", "set", "to-attacker", "down"]);
        fleet.host.ip(&["link", "set", "to-attacker", "up"]);
        assert!(fleet.host.xdp_on("to-attacker").is_some());
    }
    assert!(is_refused(&fleet, Family::V4));
    for _ in 0..5 {
        fleet.recreate_interface();
    }
    wait_until("the program is back", PATIENCE, || {
        fleet.host.xdp_on("to-attacker").is_some()
    });
    assert!(is_refused(&fleet, Family::V4));
    // The other side is served as before.
    let url = format!("http://{}/", Family::V4.edge_for_visitor());
    let mut visitor = Client::new(&fleet.visitor);
    assert_eq!(visitor.get(&url).unwrap(), 200);
}

#[test]
fn readers_that_stand_still_miss_no_ban_and_no_error() {
    let mut fleet = Fleet::start(&Options {
        ban: "1h",
        ban_slots: 65_536,
        ..Options::default()
    });
    // More bans than a connection's buffers hold, for an edge that reads nothing.
    fleet.edge.signal(SIGSTOP);
    let file = fleet.files.path("/run/bans.txt");
    let bans: String = (0..20_000_u32)
        .map(|n| format!("10.{}.{}.{}\n", n >> 16, (n >> 8) & 255, n & 255))
        .collect();
    fs::write(&file, bans).unwrap();
    let imported = fleet.cli("orchestrator", &["import", file.to_str().unwrap()]);
    assert!(imported.status.success(), "{imported:?}");
    fleet.edge.signal(SIGCONT);
    wait_until("the edge has all bans", PATIENCE, || {
        fleet
            .edge_stats()
            .is_some_and(|stats| stats["blocked_ips"] == 20_000)
    });
    // An orchestrator that reads nothing while errors are made.
    fleet.orchestrator.signal(SIGSTOP);
    fleet.make_errors(Family::V4, 50);
    fleet.orchestrator.signal(SIGCONT);
    fleet.await_ban(Family::V4.attacker());
}

#[test]
fn a_full_disk_costs_telemetry_that_waits_and_no_ban() {
    let mut fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    fleet.make_errors(Family::V4, 50);
    fleet.await_ban(Family::V4.attacker());
    // A disk of the edge's own, and nothing left on it.
    fleet.kill_edge();
    let state = fleet.files.path("/var/lib/secbeat/edge");
    fs::create_dir_all(&state).unwrap();
    let disk = Disk::mount(&state);
    disk.fill();
    fleet.start_edge();
    fleet.await_edge();
    assert!(is_refused(&fleet, Family::V4));
    fleet.nats.stop();
    let mut visitor = Client::new(&fleet.visitor);
    let url = format!("http://{}/", Family::V4.edge_for_visitor());
    wait_until("the edge says that it cannot keep what waits", PATIENCE, || {
        assert_eq!(visitor.get(&url).unwrap(), 200);
        fleet
            .edge_stats()
            .is_some_and(|stats| stats["telemetry"]["lost"]["disk"].as_u64() > Some(0))
    });
    assert!(is_refused(&fleet, Family::V4));
    disk.empty();
    fleet.nats.restart();
    fleet.make_errors(Family::V6, 50);
    fleet.await_ban(Family::V6.attacker());
}

/// A file system in memory, of 1 MiB.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Self {
        let mut mount = Program::Mount.command();
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(at);
        assert!(mount.status().unwrap().success());
        Self(at.to_owned())
    }

    fn fill(&self) {
        let full = fs::write(self.0.join("filler"), vec![0; 2 << 20]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = TestProgram::Umount.command().arg("--lazy").arg(&self.0).status();
    }
}
