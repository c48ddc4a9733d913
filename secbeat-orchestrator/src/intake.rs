//! From the bus to the engine: the telemetry of the partitions that this orchestrator owns, and when it owns which.
//!
//! Partitions that are taken together are read together, in the stream's order, since the upstream-error guard compares sources.
//! Each is read from the beginning of the longest window, so that its windows are exact again.

mod reader;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;
use secbeat_bus::{Bus, Garbage};
use secbeat_common::sources::SourceLengths;
use secbeat_orchestrator_core::{decider::Event, leases::Ownership};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use self::reader::Reader;
use crate::{engine::Input, rules::InForce};

/// What the intake needs.
#[derive(Clone)]
pub(crate) struct Intake {
    pub bus: Bus,
    pub inputs: mpsc::Sender<Input>,
    pub garbage: Arc<Garbage>,
    pub sources: SourceLengths,
    /// What keeps readers from reading.
    pub troubles: Troubles,
    /// So much telemetry is read again of a partition that was taken as their longest window is, and of all when they change.
    pub rules: watch::Receiver<InForce>,
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

/// Reads some partitions, until it is dropped.
struct Reading {
    partitions: watch::Sender<BTreeSet<u16>>,
    task: JoinHandle<()>,
}

impl Reading {
    fn start(intake: &Intake, partitions: BTreeSet<u16>) -> Self {
        let (partitions, read) = watch::channel(partitions);
        let task = tokio::spawn(Reader::new(intake.clone(), read).run());
        Self { partitions, task }
    }

    fn reads(&self, partition: u16) -> bool {
        self.partitions.borrow().contains(&partition)
    }

    /// Stops to read. The engine gets nothing of it after this.
    async fn stop(self) -> BTreeSet<u16> {
        self.task.abort();
        let _ = self.task.await;
        self.partitions.borrow().clone()
    }
}

impl Intake {
    /// Reads what is owned, until nobody can say any more what that is.
    pub(crate) async fn run(mut self, mut changes: mpsc::UnboundedReceiver<Ownership>) {
        let mut readers: Vec<Reading> = Vec::new();
        let mut changed = Vec::new();
        loop {
            let went_on = tokio::select! {
                count = changes.recv_many(&mut changed, usize::MAX) => match count {
                    0 => return,
                    _ => self.follow(&mut changed, &mut readers).await,
                },
                Ok(()) = self.rules.changed() => self.read_again(&mut readers).await,
            };
            // The engine has ended.
            if !went_on {
                return;
            }
        }
    }

    /// Reads what was taken, and no more what was lost; returns whether the engine is there.
    async fn follow(&self, changed: &mut Vec<Ownership>, readers: &mut Vec<Reading>) -> bool {
        let mut taken = BTreeSet::new();
        for change in changed.drain(..) {
            // The engine hears of it before anything that is read because of it.
            if self.inputs.send(Event::Owned(change).into()).await.is_err() {
                return false;
            }
            match change {
                Ownership::Taken { partition, .. } => {
                    if !readers.iter().any(|reader| reader.reads(partition)) {
                        taken.insert(partition);
                    }
                }
                Ownership::Lost { partition } => {
                    taken.remove(&partition);
                    for reader in readers.iter() {
                        reader
                            .partitions
                            .send_if_modified(|partitions| partitions.remove(&partition));
                    }
                }
            }
        }
        readers.retain(|reader| !reader.partitions.borrow().is_empty());
        if !taken.is_empty() {
            readers.push(Reading::start(self, taken));
        }
        true
    }

    /// Tells the engine of other rules, and reads all again under them; returns whether the engine is there.
    async fn read_again(&mut self, readers: &mut Vec<Reading>) -> bool {
        let rules = self.rules.borrow_and_update().decided.clone();
        let mut partitions = BTreeSet::new();
        for reader in readers.drain(..) {
            partitions.extend(reader.stop().await);
        }
        if self
            .inputs
            .send(Event::Rules(Box::new(rules)).into())
            .await
            .is_err()
        {
            return false;
        }
        if !partitions.is_empty() {
            readers.push(Reading::start(self, partitions));
        }
        true
    }
}
