//! What waits for a safety limit in one process, by an account of its own: who is to be decided before whom, and how many of one
//! network within a minute.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use secbeat_common::{
    prefix::Prefix,
    subjects::PARTITIONS,
    wire::{BlockCommand, Reason},
};
use secbeat_orchestrator_core::{
    decider::{Decider, Effect, Event},
    evidence::{FindingFilter, Outcome},
    leases::Ownership,
    ledger::Suppression,
    writer::{Write, WriteRequest},
};
use uuid::Uuid;

use super::raid;

/// How far back limits look, in milliseconds.
const MINUTE_MS: i64 = 60_000;
/// Bans of one network within a minute that are always allowed.
const LEAST: usize = 16;

/// How often a source was found, and when first. The greatest comes first.
type Rank = (u32, Reverse<i64>);

struct Waiting {
    rank: Rank,
    edge: String,
}

/// See the [module](self).
pub(super) struct Queue {
    /// Most bans of all within a minute.
    rate: usize,
    /// Whether an edge has a limit of its own.
    by_edge: bool,
    waiting: BTreeMap<Prefix, Waiting>,
    issued: BTreeMap<Prefix, VecDeque<i64>>,
    known: BTreeSet<Uuid>,
    owned: BTreeSet<u16>,
    /// Partitions whose lease had lapsed: findings waited for that, too, and their number is not known here.
    unsure: BTreeSet<u16>,
}

/// What of an event concerns the account.
pub(super) enum Cause {
    /// Telemetry of one client, by an edge.
    Report(Prefix, String, i64),
    Tick,
    Taken(u16),
    Lost(u16),
    Heard(Prefix),
    Other,
}

impl Cause {
    pub(super) fn of(event: &Event) -> Self {
        match event {
            Event::Batch {
                batch, received_ms, ..
            } => match batch.events.first() {
                Some(event) => {
                    Self::Report(Prefix::single(event.client), batch.edge_id.clone(), *received_ms)
                }
                None => Self::Other,
            },
            Event::Tick { .. } => Self::Tick,
            Event::Owned(Ownership::Taken { partition, .. }) => Self::Taken(*partition),
            Event::Owned(Ownership::Lost { partition }) => Self::Lost(*partition),
            Event::Banned(written) => Self::Heard(written.command.target),
            Event::Lifted(gone) => Self::Heard(gone.target),
            _ => Self::Other,
        }
    }

    /// The latest finding of the client that a limit held back: when, and how often it has repeated.
    pub(super) fn held(&self, decider: &Decider) -> Option<(i64, u32)> {
        let Self::Report(source, ..) = self else {
            return None;
        };
        let filter = FindingFilter {
            source: Some(*source),
            rule: None,
        };
        let mut held = decider
            .findings(filter)
            .filter(|past| matches!(past.outcome, Outcome::Suppressed(Suppression::Brake(_))));
        held.next().map(|past| (past.at_ms, past.times))
    }
}

impl Queue {
    pub(super) fn new(rate: u32, by_edge: bool) -> Self {
        Self {
            rate: rate as usize,
            by_edge,
            waiting: BTreeMap::new(),
            issued: BTreeMap::new(),
            known: BTreeSet::new(),
            owned: BTreeSet::new(),
            unsure: BTreeSet::new(),
        }
    }

    /// Takes what came of an event at `now_ms`: whether a limit holds its finding back, and the effects. Returns what is wrong with it.
    pub(super) fn take(
        &mut self,
        cause: &Cause,
        is_held: bool,
        effects: &[Effect],
        now_ms: i64,
    ) -> Option<String> {
        let bans: Vec<&BlockCommand> = effects.iter().filter_map(automatic).collect();
        let bans: Vec<&BlockCommand> = bans.into_iter().filter(|ban| self.known.insert(ban.id)).collect();
        let mut wrong = None;
        match cause {
            Cause::Report(source, edge, received_ms) => {
                for ban in bans.iter().filter(|ban| ban.target == *source) {
                    wrong = wrong.or_else(|| self.overtaken(source, edge));
                    wrong = wrong.or_else(|| self.count(&ban.target, *received_ms));
                }
                if is_held {
                    self.keep(*source, edge, *received_ms);
                }
            }
            Cause::Tick => {
                let mut last = None;
                for ban in &bans {
                    let waiting = self.waiting.get(&ban.target);
                    let Some(waiting) = waiting.filter(|_| self.is_sure(&ban.target)) else {
                        continue;
                    };
                    let rank = waiting.rank;
                    if last.is_some_and(|last| rank > last) {
                        wrong = Some(format!("{} of {rank:?} is decided after {last:?}", ban.target));
                    }
                    last = Some(rank);
                    wrong = wrong.or_else(|| self.count(&ban.target, now_ms));
                }
            }
            Cause::Taken(partition) => {
                if !self.owned.insert(*partition) {
                    self.unsure.insert(*partition);
                }
            }
            Cause::Lost(partition) => {
                self.owned.remove(partition);
                self.unsure.remove(partition);
                self.waiting
                    .retain(|source, _| source.partition(PARTITIONS) != *partition);
            }
            Cause::Heard(target) => self.waiting.retain(|source, _| !target.covers(source)),
            Cause::Other => {}
        }
        for ban in bans {
            self.waiting.remove(&ban.target);
        }
        wrong
    }

    fn keep(&mut self, source: Prefix, edge: &str, received_ms: i64) {
        let before = self.waiting.get(&source).map(|waiting| waiting.rank);
        let (times, since) = before.unwrap_or((0, Reverse(received_ms)));
        let waiting = Waiting {
            rank: (times + 1, since),
            edge: edge.to_owned(),
        };
        self.waiting.insert(source, waiting);
    }

    /// Whether a loud attacker, whose network has room, still waits while `source` is banned on the word of `edge`.
    fn overtaken(&self, source: &Prefix, edge: &str) -> Option<String> {
        let rank = self.waiting.get(source).map(|waiting| waiting.rank);
        let mut louder = self.waiting.iter().filter(|(other, waiting)| {
            let is_of_edge = !self.by_edge || waiting.edge == edge;
            raid::is_loud(other) && is_of_edge && Some(waiting.rank) > rank && self.is_sure(other)
        });
        if !self.is_sure(source) {
            return None;
        }
        let (other, waiting) = louder.next()?;
        Some(format!(
            "{source} of {rank:?} has overtaken {other} of {:?}",
            waiting.rank
        ))
    }

    fn is_sure(&self, source: &Prefix) -> bool {
        !self.unsure.contains(&source.partition(PARTITIONS))
    }

    /// Counts a ban; returns whether its network has had more than its part.
    fn count(&mut self, source: &Prefix, at_ms: i64) -> Option<String> {
        let parts: &[(u8, usize)] = match source.addr().is_ipv4() {
            true => &[(16, 2)],
            false => &[(48, 8), (32, 4)],
        };
        for (len, part) in parts {
            let network = source.widened(*len);
            let issued = self.issued.entry(network).or_default();
            let at_ms = issued.back().map_or(at_ms, |last| at_ms.max(*last));
            while issued
                .pop_front_if(|before| *before <= at_ms - MINUTE_MS)
                .is_some()
            {}
            issued.push_back(at_ms);
            let most = (self.rate / part).max(LEAST);
            if issued.len() > most {
                return Some(format!(
                    "{} of {network} are banned within a minute",
                    issued.len()
                ));
            }
        }
        None
    }
}

/// A ban that the analyzers decided.
fn automatic(effect: &Effect) -> Option<&BlockCommand> {
    match effect {
        Effect::Write(WriteRequest {
            write: Write::Ban(command),
            ..
        }) if command.reason != Reason::Manual => Some(command),
        _ => None,
    }
}
