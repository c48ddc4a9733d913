//! What became of what was to be written.

use super::*;
use crate::ledger::Refusal;

#[test]
fn an_order_is_answered_with_its_ban_after_the_record() {
    let mut rig = Rig::ready();
    let command = rig.ordered(1, CLIENT, 3_600);
    let record = AuditRecord {
        actor: "alice".to_owned(),
        ..ban_record(&command)
    };
    assert_eq!(
        rig.acknowledge(&command, 7),
        [conclude(record, Urgency::Now), reply_banned(1, &command)]
    );
    assert_eq!(rig.banned(CLIENT), Some(&in_bucket(&command)));
}

#[test]
fn an_order_whose_ban_expired_on_its_way_is_told() {
    let mut rig = Rig::ready();
    let command = rig.ordered(1, CLIENT, 1);
    rig.pass(1_000);
    assert_eq!(
        rig.done(&command, Fate::Ended),
        [reply_not_banned(1, OrderError::Expired)]
    );
}

#[test]
fn a_ban_holds_whose_end_came_to_nothing_unless_somebody_lifted_it() {
    for is_lifted in [false, true] {
        let mut rig = Rig::ready();
        let long = rig.ordered(1, CLIENT, 600);
        rig.acknowledge(&long, 7);
        let ban = ManualBan::new(target(CLIENT), NOW + 2_000, String::new(), "alice".to_owned());
        let order = Order::Ban(ManualBan {
            shortens: true,
            ..ban
        });
        let ticket = Ticket(2);
        let short = written(&rig.handle(Event::Order { ticket, order }))[0].clone();
        if is_lifted {
            rig.hear_gone(CLIENT, 8);
        }
        rig.pass(2_000);
        assert_eq!(
            rig.done(&short, Fate::Ended),
            [reply_not_banned(2, OrderError::Expired)]
        );
        let holds = (!is_lifted).then(|| in_bucket(&long));
        assert_eq!(rig.banned(CLIENT), holds.as_ref());
    }
}

#[test]
fn a_ban_that_another_orchestrators_was_faster_than_gives_way_to_it() {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    let theirs = BlockCommand {
        expires_at_ms: NOW + 900_000,
        ..theirs(CLIENT, 9)
    };
    assert_eq!(rig.done(&command, Fate::Outrun(Box::new(theirs.clone()))), []);
    assert_eq!(rig.banned(CLIENT), Some(&in_bucket(&theirs)));
    rig.pass(899_999);
    assert_eq!(rig.errors("edge-1", CLIENT, 50), [], "theirs is paid for");
    rig.pass(1);
    rig.tick();
    assert_eq!(rig.found(CLIENT).strikes, 1);
}

#[test]
fn an_order_that_gave_way_to_a_longer_ban_is_refused_as_if_it_had_come_later() {
    let mut rig = Rig::ready();
    let command = rig.ordered(1, CLIENT, 60);
    let longer = BlockCommand {
        expires_at_ms: NOW + 900_000,
        ..theirs(CLIENT, 9)
    };
    let refused = Refused {
        target: target(CLIENT),
        refusal: Refusal::Outlasted(NOW + 900_000),
        protected: None,
    };
    assert_eq!(
        rig.done(&command, Fate::Outrun(Box::new(longer.clone()))),
        [reply_not_banned(1, OrderError::Refused(Box::new(refused)))]
    );
    assert_eq!(rig.banned(CLIENT), Some(&in_bucket(&longer)));
    // Its issuer records it; this one does if that one died before.
    assert_eq!(rig.hear(&longer, 7), []);
    rig.pass(10_000);
    assert_eq!(audited(&rig.tick()), [ban_record(&longer)]);
}

#[test]
fn one_order_given_to_two_orchestrators_is_answered_by_both_with_one_ban() {
    let mut rig = Rig::ready();
    let command = rig.ordered(1, CLIENT, 60);
    let same = BlockCommand {
        id: Uuid::from_u128(9),
        expires_at_ms: command.expires_at_ms + 2_000,
        ..command.clone()
    };
    assert_eq!(
        rig.done(&command, Fate::Outrun(Box::new(same.clone()))),
        [reply_banned(1, &same)],
        "the other one records it"
    );
    assert_eq!(rig.banned(CLIENT), Some(&in_bucket(&same)));
}

#[test]
fn a_ban_that_a_later_order_took_the_place_of_before_it_gave_way_ends_no_order() {
    let mut rig = Rig::ready();
    let first = rig.found(CLIENT);
    let second = rig.ordered(1, CLIENT, 3_600);
    rig.done(&first, Fate::Outrun(Box::new(theirs(CLIENT, 9))));
    assert_eq!(rig.banned(CLIENT), Some(&pending(&second)));
    assert_eq!(rig.acknowledge(&second, 8).len(), 2);
    assert_eq!(rig.banned(CLIENT), Some(&in_bucket(&second)));
}

#[test]
fn the_fate_of_a_ban_that_is_being_lifted_ends_no_unban() {
    for fate in [
        Fate::Outrun(Box::new(theirs(CLIENT, 9))),
        Fate::Written { revision: 7 },
        Fate::Revoked,
    ] {
        let mut rig = Rig::ready();
        let command = rig.ordered(1, CLIENT, 60);
        rig.unban(2, CLIENT);
        assert_eq!(rig.done(&command, fate), []);
        assert_eq!(rig.ban_of(CLIENT), None);
        assert_eq!(
            rig.done(&command, Fate::Lifted).len(),
            2,
            "a record and an answer"
        );
    }
}

#[test]
fn a_fenced_ban_is_taken_back_and_leaves_no_strike() {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    assert_eq!(rig.done(&command, Fate::Fenced), []);
    assert_eq!((rig.ban_of(CLIENT), rig.strikes(CLIENT)), (None, 0));
    // Its owner's partition comes back here: the client is judged as if nothing had been.
    rig.lose(CLIENT);
    rig.take(CLIENT, 2);
    assert_eq!(rig.found(CLIENT).strikes, 0);
}

#[test]
fn a_fenced_ban_does_not_take_its_successor_along() {
    let mut rig = Rig::ready();
    let first = rig.found(CLIENT);
    let second = rig.ordered(1, CLIENT, 3_600);
    assert_eq!(rig.done(&first, Fate::Fenced), []);
    assert_eq!(rig.ban_of(CLIENT), Some(second.id));
}

#[test]
fn a_found_ban_that_an_operators_took_the_place_of_is_not_audited() {
    let mut rig = Rig::ready();
    let first = rig.found(CLIENT);
    let second = rig.ordered(1, CLIENT, 3_600);
    assert_eq!(rig.done(&first, Fate::Superseded), []);
    assert_eq!(audited(&rig.acknowledge(&second, 8)).len(), 1);
}

#[test]
fn the_fate_of_an_unknown_ban_changes_nothing() {
    let mut rig = Rig::ready();
    for fate in [Fate::Written { revision: 7 }, Fate::Superseded, Fate::Lifted] {
        assert_eq!(rig.done(&theirs(CLIENT, 9), fate), []);
    }
}

#[test]
fn a_ban_written_again_is_neither_audited_nor_answered_again() {
    let mut rig = Rig::ready();
    let command = rig.ordered(1, CLIENT, 3_600);
    rig.acknowledge(&command, 7);
    assert_eq!(rig.acknowledge(&command, 9), []);
}

#[test]
fn a_decider_is_drained_once_nothing_is_on_its_way() {
    let mut rig = Rig::ready();
    let drain = |ticket| Event::Drain {
        ticket: Ticket(ticket),
    };
    assert_eq!(rig.handle(drain(1)), [reply(1, Reply::Drained)]);
    let (first, second) = (rig.found(CLIENT), rig.found(OTHER_CLIENT));
    assert_eq!(rig.handle(drain(2)), []);
    assert_eq!(rig.handle(drain(3)), []);
    assert_eq!(rig.acknowledge(&first, 7).len(), 1);
    assert_eq!(
        rig.done(&second, Fate::Fenced),
        [reply(2, Reply::Drained), reply(3, Reply::Drained)]
    );
}

#[test]
fn a_ban_that_another_orchestrator_lifted_before_its_write_was_acknowledged_is_over() {
    let mut rig = Rig::ready();
    let command = rig.ordered(1, CLIENT, 3_600);
    rig.pass(1_000);
    assert_eq!(
        rig.done(&command, Fate::Revoked),
        [reply_not_banned(1, OrderError::Superseded)]
    );
    assert_eq!((rig.ban_of(CLIENT), rig.strikes(CLIENT)), (None, 0));
}

#[test]
fn a_ban_that_is_heard_in_the_bucket_waits_for_no_answer() {
    let mut rig = Rig::ready();
    let command = rig.ordered(1, CLIENT, 3_600);
    rig.pass(1_000);
    assert_eq!(
        rig.hear(&command, 7),
        [settle(&command, Fate::Written { revision: 7 })]
    );
    assert_eq!(rig.banned(CLIENT), Some(&in_bucket(&command)));
    assert_eq!(rig.hear_gone(CLIENT, 8), [], "another orchestrator lifted it");
    assert_eq!((rig.ban_of(CLIENT), rig.strikes(CLIENT)), (None, 0));
}

#[test]
fn a_ban_that_the_bucket_is_known_to_have_is_written_though_its_partition_is_lost() {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    rig.hear(&command, 7);
    let effects = rig.done(&command, Fate::Fenced);
    assert_eq!(audited(&effects), [ban_record(&command)]);
    assert_eq!(rig.banned(CLIENT), Some(&in_bucket(&command)));
}
