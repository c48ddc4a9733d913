//! Events that one core judges.

use std::time::Instant;

use secbeat_common::{prefix::Prefix, wire::LearnedFrom};
use secbeat_orchestrator_core::analyzers::{
    AHEAD, DetectConfig, Rule, Sighting, UpstreamId, Upstreams, threshold::Detector,
};

use super::{START_MS, missing, sighting, source};
use crate::{
    bench::{
        cpus,
        demand::{Demand, Limit},
        outcome::{Outcome, Row},
        parts::Options,
    },
    lab::random::Random,
};

/// Active sources.
const SOURCES: u32 = 1_000_000;
/// Events of a round.
const EVENTS: usize = 4_000_000;
/// Of every so many events one is timed by itself.
const TIMED: usize = 8;
/// Events in a millisecond: with the active sources all of a round lie within a window.
const EVENTS_PER_MS: usize = 100;
const PER_SECOND: f64 = 5_000_000.0;
const P99_NS: f64 = 1000.0;

/// Error events of a million sources, each known from before, zipf-distributed (exponent 1): a few send much and most
/// little. Once with the default rules and their bans, and once with thresholds that nobody reaches, so that every event
/// enters a window.
pub(super) fn measure(options: Options) -> Outcome {
    cpus::settle_down();
    let mut outcome = Outcome::default();
    let events = zipf();
    let unreached = || {
        let mut config = DetectConfig::default();
        for rule in &mut config.rules {
            rule.threshold.count = std::num::NonZeroU32::MAX;
        }
        config
    };
    let kinds: [(&str, &dyn Fn() -> DetectConfig, Limit); 2] = [
        (
            "default rules",
            &DetectConfig::default,
            Limit::AtLeast(PER_SECOND),
        ),
        ("no threshold reached", &unreached, Limit::None),
    ];
    for (kind, config, limit) in kinds {
        let mut rate = Row::new(format!("observe, 1 million sources, {kind}"), "events/s");
        let mut p99 = Row::new(
            format!("observe, 1 million sources, {kind}"),
            "ns at the 99th percentile",
        );
        for _ in 0..options.rounds {
            rate.rounds.push(rate_of(config(), &events));
            p99.rounds.push(p99_of(config(), &events));
        }
        outcome.demands.extend([
            Demand::of(&rate, limit, None),
            Demand::of(&p99, Limit::AtMost(P99_NS), None),
        ]);
        outcome.rows.extend([rate, p99]);
    }
    outcome
}

/// A detector that knows all sources.
fn warm(config: DetectConfig) -> (Detector, UpstreamId) {
    let upstream = Upstreams::default().intern("edge", "app");
    let mut detector = Detector::new(config);
    for n in 0..SOURCES {
        detector.observe_event(sighting(n, START_MS, upstream), &missing(n as usize));
    }
    (detector, upstream)
}

fn rate_of(config: DetectConfig, events: &[Prefix]) -> f64 {
    let (mut detector, upstream) = warm(config);
    let begun = Instant::now();
    for (first, group) in (0..).step_by(AHEAD).zip(events.chunks(AHEAD)) {
        detector.expect(group.iter().copied());
        for (index, source) in (first..).zip(group) {
            observe(&mut detector, index, *source, upstream);
        }
    }
    events.len() as f64 / begun.elapsed().as_secs_f64()
}

/// What the clock itself takes is part of it, and so is an event's share of the look ahead.
fn p99_of(config: DetectConfig, events: &[Prefix]) -> f64 {
    let (mut detector, upstream) = warm(config);
    let mut times = Vec::with_capacity(events.len() / TIMED + 1);
    for (first, group) in (0..).step_by(AHEAD).zip(events.chunks(AHEAD)) {
        let begun = Instant::now();
        detector.expect(group.iter().copied());
        let share = begun.elapsed() / group.len() as u32;
        for (index, source) in (first..).zip(group) {
            if index % TIMED != 0 {
                observe(&mut detector, index, *source, upstream);
                continue;
            }
            let begun = Instant::now();
            observe(&mut detector, index, *source, upstream);
            times.push((begun.elapsed() + share).as_nanos() as u32);
        }
    }
    let place = times.len() * 99 / 100;
    f64::from(*times.select_nth_unstable(place).1)
}

/// One event; a finding is answered as the engine does.
fn observe(detector: &mut Detector, index: usize, source: Prefix, upstream: UpstreamId) {
    let at_ms = START_MS + (index / EVENTS_PER_MS) as i64;
    let sighting = Sighting {
        source,
        at_ms,
        upstream,
        learned_from: LearnedFrom::Peer,
    };
    if let Some(found) = detector.observe_event(sighting, &missing(index)) {
        assert_eq!(found.rule, Rule::ErrorFlood);
        detector.ignore_until(found.source, found.at_ms + 300_000, found.layer);
    }
}

/// Which source each event is of.
fn zipf() -> Vec<Prefix> {
    let mut sum = 0.0;
    let cumulated: Vec<f64> = (1..=SOURCES)
        .map(|rank| {
            sum += 1.0 / f64::from(rank);
            sum
        })
        .collect();
    let mut random = Random::new(5);
    (0..EVENTS)
        .map(|_| {
            let at = (random.any() >> 11) as f64 / (1u64 << 53) as f64 * sum;
            source(cumulated.partition_point(|below| *below <= at) as u32)
        })
        .collect()
}
