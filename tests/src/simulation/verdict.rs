//! What must be true once the fleet has healed.

use std::collections::{BTreeMap, BTreeSet};

use secbeat_common::{
    prefix::Prefix,
    wire::{BlockCommand, Decision, PERMANENT},
};
use secbeat_orchestrator_core::{decider::Reply, ledger::SAME_END_MS};
use uuid::Uuid;

use super::{
    raid::{LOUD, Raid, loud},
    world::{CAREFUL, Given, MEASURED_MS, World},
};

/// Bans that expire within this time are not compared: clocks differ, and the fleet hears of their ends late.
const MARGIN_MS: i64 = 10_000;

type Bans = BTreeMap<Prefix, (Uuid, i64)>;

pub(super) fn check(world: &World) -> Result<(), String> {
    let bucket = lasting(world, world.server.held().map(as_ban));
    agreement(world, &bucket)?;
    ends(world, &bucket)?;
    lengths(world)?;
    replaced(world)?;
    orders(world, &bucket)?;
    bursts(world)?;
    audit(world)?;
    match &world.raid {
        Some(raid) => held_off(world, raid),
        None => Ok(()),
    }
}

fn as_ban(command: &BlockCommand) -> (Prefix, (Uuid, i64)) {
    (command.target, (command.id, command.expires_at_ms))
}

/// Those that last long enough to be compared.
fn lasting(world: &World, bans: impl Iterator<Item = (Prefix, (Uuid, i64))>) -> Bans {
    let until_ms = world.now_ms + MARGIN_MS;
    bans.filter(|(_, (_, expires_at_ms))| *expires_at_ms > until_ms)
        .collect()
}

/// Every ledger and every edge has what the bucket has.
fn agreement(world: &World, bucket: &Bans) -> Result<(), String> {
    for (_, orchestrator) in &world.orchestrators {
        let Some(orchestrator) = orchestrator else {
            return Err("an orchestrator is dead".to_owned());
        };
        let ledger = lasting(world, orchestrator.ledger().iter().map(as_ban));
        if ledger != *bucket {
            return Err(format!(
                "the ledger of {} has {ledger:?}, the bucket {bucket:?}",
                orchestrator.id
            ));
        }
        if !orchestrator.is_idle() {
            return Err(format!("{} still writes", orchestrator.id));
        }
    }
    for edge in &world.edges {
        let enforced = edge.enforced(world.now_ms).into_iter();
        let enforced = enforced.map(|ban| (ban.target, (ban.command_id, ban.expires_at_ms)));
        let enforced = lasting(world, enforced);
        if enforced != *bucket {
            return Err(format!(
                "{} enforces {enforced:?}, the bucket has {bucket:?}",
                edge.name
            ));
        }
        let kernel: BTreeSet<_> = edge.kernel.bans.keys().collect();
        if let Some(target) = bucket.keys().find(|target| !kernel.contains(target)) {
            return Err(format!("{target} is missing in the kernel of {}", edge.name));
        }
    }
    Ok(())
}

/// Every kernel ends a ban when its command says, whatever the clock of its host. (That of a network may end later, with one
/// around it.)
fn ends(world: &World, bucket: &Bans) -> Result<(), String> {
    for edge in &world.edges {
        for (target, (id, expires_at_ms)) in bucket {
            let Some(ban) = edge.kernel.bans.get(target).filter(|_| target.is_single()) else {
                continue;
            };
            let ends_ms = i64::try_from(ban.ends.0 / 1_000_000).unwrap_or(i64::MAX);
            if *expires_at_ms != PERMANENT && (ends_ms - expires_at_ms).abs() > MEASURED_MS {
                return Err(format!(
                    "the kernel of {} ends the ban {id} of {target} {} ms late",
                    edge.name,
                    ends_ms - expires_at_ms
                ));
            }
        }
    }
    Ok(())
}

/// No ban was made longer or shorter under its id.
fn lengths(world: &World) -> Result<(), String> {
    let ledgers = world.orchestrators.iter().filter_map(|(_, it)| it.as_ref());
    let ledgers = ledgers.flat_map(|it| it.ledger());
    let bans = ledgers.chain(world.server.held().cloned());
    for ban in bans {
        let Some(first) = world.server.seen.get(&ban.id) else {
            return Err(format!("no bucket ever had {}, which a ledger has", ban.id));
        };
        if (first.target, first.expires_at_ms, first.issued_at_ms)
            != (ban.target, ban.expires_at_ms, ban.issued_at_ms)
        {
            return Err(format!("{first:?} has become {ban:?}"));
        }
    }
    Ok(())
}

/// No ban in force was ended earlier by an order that does not shorten, also not by one of another orchestrator at the same time.
fn replaced(world: &World) -> Result<(), String> {
    let shortened = world.server.replaced.iter().find(|(before, ban, at_ms)| {
        let is_in_force = before.expires_at_ms > at_ms + CLOCKS_DIFFER_MS;
        let ends_earlier = before.expires_at_ms > ban.expires_at_ms.saturating_add(SAME_END_MS);
        // An order after an unban that is still on its way takes its place.
        let is_lifted = world.orders.values().any(|given| {
            let is_between = before.issued_at_ms - CLOCKS_DIFFER_MS..=ban.issued_at_ms + CLOCKS_DIFFER_MS;
            !given.is_ban && given.target == ban.target && is_between.contains(&given.at_ms)
        });
        ban.issuer == CAREFUL && ban.id != before.id && is_in_force && ends_earlier && !is_lifted
    });
    match shortened {
        Some((before, ban, _)) => Err(format!("{ban:?} has ended {before:?} earlier")),
        None => Ok(()),
    }
}

/// The last order about a target that was carried out is in force, unless another one may have come after it.
fn orders(world: &World, bucket: &Bans) -> Result<(), String> {
    let targets: BTreeSet<_> = world.orders.values().map(|given| given.target).collect();
    for target in targets {
        let about = world.orders.iter().filter(|(_, given)| given.target == target);
        let about: Vec<_> = about.collect();
        let Some(((ticket, last), before)) = about.split_last() else {
            continue;
        };
        // One that is not answered, or was only answered later, may have been carried out later.
        let was_over = |given: &Given| {
            given
                .reply
                .as_ref()
                .is_some_and(|(at_ms, _)| *at_ms <= last.at_ms)
        };
        if !before.iter().all(|(_, given)| was_over(given)) {
            continue;
        }
        match &last.reply {
            Some((_, Reply::Banned(Ok(ban)))) => {
                let (id, expires_at_ms) = (ban.command.id, ban.command.expires_at_ms);
                let lasts = expires_at_ms > world.now_ms + MARGIN_MS;
                if lasts && bucket.get(&target) != Some(&(id, expires_at_ms)) {
                    return Err(format!("the ban of {ticket:?}, {id} of {target}, was lost"));
                }
            }
            Some((_, Reply::Unbanned(Ok(Some(_))))) => {
                if let Some((id, _)) = bucket.get(&target) {
                    return Err(format!(
                        "{target} was unbanned by {ticket:?}, and is banned by {id}"
                    ));
                }
            }
            _ => {}
        }
    }
    let lifted = world.orders.values().filter_map(|given| match &given.reply {
        Some((_, Reply::Unbanned(Ok(Some(ban))))) => Some(ban.command.id),
        _ => None,
    });
    let lifted: BTreeSet<_> = lifted.collect();
    if let Some((target, (id, _))) = bucket.iter().find(|(_, (id, _))| lifted.contains(id)) {
        return Err(format!("the ban {id} of {target} came back after its unban"));
    }
    Ok(())
}

/// By so much at most do the times of two orchestrators differ.
const CLOCKS_DIFFER_MS: i64 = 2 * MEASURED_MS;

/// How long a ban lasted when it was decided: its id has that time (RFC 9562, section 5.7).
fn left_ms(ban: &BlockCommand) -> i64 {
    let decided_ms = ban.id.as_u128() >> 80;
    ban.expires_at_ms - i64::try_from(decided_ms).unwrap_or(i64::MAX)
}

/// Every burst led to a ban, and to one only. Who starts again and whose clock is behind may ban once more for what is left of a ban
/// that the bus has already ended; that prolongs nothing.
fn bursts(world: &World) -> Result<(), String> {
    let mut bursts: BTreeMap<Prefix, Vec<i64>> = BTreeMap::new();
    for (at_ms, source) in &world.bursts {
        bursts.entry(*source).or_default().push(*at_ms);
    }
    for (source, times) in bursts {
        let bans = world.server.seen.values().filter(|ban| ban.target == source);
        let bans: Vec<_> = bans.filter(|ban| left_ms(ban) > CLOCKS_DIFFER_MS).collect();
        if bans.is_empty() {
            return Err(format!("nobody banned {source} for its bursts at {times:?}"));
        }
        if bans.len() > times.len() {
            return Err(format!(
                "{} bursts of {source} led to {} bans: {bans:?}",
                times.len(),
                bans.len()
            ));
        }
    }
    Ok(())
}

/// Each ban that the bucket has is in the audit, and none twice.
fn audit(world: &World) -> Result<(), String> {
    let mut audited = BTreeSet::new();
    for record in &world.server.audit {
        if let Decision::Ban { command_id, .. } = record.decision
            && !audited.insert(command_id)
        {
            return Err(format!("the ban {command_id} is in the audit twice"));
        }
    }
    match world.server.held().find(|ban| !audited.contains(&ban.id)) {
        Some(ban) => Err(format!(
            "the ban {} of {} is not in the audit",
            ban.id, ban.target
        )),
        None => Ok(()),
    }
}

/// How long a loud attacker goes on at most, once nothing interrupts an orchestrator: until the bans of the crowd leave the minute,
/// and it is reported and decided.
const LOUD_MS: i64 = 75_000;

/// No attacker was shielded, and nobody else was banned.
fn held_off(world: &World, raid: &Raid) -> Result<(), String> {
    if let Some(wrong) = &world.wrong {
        return Err(wrong.clone());
    }
    for n in 0..LOUD {
        let source = Prefix::single(loud(n));
        let Some(since_ms) = raid.loud_since[n] else {
            continue;
        };
        let Some(ban) = world.server.seen.values().find(|ban| ban.target == source) else {
            return Err(format!("{source} was loud, and nobody banned it"));
        };
        let interrupted = raid
            .interrupted_ms
            .iter()
            .filter(|at_ms| **at_ms < ban.issued_at_ms);
        let quiet_ms = interrupted.max().copied().unwrap_or(since_ms).max(since_ms);
        if ban.issued_at_ms - quiet_ms > LOUD_MS {
            let late_ms = ban.issued_at_ms - quiet_ms;
            return Err(format!(
                "{source} was banned {late_ms} ms after the last interruption"
            ));
        }
    }
    if let Some(ban) = world
        .server
        .seen
        .values()
        .find(|ban| raid.innocents.contains(&ban.target))
    {
        return Err(format!("{ban:?} is of one that did nothing wrong"));
    }
    Ok(())
}
