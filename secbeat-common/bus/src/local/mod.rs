//! The bus of one host: inside one process, kept in a file.
//!
//! What would be a NATS server is one thread with a SQLite database. Everything that changes a bucket or a log is a job for
//! it, done one after the other; those that came while it was busy are [committed together](group). What it has acknowledged
//! outlives a SIGKILL of the process: it is in the database's write-ahead log by then. A power cut may take what came after the
//! last checkpoint, at most [`store::CHECKPOINT`] ago, and never more than that; the database stays consistent (SQLite's
//! `synchronous = NORMAL`, <https://sqlite.org/wal.html>).
//! Buckets and logs of [`Storage::Memory`](crate::Storage::Memory) lie in a database beside it that is never written to disk.
//!
//! A disk that is full takes no records any more, bans as long as [room is kept](reserve) for them, and harms nothing that is there. A database that fails otherwise disconnects all
//! members, and is opened again until that succeeds.

mod bucket;
mod clock;
mod group;
mod job;
mod keys;
mod log;
mod look;
mod records;
mod reserve;
mod schema;
mod server;
mod store;
mod topics;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt as _;
use tokio::sync::{oneshot, watch};

use self::{
    bucket::LocalBucket,
    job::{Call, Job, Publication},
    log::LocalLog,
    server::Shared,
    store::Store,
};
pub use self::{look::look_at_store, server::LocalServer};
use crate::{
    backend::{Answer, Backend, Bucket, Log, Messages, Published},
    bus::Bus,
    checks::check_payload,
    error::{Error, Result},
};

/// Time that a call waits for the store.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;

/// A member's connection to a [`LocalServer`]. All clones are one.
#[derive(Clone, Debug)]
pub struct LocalBus(Arc<Shared>);

impl LocalBus {
    /// The handle that daemons take.
    #[must_use]
    pub fn bus(&self) -> Bus {
        Bus::new(self.clone())
    }

    /// Has the store do `work`, and waits for what comes of it. Jobs are done in the order in which their calls are first
    /// polled. What a job did is undone, and it is done again, if others that were done with it fail.
    async fn call<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnMut(&mut Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.ask(what, Call::new(work, false)).await
    }

    /// The same outside of a transaction.
    async fn call_alone<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnMut(&mut Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.ask(what, Call::new(work, true)).await
    }

    async fn ask<T, J: Job + 'static>(
        &self,
        what: &str,
        (job, answered): (J, oneshot::Receiver<Result<T>>),
    ) -> Result<T> {
        let late = || Error::Unacknowledged(what.to_owned());
        let done = async {
            self.0.send(Box::new(job)).await;
            answered.await
        };
        match tokio::time::timeout(ACK_TIMEOUT, done).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(late()),
        }
    }

    /// Waits until the connection of this number is no more.
    async fn broken(&self, connection: u64) {
        let mut up = self.0.up.subscribe();
        let is_another = |up: &server::Up| !up.is_up || up.connections != connection;
        // The sender is in `self`.
        drop(up.wait_for(is_another).await);
    }
}

impl Backend for LocalBus {
    fn connections(&self) -> watch::Receiver<u64> {
        self.0.connections.subscribe()
    }

    fn is_connected(&self) -> bool {
        self.0.up.borrow().is_up
    }

    fn check_server(&self) -> Result<()> {
        Ok(())
    }

    fn ends_with_members(&self) -> bool {
        true
    }

    fn takes_batches(&self) -> bool {
        true
    }

    fn bucket(&self, name: &str) -> Arc<dyn Bucket> {
        Arc::new(LocalBucket {
            bus: self.clone(),
            name: name.to_owned(),
        })
    }

    fn log(&self, name: &str) -> Arc<dyn Log> {
        Arc::new(LocalLog {
            bus: self.clone(),
            name: name.to_owned(),
        })
    }

    fn publish(&self, subject: String, payload: Bytes) -> Answer<()> {
        let shared = self.0.clone();
        async move {
            check_payload(&payload)?;
            let message = Published { subject, payload };
            shared.send(Box::new(Publication::from(message))).await;
            Ok(())
        }
        .boxed()
    }

    fn subscribe(&self, subject: &str) -> Answer<Messages<Published>> {
        let messages = self.0.topics.subscribe(subject);
        async move { Ok(messages) }.boxed()
    }

    fn flush(&self) -> Answer<()> {
        let bus = self.clone();
        async move { bus.call("what was published", |_| Ok(())).await }.boxed()
    }
}
