//! What keeps findings from bans.

use super::*;
use crate::ledger::{Brake, Refusal, Share, Suppression};

/// The suppression that `effects` tell, and what the audit says of it.
fn suppressed(effects: &[Effect]) -> (Suppression, String) {
    let [
        Effect::Announce(Announcement::Finding {
            suppressed: Some(suppression),
            ..
        }),
        Effect::Audit {
            record,
            urgency: Urgency::Now,
        },
    ] = effects
    else {
        panic!("{effects:?}");
    };
    let Audited::Suppressed { why, .. } = &record.decision else {
        panic!("{record:?}");
    };
    (suppression.clone(), why.clone())
}

#[test]
fn more_bans_within_a_minute_than_configured_are_suppressed_until_one_is_a_minute_old() {
    let mut rig = Rig::ready_with(|config| config.ledger.max_bans_per_minute = 1);
    rig.found(CLIENT);
    let effects = rig.errors("edge-1", OTHER_CLIENT, 50);
    assert_eq!(
        suppressed(&effects),
        (
            Suppression::Brake(Brake::Rate),
            "brake: more bans within a minute than configured".to_owned()
        )
    );
    assert_eq!(rig.ban_of(OTHER_CLIENT), None);
    let stats = rig.decider.stats(rig.now);
    assert_eq!((stats.findings, stats.suppressed, stats.braked), (2, 1, 1));
    assert_eq!(stats.brake, Some(Brake::Rate));
    rig.pass(60_000);
    assert_eq!(rig.decider.stats(rig.now).brake, None);
    rig.found(OTHER_CLIENT);
}

#[test]
fn an_edge_that_used_up_its_room_leaves_the_others_theirs() {
    let mut rig = Rig::ready_with(|config| config.ledger.max_bans_per_minute_per_edge = 1);
    rig.found(CLIENT);
    let effects = rig.errors("edge-1", OTHER_CLIENT, 50);
    assert_eq!(suppressed(&effects).0, Suppression::Brake(Brake::Edge));
    let effects = rig.errors("edge-2", "203.0.113.1", 50);
    assert_eq!(written(&effects).len(), 1);
    let stats = rig.decider.stats(rig.now);
    assert_eq!((stats.brake, stats.held_back_by), (None, [("edge", 1)].into()));
}

#[test]
fn more_bans_than_a_share_of_the_clients_that_behave_are_suppressed() {
    let mut rig = Rig::ready_with(|config| {
        config.ledger.share_from_sources = 20;
        config.ledger.max_share = Share::new(0.05).unwrap();
    });
    for (n, letter) in ('a'..='v').enumerate() {
        let client = format!("203.0.113.{n}");
        let mut batch = rig.batch("edge-1", vec![error(&client, NOW)]);
        // An error that all get counts against nobody.
        batch.events[0].path = format!("/{letter}");
        rig.telemetry(&client, batch);
    }
    rig.found(CLIENT);
    let effects = rig.errors("edge-1", OTHER_CLIENT, 50);
    // The two that were found count as well, since they had behaved until then.
    let (suppression, _) = suppressed(&effects);
    assert_eq!(suppression, Suppression::Brake(Brake::Share(24)));
}

#[test]
fn no_brake_holds_against_an_operator() {
    let mut rig = Rig::ready_with(|config| config.ledger.max_bans_per_minute = 0);
    let effects = rig.errors("edge-1", CLIENT, 50);
    assert_eq!(suppressed(&effects).0, Suppression::Brake(Brake::Rate));
    rig.ordered(1, CLIENT, 3_600);
}

#[test]
fn what_the_config_protects_is_not_banned_and_the_audit_says_why() {
    let mut rig = Rig::ready_with(|config| {
        config.protected = vec![ProtectedNet {
            network: target("198.51.100.0/24"),
            code: 0,
            comment: "office".to_owned(),
            until_ms: None,
        }];
    });
    let effects = rig.errors("edge-1", CLIENT, 50);
    assert_eq!(
        suppressed(&effects),
        (
            Suppression::Protected(Refusal::Protected(target("198.51.100.0/24"))),
            "protected: 198.51.100.0/24".to_owned()
        )
    );
    assert_eq!(rig.decider.stats(rig.now).braked, 0);
}

#[test]
fn a_client_that_is_found_again_and_again_is_audited_once_in_a_window() {
    let mut rig = Rig::ready_with(|config| config.ledger.max_bans_per_minute = 0);
    assert_eq!(rig.errors("edge-1", CLIENT, 50).len(), 2);
    rig.pass(60_000);
    assert_eq!(rig.errors("edge-1", CLIENT, 50), [], "a window later");
    assert_eq!(rig.errors("edge-1", OTHER_CLIENT, 50).len(), 2, "another client");
    rig.pass(1);
    assert_eq!(rig.errors("edge-1", CLIENT, 50).len(), 2);
    let stats = rig.decider.stats(rig.now);
    assert_eq!((stats.findings, stats.rules["error-flood"].suppressed), (4, 4));
}

/// Clients that behave, so that a share of them says something.
fn crowd(rig: &mut Rig, clients: u32) {
    for n in 0..clients {
        let client = format!("203.0.{}.{}", n / 250, n % 250);
        let mut batch = rig.batch("edge-1", vec![error(&client, rig.now.wall_ms)]);
        // An error that all get counts against nobody.
        batch.events[0].path = format!("/{}", "a".repeat(1 + n as usize % 500));
        rig.telemetry(&client, batch);
    }
}

/// A fleet in which 100 bans a minute are allowed.
fn shielded() -> Rig {
    let mut rig = Rig::ready_with(|config| {
        config.ledger.share_from_sources = 300;
        config.ledger.max_share = Share::new(0.25).unwrap();
    });
    crowd(&mut rig, 400);
    rig
}

/// How many of `clients` are banned once each of them has been found, and a second has passed. They ask for paths of their own, so
/// that their errors are no outage.
fn banned_of(rig: &mut Rig, clients: impl Iterator<Item = String>) -> usize {
    let clients: Vec<String> = clients.collect();
    for (n, client) in clients.iter().enumerate() {
        let mut batch = rig.batch("edge-1", vec![error(client, rig.now.wall_ms); 50]);
        for event in &mut batch.events {
            event.path = format!("/{}", "b".repeat(1 + n));
        }
        rig.telemetry(client, batch);
    }
    rig.tick();
    banned_among(rig, clients.into_iter())
}

fn banned_among(rig: &Rig, clients: impl Iterator<Item = String>) -> usize {
    clients.filter(|client| rig.ban_of(client).is_some()).count()
}

#[test]
fn whoever_holds_an_ipv6_network_shields_nobody() {
    let mut rig = shielded();
    let decoys = (0..470).map(|n| format!("2001:db8:5:{n:x}::1"));
    let banned = banned_of(&mut rig, decoys);
    assert!(banned < 30, "{banned}");
    // As the attacker's provider does with more of its addresses.
    let decoys = (0..470).map(|n| format!("2001:db8:{:x}::1", 0x100 + n));
    let banned = banned + banned_of(&mut rig, decoys);
    // A quarter of what is allowed: they behaved, too, until they were found.
    assert!(banned <= (400 + 940) / 4 / 4, "{banned}");
    let attackers = (101..141).map(|n| format!("198.51.100.{n}"));
    assert_eq!(banned_of(&mut rig, attackers), 40);
}

#[test]
fn a_shield_of_many_networks_holds_for_a_minute_and_then_the_worst_are_banned_first() {
    let mut rig = shielded();
    let decoys = || (0..200).map(|n| format!("2a00:{n:x}::1"));
    let banned = banned_of(&mut rig, decoys());
    assert!((100..160).contains(&banned), "{banned}");
    let stats = rig.decider.stats(rig.now);
    assert_eq!(stats.brake.map(Brake::name), Some("share"));
    assert_eq!(stats.held_back_by, [("share", 200 - banned)].into());
    let attackers = || (101..141).map(|n| format!("198.51.100.{n}"));
    banned_of(&mut rig, attackers());
    // Who goes on is worse than who stopped.
    rig.pass(30_000);
    let banned_at_once = banned_of(&mut rig, attackers());
    assert!(banned_at_once < 25, "{banned_at_once}");
    let waiting = 40 - banned_at_once;
    let banned = banned_among(&rig, decoys());
    assert_eq!(rig.decider.stats(rig.now).held_back, 200 - banned + waiting);
    rig.pass(30_000);
    crowd(&mut rig, 400);
    let findings = rig.decider.stats(rig.now).findings;
    let effects = rig.tick();
    let commands = written(&effects);
    assert!(commands.len() > waiting, "{}", commands.len());
    for command in &commands[..waiting] {
        assert!(command.target.addr().is_ipv4(), "{}", command.target);
        assert_eq!(command.issued_at_ms, rig.now.wall_ms, "it starts now");
    }
    assert_eq!(banned_among(&rig, attackers()), 40);
    let stats = rig.decider.stats(rig.now);
    assert_eq!(stats.findings, findings, "each is counted once");
}

#[test]
fn what_is_held_back_is_forgotten_when_it_is_forgiven_over_or_anothers() {
    let mut rig = Rig::ready_with(|config| config.ledger.max_bans_per_minute = 0);
    let held = |rig: &mut Rig| rig.decider.stats(rig.now).held_back;
    rig.errors("edge-1", CLIENT, 50);
    rig.errors("edge-1", OTHER_CLIENT, 50);
    assert_eq!(held(&mut rig), 2);
    rig.handle(Event::Owned(Ownership::Lost { partition: 2 }));
    assert_eq!(held(&mut rig), 1);
    rig.ordered(1, OTHER_CLIENT, 3_600);
    assert_eq!(held(&mut rig), 0, "banned by an operator");
    rig.errors("edge-1", "203.0.113.1", 50);
    assert_eq!(held(&mut rig), 1);
    rig.pass(299_000);
    rig.tick();
    assert_eq!(held(&mut rig), 1);
    rig.pass(1_001);
    rig.tick();
    assert_eq!(held(&mut rig), 0, "longer ago than a ban lasts");
    assert_eq!(rig.ban_of("203.0.113.1"), None);
}

/// The targets that `effects` ban.
fn targets(effects: &[Effect]) -> Vec<Prefix> {
    written(effects).iter().map(|command| command.target).collect()
}

#[test]
fn who_comes_as_a_brake_opens_overtakes_nobody_who_waits() {
    let mut rig = Rig::ready_with(|config| config.ledger.max_bans_per_minute = 1);
    rig.found("192.0.2.1");
    rig.errors("edge-1", CLIENT, 50);
    // Another new one comes whenever a ban leaves the minute.
    rig.pass(60_000);
    let effects = rig.errors("edge-1", OTHER_CLIENT, 50);
    assert_eq!(suppressed(&effects).0, Suppression::Brake(Brake::Rate));
    assert_eq!(targets(&rig.tick()), [target(CLIENT)]);
    rig.pass(60_000);
    let effects = rig.errors("edge-1", "203.0.113.1", 50);
    assert_eq!(suppressed(&effects).0, Suppression::Brake(Brake::Rate));
    assert_eq!(targets(&rig.tick()), [target(OTHER_CLIENT)]);
    // The worst of all has waited enough.
    rig.pass(60_000);
    rig.found("203.0.113.1");
    rig.tick();
    rig.pass(60_000);
    rig.found("203.0.113.2");
}

#[test]
fn what_waits_for_an_edges_brake_delays_nothing_of_the_others() {
    let mut rig = Rig::ready_with(|config| config.ledger.max_bans_per_minute_per_edge = 1);
    rig.found("192.0.2.1");
    rig.errors("edge-1", CLIENT, 50);
    rig.pass(60_000);
    let effects = rig.errors("edge-1", OTHER_CLIENT, 50);
    assert_eq!(suppressed(&effects).0, Suppression::Brake(Brake::Edge));
    let effects = rig.errors("edge-2", "203.0.113.1", 50);
    assert_eq!(targets(&effects), [target("203.0.113.1")]);
    assert_eq!(targets(&rig.tick()), [target(CLIENT)]);
}
