//! Orders that are given twice.

use super::*;

#[test]
fn the_same_order_again_waits_for_the_ban_on_its_way() {
    let mut rig = Rig::ready();
    let command = rig.ordered(1, CLIENT, 3_600);
    rig.pass(5_000);
    assert_eq!(rig.order(2, CLIENT, 3_600), [], "its end is 5 s later");
    let effects = rig.acknowledge(&command, 7);
    assert_eq!(
        effects[1..],
        [reply_banned(1, &command), reply_banned(2, &command)]
    );
    assert_eq!(audited(&effects).len(), 1);
}

#[test]
fn the_same_order_again_is_answered_with_the_ban_in_force() {
    let mut rig = Rig::ready();
    let command = rig.ordered(1, CLIENT, 3_600);
    rig.acknowledge(&command, 7);
    assert_eq!(rig.order(2, CLIENT, 3_600), [reply_banned(2, &command)]);
}

#[test]
fn an_order_whose_end_is_further_away_is_another() {
    let mut rig = Rig::ready();
    let first = rig.ordered(1, CLIENT, 3_600);
    rig.pass(5_001);
    assert_ne!(rig.ordered(2, CLIENT, 3_600).id, first.id);
}

#[test]
fn an_order_that_differs_in_anything_is_another() {
    let base = ManualBan::new(
        target(CLIENT),
        NOW + 60_000,
        "spam".to_owned(),
        "alice".to_owned(),
    );
    let others = [
        ManualBan {
            note: "more spam".to_owned(),
            ..base.clone()
        },
        ManualBan {
            issuer: "bob".to_owned(),
            ..base.clone()
        },
        ManualBan {
            layer: Layer::L7,
            ..base.clone()
        },
        ManualBan {
            reason: Reason::ErrorFlood,
            ..base.clone()
        },
        ManualBan {
            strikes: Some(0),
            ..base
        },
    ];
    for other in others {
        let mut rig = Rig::ready();
        rig.ordered(1, CLIENT, 60);
        let effects = rig.handle(Event::Order {
            ticket: Ticket(2),
            order: Order::Ban(other.clone()),
        });
        assert_eq!(written(&effects).len(), 1, "{other:?}");
    }
}

#[test]
fn an_order_like_a_found_ban_on_its_way_is_another() {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    let same = ManualBan {
        reason: Reason::ErrorFlood,
        ..ManualBan::new(
            target(CLIENT),
            command.expires_at_ms,
            command.note.clone(),
            command.issuer,
        )
    };
    let effects = rig.handle(Event::Order {
        ticket: Ticket(2),
        order: Order::Ban(same),
    });
    assert_eq!(written(&effects).len(), 1);
}

#[test]
fn an_order_that_a_later_one_took_the_place_of_is_answered_with_that_ones_ban() {
    let mut rig = Rig::ready();
    let first = rig.ordered(1, CLIENT, 60);
    let second = rig.ordered(2, CLIENT, 3_600);
    assert_eq!(rig.done(&first, Fate::Superseded), []);
    let effects = rig.acknowledge(&second, 7);
    assert_eq!(effects[1..], [reply_banned(2, &second), reply_banned(1, &second)]);
}

#[test]
fn an_order_whose_successor_was_lifted_is_told() {
    let mut rig = Rig::ready();
    let first = rig.ordered(1, CLIENT, 60);
    rig.ordered(2, CLIENT, 3_600);
    rig.unban(3, CLIENT);
    assert_eq!(
        rig.done(&first, Fate::Superseded),
        [reply_not_banned(1, OrderError::Superseded)]
    );
}

#[test]
fn an_unban_again_waits_for_the_one_on_its_way() {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    rig.acknowledge(&command, 7);
    rig.unban(1, CLIENT);
    assert_eq!(rig.unban(2, CLIENT), []);
    assert_eq!(rig.unban(3, OTHER_CLIENT), [reply(3, Reply::Unbanned(Ok(None)))]);
    let lifted = |ticket| reply(ticket, Reply::Unbanned(Ok(Some(Box::new(in_bucket(&command))))));
    assert_eq!(rig.done(&command, Fate::Lifted)[1..], [lifted(1), lifted(2)]);
}

#[test]
fn an_order_like_a_ban_on_some_edges_bans_on_all() {
    let mut rig = Rig::ready();
    let partial = BlockCommand {
        scope: Scope::of_edges(vec!["edge-1".to_owned()]),
        ..theirs(CLIENT, 9)
    };
    rig.hear(&partial, 7);
    let same = ManualBan {
        reason: Reason::ErrorFlood,
        ..ManualBan::new(
            target(CLIENT),
            partial.expires_at_ms,
            partial.note.clone(),
            partial.issuer.clone(),
        )
    };
    let effects = rig.handle(Event::Order {
        ticket: Ticket(2),
        order: Order::Ban(same),
    });
    let [command] = &written(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(command.scope, Scope::Fleet);
}

#[test]
fn an_unban_waits_for_the_latest_of_several_on_their_way() {
    for clock_ms in [1_000, -1_000] {
        let mut rig = Rig::ready();
        let first = theirs(CLIENT, u128::MAX);
        rig.hear(&first, 7);
        rig.unban(1, CLIENT);
        rig.pass(clock_ms);
        let second = rig.ordered(2, CLIENT, 3_600);
        rig.unban(3, CLIENT);
        assert_eq!(rig.unban(4, CLIENT), []);
        assert_eq!(
            rig.done(&first, Fate::Superseded),
            [reply(1, Reply::Unbanned(Err(OrderError::Superseded)))]
        );
        let lifted = |ticket| reply(ticket, Reply::Unbanned(Ok(Some(Box::new(pending(&second))))));
        assert_eq!(rig.done(&second, Fate::Lifted)[1..], [lifted(3), lifted(4)]);
    }
}
