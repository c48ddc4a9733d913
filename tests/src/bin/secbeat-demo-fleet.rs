//! `cargo xtask demo --fleet`: an attacker is banned in the kernel, over IPv4 and then IPv6, while a visitor keeps browsing.
//! Exits 1 when anything was not as it should be.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a scenario: a failure here is the failure to report"
)]

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use secbeat_tests::{
    lab::{
        fleet::{Family, Fleet, Options},
        visitor::Visitor,
    },
    scenario::{
        attack::{Attack, REQUESTS, attack},
        ban::{bpftool_dump, edge_status, served_again, table, unbroken},
        frame,
        moment::ms_between,
    },
};

const BAN: &str = "6s";
/// The ban is over by then.
const ENDED_WITHIN: Duration = Duration::from_secs(9);

fn main() -> ExitCode {
    if std::env::args().len() > 1 {
        eprintln!("usage: secbeat-demo-fleet (it takes no arguments)");
        return ExitCode::from(2);
    }
    frame::run(demo)
}

fn demo() -> bool {
    let begun = Instant::now();
    println!("SecBeat: an attacker is banned in the kernel\n");
    let fleet = Fleet::start(&Options {
        ban: BAN,
        ..Options::default()
    });
    introduce(&fleet, begun.elapsed());
    let visitors = Family::BOTH.map(|family| (family, fleet.browsing(family)));
    for family in Family::BOTH {
        show(&fleet, family);
    }
    farewell(visitors);
    drop(fleet);
    println!(
        "\nDone in {:.0} s. Everything that was built for it is gone again.",
        begun.elapsed().as_secs_f64()
    );
    true
}

fn introduce(fleet: &Fleet, after: Duration) {
    println!("  attacker {:>12} ──┐", Family::V4.attacker());
    println!("  {:>21} ──┤  veth", Family::V6.attacker());
    println!("                          ├────────▶ edge (XDP, proxy on :8443) ──▶ nginx");
    println!(
        "  visitor  {:>12} ──┤               │        ▲",
        Family::V4.visitor()
    );
    println!("  {:>21} ──┘     telemetry ▼        │ bans", Family::V6.visitor());
    println!("                                     nats-server ──▶ orchestrator\n");
    println!(
        "The fleet is up after {:.1} s, each host a network namespace, the edge's is {}.",
        after.as_secs_f64(),
        fleet.host.name()
    );
    println!("The visitor starts to browse, over IPv4 and IPv6 at once, and will not stop.");
}

/// The attack over one family, its ban, and the ban's end.
fn show(fleet: &Fleet, family: Family) {
    let (name, source) = (name(family), family.attacker());
    println!("\n── {name} ──────────────────────────────────────────────────────────────────────\n");
    println!("{source} asks for {REQUESTS} pages that do not exist:\n");
    let attack = attack(fleet, family);
    print_timeline(&attack);
    println!("\n  Of its {REQUESTS} requests: {}.", attack.answers.summary());

    println!("\n$ bpftool map dump pinned …/{}", table(family));
    print_indented(&bpftool_dump(fleet, family));
    println!("\n$ secbeat-edge status");
    print_indented(&edge_status(fleet));

    println!("\nThe ban lasts {BAN}; the attacker keeps trying …");
    let ended = served_again(fleet, family, ENDED_WITHIN);
    println!(
        "The ban has ended by itself: {source} was served again {:.2} s after it was decided.",
        ms_between(attack.decided, ended) / 1e3
    );
}

fn print_timeline(attack: &Attack) {
    let mut last = None;
    for (ms, what) in attack.timeline() {
        match last.replace(ms) {
            None => println!("  {ms:8.1} ms  {what}"),
            Some(before) => println!("  {ms:8.1} ms  {what:<34} +{:.1}", ms - before),
        }
    }
}

fn print_indented(text: &str) {
    for line in text.lines() {
        println!("  {line}");
    }
}

fn farewell(visitors: [(Family, Visitor); 2]) {
    println!("\n── The visitor ───────────────────────────────────────────────────────────────\n");
    for (family, visitor) in visitors {
        let report = unbroken(visitor);
        println!(
            "  {}: {} requests, {} failures, the slowest answered in {:.1} ms",
            name(family),
            report.requests,
            report.failures.len(),
            report.slowest.as_secs_f64() * 1e3
        );
    }
}

fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}
