//! What `bench-sources` is made of: a module for each part, the table they fill and the limits they are held to.

pub mod endurance;
pub mod generate;
pub mod outcome;
pub mod parse;
pub mod proxy;
pub mod replay;
pub mod telemetry;

use self::outcome::Outcome;

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

/// All of them, in the order in which they run.
pub const PARTS: &[Part] = &[
    Part {
        name: "parse",
        measure: parse::measure,
    },
    Part {
        name: "proxy",
        measure: proxy::measure,
    },
    Part {
        name: "telemetry",
        measure: telemetry::measure,
    },
    Part {
        name: "endurance",
        measure: endurance::measure,
    },
    Part {
        name: "replay",
        measure: replay::measure,
    },
];
