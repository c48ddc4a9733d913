//! `cargo xtask behavioral`: the loop from an attacker's first request to its last, a line per step. `--quick`: over IPv4
//! only, and without waiting for the end of the ban. Exits 1 at the first failed expectation.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a scenario: a failure here is the failure to report"
)]

use std::{env, process::ExitCode, time::Duration};

use secbeat_common::{
    maps::{origin, reason},
    prefix::Prefix,
};
use secbeat_tests::{
    lab::fleet::{Family, Fleet, Options},
    scenario::{
        attack::{Attack, LIMIT, REQUESTS, attack, newcomer},
        ban::{listed, served_again, unbroken},
        frame::{self, step},
        moment::ms_between,
    },
};

const BAN: &str = "6s";
const BAN_MS: f64 = 6000.0;
/// A ban has ended when it lasted at most this much longer.
const TOLERANCE_MS: f64 = 2000.0;
/// And not this much earlier: the kernel counts in jiffies, the audit line is written after the ban's first millisecond.
const EARLY_MS: f64 = 20.0;
/// Good requests from either side before the attack.
const BASELINE: usize = 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => frame::run(|| scenario(&Family::BOTH, Length::Full)),
        ["--quick"] => frame::run(|| scenario(&[Family::V4], Length::Quick)),
        _ => {
            eprintln!("usage: secbeat-behavioral [--quick]");
            ExitCode::from(2)
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Full,
    Quick,
}

fn scenario(families: &[Family], length: Length) -> bool {
    let mut fleet = None;
    step("the fleet starts", || {
        let fleet = fleet.insert(Fleet::start(&Options {
            ban: BAN,
            ..Options::default()
        }));
        format!(
            "nats-server, orchestrator, nginx and the edge on {}",
            fleet.host.name()
        )
    });
    let fleet = fleet.as_ref().expect("the step that started it returned");
    for &family in families {
        flow(fleet, family, length);
    }
    match length {
        Length::Full => println!("All steps passed over IPv4 and IPv6."),
        Length::Quick => println!("All steps passed. Left out by --quick: IPv6, and the end of the ban."),
    }
    true
}

/// The whole of it over one family.
fn flow(fleet: &Fleet, family: Family, length: Length) {
    let name = if family == Family::V4 { "IPv4" } else { "IPv6" };
    let step = |title: &str, work: &mut dyn FnMut() -> String| step(&format!("{name}: {title}"), work);

    step("baseline passes", &mut || baseline(fleet, family));
    let mut visitor = Some(fleet.browsing(family));
    let mut attacked = None;
    step(&format!("{REQUESTS} errors"), &mut || {
        attacked.insert(attack(fleet, family)).answers.summary()
    });
    let attacked = attacked.expect("the step that made it returned");
    step("analysis", &mut || analysis(fleet, family, &attacked));
    step("ban verified", &mut || verified(fleet, family));
    if length == Length::Full {
        step("ban expired and client served again", &mut || {
            expired(fleet, family, &attacked)
        });
    }
    step("innocent client still served", &mut || {
        let report = unbroken(visitor.take().expect("a visitor leaves once"));
        format!(
            "{} requests meanwhile, none failed, the slowest took {:.1?}",
            report.requests, report.slowest
        )
    });
}

fn baseline(fleet: &Fleet, family: Family) -> String {
    let mut client = fleet.attacking(family);
    for n in 1..=BASELINE {
        let answer = client.get(&format!("http://{}/", family.edge_for_attacker()));
        assert!(matches!(answer, Ok(200)), "request {n}: {answer:?}");
    }
    assert_eq!(fleet.ban_of(family.attacker()), None, "banned for good requests");
    format!("{BASELINE} requests answered with 200, no ban")
}

fn analysis(fleet: &Fleet, family: Family, attacked: &Attack) -> String {
    let source = Prefix::single(family.attacker()).to_string();
    let ban = listed(fleet, &source).unwrap_or_else(|| panic!("the orchestrator lists no ban of {source}"));
    assert_eq!(ban["reason"], "error-flood", "{ban}");
    let count = ban["count"].as_u64().unwrap_or_default();
    assert!(count >= LIMIT as u64, "banned for {count} errors only");
    let ms = ms_between(attacked.fiftieth_error(), attacked.decided);
    format!("error-flood of {source} found, {count} errors counted, decided {ms:.1} ms after the 50th")
}

fn verified(fleet: &Fleet, family: Family) -> String {
    let source = family.attacker();
    let ban = fleet
        .ban_of(source)
        .unwrap_or_else(|| panic!("the kernel holds no ban of {source}"));
    assert_eq!(
        (ban.reason, ban.origin),
        (reason::ERROR_FLOOD, origin::FLEET),
        "{ban:?}"
    );
    let answer = newcomer(fleet, family).get(&format!("http://{}/", family.edge_for_attacker()));
    assert!(answer.is_err(), "the banned client was answered {answer:?}");
    let after = fleet.ban_of(source).map_or(0, |ban| ban.dropped_packets);
    assert!(
        after > ban.dropped_packets,
        "the kernel dropped nothing of a new connection"
    );
    format!("in the kernel's map, {after} packets dropped, a new connection gets no answer")
}

fn expired(fleet: &Fleet, family: Family, attacked: &Attack) -> String {
    let limit = Duration::from_secs_f64((BAN_MS + TOLERANCE_MS) / 1e3);
    let lasted = ms_between(attacked.decided, served_again(fleet, family, limit));
    assert!(
        (BAN_MS - EARLY_MS..BAN_MS + TOLERANCE_MS).contains(&lasted),
        "a ban of {BAN} ended after {lasted:.0} ms"
    );
    format!("{:.2} s after the ban was decided", lasted / 1e3)
}
