//! Log lines parsed by one core.

use std::{fs, hint::black_box, time::Instant};

use secbeat_logs::{Format, Lines, Piece};

use super::{
    Options,
    generate::{self, Visits},
    outcome::{Outcome, Row},
};
use crate::{
    bench::{
        cpus,
        demand::{Demand, Limit},
        report::Missing,
    },
    lab::paths,
};

/// Lines of the generated log.
const LINES: u32 = 500_000;
/// Bytes that a round of a shorter log parses at least, by reading it again and again.
const AT_LEAST: usize = 64 * 1024 * 1024;
/// Lines a second that are demanded.
const LINES_PER_SECOND: f64 = 5_000_000.0;
/// The same in bytes, for lines of the generated length.
const LIMIT_BYTES_PER_SECOND: f64 = LINES_PER_SECOND * generate::LINE_LEN as f64;
/// Bytes a second that are hoped for.
const BYTES_PER_SECOND: f64 = 1e9;

/// A log in memory.
struct Log {
    name: &'static str,
    text: Vec<u8>,
}

/// Parses the generated log and a real one from memory, split into lines and all.
///
/// # Panics
///
/// When the real log cannot be read.
pub(super) fn measure(options: Options) -> Outcome {
    cpus::settle_down();
    let real = paths::workspace().join("secbeat-common/logs/fixtures/elastic-apache.log");
    let logs = [
        Log {
            name: "generated",
            text: generate::combined(LINES, Visits::Bursts),
        },
        Log {
            name: "real",
            text: fs::read(real).expect("the fixture is there"),
        },
    ];
    let mut outcome = Outcome::default();
    for log in logs {
        let mut lines_row = Row::new(format!("parse combined, {} log", log.name), "lines/s");
        let mut bytes_row = Row::new(format!("parse combined, {} log", log.name), "bytes/s");
        let times = AT_LEAST.div_ceil(log.text.len());
        for _ in 0..options.rounds {
            let begun = Instant::now();
            let lines: usize = (0..times).map(|_| parse(&log.text, &mut lines_row)).sum();
            let seconds = begun.elapsed().as_secs_f64();
            lines_row.rounds.push(lines as f64 / seconds);
            bytes_row.rounds.push((log.text.len() * times) as f64 / seconds);
        }
        outcome
            .demands
            .push(Demand::of(&lines_row, Limit::AtLeast(LINES_PER_SECOND), None));
        let limit = Limit::AtLeast(LIMIT_BYTES_PER_SECOND);
        outcome
            .demands
            .push(Demand::of(&bytes_row, limit, Some(BYTES_PER_SECOND)));
        outcome.rows.extend([lines_row, bytes_row]);
    }
    outcome
}

/// Lines understood; a line that is not is noted.
fn parse(log: &[u8], row: &mut Row) -> usize {
    let mut lines = Lines::new(log);
    let mut parsed = 0;
    while let Some(line) = lines.next_piece().expect("memory can be read") {
        let Piece::Line(text) = line else {
            row.missing = Some(Missing::Failed("a line is too long".to_owned()));
            continue;
        };
        match black_box(Format::COMBINED.parse(text)) {
            Ok(_) => parsed += 1,
            Err(error) => row.missing = Some(Missing::Failed(error.to_string())),
        }
    }
    parsed
}
