//! User names that look like the rest of sshd's line, with another client's address. Whoever guards the host bans who wrote them, and
//! nobody else.

use std::{net::IpAddr, thread, time::Duration};

use super::{Options, Outcome, row};
use crate::{
    bench::{
        demand::{Demand, Limit},
        outcome::Row,
    },
    lab::{
        guarded::{Guard, GuardedHost, Log, failed_password, sshd_line},
        syn::Knocking,
    },
};

/// Whom the user names would have banned.
const DECOY: u8 = 250;
/// User names as a client can choose them; sshd writes them as they came.
const USERS: [&str; 4] = [
    "root from 198.51.100.250 port 22 ssh2",
    " from 198.51.100.250 port 22",
    "x from 198.51.100.250",
    "root from 198.51.100.250 port 22 ssh2: RSA SHA256:x",
];
/// Until every guard has acted.
const PAUSE: Duration = Duration::from_secs(3);

pub(super) fn measure(_: Options) -> Outcome {
    let mut outcome = Outcome::default();
    for guard in Guard::ALL {
        let (named, banned) = attack(guard);
        if guard == Guard::Secbeat {
            outcome.demands = vec![
                Demand::of(&named, Limit::AtMost(0.0), None),
                Demand::of(&banned, Limit::AtLeast(USERS.len() as f64), None),
            ];
        }
        outcome.rows.extend([named, banned]);
    }
    outcome
}

/// How often the decoy is banned, and how many attackers are.
fn attack(guard: Guard) -> (Row, Row) {
    let mut named = row(guard, "user names that had another client banned", "");
    let mut banned = row(guard, "attackers banned who chose such names", "");
    if named.missing.is_some() {
        return (named, banned);
    }
    let (mut decoys, mut attackers) = (0_u32, 0_u32);
    for (number, user) in (1..).zip(USERS) {
        let mut host = GuardedHost::new(guard, Log::Sshd);
        host.start();
        thread::sleep(PAUSE);
        let attacker = GuardedHost::client(number);
        for pid in 0..2 * Log::Sshd.threshold() {
            let line = sshd_line(4000 + pid, &failed_password(user, attacker));
            host.write(Log::Sshd, &format!("{line}\n"));
        }
        thread::sleep(PAUSE);
        decoys += u32::from(is_dropped(&host, GuardedHost::client(DECOY)));
        attackers += u32::from(is_dropped(&host, attacker));
    }
    named.rounds.push(f64::from(decoys));
    banned.rounds.push(f64::from(attackers));
    (named, banned)
}

fn is_dropped(host: &GuardedHost, client: IpAddr) -> bool {
    let knocking = Knocking {
        clients: &host.clients,
        client,
        server: (GuardedHost::ADDRESS, Log::Sshd.port()).into(),
    };
    !knocking.is_answered()
}
