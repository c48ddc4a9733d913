//! From the bus to the engine: the telemetry of the partitions that this orchestrator owns, and when it owns which.
//!
//! Partitions that are taken together are read together, in the stream's order, since the outage guard compares sources.
//! Each is read from the beginning of the longest window, so that its windows are exact again.

mod reader;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use secbeat_bus::{Bus, Garbage};
use secbeat_common::sources::SourceLengths;
use secbeat_orchestrator_core::{decider::Event, leases::Ownership};
use tokio::sync::{mpsc, watch};

use self::reader::Reader;
use crate::engine::Input;

/// What the intake needs.
#[derive(Clone)]
pub(crate) struct Intake {
    pub bus: Bus,
    pub inputs: mpsc::Sender<Input>,
    pub garbage: Arc<Garbage>,
    pub sources: SourceLengths,
    /// What keeps readers from reading.
    pub troubles: Troubles,
    /// The longest window: so much telemetry is read again of a partition that was taken.
    pub window: Duration,
}

/// What keeps readers from reading, one entry for each of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Troubles(Arc<Mutex<Vec<Arc<str>>>>);

/// One reader's trouble, until it is dropped.
#[derive(Debug)]
struct Trouble {
    all: Troubles,
    what: Arc<str>,
}

impl Troubles {
    /// The first of them.
    pub(crate) fn first(&self) -> Option<String> {
        self.0.lock().first().map(ToString::to_string)
    }

    fn add(&self, what: String) -> Trouble {
        let what: Arc<str> = what.into();
        self.0.lock().push(what.clone());
        Trouble {
            all: self.clone(),
            what,
        }
    }
}

impl Drop for Trouble {
    fn drop(&mut self) {
        self.all.0.lock().retain(|what| !Arc::ptr_eq(what, &self.what));
    }
}

/// Partitions that one reader reads.
type Partitions = watch::Sender<BTreeSet<u16>>;

impl Intake {
    /// Reads what is owned, until nobody can say any more what that is.
    pub(crate) async fn run(self, mut changes: mpsc::UnboundedReceiver<Ownership>) {
        let mut readers: Vec<Partitions> = Vec::new();
        let mut changed = Vec::new();
        while changes.recv_many(&mut changed, usize::MAX).await > 0 {
            let mut taken = BTreeSet::new();
            for change in changed.drain(..) {
                // The engine hears of it before anything that is read because of it.
                if self.inputs.send(Event::Owned(change).into()).await.is_err() {
                    return;
                }
                match change {
                    Ownership::Taken { partition, .. } => {
                        let is_read = |reader: &Partitions| reader.borrow().contains(&partition);
                        if !readers.iter().any(is_read) {
                            taken.insert(partition);
                        }
                    }
                    Ownership::Lost { partition } => {
                        taken.remove(&partition);
                        for reader in &readers {
                            reader.send_if_modified(|partitions| partitions.remove(&partition));
                        }
                    }
                }
            }
            readers.retain(|reader| !reader.borrow().is_empty());
            if !taken.is_empty() {
                let (reader, partitions) = watch::channel(taken);
                readers.push(reader);
                tokio::spawn(Reader::new(self.clone(), partitions).run());
            }
        }
    }
}
