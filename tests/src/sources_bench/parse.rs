//! Log lines parsed by one core.

use std::{fs, hint::black_box, time::Instant};

use secbeat_logs::Format;

use super::{
    Options,
    generate::{self, Server, Visits},
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

/// JSON formats, the first of which is held to a limit.
const JSON: [(&str, Server); 3] = [
    ("nginx-json", Server::NginxJson),
    ("caddy-json", Server::Caddy),
    ("traefik-json", Server::Traefik),
];

/// A log in memory, and what its lines look like.
struct Log {
    format: Format,
    text: Vec<u8>,
}

/// Parses the generated log, a real one, and the same requests as JSON from memory, split into lines and all. Beside the first one
/// runs a loop that does no more than find where its lines end.
///
/// # Panics
///
/// When the real log cannot be read.
pub(super) fn measure(options: Options) -> Outcome {
    cpus::settle_down();
    let real = paths::workspace().join("secbeat-common/logs/fixtures/elastic-apache.log");
    let generated = Log {
        format: Format::COMBINED,
        text: generate::log(Server::Combined, LINES, Visits::Bursts),
    };
    let real = Log {
        format: Format::COMBINED,
        text: fs::read(real).expect("the fixture is there"),
    };
    let json = JSON.map(|(name, server)| Log {
        format: name.parse().expect("a format's name"),
        text: generate::log(server, LINES, Visits::Bursts),
    });

    let mut line_ends = Row::new("line ends found by memchr", "bytes/s");
    let rows = |name: &str| ["lines/s", "bytes/s"].map(|unit| Row::new(format!("parse {name}"), unit));
    let [mut lines, mut bytes] = rows("combined, generated log");
    let [mut real_lines, mut real_bytes] = rows("combined, real log");
    let mut json_rows = JSON.map(|(name, _)| rows(name));
    for _ in 0..options.rounds {
        line_ends.rounds.push(bytes_per_second(&generated.text, || {
            count_line_ends(&generated.text)
        }));
        measure_log(&generated, &mut lines, &mut bytes);
        measure_log(&real, &mut real_lines, &mut real_bytes);
        for (log, [lines, bytes]) in json.iter().zip(&mut json_rows) {
            measure_log(log, lines, bytes);
        }
    }

    let per_second = Limit::AtLeast(LIMIT_BYTES_PER_SECOND);
    let mut demands = vec![
        Demand::of(&lines, Limit::AtLeast(LINES_PER_SECOND), None),
        Demand::of(&bytes, per_second, Some(BYTES_PER_SECOND)),
        Demand::of(&real_lines, Limit::AtLeast(LINES_PER_SECOND), None),
        Demand::of(&real_bytes, per_second, Some(BYTES_PER_SECOND)),
        Demand::ratio(&bytes, &line_ends, Limit::AtLeast(0.25), None),
    ];
    let limits = [Limit::AtLeast(0.4), Limit::None, Limit::None];
    demands.extend(
        json_rows
            .iter()
            .zip(limits)
            .map(|([json, _], limit)| Demand::ratio(json, &lines, limit, None)),
    );
    let mut rows = vec![lines, bytes, real_lines, real_bytes, line_ends];
    rows.extend(json_rows.into_iter().flatten());
    Outcome { rows, demands }
}

/// Notes how many lines and bytes of a log are parsed in a second.
fn measure_log(log: &Log, lines: &mut Row, bytes: &mut Row) {
    let mut parsed = 0;
    let per_second = bytes_per_second(&log.text, || parsed += parse(log, lines));
    let read = AT_LEAST.div_ceil(log.text.len()) * log.text.len();
    lines.rounds.push(parsed as f64 * per_second / read as f64);
    bytes.rounds.push(per_second);
}

/// How many bytes of `text` a second `read` reads, which is called until it has read [`AT_LEAST`] so many.
fn bytes_per_second(text: &[u8], mut read: impl FnMut()) -> f64 {
    let times = AT_LEAST.div_ceil(text.len());
    let begun = Instant::now();
    for _ in 0..times {
        read();
    }
    (text.len() * times) as f64 / begun.elapsed().as_secs_f64()
}

/// What no reader of lines can do without.
fn count_line_ends(text: &[u8]) {
    black_box(memchr::memchr_iter(b'\n', text).map(black_box).count());
}

/// Lines understood; a line that is not is noted.
fn parse(log: &Log, row: &mut Row) -> usize {
    let mut parsed = 0;
    let mut begin = 0;
    for end in memchr::memchr_iter(b'\n', &log.text) {
        match black_box(log.format.parse(&log.text[begin..end])) {
            Ok(_) => parsed += 1,
            Err(error) => row.missing = Some(Missing::Failed(error.to_string())),
        }
        begin = end + 1;
    }
    parsed
}
