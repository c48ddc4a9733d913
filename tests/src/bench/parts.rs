//! A benchmark made of parts: what it is called with, and how it ends.

use std::{env, process::ExitCode};

use super::outcome::Outcome;
use crate::lab::interrupt;

/// Interleaved repetitions unless said otherwise.
const ROUNDS: usize = 5;

/// How a part measures.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Interleaved repetitions; at least 1.
    pub rounds: usize,
}

/// One part of the benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// As `--only` takes it.
    pub name: &'static str,
    pub measure: fn(Options) -> Outcome,
}

/// Runs the parts that the command line asks for. `--json` prints JSON; `--rounds N` sets the number of interleaved rounds;
/// `--only PART` measures one part, and may be repeated.
///
/// Exit codes: 0 when every requirement is met, 1 when one is not, 2 when none failed but one could not be measured.
#[must_use]
pub fn run(program: &str, parts: &[Part]) -> ExitCode {
    let Some((only, rounds, as_json)) = arguments(parts) else {
        let names: Vec<_> = parts.iter().map(|part| part.name).collect();
        eprintln!(
            "usage: {program} [--json] [--rounds N] [--only {}]...",
            names.join("|")
        );
        return ExitCode::from(64);
    };
    interrupt::install();
    let mut outcome = Outcome::default();
    for part in parts {
        if only.is_empty() || only.iter().any(|name| name == part.name) {
            eprintln!("{program}: {}", part.name);
            outcome.extend((part.measure)(Options { rounds }));
        }
    }
    if as_json {
        println!("{:#}", outcome.json());
    } else {
        println!("{}", outcome.table());
    }
    outcome.verdict().into()
}

fn arguments(parts: &[Part]) -> Option<(Vec<String>, usize, bool)> {
    let (mut only, mut rounds, mut as_json) = (Vec::new(), ROUNDS, false);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => as_json = true,
            "--rounds" => rounds = arguments.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
            "--only" => {
                let name = arguments.next()?;
                parts.iter().find(|part| part.name == name)?;
                only.push(name);
            }
            _ => return None,
        }
    }
    Some((only, rounds, as_json))
}
