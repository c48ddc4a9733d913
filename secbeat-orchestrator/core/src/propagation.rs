//! Times of bans from the decision into each edge's kernel, and which edges have answered. A pure core:
//! commands and acknowledgements go in.

mod latency;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, hash::RandomState, sync::Arc};

use hashlink::LinkedHashMap;
use secbeat_common::{
    prefix::Prefix,
    wire::{Ack, AckBatch, BlockCommand, Enforcement, Labels, cut},
};
use uuid::Uuid;

pub use self::latency::{Latencies, Percentiles};

/// Commands remembered: the latest.
const MAX_COMMANDS: usize = 1000;
/// Edges whose times are kept; those of further ones are not.
const MAX_EDGES: usize = 1024;

/// What is known of the way of bans.
#[derive(Clone, Debug, Default)]
pub struct Propagation {
    edges: BTreeMap<Arc<str>, Latencies>,
    /// Oldest first.
    commands: LinkedHashMap<Uuid, Issued, RandomState>,
}

/// A command, and what the edges made of it.
#[derive(Clone, Debug)]
pub struct Issued {
    pub target: Prefix,
    /// Milliseconds since the Unix epoch.
    pub issued_at_ms: i64,
    /// Of the edges that were there when it was issued, and of others that answered.
    pub answers: BTreeMap<Arc<str>, Answer>,
}

/// What an edge made of a command; times are milliseconds after its issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Pending,
    Enforced { after_ms: u64 },
    Refused { why: String },
    Failed { why: String },
}

impl Propagation {
    /// A command that those of the edges `up`, with their labels, are to answer for which it is meant.
    pub fn issued<'a>(&mut self, command: &BlockCommand, up: impl Iterator<Item = (&'a str, &'a Labels)>) {
        self.over(|target| *target == command.target);
        let answers = up
            .filter(|(edge, labels)| command.scope.holds_on(edge, labels))
            .map(|(edge, _)| (self.name(edge), Answer::Pending))
            .collect();
        self.remember(
            command.id,
            Issued {
                target: command.target,
                issued_at_ms: command.issued_at_ms,
                answers,
            },
        );
    }

    /// `edge` cannot carry out the command `id`, and will not answer.
    pub fn unable(&mut self, id: Uuid, edge: &str, why: &str) {
        let edge = self.name(edge);
        if let Some(answer) = self
            .commands
            .get_mut(&id)
            .and_then(|issued| issued.answers.get_mut(&edge))
        {
            let why = why.to_owned();
            *answer = Answer::Refused { why };
        }
    }

    /// The command `id` is void, by an unban or because it never reached the bus: who has not answered need not.
    pub fn void(&mut self, id: Uuid) {
        if let Some(issued) = self.commands.get_mut(&id) {
            issued.answers.retain(|_, answer| *answer != Answer::Pending);
        }
    }

    /// No command against the targets for which `is_over` holds is in force any more, or another one is from now on: as
    /// [`void`](Self::void).
    pub fn over(&mut self, is_over: impl Fn(&Prefix) -> bool) {
        for issued in self
            .commands
            .values_mut()
            .filter(|issued| is_over(&issued.target))
        {
            issued.answers.retain(|_, answer| *answer != Answer::Pending);
        }
    }

    /// `edge` is not there any more, and need not answer.
    pub fn departed(&mut self, edge: &str) {
        for issued in self.commands.values_mut() {
            if issued.answers.get(edge) == Some(&Answer::Pending) {
                issued.answers.remove(edge);
            }
        }
    }

    /// Takes in what an edge has answered, received at `received_ms` of this host's wall clock.
    pub fn answered(&mut self, batch: &AckBatch, received_ms: i64) {
        let edge = self.name(&batch.edge_id);
        for ack in &batch.acks {
            self.take(&edge, ack, batch.at_ms, received_ms);
        }
    }

    fn take(&mut self, edge: &Arc<str>, ack: &Ack, at_ms: i64, received_ms: i64) {
        if !self.commands.contains_key(&ack.command_id) {
            // Another orchestrator's, or of the process before this one.
            let issued = Issued {
                target: ack.target,
                issued_at_ms: ack.issued_at_ms,
                answers: BTreeMap::new(),
            };
            self.remember(ack.command_id, issued);
        }
        let before = self
            .commands
            .get(&ack.command_id)
            .and_then(|issued| issued.answers.get(edge));
        // A ban that was refused or failed at first says nothing of the way.
        let first = before.is_none_or(|before| *before == Answer::Pending);
        if !self.edges.contains_key(edge) && self.edges.len() < MAX_EDGES {
            self.edges.insert(edge.clone(), Latencies::default());
        }
        let latencies = self.edges.get_mut(edge);
        let answer = match &ack.outcome {
            Enforcement::Enforced => {
                let (after_ms, latency) = latency::of(ack.issued_at_ms, at_ms, received_ms);
                if let Some(latencies) = latencies.filter(|_| first) {
                    latencies.record(after_ms, latency, received_ms);
                }
                Answer::Enforced { after_ms }
            }
            Enforcement::Refused(why) => {
                latencies.into_iter().for_each(Latencies::refuse);
                Answer::Refused {
                    why: cut(why).to_owned(),
                }
            }
            Enforcement::Failed(why) => {
                latencies.into_iter().for_each(Latencies::fail);
                Answer::Failed {
                    why: cut(why).to_owned(),
                }
            }
        };
        if let Some(issued) = self.commands.get_mut(&ack.command_id) {
            issued.answers.insert(edge.clone(), answer);
        }
    }

    fn remember(&mut self, id: Uuid, issued: Issued) {
        if self.commands.len() >= MAX_COMMANDS {
            self.commands.pop_front();
        }
        self.commands.insert(id, issued);
    }

    /// An edge's name, shared by all that mention it.
    fn name(&self, edge: &str) -> Arc<str> {
        self.edges
            .get_key_value(edge)
            .map_or_else(|| edge.into(), |(name, _)| name.clone())
    }

    /// The command `id`, if it is remembered.
    #[must_use]
    pub fn of(&self, id: &Uuid) -> Option<&Issued> {
        self.commands.get(id)
    }

    /// The times of each edge, by name.
    pub fn edges(&self) -> impl Iterator<Item = (&str, &Latencies)> {
        self.edges.iter().map(|(edge, latencies)| (&**edge, latencies))
    }

    /// The latest commands, the latest first.
    pub fn commands(&self) -> impl Iterator<Item = (&Uuid, &Issued)> {
        self.commands.iter().rev()
    }
}
