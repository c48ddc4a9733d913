//! What telemetry costs the proxy: wrk's requests a second with it and without, in turns.

use std::process::Output;

use super::{
    Options,
    outcome::{Outcome, Row},
};
use crate::{
    bench::{
        demand::{Demand, Limit},
        report::Missing,
    },
    lab::{
        executable::TestProgram,
        fleet::{self, Family, Fleet},
    },
};

/// Connections that wrk keeps open.
const CONNECTIONS: u32 = 32;
/// Seconds of one measurement.
const SECONDS: u32 = 4;
/// Seconds before the first, in which nothing is measured.
const WARM_UP: u32 = 2;
/// Part of the throughput that is left with telemetry.
const AT_LEAST: f64 = 0.97;

/// A fleet in which one client may ask as often as it likes, with `more` in the edge's config. The bans are at L7 alone,
/// since there are none.
#[must_use]
pub(super) fn patient_fleet(more: &str) -> Fleet {
    let rule = |name: &str| format!("[[rule]]\nname = \"{name}\"\nenabled = false\n");
    Fleet::start(&fleet::Options {
        enforcement: "l7",
        more_config: more.to_owned(),
        more_orchestrator_config: rule("error-flood") + &rule("request-flood"),
        ..fleet::Options::default()
    })
}

/// Requests a second that wrk, on the visitor's host, gets answered by `fleet`'s proxy.
///
/// # Errors
///
/// When wrk fails or meets errors.
pub(super) fn throughput(fleet: &Fleet, seconds: u32) -> Result<f64, Missing> {
    let output = fleet
        .visitor
        .command(TestProgram::Wrk)
        .args(["--threads", "1", "--connections", &CONNECTIONS.to_string()])
        .args(["--duration", &format!("{seconds}s")])
        .arg(format!("http://{}/", Family::V4.edge_for_visitor()))
        .output()
        .map_err(|error| Missing::Failed(format!("wrk: {error}")))?;
    requests_per_second(&output).ok_or_else(|| Missing::Failed(format!("wrk says {output:?}")))
}

fn requests_per_second(output: &Output) -> Option<f64> {
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || text.contains("Non-2xx") || text.contains("Socket errors") {
        return None;
    }
    let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"))?;
    line.trim().parse().ok()
}

/// Measures both, in turns, over the same nginx in two fleets.
pub(super) fn measure(options: Options) -> Outcome {
    with_and_without("telemetry", AT_LEAST, options)
}

/// The proxy with what a section of the edge's config switches off and without, in turns, over the same nginx in two fleets. `at_least` is
/// the part of the throughput that must be left.
pub(super) fn with_and_without(section: &str, at_least: f64, options: Options) -> Outcome {
    let mut rows = ["with", "without"].map(|with| Row::new(format!("proxy {with} {section}"), "requests/s"));
    let fleets = ["", &format!("[{section}]\nenabled = false\n")].map(patient_fleet);
    let warmed = fleets
        .iter()
        .try_for_each(|fleet| throughput(fleet, WARM_UP).map(drop));
    'rounds: for round in 0..options.rounds {
        // Whoever goes first goes last in the next round.
        for n in 0..2 {
            let which = (n + round) % 2;
            let measured = warmed.clone().and_then(|()| throughput(&fleets[which], SECONDS));
            match measured {
                Ok(rate) => rows[which].rounds.push(rate),
                Err(missing) => {
                    rows[which].missing = Some(missing);
                    break 'rounds;
                }
            }
        }
    }
    let [on, off] = rows;
    let demand = Demand::ratio(&on, &off, Limit::AtLeast(at_least), None);
    Outcome {
        rows: vec![on, off],
        demands: vec![demand],
    }
}
