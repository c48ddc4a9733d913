//! Behaviour of the ledger.

use std::time::Duration;

use secbeat_common::wire::{Evidence, Reason};

use super::*;
use crate::analyzers::{Action as RuleAction, Counted, Rule, Why};

const NOW: i64 = 1_795_168_800_000;
const NO_BRAKES: Brakes<'_> = Brakes {
    well_behaved: None,
    edge: None,
    waited: false,
};
const HOUR: i64 = 3_600_000;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

pub(super) fn finding(source: &str, at_ms: i64) -> Finding {
    let window = Duration::from_secs(60);
    Finding {
        source: prefix(source),
        rule: Rule::ErrorFlood,
        at_ms,
        layer: Layer::Kernel,
        why: Why::Threshold {
            count: 50,
            counted: Counted::Errors,
            window,
        },
        action: RuleAction::Ban,
        ban: None,
        scope: Scope::Fleet,
    }
}

fn finding_at_l7(source: &str, at_ms: i64) -> Finding {
    Finding {
        layer: Layer::L7,
        ..finding(source, at_ms)
    }
}

fn judge(ledger: &mut Ledger, source: &str, now_ms: i64) -> Decision {
    let id = Uuid::from_u64_pair(now_ms.unsigned_abs(), u64::from(source.len() as u32));
    ledger.judge(&finding(source, now_ms), NO_BRAKES, now_ms, id)
}

/// Judges a finding whose ban is to reach as far as `scope`.
fn reach(
    ledger: &mut Ledger,
    finding: &Finding,
    scope: Scope,
    brakes: Brakes<'_>,
    now_ms: i64,
    id: Uuid,
) -> Decision {
    let finding = Finding {
        scope,
        ..finding.clone()
    };
    ledger.judge(&finding, brakes, now_ms, id)
}

fn banned(decision: Decision) -> BlockCommand {
    match decision {
        Decision::Ban(command) => *command,
        other => panic!("no ban but {other:?}"),
    }
}

fn ban(ledger: &mut Ledger, target: &str, seconds: u64, id: u128) -> Result<BlockCommand, Refusal> {
    let (note, issuer) = ("scanner".to_owned(), "alice".to_owned());
    let ends_ms = NOW + i64::try_from(seconds).unwrap() * 1000;
    let ban = ManualBan::new(prefix(target), ends_ms, note, issuer);
    ledger.ban(ban, NOW, Uuid::from_u128(id))
}

#[test]
fn a_finding_becomes_one_complete_command() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    let partition = prefix("203.0.113.7").partition(PARTITIONS);
    ledger.set_epoch(partition, 7);
    ledger.set_epoch(partition ^ 1, 8);
    let id = Uuid::from_u128(1);
    let decision = reach(
        &mut ledger,
        &finding("203.0.113.7", NOW - 20),
        Scope::Fleet,
        NO_BRAKES,
        NOW,
        id,
    );
    let expected = BlockCommand {
        id,
        action: Action::Block,
        list: None,
        target: prefix("203.0.113.7"),
        reason: Reason::ErrorFlood,
        note: "50 errors in 60s".to_owned(),
        evidence: Some(Evidence {
            count: 50,
            window_ms: 60_000,
            at_ms: NOW - 20,
        }),
        scope: Scope::Fleet,
        strikes: 0,
        issued_at_ms: NOW,
        expires_at_ms: NOW + 300_000,
        issuer: "orchestrator".to_owned(),
        layer: Layer::Kernel,
        epoch: 7,
    };
    assert_eq!(banned(decision), expected);
    assert_eq!(
        judge(&mut ledger, "203.0.113.7", NOW + 299_999),
        Decision::AlreadyBanned
    );
    assert_eq!(ledger.active().count(), 1);
}

#[test]
fn a_rule_that_observes_tells_of_the_ban_and_changes_nothing() {
    let mut ledger = Ledger::new(LedgerConfig {
        max_bans_per_minute: 1,
        ..LedgerConfig::default()
    });
    let source = "203.0.113.7";
    let observed = Finding {
        action: RuleAction::Observe,
        ..finding(source, NOW)
    };
    ledger.restore_history(prefix(source), NOW - 1, 0);
    for n in 1..4 {
        let Decision::Observed(command) = reach(
            &mut ledger,
            &observed,
            Scope::Fleet,
            NO_BRAKES,
            NOW,
            Uuid::from_u128(n),
        ) else {
            panic!("observed");
        };
        assert_eq!((command.strikes, command.expires_at_ms), (1, NOW + 600_000));
    }
    assert_eq!((ledger.len(), ledger.pending().count()), (0, 0));
    assert_eq!(banned(judge(&mut ledger, source, NOW)).strikes, 1);
    assert_eq!(
        reach(
            &mut ledger,
            &observed,
            Scope::Fleet,
            NO_BRAKES,
            NOW,
            Uuid::from_u128(9)
        ),
        Decision::AlreadyBanned
    );
    let loopback = Finding {
        action: RuleAction::Observe,
        ..finding("127.0.0.1", NOW)
    };
    let decision = reach(
        &mut ledger,
        &loopback,
        Scope::Fleet,
        NO_BRAKES,
        NOW,
        Uuid::from_u128(10),
    );
    assert!(matches!(decision, Decision::Suppressed(_)), "{decision:?}");
}

#[test]
fn a_rules_own_duration_is_that_of_the_first_ban() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    let hour = Finding {
        ban: Some(Duration::from_secs(3600)),
        ..finding("203.0.113.7", NOW)
    };
    let first = banned(reach(
        &mut ledger,
        &hour,
        Scope::Fleet,
        NO_BRAKES,
        NOW,
        Uuid::from_u128(1),
    ));
    assert_eq!(first.expires_at_ms, NOW + HOUR);
    let second = banned(reach(
        &mut ledger,
        &hour,
        Scope::Fleet,
        NO_BRAKES,
        NOW + HOUR,
        Uuid::from_u128(2),
    ));
    assert_eq!((second.strikes, second.expires_at_ms), (1, NOW + 3 * HOUR));
}

#[test]
fn an_address_learned_behind_a_proxy_is_banned_at_l7_only() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    let found = finding_at_l7("203.0.113.1", NOW);
    let decision = reach(
        &mut ledger,
        &found,
        Scope::Fleet,
        NO_BRAKES,
        NOW,
        Uuid::from_u128(1),
    );
    assert_eq!(banned(decision).layer, Layer::L7);
    let again = reach(
        &mut ledger,
        &found,
        Scope::Fleet,
        NO_BRAKES,
        NOW + 1,
        Uuid::from_u128(2),
    );
    assert_eq!(again, Decision::AlreadyBanned);
}

#[test]
fn a_source_banned_at_l7_that_comes_as_a_peer_is_banned_in_the_kernel_without_a_further_strike() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    let (source, id) = ("203.0.113.7", |n: u128| Uuid::from_u128(n));
    // The second ban, of 600 s.
    ledger.restore_history(prefix(source), NOW - 1, 0);
    let first = banned(reach(
        &mut ledger,
        &finding_at_l7(source, NOW),
        Scope::Fleet,
        NO_BRAKES,
        NOW,
        id(1),
    ));
    assert_eq!((first.strikes, first.expires_at_ms), (1, NOW + 600_000));

    let at = NOW + 100_000;
    let deeper = banned(reach(
        &mut ledger,
        &finding(source, at),
        Scope::Fleet,
        NO_BRAKES,
        at,
        id(2),
    ));
    assert_eq!(
        (deeper.id, deeper.layer, deeper.strikes, deeper.expires_at_ms),
        (id(2), Layer::Kernel, 1, at + 600_000)
    );
    assert_eq!(ledger.get(&prefix(source)).unwrap().command, deeper);
    assert_eq!(ledger.len(), 1);
    assert_eq!(
        reach(
            &mut ledger,
            &finding(source, at),
            Scope::Fleet,
            NO_BRAKES,
            at,
            id(3)
        ),
        Decision::AlreadyBanned
    );
    assert_eq!(
        reach(
            &mut ledger,
            &finding_at_l7(source, at),
            Scope::Fleet,
            NO_BRAKES,
            at,
            id(4)
        ),
        Decision::AlreadyBanned
    );
    ledger.expire(at + 600_000);
    let third = banned(reach(
        &mut ledger,
        &finding(source, at),
        Scope::Fleet,
        NO_BRAKES,
        at + 600_001,
        id(5),
    ));
    assert_eq!(third.strikes, 2);
}

#[test]
fn going_to_the_kernel_does_not_shorten_a_longer_ban_nor_leave_a_banned_network() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    let source = "203.0.113.7";
    let longer = BlockCommand {
        expires_at_ms: NOW + 10 * HOUR,
        ..banned(reach(
            &mut ledger,
            &finding_at_l7(source, NOW),
            Scope::Fleet,
            NO_BRAKES,
            NOW,
            Uuid::from_u128(1),
        ))
    };
    ledger.acknowledged(longer.id);
    assert!(ledger.restore(longer));
    let deeper = banned(reach(
        &mut ledger,
        &finding(source, NOW),
        Scope::Fleet,
        NO_BRAKES,
        NOW,
        Uuid::from_u128(2),
    ));
    assert_eq!(deeper.expires_at_ms, NOW + 10 * HOUR);

    let other = "192.0.2.7";
    banned(reach(
        &mut ledger,
        &finding_at_l7(other, NOW),
        Scope::Fleet,
        NO_BRAKES,
        NOW,
        Uuid::from_u128(3),
    ));
    ban(&mut ledger, "192.0.2.0/24", 60, 4).unwrap();
    assert_eq!(
        reach(
            &mut ledger,
            &finding(other, NOW),
            Scope::Fleet,
            NO_BRAKES,
            NOW,
            Uuid::from_u128(5)
        ),
        Decision::AlreadyBanned,
        "the network's ban drops its packets"
    );
}

#[test]
fn a_protected_source_is_never_banned_but_suppressed() {
    let protected = vec![prefix("203.0.113.0/24"), prefix("2001:db8::1/128")];
    let mut ledger = Ledger::new(LedgerConfig {
        protected: protected.clone(),
        ..LedgerConfig::default()
    });
    let refused = |refusal: Refusal| Decision::Suppressed(Suppression::Protected(refusal));
    for (source, why) in [
        ("203.0.113.7", Refusal::Protected(protected[0])),
        // The /64 contains the protected host.
        ("2001:db8::2", Refusal::Protected(protected[1])),
        ("127.0.0.1", Refusal::Unbannable("loopback")),
    ] {
        assert_eq!(judge(&mut ledger, source, NOW), refused(why), "{source}");
        assert_eq!(ban(&mut ledger, source, 60, 1), Err(why), "{source}");
    }
    assert_eq!(
        ban(&mut ledger, "203.0.0.0/16", 60, 1),
        Err(Refusal::Protected(protected[0]))
    );
    assert_eq!(ledger.len(), 0);
    assert_eq!(refused_text(&mut ledger), "protected: 203.0.113.0/24");
}

#[test]
fn what_becomes_protected_is_not_banned_and_what_no_longer_is_can_be() {
    let mut ledger = Ledger::new(LedgerConfig {
        protected: vec![prefix("203.0.113.7/32")],
        ..LedgerConfig::default()
    });
    ledger.protect(vec![prefix("203.0.113.8/32")]);
    assert!(matches!(judge(&mut ledger, "203.0.113.7", NOW), Decision::Ban(_)));
    assert_eq!(
        ban(&mut ledger, "203.0.113.8", 60, 1),
        Err(Refusal::Protected(prefix("203.0.113.8/32")))
    );
}

fn refused_text(ledger: &mut Ledger) -> String {
    match judge(ledger, "203.0.113.7", NOW) {
        Decision::Suppressed(why) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_ban_within_a_day_of_the_last_lasts_twice_as_long_and_strikes_decay() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    let mut now = NOW;
    // Hours after the end of the last ban; strikes; seconds.
    for (wait, strikes, seconds) in [
        (0, 0, 300),
        (24, 1, 600),
        (1, 2, 1200),
        (25, 2, 1200),
        (72, 1, 600),
        (49, 0, 300),
        (1000, 0, 300),
    ] {
        now += wait * HOUR;
        let command = banned(judge(&mut ledger, "203.0.113.7", now));
        assert_eq!(
            (command.strikes, command.expires_at_ms - now),
            (strikes, seconds * 1000),
            "after {wait} h"
        );
        now = command.expires_at_ms;
        assert_eq!(ledger.expire(now), [prefix("203.0.113.7")]);
    }
}

#[test]
fn the_longest_ban_is_a_day() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    ledger.restore_history(prefix("203.0.113.7"), NOW, 30);
    let command = banned(judge(&mut ledger, "203.0.113.7", NOW + 1));
    assert_eq!(
        (command.strikes, command.expires_at_ms - NOW - 1),
        (31, 24 * HOUR)
    );
}

#[test]
fn an_expired_ban_does_not_hide_a_new_one_even_before_expire_runs() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    banned(judge(&mut ledger, "203.0.113.7", NOW));
    let again = banned(judge(&mut ledger, "203.0.113.7", NOW + 300_000));
    assert_eq!(again.strikes, 1);
    assert_eq!(ledger.len(), 1);
}

#[test]
fn bans_expire_to_the_millisecond_earliest_first() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    for (n, seconds) in [(1, 30), (2, 10), (3, 20)] {
        ban(
            &mut ledger,
            &format!("203.0.113.{n}"),
            seconds,
            u128::from(seconds),
        )
        .unwrap();
    }
    assert_eq!(ledger.expire(NOW + 9_999), []);
    assert_eq!(
        ledger.expire(NOW + 20_000),
        [prefix("203.0.113.2"), prefix("203.0.113.3")]
    );
    assert_eq!(
        ledger.active().map(|b| b.command.target).collect::<Vec<_>>(),
        [prefix("203.0.113.1")]
    );
}

#[test]
fn the_brake_holds_until_the_rate_falls() {
    let mut ledger = Ledger::new(LedgerConfig {
        max_bans_per_minute: 2,
        ..LedgerConfig::default()
    });
    banned(judge(&mut ledger, "203.0.113.1", NOW));
    banned(judge(&mut ledger, "203.0.113.2", NOW + 1000));
    let braked = Decision::Suppressed(Suppression::Brake(Brake::Rate));
    assert_eq!(judge(&mut ledger, "203.0.113.3", NOW + 59_999), braked);
    assert!(ban(&mut ledger, "203.0.113.4", 60, 4).is_ok(), "an operator may");
    banned(judge(&mut ledger, "203.0.113.3", NOW + 60_000));
    assert_eq!(judge(&mut ledger, "203.0.113.5", NOW + 60_001), braked);
    let mut never = Ledger::new(LedgerConfig {
        max_bans_per_minute: 0,
        ..LedgerConfig::default()
    });
    assert_eq!(judge(&mut never, "203.0.113.1", NOW), braked);
}

#[test]
fn what_waits_for_a_networks_part_is_overtaken_by_nothing_of_that_network_and_delays_no_other() {
    let mut ledger = Ledger::new(LedgerConfig {
        max_bans_per_minute: 32,
        ..LedgerConfig::default()
    });
    for n in 0..16 {
        banned(judge(&mut ledger, &format!("198.51.{n}.1"), NOW));
    }
    let network = Brake::Network(prefix("198.51.0.0/16"));
    let braked = Decision::Suppressed(Suppression::Brake(network));
    assert_eq!(judge(&mut ledger, "198.51.100.1", NOW), braked);
    let open_ms = NOW + 60_000;
    assert_eq!(judge(&mut ledger, "198.51.100.2", open_ms), braked);
    banned(judge(&mut ledger, "203.0.113.1", open_ms));
    for waited in ["198.51.100.1", "198.51.100.2"] {
        let held = ledger.let_go(None, open_ms).unwrap();
        assert_eq!(held.finding.source, prefix(waited));
        let brakes = Brakes {
            waited: true,
            ..NO_BRAKES
        };
        let id = Uuid::from_u128(u128::from(waited.as_bytes()[11]));
        banned(ledger.judge(&held.finding, brakes, open_ms, id));
    }
    assert_eq!(ledger.let_go(None, open_ms), None);
    banned(judge(&mut ledger, "198.51.100.3", open_ms + 1));
}

/// Judges the next one that waited.
fn decide_next(ledger: &mut Ledger, now_ms: i64) -> Decision {
    let held = ledger.let_go(None, now_ms).unwrap();
    let brakes = Brakes {
        edge: held.edge.as_deref(),
        waited: true,
        ..NO_BRAKES
    };
    let id = Uuid::from_u64_pair(now_ms.unsigned_abs(), 1000);
    ledger.judge(&held.finding, brakes, now_ms, id)
}

#[test]
fn a_queue_in_which_nobody_waits_any_more_delays_nothing() {
    let mut ledger = Ledger::new(LedgerConfig {
        max_bans_per_minute: 2,
        max_bans_per_minute_per_edge: 1,
        ..LedgerConfig::default()
    });
    let on = |ledger: &mut Ledger, source: &str, edge: &str, now_ms: i64| {
        let brakes = Brakes {
            edge: Some(edge),
            ..NO_BRAKES
        };
        let id = Uuid::from_u64_pair(now_ms.unsigned_abs(), 2000);
        ledger.judge(&finding(source, now_ms), brakes, now_ms, id)
    };
    let braked = |brake| Decision::Suppressed(Suppression::Brake(brake));
    for n in 1..=2 {
        banned(judge(&mut ledger, &format!("203.0.113.{n}"), NOW));
    }
    for n in 3..=4 {
        let decision = judge(&mut ledger, &format!("203.0.113.{n}"), NOW);
        assert_eq!(decision, braked(Brake::Rate));
    }
    // What waited has all the room of the next minute.
    for _ in 3..=4 {
        banned(decide_next(&mut ledger, NOW + 60_000));
    }
    assert_eq!(ledger.let_go(None, NOW + 60_000), None);
    assert_eq!(ledger.held_back(), 0);
    let open_ms = NOW + 120_000;
    banned(on(&mut ledger, "203.0.113.5", "edge-1", open_ms));
    assert_eq!(
        on(&mut ledger, "203.0.113.6", "edge-1", open_ms),
        braked(Brake::Edge)
    );
    banned(on(&mut ledger, "203.0.113.7", "edge-2", open_ms));
}

#[test]
fn what_waits_for_its_network_waits_for_the_limit_of_all_while_that_one_holds() {
    let mut ledger = Ledger::new(LedgerConfig {
        max_bans_per_minute: 32,
        ..LedgerConfig::default()
    });
    let braked = |brake| Decision::Suppressed(Suppression::Brake(brake));
    for n in 0..16 {
        banned(judge(&mut ledger, &format!("198.51.{n}.1"), NOW));
    }
    let network = Brake::Network(prefix("198.51.0.0/16"));
    assert_eq!(judge(&mut ledger, "198.51.100.1", NOW), braked(network));
    for n in 0..16 {
        banned(judge(&mut ledger, &format!("203.{n}.113.1"), NOW + 30_000));
    }
    assert_eq!(ledger.let_go(None, NOW + 30_000), None);
    let open_ms = NOW + 60_000;
    assert_eq!(judge(&mut ledger, "192.0.2.1", open_ms), braked(Brake::Rate));
    for waited in ["198.51.100.1", "192.0.2.1"] {
        assert_eq!(banned(decide_next(&mut ledger, open_ms)).target, prefix(waited));
    }
    assert_eq!(ledger.let_go(None, open_ms), None);
    banned(judge(&mut ledger, "192.0.2.2", open_ms));
}

#[test]
fn a_ban_is_pending_until_its_write_is_acknowledged() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    let first = ban(&mut ledger, "203.0.113.1", 60, 1).unwrap();
    let second = ban(&mut ledger, "203.0.113.2", 60, 2).unwrap();
    assert_eq!(ledger.pending().collect::<Vec<_>>(), [&first, &second]);
    assert!(ledger.acknowledged(second.id));
    assert!(!ledger.acknowledged(second.id));
    assert_eq!(
        ledger.get(&second.target).unwrap().write,
        WriteState::Acknowledged
    );
    assert_eq!(
        ledger.pending().collect::<Vec<_>>(),
        [&first],
        "a failed write is tried again"
    );
    let replaced = ban(&mut ledger, "203.0.113.1", 120, 3).unwrap();
    assert!(
        !ledger.acknowledged(first.id),
        "the bucket has the old command, not the new one"
    );
    assert_eq!(ledger.pending().collect::<Vec<_>>(), [&replaced]);
    ledger.expire(NOW + 120_000);
    assert_eq!(ledger.pending().count(), 0);
}

#[test]
fn a_revoked_ban_is_gone_and_its_strikes_with_it() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    let command = banned(judge(&mut ledger, "203.0.113.7", NOW));
    assert_eq!(
        ledger.revoke(&prefix("203.0.113.7"), NOW + 5).unwrap().command,
        command
    );
    assert_eq!(ledger.revoke(&prefix("203.0.113.7"), NOW + 6), None);
    assert_eq!(
        (ledger.len(), ledger.pending().count(), ledger.history_len()),
        (0, 0, 0)
    );
    let again = banned(judge(&mut ledger, "203.0.113.7", NOW + 7));
    assert_eq!(again.strikes, 0);
    ledger.expire(again.expires_at_ms);
    let repeated = banned(judge(&mut ledger, "203.0.113.7", again.expires_at_ms + 1));
    assert_eq!(repeated.strikes, 1);
    ledger
        .revoke(&prefix("203.0.113.7"), again.expires_at_ms + 2)
        .unwrap();
    let forgiven = banned(judge(&mut ledger, "203.0.113.7", again.expires_at_ms + 3));
    assert_eq!(forgiven.strikes, 0, "also earlier ones");
}

#[test]
fn a_wider_ban_covers_its_sources_while_it_lasts() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    ban(&mut ledger, "203.0.113.0/24", 60, 1).unwrap();
    assert_eq!(
        judge(&mut ledger, "203.0.113.7", NOW + 59_999),
        Decision::AlreadyBanned
    );
    banned(judge(&mut ledger, "203.0.113.7", NOW + 60_000));
    banned(judge(&mut ledger, "203.0.114.7", NOW + 1));
}

#[test]
fn networks_are_banned_up_to_what_an_edge_holds() {
    const ROOM: u32 = 100;
    let mut ledger = Ledger::new(LedgerConfig::default());
    assert_eq!(ledger.free_nets(), 1_000_000);
    ledger.max_nets = ROOM as usize;
    let net = |n: u32| format!("{}/30", std::net::Ipv4Addr::from(0xc612_0000 + n * 4));
    for n in 0..ROOM {
        ban(&mut ledger, &net(n), 60, u128::from(n)).unwrap();
    }
    let one_more = net(ROOM);
    assert_eq!(
        ban(&mut ledger, &one_more, 60, 1 << 20),
        Err(Refusal::TooManyNets)
    );
    assert!(ban(&mut ledger, &net(0), 90, 2 << 20).is_ok(), "it replaces one");
    assert!(ban(&mut ledger, "203.0.113.7", 60, 3 << 20).is_ok(), "a source");
    ledger.revoke(&prefix(&net(1)), NOW);
    assert!(ban(&mut ledger, &one_more, 60, 4 << 20).is_ok());
}

#[test]
fn where_sources_are_networks_no_more_are_banned_than_an_edge_holds() {
    const ROOM: u32 = 100;
    let mut ledger = Ledger::new(LedgerConfig::default());
    ledger.max_nets = ROOM as usize;
    for n in 0..ROOM {
        let net = std::net::Ipv4Addr::from(0xc612_0000 + n * 256);
        ban(&mut ledger, &format!("{net}/24"), 60, u128::from(n)).unwrap();
    }
    let full = Decision::Suppressed(Suppression::Brake(Brake::Networks));
    assert_eq!(judge(&mut ledger, "203.0.113.0/24", NOW), full);
    banned(judge(&mut ledger, "203.0.113.7", NOW));
    ledger.revoke(&prefix("198.18.1.0/24"), NOW);
    assert_eq!(banned(judge(&mut ledger, "203.0.113.0/24", NOW)).strikes, 0);
}

#[test]
fn a_network_that_is_a_source_is_banned_in_the_kernel_once_it_comes_by_itself() {
    let mut ledger = Ledger::new(LedgerConfig::default());
    let net = "203.0.113.0/24";
    let at_l7 = reach(
        &mut ledger,
        &finding_at_l7(net, NOW),
        Scope::Fleet,
        NO_BRAKES,
        NOW,
        Uuid::from_u128(1),
    );
    assert_eq!(banned(at_l7).layer, Layer::L7);
    assert_eq!(banned(judge(&mut ledger, net, NOW + 1)).layer, Layer::Kernel);
    assert_eq!(judge(&mut ledger, net, NOW + 2), Decision::AlreadyBanned);
}

#[test]
fn restored_bans_hold_and_need_no_write() {
    let mut before = Ledger::new(LedgerConfig::default());
    let command = banned(judge(&mut before, "203.0.113.7", NOW));
    let mut after = Ledger::new(LedgerConfig::default());
    assert!(after.restore(command.clone()));
    assert_eq!(after.pending().count(), 0);
    assert_eq!(judge(&mut after, "203.0.113.7", NOW + 1), Decision::AlreadyBanned);
    let newer = ban(&mut after, "203.0.113.7", 6_000, 9).unwrap();
    assert!(
        !after.restore(command),
        "what still has to be written is newer than the bucket"
    );
    assert_eq!(after.get(&newer.target).unwrap().command, newer);
}

#[test]
fn history_is_bounded() {
    let mut ledger = Ledger::new(LedgerConfig {
        max_history: 2,
        ..LedgerConfig::default()
    });
    for n in 1..=3 {
        ledger.restore_history(prefix(&format!("203.0.113.{n}")), NOW + n, 0);
    }
    assert_eq!(ledger.history_len(), 2);
    assert_eq!(banned(judge(&mut ledger, "203.0.113.1", NOW + 9)).strikes, 0);
    assert_eq!(banned(judge(&mut ledger, "203.0.113.3", NOW + 9)).strikes, 1);
}
