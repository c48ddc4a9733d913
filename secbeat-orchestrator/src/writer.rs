//! The shell around the [writer](secbeat_orchestrator_core::writer): carries its operations out on the bus.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use parking_lot::{Mutex, MutexGuard};
use secbeat_bus::{BanBucket, KeyState, WriteOutcome};
use secbeat_common::prefix::Prefix;
use secbeat_daemon::time::now_ms;
use secbeat_orchestrator_core::{
    bucket::{Found, Held, Put, Revisions},
    decider,
    leases::LeaseTable,
    writer::{Effect, Event, Operation, View, Writer},
};
use tokio::sync::{mpsc, watch};
use tracing::{debug, error};

use crate::{
    clock::{boot_ms, moment},
    engine::Input,
};

/// What was last heard of each key of the bucket. All clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedRevisions(Arc<Mutex<Revisions>>);

impl SharedRevisions {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Revisions> {
        self.0.lock()
    }
}

/// Where requests go. What is on its way when the last one is dropped is still written.
#[derive(Clone, Debug)]
pub(crate) struct WriterHandle {
    events: mpsc::UnboundedSender<Event>,
}

/// What a writer needs.
pub(crate) struct Config {
    pub bans: BanBucket,
    pub revisions: SharedRevisions,
    pub leases: watch::Receiver<LeaseTable>,
    /// Receiver of the fate of each request.
    pub inputs: mpsc::WeakSender<Input>,
}

impl Config {
    /// A writer and its task.
    pub(crate) fn build(self) -> (WriterHandle, impl Future<Output = ()>) {
        // Unbounded, but drained at once into one entry per target, and what comes is bounded by the ledger's brakes and
        // by the size of an import.
        let (events, waiting) = mpsc::unbounded_channel();
        let task = Task {
            shell: self,
            writer: Writer::default(),
            operations: FuturesUnordered::new(),
            effects: Vec::new(),
        };
        (WriterHandle { events }, task.run(waiting))
    }
}

impl WriterHandle {
    /// Hands over a request, or what is known of one.
    pub(crate) fn tell(&self, event: Event) {
        if self.events.send(event).is_err() {
            error!("bans cannot be written: the writer has ended");
        }
    }
}

struct Task {
    shell: Config,
    writer: Writer,
    operations: FuturesUnordered<BoxFuture<'static, Event>>,
    /// Empty between two events; kept for its room.
    effects: Vec<Effect>,
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::UnboundedReceiver<Event>) {
        let mut open = true;
        while open || !self.writer.is_idle() {
            let event = tokio::select! {
                event = waiting.recv(), if open => match event {
                    Some(event) => event,
                    None => {
                        open = false;
                        continue;
                    }
                },
                Some(event) = self.operations.next(), if !self.operations.is_empty() => event,
                () = until(self.writer.due_ms()) => Event::Tick,
            };
            self.handle(event).await;
        }
    }

    async fn handle(&mut self, event: Event) {
        let takes_batches = self.shell.bans.takes_batches();
        let leases = self.shell.leases.borrow_and_update().clone();
        {
            let view = View {
                now: moment(),
                revisions: &self.shell.revisions.lock(),
                leases: &leases,
                takes_batches,
            };
            self.writer.handle(event, view, &mut self.effects);
        }
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Report { id, fate } => {
                    if let Some(inputs) = self.shell.inputs.upgrade() {
                        let _ = inputs.send(decider::Event::Done { id, fate }.into()).await;
                    }
                }
                Effect::Operate(operation) => {
                    let bans = self.shell.bans.clone();
                    self.operations.push(carry_out(bans, operation).boxed());
                }
            }
        }
        self.effects = effects;
    }
}

/// Waits until `due_ms` of the boot clock; for ever if there is none.
async fn until(due_ms: Option<i64>) {
    match due_ms {
        None => std::future::pending().await,
        Some(due_ms) => {
            let left = u64::try_from(due_ms - boot_ms()).unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(left)).await;
        }
    }
}

/// Does one operation, once.
async fn carry_out(bans: BanBucket, operation: Operation) -> Event {
    let failed = |error: &secbeat_bus::Error| debug!("an operation on the bans bucket failed: {error}");
    match operation {
        Operation::Put { command, over } => {
            let put = bans.put(&command, key_state(over), now_ms()).await;
            done(command.target, &put.inspect_err(failed))
        }
        Operation::Read { target } => {
            let read = bans.get(&target).await.inspect_err(failed);
            read.map_or(Event::Failed { target }, |(revision, found)| Event::Read {
                target,
                revision,
                found: match found {
                    secbeat_bus::Found::Ban(command) => Found::Ban(command),
                    secbeat_bus::Found::Lifted(id) => Found::Lifted(id),
                    secbeat_bus::Found::Nothing => Found::Nothing,
                },
            })
        }
        Operation::Remove { target, id, over } => {
            let removed = bans.lift(&target, id, key_state(over), now_ms()).await;
            done(target, &removed.inspect_err(failed))
        }
        Operation::PutAll { batch, commands } => {
            let commands: Vec<_> = commands
                .into_iter()
                .map(|(command, over)| (command, key_state(over)))
                .collect();
            match bans.put_all(&commands, now_ms()).await.inspect_err(failed) {
                Ok(WriteOutcome::Written(first_revision)) => Event::AllPut {
                    batch,
                    first_revision,
                },
                Ok(WriteOutcome::Conflict) | Err(_) => Event::BatchFailed { batch },
            }
        }
    }
}

fn done(target: Prefix, outcome: &secbeat_bus::Result<WriteOutcome>) -> Event {
    let put = match outcome {
        Ok(WriteOutcome::Written(revision)) => Put::Written { revision: *revision },
        Ok(WriteOutcome::Conflict) => Put::Conflict,
        Err(_) => return Event::Failed { target },
    };
    Event::Done { target, put }
}

fn key_state(held: Held) -> KeyState {
    let Held {
        revision,
        expires_at_ms,
        seen,
    } = held;
    KeyState {
        revision,
        expires_at_ms,
        seen,
    }
}
