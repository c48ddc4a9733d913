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
