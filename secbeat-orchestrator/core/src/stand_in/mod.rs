//! An edge's own detector, which stands in while no orchestrator decides.
//!
//! The edge keeps what it [reported lately](Seen). When the fleet is away, the fleet's [detector](crate::decider::Decider) is fed with that
//! and with all that follows, by the rules that were [heard last](Orders): a client that reached a threshold meanwhile is banned now, until when
//! the fleet would have banned it. When the fleet is back, it is told of these bans, and decides again.

mod event;
mod handover;
mod orders;
mod ring;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use secbeat_common::{
    subjects::PARTITIONS,
    wire::{self, AllowEntry, BlockCommand, Evidence, Labels, LocalBan, Reason},
};
use uuid::Uuid;

pub use self::{
    event::{Awaiting, Away, Effect, Event, Status, When},
    orders::{Orders, Untold},
    ring::Seen,
};
use self::{
    handover::{TELLINGS, Waiting},
    ring::Ring,
};
use crate::{
    Moment, ProtectedNet,
    bucket::Gone,
    decider::{self, Decider},
    leases::{LeaseTable, Ownership, Tenure},
    writer::{Fate, Write},
};

/// Time that the fleet may be away before an edge decides: most of a failover, or a restart.
const GRACE: Duration = Duration::from_secs(2);
/// How long reports are kept before any rule is known.
const DEFAULT_AGE: Duration = Duration::from_secs(60);
/// The one process that decides on an edge owns all partitions for good.
const EPOCH: u64 = 1;

/// See the [module](self).
#[derive(Debug)]
pub struct StandIn {
    when: When,
    edge_id: String,
    /// Of the edge.
    labels: Labels,
    seed: [u8; 16],
    orders: Option<Box<Orders>>,
    protected: Vec<ProtectedNet>,
    ring: Ring,
    /// `None` until this edge decides for the first time.
    decider: Option<Decider>,
    /// Since when the fleet is away, milliseconds of the clock that only moves forward. At the start nothing is known of it.
    away: Option<(Away, i64)>,
    /// Since when this edge decides: milliseconds since the Unix epoch, and how many bans it had made before.
    deciding: Option<(i64, u64)>,
    /// Bans that are on their way into this host's kernel.
    pending: HashMap<Uuid, LocalBan>,
    waiting: VecDeque<Waiting>,
    banned: u64,
    taken_over: u64,
    /// How often `waiting`, and the ring, has changed.
    changes: Changes,
}

/// Numbers of changes since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Changes of the bans to hand over.
    pub waiting: u64,
    /// Changes of the latest reports.
    pub reports: u64,
}

impl StandIn {
    /// One of the edge `edge_id`; `seed` is another one in each process.
    #[must_use]
    pub fn new(when: When, edge_id: String, seed: [u8; 16]) -> Self {
        Self {
            when,
            edge_id,
            labels: Labels::new(),
            seed,
            orders: None,
            protected: Vec::new(),
            ring: Ring::default(),
            decider: None,
            away: None,
            deciding: None,
            pending: HashMap::new(),
            waiting: VecDeque::new(),
            banned: 0,
            taken_over: 0,
            changes: Changes::default(),
        }
    }

    /// Returns how often what a restart should not forget has changed.
    #[must_use]
    pub const fn changes(&self) -> Changes {
        self.changes
    }

    /// Returns what was reported lately and when, for the same, and about how many bytes that is.
    #[must_use]
    pub fn reports(&self) -> (Vec<(i64, Seen)>, usize) {
        (self.ring.iter().cloned().collect(), self.ring.bytes())
    }

    /// The same of an edge with `labels`: rules for others do not ban here.
    #[must_use]
    pub fn labelled(self, labels: Labels) -> Self {
        Self { labels, ..self }
    }

    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            since_ms: self.deciding.map(|(since_ms, _)| since_ms),
            away: self.away.map(|(away, _)| away),
            has_rules: self.orders.is_some(),
            banned: self.banned,
            taken_over: self.taken_over,
            waiting: self.waiting.len(),
        }
    }

    /// Whether telemetry that waited for the fleet has to wait on: what led to bans that the fleet has not heard of would lead to
    /// others.
    #[must_use]
    pub fn holds_late_telemetry(&self) -> bool {
        !self.pending.is_empty() || self.waiting.iter().any(|waiting| waiting.told < TELLINGS)
    }

    /// Whether reports are judged as they come.
    #[must_use]
    pub const fn decides(&self) -> bool {
        self.deciding.is_some()
    }

    /// Takes in what has happened, and adds what is to be done to `effects`.
    pub fn handle(&mut self, event: Event, now: Moment, effects: &mut Vec<Effect>) {
        match event {
            Event::Orders(mut orders) => {
                orders.keep_rules_for(&self.labels);
                if self.orders.as_ref() == Some(&orders) {
                    return;
                }
                self.orders = Some(orders);
                if self.decides() {
                    self.begin(now, effects);
                }
            }
            Event::Fleet(away) => self.fleet(away, now),
            Event::Protected(networks) => {
                self.protected = networks;
                self.protect(now);
            }
            Event::Seen(seen) => {
                if self.decides() {
                    let bans = self.judge(&seen, now.wall_ms, now);
                    self.ban(bans, effects);
                }
                self.ring.push(seen, now.wall_ms, self.age());
                self.changes.reports += 1;
                return;
            }
            Event::Recalled { waiting, reports } => {
                for Awaiting { ban, told } in waiting {
                    self.await_takeover(ban, told, now);
                }
                self.ring.recall(reports, now.wall_ms, self.age());
                if self.decides() {
                    self.begin(now, effects);
                }
            }
            Event::Brought(bans) => {
                let by_rules = bans.iter().filter(|ban| ban.reason != Reason::Manual);
                for ban in by_rules {
                    self.await_takeover(told(ban), 0, now);
                }
            }
            Event::Settled { id, banned } => self.settled(id, banned, now),
            Event::TakenOver(target) => self.hand_over(&target),
            Event::Tick => self.tick(now, effects),
        }
        self.decide(now, effects);
    }

    fn fleet(&mut self, away: Option<Away>, now: Moment) {
        let since_ms = self.away.map_or(now.boot_ms, |(_, since_ms)| since_ms);
        self.away = away.map(|away| (away, since_ms));
    }

    /// Begins or ends to decide.
    fn decide(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let grace_ms = crate::millis(GRACE);
        let is_due = match self.when {
            When::Always => true,
            When::Fallback => self
                .away
                .is_some_and(|(_, since_ms)| now.boot_ms.saturating_sub(since_ms) >= grace_ms),
        };
        let is_back = self.when == When::Fallback && self.away.is_none();
        match self.deciding {
            None if is_due && self.orders.is_some() => {
                self.deciding = Some((now.wall_ms, self.banned));
                effects.push(Effect::Began(self.away.map(|(away, _)| away)));
                self.begin(now, effects);
            }
            Some((_, before)) if is_back => {
                self.deciding = None;
                effects.push(Effect::Ended {
                    bans: self.banned - before,
                });
            }
            None | Some(_) => {}
        }
    }

    /// Has the decider judge all that was reported lately, by the rules in force.
    fn begin(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Some(orders) = &self.orders else {
            return;
        };
        match &mut self.decider {
            Some(decider) => {
                let rules = decider::Event::Rules(Box::new(orders.rules()));
                decider.handle(rules, now, &mut Vec::new());
            }
            None => self.decider = Some(own_all(orders.decider(&self.edge_id, self.seed), now)),
        }
        self.protect(now);
        let ring = std::mem::take(&mut self.ring);
        let mut bans: Vec<BlockCommand> = Vec::new();
        for (at_ms, seen) in ring.iter() {
            if let Seen::Lifted(target) = seen {
                bans.retain(|ban| ban.target != *target);
            }
            bans.extend(self.judge(seen, *at_ms, now));
        }
        self.ring = ring;
        self.ban(bans, effects);
    }

    fn protect(&mut self, now: Moment) {
        let (Some(orders), Some(decider)) = (&self.orders, &mut self.decider) else {
            return;
        };
        let all = orders.protected.iter().chain(&self.protected).cloned();
        let holds = |net: &ProtectedNet| net.until_ms.is_none_or(|until_ms| now.wall_ms < until_ms);
        let all = all.filter(holds).collect();
        decider.handle(decider::Event::Protected(all), now, &mut Vec::new());
    }

    /// Returns the bans that follow from what was reported at `at_ms`.
    fn judge(&mut self, seen: &Seen, at_ms: i64, now: Moment) -> Vec<BlockCommand> {
        let Some(decider) = &mut self.decider else {
            return Vec::new();
        };
        let event = match seen {
            Seen::Telemetry { partition, payload } => match wire::decode(payload) {
                Ok(batch) => decider::Event::Batch {
                    partition: *partition,
                    batch,
                    received_ms: at_ms,
                    age_ms: None,
                },
                // This process encoded it.
                Err(_) => return Vec::new(),
            },
            Seen::Waf(batch) => decider::Event::Waf {
                batch: batch.clone(),
                received_ms: at_ms,
            },
            Seen::Service(batch) => decider::Event::Service {
                batch: batch.clone(),
                received_ms: at_ms,
            },
            Seen::Lifted(target) => decider::Event::Lifted(Gone {
                target: *target,
                at_ms,
                revision: u64::MAX,
            }),
        };
        carry_out(decider, event, now)
    }

    fn ban(&mut self, bans: Vec<BlockCommand>, effects: &mut Vec<Effect>) {
        for command in bans {
            self.pending.insert(command.id, told(&command));
            effects.push(Effect::Ban(Box::new(command)));
        }
    }

    fn settled(&mut self, id: Uuid, banned: bool, now: Moment) {
        let Some(ban) = self.pending.remove(&id).filter(|_| banned) else {
            return;
        };
        self.banned += 1;
        self.await_takeover(ban, 0, now);
    }

    /// Returns how long reports are kept.
    fn age(&self) -> Duration {
        let orders = self.orders.as_ref();
        orders.map_or(DEFAULT_AGE, |orders| orders.longest_window())
    }

    fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.decides()
            && let Some(decider) = &mut self.decider
        {
            let bans = carry_out(decider, decider::Event::Tick { connected: true }, now);
            self.ban(bans, effects);
        }
        if self.away.is_none() {
            self.tell(now, effects);
        }
    }
}

/// A decider that has read all there is to read.
fn own_all(mut decider: Decider, now: Moment) -> Decider {
    let tenures = (0..PARTITIONS).map(|_| Tenure::Owned { epoch: EPOCH });
    let restored = decider::Event::Restore {
        bans: Vec::new(),
        audit: Vec::new(),
        since_ms: now.wall_ms,
    };
    let taken = (0..PARTITIONS).map(|partition| {
        decider::Event::Owned(Ownership::Taken {
            partition,
            epoch: EPOCH,
        })
    });
    let leases = decider::Event::Leases(LeaseTable::new(tenures, Some(i64::MAX)));
    let events = [
        restored,
        decider::Event::Allowlist(Vec::<AllowEntry>::new()),
        leases,
    ];
    for event in events.into_iter().chain(taken) {
        decider.handle(event, now, &mut Vec::new());
    }
    decider
}

/// Hands `event` in, and returns the bans that follow: they count as written at once, since the enforcer keeps what it is told.
fn carry_out(decider: &mut Decider, event: decider::Event, now: Moment) -> Vec<BlockCommand> {
    let mut effects = Vec::new();
    decider.handle(event, now, &mut effects);
    let mut bans = Vec::new();
    for effect in effects {
        let decider::Effect::Write(request) = effect else {
            continue;
        };
        if let Write::Ban(command) = request.write {
            let written = decider::Event::Done {
                id: command.id,
                fate: Fate::Written { revision: 1 },
            };
            decider.handle(written, now, &mut Vec::new());
            bans.push(*command);
        }
    }
    bans
}

fn told(command: &BlockCommand) -> LocalBan {
    LocalBan {
        id: command.id,
        target: command.target,
        reason: command.reason,
        layer: command.layer,
        evidence: command.evidence.unwrap_or(Evidence {
            count: 0,
            window_ms: 0,
            at_ms: command.issued_at_ms,
        }),
        issued_at_ms: command.issued_at_ms,
        expires_at_ms: command.expires_at_ms,
    }
}
