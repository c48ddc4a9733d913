//! Daemons killed, the bus stopped, garbage sent: bans stay, and the loop goes on.

use std::{net::SocketAddr, thread, time::Duration};

use secbeat_tests::lab::{
    executable::{Executable as _, Program},
    fleet::{Family, Fleet, Options},
    udp::{UdpSender, UdpSink},
    wait::wait_until,
};

const PORT: u16 = 7777;

/// Waits until `sender` has sent `more` packets from now on.
fn let_pass_by(sender: &UdpSender, more: u64) {
    let goal = sender.sent() + more;
    wait_until(
        "the banned source goes on sending",
        Duration::from_secs(20),
        || sender.sent() >= goal,
    );
}

#[test]
fn sigkill_of_the_edge_lets_not_one_packet_of_a_banned_source_pass() {
    let mut fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    for family in Family::BOTH {
        fleet.make_errors(family, 50);
        fleet.await_ban(family.attacker());
    }
    let senders_and_sinks = Family::BOTH.map(|family| {
        let at = SocketAddr::new(family.edge_for_attacker().ip(), PORT);
        let sink = UdpSink::start(&fleet.host, at);
        let sender = UdpSender::start(&fleet.attacker, family.attacker(), at, Duration::from_micros(200));
        (family, sender, sink)
    });
    let visitors = Family::BOTH.map(|family| {
        let at = SocketAddr::new(family.edge_for_visitor().ip(), PORT + 1);
        let sink = UdpSink::start(&fleet.host, at);
        let sender = UdpSender::start(&fleet.visitor, family.visitor(), at, Duration::from_millis(1));
        (family, sender, sink)
    });
    let ends: Vec<_> = Family::BOTH
        .map(|family| fleet.ban_of(family.attacker()).unwrap().expires_boot_ns)
        .into();

    let_pass_by(&senders_and_sinks[0].1, 200);
    fleet.kill_edge();
    let_pass_by(&senders_and_sinks[0].1, 2000);
    for daemonless in [&["bans", "-o", "json"][..], &["status"]] {
        let output = fleet.cli("edge", daemonless);
        assert!(
            output.status.success(),
            "{daemonless:?} without the daemon: {output:?}"
        );
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.contains("198.51.100.2") || text.contains("not running"),
            "{text}"
        );
    }
    fleet.restart_edge();
    let_pass_by(&senders_and_sinks[0].1, 2000);

    for (family, sender, sink) in senders_and_sinks {
        let sent = sender.stop();
        assert!(sent > 1000, "only {sent} packets sent");
        assert_eq!(
            sink.received_from(family.attacker()),
            0,
            "of {sent} packets over {family:?}"
        );
    }
    for (family, sender, sink) in visitors {
        assert!(sender.stop() > 100);
        assert!(
            sink.received_from(family.visitor()) > 100,
            "the visitor was cut off over {family:?}"
        );
    }
    for (family, end) in Family::BOTH.into_iter().zip(ends) {
        let moved = fleet
            .ban_of(family.attacker())
            .unwrap()
            .expires_boot_ns
            .abs_diff(end);
        assert!(
            moved < 1_000_000_000,
            "the restart moved the end of the ban by {moved} ns"
        );
    }
}

#[test]
fn sigkill_of_the_orchestrator_forgets_no_error() {
    let mut fleet = Fleet::start(&Options::default());
    let family = Family::V4;
    fleet.make_errors(family, 30);
    fleet.await_events(30);
    fleet.bounce_orchestrator();
    fleet.await_events(30);
    assert_eq!(fleet.ban_of(family.attacker()), None);
    fleet.make_errors(family, 19);
    fleet.await_events(49);
    assert_eq!(fleet.ban_of(family.attacker()), None, "49 errors banned");
    fleet.make_errors(family, 1);
    fleet.await_ban(family.attacker());
}

#[test]
fn errors_while_the_orchestrator_is_dead_count_once_it_is_back() {
    let mut fleet = Fleet::start(&Options::default());
    fleet.orchestrator.kill9();
    fleet.make_errors(Family::V6, 50);
    fleet.bounce_orchestrator();
    fleet.await_ban(Family::V6.attacker());
}

#[test]
fn a_restarted_orchestrator_keeps_bans_and_strikes_and_does_not_ban_again_for_old_errors() {
    let mut fleet = Fleet::start(&Options {
        ban: "2s",
        ..Options::default()
    });
    let family = Family::V4;
    fleet.make_errors(family, 50);
    let first = fleet.await_ban(family.attacker());
    fleet.bounce_orchestrator();
    let kept = fleet.ban_of(family.attacker()).unwrap();
    assert!(
        kept.expires_boot_ns.abs_diff(first.expires_boot_ns) < 1_000_000_000,
        "{kept:?} {first:?}"
    );
    wait_until("the ban ends", Duration::from_secs(10), || {
        fleet.ban_of(family.attacker()).is_none()
    });
    fleet.bounce_orchestrator();
    fleet.await_events(50);
    assert_eq!(
        fleet.ban_of(family.attacker()),
        None,
        "banned again for errors that were paid for"
    );
    fleet.make_errors(family, 50);
    assert_eq!(fleet.await_ban(family.attacker()).strikes, 1);
}

#[test]
fn nats_stopped_for_ten_seconds_lifts_no_ban_and_the_loop_resumes_by_itself() {
    let mut fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    fleet.make_errors(Family::V4, 50);
    fleet.await_ban(Family::V4.attacker());
    let visitor = fleet.browsing(Family::V4);
    fleet.nats.stop();
    // What is tested is an outage of this length, so here time itself is the condition.
    thread::sleep(Duration::from_secs(10));
    assert!(
        fleet.ban_of(Family::V4.attacker()).is_some(),
        "the outage lifted a ban"
    );
    fleet.nats.restart();
    wait_until(
        "both daemons are back on the bus",
        Duration::from_secs(20),
        || {
            fleet
                .edge_stats()
                .is_some_and(|stats| stats["bus_connected"] == true)
                && fleet
                    .orchestrator_stats()
                    .is_some_and(|stats| stats["bus_connected"] == true)
        },
    );
    assert!(
        fleet.ban_of(Family::V4.attacker()).is_some(),
        "the reconnect lifted a ban"
    );
    fleet
        .orchestrator
        .wait_for_log_count("reading telemetry", 2, Duration::from_secs(20));
    fleet.make_errors(Family::V6, 50);
    fleet.await_ban(Family::V6.attacker());
    let report = visitor.stop();
    assert!(report.failures.is_empty(), "{report:?}");
}

#[test]
fn an_evicted_or_deleted_ban_comes_back() {
    let fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    fleet.make_errors(Family::V4, 50);
    fleet.await_ban(Family::V4.attacker());
    let map = fleet.pin_folder().join("BANNED_V4");
    let deleted = Program::Bpftool
        .command()
        .args(["map", "delete", "pinned"])
        .arg(map)
        .args(["key", "198", "51", "100", "2"])
        .status()
        .unwrap();
    assert!(deleted.success());
    fleet.await_ban(Family::V4.attacker());
}

#[test]
fn garbage_on_any_subject_is_counted_and_logged_once_per_sender() {
    let fleet = Fleet::start(&Options::default());
    for _ in 0..100 {
        fleet
            .nats
            .publish("secbeat.telemetry.rogue.3", b"\x02\x01garbage");
        fleet
            .nats
            .publish("$KV.secbeat_bans.v4.c6336463.32", b"\x09garbage");
        fleet.nats.publish("$KV.secbeat_bans.nonsense", b"");
    }
    wait_until("all garbage was counted", Duration::from_secs(10), || {
        let counted =
            |stats: Option<serde_json::Value>| stats.and_then(|stats| stats["garbage"].as_u64()).unwrap_or(0);
        counted(fleet.orchestrator_stats()) >= 100 && counted(fleet.edge_stats()) >= 100
    });
    let complaints = |log: String, text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(
        complaints(fleet.orchestrator.log(), "not telemetry"),
        1,
        "{}",
        fleet.orchestrator.log()
    );
    assert_eq!(
        complaints(fleet.edge.log(), "not a ban"),
        2,
        "{}",
        fleet.edge.log()
    );
    fleet.make_errors(Family::V4, 50);
    fleet.await_ban(Family::V4.attacker());
}

#[test]
fn sigterm_ends_both_daemons_cleanly_and_the_ban_stays_and_detach_leaves_nothing() {
    let mut fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    fleet.make_errors(Family::V4, 50);
    fleet.await_ban(Family::V4.attacker());
    fleet.stop();
    assert!(fleet.ban_of(Family::V4.attacker()).is_some());
    let dropped = fleet.pins().dropped();
    let refused = fleet
        .attacking(Family::V4)
        .with_timeout(Duration::from_millis(300))
        .get("http://198.51.100.1:1/");
    assert!(refused.is_err());
    assert!(
        fleet.pins().dropped() > dropped,
        "nothing was dropped after the daemons ended"
    );
    let output = fleet.cli("edge", &["detach"]);
    assert!(output.status.success(), "{output:?}");
    assert!(!fleet.pin_folder().exists(), "pins left behind");
    // The kernel lets go of a link a moment after its pin is removed.
    wait_until("the interface is free", Duration::from_secs(10), || {
        let show = ["-details", "link", "show", "to-attacker"];
        let links = fleet.host.command(Program::Ip).args(show).output().unwrap();
        !String::from_utf8_lossy(&links.stdout).contains("prog/xdp")
    });
}

#[test]
fn an_unban_is_not_undone_by_a_ban_that_was_still_being_written() {
    let mut fleet = Fleet::start(&Options::default());
    let (address, other) = (Family::V4.attacker().to_string(), Family::V6.attacker());
    // A server that takes connections and bytes but answers nothing, so that every write has to be tried again.
    fleet.nats.signal(libc::SIGSTOP);
    let unanswered = fleet.cli("orchestrator", &["ban", &address, "--duration", "1h"]);
    assert!(
        String::from_utf8_lossy(&unanswered.stderr).contains("timed out after"),
        "{unanswered:?}"
    );
    let unanswered = fleet.cli("orchestrator", &["unban", &address]);
    assert!(!unanswered.status.success(), "{unanswered:?}");
    fleet.nats.signal(libc::SIGCONT);
    wait_until("everything is written", Duration::from_secs(30), || {
        fleet
            .orchestrator_stats()
            .is_some_and(|stats| stats["unwritten"] == 0)
    });
    let later = fleet.cli("orchestrator", &["ban", &other.to_string()]);
    assert!(later.status.success(), "{later:?}");
    fleet.await_ban(other);
    wait_until(
        "the unban has reached the kernel",
        Duration::from_secs(10),
        || fleet.ban_of(Family::V4.attacker()).is_none(),
    );
    let listed = fleet.cli("orchestrator", &["bans", "-o", "json"]);
    assert!(
        !String::from_utf8_lossy(&listed.stdout).contains(&address),
        "{listed:?}"
    );
}

#[test]
fn nobody_bans_or_lifts_by_hand_while_no_edge_would_hear_of_it() {
    let mut fleet = Fleet::start(&Options::default());
    let address = Family::V4.attacker().to_string();
    fleet.nats.stop();
    wait_until("the orchestrator has lost NATS", Duration::from_secs(10), || {
        fleet
            .orchestrator_stats()
            .is_some_and(|stats| stats["bus_connected"] == false)
    });
    for command in [&["ban", &address[..]][..], &["unban", &address]] {
        let refused = fleet.cli("orchestrator", command);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && text.contains("NATS is unreachable"),
            "{refused:?}"
        );
    }
}
