//! `cargo xtask bench e2e`: from the 50th error answered to the first packet dropped, through a real nats-server.
//! `--attackers N` sets the number of attackers, `--json` prints JSON. Exits 1 when the loop is slower than the limits.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark: a failure here is the failure to report"
)]

use std::{env, process::ExitCode};

use secbeat_tests::{
    lab::fleet::{Family, Fleet, Options},
    scenario::{
        frame,
        race::{self, MOST_V4, MOST_V6, Race},
    },
};
use serde_json::{Value, json};

const ATTACKERS: usize = 200;
const P50_LIMIT_MS: f64 = 5.0;
const P99_LIMIT_MS: f64 = 20.0;

/// Shown of every distribution.
const QUANTILES: [(&str, f64); 5] = [
    ("min", 0.0),
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("max", 1.0),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Table,
    Json,
}

fn main() -> ExitCode {
    match arguments() {
        Some((attackers, format)) => frame::run(|| measure(attackers, format)),
        None => {
            eprintln!(
                "usage: bench-e2e [--attackers N] [--json]   (N from 1 to {})",
                MOST_V4 + MOST_V6
            );
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Option<(usize, Format)> {
    let (mut attackers, mut format) = (ATTACKERS, Format::Table);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => format = Format::Json,
            "--attackers" => attackers = arguments.next()?.parse().ok()?,
            _ => return None,
        }
    }
    (1..=MOST_V4 + MOST_V6)
        .contains(&attackers)
        .then_some((attackers, format))
}

/// Whether the loop is fast enough.
fn measure(attackers: usize, format: Format) -> bool {
    let fleet = Fleet::start(&Options {
        ban: "1h",
        ban_slots: 65_536,
        ..Options::default()
    });
    let races = race::run(&fleet, attackers);
    let rows = rows(&races);
    let all = &rows[0].1;
    let passed = all.at(0.5) <= P50_LIMIT_MS && all.at(0.99) <= P99_LIMIT_MS;
    match format {
        Format::Table => print_table(attackers, &rows, passed),
        Format::Json => println!("{:#}", as_json(attackers, &rows, passed)),
    }
    passed
}

/// Milliseconds, sorted.
struct Distribution(Vec<f64>);

impl Distribution {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The smallest value that at least `share` of the values do not exceed (nearest rank); NaN without values.
    fn at(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }
}

/// The whole way first; then by family, then its parts.
fn rows(races: &[Race]) -> Vec<(&'static str, Distribution)> {
    let of = |value: fn(&Race) -> f64| Distribution::of(races.iter().map(value));
    let within = |family| {
        Distribution::of(
            races
                .iter()
                .filter(|race| race.family == family)
                .map(|race| race.total),
        )
    };
    vec![
        ("50th error → first drop", of(|race| race.total)),
        ("  over IPv4", within(Family::V4)),
        ("  over IPv6", within(Family::V6)),
        ("50th error → decided", of(|race| race.to_decision)),
        ("decided → in the kernel", of(|race| race.to_kernel)),
        ("in the kernel → first drop", of(|race| race.to_drop)),
    ]
}

fn print_table(attackers: usize, rows: &[(&str, Distribution)], passed: bool) {
    println!("{attackers} attackers, one after another, through a real nats-server; milliseconds\n");
    print!("{:<28}", "");
    QUANTILES.iter().for_each(|(name, _)| print!("{name:>9}"));
    println!();
    for (name, values) in rows.iter().filter(|(_, values)| !values.0.is_empty()) {
        print!("{name:<28}");
        QUANTILES
            .iter()
            .for_each(|(_, share)| print!("{:>9.2}", values.at(*share)));
        println!();
    }
    let verdict = if passed { "PASS" } else { "FAIL" };
    println!("\n{verdict}: the limits are p50 ≤ {P50_LIMIT_MS} ms and p99 ≤ {P99_LIMIT_MS} ms");
}

fn as_json(attackers: usize, rows: &[(&str, Distribution)], passed: bool) -> Value {
    let quantiles = |values: &Distribution| -> Value {
        QUANTILES
            .iter()
            .map(|(name, share)| ((*name).to_owned(), json!(values.at(*share))))
            .collect()
    };
    let distributions: Value = rows
        .iter()
        .map(|(name, values)| (name.trim().to_owned(), quantiles(values)))
        .collect();
    json!({
        "attackers": attackers,
        "unit": "ms",
        "distributions": distributions,
        "limits": { "p50": P50_LIMIT_MS, "p99": P99_LIMIT_MS },
        "passed": passed,
    })
}
