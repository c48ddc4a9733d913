//! The whole loop with a service that is no web server: its log, the edge's filter, and the ban in the kernel.

use std::{fs, io::Write as _, path::Path, time::Duration};

use jiff::Timestamp;
use secbeat_common::maps::reason;
use secbeat_tests::lab::{
    fleet::{Family, Fleet, Front, Options},
    wait::wait_until,
};

const PATIENCE: Duration = Duration::from_secs(10);
const RULE: &str = "[[rule]]\nname = \"ssh-bruteforce\"\n";

fn fleet(log: &Path, rule: &str) -> Fleet {
    Fleet::start(&Options {
        front: Front::Nginx,
        enforcement: "kernel",
        more_config: format!(
            "[[service_log]]\nfilter = \"sshd\"\npath = \"{}\"\nusers = true\n",
            log.display()
        ),
        more_orchestrator_config: rule.to_owned(),
        ..Options::default()
    })
}

/// What sshd writes about one attempt of `family`'s attacker, who takes its visitor's address for a user name.
fn attempt(log: &Path, family: Family, pid: u32) {
    let (client, decoy) = (family.attacker(), family.visitor());
    let user = format!("x from {decoy} port 22 ssh2");
    let head = format!("{:.6} host sshd[{pid}]:", Timestamp::now());
    let mut log = fs::OpenOptions::new().append(true).open(log).unwrap();
    write!(
        log,
        "{head} Invalid user {user} from {client} port 40022\n\
         {head} Failed password for invalid user {user} from {client} port 40022 ssh2\n\
         {head} Connection closed by invalid user {user} {client} port 40022 [preauth]\n"
    )
    .unwrap();
}

#[test]
fn five_attempts_at_sshd_ban_whoever_made_them_and_nobody_whom_they_name() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("auth.log");
    fs::write(&log, "").unwrap();
    let fleet = fleet(&log, RULE);
    let services = || {
        fleet
            .orchestrator_stats()
            .map(|stats| stats["service_events"].as_u64())
    };
    for (number, family) in (0..).zip(Family::BOTH) {
        for pid in 1..=4 {
            attempt(&log, family, pid);
        }
        wait_until("four attempts are counted", PATIENCE, || {
            services().flatten() == Some(number * 5 + 4)
        });
        assert_eq!(fleet.ban_of(family.attacker()), None, "12 lines are 4 attempts");
        attempt(&log, family, 5);
        assert_eq!(fleet.await_ban(family.attacker()).reason, reason::OWN_RULE);
        assert_eq!(fleet.ban_of(family.visitor()), None);
    }
    let why = fleet.cli("orchestrator", &["why", &Family::V4.attacker().to_string()]);
    let why = String::from_utf8(why.stdout).unwrap();
    for told in [
        "ssh-bruteforce",
        "sshd invalid-user",
        "x from 203.0.113.2 port 22 ssh2",
    ] {
        assert!(why.contains(told), "{why}");
    }
}

#[test]
fn events_that_no_rule_counts_are_told_loudly() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("auth.log");
    fs::write(&log, "").unwrap();
    let fleet = fleet(&log, "");
    attempt(&log, Family::V4, 1);
    wait_until("the orchestrator says that no rule counts it", PATIENCE, || {
        let status = fleet.cli("orchestrator", &["status"]);
        String::from_utf8_lossy(&status.stdout)
            .contains("NO RULE COUNTS")
            .then_some(())
    });
}
