//! Snapshots and connections.

use super::*;

#[test]
fn a_snapshot_lifts_what_was_lifted_while_this_edge_was_disconnected() {
    let mut edge = Edge::new();
    edge.send(&command(1, "198.51.100.1", 300));
    edge.send(&command(2, "198.51.100.2", 300));
    edge.snapshot(&[&command(2, "198.51.100.2", 300)]);
    assert_eq!(edge.enforced(), [("198.51.100.2/32".to_owned(), 2, 1_300_000)]);
    assert!(!edge.drops("198.51.100.1") && edge.drops("198.51.100.2"));
}

#[test]
fn a_spoiled_entry_of_a_snapshot_lifts_nothing() {
    let mut edge = Edge::new();
    edge.send(&command(1, CLIENT, 300));
    let target = prefix(CLIENT);
    edge.handle(Event::Bucket(vec![
        BucketUpdate::SnapshotBegin(BUCKET),
        BucketUpdate::Spoiled { target },
        BucketUpdate::SnapshotEnd,
    ]));
    assert!(edge.drops(CLIENT));
    assert_eq!(
        edge.handle(Event::Bucket(vec![BucketUpdate::Spoiled { target }])),
        []
    );
    assert!(edge.drops(CLIENT));
}

#[test]
fn a_spoiled_entry_lifts_nothing_after_a_restart_until_it_is_removed_or_unbanned() {
    let mut edge = Edge::new();
    for (id, target) in [(1, CLIENT), (2, "198.51.100.2"), (3, "198.51.100.3")] {
        edge.send(&command(id, target, 300));
    }
    // The kernel keeps what it has, and the process knows nothing.
    let mut after = Edge::unsynced();
    after.kernel = edge.kernel;
    let spoiled = |target| BucketUpdate::Spoiled {
        target: prefix(target),
    };
    after.handle(Event::Bucket(vec![
        BucketUpdate::SnapshotBegin(BUCKET),
        spoiled(CLIENT),
        spoiled("198.51.100.3"),
        BucketUpdate::SnapshotEnd,
    ]));
    after.reconcile();
    assert!(after.drops(CLIENT) && after.drops("198.51.100.3"));
    assert!(!after.drops("198.51.100.2"), "nobody bans it any more");
    after.order(Order::Unban(prefix(CLIENT)));
    assert!(!after.drops(CLIENT));
    after.lift("198.51.100.3");
    after.reconcile();
    assert!(!after.drops("198.51.100.3"));
}

#[test]
fn a_snapshot_that_broke_off_lifts_nothing() {
    let mut edge = Edge::new();
    let (one, other) = (command(1, "198.51.100.1", 300), command(2, "198.51.100.2", 300));
    edge.send(&one);
    edge.send(&other);
    let update = edge.put(&one);
    edge.handle(Event::Bucket(vec![BucketUpdate::SnapshotBegin(BUCKET), update]));
    assert_eq!(edge.enforced().len(), 2);
    edge.snapshot(&[&other]);
    assert_eq!(edge.enforced(), [("198.51.100.2/32".to_owned(), 2, 1_300_000)]);
}

#[test]
fn a_bucket_that_was_made_anew_lifts_nothing_and_its_revisions_begin_again() {
    let mut edge = Edge::new();
    let old = BlockCommand {
        epoch: 9,
        ..command(1, CLIENT, 300)
    };
    edge.send(&old);
    edge.revision = 0;
    let younger = BlockCommand {
        epoch: 5,
        ..command(2, CLIENT, 600)
    };
    let effects = edge.snapshot_of(BucketId(2), &[]);
    assert_eq!(facts(&effects), [Fact::BucketReplaced]);
    assert_eq!(edge.enforced(), [(format!("{CLIENT}/32"), 1, 1_300_000)]);
    assert_eq!(edge.status().revision, 0);
    let effects = edge.send(&younger);
    assert_eq!(
        acks(&effects),
        [(2, Enforcement::Enforced)],
        "no old epoch fences it"
    );
    edge.lift(CLIENT);
    assert_eq!(edge.enforced(), []);
}

#[test]
fn the_first_snapshot_acknowledges_recent_bans_alone() {
    let mut edge = Edge::unsynced();
    let (old, recent) = (
        command(1, "198.51.100.1", 300),
        BlockCommand {
            issued_at_ms: START.wall_ms + 1,
            ..command(2, "198.51.100.2", 300)
        },
    );
    edge.now = after(edge.now, 60);
    let effects = edge.snapshot(&[&old, &recent]);
    assert_eq!(acks(&effects), [(2, Enforcement::Enforced)]);
    assert_eq!(edge.status().active, 2);
    let third = command(3, "198.51.100.3", 300);
    assert_eq!(acks(&edge.send(&third)), [(3, Enforcement::Enforced)], "live");
    let missed = command(4, "198.51.100.4", 300);
    let effects = edge.snapshot(&[&old, &recent, &third, &missed]);
    assert_eq!(acks(&effects), [(4, Enforcement::Enforced)], "reconnected");
}

#[test]
fn a_snapshot_begins_a_comparison_with_the_kernel() {
    let mut edge = Edge::new();
    edge.send(&command(1, CLIENT, 300));
    edge.kernel.evict(&prefix(CLIENT));
    edge.snapshot(&[&command(1, CLIENT, 300)]);
    assert!(edge.drops(CLIENT));
    assert_eq!(edge.status().reconcile.evicted, 1);
}

#[test]
fn the_digest_is_that_of_what_the_fleet_said_whatever_is_enforced() {
    let (mut one, mut other) = (Edge::new(), Edge::new());
    let (everywhere, elsewhere) = (
        command(1, "198.51.100.1", 600),
        BlockCommand {
            scope: Scope::of_edges(vec!["edge-2".to_owned()]),
            ..command(2, "198.51.100.2", 600)
        },
    );
    one.send(&everywhere);
    one.send(&elsewhere);
    other.snapshot(&[&elsewhere, &everywhere]);
    let later_ms = START.wall_ms + 60_000;
    assert_eq!(one.enforcer.digest(later_ms).bans, 2);
    assert_eq!(one.enforcer.digest(later_ms), other.enforcer.digest(later_ms));
    one.lift("198.51.100.2");
    assert_ne!(one.enforcer.digest(later_ms), other.enforcer.digest(later_ms));
}
