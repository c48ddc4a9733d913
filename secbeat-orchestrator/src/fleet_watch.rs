//! What the edges say on the bus, their presence and acknowledgements, brought to the engine.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use async_nats::jetstream::{
    self, kv,
    stream::{self, DiscardPolicy, StorageType},
};
use futures::StreamExt as _;
use secbeat_common::{
    subjects,
    wire::{self, AckBatch, Presence},
};
use secbeat_daemon::{bus::Bus, garbage::Garbage, time::now_ms};
use secbeat_orchestrator_core::decider::Event;
use tokio::sync::mpsc;
use tracing::warn;

use crate::engine::Input;

/// Pause before reading is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// What the watch needs.
pub struct FleetWatch {
    pub bus: Bus,
    pub inputs: mpsc::Sender<Input>,
    pub garbage: Arc<Garbage>,
}

impl FleetWatch {
    /// Watches until the engine ends.
    pub async fn run(mut self) {
        let mut connection = 0;
        loop {
            connection = self.bus.connection_after(connection).await;
            let mut complained = false;
            loop {
                let mut watched = self.bus.clone();
                let outcome = tokio::select! {
                    outcome = self.follow() => outcome,
                    _ = watched.connection_after(connection) => break,
                };
                if self.inputs.is_closed() {
                    return;
                }
                if let Err(error) = outcome
                    && !std::mem::replace(&mut complained, true)
                {
                    warn!("cannot hear the edges yet, retrying: {error:#}");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn follow(&self) -> anyhow::Result<()> {
        // A key-value bucket as a stream (NATS ADR-8) without roll-ups, by which each edge could delete the others' keys.
        let config = stream::Config {
            name: subjects::EDGES_STREAM.to_owned(),
            subjects: vec![subjects::EDGES_ALL.to_owned()],
            max_messages_per_subject: 1,
            // What is there now is all that matters.
            storage: StorageType::Memory,
            max_age: subjects::PRESENCE_TTL,
            discard: DiscardPolicy::New,
            deny_delete: true,
            deny_purge: true,
            allow_direct: true,
            ..stream::Config::default()
        };
        let context = jetstream::new(self.bus.client.clone());
        context
            .create_or_update_stream(config)
            .await
            .context("making the edges bucket")?;
        let bucket = context
            .get_key_value(subjects::EDGES_BUCKET)
            .await
            .context("opening the edges bucket")?;
        let mut acks = self
            .bus
            .client
            .subscribe(subjects::ACKS_ALL)
            .await
            .context("subscribing to acknowledgements")?;
        let mut edges = bucket
            .watch_with_history(">")
            .await
            .context("watching the edges bucket")?;
        loop {
            let event = tokio::select! {
                entry = edges.next() => {
                    let entry = entry.context("the watch of the edges bucket ended")?;
                    self.presence(&entry.context("reading the edges bucket")?)
                }
                message = acks.next() => {
                    self.acks(&message.context("the subscription to acknowledgements ended")?)
                }
            };
            if let Some(event) = event {
                self.inputs
                    .send(event.into())
                    .await
                    .map_err(|_| anyhow::anyhow!("the engine has ended"))?;
            }
        }
    }

    fn presence(&self, entry: &kv::Entry) -> Option<Event> {
        if entry.operation != kv::Operation::Put {
            return Some(Event::EdgeLeft(entry.key.clone()));
        }
        match serde_json::from_slice::<Presence>(&entry.value) {
            Ok(record) if record.edge_id == entry.key => Some(Event::EdgeHeard(Box::new(record))),
            Ok(record) => {
                let error = format!("the record of {} under another edge's key", record.edge_id);
                self.garbage.report(&entry.key, "an edge's presence", &error);
                None
            }
            Err(error) => {
                self.garbage.report(&entry.key, "an edge's presence", &error);
                None
            }
        }
    }

    fn acks(&self, message: &async_nats::Message) -> Option<Event> {
        let decoded = wire::decode_counted::<AckBatch>(&message.payload);
        match decoded.map(|decoded| self.garbage.counted(decoded)) {
            Ok(batch) if subjects::acks(&batch.edge_id) == *message.subject => Some(Event::Acks {
                batch,
                received_ms: now_ms(),
            }),
            Ok(batch) => {
                let error = format!("acknowledgements of {} on another edge's subject", batch.edge_id);
                self.garbage.report(&message.subject, "acknowledgements", &error);
                None
            }
            Err(error) => {
                self.garbage.report(&message.subject, "acknowledgements", &error);
                None
            }
        }
    }
}
