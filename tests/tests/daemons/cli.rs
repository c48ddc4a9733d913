//! The command lines as an operator meets them: beside running daemons, without them, and for refused requests.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::{Output, Stdio},
    time::Duration,
};

use secbeat_tests::lab::{
    executable::{Executable as _, TestProgram},
    fleet::{Family, Fleet, Options},
    host::{Host, assert_refused},
    netns::Namespace,
    paths,
    wait::wait_until,
};

const FAILURE: i32 = 1;
const NOT_FOUND: i32 = 3;
const UNAVAILABLE: i32 = 69;

#[track_caller]
fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn json(output: &Output) -> serde_json::Value {
    serde_json::from_str(&stdout(output)).unwrap()
}

#[test]
fn bans_and_unbans_that_make_no_sense_are_refused_with_the_reason() {
    let mut fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    for daemon in ["edge", "orchestrator"] {
        for (arguments, parts) in [
            (["ban", "127.0.0.1"], ["127.0.0.1/32 is never banned", "loopback"]),
            (["ban", "fe80::1"], ["fe80::/64 is never banned", "link-local"]),
            (["ban", "198.51.100.1"], ["198.51.100.1/32 is allowlisted", ""]),
            (
                ["ban", "198.0.0.0/7"],
                ["198.0.0.0/7 is never banned", "wider than a /8"],
            ),
        ] {
            assert_refused(&fleet.cli(daemon, &arguments), FAILURE, &parts);
        }
        let absent = fleet.cli(daemon, &["unban", "-i", "198.51.100.77"]);
        assert_refused(&absent, NOT_FOUND, &["198.51.100.77/32 is not banned"]);
        let none = fleet.cli(daemon, &["ban", "192.0.2.7", "127.0.0.1"]);
        assert_refused(
            &none,
            FAILURE,
            &["nothing was done: 127.0.0.1/32 is never banned"],
        );
        assert_eq!(
            json(&fleet.cli(daemon, &["bans", "-o", "json"])),
            serde_json::json!([])
        );
    }
    fleet.kill_edge();
    let absent = fleet.cli("edge", &["unban", "-r", "198.51.100.77/32"]);
    assert_refused(&absent, NOT_FOUND, &["198.51.100.77/32 is not banned"]);
    for (arguments, parts) in [
        (["ban", "127.0.0.1"], ["127.0.0.1/32 is never banned", "loopback"]),
        (["ban", "198.51.100.1"], ["198.51.100.1/32 is allowlisted", ""]),
        (
            ["ban", "198.0.0.0/7"],
            ["198.0.0.0/7 is never banned", "wider than a /8"],
        ),
    ] {
        assert_refused(&fleet.cli("edge", &arguments), FAILURE, &parts);
    }
}

#[test]
fn several_are_banned_in_one_go_and_what_cannot_be_is_said() {
    let mut fleet = Fleet::start(&Options::default());
    let several = ["ban", "192.0.2.7", "198.51.100.1", "192.0.2.8"];
    let banned = |fleet: &Fleet, daemon: &str| {
        let output = fleet.cli(daemon, &several);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(FAILURE), "{said}");
        assert!(said.contains("198.51.100.1/32 is allowlisted"), "{said}");
        assert!(said.ends_with("not banned: 1 of 3 targets\n"), "{said}");
        String::from_utf8(output.stdout).unwrap()
    };
    let lift = |fleet: &Fleet, daemon: &str| {
        stdout(&fleet.cli(
            daemon,
            &["unban", "192.0.2.7", "192.0.2.8", "--comment", "a mistaken list"],
        ));
    };
    for (daemon, place) in [("edge", "on this host"), ("orchestrator", "on every edge")] {
        let lines = ["192.0.2.7", "192.0.2.8"].map(|target| format!("banned {target}/32 for 4h {place}\n"));
        assert_eq!(banned(&fleet, daemon), lines.concat());
        lift(&fleet, daemon);
    }
    // The edge logs why, and the orchestrator keeps it.
    let log = fleet.edge.log();
    assert!(log.contains("a mistaken list"), "{log}");
    let lists = json(&fleet.cli("orchestrator", &["audit", "--kind", "list", "-o", "json"]));
    assert_eq!(lists[0]["note"], "a mistaken list", "{lists}");
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let until = soon.to_string();
    let options = ["192.0.2.7", "192.0.2.8", "--until", &until, "-o", "json"];
    let all = json(&fleet.cli("orchestrator", &[&["ban"], &options[..]].concat()));
    for ban in all.as_array().unwrap() {
        let left = ban["expires_in_ms"].as_i64().unwrap();
        assert!((3_500_000..=3_600_000).contains(&left), "{left} ms left");
    }
    lift(&fleet, "orchestrator");
    fleet.kill_edge();
    let in_kernel = banned(&fleet, "edge");
    assert!(
        in_kernel.lines().count() == 2 && in_kernel.contains("in the kernel; the daemon is not running"),
        "{in_kernel}"
    );
}

#[test]
fn a_ban_is_shortened_only_if_that_is_asked_for_with_the_daemon_and_without() {
    let mut fleet = Fleet::start(&Options::default());
    let shorten = |fleet: &Fleet| {
        for target in ["192.0.2.31", "192.0.2.64/26"] {
            let edge = |arguments: &[&str]| fleet.cli("edge", arguments);
            stdout(&edge(&["ban", target, "--duration", "1h", "--note", "keepme"]));
            let shorter = ["ban", target, "--duration", "5m"];
            assert_refused(&edge(&shorter), FAILURE, &["more, which is longer", "--shorten"]);
            let bans = json(&edge(&["bans", target, "-o", "json"]));
            let left = bans[0]["expires_in_ms"].as_i64().unwrap();
            assert!(bans[0]["note"] == "keepme" && left > 3_500_000, "{bans}");
            let said = stdout(&edge(&[&shorter[..], &["--shorten"]].concat()));
            assert!(said.contains(" for 5m "), "{said}");
            stdout(&edge(&["unban", target]));
        }
    };
    shorten(&fleet);
    fleet.kill_edge();
    shorten(&fleet);
    // A network within a banned one is not that one.
    let edge = |arguments: &[&str]| fleet.cli("edge", arguments);
    stdout(&edge(&["ban", "203.0.113.0/25", "--duration", "1h"]));
    let inner = "203.0.113.0/27";
    assert_refused(
        &edge(&["unban", inner]),
        NOT_FOUND,
        &["203.0.113.0/27 itself is not banned, but 203.0.113.0/25"],
    );
    let said = stdout(&edge(&["ban", inner, "--duration", "5m"]));
    assert!(
        said.contains("banned 203.0.113.0/27 for 5m in the kernel"),
        "{said}"
    );
}

#[test]
fn an_unban_within_a_banned_network_names_what_covers_it_and_lifts_that_if_told_to() {
    let mut fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    const NETS: [&str; 2] = ["192.0.2.0/24", "192.0.2.64/26"];
    let unban = ["unban", "192.0.2.77"];
    let covering = ["unban", "192.0.2.77", "--covering"];
    let names = ["192.0.2.77/32 itself is not banned", NETS[0], "--covering"];
    for daemon in ["orchestrator", "edge"] {
        let ban = |net: &str| {
            assert!(
                fleet
                    .cli(daemon, &["ban", net, "--duration", "1h"])
                    .status
                    .success()
            )
        };
        ban(NETS[0]);
        assert_refused(&fleet.cli(daemon, &unban), NOT_FOUND, &names);
        ban(NETS[1]);
        assert_refused(
            &fleet.cli(daemon, &unban),
            NOT_FOUND,
            &[names[0], NETS[0], NETS[1]],
        );
        assert_refused(
            &fleet.cli(daemon, &["unban", "192.0.2.77", "192.0.2.7"]),
            NOT_FOUND,
            &[
                "not banned: 192.0.2.7/32, 192.0.2.77/32; still dropped",
                "192.0.2.7/32 (192.0.2.0/24), 192.0.2.77/32 (192.0.2.0/24, 192.0.2.64/26)",
            ],
        );
        let lifted = stdout(&fleet.cli(daemon, &covering));
        assert!(NETS.iter().all(|net| lifted.contains(net)), "{lifted}");
        assert_refused(
            &fleet.cli(daemon, &covering),
            NOT_FOUND,
            &["192.0.2.77/32 is not banned"],
        );
    }
    fleet.kill_edge();
    assert!(
        fleet
            .cli("edge", &["ban", NETS[0], "--duration", "1h"])
            .status
            .success()
    );
    assert_refused(&fleet.cli("edge", &unban), NOT_FOUND, &names);
    assert!(stdout(&fleet.cli("edge", &covering)).contains(NETS[0]));
}

#[test]
fn bans_made_without_the_daemon_hold_and_a_restarted_daemon_adopts_them() {
    let mut fleet = Fleet::start(&Options::default());
    fleet.kill_edge();
    for (target, seen) in [
        ("198.51.100.2", "198.51.100.2/32"),
        ("2001:db8:a:1::2", "2001:db8:a:1::/64"),
    ] {
        let said = stdout(&fleet.cli("edge", &["ban", target, "--duration", "1h", "--note", "scanner"]));
        assert_eq!(
            said,
            format!("banned {seen} for 1h in the kernel; the daemon is not running\n")
        );
    }
    let listed = json(&fleet.cli("edge", &["bans", "-o", "json"]));
    assert_eq!(listed[0]["target"], "198.51.100.2/32");
    assert_eq!(listed[1]["target"], "2001:db8:a:1::/64");
    for ban in listed.as_array().unwrap() {
        assert_eq!(
            (&ban["origin"], &ban["reason"], &ban["note"]),
            (&"local".into(), &"manual".into(), &"scanner".into())
        );
        let left = ban["expires_in_ms"].as_i64().unwrap();
        assert!((3_500_000..=3_600_000).contains(&left), "{left} ms left");
    }
    let impatient = Duration::from_millis(300);
    let url = format!("http://{}/", Family::V4.edge_for_attacker());
    let dropped = fleet.pins().dropped();
    assert!(
        fleet
            .attacking(Family::V4)
            .with_timeout(impatient)
            .get(&url)
            .is_err()
    );
    assert!(
        fleet.pins().dropped() > dropped,
        "the ban made without the daemon drops nothing"
    );

    fleet.restart_edge();
    wait_until(
        "the daemon has adopted both bans",
        Duration::from_secs(10),
        || {
            let listed = json(&fleet.cli("edge", &["bans", "-o", "json"]));
            listed
                .as_array()
                .unwrap()
                .iter()
                .filter(|ban| ban["origin"] == "local" && ban["note"] == "scanner")
                .count()
                == 2
        },
    );
    assert!(
        fleet
            .attacking(Family::V4)
            .with_timeout(impatient)
            .get(&url)
            .is_err()
    );
    assert_eq!(
        stdout(&fleet.cli("edge", &["unban", "198.51.100.2"])),
        "unbanned 198.51.100.2/32\n"
    );
    assert_eq!(fleet.attacking(Family::V4).get(&url).unwrap(), 200);

    assert!(
        fleet
            .cli("orchestrator", &["ban", "203.0.113.77"])
            .status
            .success()
    );
    fleet.await_ban("203.0.113.77".parse().unwrap());
    fleet.kill_edge();
    let said = stdout(&fleet.cli("edge", &["unban", "203.0.113.77"]));
    assert!(said.contains("unbanned 203.0.113.77/32 in the kernel"), "{said}");
    assert!(
        said.contains("`secbeat-orchestrator unban 203.0.113.77/32` unbans it everywhere"),
        "{said}"
    );
    let said = stdout(&fleet.cli("edge", &["unban", "2001:db8:a:1::2"]));
    assert_eq!(
        said,
        "unbanned 2001:db8:a:1::/64 in the kernel; the daemon is not running\n"
    );
    assert_eq!(fleet.ban_of(Family::V6.attacker()), None);
}

#[test]
fn the_edge_unbans_many_at_once_with_the_daemon_and_without_and_keeps_notes() {
    let mut fleet = Fleet::start(&Options::default());
    let nets = ["192.0.2.1/32", "192.0.2.2/32", "198.51.100.64/26"];
    let ban_all = |fleet: &Fleet| {
        for net in nets {
            stdout(&fleet.cli(
                "edge",
                &["ban", net, "--duration", "90d", "--note", &format!("list {net}")],
            ));
        }
    };
    let left = |fleet: &Fleet| {
        let bans = json(&fleet.cli("edge", &["bans", "-o", "json"]));
        let bans = bans.as_array().unwrap().iter();
        bans.map(|ban| {
            (
                ban["target"].as_str().unwrap().to_owned(),
                ban["note"].as_str().unwrap().to_owned(),
            )
        })
        .collect::<Vec<_>>()
    };
    let all: Vec<_> = nets.map(|net| (net.to_owned(), format!("list {net}"))).into();
    for runs in [true, false] {
        ban_all(&fleet);
        if runs {
            // What was noted by the daemon is known to the next one.
            fleet.kill_edge();
            assert_eq!(left(&fleet), all);
            fleet.restart_edge();
            wait_until("the daemon has adopted the bans", Duration::from_secs(10), || {
                left(&fleet) == all
            });
        }
        assert_eq!(left(&fleet), all, "{runs}");
        let unban = |arguments: &[&str]| fleet.cli("edge", &[&["unban"], arguments].concat());
        let said = stdout(&unban(&["--note", "192.0.2", "--dry-run"]));
        assert_eq!(
            said,
            "would unban 192.0.2.1/32 on this host\nwould unban 192.0.2.2/32 on this host\n"
        );
        // As the real run finds it.
        let partly = unban(&["192.0.2.1", "192.0.2.77", "--dry-run"]);
        assert_refused(&partly, NOT_FOUND, &["not banned: 192.0.2.77/32"]);
        let partly = unban(&["192.0.2.1", "192.0.2.77", "192.0.2.2"]);
        assert_refused(&partly, NOT_FOUND, &["not banned: 192.0.2.77/32"]);
        let said = stdout(&unban(&["198.51.100.77", "198.51.100.78", "--covering"]));
        assert!(said.starts_with("unbanned 198.51.100.64/26 "), "{said}");
        assert_eq!(left(&fleet), []);
        assert_eq!(stdout(&unban(&["--all"])), "no ban matches\n");
        fleet.kill_edge();
    }
    // The limit of this host holds without the daemon, too.
    let said = stdout(&fleet.cli("edge", &["ban", "192.0.2.3", "--duration", "90d"]));
    assert_eq!(
        said,
        "banned 192.0.2.3/32 for 30d in the kernel; the daemon is not running\n"
    );
    let said = stdout(&fleet.cli(
        "edge",
        &["unban", "--within", "192.0.2.0/24", "--reason", "manual"],
    ));
    assert_eq!(
        said,
        "unbanned 192.0.2.3/32 in the kernel; the daemon is not running\n"
    );
}

#[test]
fn an_edge_without_nats_enforces_says_so_once_and_catches_up_later() {
    let mut fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    let target = Family::V4.attacker();
    let banned = stdout(&fleet.cli("orchestrator", &["ban", "198.51.100.2", "--duration", "1h"]));
    assert_eq!(banned, "banned 198.51.100.2/32 for 1h on every edge\n");
    fleet.await_ban(target);
    fleet.nats.stop();
    fleet.kill_edge();
    fleet.start_edge();
    fleet.edge.wait_for_log("running", Duration::from_secs(20));
    fleet
        .edge
        .wait_for_log("NATS is unreachable, retrying", Duration::from_secs(20));

    let dropped = fleet.pins().dropped();
    let url = format!("http://{}/", Family::V4.edge_for_attacker());
    let attacker = fleet
        .attacking(Family::V4)
        .with_timeout(Duration::from_millis(300))
        .get(&url);
    assert!(attacker.is_err(), "the banned source was answered {attacker:?}");
    assert!(
        fleet.pins().dropped() > dropped,
        "nothing was dropped while NATS was away"
    );
    assert!(fleet.ban_of(target).is_some());
    let status = stdout(&fleet.cli("edge", &["status"]));
    for line in [
        "daemon     running",
        "XDP        native on to-attacker",
        "bans       1 in the kernel",
        "NATS       UNREACHABLE",
    ] {
        assert!(status.contains(line), "no `{line}` in:\n{status}");
    }
    let log = fleet.edge.log();
    let about_nats: Vec<_> = log.lines().filter(|line| line.contains("NATS")).collect();
    assert_eq!(about_nats.len(), 1, "{about_nats:?}");

    fleet.nats.restart();
    fleet.await_edge();
    assert!(fleet.ban_of(target).is_some(), "catching up lifted the ban");
    let lifted = wait_until(
        "the orchestrator can lift the ban",
        Duration::from_secs(20),
        || {
            Some(fleet.cli("orchestrator", &["unban", "198.51.100.2"]))
                .filter(|output| output.status.success())
        },
    );
    assert_eq!(stdout(&lifted), "unbanned 198.51.100.2/32 on every edge\n");
    wait_until("the edge hears it", Duration::from_secs(10), || {
        fleet.ban_of(target).is_none()
    });
}

#[test]
fn commands_without_a_daemon_say_where_none_answers() {
    let host = Host::new();
    let config = host.write("orchestrator.toml", "[api]\nlisten = \"127.0.0.1:3031\"\n");
    let config = config.to_str().unwrap();
    for arguments in [&["bans"][..], &["ban", "192.0.2.1"], &["unban", "192.0.2.1"]] {
        let output = host.run(
            "secbeat-orchestrator",
            &[arguments, &["--config", config]].concat(),
        );
        assert_refused(&output, UNAVAILABLE, &["no daemon answers at", "127.0.0.1:3031"]);
        let output = host.edge(arguments);
        assert_refused(
            &output,
            UNAVAILABLE,
            &["no daemon answers at 127.0.0.1:8080", "no pinned map"],
        );
    }
    let status = host.edge(&["status"]);
    assert_eq!(status.status.code(), Some(1), "{status:?}");
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(
        status.starts_with(
            "daemon     not running\nXDP        eth-a is NOT PROTECTED: no program of SecBeat is attached\n"
        ),
        "{status}"
    );
    assert!(stdout(&host.edge(&["detach"])).starts_with("nothing was attached\n"));
    assert!(
        stdout(&host.edge(&["attach"])).starts_with("the kill switch is taken back; the daemon does not run")
    );
}

/// `errors` missing pages asked for by one client, seven a second, and a line that is none.
fn log(errors: usize) -> String {
    let line = |n: usize| {
        format!(
            "203.0.113.7 - - [20/Nov/2026:10:00:{:02} +0000] \"GET /missing-{n} HTTP/1.1\" 404 153 \"-\" \"curl\"\n",
            n / 7
        )
    };
    (0..errors).map(line).chain(["nonsense\n".to_owned()]).collect()
}

const FINDING: &str = "{\"at\":\"2026-11-20T10:00:07.000Z\",\"target\":\"203.0.113.7/32\",\"rule\":\"error-flood\",\"count\":50,\"expires_at\":\"2026-11-20T10:05:07.000Z\",\"strikes\":0}\n";

#[test]
fn replay_prints_findings_on_stdout_and_a_summary_on_stderr() {
    let host = Host::new();
    let file = host.write("access.log", &log(60));
    let file = file.to_str().unwrap();
    let output = host.run("secbeat-orchestrator", &["replay", "-o", "json", file]);
    assert_eq!(stdout(&output), FINDING);
    let summary = String::from_utf8_lossy(&output.stderr);
    assert!(
        summary.starts_with("61 lines read, 60 parsed, 1 rejected\n"),
        "{summary}"
    );
    assert!(summary.contains(&format!("{file}:61: ")), "{summary}");
    assert!(
        summary.ends_with("1 source, 1 finding, 0 of them suppressed\n"),
        "{summary}"
    );
    let table = stdout(&host.run("secbeat-orchestrator", &["replay", file]));
    let lines: Vec<_> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .collect();
    assert_eq!(
        lines[0],
        ["AT", "TARGET", "RULE", "COUNT", "STRIKES", "BANNED", "UNTIL"]
    );
    let row = [
        "2026-11-20T10:00:07.000Z",
        "203.0.113.7/32",
        "error-flood",
        "50",
        "0",
        "2026-11-20T10:05:07.000Z",
    ];
    assert_eq!(lines[1..], [row]);
}

#[test]
fn replay_shows_what_another_config_changes() {
    let host = Host::new();
    let file = host.write("access.log", &log(60));
    let strict = host.write("strict.toml", "[[rule]]\nname = \"error-flood\"\nthreshold = 8\n");
    let mild = host.write("mild.toml", "[[rule]]\nname = \"error-flood\"\nthreshold = 61\n");
    let [file, strict, mild] = [&file, &strict, &mild].map(|path| path.to_str().unwrap());
    let compared = |config: &str, old: &str| {
        let output = host.run(
            "secbeat-orchestrator",
            &[
                "replay",
                "--config",
                config,
                "--diff",
                old,
                "--summary",
                "json",
                file,
            ],
        );
        let summary: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        let numbers = ["appear", "vanish", "differ", "same"].map(|key| summary[key].as_u64().unwrap());
        (stdout(&output).lines().count(), numbers)
    };
    assert_eq!(compared(strict, mild), (2, [1, 0, 0, 0]));
    assert_eq!(compared(mild, strict), (2, [0, 1, 0, 0]));
    assert_eq!(compared(strict, strict), (0, [0, 0, 0, 1]));
}

#[test]
fn replay_of_49_errors_finds_nothing() {
    let host = Host::new();
    let file = host.write("access.log", &log(49));
    let output = host.run(
        "secbeat-orchestrator",
        &["replay", "-o", "json", file.to_str().unwrap()],
    );
    assert_eq!(stdout(&output), "");
}

#[test]
fn replay_reads_standard_input() {
    let host = Host::new();
    let file = host.write("access.log", &log(60));
    let mut command = host.namespace.command(paths::daemon("secbeat-orchestrator"));
    command
        .args(["replay", "-o", "json", "-"])
        .stdin(Stdio::from(std::fs::File::open(file).unwrap()));
    assert_eq!(stdout(&command.output().unwrap()), FINDING);
}

#[test]
fn replay_of_a_missing_file_names_it() {
    let host = Host::new();
    let missing = host.file("missing.log");
    let missing = missing.to_str().unwrap();
    let output = host.run("secbeat-orchestrator", &["replay", missing]);
    assert_refused(&output, FAILURE, &[missing, "No such file"]);
}

#[test]
fn explain_finds_the_format_and_fails_where_nothing_is_understood() {
    let host = Host::new();
    let file = host.write("access.log", &log(2));
    let explained = stdout(&host.run("secbeat-edge", &["explain", file.to_str().unwrap()]));
    for expected in [
        "     2 as combined\n",
        "read as combined\n",
        "  203.0.113.7  2026-11-20T10:00:0",
        "       3  not understood: no time like [10/Oct/2023:11:06:56 +0200] before the quoted request\n",
        "3 lines, 2 understood, 1 not\n",
    ] {
        assert!(explained.contains(expected), "{expected:?} in {explained}");
    }
    let file = file.to_str().unwrap();
    let output = host.run("secbeat-edge", &["explain", "--format", "haproxy", file]);
    assert_refused(&output, FAILURE, &["no line of", file, "is a request"]);
}

#[test]
fn top_needs_a_terminal_and_gives_it_back() {
    let fleet = Fleet::start(&Options::default());
    assert_refused(
        &fleet.cli("orchestrator", &["top"]),
        FAILURE,
        &["top needs a terminal"],
    );
    let mut command = fleet.host.command(TestProgram::Script);
    let program = paths::daemon("secbeat-orchestrator");
    let mut script = command
        .args(["--quiet", "--return", "--flush", "--command"])
        .arg(format!(
            "stty cols 120 rows 40; exec {} top --interval 100ms",
            program.display()
        ))
        .arg("/dev/null")
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keys, mut screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&shown).contains("edge-1") {
        let read = screen.read(&mut buffer).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&buffer[..read]);
    }
    keys.write_all(b"q").unwrap();
    screen.read_to_end(&mut shown).unwrap();
    assert!(script.wait().unwrap().success());
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.contains("SUPPRESSED"), "{shown}");
    // The alternate screen is left, and the cursor is back (xterm's control sequences).
    assert!(
        shown.contains("\x1b[?1049l") && shown.contains("\x1b[?25h"),
        "{shown:?}"
    );
}

#[test]
fn logs_are_json_where_that_is_asked_for() {
    let host = Namespace::new("host");
    let run = |name: &str, value: &str| {
        let mut command = host.command(paths::daemon("secbeat-orchestrator"));
        command.args(["--config", "/dev/null", "run"]).env(name, value);
        command
    };
    for (name, value, error) in [
        (
            "SECBEAT_LOG_FORMAT",
            "xml",
            "SECBEAT_LOG_FORMAT is `xml`, and must be text, json or journald",
        ),
        ("SECBEAT_LOG", "edge=loud", "SECBEAT_LOG is `edge=loud`"),
    ] {
        assert_refused(&run(name, value).output().unwrap(), FAILURE, &[error]);
    }
    let mut daemon = run("SECBEAT_LOG_FORMAT", "json")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(daemon.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(
        entry["level"].is_string() && entry["fields"]["message"].is_string(),
        "{line}"
    );
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

#[test]
fn what_nobody_reads_any_more_is_no_error() {
    for daemon in ["secbeat-edge", "secbeat-orchestrator"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let command = paths::daemon(daemon)
            .command()
            .arg("schema")
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn();
        let output = command.unwrap().wait_with_output().unwrap();
        assert_eq!(
            (output.status.signal(), &*String::from_utf8_lossy(&output.stderr)),
            (Some(libc::SIGPIPE), "")
        );
    }
}
