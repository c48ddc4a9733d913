use secbeat_common::wire::{Action, Labels, Scope};

use super::*;
use crate::{Entry, KernelBan, ObservedBan, Stamp};

pub(super) mod networks;
mod passes;
mod random;
mod received;
mod stand_in;

const NOW: Moment = Moment {
    wall_ms: 1_000_000,
    boot: BootTime(50_000_000_000),
};
const SECOND: u64 = 1_000_000_000;
const MAX_BAN: Duration = Duration::from_secs(3600);

fn reconciler() -> Reconciler {
    Reconciler::new(Admission::new("edge-1".to_owned(), Labels::new(), MAX_BAN))
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn command(target: &str, seconds: i64) -> BlockCommand {
    BlockCommand {
        id: Uuid::from_u128(u128::from(target.len() as u64) + 7),
        action: Action::Block,
        list: None,
        target: prefix(target),
        reason: Reason::ErrorFlood,
        note: "50 errors in 60s".to_owned(),
        evidence: None,
        scope: Scope::Fleet,
        strikes: 0,
        issued_at_ms: NOW.wall_ms,
        expires_at_ms: NOW.wall_ms + seconds * 1000,
        issuer: "orchestrator".to_owned(),
        layer: Layer::Kernel,
        epoch: 1,
    }
}

fn local(target: Prefix, seconds: u64, note: &str) -> LocalBan {
    LocalBan::new(target, Duration::from_secs(seconds), note.to_owned())
}

fn nothing(_: &Prefix) -> bool {
    false
}

/// A whole pass: what it found and what it changes.
fn diff(
    reconciler: &mut Reconciler,
    kernel: &[(Prefix, KernelBan)],
    now: BootTime,
    allowlisted: impl Fn(&Prefix) -> bool,
) -> (Drift, Vec<Change>) {
    let mut pass = reconciler.begin();
    let mut changes = Vec::new();
    for (target, ban) in kernel {
        let observed = ObservedBan {
            target: *target,
            ban: *ban,
            stamp: if ban.unallowed_in == 0 {
                Stamp::Current
            } else {
                Stamp::Outdated
            },
        };
        changes.extend(reconciler.compare(&mut pass, &[observed], now, &allowlisted, |_| false));
    }
    let (drift, missing) = reconciler.finish(pass, now);
    changes.extend(reconciler.repair(&missing, now));
    (drift, changes)
}

fn at(seconds: u64) -> BootTime {
    BootTime(NOW.boot.0 + seconds * SECOND)
}

/// What the kernel holds after `change`.
fn kernel_of(change: &Change) -> Vec<(Prefix, KernelBan)> {
    match change {
        Change::Put(target, ban) => vec![(
            *target,
            KernelBan {
                ends: ban.ends,
                reason: ban.reason.code(),
                origin: ban.origin.code(),
                strikes: ban.strikes,
                unallowed_in: 0,
                dropped_packets: 0,
                dropped_bytes: 0,
            },
        )],
        Change::Remove(_) => Vec::new(),
    }
}

#[test]
fn a_command_is_enforced_until_its_end_and_no_longer_than_allowed() {
    let mut reconciler = reconciler();
    let Ok(Some(Change::Put(_, ban))) = reconciler.accept(&command("198.51.100.7", 300), NOW, nothing) else {
        panic!()
    };
    assert_eq!(ban.ends, at(300));
    let Ok(Some(Change::Put(_, ban))) = reconciler.accept(&command("198.51.100.77", 999_999), NOW, nothing)
    else {
        panic!()
    };
    assert_eq!(ban.ends, at(3600));
}

#[test]
fn a_ban_that_is_found_in_the_kernel_has_the_note_of_that_ban() {
    let noted = |seconds, text: &str| (prefix("192.0.2.7"), at(seconds), text.into());
    let found = kernel_of(&Change::Put(
        prefix("192.0.2.7"),
        Enforced {
            ends: BootTime(at(300).0 + SECOND / 2),
            reason: Reason::Manual,
            strikes: 0,
            layer: Layer::Kernel,
            origin: Origin::Local,
            note: "".into(),
        },
    ));
    for (notes, expected) in [
        (LocalNotes::from_iter([noted(300, "scanner")]), "scanner"),
        (LocalNotes::from_iter([noted(200, "an earlier ban")]), ""),
        (LocalNotes::default(), ""),
    ] {
        let mut reconciler = reconciler().with_notes(notes);
        diff(&mut reconciler, &found, at(0), nothing);
        let ban = reconciler.get(&prefix("192.0.2.7")).unwrap();
        assert_eq!((&*ban.note, ban.origin), (expected, Origin::Local));
    }
}

#[test]
fn a_redelivered_command_keeps_its_end_when_the_wall_clock_jumps() {
    let mut reconciler = reconciler();
    reconciler
        .accept(&command("198.51.100.7", 300), NOW, nothing)
        .unwrap();
    let jumped = Moment {
        wall_ms: NOW.wall_ms - 3_600_000,
        boot: at(1),
    };
    assert_eq!(
        reconciler.accept(&command("198.51.100.7", 300), jumped, nothing),
        Ok(None)
    );
    assert_eq!(reconciler.get(&prefix("198.51.100.7")).unwrap().ends, at(300));
}

#[test]
fn what_must_not_be_banned_is_refused_with_the_reason() {
    let mut reconciler = reconciler();
    let mut refused =
        |command: &BlockCommand, protects: bool| reconciler.accept(command, NOW, |_| protects).unwrap_err();
    assert!(matches!(
        refused(&command("127.0.0.1", 300), false),
        Refusal::Unbannable(..)
    ));
    assert!(matches!(
        refused(&command("198.0.0.0/7", 300), false),
        Refusal::Unbannable(..)
    ));
    assert!(matches!(
        refused(&command("198.51.100.7", 300), true),
        Refusal::Allowlisted(_)
    ));
    assert_eq!(refused(&command("198.51.100.7", 0), false), Refusal::Expired);
    let elsewhere = BlockCommand {
        scope: Scope::of_edges(vec!["edge-2".to_owned()]),
        ..command("198.51.100.7", 300)
    };
    assert_eq!(refused(&elsewhere, false), Refusal::OtherScope);
    assert_eq!(reconciler.desired().count(), 0);
}

#[test]
fn a_stale_command_does_not_replace_what_is_enforced() {
    let mut reconciler = reconciler();
    let holds = command("198.51.100.7", 300);
    reconciler.accept(&holds, NOW, nothing).unwrap();
    let stale = BlockCommand {
        id: Uuid::from_u128(99),
        ..command("198.51.100.7", 900)
    };
    assert_eq!(reconciler.refuse_stale(&stale, NOW), Refusal::Stale);
    let enforced = reconciler.get(&holds.target).unwrap();
    assert_eq!(enforced.origin, Origin::Fleet(holds.id));
    assert!(
        reconciler.has_command(&stale.target, stale.id),
        "the bus holds it"
    );
    assert_eq!(
        reconciler.refuse_stale(&command("198.51.100.7", 0), NOW),
        Refusal::Expired
    );
}

#[test]
fn bans_of_this_host_survive_restarts_snapshots_and_withdrawals() {
    let mut before = reconciler();
    let target = prefix("198.51.100.7");
    let change = before
        .ban_locally(local(target, 60, "mine"), NOW, nothing)
        .unwrap();
    let mut restarted = reconciler();
    let (drift, changes) = diff(&mut restarted, &kernel_of(&change), NOW.boot, nothing);
    assert_eq!(drift, Drift::default());
    assert!(matches!(&changes[..], [Change::Put(t, ban)] if *t == target && ban.origin == Origin::Local));
    assert_eq!(restarted.complete_snapshot(&HashSet::new()), vec![]);
    assert_eq!(restarted.withdraw(&target), None);
    assert_eq!(
        diff(&mut restarted, &kernel_of(&change), NOW.boot, nothing),
        (Drift::default(), vec![])
    );
}

#[test]
fn a_ban_that_was_lifted_while_nobody_listened_is_removed_by_the_snapshot() {
    let mut reconciler = reconciler();
    reconciler
        .accept(&command("198.51.100.7", 300), NOW, nothing)
        .unwrap();
    reconciler
        .accept(&command("198.51.100.77", 300), NOW, nothing)
        .unwrap();
    let present = HashSet::from([prefix("198.51.100.77")]);
    assert_eq!(
        reconciler.complete_snapshot(&present),
        vec![Change::Remove(prefix("198.51.100.7"))]
    );
    assert_eq!(reconciler.desired().count(), 1);
}

#[test]
fn a_fleet_ban_lifted_on_this_host_stays_lifted_here() {
    let mut reconciler = reconciler();
    let ban = command("198.51.100.7", 300);
    reconciler.accept(&ban, NOW, nothing).unwrap();
    let (origin, change) = reconciler.unban_locally(&ban.target).unwrap();
    assert_eq!(
        (origin, change),
        (Origin::Fleet(ban.id), Change::Remove(ban.target))
    );
    assert_eq!(reconciler.accept(&ban, NOW, nothing), Err(Refusal::Overridden));
    let next = BlockCommand {
        id: Uuid::from_u128(1234),
        ..ban
    };
    assert!(reconciler.accept(&next, NOW, nothing).is_ok());
}

#[test]
fn ended_bans_are_pruned_from_the_desired_set_and_from_the_kernel() {
    let mut reconciler = reconciler();
    let change = reconciler
        .accept(&command("198.51.100.7", 300), NOW, nothing)
        .unwrap()
        .unwrap();
    assert_eq!(reconciler.prune(at(299)), vec![]);
    assert_eq!(
        reconciler.prune(at(300)),
        vec![Change::Remove(prefix("198.51.100.7"))]
    );
    let (drift, changes) = diff(&mut reconciler, &kernel_of(&change), at(301), nothing);
    assert_eq!((drift.ended, changes.len()), (1, 1));
}

#[test]
fn a_local_ban_outlasts_a_shorter_fleet_ban_and_its_withdrawal() {
    let mut reconciler = reconciler();
    let target = prefix("198.51.100.7");
    let local = reconciler
        .ban_locally(local(target, 3000, "mine"), NOW, nothing)
        .unwrap();
    assert_eq!(
        reconciler.accept(&command("198.51.100.7", 300), NOW, nothing),
        Ok(Some(local.clone()))
    );
    assert_eq!(reconciler.prune(at(300)), vec![local.clone()]);
    reconciler
        .accept(
            &BlockCommand {
                id: Uuid::from_u128(5),
                ..command("198.51.100.7", 900)
            },
            NOW,
            nothing,
        )
        .unwrap();
    assert_eq!(reconciler.withdraw(&target), Some(local));
}

#[test]
fn a_shorter_ban_of_an_operator_takes_the_place_of_a_longer_one_only_if_it_is_to() {
    let target = prefix("198.51.100.7");
    let mut ours = reconciler();
    ours.ban_locally(local(target, 3000, "keep"), NOW, nothing)
        .unwrap();
    // And one that was made while this process did not run.
    let found = kernel_of(&Change::Put(target, ours.get(&target).unwrap().clone()));
    let mut adopted = reconciler().with_notes(LocalNotes::from_iter([(target, at(3000), "keep".into())]));
    diff(&mut adopted, &found, at(0), nothing);
    for mut reconciler in [ours, adopted] {
        let shorter = local(target, 60, "");
        assert_eq!(
            reconciler.ban_locally(shorter.clone(), NOW, nothing),
            Err(Refusal::Outlasted(target, at(3000)))
        );
        let ban = reconciler.get(&target).unwrap();
        assert_eq!((ban.ends, &*ban.note), (at(3000), "keep"));
        let shortens = LocalBan {
            shortens: true,
            ..shorter
        };
        reconciler.ban_locally(shortens, NOW, nothing).unwrap();
        let ban = reconciler.get(&target).unwrap();
        assert_eq!((ban.ends, &*ban.note), (at(60), ""));
        // What ends later, or at the same time, needs no leave.
        reconciler
            .ban_locally(local(target, 60, "again"), NOW, nothing)
            .unwrap();
        reconciler
            .ban_locally(local(target, 90, "longer"), NOW, nothing)
            .unwrap();
        assert_eq!(reconciler.get(&target).unwrap().ends, at(90));
    }
}

#[test]
fn a_longer_ban_of_the_fleet_refuses_no_shorter_one_of_an_operator() {
    let (mut reconciler, target) = (reconciler(), prefix("198.51.100.7"));
    reconciler
        .accept(&command("198.51.100.7", 3000), NOW, nothing)
        .unwrap();
    reconciler
        .ban_locally(local(target, 60, ""), NOW, nothing)
        .unwrap();
    assert_eq!(reconciler.get(&target).unwrap().ends, at(3000));
}

#[test]
fn a_fleet_ban_outlasts_a_shorter_local_ban() {
    let mut reconciler = reconciler();
    let target = prefix("198.51.100.7");
    let fleet = reconciler
        .accept(&command("198.51.100.7", 300), NOW, nothing)
        .unwrap()
        .unwrap();
    reconciler
        .ban_locally(local(target, 60, ""), NOW, nothing)
        .unwrap();
    assert_eq!(reconciler.prune(at(60)), vec![fleet]);
    assert_eq!(reconciler.prune(at(300)), vec![Change::Remove(target)]);
}

#[test]
fn a_fleet_ban_lifted_here_is_remembered_until_its_end_though_nothing_else_is_banned() {
    let mut reconciler = reconciler();
    let ban = command("198.51.100.7", 300);
    reconciler.accept(&ban, NOW, nothing).unwrap();
    reconciler.unban_locally(&ban.target).unwrap();
    reconciler.prune(at(1));
    assert_eq!(reconciler.accept(&ban, NOW, nothing), Err(Refusal::Overridden));
}

/// What the kernel's tries hold: the end of each entry.
type Trie = std::collections::BTreeMap<Prefix, BootTime>;

fn carry_out(reconciler: &mut Reconciler, changes: &[Change], trie: &mut Trie) {
    let mut written = Vec::new();
    for entry in changes.iter().flat_map(|change| reconciler.entries(change)) {
        match entry {
            Entry::Add(target, ban) => {
                assert_eq!(trie.insert(target, ban.ends), None, "{target} was called new");
                written.push(target);
            }
            Entry::Put(target, ban) => {
                trie.insert(target, ban.ends);
                written.push(target);
            }
            Entry::Remove(target) => drop(trie.remove(&target)),
        }
    }
    for target in written {
        reconciler.written(&target);
    }
}
