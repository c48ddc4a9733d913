//! Two minutes at full load: the edge's memory stays flat from the second on, and on a healthy bus no telemetry is lost.

use std::{
    fs::{self, File},
    io::Write as _,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Options,
    outcome::{Outcome, Row},
    telemetry::{patient_fleet, throughput},
};
use crate::{
    bench::demand::{Demand, Limit},
    lab::fleet::Fleet,
};

/// How long the load lasts.
const LOAD: Duration = Duration::from_secs(120);
/// From when on memory has to be flat: pools and tables, and what the allocator keeps, have filled by then.
const WARM_UP: Duration = Duration::from_secs(60);
/// Pause between two looks at the memory.
const SAMPLE: Duration = Duration::from_millis(500);
/// What memory may grow by, in KiB a second, over the rest of the load: noise of an allocator, not a leak, which at one
/// byte for each of 10,000 requests a second would show.
const FLAT: f64 = 10.0;
/// Lines that are written to the log each second.
const LINES_PER_SECOND: u64 = 100_000;
/// Writes a second, so that the lines come as a busy server writes them.
const WRITES_PER_SECOND: u64 = 100;
/// Clients in the log.
const CLIENTS: u64 = 2_000;
/// How long the last telemetry may take to arrive.
const SETTLE: Duration = Duration::from_secs(20);

/// Measures the proxy under wrk, then the follower of a log; each for two minutes, whatever the rounds.
pub(super) fn measure(_: Options) -> Outcome {
    let mut outcome = proxy();
    outcome.extend(log());
    outcome
}

fn proxy() -> Outcome {
    let fleet = patient_fleet("");
    let mut served = Row::new("endurance: proxy, wrk at its full rate", "requests/s");
    let memory = thread::scope(|scope| {
        let memory = scope.spawn(|| Memory::watch(fleet.edge.pid()));
        match throughput(&fleet, LOAD.as_secs() as u32) {
            Ok(rate) => served.rounds.push(rate),
            Err(missing) => served.missing = Some(missing),
        }
        memory.join().unwrap()
    });
    let told = Told::settled(&fleet, 1);
    outcome("proxy", served, &memory, &told)
}

fn log() -> Outcome {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("access.log");
    let mut file = File::create(&path).unwrap();
    let fleet = patient_fleet(&format!(
        "[[access_log]]\npath = \"{}\"\nformat = \"combined\"\n",
        path.display()
    ));
    let mut fed = Row::new("endurance: lines fed to the log", "lines/s");
    let (lines, memory) = thread::scope(|scope| {
        let memory = scope.spawn(|| Memory::watch(fleet.edge.pid()));
        let begun = Instant::now();
        let lines = feed(&mut file);
        fed.rounds.push(lines as f64 / begun.elapsed().as_secs_f64());
        (lines, memory.join().unwrap())
    });
    let told = Told::settled(&fleet, lines);
    let mut outcome = outcome("log", fed.clone(), &memory, &told);
    outcome.demands.push(Demand::of(
        &fed,
        Limit::AtLeast(LINES_PER_SECOND as f64 * 0.99),
        None,
    ));
    let mut counted = Row::new("endurance: lines counted ÷ lines written", "");
    counted.rounds.push(told.recorded as f64 / lines as f64);
    outcome
        .demands
        .push(Demand::of(&counted, Limit::AtLeast(1.0), None));
    outcome
        .demands
        .push(Demand::of(&counted, Limit::AtMost(1.0), None));
    outcome.rows.push(counted);
    outcome
}

/// Writes lines for as long as the load lasts, each with the time at which it is written, and returns how many.
fn feed(file: &mut File) -> u64 {
    let begun = Instant::now();
    let (mut lines, mut text) = (0_u64, Vec::new());
    for write in 0..LOAD.as_secs() * WRITES_PER_SECOND {
        let due = Duration::from_millis(1000 / WRITES_PER_SECOND) * u32::try_from(write).unwrap();
        thread::sleep(due.saturating_sub(begun.elapsed()));
        let time = jiff::Timestamp::now()
            .strftime("%d/%b/%Y:%H:%M:%S +0000")
            .to_string();
        text.clear();
        for _ in 0..LINES_PER_SECOND / WRITES_PER_SECOND {
            let client = lines % CLIENTS;
            let status = if lines % 10 == 0 { 404 } else { 200 };
            writeln!(
                text,
                "198.51.{}.{} - - [{time}] \"GET /shop/item/{lines} HTTP/1.1\" {status} 512 \"-\" \"curl/8.5.0\"",
                client / 250,
                client % 250 + 1,
            )
            .unwrap();
            lines += 1;
        }
        file.write_all(&text).unwrap();
    }
    lines
}

/// What is demanded of either: flat memory, and every answer told.
fn outcome(what: &str, load: Row, memory: &Memory, told: &Told) -> Outcome {
    let row = |name: &str, unit, value: f64| Row {
        rounds: vec![value],
        missing: load.missing.clone(),
        ..Row::new(format!("endurance: {what}, {name}"), unit)
    };
    let growth = row("growth of the edge's memory", "KiB/s", memory.growth());
    let lost = row("answers lost by the edge", "", told.lost as f64);
    let missing = row("batches missing at the orchestrator", "", told.missing as f64);
    let differ = row(
        "answers recorded, less counted by the orchestrator",
        "",
        told.recorded.abs_diff(told.counted) as f64,
    );
    let demands = vec![
        Demand::of(&growth, Limit::AtMost(FLAT), None),
        Demand::of(&lost, Limit::AtMost(0.0), None),
        Demand::of(&missing, Limit::AtMost(0.0), None),
        Demand::of(&differ, Limit::AtMost(0.0), None),
    ];
    let most = row("most memory of the edge", "MiB", memory.most() / 1024.0);
    Outcome {
        rows: vec![load, most, growth, lost, missing, differ],
        demands,
    }
}

/// A process's resident memory over time.
struct Memory {
    /// Seconds since the start, and KiB.
    samples: Vec<(f64, f64)>,
}

impl Memory {
    fn watch(pid: u32) -> Self {
        let begun = Instant::now();
        let mut samples = Vec::new();
        while begun.elapsed() < LOAD {
            samples.push((begun.elapsed().as_secs_f64(), resident_kib(pid)));
            thread::sleep(SAMPLE);
        }
        Self { samples }
    }

    fn most(&self) -> f64 {
        self.samples.iter().map(|(_, kib)| *kib).fold(0.0, f64::max)
    }

    /// Slope of the least squares after the warm-up, in KiB a second.
    fn growth(&self) -> f64 {
        let warm = || self.samples.iter().filter(|(at, _)| *at >= WARM_UP.as_secs_f64());
        let n = warm().count() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| warm().map(of).sum::<f64>() / n;
        let (at, kib) = (mean(|sample| sample.0), mean(|sample| sample.1));
        let covariance: f64 = warm().map(|(x, y)| (x - at) * (y - kib)).sum();
        let variance: f64 = warm().map(|(x, _)| (x - at).powi(2)).sum();
        covariance / variance
    }
}

fn resident_kib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the edge runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .expect("a process has memory");
    kib.parse().expect("a number of KiB")
}

/// What both sides say in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    recorded: u64,
    lost: u64,
    counted: u64,
    missing: u64,
}

impl Told {
    /// Waits until the orchestrator has counted all that the edge recorded, `at_least` so many, or for so long that the
    /// rest is lost.
    fn settled(fleet: &Fleet, at_least: u64) -> Self {
        let begun = Instant::now();
        loop {
            let told = Self::now(fleet);
            let all = told.recorded >= at_least && told.counted == told.recorded;
            if all || begun.elapsed() > SETTLE {
                return told;
            }
            thread::sleep(SAMPLE);
        }
    }

    fn now(fleet: &Fleet) -> Self {
        let number = |value: &Option<Value>, pointer: &str| {
            let value = value.as_ref().and_then(|value| value.pointer(pointer));
            value.and_then(Value::as_u64).unwrap_or(0)
        };
        let (edge, orchestrator) = (fleet.edge_stats(), fleet.orchestrator_stats());
        Self {
            recorded: number(&edge, "/telemetry/recorded"),
            lost: number(&edge, "/telemetry/dropped").max(number(&orchestrator, "/edges/0/lost")),
            counted: number(&orchestrator, "/edges/0/requests"),
            missing: number(&orchestrator, "/edges/0/missing_batches"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_the_slope_after_the_warm_up() {
        let kib = |second: f64| {
            if second < 60.0 {
                second * 1000.0
            } else {
                50_000.0 + second * 3.0
            }
        };
        let samples = (0..240)
            .map(|n| f64::from(n) / 2.0)
            .map(|at| (at, kib(at)))
            .collect();
        let memory = Memory { samples };
        assert!((memory.growth() - 3.0).abs() < 0.01, "{}", memory.growth());
    }
}
