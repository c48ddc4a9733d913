//! The proxy beside nginx as a proxy: the same server behind both, in turns. Both have a worker for each of the host's cores, both tell
//! the server who asked, neither writes an access log; ours reports every answer.

mod clients;
mod front;
mod process;

use std::{thread, time::Duration};

use nix::sys::resource::{Resource, setrlimit};

use self::front::{Front, Fronts, LARGE};
use super::{
    Options,
    outcome::{Outcome, Row},
};
use crate::{
    bench::{
        demand::{Demand, Limit},
        report::Missing,
    },
    lab::netns::Namespace,
};

/// Descriptors for the connections of all sides.
const FILES: u64 = 65_536;
/// Until connections that were closed are gone at the other side as well.
const SETTLE: Duration = Duration::from_secs(1);

/// One figure of both proxies.
struct Figure {
    name: &'static str,
    unit: &'static str,
    /// Of ours by nginx'.
    limit: Limit,
    aim: Option<f64>,
}

/// How one round of some figures is measured.
type Measure<const N: usize> = fn(&Namespace, Front) -> Result<[f64; N], Missing>;

const fn figure(name: &'static str, unit: &'static str, limit: Limit, aim: Option<f64>) -> Figure {
    Figure {
        name,
        unit,
        limit,
        aim,
    }
}

const PLAIN: [Figure; 2] = [
    figure("", "requests/s", Limit::AtLeast(0.95), Some(1.1)),
    figure(", 99th percentile", "ms", Limit::AtMost(1.2), None),
];
const TLS: [Figure; 2] = [
    figure(", TLS", "requests/s", Limit::AtLeast(0.9), None),
    figure(", TLS, 99th percentile", "ms", Limit::None, None),
];
const HANDSHAKES: [Figure; 1] = [figure(", full TLS handshakes", "1/s", Limit::AtLeast(0.9), None)];
const STREAMS: [Figure; 1] = [figure(
    ", HTTP/2, 100 streams",
    "requests/s",
    Limit::AtLeast(1.0),
    None,
)];
const DOWNLOAD: [Figure; 1] = [figure(
    ", CPU of a large download",
    "s/GB",
    Limit::AtMost(1.3),
    None,
)];
const IDLE_MEMORY: [Figure; 1] = [figure(
    ", memory of 10,000 idle connections",
    "MB",
    Limit::None,
    None,
)];

/// Measures both, in turns.
pub(super) fn measure(options: Options) -> Outcome {
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, FILES, FILES) {
        eprintln!("not raised to {FILES} descriptors: {error}");
    }
    let fronts = Fronts::start();
    let rounds = options.rounds;
    // First, and once: an allocator keeps what it has got.
    let mut outcome = compare(&fronts, 1, &IDLE_MEMORY, idle_memory);
    outcome.extend(compare(&fronts, rounds, &PLAIN, |visitor, front| {
        clients::wrk(visitor, &format!("http://{}/", front.plain))
    }));
    outcome.extend(compare(&fronts, rounds, &TLS, |visitor, front| {
        clients::wrk(visitor, &format!("https://{}/", front.tls))
    }));
    outcome.extend(compare(&fronts, rounds, &HANDSHAKES, |visitor, front| {
        clients::handshakes(visitor, front.tls).map(|rate| [rate])
    }));
    outcome.extend(compare(&fronts, rounds, &STREAMS, |visitor, front| {
        clients::streams(visitor, front.tls).map(|rate| [rate])
    }));
    outcome.extend(compare(&fronts, rounds, &DOWNLOAD, download));
    outcome
}

/// Measures `figures` of both proxies in turns, after a round that only warms up if there are several.
fn compare<const N: usize>(
    fronts: &Fronts,
    rounds: usize,
    figures: &[Figure; N],
    measure: Measure<N>,
) -> Outcome {
    let named = |who: &str| {
        figures
            .each_ref()
            .map(|figure| Row::new(format!("proxy {who}{}", figure.name), figure.unit))
    };
    let mut rows = ["secbeat-edge", "nginx"].map(named);
    let visitor = &fronts.fleet.visitor;
    let both = fronts.both();
    let warm_up = usize::from(rounds > 1);
    'rounds: for round in 0..warm_up + rounds {
        for n in 0..2 {
            // Which goes first goes last in the next round.
            let which = (n + round) % 2;
            match measure(visitor, both[which]) {
                Ok(_) if round < warm_up => {}
                Ok(values) => {
                    let rows = rows[which].iter_mut().zip(values);
                    rows.for_each(|(row, value)| row.rounds.push(value));
                }
                Err(missing) => {
                    rows[which]
                        .iter_mut()
                        .for_each(|row| row.missing = Some(missing.clone()));
                    break 'rounds;
                }
            }
        }
    }
    let [ours, theirs] = &rows;
    let pairs = figures.iter().zip(ours.iter().zip(theirs));
    let demands = pairs
        .map(|(figure, (ours, theirs))| Demand::ratio(ours, theirs, figure.limit, figure.aim))
        .collect();
    Outcome {
        demands,
        rows: rows.into_iter().flatten().collect(),
    }
}

/// CPU seconds of the proxy for each GB of a large download.
fn download(visitor: &Namespace, front: Front) -> Result<[f64; 1], Missing> {
    let before = process::cpu(front.pid);
    clients::download(visitor, front.plain)?;
    Ok([(process::cpu(front.pid) - before) / (LARGE as f64 / 1e9)])
}

/// Memory that the proxy takes for idle connections, in MB.
fn idle_memory(visitor: &Namespace, front: Front) -> Result<[f64; 1], Missing> {
    let before = process::memory(front.pid);
    let connections = clients::idle(visitor, front.plain)?;
    thread::sleep(SETTLE);
    let grown = process::memory(front.pid) - before;
    drop(connections);
    thread::sleep(SETTLE);
    Ok([grown])
}
