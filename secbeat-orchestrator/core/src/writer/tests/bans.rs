//! What becomes of one ban.

use super::*;

#[test]
fn a_ban_is_put_at_once_and_written_when_the_server_has_it() {
    let (mut rig, command) = (Rig::new(), manual(1));
    assert_eq!(rig.ban(&command, Urgency::Now), [first_put(&command)]);
    assert!(!rig.writer.is_idle());
    assert_eq!(
        rig.taken(&command, 7),
        [report(&command, Fate::Written { revision: 7 })]
    );
    assert!(rig.writer.is_idle());
}

#[test]
fn a_ban_goes_on_top_of_what_was_heard_of_its_key() {
    let (mut rig, command) = (Rig::new(), manual(1));
    rig.revisions.begin(30);
    rig.revisions.holds(command.target, 20, NOW + 5_000);
    assert_eq!(
        rig.ban(&command, Urgency::Now),
        [put(&command, held(20, NOW + 5_000, 30))]
    );
}

#[test]
fn an_automatic_ban_bears_the_epoch_of_the_moment_and_an_operators_none() {
    let mut rig = Rig::new();
    let command = automatic(1);
    assert_eq!(
        rig.ban(&command, Urgency::Now),
        [first_put(&at_epoch(&command, 9))]
    );
    rig.leases = leases(Tenure::None);
    assert_eq!(rig.ban(&manual(2), Urgency::Now), [first_put(&manual(2))]);
}

#[test]
fn the_epoch_of_a_retry_is_that_of_its_moment_too() {
    let (mut rig, command) = (Rig::new(), automatic(1));
    rig.ban(&command, Urgency::Now);
    assert_eq!(rig.fails(&command), []);
    rig.leases = leases(Tenure::Owned { epoch: 11 });
    assert_eq!(rig.pass(100), [first_put(&at_epoch(&command, 11))]);
}

#[test]
fn a_lost_acknowledgement_is_found_by_a_read_after_the_conflict() {
    let (mut rig, command) = (Rig::new(), automatic(1));
    rig.ban(&command, Urgency::Now);
    assert_eq!(rig.fails(&command), []);
    assert_eq!(rig.pass(100), [first_put(&at_epoch(&command, 9))]);
    assert_eq!(rig.conflict(&command), [read(&command)]);
    assert_eq!(
        rig.reads(&command, 7, found(&command)),
        [report(&command, Fate::Written { revision: 7 })]
    );
    assert!(rig.writer.is_idle());
}

#[test]
fn an_automatic_ban_gives_way_to_a_ban_in_force() {
    let (mut rig, command) = (Rig::new(), automatic(1));
    let theirs = renamed(&command, 99);
    rig.ban(&command, Urgency::Now);
    assert_eq!(rig.conflict(&command), [read(&command)]);
    assert_eq!(
        rig.reads(&command, 7, found(&theirs)),
        [report(&command, Fate::Outrun(Box::new(theirs)))]
    );
    assert!(rig.writer.is_idle());
}

#[test]
fn an_automatic_ban_replaces_one_that_has_expired() {
    let (mut rig, command) = (Rig::new(), automatic(1));
    let theirs = BlockCommand {
        expires_at_ms: NOW,
        ..renamed(&command, 99)
    };
    rig.ban(&command, Urgency::Now);
    rig.conflict(&command);
    assert_eq!(
        rig.reads(&command, 7, found(&theirs)),
        [put(&at_epoch(&command, 9), held(7, NOW, 7))]
    );
}

#[test]
fn an_operators_ban_replaces_a_shorter_one_that_came_in_between() {
    let (mut rig, command) = (Rig::new(), manual(1));
    let theirs = lasting(&command, 99, 200);
    rig.revisions.begin(12);
    rig.ban(&command, Urgency::Now);
    assert_eq!(rig.conflict(&command), [read(&command)]);
    assert_eq!(
        rig.reads(&command, 7, found(&theirs)),
        [put(&command, held(7, NOW + 200_000, 12))]
    );
    assert_eq!(
        rig.taken(&command, 13),
        [report(&command, Fate::Written { revision: 13 })]
    );
}

/// Two orchestrators are ordered to ban the same target at the same time, and the other one's ban is there first.
#[test]
fn an_operators_ban_gives_way_to_a_longer_one_that_came_in_between() {
    for seconds in [306, 900] {
        let (mut rig, command) = (Rig::new(), manual(1));
        let theirs = Box::new(lasting(&command, 99, seconds));
        rig.ban(&command, Urgency::Now);
        assert_eq!(rig.conflict(&command), [read(&command)]);
        assert_eq!(
            rig.reads(&command, 7, Found::Ban(theirs.clone())),
            [report(&command, Fate::Outrun(theirs.clone()))]
        );
        assert!(rig.writer.is_idle());
        // It may be replaced by an order that says so.
        assert_eq!(rig.order(&command, Urgency::Now, true), [first_put(&command)]);
        assert_eq!(rig.conflict(&command), [read(&command)]);
        let over = held(7, theirs.expires_at_ms, 7);
        assert_eq!(rig.reads(&command, 7, Found::Ban(theirs)), [put(&command, over)]);
    }
}

#[test]
fn the_same_ban_of_two_orchestrators_is_written_once() {
    let (mut rig, command) = (Rig::new(), manual(1));
    let same = Box::new(lasting(&command, 99, 298));
    let noted = BlockCommand {
        note: "spam".to_owned(),
        ..(*same).clone()
    };
    rig.ban(&command, Urgency::Now);
    rig.conflict(&command);
    assert_eq!(puts(&rig.reads(&command, 7, found(&noted))), 1, "another order");
    rig.conflict(&command);
    assert_eq!(
        rig.reads(&command, 8, Found::Ban(same.clone())),
        [report(&command, Fate::Outrun(same))]
    );
}

#[test]
fn an_operators_ban_is_not_written_over_a_longer_one_that_was_heard_of_while_it_waited() {
    for urgency in [Urgency::Now, Urgency::Bulk] {
        let (mut rig, command) = (Rig::new(), manual(1));
        let theirs = Box::new(lasting(&command, 99, 900));
        rig.takes_batches = false;
        rig.ban(&command, urgency);
        rig.fails(&command);
        rig.takes_batches = true;
        rig.revisions.holds(theirs.target, 7, theirs.expires_at_ms);
        assert_eq!(rig.pass(100), [read(&command)]);
        assert_eq!(
            rig.reads(&command, 7, Found::Ban(theirs.clone())),
            [report(&command, Fate::Outrun(theirs))]
        );
    }
}

#[test]
fn a_ban_replaces_the_end_of_another_and_what_says_nothing() {
    for nothing in [Found::Lifted(Uuid::from_u128(99)), Found::Nothing] {
        let (mut rig, command) = (Rig::new(), automatic(1));
        rig.ban(&command, Urgency::Now);
        rig.conflict(&command);
        assert_eq!(
            rig.reads(&command, 7, nothing),
            [put(&at_epoch(&command, 9), held(7, 0, 7))]
        );
    }
}

#[test]
fn a_ban_that_another_orchestrator_lifted_is_not_written_again() {
    let (mut rig, command) = (Rig::new(), automatic(1));
    rig.ban(&command, Urgency::Bulk);
    rig.conflict(&command);
    assert_eq!(
        rig.reads(&command, 7, Found::Lifted(command.id)),
        [report(&command, Fate::Revoked)]
    );
    assert!(rig.writer.is_idle());
}

#[test]
fn a_conflict_after_a_read_is_read_again() {
    let (mut rig, command) = (Rig::new(), manual(1));
    rig.ban(&command, Urgency::Now);
    rig.conflict(&command);
    rig.reads(&command, 7, Found::Nothing);
    assert_eq!(rig.conflict(&command), [read(&command)]);
    assert_eq!(
        rig.reads(&command, 8, Found::Nothing),
        [put(&command, held(8, 0, 8))]
    );
}

#[test]
fn a_ban_that_expires_before_its_write_is_not_written() {
    let mut rig = Rig::new();
    let command = BlockCommand {
        expires_at_ms: NOW,
        ..manual(1)
    };
    assert_eq!(rig.ban(&command, Urgency::Now), [report(&command, Fate::Ended)]);
    let command = BlockCommand {
        expires_at_ms: NOW + 100,
        ..manual(2)
    };
    assert_eq!(rig.ban(&command, Urgency::Now), [first_put(&command)]);
    rig.fails(&command);
    assert_eq!(rig.pass(100), [report(&command, Fate::Ended)]);
    assert!(rig.writer.is_idle());
}

#[test]
fn a_ban_that_expires_between_its_conflict_and_the_read_is_not_written() {
    let (mut rig, command) = (Rig::new(), manual(1));
    rig.ban(&command, Urgency::Now);
    rig.conflict(&command);
    rig.pass(300_000);
    assert_eq!(
        rig.reads(&command, 7, Found::Nothing),
        [report(&command, Fate::Ended)]
    );
}

#[test]
fn an_automatic_ban_waits_for_a_lapsed_lease() {
    let (mut rig, command) = (Rig::new(), automatic(1));
    rig.leases = leases(Tenure::Lapsed);
    assert_eq!(rig.ban(&command, Urgency::Now), []);
    assert_eq!(rig.writer.due_ms(), Some(BOOT + 100));
    assert_eq!(rig.pass(100), [], "it has lapsed still");
    assert_eq!(rig.writer.due_ms(), Some(BOOT + 300));
    rig.leases = leases(Tenure::Owned { epoch: 12 });
    assert_eq!(rig.pass(200), [first_put(&at_epoch(&command, 12))]);
}

#[test]
fn an_automatic_ban_of_anothers_partition_is_fenced() {
    let (mut rig, command) = (Rig::new(), automatic(1));
    rig.leases = leases(Tenure::None);
    assert_eq!(rig.ban(&command, Urgency::Now), [report(&command, Fate::Fenced)]);
    assert!(rig.writer.is_idle());
}

#[test]
fn an_automatic_ban_whose_partition_is_lost_between_two_attempts_is_fenced() {
    let (mut rig, command) = (Rig::new(), automatic(1));
    rig.ban(&command, Urgency::Now);
    rig.conflict(&command);
    rig.leases = leases(Tenure::None);
    assert_eq!(
        rig.reads(&command, 7, Found::Nothing),
        [report(&command, Fate::Fenced)]
    );
}

#[test]
fn the_latest_ban_wins_while_another_is_under_way() {
    let (mut rig, first) = (Rig::new(), manual(1));
    let (second, third) = (lasting(&first, 2, 400), lasting(&first, 3, 500));
    rig.ban(&first, Urgency::Now);
    assert_eq!(
        rig.ban(&second, Urgency::Now),
        [report(&first, Fate::Superseded)],
        "one write of a target at a time"
    );
    assert_eq!(rig.ban(&third, Urgency::Now), [report(&second, Fate::Superseded)]);
    rig.revisions.holds(first.target, 7, first.expires_at_ms);
    assert_eq!(rig.taken(&first, 7), [read(&third)], "the first is reported once");
    assert_eq!(
        rig.reads(&third, 7, found(&first)),
        [put(&third, held(7, first.expires_at_ms, 7))]
    );
    assert_eq!(
        rig.taken(&third, 8),
        [report(&third, Fate::Written { revision: 8 })]
    );
}

#[test]
fn a_ban_that_waits_is_replaced_by_a_later_one() {
    let (mut rig, first) = (Rig::new(), automatic(1));
    let second = renamed(&first, 2);
    rig.leases = leases(Tenure::Lapsed);
    rig.ban(&first, Urgency::Now);
    assert_eq!(rig.ban(&second, Urgency::Now), [report(&first, Fate::Superseded)]);
    rig.leases = leases(Tenure::Owned { epoch: 9 });
    assert_eq!(rig.pass(100), [first_put(&at_epoch(&second, 9))]);
}

#[test]
fn a_superseded_ban_does_not_look_into_its_conflict() {
    let (mut rig, first) = (Rig::new(), manual(1));
    let second = renamed(&first, 2);
    rig.ban(&first, Urgency::Now);
    rig.ban(&second, Urgency::Now);
    assert_eq!(rig.conflict(&first), [first_put(&second)]);
}

#[test]
fn the_same_ban_again_is_no_other_request() {
    let (mut rig, command) = (Rig::new(), manual(1));
    rig.ban(&command, Urgency::Now);
    assert_eq!(rig.ban(&command, Urgency::Bulk), []);
    assert_eq!(
        rig.taken(&command, 7),
        [report(&command, Fate::Written { revision: 7 })]
    );
    assert!(rig.writer.is_idle());
}

#[test]
fn an_automatic_ban_is_not_written_over_one_that_was_heard_of_since_it_was_decided() {
    let (mut rig, ours) = (Rig::new(), automatic(1));
    let theirs = renamed(&automatic(1), 2);
    rig.leases = leases(Tenure::Lapsed);
    rig.ban(&ours, Urgency::Now);
    rig.revisions.holds(theirs.target, 7, theirs.expires_at_ms);
    rig.leases = leases(Tenure::Owned { epoch: 9 });
    assert_eq!(rig.pass(100), [read(&ours)]);
    let theirs = Box::new(theirs);
    assert_eq!(
        rig.reads(&ours, 7, Found::Ban(theirs.clone())),
        [report(&ours, Fate::Outrun(theirs))]
    );
}
