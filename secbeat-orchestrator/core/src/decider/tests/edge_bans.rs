//! What edges banned themselves, and hand over.

use secbeat_common::wire::{AckBatch, LocalBan};

use super::*;

fn banned(issued_at_ms: i64) -> LocalBan {
    LocalBan {
        id: Uuid::from_u128(1),
        target: target(CLIENT),
        reason: Reason::ErrorFlood,
        layer: Layer::Kernel,
        evidence: Evidence {
            count: 50,
            window_ms: 60_000,
            at_ms: issued_at_ms,
        },
        issued_at_ms,
        expires_at_ms: issued_at_ms + 300_000,
    }
}

fn tell(rig: &mut Rig, banned: Vec<LocalBan>) -> Vec<Effect> {
    let batch = AckBatch {
        edge_id: "edge-1".to_owned(),
        at_ms: rig.now.wall_ms,
        acks: Vec::new(),
        banned,
    };
    let received_ms = rig.now.wall_ms;
    rig.handle(Event::Acks { batch, received_ms })
}

fn written(effects: &[Effect]) -> Vec<BlockCommand> {
    let written = effects.iter().filter_map(|effect| match effect {
        Effect::Write(WriteRequest {
            write: Write::Ban(command),
            ..
        }) => Some((**command).clone()),
        _ => None,
    });
    written.collect()
}

#[test]
fn an_edges_ban_is_taken_over_with_its_end_and_only_once() {
    let mut rig = Rig::ready();
    let ban = banned(NOW - 100_000);
    let commands = written(&tell(&mut rig, vec![ban.clone()]));
    let [command] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!(
        (command.target, command.scope.clone()),
        (target(CLIENT), Scope::Fleet)
    );
    assert_eq!(command.expires_at_ms, NOW + 200_000);
    assert_eq!(written(&tell(&mut rig, vec![ban])), []);
    // What the edge spooled meanwhile led to this ban, and to no other.
    let mut batch = rig.batch("edge-1", vec![error(CLIENT, NOW - 100_000); 60]);
    batch.sent_at_ms = NOW - 99_000;
    let partition = target(CLIENT).partition(16);
    let late = rig.handle(Event::Batch {
        partition,
        batch,
        received_ms: NOW,
        age_ms: Some(99_000),
    });
    assert_eq!(written(&late), []);
}

#[test]
fn bans_that_are_over_make_the_next_one_longer() {
    let mut rig = Rig::ready();
    let commands = written(&tell(&mut rig, vec![banned(NOW - 400_000), banned(NOW - 50_000)]));
    let [command] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!((command.strikes, command.expires_at_ms), (1, NOW + 550_000));
}

#[test]
fn where_edges_have_to_agree_one_bans_for_itself_alone() {
    let mut rig = Rig::ready_with(|config| config.agreeing_edges = NonZeroU32::new(2).unwrap());
    let commands = written(&tell(&mut rig, vec![banned(NOW - 400_000), banned(NOW)]));
    let [command] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!(command.scope, Scope::of_edges(vec!["edge-1".to_owned()]));
    assert_eq!(command.strikes, 0);
}

#[test]
fn an_edge_bans_nobody_for_what_no_rule_here_bans_and_no_protected_client() {
    let mut rig = Rig::ready();
    let not_banned = [
        LocalBan {
            reason: Reason::Manual,
            ..banned(NOW)
        },
        LocalBan {
            reason: Reason::PathScan,
            ..banned(NOW)
        },
        LocalBan {
            target: "198.51.100.0/24".parse().unwrap(),
            ..banned(NOW)
        },
    ];
    assert_eq!(tell(&mut rig, not_banned.to_vec()), []);
    rig.handle(Event::Protected(vec![ProtectedNet {
        network: target(CLIENT),
        code: 0,
        comment: String::new(),
        until_ms: None,
    }]));
    assert_eq!(written(&tell(&mut rig, vec![banned(NOW)])), []);
    // A clock that goes ahead makes no longer ban.
    let mut rig = Rig::ready();
    let commands = written(&tell(&mut rig, vec![banned(NOW + 3_600_000)]));
    assert_eq!(commands[0].expires_at_ms, NOW + 300_000);
}
