//! What goes first, and how much at a time.

use super::*;

/// Requests bans of `of` at once; returns how many operations begin.
fn request_all(rig: &mut Rig, of: impl IntoIterator<Item = BlockCommand>, urgency: Urgency) -> usize {
    of.into_iter()
        .map(|command| rig.ban(&command, urgency).len())
        .sum()
}

#[test]
fn at_most_512_operations_are_under_way() {
    let mut rig = Rig::new();
    assert_eq!(request_all(&mut rig, (0..600).map(manual), Urgency::Now), 512);
    assert_eq!(
        rig.taken(&manual(0), 7),
        [
            report(&manual(0), Fate::Written { revision: 7 }),
            first_put(&manual(512))
        ]
    );
}

#[test]
fn what_is_not_urgent_leaves_room_for_what_is() {
    let mut rig = Rig::new();
    rig.takes_batches = false;
    assert_eq!(request_all(&mut rig, (0..300).map(manual), Urgency::Bulk), 256);
    assert_eq!(request_all(&mut rig, (1000..1300).map(manual), Urgency::Now), 256);
}

#[test]
fn what_is_urgent_goes_before_what_waited_longer() {
    let mut rig = Rig::new();
    rig.takes_batches = false;
    request_all(&mut rig, (0..512).map(manual), Urgency::Now);
    assert_eq!(rig.ban(&manual(600), Urgency::Bulk), []);
    assert_eq!(rig.ban(&manual(700), Urgency::Now), []);
    assert_eq!(rig.taken(&manual(0), 7)[1..], [first_put(&manual(700))]);
    assert_eq!(rig.taken(&manual(1), 8).len(), 1, "256 are under way still");
}

#[test]
fn a_waiting_request_that_becomes_urgent_is_tried_once() {
    let mut rig = Rig::new();
    rig.takes_batches = false;
    request_all(&mut rig, (0..256).map(manual), Urgency::Bulk);
    let (first, second) = (manual(700), renamed(&manual(700), 701));
    assert_eq!(rig.ban(&first, Urgency::Bulk), []);
    assert_eq!(
        rig.ban(&second, Urgency::Now),
        [report(&first, Fate::Superseded), first_put(&second)]
    );
    assert_eq!(
        rig.taken(&manual(0), 7),
        [report(&manual(0), Fate::Written { revision: 7 })],
        "its second turn is passed over"
    );
}

#[test]
fn requests_of_one_urgency_go_in_order() {
    let mut rig = Rig::new();
    rig.takes_batches = false;
    request_all(&mut rig, (0..256).map(manual), Urgency::Bulk);
    request_all(&mut rig, (300..303).map(manual), Urgency::Bulk);
    for (done, next) in [(0, 300), (1, 301), (2, 302)] {
        assert_eq!(rig.taken(&manual(done), 7)[1..], [first_put(&manual(next))]);
    }
}

#[test]
fn a_writer_is_idle_before_the_first_request_and_after_the_last_answer() {
    let mut rig = Rig::new();
    assert!(rig.writer.is_idle());
    assert_eq!(rig.writer.due_ms(), None);
    rig.ban(&manual(1), Urgency::Now);
    rig.ban(&manual(2), Urgency::Now);
    rig.taken(&manual(1), 7);
    assert!(!rig.writer.is_idle());
    rig.taken(&manual(2), 8);
    assert!(rig.writer.is_idle());
    assert_eq!(rig.writer.due_ms(), None);
}
