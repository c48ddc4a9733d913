//! What other orchestrators decide.

use super::*;

#[test]
fn another_orchestrators_ban_is_adopted_and_not_written() {
    let mut rig = Rig::ready();
    rig.errors("edge-1", CLIENT, 49);
    let command = theirs(CLIENT, 9);
    assert_eq!(rig.hear(&command, 7), []);
    assert_eq!(rig.banned(CLIENT), Some(&in_bucket(&command)));
    assert_eq!(rig.counted(CLIENT), 0, "the ban has emptied its windows");
    assert_eq!(rig.errors("edge-1", CLIENT, 50), []);
}

#[test]
fn a_later_ban_of_another_orchestrator_replaces_the_one_before() {
    let mut rig = Rig::ready();
    rig.hear(&theirs(CLIENT, 9), 7);
    let longer = BlockCommand {
        expires_at_ms: NOW + 900_000,
        ..theirs(CLIENT, 10)
    };
    rig.hear(&longer, 8);
    assert_eq!(rig.banned(CLIENT), Some(&in_bucket(&longer)));
}

#[test]
fn an_older_revision_than_the_one_known_is_ignored() {
    let mut rig = Rig::ready();
    rig.hear(&theirs(CLIENT, 10), 8);
    rig.hear(&theirs(CLIENT, 9), 7);
    assert_eq!(rig.ban_of(CLIENT), Some(Uuid::from_u128(10)));
    assert_eq!(rig.hear_gone(CLIENT, 7), []);
    assert_eq!(rig.ban_of(CLIENT), Some(Uuid::from_u128(10)));
}

#[test]
fn an_expired_ban_of_another_orchestrator_is_not_adopted() {
    let mut rig = Rig::ready();
    rig.pass(300_000);
    rig.hear(&theirs(CLIENT, 9), 7);
    assert_eq!(rig.ban_of(CLIENT), None);
}

#[test]
fn a_ban_that_was_replaced_by_one_that_has_expired_is_over() {
    let mut rig = Rig::ready();
    let permanent = BlockCommand {
        expires_at_ms: PERMANENT,
        ..theirs(CLIENT, 9)
    };
    rig.hear(&permanent, 7);
    rig.pass(300_000);
    rig.hear(&theirs(CLIENT, 10), 8);
    assert_eq!(rig.ban_of(CLIENT), None);
}

#[test]
fn the_echo_of_an_own_ban_says_that_it_was_written() {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    assert_eq!(
        rig.hear(&command, 7),
        [settle(&command, Fate::Written { revision: 7 })]
    );
    assert_eq!(rig.banned(CLIENT), Some(&in_bucket(&command)));
    rig.acknowledge(&command, 7);
    assert_eq!(rig.hear(&command, 7), []);
    assert_eq!(rig.banned(CLIENT), Some(&in_bucket(&command)));
}

#[test]
fn the_late_echo_of_a_ban_that_is_being_lifted_does_not_bring_it_back() {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    rig.acknowledge(&command, 7);
    rig.unban(1, CLIENT);
    assert_eq!(rig.hear(&command, 7), []);
    assert_eq!(rig.ban_of(CLIENT), None);
}

#[test]
fn another_orchestrators_ban_does_not_replace_one_that_is_being_written() {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    assert_eq!(rig.hear(&theirs(CLIENT, 9), 7), []);
    assert_eq!(rig.ban_of(CLIENT), Some(command.id));
}

#[test]
fn a_ban_that_another_orchestrator_lifted_ends_and_what_came_before_does_not_count() {
    let mut rig = Rig::ready();
    rig.hear(&theirs(CLIENT, 9), 7);
    rig.pass(1_000);
    assert_eq!(rig.hear_gone(CLIENT, 8), []);
    assert_eq!((rig.ban_of(CLIENT), rig.strikes(CLIENT)), (None, 0));
    assert_eq!(rig.errors("edge-1", CLIENT, 50), [], "at the time of the unban");
    rig.pass(1);
    rig.found(CLIENT);
}

#[test]
fn the_end_of_a_ban_does_not_end_one_that_is_being_written() {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    assert_eq!(rig.hear_gone(CLIENT, 8), []);
    assert_eq!(rig.ban_of(CLIENT), Some(command.id));
}

#[test]
fn a_ban_that_the_server_deletes_after_its_end_ended_at_its_end() {
    let mut rig = Rig::ready();
    rig.hear(&theirs(CLIENT, 9), 7);
    rig.pass(300_500);
    rig.hear_gone(CLIENT, 8);
    assert!(rig.ban_of(CLIENT).is_some(), "the next tick ends it");
    rig.tick();
    assert_eq!((rig.ban_of(CLIENT), rig.strikes(CLIENT)), (None, 1));
    let batch = rig.batch("edge-1", vec![error(CLIENT, NOW + 300_000); 50]);
    assert_eq!(written(&rig.telemetry(CLIENT, batch)).len(), 1);
}

#[test]
fn a_ban_of_another_orchestrator_is_recorded_once_it_may_have_died_before_it_could() {
    let mut rig = Rig::ready();
    let theirs = theirs(CLIENT, 9);
    rig.hear(&theirs, 7);
    rig.pass(9_999);
    assert_eq!(rig.tick(), []);
    rig.pass(1);
    assert_eq!(audited(&rig.tick()), [ban_record(&theirs)], "as of its time");
    assert_eq!(rig.tick(), []);
}

#[test]
fn a_ban_of_a_partition_that_somebody_else_owns_is_that_ones_to_record() {
    let mut rig = Rig::ready();
    rig.hear(&theirs(CLIENT, 9), 7);
    rig.hold_all(Tenure::None);
    rig.pass(10_000);
    assert_eq!(rig.tick(), []);
}

#[test]
fn a_ban_lifted_before_it_was_recorded_is_not_recorded() {
    let mut rig = Rig::ready();
    let theirs = theirs(CLIENT, 9);
    rig.hear(&theirs, 7);
    rig.hear_gone(CLIENT, 8);
    rig.pass(10_000);
    assert_eq!(rig.tick(), []);
}

#[test]
fn a_ban_that_an_expired_one_on_its_way_kept_from_the_ledger_is_taken_up() {
    let mut rig = Rig::ready();
    let short = rig.ordered(1, CLIENT, 1);
    let theirs = theirs(CLIENT, 9);
    rig.hear(&theirs, 7);
    assert_eq!(rig.ban_of(CLIENT), Some(short.id), "it may still be written");
    rig.pass(1_000);
    rig.done(&short, Fate::Ended);
    assert_eq!(rig.ban_of(CLIENT), Some(theirs.id));
}

#[test]
fn a_ban_over_an_own_one_holds_though_the_own_ones_answer_comes_later() {
    let mut rig = Rig::ready();
    let short = rig.ordered(1, CLIENT, 60);
    let longer = BlockCommand {
        expires_at_ms: NOW + 900_000,
        ..theirs(CLIENT, 9)
    };
    rig.hear(&longer, 8);
    assert_eq!(rig.ban_of(CLIENT), Some(short.id), "it may still be written");
    rig.acknowledge(&short, 7);
    assert_eq!(rig.banned(CLIENT), Some(&in_bucket(&longer)));
}

#[test]
fn an_order_does_not_know_the_ban_that_another_one_on_its_way_kept_from_the_ledger() {
    let mut rig = Rig::ready();
    rig.ordered(1, CLIENT, 60);
    rig.hear(&theirs(CLIENT, 9), 8);
    let effects = rig.order(2, CLIENT, 120);
    assert_eq!(effects, [write_over(0, &written(&effects)[0], Urgency::Now)]);
}

#[test]
fn a_ban_that_was_faster_and_is_lifted_already_is_not_taken_up() {
    let mut rig = Rig::ready();
    let command = rig.ordered(1, CLIENT, 60);
    let longer = BlockCommand {
        expires_at_ms: NOW + 900_000,
        ..theirs(CLIENT, 9)
    };
    rig.hear(&longer, 7);
    rig.hear_gone(CLIENT, 8);
    rig.done(&command, Fate::Outrun(Box::new(longer.clone())));
    assert_eq!(rig.ban_of(CLIENT), None);
    // The next one of the same target is.
    let command = rig.ordered(2, CLIENT, 60);
    rig.done(&command, Fate::Outrun(Box::new(longer.clone())));
    assert_eq!(rig.ban_of(CLIENT), Some(longer.id));
}

#[test]
fn a_tick_ends_a_ban_at_its_end_and_not_before() {
    let mut rig = Rig::ready();
    rig.hear(&theirs(CLIENT, 9), 7);
    rig.pass(299_999);
    rig.tick();
    assert!(rig.ban_of(CLIENT).is_some());
    rig.pass(1);
    assert_eq!(rig.tick(), []);
    assert_eq!(rig.ban_of(CLIENT), None);
}
