//! Several orchestrators: they share the partitions, take over from each other, and ban once.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use secbeat_common::{
    prefix::Prefix,
    sign::Signer,
    subjects::{self, PARTITIONS},
    wire::{Action, BlockCommand, Layer, Reason, Scope},
};
use secbeat_daemon::time::now_ms;
use secbeat_tests::lab::{
    fleet::{Family, Fleet, Options},
    pair::{FIRST, Pair, SECOND},
    wait::wait_until,
};
use uuid::Uuid;

/// Two orchestrators and an edge, whose bans last an hour.
fn pair() -> Pair {
    Pair::start(&Options {
        ban: "1h",
        ..Options::default()
    })
}

#[test]
fn what_a_killed_orchestrator_had_counted_counts_at_the_other() {
    let mut pair = pair();
    let (banned, watched) = (Family::V6, Family::V4);
    pair.fleet.make_errors(banned, 50);
    pair.fleet.await_ban(banned.attacker());
    pair.await_audited(1);
    let (owner, other) = pair.owner_and_other(watched.attacker());
    let before = pair.events(owner);
    pair.fleet.make_errors(watched, 40);
    pair.await_events(owner, before + 40);
    wait_until("both know of the ban", Duration::from_secs(5), || {
        !pair.bans(other).is_empty()
    });
    let listed = pair.bans(other);
    let seen = pair.events(other);

    pair.daemon(owner).kill9();
    let killed = Instant::now();
    pair.await_all(other, Duration::from_secs(5));
    println!("the other owned all {:?} after the kill", killed.elapsed());
    pair.await_events(other, seen + 40);
    assert_eq!(pair.fleet.ban_of(watched.attacker()), None, "40 errors banned");
    let before = pair.events(other);
    pair.fleet.make_errors(watched, 9);
    pair.await_events(other, before + 9);
    assert_eq!(pair.fleet.ban_of(watched.attacker()), None, "49 errors banned");
    pair.fleet.make_errors(watched, 1);
    pair.fleet.await_ban(watched.attacker());

    pair.await_audited(2);
    assert!(pair.fleet.ban_of(banned.attacker()).is_some(), "a ban was lost");
    let now = pair.bans(other);
    assert!(listed.iter().all(|ban| now.contains(ban)), "{listed:?} {now:?}");
    assert_eq!(now.len(), 2, "{now:?}");
}

#[test]
fn what_a_killed_orchestrator_observed_the_other_does_not_observe_again() {
    let rule = "[[rule]]\nname = \"trial\"\ncounts = \"errors\"\nthreshold = 5\nwindow = \"60s\"\nban = \"2h\"\n\
                action = \"observe\"\n";
    let mut pair = Pair::start(&Options {
        more_orchestrator_config: rule.to_owned(),
        ..Options::default()
    });
    let attacker = Family::V4.attacker();
    let (owner, other) = pair.owner_and_other(attacker);
    let before = pair.events(owner);
    pair.fleet.make_errors(Family::V4, 7);
    pair.await_events(owner, before + 7);
    let observed = |pair: &Pair| {
        let audit = pair.ask(other, "/api/v1/audit?kind=observed");
        audit.as_array().unwrap().len()
    };
    wait_until("it is audited", Duration::from_secs(5), || observed(&pair) == 1);
    let seen = pair.events(other);
    pair.daemon(owner).kill9();
    pair.await_all(other, Duration::from_secs(5));
    pair.fleet.make_errors(Family::V4, 10);
    pair.await_events(other, seen + 17);
    // Whatever it finds is audited before this ban.
    pair.fleet.make_errors(Family::V4, 33);
    pair.fleet.await_ban(attacker);
    pair.await_audited(1);
    assert_eq!(observed(&pair), 1, "the same ban would have been twice");
}

#[test]
fn an_owner_that_was_paused_until_its_lease_went_cannot_ban() {
    let mut pair = pair();
    let attacker = Family::V4.attacker();
    let (owner, other) = pair.owner_and_other(attacker);
    let before = pair.events(owner);
    pair.fleet.make_errors(Family::V4, 49);
    pair.await_events(owner, before + 49);

    pair.daemon(owner).signal(libc::SIGSTOP);
    pair.fleet.make_errors(Family::V4, 1);
    pair.fleet.await_ban(attacker);
    pair.await_audited(1);
    // What it reads once it wakes would be a finding, and no ban would be in the way.
    let lifted = pair
        .fleet
        .order(other, "DELETE", &format!("/api/v1/bans/{attacker}"), "");
    assert_eq!(lifted.unwrap().status, 200);
    wait_until("the ban is lifted", Duration::from_secs(10), || {
        pair.fleet.ban_of(attacker).is_none()
    });

    pair.daemon(owner).signal(libc::SIGCONT);
    pair.await_shares(8);
    // Both have read all of the window by now, whoever owns the attacker's partition.
    let (owner, _) = pair.owner_and_other(attacker);
    pair.await_events(owner, 50);
    assert_eq!(pair.fleet.ban_of(attacker), None);
    assert_eq!(pair.audited(), 1, "it banned");
}

#[test]
fn an_orchestrator_that_ends_hands_over_at_once() {
    let mut pair = pair();
    let started = Instant::now();
    assert!(pair.second.terminate(Duration::from_secs(10)).success());
    pair.await_all(FIRST, Duration::from_secs(1));
    println!("handed over {:?} after SIGTERM", started.elapsed());
    pair.fleet.make_errors(Family::V4, 50);
    pair.fleet.make_errors(Family::V6, 50);
    for family in Family::BOTH {
        pair.fleet.await_ban(family.attacker());
    }
    pair.await_audited(2);
}

#[test]
fn one_that_is_killed_and_started_again_does_not_wait_for_its_own_lease() {
    let mut fleet = Fleet::start(&Options::default());
    fleet.make_errors(Family::V4, 40);
    fleet.await_events(40);
    fleet.orchestrator.kill9();
    let killed = Instant::now();
    fleet.start_orchestrator();
    wait_until("it owns all again", Duration::from_secs(3), || {
        fleet
            .api(FIRST, "/readyz")
            .is_ok_and(|answer| answer.status == 200)
    });
    println!("owned all {:?} after the kill", killed.elapsed());
    fleet.await_events(40);
    fleet.make_errors(Family::V4, 10);
    fleet.await_ban(Family::V4.attacker());
}

#[test]
fn what_is_ordered_at_one_orchestrator_is_known_and_can_be_undone_at_the_other() {
    let pair = pair();
    let attacker = Family::V4.attacker();
    let banned = pair.fleet.cli("orchestrator", &["ban", &attacker.to_string()]);
    assert!(banned.status.success(), "{banned:?}");
    pair.fleet.await_ban(attacker);
    wait_until("the other lists it", Duration::from_secs(5), || {
        pair.bans(SECOND) == pair.bans(FIRST) && !pair.bans(SECOND).is_empty()
    });
    let lifted = pair
        .fleet
        .order(SECOND, "DELETE", &format!("/api/v1/bans/{attacker}"), "");
    assert_eq!(lifted.unwrap().status, 200);
    wait_until("it is lifted everywhere", Duration::from_secs(5), || {
        pair.bans(FIRST).is_empty() && pair.fleet.ban_of(attacker).is_none()
    });
}

#[test]
fn a_ban_of_an_epoch_that_is_over_is_refused_until_its_owner_has_written_it_again() {
    let fleet = Fleet::start(&Options {
        ban: "1h",
        ..Options::default()
    });
    fleet.make_errors(Family::V4, 50);
    fleet.await_ban(Family::V4.attacker());
    let partition = Prefix::single(Family::V4.attacker()).partition(PARTITIONS);
    let others = (1..=254).map(|n| IpAddr::from([198, 51, 100, n])).skip(2);
    let same_partition = |address: &IpAddr| Prefix::single(*address).partition(PARTITIONS) == partition;
    let target = Prefix::single(others.into_iter().find(same_partition).unwrap());
    let command = BlockCommand {
        id: Uuid::now_v7(),
        action: Action::Block,
        list: None,
        target,
        reason: Reason::ErrorFlood,
        note: String::new(),
        evidence: None,
        scope: Scope::Fleet,
        strikes: 0,
        issued_at_ms: now_ms(),
        expires_at_ms: now_ms() + 3_600_000,
        issuer: "a stale orchestrator".to_owned(),
        layer: Layer::Kernel,
        epoch: 1,
    };
    fleet.nats.publish(
        &subjects::ban(&target),
        &Signer::default().seal(&command, 0).unwrap(),
    );
    wait_until("the edge refuses it", Duration::from_secs(10), || {
        fleet
            .edge_stats()
            .is_some_and(|stats| stats["refused_commands"]["stale"] == 1)
    });
    fleet.await_ban(target.addr());
}

#[test]
fn orchestrators_that_go_by_different_configs_say_so_everywhere() {
    let mut fleet = Fleet::start(&Options {
        ban: "60s",
        ..Options::default()
    });
    // The first one has read it already.
    fleet.reconfigure_orchestrator("duration = \"60s\"", "duration = \"90s\" # longer");
    let mut second = fleet.another_orchestrator(SECOND);
    let differs = "config differs from this one's in ban:";
    for daemon in [&mut fleet.orchestrator, &mut second] {
        daemon.wait_for_log(differs, Duration::from_secs(20));
    }
    let differing = |fleet: &Fleet, key: &str| {
        let metrics = fleet.api(FIRST, "/metrics").unwrap().body;
        let name = format!("secbeat_orchestrator_config_differs{{key=\"{key}\"}} 1");
        String::from_utf8_lossy(&metrics).contains(&name)
    };
    assert!(differing(&fleet, "ban") && !differing(&fleet, "rule"));
    let status = fleet.cli("orchestrator", &["status"]).stdout;
    let status = String::from_utf8_lossy(&status).into_owned();
    let line = status.lines().find(|line| line.starts_with("config "));
    assert!(line.is_some_and(|line| line.contains(" in ban:")), "{status}");
    second.terminate(Duration::from_secs(10));
    wait_until("it is gone", Duration::from_secs(10), || {
        !differing(&fleet, "ban")
    });
    assert_eq!(fleet.orchestrator.log().matches(differs).count(), 1, "once");
}
