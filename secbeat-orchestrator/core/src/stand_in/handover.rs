//! Bans that the fleet is to take over: they are told until it has, or has not often enough.

use secbeat_common::{prefix::Prefix, wire::LocalBan};

use super::{Awaiting, Effect, StandIn};
use crate::Moment;

/// How often the fleet is told of a ban that it does not take over, and the pause in between in milliseconds.
pub(super) const TELLINGS: u8 = 3;
const RETELL_MS: i64 = 3_000;
/// Bans that wait to be handed over; the oldest go first.
const MAX_WAITING: usize = 100_000;

/// A ban that the fleet is to take over.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) ban: LocalBan,
    pub(super) told: u8,
    pub(super) due_ms: i64,
}

impl StandIn {
    /// The bans that the fleet is to take over, for [`Event::Recalled`](super::Event::Recalled) of a later process.
    #[must_use]
    pub fn waiting(&self) -> Vec<Awaiting> {
        let waiting = self.waiting.iter();
        let waiting = waiting.map(|waiting| Awaiting {
            ban: waiting.ban.clone(),
            told: waiting.told,
        });
        waiting.collect()
    }

    /// Has the fleet be told of a ban that is in force here.
    pub(super) fn await_takeover(&mut self, ban: LocalBan, told: u8, now: Moment) {
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Waiting {
            ban,
            told,
            due_ms: now.boot_ms,
        });
        self.changes.waiting += 1;
    }

    pub(super) fn hand_over(&mut self, target: &Prefix) {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.ban.target != *target);
        let taken_over = (before - self.waiting.len()) as u64;
        self.taken_over += taken_over;
        self.changes.waiting += taken_over;
    }

    /// Tells the fleet of bans that it has not taken over. One that is over is told once: its strike would count twice.
    pub(super) fn tell(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let mut told = Vec::new();
        for waiting in self
            .waiting
            .iter_mut()
            .filter(|waiting| waiting.due_ms <= now.boot_ms)
        {
            let is_over = waiting.ban.expires_at_ms <= now.wall_ms;
            if waiting.told == 0 || (!is_over && waiting.told < TELLINGS) {
                told.push(waiting.ban.clone());
            }
            waiting.told = if is_over { TELLINGS } else { waiting.told + 1 };
            waiting.due_ms = now.boot_ms + RETELL_MS;
            self.changes.waiting += 1;
        }
        // What was told often enough lapses at its end.
        let before = self.waiting.len();
        self.waiting
            .retain(|waiting| waiting.told < TELLINGS || waiting.ban.expires_at_ms > now.wall_ms);
        self.changes.waiting += (before - self.waiting.len()) as u64;
        if !told.is_empty() {
            effects.push(Effect::Tell(told));
        }
    }
}
