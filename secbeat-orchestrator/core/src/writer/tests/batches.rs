//! Bans that operators order together.

use super::*;

/// Begins 256 urgent operations, so that nothing begins that is not urgent.
fn fill(rig: &mut Rig) -> Vec<BlockCommand> {
    let all: Vec<_> = (10_000..10_256).map(manual).collect();
    for command in &all {
        rig.ban(command, Urgency::Now);
    }
    all
}

/// Ends what [`fill`] began until something else begins, and returns that.
fn drain(rig: &mut Rig, filled: &[BlockCommand]) -> Vec<Effect> {
    let mut effects = Vec::new();
    for command in filled {
        effects = rig.taken(command, 1);
        effects.retain(|effect| matches!(effect, Effect::Operate(_)));
        if !effects.is_empty() {
            break;
        }
    }
    effects
}

#[test]
fn operators_bans_that_are_not_urgent_go_in_one_batch() {
    let mut rig = Rig::new();
    let filled = fill(&mut rig);
    let bans: Vec<_> = (1..=3).map(manual).collect();
    for command in &bans {
        assert_eq!(rig.ban(command, Urgency::Bulk), []);
    }
    assert_eq!(drain(&mut rig, &filled), [put_all(1, &bans)]);
    let fates = rig.handle(Event::AllPut {
        batch: 1,
        first_revision: 40,
    });
    assert_eq!(
        fates,
        [
            report(&bans[0], Fate::Written { revision: 40 }),
            report(&bans[1], Fate::Written { revision: 41 }),
            report(&bans[2], Fate::Written { revision: 42 }),
        ]
    );
}

#[test]
fn a_batch_has_at_most_500_bans_and_two_are_under_way() {
    let mut rig = Rig::new();
    let filled = fill(&mut rig);
    for n in 0..1600 {
        rig.ban(&manual(n), Urgency::Bulk);
    }
    let (first, second): (Vec<_>, Vec<_>) =
        ((0..500).map(manual).collect(), (500..1000).map(manual).collect());
    assert_eq!(
        drain(&mut rig, &filled),
        [put_all(1, &first)],
        "there is room for one more operation"
    );
    let rest = &filled[1..];
    assert_eq!(drain(&mut rig, rest), [put_all(2, &second)]);
    for command in &rest[1..] {
        assert_eq!(rig.taken(command, 1).len(), 1, "no third batch");
    }
    let third: Vec<_> = (1000..1500).map(manual).collect();
    let effects = rig.handle(Event::AllPut {
        batch: 1,
        first_revision: 1,
    });
    assert_eq!(effects.len(), 501);
    assert_eq!(effects[500], put_all(3, &third));
}

#[test]
fn an_automatic_ban_among_a_batch_goes_by_itself() {
    let mut rig = Rig::new();
    rig.ban(&manual(9), Urgency::Bulk);
    rig.handle(Event::BatchFailed { batch: 1 });
    for command in [&manual(1), &automatic(2), &manual(3)] {
        assert_eq!(rig.ban(command, Urgency::Bulk), []);
    }
    assert_eq!(
        rig.pass(100),
        [
            first_put(&manual(9)),
            first_put(&at_epoch(&automatic(2), 9)),
            put_all(2, &[manual(1), manual(3)])
        ]
    );
}

#[test]
fn an_expired_ban_is_in_no_batch() {
    let mut rig = Rig::new();
    let filled = fill(&mut rig);
    let short = BlockCommand {
        expires_at_ms: NOW + 1,
        ..manual(1)
    };
    rig.ban(&short, Urgency::Bulk);
    rig.ban(&manual(2), Urgency::Bulk);
    rig.pass(1);
    assert_eq!(
        rig.taken(&filled[0], 1),
        [
            report(&filled[0], Fate::Written { revision: 1 }),
            report(&short, Fate::Ended),
            put_all(1, &[manual(2)])
        ]
    );
}

#[test]
fn a_server_that_takes_no_batches_gets_one_ban_after_the_other() {
    let mut rig = Rig::new();
    rig.takes_batches = false;
    assert_eq!(rig.ban(&manual(1), Urgency::Bulk), [first_put(&manual(1))]);
}

#[test]
fn the_bans_of_a_failed_batch_go_one_by_one_after_a_pause() {
    let mut rig = Rig::new();
    let filled = fill(&mut rig);
    for n in 1..=2 {
        rig.ban(&manual(n), Urgency::Bulk);
    }
    drain(&mut rig, &filled);
    for command in &filled[1..] {
        rig.taken(command, 1);
    }
    assert_eq!(rig.handle(Event::BatchFailed { batch: 1 }), []);
    assert_eq!(rig.writer.due_ms(), Some(BOOT + 100));
    assert_eq!(rig.ban(&manual(3), Urgency::Bulk), [], "it waits for them");
    assert_eq!(rig.pass(99), []);
    assert_eq!(
        rig.pass(1),
        [
            first_put(&manual(1)),
            first_put(&manual(2)),
            put_all(2, &[manual(3)])
        ]
    );
    assert_eq!(rig.writer.due_ms(), None);
}

#[test]
fn an_urgent_ban_does_not_wait_for_a_failed_batch() {
    let mut rig = Rig::new();
    assert_eq!(rig.ban(&manual(1), Urgency::Bulk), [put_all(1, &[manual(1)])]);
    rig.handle(Event::BatchFailed { batch: 1 });
    assert_eq!(rig.ban(&manual(2), Urgency::Now), [first_put(&manual(2))]);
}

#[test]
fn a_later_request_for_a_ban_of_a_batch_follows_it() {
    let mut rig = Rig::new();
    let (first, second) = (manual(1), lasting(&manual(1), 2, 400));
    rig.ban(&first, Urgency::Bulk);
    assert_eq!(
        rig.ban(&second, Urgency::Now),
        [report(&first, Fate::Superseded)],
        "the batch is under way"
    );
    rig.revisions.holds(first.target, 40, first.expires_at_ms);
    assert_eq!(
        rig.handle(Event::AllPut {
            batch: 1,
            first_revision: 40
        }),
        [read(&second)]
    );
    assert_eq!(
        rig.reads(&second, 40, found(&first)),
        [put(&second, held(40, first.expires_at_ms, 40))]
    );
}

#[test]
fn the_bans_of_a_failed_batch_give_way_to_longer_ones_that_came_in_between() {
    let (mut rig, bans) = (Rig::new(), [manual(1), manual(2)]);
    for command in &bans {
        rig.ban(command, Urgency::Bulk);
    }
    rig.handle(Event::BatchFailed { batch: 1 });
    rig.handle(Event::BatchFailed { batch: 2 });
    assert_eq!(puts(&rig.pass(100)), 2);
    for command in &bans {
        let theirs = Box::new(lasting(command, 99, 900));
        assert_eq!(rig.conflict(command), [read(command)]);
        assert_eq!(
            rig.reads(command, 7, Found::Ban(theirs.clone())),
            [report(command, Fate::Outrun(theirs))]
        );
    }
}

#[test]
fn a_ban_whose_key_has_changed_since_is_in_no_batch() {
    let mut rig = Rig::new();
    let filled = fill(&mut rig);
    for n in 1..=3 {
        rig.ban(&manual(n), Urgency::Bulk);
    }
    rig.revisions.holds(manual(1).target, 7, NOW + 900_000);
    rig.revisions.holds(manual(2).target, 8, 0);
    let second = held(8, 0, 8);
    let batch = Operation::PutAll {
        batch: 1,
        commands: vec![(manual(2), second), (manual(3), held(0, 0, 8))],
    };
    assert_eq!(drain(&mut rig, &filled), [read(&manual(1))]);
    assert_eq!(drain(&mut rig, &filled[1..]), [Effect::Operate(batch)]);
}

#[test]
fn a_later_request_for_a_ban_of_a_failed_batch_takes_its_place() {
    let mut rig = Rig::new();
    let (first, second) = (manual(1), renamed(&manual(1), 2));
    rig.ban(&first, Urgency::Bulk);
    rig.ban(&second, Urgency::Now);
    assert_eq!(rig.handle(Event::BatchFailed { batch: 1 }), [first_put(&second)]);
}

#[test]
fn automatic_bans_among_a_batch_keep_to_the_limit() {
    let mut rig = Rig::new();
    let filled = fill(&mut rig);
    for n in 0..400 {
        rig.ban(&automatic(n), Urgency::Bulk);
    }
    for command in &filled {
        rig.taken(command, 1);
    }
    // 256 operations were under way before, and as many are now.
    assert_eq!(rig.writer.attempts(), 256);
}

#[test]
fn a_pause_after_a_failed_batch_that_is_over_is_due_no_more_while_there_is_no_room() {
    let mut rig = Rig::new();
    rig.ban(&manual(1), Urgency::Bulk);
    rig.handle(Event::BatchFailed { batch: 1 });
    fill(&mut rig);
    assert_eq!(rig.writer.due_ms(), Some(BOOT + 100));
    assert_eq!(rig.pass(100), [], "256 operations are under way");
    assert_eq!(rig.writer.due_ms(), None, "the next answer makes room");
}
