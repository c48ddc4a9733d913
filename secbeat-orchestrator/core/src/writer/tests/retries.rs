//! Operations that were not acknowledged.

use super::*;

#[test]
fn pauses_double_from_100_ms_up_to_half_a_second() {
    let (mut rig, command) = (Rig::new(), manual(1));
    assert_eq!(rig.ban(&command, Urgency::Now), [first_put(&command)]);
    for pause in [100, 200, 400, 500, 500] {
        assert_eq!(rig.fails(&command), []);
        assert_eq!(rig.writer.due_ms(), Some(rig.now.boot_ms + pause));
        assert_eq!(rig.pass(pause - 1), [], "{pause} ms are not over");
        assert_eq!(rig.pass(1), [first_put(&command)], "{pause} ms are over");
    }
}

#[test]
fn each_target_has_pauses_of_its_own() {
    let mut rig = Rig::new();
    rig.ban(&manual(1), Urgency::Now);
    rig.fails(&manual(1));
    rig.pass(100);
    rig.fails(&manual(1));
    rig.ban(&manual(2), Urgency::Now);
    rig.fails(&manual(2));
    assert_eq!(rig.writer.due_ms(), Some(BOOT + 200));
    assert_eq!(rig.pass(100), [first_put(&manual(2))]);
    assert_eq!(rig.pass(100), [first_put(&manual(1))]);
}

#[test]
fn the_latest_request_is_what_is_tried_again() {
    let (mut rig, command) = (Rig::new(), manual(1));
    rig.ban(&command, Urgency::Now);
    rig.fails(&command);
    assert_eq!(rig.lift(&command), [], "it waits for the pause");
    assert_eq!(rig.pass(100), [read(&command)]);
}

#[test]
fn what_waits_for_a_retry_takes_no_room() {
    let mut rig = Rig::new();
    rig.leases = leases(Tenure::Lapsed);
    for n in 0..600 {
        assert_eq!(rig.ban(&automatic(n), Urgency::Now), []);
    }
    assert_eq!(rig.ban(&manual(1000), Urgency::Now), [first_put(&manual(1000))]);
}

#[test]
fn an_answer_to_nothing_changes_nothing() {
    let (mut rig, command) = (Rig::new(), manual(1));
    assert_eq!(rig.fails(&command), []);
    assert_eq!(rig.conflict(&command), []);
    assert_eq!(rig.reads(&command, 7, Found::Nothing), []);
    assert_eq!(
        rig.handle(Event::AllPut {
            batch: 5,
            first_revision: 7
        }),
        []
    );
    assert_eq!(rig.handle(Event::BatchFailed { batch: 5 }), []);
    assert!(rig.writer.is_idle());
}

#[test]
fn the_next_request_of_a_target_begins_with_the_first_pause() {
    let (mut rig, first) = (Rig::new(), manual(1));
    let second = renamed(&first, 2);
    rig.ban(&first, Urgency::Now);
    for pause in [100, 200, 400, 500] {
        rig.fails(&first);
        rig.pass(pause);
    }
    rig.ban(&second, Urgency::Now);
    assert_eq!(rig.taken(&first, 7), [first_put(&second)]);
    rig.fails(&second);
    assert_eq!(rig.writer.due_ms(), Some(rig.now.boot_ms + 100));
}

#[test]
fn retries_of_what_is_not_urgent_leave_room_for_what_is() {
    let mut rig = Rig::new();
    rig.takes_batches = false;
    for n in 0..600 {
        rig.ban(&manual(n), Urgency::Bulk);
        rig.fails(&manual(n));
    }
    assert_eq!(puts(&rig.pass(100)), 256);
    assert_eq!(rig.ban(&manual(1000), Urgency::Now), [first_put(&manual(1000))]);
}

#[test]
fn a_retry_of_what_is_not_urgent_goes_by_itself() {
    let mut rig = Rig::new();
    rig.ban(&automatic(1), Urgency::Bulk);
    rig.fails(&automatic(1));
    let second = renamed(&manual(1), 2);
    rig.ban(&second, Urgency::Bulk);
    assert_eq!(rig.pass(100), [first_put(&second)]);
}
