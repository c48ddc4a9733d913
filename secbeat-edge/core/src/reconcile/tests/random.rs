//! Any sequence of orders, ends and meddling, against a look at each desired ban.

use proptest::prelude::*;

use super::*;
use crate::reconcile::tests::networks::crowded_prefix;

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
    let own = kernel.get(&Prefix::single(host.addr())).copied();
    own.filter(|ends| *ends > now).or_else(|| {
        let around = kernel
            .iter()
            .filter(|(net, _)| !net.is_single() && net.covers(host));
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
                    let ban = LocalBan { shortens: true, ..local(target, seconds, "") };
                    reconciler.ban_locally(ban, now, nothing).into_iter().collect()
                }
                Step::Withdraw(target) => reconciler.withdraw(&target).into_iter().collect(),
                Step::Unban(target) => reconciler.unban_locally(&target).map(|(_, change)| change).into_iter().collect(),
                Step::Prune(seconds) => {
                    now = Moment {
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
            carry_out(&mut reconciler, &changes, &mut kernel);
            if meddled {
                let held: Vec<_> = kernel.iter().map(|(target, ends)| {
                    let origin = reconciler.get(target).map_or(origin::FLEET, |ban| ban.origin.code());
                    (*target, KernelBan {
                        ends: *ends, reason: 1, origin, strikes: 0, unallowed_in: 0, dropped_packets: 0, dropped_bytes: 0,
                    })
                }).collect();
                let (_, changes) = diff(&mut reconciler, &held, now.boot, nothing);
                carry_out(&mut reconciler, &changes, &mut kernel);
            }
            for host in &hosts {
                let bans = reconciler.desired().filter(|(net, ban)| {
                    net.covers(host) && ban.layer == Layer::Kernel && ban.ends > now.boot
                });
                let due = bans.map(|(_, ban)| ban.ends).max();
                let met = met(&kernel, host, now.boot);
                prop_assert_eq!(met.is_some(), due.is_some(), "{} in {:?}", host, kernel);
                // Of a source and the networks around it the program sees the source first, and then the others.
                if due.is_some() && !kernel.contains_key(&Prefix::single(host.addr())) {
                    prop_assert_eq!(met, due, "{} in {:?}", host, kernel);
                }
            }
        }
    }
}
