//! Two orchestrators and three edges over a bus that loses, delays, repeats and reorders.

use secbeat_tests::{
    lab::random::seed,
    simulation::{self, Summary},
};

/// The seeds that every run repeats.
const SEEDS: u64 = 300;
/// Those of raids, which take longer.
const RAIDS: u64 = 45;
/// Seeds of `--long` that have failed.
const FOUND: [u64; 3] = [0x12a0, 0x25f5, 0x3ae5];

#[test]
fn after_any_trouble_a_fleet_agrees_and_no_ban_is_lost_doubled_prolonged_or_brought_back() {
    let mut total = Summary::default();
    for seed in (0..SEEDS).chain(FOUND) {
        match simulation::run(seed) {
            Ok(summary) => total = total.plus(summary),
            Err(wrong) => panic!("{wrong}"),
        }
    }
    // A fleet in which nothing happens agrees, too.
    let Summary {
        bans,
        orders,
        unbans,
        crashes,
        lost,
        conflicts,
        held_back: _,
    } = total;
    for (what, least, count) in [
        ("bans", 30, bans),
        ("orders", 15, orders),
        ("unbans", 3, unbans),
        ("crashes", 10, crashes),
        ("lost messages", 40, lost),
        ("conflicts", 5, conflicts),
    ] {
        assert!(count > least * SEEDS as usize, "{count} {what}");
    }
}

#[test]
fn a_crowd_that_knows_the_safety_limits_shields_nobody_and_gets_nobody_else_banned() {
    let mut total = Summary::default();
    for seed in 0..RAIDS {
        match simulation::run_raid(seed) {
            Ok(summary) => total = total.plus(summary),
            Err(wrong) => panic!("{wrong}"),
        }
    }
    // A raid that no limit meets proves nothing.
    let Summary {
        bans,
        crashes,
        lost,
        held_back,
        ..
    } = total;
    for (what, least, count) in [
        ("bans", 100, bans),
        ("crashes", 1, crashes),
        ("lost messages", 40, lost),
        ("findings held back", 30, held_back),
    ] {
        assert!(count > least * RAIDS as usize, "{count} {what}");
    }
}

#[test]
fn a_seed_repeats_its_run() {
    let seed = seed("the simulation");
    for run in [simulation::run, simulation::run_raid] {
        let first = run(seed);
        assert_eq!(first, run(seed));
        if let Err(wrong) = first {
            panic!("{wrong}");
        }
    }
}
