use secbeat_common::wire::Action;

use super::*;
use crate::kernel::KernelBan;

const NOW: Now = Now {
    wall_ms: 1_000_000,
    boot: BootTime(50_000_000_000),
};
const SECOND: u64 = 1_000_000_000;

fn reconciler() -> Reconciler {
    Reconciler::new(Limits {
        max_ban: Duration::from_secs(3600),
        edge_id: "edge-1".to_owned(),
    })
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn command(target: &str, seconds: i64) -> BlockCommand {
    BlockCommand {
        id: Uuid::from_u128(u128::from(target.len() as u64) + 7),
        action: Action::Block,
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

fn nothing(_: &Prefix) -> bool {
    false
}

/// A whole pass: what it found and what it changes.
fn diff(
    reconciler: &mut Reconciler,
    kernel: &[(Prefix, KernelBan)],
    now: BootTime,
    protects: impl Fn(&Prefix) -> bool,
) -> (Drift, Vec<Change>) {
    let around = Surroundings {
        protects,
        is_stamped: |_: &Prefix, stamp| stamp == 0,
    };
    let mut pass = reconciler.begin();
    let mut changes = Vec::new();
    for some in kernel.chunks(1) {
        changes.extend(reconciler.compare(&mut pass, some, now, &around));
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
fn a_redelivered_command_keeps_its_end_when_the_wall_clock_jumps() {
    let mut reconciler = reconciler();
    reconciler
        .accept(&command("198.51.100.7", 300), NOW, nothing)
        .unwrap();
    let jumped = Now {
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
        Refusal::Protected(_)
    ));
    assert_eq!(refused(&command("198.51.100.7", 0), false), Refusal::Ended);
    let elsewhere = BlockCommand {
        scope: Scope::Edge("edge-2".to_owned()),
        ..command("198.51.100.7", 300)
    };
    assert_eq!(refused(&elsewhere, false), Refusal::OtherScope);
    assert_eq!(reconciler.desired().count(), 0);
}

#[test]
fn a_stale_epoch_does_not_replace_a_newer_command() {
    let mut reconciler = reconciler();
    reconciler
        .accept(
            &BlockCommand {
                epoch: 5,
                ..command("198.51.100.7", 300)
            },
            NOW,
            nothing,
        )
        .unwrap();
    let stale = BlockCommand {
        epoch: 4,
        id: Uuid::from_u128(99),
        ..command("198.51.100.7", 900)
    };
    assert_eq!(reconciler.accept(&stale, NOW, nothing), Err(Refusal::Stale));
}

#[test]
fn an_evicted_ban_is_put_back() {
    let mut reconciler = reconciler();
    let change = reconciler
        .accept(&command("198.51.100.7", 300), NOW, nothing)
        .unwrap()
        .unwrap();
    let (drift, changes) = diff(&mut reconciler, &[], NOW.boot, nothing);
    assert_eq!(
        (drift, changes),
        (
            Drift {
                missing: 1,
                evicted: 1,
                ..Drift::default()
            },
            vec![change.clone()]
        )
    );
    assert_eq!(
        diff(&mut reconciler, &kernel_of(&change), NOW.boot, nothing),
        (Drift::default(), vec![])
    );
}

#[test]
fn pinned_bans_are_left_alone_until_the_bus_was_heard_and_then_compared() {
    let mut before = reconciler();
    let kernel = kernel_of(
        &before
            .accept(&command("198.51.100.7", 300), NOW, nothing)
            .unwrap()
            .unwrap(),
    );
    let mut restarted = reconciler();
    assert_eq!(
        diff(&mut restarted, &kernel, NOW.boot, nothing),
        (Drift::default(), vec![])
    );
    assert_eq!(restarted.complete_snapshot(&HashSet::new()), vec![]);
    let (drift, changes) = diff(&mut restarted, &kernel, NOW.boot, nothing);
    assert_eq!(
        (drift.foreign, changes),
        (1, vec![Change::Remove(prefix("198.51.100.7"))])
    );
}

#[test]
fn bans_of_this_host_survive_restarts_snapshots_and_withdrawals() {
    let mut before = reconciler();
    let target = prefix("198.51.100.7");
    let change = before
        .ban_locally(target, Duration::from_secs(60), "mine".to_owned(), NOW, nothing)
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
fn a_source_that_became_protected_is_taken_out_of_the_kernel() {
    let mut before = reconciler();
    let kernel = kernel_of(
        &before
            .accept(&command("198.51.100.7", 300), NOW, nothing)
            .unwrap()
            .unwrap(),
    );
    let (drift, changes) = diff(&mut reconciler(), &kernel, NOW.boot, |_| true);
    assert_eq!(
        (drift.foreign, changes),
        (1, vec![Change::Remove(prefix("198.51.100.7"))])
    );
}

#[test]
fn l7_bans_never_reach_the_kernel() {
    let mut reconciler = reconciler();
    let ban = BlockCommand {
        layer: Layer::L7,
        ..command("198.51.100.7", 300)
    };
    reconciler.accept(&ban, NOW, nothing).unwrap();
    assert_eq!(
        diff(&mut reconciler, &[], NOW.boot, nothing),
        (Drift::default(), vec![])
    );
}

#[test]
fn a_local_ban_outlasts_a_shorter_fleet_ban_and_its_withdrawal() {
    let mut reconciler = reconciler();
    let target = prefix("198.51.100.7");
    let local = reconciler
        .ban_locally(target, Duration::from_secs(3000), "mine".to_owned(), NOW, nothing)
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
fn a_fleet_ban_outlasts_a_shorter_local_ban() {
    let mut reconciler = reconciler();
    let target = prefix("198.51.100.7");
    let fleet = reconciler
        .accept(&command("198.51.100.7", 300), NOW, nothing)
        .unwrap()
        .unwrap();
    reconciler
        .ban_locally(target, Duration::from_secs(60), String::new(), NOW, nothing)
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

fn carry_out(reconciler: &Reconciler, changes: &[Change], trie: &mut Trie) {
    for entry in changes.iter().flat_map(|change| reconciler.entries(change)) {
        match entry {
            Entry::Put(target, _, ends) => drop(trie.insert(target, ends)),
            Entry::Remove(target) => drop(trie.remove(&target)),
        }
    }
}

#[test]
fn an_inner_network_lasts_as_long_as_the_one_around_it_and_is_shortened_with_it() {
    let mut reconciler = reconciler();
    let mut trie = Trie::new();
    let (wide, inner) = (prefix("198.51.100.0/24"), prefix("198.51.100.8/29"));
    let short = reconciler.accept(&command("198.51.100.8/29", 60), NOW, nothing);
    carry_out(&reconciler, &[short.unwrap().unwrap()], &mut trie);
    assert_eq!(trie[&inner], at(60));
    let long = reconciler.accept(&command("198.51.100.0/24", 300), NOW, nothing);
    carry_out(&reconciler, &[long.unwrap().unwrap()], &mut trie);
    assert_eq!((trie[&wide], trie[&inner]), (at(300), at(300)));
    assert_eq!(
        reconciler.get(&inner).unwrap().ends,
        at(60),
        "its own end is kept"
    );
    let lifted = reconciler.withdraw(&wide).unwrap();
    carry_out(&reconciler, &[lifted], &mut trie);
    assert_eq!(trie, Trie::from([(inner, at(60))]));
}

#[test]
fn no_more_networks_are_taken_than_the_kernel_has_room_for() {
    let mut reconciler = reconciler();
    let net = |n: u32| Prefix::new(std::net::Ipv4Addr::from(0xc612_0000 + n * 4).into(), 30).unwrap();
    let ban = |target| BlockCommand {
        target,
        ..command("198.18.0.0/30", 300)
    };
    for n in 0..MAX_BANNED_NETS {
        reconciler.accept(&ban(net(n)), NOW, nothing).unwrap();
    }
    let one_more = net(MAX_BANNED_NETS);
    assert_eq!(
        reconciler.accept(&ban(one_more), NOW, nothing),
        Err(Refusal::TooManyNets(one_more))
    );
    let locally = reconciler.ban_locally(one_more, Duration::from_secs(9), String::new(), NOW, nothing);
    assert_eq!(locally, Err(Refusal::TooManyNets(one_more)));
    let again = BlockCommand {
        id: Uuid::from_u128(99),
        ..ban(net(0))
    };
    assert!(reconciler.accept(&again, NOW, nothing).is_ok());
    assert!(
        reconciler
            .accept(&command("198.51.100.7", 300), NOW, nothing)
            .is_ok()
    );
    reconciler.withdraw(&net(1)).unwrap();
    assert!(reconciler.accept(&ban(one_more), NOW, nothing).is_ok());
}

#[test]
fn a_ban_that_differs_or_is_not_stamped_is_written_again_and_is_no_eviction() {
    let mut reconciler = reconciler();
    let change = reconciler
        .accept(&command("198.51.100.7", 300), NOW, nothing)
        .unwrap()
        .unwrap();
    let mut kernel = kernel_of(&change);
    kernel[0].1.unallowed_in = 5;
    assert_eq!(
        diff(&mut reconciler, &kernel, NOW.boot, nothing),
        (Drift::default(), vec![change.clone()])
    );
    kernel[0].1.ends = at(200);
    let (drift, changes) = diff(&mut reconciler, &kernel, NOW.boot, nothing);
    assert_eq!((drift.differing, drift.missing, changes), (1, 0, vec![change]));
}

#[test]
fn what_the_kernel_did_not_take_is_missing_but_not_evicted() {
    let mut reconciler = reconciler();
    let target = prefix("198.51.100.7");
    reconciler
        .accept(&command("198.51.100.7", 300), NOW, nothing)
        .unwrap();
    reconciler.not_written(&target);
    let (drift, changes) = diff(&mut reconciler, &[], NOW.boot, nothing);
    assert_eq!((drift.missing, drift.evicted, changes.len()), (1, 0, 1));
    let (drift, _) = diff(&mut reconciler, &[], NOW.boot, nothing);
    assert_eq!((drift.missing, drift.evicted), (1, 1), "repaired, and lost again");
}

#[test]
fn orders_between_the_steps_of_a_pass_are_neither_undone_nor_called_missing() {
    let mut reconciler = reconciler();
    for target in ["198.51.100.7", "198.51.100.77"] {
        reconciler.accept(&command(target, 300), NOW, nothing).unwrap();
    }
    let pass = reconciler.begin();
    // The walk is past this one's bucket when it is banned.
    let during = BlockCommand {
        id: Uuid::from_u128(3),
        ..command("203.0.113.7", 300)
    };
    reconciler.accept(&during, NOW, nothing).unwrap();
    let (drift, missing) = reconciler.finish(pass, NOW.boot);
    assert_eq!((drift.missing, missing.len()), (2, 2));
    reconciler.withdraw(&prefix("198.51.100.7")).unwrap();
    let repaired = reconciler.repair(&missing, NOW.boot);
    let repaired: Vec<_> = repaired.iter().map(Change::target).collect();
    assert_eq!(repaired, [prefix("198.51.100.77")]);
}

mod random {
    use proptest::prelude::*;

    use super::*;
    use crate::net_table::tests::crowded_prefix;

    #[derive(Clone, Debug)]
    enum Step {
        Command(Prefix, i64, Layer),
        Local(Prefix, u64),
        Withdraw(Prefix),
        Unban(Prefix),
        /// Time passes.
        Prune(u64),
        /// Somebody takes it out of the kernel.
        Meddle(Prefix),
    }

    fn step() -> impl Strategy<Value = Step> {
        let net = || crowded_prefix();
        prop_oneof![
            4 => (net(), 1..900_i64, prop_oneof![4 => Just(Layer::Kernel), 1 => Just(Layer::L7)])
                .prop_map(|(net, seconds, layer)| Step::Command(net, seconds, layer)),
            2 => (net(), 1..900_u64).prop_map(|(net, seconds)| Step::Local(net, seconds)),
            1 => net().prop_map(Step::Withdraw),
            1 => net().prop_map(Step::Unban),
            1 => (1..200_u64).prop_map(Step::Prune),
            1 => net().prop_map(Step::Meddle),
        ]
    }

    /// The end that the program meets for `host`: that of its source, or if that has ended, of the longest network.
    fn met(kernel: &Trie, host: &Prefix, now: BootTime) -> Option<BootTime> {
        let own = kernel.get(&Prefix::of_source(host.addr())).copied();
        own.filter(|ends| *ends > now).or_else(|| {
            let around = kernel
                .iter()
                .filter(|(net, _)| !net.is_source() && net.covers(host));
            around
                .max_by_key(|(net, _)| net.len())
                .map(|(_, ends)| *ends)
                .filter(|ends| *ends > now)
        })
    }

    proptest! {
        #[test]
        fn whatever_happens_an_address_is_banned_exactly_while_some_ban_around_it_lasts(
            steps in prop::collection::vec(step(), 1..60),
        ) {
            let (mut reconciler, mut kernel, mut now) = (reconciler(), Trie::new(), NOW);
            reconciler.complete_snapshot(&HashSet::new());
            let mut hosts = Vec::new();
            for (n, step) in steps.into_iter().enumerate() {
                let id = Uuid::from_u128(1000 + n as u128);
                let mut meddled = false;
                let changes = match step {
                    Step::Command(target, seconds, layer) => {
                        let issued = now.wall_ms;
                        let command = BlockCommand {
                            id, target, layer, issued_at_ms: issued, expires_at_ms: issued + seconds * 1000,
                            ..command("198.51.100.7", 0)
                        };
                        hosts.push(Prefix::host(target.addr()));
                        reconciler.accept(&command, now, nothing).ok().flatten().into_iter().collect()
                    }
                    Step::Local(target, seconds) => {
                        hosts.push(Prefix::host(target.addr()));
                        let duration = Duration::from_secs(seconds);
                        reconciler.ban_locally(target, duration, String::new(), now, nothing).into_iter().collect()
                    }
                    Step::Withdraw(target) => reconciler.withdraw(&target).into_iter().collect(),
                    Step::Unban(target) => reconciler.unban_locally(&target).map(|(_, change)| change).into_iter().collect(),
                    Step::Prune(seconds) => {
                        now = Now {
                            wall_ms: now.wall_ms + seconds as i64 * 1000,
                            boot: now.boot.plus(Duration::from_secs(seconds)),
                        };
                        reconciler.prune(now.boot)
                    }
                    Step::Meddle(target) => {
                        meddled = kernel.remove(&target).is_some();
                        Vec::new()
                    }
                };
                carry_out(&reconciler, &changes, &mut kernel);
                if meddled {
                    let held: Vec<_> = kernel.iter().map(|(target, ends)| {
                        let origin = reconciler.get(target).map_or(origin::FLEET, |ban| ban.origin.code());
                        (*target, KernelBan {
                            ends: *ends, reason: 1, origin, strikes: 0, unallowed_in: 0, dropped_packets: 0, dropped_bytes: 0,
                        })
                    }).collect();
                    let (_, changes) = diff(&mut reconciler, &held, now.boot, nothing);
                    carry_out(&reconciler, &changes, &mut kernel);
                }
                for host in &hosts {
                    let bans = reconciler.desired().filter(|(net, ban)| {
                        net.covers(host) && ban.layer == Layer::Kernel && ban.ends > now.boot
                    });
                    let due = bans.map(|(_, ban)| ban.ends).max();
                    let met = met(&kernel, host, now.boot);
                    prop_assert_eq!(met.is_some(), due.is_some(), "{} in {:?}", host, kernel);
                    // Of a source and the networks around it the program sees the source first, and then the others.
                    if due.is_some() && !kernel.contains_key(&Prefix::of_source(host.addr())) {
                        prop_assert_eq!(met, due, "{} in {:?}", host, kernel);
                    }
                }
            }
        }
    }
}
