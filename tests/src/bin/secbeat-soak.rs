//! `cargo xtask soak`: a fleet under steady load, with whoever attacks, browses, bans by hand, asks and reloads, and a look at
//! what the daemons take. Exits 1 if one takes more and more, or if a visitor was not served.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a scenario: a failure here is the failure to report"
)]

use std::{
    env,
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

use secbeat_tests::{
    lab::{
        fleet::{Family, Fleet, Options},
        interrupt::interrupted,
        wait::wait_until,
    },
    scenario::frame::{self, step},
    soak::{self, Usage},
    storm::attackers,
};

/// How often the daemons' usage is looked at, and shown.
const SAMPLE: Duration = Duration::from_secs(1);
const SHOWN: usize = 15;
/// How often somebody bans, asks and reloads.
const CHORES: Duration = Duration::from_millis(500);
const BAN: &str = "3s";
/// Visitors here ask for more than a thousand pages a minute, and what is kept as evidence is to be full soon.
const CONFIG: &str = "strike_factor = 1\n[[rule]]\nname = \"request-flood\"\nenabled = false\n[evidence]\nmemory_bytes = 65536\n";
const SIGHUP: i32 = 1;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let minutes = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--minutes", minutes] => minutes.parse().ok().filter(|minutes: &f64| *minutes > 0.0),
        _ => None,
    };
    match minutes {
        Some(minutes) => frame::run(|| scenario(Duration::from_secs_f64(minutes * 60.0))),
        None => {
            eprintln!("usage: secbeat-soak --minutes N");
            ExitCode::from(2)
        }
    }
}

fn scenario(length: Duration) -> bool {
    let mut started = None;
    step("the fleet starts", || {
        let fleet = started.insert(Fleet::start(&Options {
            ban: BAN,
            more_orchestrator_config: CONFIG.to_owned(),
            ..Options::default()
        }));
        format!("bans last {BAN}; edge on {}", fleet.host.name())
    });
    let Some(mut fleet) = started else { return false };
    let attacking = attackers::attack(&fleet);
    let visitors = Family::BOTH.map(|family| fleet.browsing(family));
    let mut usages = Vec::new();
    step("steady load", || {
        work(&mut fleet, length, &mut usages);
        let attacks = attacking.finish();
        assert!(attacks.in_vain > 0, "nobody was banned");
        format!(
            "{} requests of attackers answered, {} in vain",
            attacks.answered, attacks.in_vain
        )
    });
    step("visitors were served all the time", || {
        let reports = visitors.map(|visitor| visitor.stop());
        for report in &reports {
            assert!(report.failures.is_empty(), "{report:?}");
        }
        format!(
            "{} requests",
            reports.iter().map(|report| report.requests).sum::<usize>()
        )
    });
    step("all bans have ended", || {
        wait_until("no ban is left", Duration::from_secs(30), || {
            fleet
                .orchestrator_stats()
                .is_some_and(|stats| stats["active_bans"] == 0)
        });
        String::new()
    });
    step("nothing was lost, and nothing was garbage", || {
        let edge = fleet.edge_stats().expect("the edge answers");
        let orchestrator = fleet.orchestrator_stats().expect("the orchestrator answers");
        for (stats, name) in [
            (&edge, "garbage"),
            (&orchestrator, "garbage"),
            (&orchestrator, "audit_lost"),
        ] {
            assert_eq!(stats[name], 0, "{name}: {stats}");
        }
        String::new()
    });
    let histories = bans(&fleet) * soak::HISTORY_OF_A_BAN;
    let [edge, orchestrator] = of_each(&usages);
    for (daemon, usage, histories) in [("edge", edge, 0.0), ("orchestrator", orchestrator, histories)] {
        step(&format!("the {daemon} takes no more and more"), || {
            soak::judge(&usage, histories)
        });
    }
    true
}

/// Goes on for so long.
fn work(fleet: &mut Fleet, length: Duration, usages: &mut Vec<[Usage; 2]>) {
    let start = Instant::now();
    let mut sampled = start;
    let mut turn = 0_u32;
    println!(
        "{:>8} {:>44} {:>44}",
        "", "edge: heap of memory", "orchestrator: heap of memory"
    );
    while start.elapsed() < length && !interrupted() {
        turn += 1;
        chore(fleet, turn);
        sleep(CHORES);
        if sampled.elapsed() < SAMPLE {
            continue;
        }
        sampled = Instant::now();
        let usage = [
            (fleet.edge.pid(), heap(fleet, 8080, "edge")),
            (fleet.orchestrator.pid(), heap(fleet, 3030, "orchestrator")),
        ]
        .map(|(pid, heap)| Usage::of(pid, heap).expect("it lives"));
        if usages.len().is_multiple_of(SHOWN) {
            let [edge, orchestrator] = usage.map(|usage| usage.to_string());
            println!("{:>6} s {edge:>44} {orchestrator:>44}", start.elapsed().as_secs());
        }
        usages.push(usage);
    }
}

/// Automatic bans so far.
fn bans(fleet: &Fleet) -> f64 {
    let stats = fleet.orchestrator_stats().expect("the orchestrator answers");
    let rules = stats["rules"].as_object().expect("what rules led to");
    let banned = rules.values().filter_map(|outcomes| outcomes["banned"].as_f64());
    banned.sum()
}

/// What a daemon says that it uses of its heap.
fn heap(fleet: &Fleet, port: u16, daemon: &str) -> f64 {
    let answer = fleet.api(port, "/metrics").expect("metrics");
    let text = String::from_utf8(answer.body).expect("text");
    let name = format!("secbeat_{daemon}_heap_bytes ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    value.expect("the heap's metric").parse().expect("a number")
}

/// What operators and their programs do.
fn chore(fleet: &mut Fleet, turn: u32) {
    let target = format!("192.0.2.{}", turn % 250);
    let answered = |arguments: &[&str]| {
        let output = fleet.cli("orchestrator", arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    match turn % 6 {
        0 => answered(&["ban", &target, "--duration", "2s", "--shorten"]),
        1 => answered(&["bans", "-o", "json"]),
        2 => answered(&["why", "198.51.100.100"]),
        3 => answered(&["edges"]),
        4 => fleet.edge.signal(SIGHUP),
        _ => {
            for port in [8080, 3030] {
                fleet.api(port, "/metrics").expect("metrics");
            }
        }
    }
}

fn of_each(usages: &[[Usage; 2]]) -> [Vec<Usage>; 2] {
    [0, 1].map(|daemon| usages.iter().map(|usage| usage[daemon]).collect())
}
