//! The fleet of `lab`'s simulation, with so many seeds that rare meetings of events come up, too.

use secbeat_tests::simulation::{self, Summary};

const SEEDS: u64 = 20_000;
const RAIDS: u64 = 2_000;

#[test]
#[ignore = "takes minutes; `cargo xtask test --long` runs it"]
fn no_seed_of_many_leads_to_a_fleet_that_disagrees() {
    all(SEEDS, simulation::run);
}

#[test]
#[ignore = "takes minutes; `cargo xtask test --long` runs it"]
fn no_seed_of_many_leads_to_a_raid_that_shields_an_attacker() {
    all(RAIDS, simulation::run_raid);
}

/// Runs the seeds below `seeds`.
fn all(seeds: u64, run: fn(u64) -> Result<Summary, String>) {
    let _turn = super::in_turn();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    std::thread::scope(|scope| {
        let share = |first: u64| {
            move || {
                (first..seeds)
                    .step_by(threads as usize)
                    .find_map(|seed| run(seed).err())
            }
        };
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(share(first))).collect();
        for thread in running {
            if let Some(wrong) = thread.join().unwrap() {
                panic!("{wrong}");
            }
        }
    });
}
