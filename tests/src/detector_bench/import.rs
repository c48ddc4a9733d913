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
const PATIENCE: Duration = Duration::from_secs(300);

/// `secbeat-orchestrator import` of a list of 100,000 addresses: until the bus has acknowledged each ban, and until an edge's
/// kernel holds all.
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
    for _ in 0..options.rounds {
        let fleet = Fleet::start(&fleet::Options {
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
    }
    Outcome {
        demands: vec![
            Demand::of(&acknowledged, Limit::AtMost(LIMIT_S), None),
            Demand::of(&enforced, Limit::AtMost(LIMIT_S), None),
        ],
        rows: vec![acknowledged, enforced],
    }
}
