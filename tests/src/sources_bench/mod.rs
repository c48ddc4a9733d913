//! What `bench-sources` is made of: a module for each part, the table they fill and the limits they are held to.

mod endurance;
mod generate;
mod parse;
mod proxy;
mod replay;
mod signatures;
mod telemetry;

use crate::bench::{
    outcome,
    parts::{Options, Part},
};

/// All of them, in the order in which they run.
pub const PARTS: &[Part] = &[
    Part {
        name: "parse",
        measure: parse::measure,
    },
    Part {
        name: "signatures",
        measure: signatures::measure,
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
