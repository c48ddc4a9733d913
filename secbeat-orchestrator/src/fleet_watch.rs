//! Messages of the edges on the bus, their presence and acknowledgements, brought to the engine.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::StreamExt as _;
use secbeat_bus::{Bus, EdgeBucket, Entry, EntryKind, Garbage, Published, Update};
use secbeat_common::{
    subjects,
    wire::{self, AckBatch, Presence},
};
use secbeat_daemon::time::now_ms;
use secbeat_orchestrator_core::decider::Event;
use tokio::sync::mpsc;
use tracing::error;

use crate::engine::Input;

/// What the watch needs.
pub(crate) struct FleetWatch {
    pub bus: Bus,
    pub inputs: mpsc::Sender<Input>,
    pub garbage: Arc<Garbage>,
}

impl FleetWatch {
    /// Watches until the engine ends.
    pub(crate) async fn run(self) {
        tokio::select! {
            () = self.inputs.closed() => {}
            failed = self.watch() => error!("cannot hear the edges any more: {failed}"),
        }
    }

    async fn watch(&self) -> secbeat_bus::Error {
        let mut acks = match self.bus.subscribe(subjects::ACKS_ALL).await {
            Ok(acks) => acks,
            Err(error) => return error,
        };
        let mut edges = EdgeBucket::follow(&self.bus);
        loop {
            tokio::select! {
                update = edges.next() => match update {
                    Update::Held(entries) => {
                        for entry in &entries {
                            self.send(self.presence(entry)).await;
                        }
                    }
                    Update::Changed(entry) => self.send(self.presence(&entry)).await,
                    Update::Begin(_) | Update::Complete => {}
                },
                message = acks.next() => match message {
                    Some(Ok(message)) => self.send(self.acks(&message)).await,
                    Some(Err(error)) => return error,
                    None => return secbeat_bus::Error::Ended("the subscription to acknowledgements".to_owned()),
                },
            }
        }
    }

    /// [`run`](Self::run) sees when the engine has ended.
    async fn send(&self, event: Option<Event>) {
        if let Some(event) = event {
            let _ = self.inputs.send(event.into()).await;
        }
    }

    fn presence(&self, entry: &Entry) -> Option<Event> {
        if entry.kind != EntryKind::Put {
            return Some(Event::EdgeLeft(entry.key.clone()));
        }
        match serde_json::from_slice::<Presence>(&entry.value) {
            Ok(record) if record.edge_id == entry.key => Some(Event::EdgeHeard(Box::new(record.bounded()))),
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

    fn acks(&self, message: &Published) -> Option<Event> {
        let decoded = wire::decode_counted::<AckBatch>(&message.payload);
        match decoded.map(|decoded| self.garbage.counted(decoded)) {
            Ok(batch) if subjects::acks(&batch.edge_id) == message.subject => Some(Event::Acks {
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
