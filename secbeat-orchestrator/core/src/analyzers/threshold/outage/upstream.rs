//! One upstream and its clients of the last ten seconds.

use std::collections::HashMap;

use ahash::RandomState;
use secbeat_common::prefix::Prefix;

use super::{
    super::{Tally, shape::Shape},
    table::Table,
};

/// Seconds that the guard remembers.
const SECONDS: i64 = 10;
/// Shapes of one client. One that fails on more of them within the ten seconds looks for something.
const MAX_SHAPES: usize = 16;

/// Answers, how many of them were errors, and how many of these 5xx.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    total: u64,
    errors: u64,
    server_errors: u64,
}

/// A bit for each second.
type Seconds = u16;

#[derive(Debug, Default)]
struct Client {
    /// By second.
    shares: [Tally; SECONDS as usize],
    sum: Share,
    /// Seconds in which anything was seen of it.
    seen: Seconds,
    /// Shapes on which it failed, and when.
    failures: Vec<(Shape, Seconds)>,
    /// Second from which on its failures are noted again, if it failed on too many shapes.
    scattered_until: Option<i64>,
}

/// Clients that fail on one shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Witnesses {
    pub(super) all: u32,
    /// Those among them that were answered well on other paths.
    pub(super) served: u32,
}

/// Number of clients, and how many of them fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clients {
    pub(super) all: u32,
    pub(super) failing: u32,
}

/// The other clients of an upstream, as one of them sees them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Others {
    pub(super) all: u32,
    /// Those that got an answer, and those that mostly got a 5xx.
    pub(super) answered: Clients,
    /// Those that fail on the same; `None` if the one fails on too many shapes to be believed.
    pub(super) witnesses: Option<Witnesses>,
}

#[derive(Debug)]
pub(super) struct Upstream {
    /// Latest second seen, and its slot.
    latest: i64,
    latest_slot: usize,
    clients: Table<Client>,
    max_clients: usize,
    /// Only clients whose hash ends with so many zeros are known.
    sample_bits: u32,
    /// Who was first seen in which second, by second.
    seen: [Vec<Prefix>; SECONDS as usize],
    /// Clients that got an answer, and those that got a 5xx at least every second time.
    answered: Clients,
    /// Clients that fail on each shape.
    failures: Failures,
}

type Failures = HashMap<Shape, Witnesses, RandomState>;

const fn slot(second: i64) -> usize {
    second.rem_euclid(SECONDS) as usize
}

impl Client {
    fn counts(&self) -> Clients {
        let Share {
            total, server_errors, ..
        } = self.sum;
        Clients {
            all: u32::from(total > 0),
            failing: u32::from(server_errors > 0 && 2 * server_errors >= total),
        }
    }

    /// Whether it got an answer that is not an error.
    const fn is_served(&self) -> bool {
        self.sum.total > self.sum.errors
    }

    fn is_scattered(&self, second: i64) -> bool {
        self.scattered_until.is_some_and(|until| until > second)
    }

    /// It as one of the witnesses of each of its shapes.
    fn witness(&self) -> Witnesses {
        Witnesses {
            all: 1,
            served: u32::from(self.is_served()),
        }
    }

    /// It as one of the witnesses of a shape.
    fn witness_of(&self, shape: Shape) -> Witnesses {
        match self.failures.iter().any(|(of, _)| *of == shape) {
            true => self.witness(),
            false => Witnesses::default(),
        }
    }
}

impl Clients {
    const fn replace(&mut self, before: Self, after: Self) {
        self.all = self.all + after.all - before.all;
        self.failing = self.failing + after.failing - before.failing;
    }
}

impl Upstream {
    pub(super) fn new(second: i64, max_clients: usize) -> Self {
        Self {
            latest: second,
            latest_slot: slot(second),
            clients: Table::default(),
            max_clients,
            sample_bits: 0,
            seen: std::array::from_fn(|_| Vec::new()),
            answered: Clients::default(),
            failures: HashMap::default(),
        }
    }

    /// Notes answers to `source`.
    pub(super) fn record(&mut self, second: i64, source: Prefix, sample: &RandomState, tally: Tally) {
        // A tally with more errors than requests is a broken edge's: believe the smaller number.
        let Tally { requests, .. } = tally;
        let (errors, server_errors) = (tally.errors.min(requests), tally.server_errors.min(requests));
        if requests == 0 {
            return;
        }
        let Some((client, slot)) = self.client(second, source, sample) else {
            return;
        };
        let before = (client.counts(), client.witness());
        let share = &mut client.shares[slot];
        share.requests = share.requests.saturating_add(requests);
        share.errors = share.errors.saturating_add(errors);
        share.server_errors = share.server_errors.saturating_add(server_errors);
        client.sum.total += u64::from(requests);
        client.sum.errors += u64::from(errors);
        client.sum.server_errors += u64::from(server_errors);
        let after = (client.counts(), client.witness());
        if before == after {
            return;
        }
        if before.1 != after.1 {
            let shapes: Vec<_> = client.failures.iter().map(|(shape, _)| *shape).collect();
            for shape in shapes {
                replace(&mut self.failures, shape, before.1, after.1);
            }
        }
        self.answered.replace(before.0, after.0);
    }

    /// Notes that `source` failed on `shape`.
    pub(super) fn note(&mut self, second: i64, source: Prefix, sample: &RandomState, shape: Shape) {
        let latest = self.latest.max(second);
        let Some((client, slot)) = self.client(second, source, sample) else {
            return;
        };
        if client.is_scattered(latest) {
            return;
        }
        let bit = 1 << slot;
        if let Some((_, seconds)) = client.failures.iter_mut().find(|(of, _)| *of == shape) {
            *seconds |= bit;
            return;
        }
        let witness = client.witness();
        if client.failures.len() < MAX_SHAPES {
            client.failures.push((shape, bit));
            replace(&mut self.failures, shape, Witnesses::default(), witness);
            return;
        }
        client.scattered_until = Some(latest + SECONDS);
        let forgotten = std::mem::take(&mut client.failures);
        for (shape, _) in forgotten {
            replace(&mut self.failures, shape, witness, Witnesses::default());
        }
        // It has to be remembered for as long as it is not believed.
        self.client(latest, source, sample);
    }

    /// The clients but `source`, and which of them fail on `shape`.
    pub(super) fn others(&self, source: &Prefix, shape: Shape) -> Others {
        let all = self.clients.len() as u32;
        let witnesses = self.failures.get(&shape).copied().unwrap_or_default();
        let Some(own) = self.clients.get(source) else {
            return Others {
                all,
                answered: self.answered,
                witnesses: Some(witnesses),
            };
        };
        let (counts, witness) = (own.counts(), own.witness_of(shape));
        Others {
            all: all - 1,
            answered: Clients {
                all: self.answered.all - counts.all,
                failing: self.answered.failing - counts.failing,
            },
            witnesses: (!own.is_scattered(self.latest)).then(|| Witnesses {
                all: witnesses.all - witness.all,
                served: witnesses.served - witness.served,
            }),
        }
    }

    /// A client that is seen in `second`, with the slot of that, unless that is too long ago or it is not in the sample.
    fn client(&mut self, second: i64, source: Prefix, sample: &RandomState) -> Option<(&mut Client, usize)> {
        if second <= self.latest.saturating_sub(SECONDS) {
            return None;
        }
        if second > self.latest {
            self.advance(second);
        }
        if self.sample_bits > 0 && !self.is_in_sample(&source, sample) {
            return None;
        }
        if self.clients.len() >= self.max_clients && self.clients.get(&source).is_none() {
            self.thin_out(sample);
            if !self.is_in_sample(&source, sample) {
                return None;
            }
        }
        let slot = match second == self.latest {
            true => self.latest_slot,
            false => slot(second),
        };
        let client = self.clients.get_or_insert(source);
        let bit = 1 << slot;
        if client.seen & bit == 0 {
            client.seen |= bit;
            self.seen[slot].push(source);
        }
        Some((client, slot))
    }

    fn is_in_sample(&self, source: &Prefix, sample: &RandomState) -> bool {
        sample.hash_one(source).trailing_zeros() >= self.sample_bits
    }

    /// Forgets half of the clients, or more until there is room.
    fn thin_out(&mut self, sample: &RandomState) {
        while self.clients.len() >= self.max_clients && self.sample_bits < u64::BITS {
            self.sample_bits += 1;
            let mut gone = Vec::new();
            for source in self.clients.sources() {
                if !self.is_in_sample(source, sample) {
                    gone.push(*source);
                }
            }
            for source in gone {
                self.remove(&source);
            }
        }
    }

    fn remove(&mut self, source: &Prefix) {
        let Some(client) = self.clients.remove(source) else {
            return;
        };
        self.answered.replace(client.counts(), Clients::default());
        for (shape, _) in &client.failures {
            replace(&mut self.failures, *shape, client.witness(), Witnesses::default());
        }
    }

    /// Lets time pass to `second`.
    fn advance(&mut self, second: i64) {
        let first = (self.latest + 1).max(second.saturating_sub(SECONDS - 1));
        for gone in first..=second {
            self.expire(slot(gone));
        }
        (self.latest, self.latest_slot) = (second, slot(second));
        if self.clients.len() < self.max_clients / 4 {
            self.sample_bits = self.sample_bits.saturating_sub(1);
        }
    }

    /// Forgets a second.
    fn expire(&mut self, slot: usize) {
        let bit = 1 << slot;
        for source in std::mem::take(&mut self.seen[slot]) {
            let Some(client) = self.clients.get_mut(&source) else {
                continue;
            };
            client.seen &= !bit;
            if client.seen == 0 {
                self.remove(&source);
                continue;
            }
            let before = (client.counts(), client.witness());
            let share = std::mem::take(&mut client.shares[slot]);
            let Share {
                total,
                errors,
                server_errors,
            } = &mut client.sum;
            for (sum, gone) in [
                (total, share.requests),
                (errors, share.errors),
                (server_errors, share.server_errors),
            ] {
                *sum = sum.saturating_sub(u64::from(gone));
            }
            let after = (client.counts(), client.witness());
            client.failures.retain_mut(|(shape, seconds)| {
                *seconds &= !bit;
                let stays = *seconds != 0;
                let after = if stays { after.1 } else { Witnesses::default() };
                replace(&mut self.failures, *shape, before.1, after);
                stays
            });
            self.answered.replace(before.0, after.0);
        }
    }
}

/// A client that was `before` among the witnesses of `shape` is `after` now.
fn replace(failures: &mut Failures, shape: Shape, before: Witnesses, after: Witnesses) {
    if before == after {
        return;
    }
    let witnesses = failures.entry(shape).or_default();
    witnesses.all = witnesses.all + after.all - before.all;
    witnesses.served = witnesses.served + after.served - before.served;
    if witnesses.all == 0 {
        failures.remove(&shape);
    }
}

#[cfg(test)]
impl Upstream {
    pub(super) fn clients(&self) -> usize {
        self.clients.len()
    }
}
