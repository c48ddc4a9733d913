//! What stands in the bucket and must not be accepted: what was spoiled, and what was written too late.

use super::*;

/// A decider whose ban of [`CLIENT`] the bucket has at revision 7, and that ban.
fn with_a_ban() -> (Rig, BlockCommand) {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    rig.acknowledge(&command, 7);
    (rig, command)
}

fn spoil(rig: &mut Rig, client: &str, revision: u64) -> Vec<Effect> {
    rig.handle(Event::Spoiled {
        target: target(client),
        revision,
    })
}

#[test]
fn a_spoiled_ban_is_written_again_by_the_next_tick_and_once() {
    let (mut rig, command) = with_a_ban();
    assert_eq!(spoil(&mut rig, CLIENT, 8), []);
    assert_eq!(rig.tick(), [write_over(8, &command, Urgency::Bulk)]);
    assert_eq!(rig.tick(), []);
}

#[test]
fn a_spoiled_ban_counts_as_lost_until_it_is_heard_of_again() {
    let (mut rig, command) = with_a_ban();
    spoil(&mut rig, CLIENT, 8);
    rig.tick();
    assert_eq!(rig.take(CLIENT, 2), [write(&command, Urgency::Bulk)]);
    rig.hear(&command, 9);
    assert_eq!(rig.take(CLIENT, 3), []);
}

#[test]
fn a_spoiled_ban_is_not_written_again_while_it_is_being_written() {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    spoil(&mut rig, CLIENT, 8);
    assert_eq!(rig.tick(), []);
    rig.acknowledge(&command, 7);
    assert_eq!(
        rig.tick(),
        [write_over(8, &command, Urgency::Bulk)],
        "spoiled after that"
    );
}

#[test]
fn what_was_spoiled_before_the_ban_was_written_is_no_matter() {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    spoil(&mut rig, CLIENT, 6);
    assert_eq!(rig.tick(), []);
    rig.acknowledge(&command, 7);
    assert_eq!(rig.tick(), []);
}

#[test]
fn what_was_spoiled_without_a_ban_in_force_is_left() {
    let (mut rig, _) = with_a_ban();
    spoil(&mut rig, OTHER_CLIENT, 8);
    spoil(&mut rig, CLIENT, 9);
    rig.pass(300_000);
    assert_eq!(rig.tick(), []);
}

#[test]
fn a_ban_that_edges_refuse_is_written_again_by_the_owner() {
    let mut rig = Rig::ready();
    let newer = BlockCommand {
        epoch: 2,
        ..theirs(CLIENT, 9)
    };
    rig.hear(&newer, 7);
    let stale = theirs(CLIENT, 10);
    assert_eq!(rig.hear(&stale, 8), [write_over(8, &stale, Urgency::Bulk)]);
    assert_eq!(rig.hear(&theirs(OTHER_CLIENT, 11), 9), [], "of another partition");
}

#[test]
fn an_operators_ban_is_never_refused() {
    let mut rig = Rig::ready();
    rig.hear(
        &BlockCommand {
            epoch: 2,
            ..theirs(CLIENT, 9)
        },
        7,
    );
    let by_hand = BlockCommand {
        epoch: secbeat_common::wire::NO_LEASE,
        ..theirs(CLIENT, 10)
    };
    assert_eq!(rig.hear(&by_hand, 8), []);
}

#[test]
fn a_ban_that_edges_refuse_is_adopted_when_its_partition_is_taken() {
    let mut rig = Rig::ready();
    rig.hold_all(Tenure::None);
    rig.lose(CLIENT);
    rig.hear(
        &BlockCommand {
            epoch: 2,
            ..theirs(CLIENT, 9)
        },
        7,
    );
    let stale = theirs(CLIENT, 10);
    assert_eq!(rig.hear(&stale, 8), [], "its owner writes it again");
    rig.hold_all(Tenure::Owned { epoch: 3 });
    assert_eq!(rig.take(OTHER_CLIENT, 3), []);
    assert_eq!(rig.take(CLIENT, 3), [write_over(8, &stale, Urgency::Bulk)]);
    assert_eq!(rig.take(CLIENT, 3), [], "once");
}

#[test]
fn a_refused_ban_that_its_owner_wrote_again_is_left() {
    let mut rig = Rig::ready();
    rig.hold_all(Tenure::None);
    rig.lose(CLIENT);
    for (epoch, revision) in [(2, 7), (1, 8), (2, 9)] {
        let command = BlockCommand {
            epoch,
            ..theirs(CLIENT, 9)
        };
        rig.hear(&command, revision);
    }
    rig.hold_all(Tenure::Owned { epoch: 3 });
    assert_eq!(rig.take(CLIENT, 3), []);
}

#[test]
fn a_refused_ban_of_the_bucket_at_the_start_is_adopted_with_its_partition() {
    let mut rig = Rig::new();
    rig.handle(Event::Allowlist(Vec::new()));
    let (first, stale) = (
        BlockCommand {
            epoch: 2,
            ..theirs(CLIENT, 9)
        },
        theirs("203.0.113.16", 10),
    );
    assert_eq!(first.target.partition(16), stale.target.partition(16));
    rig.restore(
        vec![bucket(&first, 7), bucket(&stale, 8)],
        vec![ban_record(&first), ban_record(&stale)],
    );
    assert_eq!(rig.own_all(3), [write_over(8, &stale, Urgency::Bulk)]);
}
