//! What `bench-one-host` is made of: a module for each part, the table they fill and the limits they are held to.

mod bans;
mod cost;
mod decoys;
mod latency;
pub(crate) mod process;
mod start;

use crate::{
    bench::{
        demand::{Demand, Limit},
        outcome::{Outcome, Row},
        parts::{Options, Part},
        report::Missing,
    },
    lab::guarded::Guard,
};

/// All of them, in the order in which they run.
pub const PARTS: &[Part] = &[
    Part {
        name: "start",
        measure: start::measure,
    },
    Part {
        name: "cost",
        measure: cost::measure,
    },
    Part {
        name: "latency",
        measure: latency::measure,
    },
    Part {
        name: "bans",
        measure: bans::measure,
    },
    Part {
        name: "decoys",
        measure: decoys::measure,
    },
];

/// A row of `guard`, which says so if it cannot be run here.
fn row(guard: Guard, what: &str, unit: &'static str) -> Row {
    let name = format!("{}: {what}", guard.name());
    match guard.missing() {
        None => Row::new(name, unit),
        Some(why) => Row::without_figures(name, unit, Missing::NotRun(why.to_owned())),
    }
}

/// The largest of a row's rounds.
fn most_of(row: &Row) -> Row {
    let most = row.rounds.iter().copied().reduce(f64::max);
    Row {
        name: format!("{}, most", row.name),
        rounds: most.into_iter().collect(),
        ..row.clone()
    }
}

/// A row of ours with its limit.
fn limited(row: Row, limit: Limit) -> Outcome {
    Outcome {
        demands: vec![Demand::of(&row, limit, None)],
        rows: vec![row],
    }
}
