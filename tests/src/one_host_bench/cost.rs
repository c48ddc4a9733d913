//! Memory and CPU time: at rest, for lines of both logs at 50,000 a second, and after a burst.

use std::{
    net::{IpAddr, Ipv4Addr},
    thread,
    time::{Duration, Instant},
};

use super::{
    Options, Outcome,
    process::{cpu_seconds, megabytes, settle, share_of_a_core},
    row,
};
use crate::{
    bench::{
        demand::{Demand, Limit},
        outcome::Row,
        report::Missing,
    },
    lab::guarded::{Guard, GuardedHost, Log, failed_password, nginx_line, sshd_line},
};

/// How long a guard's rest is measured.
const REST: Duration = Duration::from_secs(30);
const LINES: u32 = 200_000;
const BURST: u32 = 500_000;
/// Lines that are written at once, 50 ms after those before them.
const AT_ONCE: u32 = 2_500;
const PACE: Duration = Duration::from_millis(50);
/// Clients in either log.
const CLIENTS: u32 = 2_000;
/// One line of nginx in so many is an error, and one of sshd a refused login: both of any client.
const ERRORS: u32 = 10;

/// The rows of one guard.
struct Costs {
    memory: Row,
    rest: Row,
    nginx: Row,
    sshd: Row,
    after: Row,
    burst: Row,
}

impl Costs {
    fn of(guard: Guard) -> Self {
        Self {
            memory: row(guard, "memory at rest", "MB"),
            rest: row(guard, "CPU at rest", "% of a core"),
            nginx: row(guard, "CPU per 100,000 lines of nginx", "s"),
            sshd: row(guard, "CPU per 100,000 lines of sshd", "s"),
            after: row(guard, "memory after 200,000 lines of each", "MB"),
            burst: row(guard, "memory after a burst of 500,000 lines", "MB"),
        }
    }

    fn rows(self) -> Vec<Row> {
        vec![
            self.memory,
            self.rest,
            self.nginx,
            self.sshd,
            self.after,
            self.burst,
        ]
    }

    fn fail(&mut self, why: &str) {
        for row in [&mut self.nginx, &mut self.sshd, &mut self.after, &mut self.burst] {
            row.missing = Some(Missing::Failed(why.to_owned()));
        }
    }
}

/// Each round takes some minutes, so there is one, whatever the rounds.
pub(super) fn measure(_: Options) -> Outcome {
    let [ours, fail2ban, fail2ban_rs] = Guard::ALL.map(costs);
    let demands = vec![
        Demand::of(&ours.memory, Limit::AtMost(25.0), None),
        Demand::of(&ours.rest, Limit::AtMost(0.2), None),
        Demand::ratio(&ours.nginx, &fail2ban_rs.nginx, Limit::AtMost(1.0), None),
        Demand::ratio(&ours.sshd, &fail2ban_rs.sshd, Limit::AtMost(1.0), None),
        Demand::of(&ours.after, Limit::AtMost(40.0), None),
        Demand::of(&ours.burst, Limit::AtMost(64.0), None),
    ];
    let rows = [ours, fail2ban, fail2ban_rs].map(Costs::rows);
    Outcome {
        rows: rows.into_iter().flatten().collect(),
        demands,
    }
}

fn costs(guard: Guard) -> Costs {
    let mut costs = Costs::of(guard);
    if costs.rest.missing.is_none()
        && let Err(why) = fill(&mut costs, guard)
    {
        costs.fail(&why);
    }
    costs
}

fn fill(costs: &mut Costs, guard: Guard) -> Result<(), String> {
    let mut host = GuardedHost::new(guard, Log::Sshd);
    host.start();
    let pid = host.pid();
    settle(pid)?;
    // What follows the start has come to an end, too.
    thread::sleep(Duration::from_secs(10));
    costs.memory.rounds.push(megabytes(pid, "VmRSS"));
    let rest = share_of_a_core(pid, REST);
    costs.rest.rounds.push(rest);
    for (row, log) in [(&mut costs.nginx, Log::Nginx), (&mut costs.sshd, Log::Sshd)] {
        let (before, begun) = (cpu_seconds(pid), Instant::now());
        feed(&host, log);
        settle(pid)?;
        let idle = rest / 100.0 * begun.elapsed().as_secs_f64();
        let taken = cpu_seconds(pid) - before - idle;
        row.rounds.push(taken * 100_000.0 / f64::from(LINES));
    }
    costs.after.rounds.push(megabytes(pid, "VmRSS"));
    host.write(Log::Nginx, &lines(Log::Nginx, 0, BURST));
    settle(pid)?;
    costs.burst.rounds.push(megabytes(pid, "VmRSS"));
    Ok(())
}

/// Writes lines with the time at which they are written.
fn feed(host: &GuardedHost, log: Log) {
    let begun = Instant::now();
    for write in 0..LINES / AT_ONCE {
        thread::sleep((PACE * write).saturating_sub(begun.elapsed()));
        host.write(log, &lines(log, write * AT_ONCE, AT_ONCE));
    }
}

fn lines(log: Log, first: u32, count: u32) -> String {
    (first..first + count).map(|number| line(log, number)).collect()
}

fn line(log: Log, number: u32) -> String {
    let is_error = number.is_multiple_of(ERRORS);
    let client = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + number % CLIENTS);
    let client = IpAddr::V4(client);
    match (log, is_error) {
        (Log::Nginx, _) => nginx_line(client, number, if is_error { 404 } else { 200 }),
        (_, true) => sshd_line(number, &failed_password("root", client)) + "\n",
        (_, false) => {
            let message =
                format!("Accepted publickey for deploy from {client} port 50022 ssh2: ED25519 SHA256:x");
            sshd_line(number, &message) + "\n"
        }
    }
}
