//! The whole loop without our proxy: a web server writes its log, the edge follows it, and the attacker is banned in the
//! kernel.

use std::{fs, io::Write, time::Duration};

use secbeat_common::maps::reason;
use secbeat_daemon::time::{now_ms, rfc3339};
use secbeat_tests::lab::{
    fleet::{Family, Fleet, Front, Options},
    journal::Journal,
    wait::wait_until,
};
use serde_json::Value;

const ERRORS: u64 = 50;
const PATIENCE: Duration = Duration::from_secs(10);

fn fleet() -> Fleet {
    Fleet::start(&Options {
        front: Front::Nginx,
        enforcement: "kernel",
        ..Options::default()
    })
}

/// What the edge says of its first access log.
fn log_stats(fleet: &Fleet) -> Value {
    fleet.edge_stats().unwrap()["access_logs"][0].clone()
}

fn text(output: std::process::Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn whoever_makes_50_errors_in_nginxs_log_is_banned_in_the_kernel() {
    let fleet = fleet();
    for family in Family::BOTH {
        let seen = fleet.orchestrator_stats().unwrap()["events"].as_u64().unwrap();
        let visitor = fleet.browsing(family);
        fleet.make_errors(family, ERRORS - 1);
        fleet.await_events(seen + ERRORS - 1);
        assert_eq!(
            fleet.ban_of(family.attacker()),
            None,
            "49 errors banned {family:?}"
        );
        let mut attacker = fleet.attacking(family);
        for n in 0..11 {
            // The ban comes while these are answered.
            let _ = attacker.get(&format!("http://{}/more-{n}", family.edge_for_attacker()));
        }
        assert_eq!(fleet.await_ban(family.attacker()).reason, reason::ERROR_FLOOD);
        let url = format!("http://{}/", family.edge_for_attacker());
        let refused = fleet
            .attacking(family)
            .with_timeout(Duration::from_millis(500))
            .get(&url);
        assert!(refused.is_err(), "a banned client was answered {refused:?}");
        let report = visitor.stop();
        assert!(
            report.requests > 10 && report.failures.is_empty(),
            "{family:?}: {report:?}"
        );
    }
}

#[test]
fn the_reader_says_how_it_does() {
    let fleet = fleet();
    fleet.make_errors(Family::V4, 7);
    wait_until("seven lines are read", PATIENCE, || {
        log_stats(&fleet)["parsed"] == 7
    });
    let mut log = fs::OpenOptions::new()
        .append(true)
        .open(fleet.nginx.combined_log())
        .unwrap();
    log.write_all(b"not a line of this format\n").unwrap();
    wait_until("one more line is read", PATIENCE, || {
        log_stats(&fleet)["unparsed"] == 1
    });
    let stats = log_stats(&fleet);
    assert_eq!(
        (&stats["lines"], &stats["bytes_behind"], &stats["error"]),
        (&8.into(), &0.into(), &Value::Null)
    );
    assert_eq!(stats["unparsed_share"], 0.125);
    assert_eq!(stats["name"], fleet.nginx.combined_log().to_str().unwrap());
    let status = text(fleet.cli("edge", &["status"]));
    assert!(
        status.contains("combined.log: 8 lines, 1 not understood (12.5 %), 0 bytes behind"),
        "{status}"
    );
    let metrics = fleet.api(8080, "/metrics").unwrap();
    let metrics = String::from_utf8(metrics.body).unwrap();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("secbeat_edge_log_lines_total") && line.contains("unparsed"));
    assert!(line.is_some_and(|line| line.ends_with(" 1")), "{metrics}");
    let checked = text(fleet.cli("edge", &["check"]));
    assert!(checked.contains("combined.log as combined"), "{checked}");
}

#[test]
fn a_log_of_which_nothing_is_understood_is_told_loudly() {
    let mut fleet = fleet();
    let log = fleet.nginx.combined_log();
    let line = "198.51.100.2 said something that is no request\n".repeat(25);
    fs::OpenOptions::new()
        .append(true)
        .open(&log)
        .unwrap()
        .write_all(line.as_bytes())
        .unwrap();
    fleet
        .edge
        .wait_for_log("half of its last lines or more are not understood", PATIENCE);
    let told = fleet.edge.log();
    let told = told
        .lines()
        .find(|line| line.contains("are not understood"))
        .unwrap();
    for part in [
        "not understood as combined",
        &format!("secbeat-edge explain {}", log.display()),
    ] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    let stats = log_stats(&fleet).to_string();
    let status = text(fleet.cli("edge", &["status"]));
    assert!(status.contains("NOTHING IS UNDERSTOOD AS combined"), "{status}");
    // Everybody on the host may ask for these.
    for shown in [told, &stats, &status] {
        for secret in ["198.51.100.2", "said something"] {
            assert!(!shown.contains(secret), "{secret} of the log in {shown}");
        }
    }
}

#[test]
fn an_edge_that_was_killed_or_stopped_goes_on_where_it_was() {
    let mut fleet = fleet();
    fleet.make_errors(Family::V4, 10);
    fleet.await_events(10);
    wait_until("a checkpoint covers all", PATIENCE, || {
        let size = fs::metadata(fleet.nginx.combined_log()).unwrap().len();
        fleet
            .log_checkpoint()
            .is_some_and(|text| text.contains(&format!("\"offset\":{size},")))
    });
    fleet.kill_edge();
    fleet.make_errors(Family::V4, 10);
    fleet.restart_edge();
    fleet.await_events(20);
    assert!(fleet.edge.terminate(PATIENCE).success());
    fleet.make_errors(Family::V4, 10);
    fleet.restart_edge();
    fleet.await_events(30);
    assert_eq!(log_stats(&fleet)["parsed"], 10);
    assert_eq!(fleet.orchestrator_stats().unwrap()["events"], 30);
}

/// A line of the format `combined` as a server writes it now.
fn line(client: &str, path: &str) -> Vec<u8> {
    let at = rfc3339(now_ms());
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months[at[5..7].parse::<usize>().unwrap() - 1];
    let (year, day, time) = (&at[..4], &at[8..10], &at[11..19]);
    format!("{client} - - [{day}/{month}/{year}:{time} +0000] \"GET {path} HTTP/1.1\" 404 9 \"-\" \"-\"")
        .into_bytes()
}

#[test]
fn a_units_messages_are_followed_across_restarts_and_rotations() {
    let mut fleet = Fleet::start(&Options {
        enforcement: "kernel",
        more_config: "[[access_log]]\njournald = \"web.service\"\n".to_owned(),
        ..Options::default()
    });
    let mut journal = Journal::start(&fleet.files);
    journal.write("other.service", b"journald is there before any unit");
    assert!(fleet.edge.terminate(PATIENCE).success());
    fleet.restart_edge();
    let client = Family::V4.attacker().to_string();
    for n in 0..10 {
        journal.write("web.service", &line(&client, &format!("/{n}")));
        journal.write("other.service", &line(&client, "/other"));
    }
    fleet.await_events(10);
    let mut odd = line(&client, "/");
    odd.truncate(odd.len() - 2);
    odd.extend(b"\xff\"");
    journal.write("web.service", &odd);
    journal.write("web.service", b"started");
    fleet.await_events(11);
    wait_until("a message that is no request is counted", PATIENCE, || {
        log_stats(&fleet)["unparsed"] == 1
    });

    for is_vacuumed in [false, true] {
        journal.rotate(is_vacuumed);
        for n in 0..5 {
            journal.write("web.service", &line(&client, &format!("/{n}")));
        }
        fleet.await_events(if is_vacuumed { 21 } else { 16 });
    }
    assert_eq!(log_stats(&fleet)["restarts"], 0);

    assert!(fleet.edge.terminate(PATIENCE).success());
    for n in 0..29 {
        journal.write("web.service", &line(&client, &format!("/{n}")));
    }
    fleet.restart_edge();
    assert_eq!(fleet.await_ban(Family::V4.attacker()).reason, reason::ERROR_FLOOD);
    wait_until("all is read", PATIENCE, || log_stats(&fleet)["parsed"] == 29);
    assert_eq!(fleet.orchestrator_stats().unwrap()["events"], 50);
}
