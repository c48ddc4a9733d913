//! `cargo xtask demo`: on one host with nginx, sshd and `secbeat`, who floods nginx with errors and who guesses passwords is banned in
//! the kernel, over IPv4 and then IPv6, while a visitor keeps browsing. Exits 1 when anything was not as it should be.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a scenario: a failure here is the failure to report"
)]

use std::{
    net::IpAddr,
    process::{ExitCode, Output},
    time::{Duration, Instant},
};

use secbeat_tests::{
    lab::{bpf::Pins, interrupt::heed, one_host::OneHost, visitor::Visitor, wait::wait_until},
    scenario::{ban::unbroken, frame},
};

const BAN: &str = "6s";
/// The ban is over by then.
const ENDED_WITHIN: Duration = Duration::from_secs(15);
/// By when a ban must have come.
const BANNED_WITHIN: Duration = Duration::from_secs(10);
/// Requests and logins of an attack.
const REQUESTS: usize = 60;
const LOGINS: usize = 8;
/// Between two requests: slow enough that the ban comes before the last of them.
const PACE: Duration = Duration::from_millis(3);

/// An attack from one address.
struct Attack<'a> {
    source: IpAddr,
    /// What is asked for the `n`th time; whether an answer came.
    ask: Box<dyn FnMut(usize) -> bool + 'a>,
    most: usize,
    pause: Duration,
}

/// How it went.
struct Outcome {
    answered: usize,
    unanswered: usize,
    last_answer: Duration,
    in_kernel: Duration,
    first_drop: Duration,
}

fn main() -> ExitCode {
    if std::env::args().len() > 1 {
        eprintln!("usage: secbeat-demo (it takes no arguments)");
        return ExitCode::from(2);
    }
    frame::run(demo)
}

fn demo() -> bool {
    let begun = Instant::now();
    println!("SecBeat: who attacks one host is banned in its kernel\n");
    let host = OneHost::start_with_sshd(&format!("[ban]\nduration = \"{BAN}\""));
    introduce(&host, begun.elapsed());
    let visitor = Visitor::start(host.client(OneHost::VISITOR), &host.url(OneHost::VISITOR, "/"));
    for (family, web, ssh) in [
        ("IPv4", OneHost::ATTACKER, OneHost::SSH_ATTACKER),
        ("IPv6", OneHost::OTHER_ATTACKER, OneHost::OTHER_SSH_ATTACKER),
    ] {
        println!("\n── {family} ──────────────────────────────────────────────────────────────────────\n");
        println!("{web} asks nginx for {REQUESTS} pages that do not exist:\n");
        show(&host, &requests(&host, web), "404");
        println!("\n{ssh} tries {LOGINS} names at sshd:\n");
        show(&host, &logins(&host, ssh), "a refusal");
        show_command(&host, &["bans"]);
        show_command(&host, &["status", "sshd"]);
        println!("\nThe bans last {BAN} …");
        wait_until(
            "the ban ends and the attacker is served again",
            ENDED_WITHIN,
            || matches!(host.client(web).get(&host.url(web, "/")), Ok(200)),
        );
        println!("They have ended by themselves: {web} is served again.");
    }
    let report = unbroken(visitor);
    println!("\n── The visitor ───────────────────────────────────────────────────────────────\n");
    println!(
        "  {} requests, {} failures, the slowest answered in {:.1} ms",
        report.requests,
        report.failures.len(),
        report.slowest.as_secs_f64() * 1e3
    );
    drop(host);
    println!(
        "\nDone in {:.0} s. Everything that was built for it is gone again. A fleet: cargo xtask demo --fleet.",
        begun.elapsed().as_secs_f64()
    );
    true
}

fn introduce(host: &OneHost, after: Duration) {
    println!("  attackers {:>17} ──┐", OneHost::ATTACKER);
    println!("            {:>17} ──┤", OneHost::OTHER_ATTACKER);
    println!(
        "            {:>17} ──┤  veth   XDP ──▶ nginx, sshd",
        OneHost::SSH_ATTACKER
    );
    println!(
        "            {:>17} ──┼───────▶  ▲           │ logs",
        OneHost::OTHER_SSH_ATTACKER
    );
    println!(
        "  visitor   {:>17} ──┘          └─ secbeat ◀┘\n",
        OneHost::VISITOR
    );
    println!(
        "The host is protected after {:.1} s. It is the network namespace {}; one process, no broker.",
        after.as_secs_f64(),
        host.host.name()
    );
    println!("The visitor starts to browse, and will not stop.");
}

fn requests(host: &OneHost, source: IpAddr) -> Outcome {
    let mut client = host.client(source).with_timeout(Duration::from_millis(100));
    run(
        host,
        Attack {
            source,
            ask: Box::new(move |n| {
                let answer = client.get(&host.url(source, &format!("/missing-{n}")));
                match answer {
                    Ok(404) => true,
                    Ok(status) => panic!("request {n} was answered {status}"),
                    Err(_) => {
                        client = host.client(source).with_timeout(Duration::from_millis(100));
                        false
                    }
                }
            }),
            most: REQUESTS,
            pause: PACE,
        },
    )
}

fn logins(host: &OneHost, source: IpAddr) -> Outcome {
    run(
        host,
        Attack {
            source,
            ask: Box::new(move |n| host.guess(source, n)),
            most: LOGINS,
            pause: Duration::ZERO,
        },
    )
}

/// Attacks, and watches the kernel meanwhile.
fn run(host: &OneHost, mut attack: Attack<'_>) -> Outcome {
    let begun = Instant::now();
    let (source, bans) = (
        attack.source,
        Pins::at(host.pin_folder()).open_bans().expect("pinned maps"),
    );
    let watch = std::thread::spawn(move || {
        let mut in_kernel = None;
        while begun.elapsed() < BANNED_WITHIN {
            if let Some(ban) = bans.ban_of(source) {
                let since = *in_kernel.get_or_insert_with(|| begun.elapsed());
                if ban.dropped_packets > 0 {
                    return Some((since, begun.elapsed()));
                }
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        None
    });
    let (mut answered, mut unanswered, mut last_answer) = (0, 0, Duration::ZERO);
    for n in 1..=attack.most {
        heed();
        match (attack.ask)(n) {
            true => {
                assert_eq!(unanswered, 0, "{source} was answered after it was banned");
                answered += 1;
                last_answer = begun.elapsed();
            }
            false => unanswered += 1,
        }
        std::thread::sleep(attack.pause);
    }
    let watched = watch.join().expect("the watch of the kernel died");
    let (in_kernel, first_drop) = watched.unwrap_or_else(|| {
        panic!("{source} was not banned within {BANNED_WITHIN:?}: {answered} answers, {unanswered} without")
    });
    assert!(unanswered > 0, "{source} was answered to the end");
    Outcome {
        answered,
        unanswered,
        last_answer,
        in_kernel,
        first_drop,
    }
}

fn show(host: &OneHost, outcome: &Outcome, answer: &str) {
    heed();
    let mut rows = [
        (outcome.last_answer, "last answer"),
        (outcome.in_kernel, "ban in the kernel"),
        (outcome.first_drop, "first packet dropped"),
    ];
    rows.sort_by_key(|row| row.0);
    for (at, what) in rows {
        println!("  {:8.1} ms  {what}", at.as_secs_f64() * 1e3);
    }
    println!(
        "\n  {} were answered with {answer}, {} not at all.",
        outcome.answered, outcome.unanswered
    );
    assert!(host.ban_of(OneHost::VISITOR).is_none(), "the visitor was banned");
}

fn show_command(host: &OneHost, arguments: &[&str]) {
    println!("\n$ secbeat {}", arguments.join(" "));
    let Output {
        status,
        stdout,
        stderr,
    } = host.secbeat(arguments);
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    for line in String::from_utf8_lossy(&stdout).lines() {
        println!("  {}", line.trim_end());
    }
}
