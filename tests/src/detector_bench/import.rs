//! A list of many bans is imported.

use std::{
    fmt::Write as _,
    fs,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use crate::{
    bench::{
        demand::{Demand, Limit},
        outcome::{Outcome, Row},
        parts::Options,
    },
    lab::{
        fleet::{self, Fleet},
        wait::wait_until,
    },
};

/// Bans of the list.
const BANS: u32 = 100_000;
/// "In seconds".
const LIMIT_S: f64 = 30.0;
/// From the start of an orchestrator with as many bans until it is ready.
const RESTART_LIMIT_S: f64 = 3.0;
const PATIENCE: Duration = Duration::from_secs(300);

/// `secbeat-orchestrator import` of a list of 100,000 addresses: until the bus has acknowledged each ban, and until an edge's
/// kernel holds all. Then the orchestrator is killed and starts again: until it has all, and is ready.
///
/// # Panics
///
/// When not all of them are imported.
pub(super) fn measure(options: Options) -> Outcome {
    let list = (0..BANS).fold(String::new(), |mut list, n| {
        // From 16.0.0.0 on; nothing is sent from there or to there.
        writeln!(list, "{}", Ipv4Addr::from(0x1000_0000 + n)).expect("writing to memory");
        list
    });
    let mut acknowledged = Row::new(format!("import of {BANS} bans"), "s until the bus has all");
    let mut enforced = Row::new(
        format!("import of {BANS} bans"),
        "s until an edge's kernel has all",
    );
    let mut restarted = Row::new(
        format!("restart of an orchestrator with {BANS} bans"),
        "s until it is ready",
    );
    for _ in 0..options.rounds {
        let mut fleet = Fleet::start(&fleet::Options {
            ban_slots: 4 * BANS,
            ..fleet::Options::default()
        });
        let file = tempfile::NamedTempFile::new().expect("making a file");
        fs::write(file.path(), &list).expect("writing the list");
        let path = file.path().to_str().expect("a path in UTF-8");
        let began = Instant::now();
        let imported = fleet.cli("orchestrator", &["import", path, "--duration", "1d"]);
        assert!(imported.status.success(), "{imported:?}");
        acknowledged.rounds.push(began.elapsed().as_secs_f64());
        wait_until("the edge holds all bans", PATIENCE, || {
            fleet
                .edge_stats()
                .is_some_and(|stats| stats["blocked_ips"] == BANS)
        });
        enforced.rounds.push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        fleet.bounce_orchestrator();
        wait_until("the orchestrator is ready", PATIENCE, || {
            let stats = fleet.orchestrator_stats()?;
            (stats["active_bans"] == BANS && stats["not_ready"].is_null()).then_some(())
        });
        restarted.rounds.push(began.elapsed().as_secs_f64());
    }
    Outcome {
        demands: vec![
            Demand::of(&acknowledged, Limit::AtMost(LIMIT_S), None),
            Demand::of(&enforced, Limit::AtMost(LIMIT_S), None),
            Demand::of(&restarted, Limit::AtMost(RESTART_LIMIT_S), None),
        ],
        rows: vec![acknowledged, enforced, restarted],
    }
}
