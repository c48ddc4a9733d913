//! What becomes of the end of a ban.

use super::*;

#[test]
fn a_ban_in_place_of_a_lift_that_failed_replaces_what_was_to_be_lifted() {
    for issued_later_ms in [0, 1] {
        let (mut rig, long) = (Rig::new(), lasting(&manual(1), 1, 900));
        let short = lasting(&long, 2, 60);
        assert_eq!(rig.lift(&long), [read(&long)]);
        rig.fails(&long);
        rig.ban(&short, Urgency::Now);
        assert_eq!(rig.pass(100), [first_put(&short)]);
        assert_eq!(rig.conflict(&short), [read(&short)]);
        let there = BlockCommand {
            issued_at_ms: NOW + issued_later_ms,
            ..long.clone()
        };
        let over = held(7, long.expires_at_ms, 7);
        let expected = match issued_later_ms {
            0 => put(&short, over),
            _ => report(&short, Fate::Outrun(Box::new(there.clone()))),
        };
        assert_eq!(rig.reads(&short, 7, found(&there)), [expected]);
    }
}

/// A writer that has written `manual(1)` at revision 7, and what it wrote.
fn written() -> (Rig, BlockCommand) {
    let (mut rig, command) = (Rig::new(), manual(1));
    rig.ban(&command, Urgency::Now);
    rig.taken(&command, 7);
    rig.revisions.holds(command.target, 7, command.expires_at_ms);
    (rig, command)
}

#[test]
fn a_lift_reads_first_and_removes_what_it_has_read() {
    let (mut rig, command) = written();
    assert_eq!(rig.lift(&command), [read(&command)]);
    assert_eq!(
        rig.reads(&command, 7, found(&command)),
        [remove(&command, held(7, NOW + 300_000, 7))]
    );
    assert_eq!(rig.taken(&command, 8), [report(&command, Fate::Lifted)]);
    assert!(rig.writer.is_idle());
}

#[test]
fn a_lift_that_the_end_of_its_ban_comes_before_lifts_nothing() {
    // The bus is away from before the end of the ban until after it, or takes the removal only then.
    for (pass_before_ms, pass_under_way_ms) in [(300_000, 0), (0, 300_000)] {
        let (mut rig, command) = written();
        rig.lift(&command);
        rig.now.wall_ms += pass_before_ms;
        rig.reads(&command, 7, found(&command));
        rig.now.wall_ms += pass_under_way_ms;
        assert_eq!(rig.taken(&command, 8), [report(&command, Fate::Ended)]);
    }
    let (mut rig, command) = written();
    rig.lift(&command);
    rig.now.wall_ms += 299_998;
    rig.reads(&command, 7, found(&command));
    rig.now.wall_ms += 1;
    assert_eq!(rig.taken(&command, 8), [report(&command, Fate::Lifted)]);
}

#[test]
fn a_lift_whose_answer_was_lost_has_lifted_though_the_end_of_its_ban_comes_before_the_next() {
    let (mut rig, command) = written();
    rig.lift(&command);
    rig.reads(&command, 7, found(&command));
    rig.fails(&command);
    rig.pass(300_000);
    rig.reads(&command, 8, Found::Lifted(command.id));
    assert_eq!(rig.taken(&command, 9), [report(&command, Fate::Lifted)]);
}

#[test]
fn a_lift_of_another_ban_that_lasts_longer_lifts_that_one() {
    let (mut rig, command) = written();
    let older = BlockCommand {
        expires_at_ms: NOW + 900_000,
        ..renamed(&command, 99)
    };
    rig.lift(&command);
    rig.now.wall_ms += 300_000;
    rig.reads(&command, 9, found(&older));
    assert_eq!(rig.taken(&command, 10), [report(&command, Fate::Lifted)]);
}

#[test]
fn a_lift_leaves_a_newer_ban_alone() {
    let (mut rig, command) = written();
    let newer = BlockCommand {
        issued_at_ms: NOW + 1,
        ..renamed(&command, 99)
    };
    rig.lift(&command);
    assert_eq!(
        rig.reads(&command, 9, found(&newer)),
        [report(&command, Fate::Lifted)]
    );
    assert!(rig.writer.is_idle());
}

#[test]
fn a_lift_removes_another_ban_that_is_no_newer() {
    let (mut rig, command) = written();
    let older = BlockCommand {
        issued_at_ms: NOW,
        expires_at_ms: NOW + 900_000,
        ..renamed(&command, 99)
    };
    rig.lift(&command);
    assert_eq!(
        rig.reads(&command, 9, found(&older)),
        [remove(&command, held(9, NOW + 900_000, 9))],
        "held until the later of both ends"
    );
}

#[test]
fn a_lift_removes_also_where_there_is_none() {
    for (revision, nothing) in [
        (0, Found::Nothing),
        (9, Found::Nothing),
        (9, Found::Lifted(manual(1).id)),
    ] {
        let (mut rig, command) = written();
        rig.lift(&command);
        assert_eq!(
            rig.reads(&command, revision, nothing),
            [remove(&command, held(revision, NOW + 300_000, revision.max(7)))]
        );
    }
}

#[test]
fn a_lift_that_conflicts_reads_again() {
    let (mut rig, command) = written();
    rig.lift(&command);
    rig.reads(&command, 7, found(&command));
    assert_eq!(rig.conflict(&command), [read(&command)]);
    let again = found(&command);
    assert_eq!(
        rig.reads(&command, 9, again),
        [remove(&command, held(9, NOW + 300_000, 9))]
    );
}

#[test]
fn a_lift_whose_read_or_removal_fails_begins_anew_after_a_pause() {
    let (mut rig, command) = written();
    rig.lift(&command);
    assert_eq!(rig.fails(&command), []);
    assert_eq!(rig.pass(100), [read(&command)]);
    rig.reads(&command, 7, found(&command));
    assert_eq!(rig.fails(&command), []);
    assert_eq!(rig.pass(200), [read(&command)]);
}

#[test]
fn a_lift_needs_no_lease() {
    let (mut rig, command) = (Rig::new(), automatic(1));
    rig.leases = leases(Tenure::None);
    assert_eq!(rig.lift(&command), [read(&command)]);
}

#[test]
fn a_lift_takes_the_place_of_its_ban_without_a_report() {
    let (mut rig, command) = (Rig::new(), manual(1));
    rig.ban(&command, Urgency::Now);
    assert_eq!(rig.lift(&command), [], "the ban is under way");
    assert_eq!(rig.taken(&command, 7), [read(&command)]);
    rig.reads(&command, 7, found(&command));
    assert_eq!(rig.taken(&command, 8), [report(&command, Fate::Lifted)]);
    assert!(rig.writer.is_idle());
}

#[test]
fn a_ban_after_a_lift_is_written_after_the_removal() {
    let (mut rig, command) = written();
    let next = renamed(&command, 2);
    rig.lift(&command);
    assert_eq!(rig.ban(&next, Urgency::Now), [report(&command, Fate::Superseded)]);
    assert_eq!(
        rig.reads(&command, 7, found(&command)),
        [remove(&command, held(7, NOW + 300_000, 7))]
    );
    rig.revisions.deleted(&command.target, 8);
    assert_eq!(rig.taken(&command, 8), [put(&next, held(0, 0, 8))]);
    assert_eq!(
        rig.taken(&next, 9),
        [report(&next, Fate::Written { revision: 9 })]
    );
}
