//! Edges that are up, their heartbeats, and whether they hold the ledger's bans. A pure core: records and
//! time go in, events come out.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use secbeat_common::{
    digest::{Digest, Extract},
    subjects::PRESENCE_TTL,
    wire::{Kind, LABELS, Presence, Scope},
};

use crate::{Moment, millis};

/// Edges known at a time; past it one that is down is forgotten for each new one.
const MAX_EDGES: usize = 1024;
/// Time that an edge that is down is remembered, in milliseconds.
const REMEMBERED_MS: i64 = 24 * 3600 * 1000;

/// Time that a difference may last by default: a record comes every 5 s.
pub const DRIFT_GRACE: Duration = Duration::from_secs(10);

/// All edges that were heard of.
#[derive(Debug)]
pub struct Fleet {
    grace: Duration,
    edges: BTreeMap<String, Edge>,
    /// Since when the bus is there, by the clock that only moves forward; before that, nobody could be heard.
    bus_since_ms: Option<i64>,
}

/// One edge.
#[derive(Clone, Debug)]
pub struct Edge {
    pub record: Presence,
    pub state: State,
    /// Since when, milliseconds since the Unix epoch.
    pub since_ms: i64,
    pub agreement: Agreement,
    /// Since when it has differed for longer than the grace, milliseconds since the Unix epoch.
    pub drifting_since_ms: Option<i64>,
    /// How far its wall clock is ahead of the bus's, as it has measured. Of one that has not: how far its record's time is ahead
    /// of the time at which it came.
    pub clock_ahead_ms: i64,
    /// Time at which its latest record came.
    pub heard: Moment,
    differs_since: Option<Moment>,
    /// Of one that drifts: since when it has agreed again.
    agrees_since: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Up,
    Down(DownCause),
}

/// The reason why an edge is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownCause {
    /// It said so before it ended.
    Stopped,
    /// It has not been heard of.
    Lost,
    /// Nobody can be heard of: the bus is away.
    Unheard,
}

/// Something has happened to an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub edge_id: String,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Up,
    Down(DownCause),
    /// For longer than the grace it has not held the ledger's bans.
    Drifts {
        /// Milliseconds since the Unix epoch.
        since_ms: i64,
        now: Difference,
    },
    /// It has held them again for as long as the grace.
    Agrees,
}

/// How an edge's bans compare with the ledger's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    Agrees,
    Differs(Difference),
    /// The ledger is not restored yet, or lacks bans that the bus has, or the two clocks are too far apart.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Bans that the edge holds of those compared.
    pub held: u64,
    /// The same of the ledger. Equal numbers may still be different bans.
    pub issued: u64,
    /// Bans that its kernel did not take.
    pub unwritten: u64,
}

impl Default for Fleet {
    fn default() -> Self {
        Self::new(DRIFT_GRACE)
    }
}

impl Agreement {
    /// Compares what an edge says with the `ledger`'s digest at `now_ms`.
    #[must_use]
    pub fn of(record: &Presence, ledger: &Digest, now_ms: i64) -> Self {
        let held = &record.bans.fleet;
        if !held.span.is_comparable(now_ms) {
            return Self::Unknown;
        }
        let issued: Extract = ledger.extract_of(held.span);
        if issued == *held && record.bans.unwritten == 0 {
            return Self::Agrees;
        }
        Self::Differs(Difference {
            held: held.bans,
            issued: issued.bans,
            unwritten: record.bans.unwritten,
        })
    }
}

impl Fleet {
    /// Nobody yet. A difference has to last longer than `grace` to be an alarm, and to be gone for as long to end it.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Self {
            grace,
            edges: BTreeMap::new(),
            bus_since_ms: None,
        }
    }

    /// An edge has renewed its record.
    pub fn heard(&mut self, record: Presence, agreement: Agreement, now: Moment) -> Vec<Event> {
        self.bus_since_ms.get_or_insert(now.boot_ms);
        let id = record.edge_id.clone();
        if !self.edges.contains_key(&id) && !self.has_room() {
            return Vec::new();
        }
        let mut events = Vec::new();
        let clock_ahead_ms = record.clock.map_or_else(
            || record.at_ms.saturating_sub(now.wall_ms),
            |clock| clock.ahead_ms,
        );
        let edge = match self.edges.remove(&id) {
            Some(edge) => Edge {
                record,
                heard: now,
                clock_ahead_ms,
                ..edge
            },
            None => Edge {
                record,
                state: State::Down(DownCause::Lost),
                since_ms: now.wall_ms,
                agreement: Agreement::Unknown,
                drifting_since_ms: None,
                clock_ahead_ms,
                heard: now,
                differs_since: None,
                agrees_since: None,
            },
        };
        let edge = self.edges.entry(id.clone()).or_insert(edge);
        if edge.state != State::Up {
            (edge.state, edge.since_ms) = (State::Up, now.wall_ms);
            events.push(Event {
                edge_id: id,
                what: What::Up,
            });
        }
        events.extend(edge.judge(agreement, self.grace, now));
        events
    }

    fn has_room(&mut self) -> bool {
        if self.edges.len() < MAX_EDGES {
            return true;
        }
        let down = self.edges.iter().filter(|(_, edge)| edge.state != State::Up);
        let longest = down
            .min_by_key(|(_, edge)| edge.since_ms)
            .map(|(id, _)| id.clone());
        longest.is_some_and(|id| self.edges.remove(&id).is_some())
    }

    /// An edge has said that it ends.
    pub fn left(&mut self, edge_id: &str, now: Moment) -> Option<Event> {
        self.edges.get_mut(edge_id)?.go_down(DownCause::Stopped, now)
    }

    /// Looks who has not been heard of for too long, for whatever reason. Once the bus is back, everybody has as much time again.
    pub fn look(&mut self, bus_connected: bool, now: Moment) -> Vec<Event> {
        let since_ms = match bus_connected {
            true => Some(*self.bus_since_ms.get_or_insert(now.boot_ms)),
            false => self.bus_since_ms.take().and(None),
        };
        let cause = match bus_connected {
            true => DownCause::Lost,
            false => DownCause::Unheard,
        };
        let mut events = Vec::new();
        for edge in self.edges.values_mut() {
            let heard_ms = since_ms.map_or(edge.heard.boot_ms, |since| since.max(edge.heard.boot_ms));
            if now.boot_ms.saturating_sub(heard_ms) > millis(PRESENCE_TTL) {
                events.extend(edge.go_down(cause, now));
            }
        }
        self.edges.retain(|_, edge| {
            edge.state == State::Up || now.boot_ms.saturating_sub(edge.heard.boot_ms) < REMEMBERED_MS
        });
        events
    }

    /// All edges by name.
    pub fn edges(&self) -> impl Iterator<Item = &Edge> {
        self.edges.values()
    }

    /// Returns what those say that are there.
    pub fn up(&self) -> impl Iterator<Item = &Presence> {
        let up = self.edges().filter(|edge| edge.state == State::Up);
        up.map(|edge| &edge.record)
    }

    /// The ids of the edges that enforce a ban of this scope: those it names, and those that are there and have its labels.
    /// `None` are all.
    #[must_use]
    pub fn meant(&self, scope: &Scope) -> Option<Vec<String>> {
        let ids = scope.edges()?;
        let mut meant = ids.to_vec();
        if !scope.labels().is_empty() {
            let up = self
                .up()
                .filter(|edge| scope.holds_on(&edge.edge_id, &edge.labels));
            meant.extend(up.map(|edge| edge.edge_id.clone()));
            meant.sort_unstable();
            meant.dedup();
        }
        Some(meant)
    }
}

/// Whether the edge knows that bans can be meant for labels; one that does not enforces them nowhere.
#[must_use]
pub fn knows_labels(record: &Presence) -> bool {
    let parts = record.speaks.kinds.get(Kind::Ban.name());
    parts.is_some_and(|parts| parts.contains(&LABELS))
}

impl Edge {
    fn go_down(&mut self, cause: DownCause, now: Moment) -> Option<Event> {
        if self.state != State::Up {
            return None;
        }
        (self.state, self.since_ms) = (State::Down(cause), now.wall_ms);
        // What it holds is not known any more.
        self.agreement = Agreement::Unknown;
        self.clear_drift();
        Some(self.event(What::Down(cause)))
    }

    fn judge(&mut self, agreement: Agreement, grace: Duration, now: Moment) -> Option<Event> {
        self.agreement = agreement;
        let has_lasted = |since: Moment| now.boot_ms.saturating_sub(since.boot_ms) >= millis(grace);
        match (agreement, self.drifting_since_ms) {
            (Agreement::Differs(difference), None) => {
                let since = *self.differs_since.get_or_insert(now);
                has_lasted(since).then(|| {
                    self.drifting_since_ms = Some(since.wall_ms);
                    self.event(What::Drifts {
                        since_ms: since.wall_ms,
                        now: difference,
                    })
                })
            }
            (Agreement::Differs(_), Some(_)) => {
                self.agrees_since = None;
                None
            }
            (Agreement::Agrees, Some(_)) => {
                let since = *self.agrees_since.get_or_insert(now);
                has_lasted(since).then(|| {
                    self.clear_drift();
                    self.event(What::Agrees)
                })
            }
            (Agreement::Agrees | Agreement::Unknown, None) => {
                self.differs_since = None;
                None
            }
            // What is not known ends no alarm.
            (Agreement::Unknown, Some(_)) => None,
        }
    }

    fn clear_drift(&mut self) {
        (self.differs_since, self.agrees_since, self.drifting_since_ms) = (None, None, None);
    }

    fn event(&self, what: What) -> Event {
        Event {
            edge_id: self.record.edge_id.clone(),
            what,
        }
    }
}
