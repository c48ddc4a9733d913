//! An operator's list of 10,000 bans, from the start of the command until all are in the kernel.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use super::{Options, Outcome, limited, row};
use crate::{
    bench::demand::Limit,
    lab::{
        guarded::{Guard, GuardedHost, Log},
        wait::wait_until,
    },
};

const BANS: u32 = 10_000;
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn measure(options: Options) -> Outcome {
    let mut imported = row(Guard::Secbeat, "10,000 bans until in force", "s");
    for _ in 0..options.rounds {
        let mut host = GuardedHost::new(Guard::Secbeat, Log::Sshd);
        host.start();
        imported.rounds.push(import(&host).as_secs_f64());
    }
    limited(imported, Limit::AtMost(1.0))
}

/// Imports the list, and returns how long it took until the kernel had all of it.
pub(super) fn import(host: &GuardedHost) -> Duration {
    let first = Ipv4Addr::new(100, 64, 0, 0).to_bits();
    let banned: Vec<IpAddr> = (first..first + BANS)
        .map(|address| Ipv4Addr::from_bits(address).into())
        .collect();
    let lines: Vec<String> = banned.iter().map(IpAddr::to_string).collect();
    let list = host.put("bans.txt", &lines.join("\n"));
    let begun = Instant::now();
    host.order(&["import", list.to_str().expect("a path in UTF-8")]);
    wait_until("all bans are in the kernel", PATIENCE, || {
        host.bans_of(&banned).iter().all(Option::is_some)
    });
    begun.elapsed()
}
