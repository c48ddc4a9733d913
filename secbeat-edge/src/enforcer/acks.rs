//! Telling the fleet what became of its commands, and whoever traces their ways.
//!
//! A command is acknowledged once, when it is new to this process: as enforced, once the kernel (or L7, where that is all)
//! has it; as refused, with the reason, and again as enforced if the reason goes; or as failed. What the first snapshot
//! after the daemon's start brings is new to the process alone, and mostly in the kernel already: of that only bans issued
//! less than [`RECENT_MS`] ago are acknowledged.

use std::time::SystemTime;

use secbeat_common::{
    subjects,
    wire::{self, Ack, AckBatch, BlockCommand, Enforcement, MAX_ACKS},
};
use secbeat_daemon::{
    time::{now, now_ms},
    traces::{KeyValue, Span, SpanKind, Traces},
};
use tracing::error;

use crate::bus::Publisher;

/// How long after its issue somebody may still wait to hear of a ban.
pub(super) const RECENT_MS: i64 = 60_000;

/// Acknowledgements on their way.
#[derive(Debug)]
pub struct Acks {
    publisher: Publisher,
    traces: Traces,
    edge_id: String,
    waiting: Vec<Ack>,
}

impl Acks {
    #[must_use]
    pub fn new(publisher: Publisher, traces: Traces, edge_id: String) -> Self {
        Self {
            publisher,
            traces,
            edge_id,
            waiting: Vec::new(),
        }
    }

    /// What became of a command that came at `received`.
    pub(super) fn add(&mut self, command: &BlockCommand, received: SystemTime, outcome: Enforcement) {
        self.trace(command, received, &outcome);
        self.waiting.push(Ack {
            command_id: command.id,
            target: command.target,
            issued_at_ms: command.issued_at_ms,
            outcome,
        });
    }

    fn trace(&self, command: &BlockCommand, received: SystemTime, outcome: &Enforcement) {
        if !self.traces.are_on() {
            return;
        }
        let failure = match outcome {
            Enforcement::Enforced => None,
            Enforcement::Refused(why) | Enforcement::Failed(why) => Some(why.clone()),
        };
        let end = now();
        let span = Span {
            name: "enforce",
            kind: SpanKind::Consumer,
            // The clock may have been set meanwhile.
            start: received.min(end),
            end,
            attributes: vec![
                KeyValue::new("secbeat.edge", self.edge_id.clone()),
                KeyValue::new("secbeat.target", command.target.to_string()),
            ],
            failure,
        };
        self.traces.remote_child(command.id, span);
    }

    /// Sends what was added since the last time. All of it is done by now.
    pub(super) fn send(&mut self) {
        let at_ms = now_ms();
        while !self.waiting.is_empty() {
            let rest = self.waiting.split_off(self.waiting.len().min(MAX_ACKS));
            let batch = AckBatch {
                edge_id: self.edge_id.clone(),
                at_ms,
                acks: std::mem::replace(&mut self.waiting, rest),
            };
            match wire::encode(&batch) {
                // A lost acknowledgement is counted by the publisher; the bans hold all the same.
                Ok(bytes) => drop(self.publisher.publish(subjects::acks(&self.edge_id), bytes)),
                Err(error) => error!(%error, "encoding acknowledgements"),
            }
        }
    }
}
