//! `cargo xtask bench evidence`: what the orchestrator's journal of events costs. `--json` prints JSON; `--rounds N` sets the
//! number of rounds.
//!
//! Exit codes: 0 when every requirement is met, 1 when one is not, 2 when none failed but one could not be measured.

use std::{env, process::ExitCode};

use secbeat_tests::{bench::requirement::Verdict, evidence_bench};

const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let Some((rounds, as_json)) = arguments() else {
        eprintln!("usage: bench-evidence [--json] [--rounds N]");
        return ExitCode::from(64);
    };
    let outcome = evidence_bench::measure(rounds);
    if as_json {
        println!("{:#}", outcome.json());
    } else {
        println!("{}", outcome.table());
    }
    match outcome.verdict() {
        Verdict::Pass | Verdict::Reported => ExitCode::SUCCESS,
        Verdict::Fail => ExitCode::from(1),
        Verdict::NotRun => ExitCode::from(2),
    }
}

fn arguments() -> Option<(usize, bool)> {
    let (mut rounds, mut as_json) = (ROUNDS, false);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => as_json = true,
            "--rounds" => rounds = arguments.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
            _ => return None,
        }
    }
    Some((rounds, as_json))
}
