//! The orchestrator's journal of events, with its default memory, full, and a million sources that come in random order.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use secbeat_common::{
    prefix::Prefix,
    wire::{LearnedFrom, TelemetryEvent},
};
use secbeat_orchestrator_core::evidence::{DEFAULT_MEMORY, Journal};

use crate::bench::{
    cpus,
    demand::{Demand, Limit},
    outcome::{Outcome, Row},
    parts::Options,
    resident::resident_bytes,
};

/// Sources that are seen.
const SOURCES: u32 = 1_000_000;
/// Events of a round: some times more than the journal holds.
const EVENTS: u32 = 4_000_000;
/// Look-ups of a round.
const LOOK_UPS: u32 = 1000;
/// Nanoseconds that an event may take.
const LIMIT_NS: f64 = 150.0;

/// Fills a journal, and looks sources up in it.
pub(super) fn measure(options: Options) -> Outcome {
    cpus::settle_down();
    let mut note = Row::new("journal, note an event", "ns");
    let mut look_up = Row::new("journal, look a source up", "µs");
    let mut memory = Row::new("journal, full", "MiB of resident memory");
    for _ in 0..options.rounds {
        let before = resident_bytes();
        let mut journal = Journal::new(DEFAULT_MEMORY);
        let mut event = event();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let begun = Instant::now();
        for at_ms in 0..EVENTS {
            event.client = client(next(&mut random));
            let source = Prefix::single(event.client);
            journal.answer(&source, i64::from(at_ms), "edge-1", black_box(&event));
        }
        note.rounds
            .push(begun.elapsed().as_secs_f64() * 1e9 / f64::from(EVENTS));
        memory
            .rounds
            .push((resident_bytes() - before) / (1024.0 * 1024.0));
        let begun = Instant::now();
        for _ in 0..LOOK_UPS {
            let source = Prefix::single(client(next(&mut random)));
            black_box(journal.of(&source).take(20).count());
        }
        look_up
            .rounds
            .push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(LOOK_UPS));
    }
    Outcome {
        demands: vec![
            Demand::of(&note, Limit::AtMost(LIMIT_NS), None),
            // The system gives whole pages, and the rows here take some.
            Demand::of(
                &memory,
                Limit::AtMost(DEFAULT_MEMORY as f64 / (1024.0 * 1024.0) + 1.0),
                None,
            ),
        ],
        rows: vec![note, look_up, memory],
    }
}

/// As a scanner makes them.
fn event() -> TelemetryEvent {
    TelemetryEvent {
        client: Ipv4Addr::UNSPECIFIED.into(),
        at_ms: 0,
        status: 404,
        upstream: 0,
        learned_from: LearnedFrom::Peer,
        method: "GET".to_owned(),
        path: "/wp-content/plugins/revslider/readme.txt".to_owned(),
        host: "www.example.org".to_owned(),
        user_agent: "Mozilla/5.0 (compatible; scanner/1.0)".to_owned(),
        signatures: Vec::new(),
        cross_site: false,
    }
}

fn client(random: u64) -> IpAddr {
    Ipv4Addr::from((random % u64::from(SOURCES)) as u32).into()
}

/// xorshift64 (Marsaglia 2003).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
