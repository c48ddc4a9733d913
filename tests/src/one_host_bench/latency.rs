//! From the line that crosses the threshold to the first packet that is not answered, for each log; and how late `journalctl --follow`
//! shows a line of the journal.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use super::{Options, Outcome, most_of, row};
use crate::{
    bench::{
        demand::{Demand, Limit},
        outcome::Row,
        report::Missing,
    },
    lab::{
        guarded::{Guard, GuardedHost, Log},
        syn::Knocking,
    },
};

/// Clients that are banned for one round.
const PER_ROUND: usize = 2;
/// Until the lines before the last have been read by all that are compared.
const PAUSE: Duration = Duration::from_millis(1500);
/// A peer may look once a second.
const PATIENCE: Duration = Duration::from_secs(15);
const MS: &str = "ms";

pub(super) fn measure(options: Options) -> Outcome {
    let mut outcome = Outcome::default();
    for (log, what) in [(Log::Nginx, "nginx line → drop"), (Log::Sshd, "sshd line → drop")] {
        for guard in Guard::ALL {
            let row = drops(row(guard, what, MS), guard, log, options);
            if guard == Guard::Secbeat {
                outcome.demands.push(Demand::of(&row, Limit::AtMost(10.0), None));
                let most = Demand::of(&most_of(&row), Limit::AtMost(20.0), None);
                outcome.demands.push(most);
            }
            outcome.rows.extend([most_of(&row), row]);
        }
    }
    outcome.extend(by_journal(options));
    outcome
}

fn by_journal(options: Options) -> Outcome {
    let what = "sshd line → drop, by the journal";
    let ours = drops(
        row(Guard::Secbeat, what, MS),
        Guard::Secbeat,
        Log::Journal,
        options,
    );
    let shown = journalctl(options);
    Outcome {
        demands: vec![Demand::ratio(&ours, &shown, Limit::AtMost(0.5), None)],
        rows: vec![most_of(&ours), ours, most_of(&shown), shown],
    }
}

/// Bans one client after the other, and fills `row` with how long each took.
fn drops(mut row: Row, guard: Guard, log: Log, options: Options) -> Row {
    if row.missing.is_some() {
        return row;
    }
    let mut host = GuardedHost::new(guard, log);
    host.start();
    thread::sleep(PAUSE);
    for number in 1..=options.rounds * PER_ROUND {
        let client = GuardedHost::client(u8::try_from(number).expect("few rounds"));
        for number in 1..log.threshold() {
            host.write(log, &log.line(client, number));
        }
        thread::sleep(PAUSE);
        let knocking = Knocking {
            clients: &host.clients,
            client,
            server: (GuardedHost::ADDRESS, log.port()).into(),
        };
        let last = || host.write(log, &log.line(client, log.threshold()));
        match knocking.until_dropped(PATIENCE, last) {
            Some(after) => row.rounds.push(after.as_secs_f64() * 1e3),
            None => {
                row.missing = Some(Missing::Failed(format!(
                    "{client} was answered after {PATIENCE:?}"
                )));
                break;
            }
        }
    }
    row
}

/// How long it takes until `journalctl --follow` shows a line.
fn journalctl(options: Options) -> Row {
    let mut row = Row::new("journalctl --follow: a line until it is shown", MS);
    let host = GuardedHost::new(Guard::Secbeat, Log::Journal);
    let line = |number| Log::Journal.line(GuardedHost::client(number), 0);
    // The journal has one entry before it is followed.
    host.write(Log::Journal, &line(0));
    let mut follower = host
        .journalctl()
        .stdout(Stdio::piped())
        .spawn()
        .expect("starting journalctl");
    let mut lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines();
    thread::sleep(PAUSE);
    for number in 1..=options.rounds * PER_ROUND {
        let line = line(u8::try_from(number).expect("few rounds"));
        let written = Instant::now();
        host.write(Log::Journal, &line);
        while lines.next().expect("journalctl goes on").expect("a line") != line.trim_end() {}
        row.rounds.push(written.elapsed().as_secs_f64() * 1e3);
        thread::sleep(PAUSE);
    }
    follower.kill().expect("ending journalctl");
    follower.wait().expect("the end of journalctl");
    row
}
