//! What attackers that know the safety limits do, and clients beside them.

use secbeat_common::{prefix::Prefix, wire::Reason};
use secbeat_orchestrator_core::bucket::Change;

use super::{Next, World, incidents::BURST};
use crate::simulation::raid::{LOUD, loud};

/// How many addresses of the crowd come at once, at the beginning.
const WAVE: usize = 60;
/// How long a ban counts for a limit, in milliseconds.
const COUNTS_MS: i64 = 60_000;
/// Errors of a client that does nothing wrong.
const FEW: usize = 3;

impl World {
    pub(super) fn begin_raid(&mut self) {
        for _ in 0..WAVE {
            self.after(0, 3_000, Next::Decoy);
        }
        self.after(3_000, 4_000, Next::Crowd);
        self.after(0, 1_000, Next::Innocent);
        for n in 0..LOUD {
            self.after(4_000, 60_000, Next::Loud(n));
        }
    }

    /// Some of the crowd, and for each of it that was banned another one, at the moment at which that ban counts no more.
    pub(super) fn crowd(&mut self) {
        if self.peace {
            return;
        }
        let Some(raid) = &mut self.raid else { return };
        let from = std::mem::replace(&mut raid.seen, self.server.changes.len());
        let news = &self.server.changes[from..];
        let bans = news.iter().filter_map(|change| match change {
            Change::Written(written) if written.command.reason != Reason::Manual => {
                Some(written.command.issued_at_ms)
            }
            _ => None,
        });
        let issued: Vec<i64> = bans.collect();
        for issued_ms in issued {
            let opens_in_ms = (issued_ms + COUNTS_MS - self.now_ms).max(0);
            self.after(opens_in_ms, opens_in_ms + 150, Next::Decoy);
        }
        for _ in 0..self.random.below(3) {
            self.after(0, 300, Next::Decoy);
        }
        self.after(100, 900, Next::Crowd);
    }

    pub(super) fn decoy(&mut self) {
        if self.peace {
            return;
        }
        let Some(raid) = &mut self.raid else { return };
        let (client, n) = raid.next(&mut self.random);
        let edge = self.random.below(3);
        self.report(edge, client, BURST, format!("/decoy-{}", letters(n)));
    }

    pub(super) fn innocent(&mut self) {
        let Some(raid) = &mut self.raid else { return };
        let (client, n) = raid.innocent(&mut self.random);
        let edge = self.random.below(3);
        self.report(edge, client, FEW, format!("/typo-{}", letters(n)));
        self.after(1_000, 4_000, Next::Innocent);
    }

    /// One that goes on until it is banned, on one edge.
    pub(super) fn loud(&mut self, n: usize) {
        let client = loud(n);
        let source = Prefix::single(client);
        if self.server.seen.values().any(|ban| ban.target == source) {
            return;
        }
        let is_reported = self.report(n % 3, client, BURST, format!("/loud-{}", letters(n as u32)));
        let now_ms = self.now_ms;
        if let Some(raid) = self.raid.as_mut().filter(|_| is_reported) {
            raid.loud_since[n].get_or_insert(now_ms);
        }
        self.after(1_500, 4_000, Next::Loud(n));
    }
}

/// A name of a path without digits, which stand for any number there.
fn letters(n: u32) -> String {
    let digits = n.to_string().into_bytes().into_iter();
    digits.map(|digit| char::from(digit - b'0' + b'a')).collect()
}
