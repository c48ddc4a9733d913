//! `cargo xtask bench sources`: what the sources of telemetry cost and how fast they are, beside their peers. `--json`
//! prints JSON; `--rounds N` sets the number of interleaved rounds; `--only PART` measures one part, and may be repeated.
//!
//! Exit codes: 0 when every requirement is met, 1 when one is not, 2 when none failed but one could not be measured.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark: a failure here is the failure to report"
)]

use std::{env, process::ExitCode};

use secbeat_tests::{
    bench::requirement::Verdict,
    lab::interrupt,
    sources_bench::{Options, PARTS, outcome::Outcome},
};

const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let Some((only, rounds, as_json)) = arguments() else {
        let names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
        eprintln!(
            "usage: bench-sources [--json] [--rounds N] [--only {}]...",
            names.join("|")
        );
        return ExitCode::from(64);
    };
    interrupt::install();
    let mut outcome = Outcome::default();
    for part in PARTS {
        if only.is_empty() || only.iter().any(|name| name == part.name) {
            eprintln!("bench-sources: {}", part.name);
            outcome.extend((part.measure)(Options { rounds }));
        }
    }
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

fn arguments() -> Option<(Vec<String>, usize, bool)> {
    let (mut only, mut rounds, mut as_json) = (Vec::new(), ROUNDS, false);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => as_json = true,
            "--rounds" => rounds = arguments.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
            "--only" => {
                let name = arguments.next()?;
                PARTS.iter().find(|part| part.name == name)?;
                only.push(name);
            }
            _ => return None,
        }
    }
    Some((only, rounds, as_json))
}
