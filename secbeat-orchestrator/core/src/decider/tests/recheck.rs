//! What the bus says after a time without it.

use super::*;

/// A decider whose ban of [`CLIENT`] the bucket has at revision 7, and that ban.
fn with_a_ban() -> (Rig, BlockCommand) {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    rig.acknowledge(&command, 7);
    (rig, command)
}

fn recheck(rig: &mut Rig, bans: Vec<Written>, lifted: Vec<Gone>, audit: Vec<AuditRecord>) -> Vec<Effect> {
    rig.handle(Event::Recheck { bans, lifted, audit })
}

#[test]
fn a_ban_that_the_bucket_has_still_stays() {
    let (mut rig, command) = with_a_ban();
    assert_eq!(
        recheck(&mut rig, vec![bucket(&command, 7)], Vec::new(), Vec::new()),
        []
    );
    assert_eq!(rig.banned(CLIENT), Some(&in_bucket(&command)));
}

#[test]
fn a_ban_that_the_bucket_lost_is_written_again() {
    let (mut rig, command) = with_a_ban();
    assert_eq!(
        recheck(&mut rig, Vec::new(), Vec::new(), Vec::new()),
        [write(&command, Urgency::Bulk)]
    );
    assert_eq!(rig.acknowledge(&command, 9), [], "it was audited before");
}

#[test]
fn lost_bans_are_written_in_the_order_in_which_they_end() {
    let mut rig = Rig::ready();
    let bans = [(1, 900), (2, 600), (3, 1_200)].map(|(n, seconds)| {
        let command = rig.ordered(n, &format!("203.0.113.{n}"), seconds);
        rig.acknowledge(&command, n);
        command
    });
    let effects = recheck(&mut rig, Vec::new(), Vec::new(), Vec::new());
    let expected = [1, 0, 2].map(|n| write(&bans[n], Urgency::Bulk));
    assert_eq!(effects, expected);
}

#[test]
fn a_ban_that_is_being_written_is_not_written_twice() {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    assert_eq!(recheck(&mut rig, Vec::new(), Vec::new(), Vec::new()), []);
    assert_eq!(rig.banned(CLIENT), Some(&pending(&command)));
}

#[test]
fn a_lost_ban_of_another_orchestrators_partition_is_left_to_it_until_the_partition_is_taken() {
    let (mut rig, command) = with_a_ban();
    rig.hold_all(Tenure::None);
    rig.lose(CLIENT);
    assert_eq!(recheck(&mut rig, Vec::new(), Vec::new(), Vec::new()), []);
    assert_eq!(rig.take(OTHER_CLIENT, 2), [], "another partition");
    assert_eq!(rig.take(CLIENT, 2), [write(&command, Urgency::Bulk)]);
}

#[test]
fn a_lost_ban_is_written_again_while_the_lease_has_lapsed() {
    let (mut rig, command) = with_a_ban();
    rig.hold_all(Tenure::Lapsed);
    assert_eq!(
        recheck(&mut rig, Vec::new(), Vec::new(), Vec::new()),
        [write(&command, Urgency::Bulk)]
    );
}

#[test]
fn a_ban_that_was_lifted_meanwhile_ends_when_it_was_lifted() {
    let (mut rig, command) = with_a_ban();
    rig.pass(10_000);
    let lifted = vec![gone(CLIENT, NOW + 4_000, 8)];
    assert_eq!(recheck(&mut rig, Vec::new(), lifted, Vec::new()), []);
    assert_eq!((rig.ban_of(CLIENT), rig.strikes(CLIENT)), (None, 0));
    let batch = rig.batch("edge-1", vec![error(CLIENT, NOW + 4_001); 50]);
    let [next] = &written(&rig.telemetry(CLIENT, batch))[..] else {
        panic!()
    };
    assert_ne!(next.id, command.id);
}

#[test]
fn an_unban_of_the_audit_ends_a_ban_whose_deletion_the_server_has_forgotten() {
    let (mut rig, command) = with_a_ban();
    rig.pass(10_000);
    let audit = vec![unban_record(&command, NOW + 4_000)];
    assert_eq!(recheck(&mut rig, Vec::new(), Vec::new(), audit), []);
    assert_eq!(rig.ban_of(CLIENT), None);
}

#[test]
fn an_unban_of_another_ban_ends_nothing() {
    let (mut rig, command) = with_a_ban();
    let audit = vec![unban_record(&theirs(CLIENT, 9), NOW - 1)];
    let bans = vec![bucket(&command, 7)];
    assert_eq!(recheck(&mut rig, bans, Vec::new(), audit), []);
    assert_eq!(rig.ban_of(CLIENT), Some(command.id));
}

#[test]
fn nothing_that_was_decided_before_the_ban_in_force_is_news() {
    let mut rig = Rig::ready();
    rig.pass(400_000);
    let command = rig.found(CLIENT);
    rig.acknowledge(&command, 7);
    let before = BlockCommand {
        strikes: 5,
        ..theirs(CLIENT, 9)
    };
    let bans = vec![bucket(&command, 7)];
    recheck(&mut rig, bans, Vec::new(), vec![ban_record(&before)]);
    assert_eq!(rig.strikes(CLIENT), 0);
    assert_eq!(rig.errors("edge-1", CLIENT, 50), [], "its ban is paid for still");
}

#[test]
fn a_ban_that_ended_meanwhile_counts() {
    let mut rig = Rig::ready();
    rig.pass(400_000);
    let audit = vec![ban_record(&theirs(CLIENT, 9))];
    assert_eq!(recheck(&mut rig, Vec::new(), Vec::new(), audit), []);
    assert_eq!(rig.strikes(CLIENT), 1);
}

#[test]
fn a_ban_that_replaced_this_ones_meanwhile_is_adopted() {
    let (mut rig, _) = with_a_ban();
    let theirs = theirs(CLIENT, 9);
    assert_eq!(
        recheck(&mut rig, vec![bucket(&theirs, 8)], Vec::new(), Vec::new()),
        []
    );
    assert_eq!(rig.banned(CLIENT), Some(&in_bucket(&theirs)));
}

#[test]
fn a_bucket_made_anew_is_believed_though_its_revisions_are_lower() {
    let (mut rig, command) = with_a_ban();
    let theirs = theirs(OTHER_CLIENT, 9);
    let effects = recheck(&mut rig, vec![bucket(&theirs, 1)], Vec::new(), Vec::new());
    assert_eq!(effects, [write(&command, Urgency::Bulk)]);
    rig.acknowledge(&command, 2);
    assert_eq!(rig.hear_gone(CLIENT, 3), []);
    assert_eq!(rig.ban_of(CLIENT), None);
}
