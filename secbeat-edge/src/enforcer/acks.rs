//! Acknowledgements of commands, to the fleet and to the collector of traces.

use std::time::SystemTime;

use secbeat_common::{
    subjects,
    wire::{self, Ack, AckBatch, Enforcement, MAX_ACKS},
};
use secbeat_daemon::{
    time::{now, now_ms},
    traces::{KeyValue, Span, SpanKind, Traces},
};
use tracing::error;

use crate::bus::Publisher;

/// Acknowledgements on their way.
#[derive(Debug)]
pub(super) struct Acks {
    publisher: Publisher,
    traces: Traces,
    edge_id: String,
    waiting: Vec<Ack>,
}

impl Acks {
    pub(super) fn new(publisher: Publisher, traces: Traces, edge_id: String) -> Self {
        Self {
            publisher,
            traces,
            edge_id,
            waiting: Vec::new(),
        }
    }

    /// Adds that of a command that was received at `received`.
    pub(super) fn add(&mut self, ack: Ack, received: SystemTime) {
        self.trace(&ack, received);
        self.waiting.push(ack);
    }

    fn trace(&self, ack: &Ack, received: SystemTime) {
        if !self.traces.are_on() {
            return;
        }
        let failure = match &ack.outcome {
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
                KeyValue::new("secbeat.target", ack.target.to_string()),
            ],
            failure,
        };
        self.traces.remote_child(ack.command_id, span);
    }

    /// Sends those that were added since the last time.
    pub(super) fn send(&mut self) {
        while !self.waiting.is_empty() {
            let rest = self.waiting.split_off(self.waiting.len().min(MAX_ACKS));
            let batch = AckBatch {
                edge_id: self.edge_id.clone(),
                at_ms: now_ms(),
                acks: std::mem::replace(&mut self.waiting, rest),
                banned: Vec::new(),
            };
            match wire::encode(&batch) {
                // A lost acknowledgement is counted by the publisher; the bans hold all the same.
                Ok(bytes) => drop(self.publisher.publish(subjects::acks(&self.edge_id), bytes)),
                Err(error) => error!(%error, "encoding acknowledgements"),
            }
        }
    }
}
