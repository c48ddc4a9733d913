//! Comparisons with the kernel, and writes that fail.

use super::*;
use crate::{Drift, Fill};

#[test]
fn an_evicted_ban_is_written_again() {
    let mut edge = Edge::new();
    edge.send(&command(1, CLIENT, 300));
    edge.kernel.evict(&prefix(CLIENT));
    let effects = edge.reconcile();
    let drift = Drift {
        missing: 1,
        evicted: 1,
        ..Drift::default()
    };
    assert_eq!(facts(&effects), [Fact::Drifted(drift)]);
    assert!(edge.drops(CLIENT));
    let stats = edge.status().reconcile;
    assert_eq!((stats.drift, stats.evicted), (drift, 1));
    assert_eq!(edge.status().not_in_kernel(), 0, "it was written again");
    assert_eq!(facts(&edge.reconcile()), []);
    assert_eq!(edge.status().reconcile.evicted, 1);
}

#[test]
fn more_bans_than_the_map_has_room_for_are_told_of() {
    let mut edge = Edge::new();
    edge.kernel.slots = 2;
    for (id, target) in (1..).zip(["198.51.100.1", "198.51.100.2", "198.51.100.3"]) {
        let effects = edge.send(&command(id, target, 300));
        assert_eq!(acks(&effects), [(id, Enforcement::Enforced)]);
    }
    assert!(!edge.drops("198.51.100.1"), "evicted");
    let effects = edge.reconcile();
    assert_eq!(
        facts(&effects),
        [
            Fact::Drifted(Drift {
                missing: 1,
                evicted: 1,
                ..Drift::default()
            }),
            Fact::Crowded {
                map: "BANNED_V4",
                fill: Fill { entries: 2, slots: 2 },
            },
        ]
    );
    assert_eq!(edge.status().not_in_kernel(), 1);
    let effects = edge.reconcile();
    assert!(
        !facts(&effects)
            .iter()
            .any(|fact| matches!(fact, Fact::Crowded { .. })),
        "told of once"
    );
}

#[test]
fn the_bans_that_the_kernel_is_to_hold_are_those_in_force_there() {
    let mut edge = Edge::new();
    edge.send(&command(1, "198.51.100.1", 300));
    edge.send(&BlockCommand {
        layer: Layer::L7,
        ..command(2, "198.51.100.2", 300)
    });
    let held = edge.enforcer.held(edge.now.boot);
    let held: Vec<_> = held.map(|(target, ends)| (target.to_string(), ends)).collect();
    assert_eq!(held, [("198.51.100.1/32".to_owned(), at(300))]);
    assert_eq!(edge.enforcer.held(at(300)).count(), 0);
    assert!(!edge.enforcer.is_crowded());
}

#[test]
fn an_unknown_ban_in_the_kernel_is_removed_once_a_snapshot_was_read() {
    let mut edge = Edge::new();
    edge.send(&command(1, CLIENT, 300));
    edge.restart();
    assert!(edge.drops(CLIENT), "a restart lifts no ban");
    edge.reconcile();
    assert!(edge.drops(CLIENT), "nobody has said yet that it is over");
    edge.snapshot(&[]);
    assert!(!edge.drops(CLIENT) && edge.kernel.bans.is_empty());
    assert_eq!(edge.status().reconcile.drift.foreign, 1);
}

#[test]
fn a_restart_leaves_no_instant_without_the_ban() {
    let mut edge = Edge::new();
    let ban = command(1, CLIENT, 300);
    edge.send(&ban);
    edge.kernel.bans.get_mut(&prefix(CLIENT)).unwrap().dropped_packets = 41;
    let before = edge.kernel.bans.clone();
    edge.now = after(edge.now, 100);
    edge.restart();
    assert_eq!(edge.kernel.bans, before);
    edge.snapshot(&[&ban]);
    assert_eq!(edge.kernel.bans, before, "not even a count is lost");
    assert_eq!(edge.status().reconcile.drift, Drift::default());
}

#[test]
fn a_ban_that_was_changed_in_the_kernel_is_put_right() {
    let mut edge = Edge::new();
    edge.send(&command(1, CLIENT, 300));
    edge.kernel.bans.get_mut(&prefix(CLIENT)).unwrap().ends = at(9);
    edge.reconcile();
    assert_eq!(edge.kernel_ban(CLIENT).ends, at(300));
    assert_eq!(edge.status().reconcile.drift.differing, 1);
}

#[test]
fn a_failed_write_is_acknowledged_as_such_shown_and_tried_again() {
    let mut edge = Edge::new();
    edge.kernel.broken = true;
    let effects = edge.send(&command(1, CLIENT, 300));
    let why = "the kernel is broken".to_owned();
    assert_eq!(acks(&effects), [(1, Enforcement::Failed(why.clone()))]);
    assert_eq!(facts(&effects), [Fact::WriteFailed(why)]);
    assert_eq!((edge.status().unwritten, edge.status().active), (1, 1));
    edge.kernel.broken = false;
    edge.reconcile();
    assert!(edge.drops(CLIENT));
    assert_eq!(edge.status().unwritten, 0);
    assert_eq!(edge.status().reconcile.evicted, 0, "it was never there");
}

#[test]
fn a_failed_removal_is_shown_and_tried_again() {
    let mut edge = Edge::new();
    edge.send(&command(1, CLIENT, 300));
    edge.kernel.broken = true;
    edge.lift(CLIENT);
    assert_eq!((edge.status().unwritten, edge.status().active), (1, 0));
    edge.kernel.broken = false;
    edge.reconcile();
    assert!(!edge.drops(CLIENT));
    assert_eq!(edge.status().unwritten, 0);
}

#[test]
fn a_kernel_that_cannot_be_read_is_read_again_with_the_next_reconciliation() {
    let mut edge = Edge::new();
    edge.kernel.broken = true;
    let why = "the kernel is broken".to_owned();
    assert_eq!(facts(&edge.reconcile()), [Fact::ReconcileFailed(why)]);
    let stats = edge.status().reconcile;
    edge.kernel.broken = false;
    edge.reconcile();
    let after = edge.status().reconcile;
    assert_eq!((stats.failed, after.failed), (1, 1));
    assert_eq!(after.completed, stats.completed + 1);
}

#[test]
fn orders_are_taken_between_the_steps_of_a_reconciliation() {
    let mut edge = Edge::new();
    edge.send(&command(1, "198.51.100.1", 300));
    edge.kernel.evict(&prefix("198.51.100.1"));
    let mut effects = Vec::new();
    edge.enforcer.handle(Event::ReconcileDue, edge.now, &mut effects);
    assert_eq!(effects, [Effect::Next(Step::BeginRead)]);
    // Lifted and banned while the kernel's bans are read.
    edge.lift("198.51.100.1");
    edge.send(&command(2, "198.51.100.2", 300));
    edge.handle(Event::KernelBans(Vec::new()));
    assert!(!edge.drops("198.51.100.1") && edge.drops("198.51.100.2"));
    assert_eq!(edge.status().reconcile.drift, Drift::default());
}

#[test]
fn a_reconciliation_that_is_due_while_one_is_under_way_waits() {
    let mut edge = Edge::new();
    let mut effects = Vec::new();
    edge.enforcer.handle(Event::ReconcileDue, edge.now, &mut effects);
    edge.enforcer.handle(Event::ReconcileDue, edge.now, &mut effects);
    assert_eq!(effects, [Effect::Next(Step::BeginRead)]);
}

#[test]
fn only_what_the_kernel_surely_does_not_hold_is_written_as_new() {
    let mut edge = Edge::unsynced();
    let mut write = |id, target: &str| {
        let update = edge.put(&command(id, target, 300));
        let mut effects = Vec::new();
        edge.enforcer
            .handle(Event::Bucket(vec![update]), edge.now, &mut effects);
        let Some(Effect::Write(write, entries)) = effects.pop() else {
            panic!("{effects:?}")
        };
        edge.handle(Event::Written(write, WriteOutcome::default()));
        matches!(entries[..], [crate::Entry::Add(..)])
    };
    assert!(write(1, CLIENT));
    assert!(!write(2, CLIENT), "written before");
}

#[test]
fn the_same_events_have_the_same_effects_in_the_same_order() {
    let mut targets: Vec<_> = (1..=100).map(|n| format!("198.51.100.{n}")).collect();
    targets.reverse();
    let run = || {
        let mut edge = Edge::new();
        let mut effects = Vec::new();
        for (id, target) in (1..).zip(&targets) {
            edge.send(&command(id, target, 300));
            edge.send(&command(1000 + id, &target.replace("198.51", "203.0"), 60));
        }
        edge.kernel.bans.clear();
        edge.enforcer.handle(Event::ReconcileDue, edge.now, &mut effects);
        for event in [
            Event::KernelEnd(Default::default()),
            Event::Repair,
            Event::HostAllowlist(HashMap::from([(prefix("198.51.100.0/24"), allow::CONFIGURED)])),
        ] {
            edge.enforcer.handle(event, edge.now, &mut effects);
        }
        edge.now = after(edge.now, 60);
        edge.enforcer.handle(Event::Tick, edge.now, &mut effects);
        let snapshot = vec![BucketUpdate::SnapshotBegin(BUCKET), BucketUpdate::SnapshotEnd];
        edge.enforcer
            .handle(Event::Bucket(snapshot), edge.now, &mut effects);
        effects
    };
    let effects = run();
    let unbanned = |effect: &&Effect| matches!(effect, Effect::HttpUnban(_));
    assert_eq!(effects.iter().filter(unbanned).count(), 200);
    for _ in 0..3 {
        assert_eq!(run(), effects);
    }
}
