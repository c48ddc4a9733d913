//! Two orchestrators and three edges over a bus that loses, delays, repeats and reorders.

use secbeat_tests::{
    lab::random::seed,
    simulation::{self, Summary},
};

/// The seeds that every run repeats.
const SEEDS: u64 = 300;
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
fn a_seed_repeats_its_run() {
    let seed = seed("the simulation");
    let run = simulation::run(seed);
    assert_eq!(run, simulation::run(seed));
    if let Err(wrong) = run {
        panic!("{wrong}");
    }
}
