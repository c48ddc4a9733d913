//! What it costs that commands are signed.

use std::{hint::black_box, time::Instant};

use secbeat_bus::TOGETHER;
use secbeat_common::{
    sign::{SecretKey, Signer, Trust},
    wire::BlockCommand,
};

use super::join::command;
use crate::bench::{
    cpus,
    demand::{Demand, Limit},
    outcome::{Outcome, Row},
    parts::Options,
};

/// Commands of a round, some times as many as are verified together.
const COMMANDS: u32 = 16 * TOGETHER as u32;
/// Microseconds that one command may take more.
const LIMIT_US: f64 = 200.0;

/// Signs commands, and verifies them: each by itself, as when one comes, and many together, as when an edge joins.
///
/// # Panics
///
/// When a command does not open.
pub(super) fn measure(options: Options) -> Outcome {
    cpus::settle_down();
    let key = SecretKey::generate().expect("a key");
    let trust: Trust = [key.public()].into_iter().collect();
    let signer: Signer = Some(key).into();
    let mut rows = [
        "sign a command",
        "verify a command",
        "verify a command among many",
    ]
    .map(|what| Row::new(what, "µs"));
    for _ in 0..options.rounds {
        let commands: Vec<_> = (0..COMMANDS).map(command).collect();
        let mut each_us = Vec::new();
        let mut timed = |work: &mut dyn FnMut()| {
            let begun = Instant::now();
            work();
            each_us.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(COMMANDS));
        };
        let mut sealed: Vec<Vec<u8>> = Vec::new();
        timed(&mut || {
            sealed = commands
                .iter()
                .map(|command| signer.seal(command, 0).expect("a message"))
                .collect();
        });
        timed(&mut || {
            for bytes in &sealed {
                black_box(trust.open::<BlockCommand>(bytes)).expect("a good signature");
            }
        });
        timed(&mut || {
            for many in sealed.chunks(TOGETHER) {
                let many: Vec<_> = many.iter().map(Vec::as_slice).collect();
                let opened = trust.open_all::<BlockCommand>(&many);
                assert!(black_box(opened).iter().all(Result::is_ok), "a good signature");
            }
        });
        for (row, us) in rows.iter_mut().zip(each_us) {
            row.rounds.push(us);
        }
    }
    Outcome {
        demands: rows
            .iter()
            .map(|row| Demand::of(row, Limit::AtMost(LIMIT_US), None))
            .collect(),
        rows: rows.into(),
    }
}
