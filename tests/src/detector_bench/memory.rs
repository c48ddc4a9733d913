//! The memory that tracked sources take, as the kernel counts it.

use std::hint::black_box;

use secbeat_orchestrator_core::analyzers::{DetectConfig, UpstreamId, Upstreams, threshold::Detector};

use super::{START_MS, missing, sighting};
use crate::bench::{
    demand::{Demand, Limit},
    outcome::{Outcome, Row},
    parts::Options,
    report::Missing,
    resident::resident_bytes,
};

/// Sources with one error each.
const SOURCES: u32 = 1_000_000;
/// Addresses of the flood that meets the ceiling.
const UNIQUE: u32 = 50_000_000;
/// Bytes a source.
const LIMIT: f64 = 128.0;
const UNIT: &str = "bytes of resident memory a source";

/// Measures a million sources with one error event each, the same with whole answers, and a flood of 50 million addresses.
pub(super) fn measure(_: Options) -> Outcome {
    let events = sources(
        "a million sources with one error event",
        |detector, n, upstream| {
            detector.observe_event(sighting(n, START_MS, upstream), &missing(n as usize));
        },
    );
    let answers = sources(
        "a million sources with one answer, an error",
        |detector, n, upstream| {
            detector.observe_answer(sighting(n, START_MS, upstream), &missing(n as usize));
        },
    );
    let flood = flood();
    Outcome {
        demands: vec![
            Demand::of(&events, Limit::AtMost(LIMIT), None),
            Demand::of(&answers, Limit::AtMost(LIMIT), None),
            Demand::of(&flood, Limit::AtMost(LIMIT), None),
        ],
        rows: vec![events, answers, flood],
    }
}

fn sources(name: &str, see: impl Fn(&mut Detector, u32, UpstreamId)) -> Row {
    let mut row = Row::new(name, UNIT);
    let upstream = Upstreams::default().intern("edge", "app");
    let before = resident_bytes();
    let mut detector = Detector::new(DetectConfig::default());
    for n in 0..SOURCES {
        see(&mut detector, n, upstream);
    }
    let grown = resident_bytes() - before;
    match detector.tracked() == SOURCES as usize {
        true => row.rounds.push(grown / f64::from(SOURCES)),
        false => row.missing = Some(Missing::Failed(format!("it tracks {}", detector.tracked()))),
    }
    black_box(&detector);
    row
}

/// The ceiling's sources in memory, after 25 times as many; one source that comes back stays.
fn flood() -> Row {
    let mut row = Row::new("50 million unique addresses, by the ceiling", UNIT);
    let upstream = Upstreams::default().intern("edge", "app");
    let config = DetectConfig::default();
    let ceiling = config.max_sources;
    let before = resident_bytes();
    let mut detector = Detector::new(config);
    let scanner = UNIQUE + 1;
    for n in 0..49 {
        detector.observe_event(sighting(scanner, START_MS + n, upstream), &missing(0));
    }
    for n in 0..UNIQUE {
        detector.observe_event(
            sighting(n, START_MS + i64::from(n / 10_000), upstream),
            &missing(n as usize),
        );
    }
    row.rounds.push((resident_bytes() - before) / ceiling as f64);
    let found = detector.observe_event(sighting(scanner, START_MS + 5_000, upstream), &missing(0));
    if detector.tracked() > ceiling || found.is_none() {
        let message = format!(
            "it tracks {}, and the scanner was found: {}",
            detector.tracked(),
            found.is_some()
        );
        row.missing = Some(Missing::Failed(message));
    }
    row
}
