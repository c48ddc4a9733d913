//! What was received is what the fleet said, whatever became of it here.

use secbeat_common::digest::{Digest, Item};

use super::*;

/// When the bans of these tests count: a minute after their issue.
const LATER_MS: i64 = NOW.wall_ms + 60_000;

fn extract_of(commands: &[&BlockCommand]) -> Extract {
    let mut digest = Digest::default();
    for command in commands {
        digest.add(&Item::from(*command));
    }
    digest.extract(LATER_MS)
}

#[track_caller]
fn assert_received(reconciler: &Reconciler, commands: &[&BlockCommand], set_aside: usize) {
    assert_eq!(reconciler.digest(LATER_MS), extract_of(commands));
    assert_eq!(reconciler.set_aside(), set_aside);
}

fn numbered(n: u128, target: &str, seconds: i64) -> BlockCommand {
    BlockCommand {
        id: Uuid::from_u128(n),
        ..command(target, seconds)
    }
}

#[test]
fn bans_count_from_their_receipt_to_their_end_also_when_they_come_again() {
    let mut reconciler = reconciler();
    let (one, other) = (command("198.51.100.7", 600), command("198.51.100.77", 300));
    for command in [&one, &other, &one] {
        reconciler.accept(command, NOW, nothing).unwrap();
    }
    assert_eq!(extract_of(&[&one, &other]).bans, 2, "else nothing is compared");
    assert_received(&reconciler, &[&one, &other], 0);
    reconciler.prune(at(300));
    assert_received(&reconciler, &[&one], 0);
    reconciler.withdraw(&one.target);
    assert_received(&reconciler, &[], 0);
}

#[test]
fn a_ban_that_is_refused_counts_and_is_known_when_it_comes_again() {
    let mut reconciler = reconciler();
    let refused = command("198.51.100.7", 600);
    assert!(!reconciler.has_command(&refused.target, refused.id));
    for _ in 0..2 {
        assert!(reconciler.accept(&refused, NOW, |_| true).is_err());
        assert!(reconciler.has_command(&refused.target, refused.id));
        assert_received(&reconciler, &[&refused], 1);
    }
    // No longer protected.
    assert!(reconciler.accept(&refused, NOW, nothing).unwrap().is_some());
    assert_received(&reconciler, &[&refused], 0);
    // Protected again, while it is enforced, and then no more.
    assert!(reconciler.accept(&refused, NOW, |_| true).is_err());
    assert_received(&reconciler, &[&refused], 1);
    assert_eq!(reconciler.accept(&refused, NOW, nothing), Ok(None));
    assert_received(&reconciler, &[&refused], 0);
}

#[test]
fn a_ban_for_another_edge_counts_here_too() {
    let mut reconciler = reconciler();
    let before = numbered(1, "198.51.100.7", 600);
    reconciler.accept(&before, NOW, nothing).unwrap();
    let elsewhere = BlockCommand {
        scope: Scope::of_edges(vec!["edge-2".to_owned()]),
        ..numbered(2, "198.51.100.7", 600)
    };
    assert_eq!(
        reconciler.accept(&elsewhere, NOW, nothing),
        Err(Refusal::OtherScope)
    );
    assert_received(&reconciler, &[&elsewhere], 1);
    reconciler.prune(at(600));
    assert_received(&reconciler, &[], 0);
}

#[test]
fn a_ban_lifted_on_this_host_alone_is_still_the_fleets() {
    let mut reconciler = reconciler();
    let lifted = command("198.51.100.7", 600);
    reconciler.accept(&lifted, NOW, nothing).unwrap();
    reconciler.unban_locally(&lifted.target).unwrap();
    assert_received(&reconciler, &[&lifted], 1);
    assert_eq!(reconciler.accept(&lifted, NOW, nothing), Err(Refusal::Overridden));
    assert_received(&reconciler, &[&lifted], 1);
    let again = numbered(9, "198.51.100.7", 600);
    reconciler.accept(&again, NOW, nothing).unwrap();
    assert_received(&reconciler, &[&again], 0);
}

#[test]
fn a_ban_that_this_edge_cuts_short_counts_to_the_fleets_end() {
    let mut reconciler = reconciler();
    let long = command("198.51.100.7", 7200);
    reconciler.accept(&long, NOW, nothing).unwrap();
    reconciler.prune(at(3600));
    assert_eq!(reconciler.get(&long.target), None);
    assert_received(&reconciler, &[&long], 1);
    reconciler.prune(at(7200));
    assert_received(&reconciler, &[], 0);
}

#[test]
fn a_snapshot_without_them_forgets_bans_that_were_set_aside() {
    let mut reconciler = reconciler();
    let (one, other) = (command("198.51.100.7", 600), command("198.51.100.77", 600));
    for command in [&one, &other] {
        assert!(reconciler.accept(command, NOW, |_| true).is_err());
    }
    reconciler.complete_snapshot(&HashSet::from([other.target]));
    assert_received(&reconciler, &[&other], 1);
    assert_eq!(reconciler.withdraw(&other.target), None);
    assert_received(&reconciler, &[], 0);
}

#[test]
fn a_ban_that_was_enforced_for_as_long_as_this_edge_bans_does_not_begin_again() {
    let mut reconciler = reconciler();
    let long = command("198.51.100.7", 30 * 24 * 3600);
    assert!(reconciler.accept(&long, NOW, nothing).unwrap().is_some());
    let longest = MAX_BAN.as_secs();
    assert_eq!(reconciler.prune(at(longest)).len(), 1);
    assert_eq!(reconciler.accept(&long, NOW, nothing), Ok(None), "named again");
    assert_eq!(reconciler.desired().count(), 0);
    assert_received(&reconciler, &[&long], 1);
    let another = numbered(9, "198.51.100.7", 600);
    assert!(reconciler.accept(&another, NOW, nothing).unwrap().is_some());
    assert_received(&reconciler, &[&another], 0);
}
