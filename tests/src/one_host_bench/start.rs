//! From the start of the process until it enforces, with an empty store and with 10,000 bans after SIGKILL.

use std::time::Instant;

use super::{Options, Outcome, bans, limited, row};
use crate::{
    bench::demand::Limit,
    lab::guarded::{Guard, GuardedHost, Log},
};

pub(super) fn measure(options: Options) -> Outcome {
    let mut empty = row(Guard::Secbeat, "start until it enforces", "ms");
    let mut full = row(Guard::Secbeat, "start after SIGKILL with 10,000 bans", "ms");
    for _ in 0..options.rounds {
        let mut host = GuardedHost::new(Guard::Secbeat, Log::Sshd);
        empty.rounds.push(milliseconds(&mut host));
        bans::import(&host);
        host.kill9();
        full.rounds.push(milliseconds(&mut host));
    }
    let mut outcome = limited(empty, Limit::AtMost(250.0));
    outcome.extend(limited(full, Limit::AtMost(1000.0)));
    outcome
}

fn milliseconds(host: &mut GuardedHost) -> f64 {
    let begun = Instant::now();
    host.start();
    begun.elapsed().as_secs_f64() * 1e3
}
