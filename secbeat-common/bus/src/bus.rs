//! The handle that daemons hold.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    backend::{Answer, Backend, Bucket, Log, Messages, Published, Writing},
    error::{Error, Result},
    kept::Kept,
};

/// A connection to the bus, whatever implements it. All clones are one.
#[derive(Clone, Debug)]
pub struct Bus(Arc<dyn Backend>);

impl Bus {
    #[must_use]
    pub fn new(backend: impl Backend) -> Self {
        Self(Arc::new(backend))
    }

    /// Whether the bus is reachable right now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.is_connected()
    }

    /// The number of the latest connection; 0 before the first.
    #[must_use]
    pub fn connection(&self) -> u64 {
        *self.0.connections().borrow()
    }

    /// Waits until a connection other than number `seen` is up, and returns its number. Connections count from 1.
    pub async fn connection_after(&self, seen: u64) -> u64 {
        let mut connections = self.0.connections();
        let latest = connections
            .wait_for(|count| *count > seen)
            .await
            .map(|count| *count);
        match latest {
            Ok(count) => count,
            // The backend holds the sender; without it there will be no other connection.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits for a connection to a server that SecBeat does not work with, and returns why.
    pub async fn unsupported(&self) -> Error {
        let mut connection = 0;
        loop {
            connection = self.connection_after(connection).await;
            if let Err(error) = self.0.check_server() {
                return error;
            }
        }
    }

    /// See [`Backend::ends_with_members`].
    #[must_use]
    pub fn ends_with_members(&self) -> bool {
        self.0.ends_with_members()
    }

    /// Whether the connected server takes atomic batches.
    #[must_use]
    pub fn takes_batches(&self) -> bool {
        self.0.takes_batches()
    }

    /// See [`Backend::writing`].
    #[must_use]
    pub fn writing(&self) -> Vec<Writing> {
        self.0.writing()
    }

    /// See [`Backend::kept`].
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        self.0.kept()
    }

    /// See [`Backend::bucket`].
    #[must_use]
    pub fn bucket(&self, name: &str) -> Arc<dyn Bucket> {
        self.0.bucket(name)
    }

    /// See [`Backend::log`].
    #[must_use]
    pub fn log(&self, name: &str) -> Arc<dyn Log> {
        self.0.log(name)
    }

    /// See [`Backend::publish`].
    pub fn publish(&self, subject: String, payload: Bytes) -> Answer<()> {
        self.0.publish(subject, payload)
    }

    /// See [`Backend::subscribe`].
    pub fn subscribe(&self, subject: &str) -> Answer<Messages<Published>> {
        self.0.subscribe(subject)
    }

    /// See [`Backend::flush`].
    ///
    /// # Errors
    ///
    /// Returns an error if the connection breaks first.
    pub async fn flush(&self) -> Result<()> {
        self.0.flush().await
    }
}
