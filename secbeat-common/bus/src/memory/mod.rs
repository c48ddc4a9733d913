//! A bus inside one process, for tests: deterministic, with faults that a test switches on.
//!
//! It does what a NATS server does, as far as SecBeat goes by it; the conformance suite runs over both. Time is tokio's, so
//! that a test with a paused clock decides when an entry ends. [`MemoryServer`] is the server, and each [`MemoryServer::join`]
//! another member's connection.

mod bucket;
mod faults;
mod log;
mod topics;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt as _;
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

pub use self::faults::Faults;
use self::{bucket::Keys, bucket::MemoryBucket, log::MemoryLog, log::Records, topics::Topics};
use crate::{
    backend::{Answer, Backend, Bucket, Created, Log, Messages, Published, Storage},
    bus::Bus,
    checks::check_payload,
    error::{Error, Result},
};

/// Time that a call waits for the connection, or for an acknowledgement that was lost.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;

/// A server that keeps buckets and logs. All clones are one.
#[derive(Clone)]
pub struct MemoryServer(Arc<Mutex<State>>);

struct State {
    /// What [`start_ms`](Self::start_ms) was by tokio's clock.
    start: Instant,
    start_ms: i64,
    /// Number of buckets and logs that were made.
    made: i128,
    buckets: BTreeMap<String, Keys>,
    logs: BTreeMap<String, Records>,
    topics: Topics,
    members: Vec<Arc<Link>>,
    /// Time that an entry or a record is on its way to those who read.
    delay: Duration,
    takes_batches: bool,
    is_too_old: bool,
    is_down: bool,
}

/// A member's connection.
#[derive(Debug)]
struct Link {
    /// Connections so far.
    count: watch::Sender<u64>,
    is_up: watch::Sender<bool>,
    faults: Mutex<faults::Pending>,
    /// What was published while it was down.
    unsent: Mutex<Vec<Published>>,
    broken: Notify,
}

impl fmt::Debug for MemoryServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryServer")
    }
}

impl MemoryServer {
    /// An empty one whose clock says `start_ms` now, milliseconds since the Unix epoch.
    #[must_use]
    pub fn new(start_ms: i64) -> Self {
        Self(Arc::new(Mutex::new(State {
            start: Instant::now(),
            start_ms,
            made: 0,
            buckets: BTreeMap::new(),
            logs: BTreeMap::new(),
            topics: Topics::default(),
            members: Vec::new(),
            delay: Duration::ZERO,
            takes_batches: true,
            is_too_old: false,
            is_down: false,
        })))
    }

    /// A connection of its own, which is up unless the server is [down](Self::stop).
    #[must_use]
    pub fn join(&self) -> MemoryBus {
        let mut state = self.lock();
        let is_up = !state.is_down;
        let link = Arc::new(Link {
            count: watch::channel(u64::from(is_up)).0,
            is_up: watch::channel(is_up).0,
            faults: Mutex::default(),
            unsent: Mutex::default(),
            broken: Notify::new(),
        });
        state.members.push(link.clone());
        drop(state);
        MemoryBus {
            server: self.clone(),
            link,
        }
    }

    /// Returns what the server's clock says, milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.lock().now_ms()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl State {
    fn now_ms(&self) -> i64 {
        let passed = self.start.elapsed().as_millis();
        self.start_ms
            .saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
    }

    /// A moment that no other bucket or log was made at.
    fn created(&mut self) -> Created {
        self.made += 1;
        Created(i128::from(self.now_ms()) * 1_000_000 + self.made)
    }

    /// Hands a message to all who subscribe to it, and to the log that keeps it.
    fn publish(&mut self, message: &Published, id: Option<&str>) -> Option<Result<u64>> {
        let (now, now_ms, delay) = (Instant::now(), self.now_ms(), self.delay);
        self.topics.publish(message, now + delay);
        let mut logs = self.logs.values_mut();
        let log = logs.find(|log| log.keeps(&message.subject))?;
        Some(log.append(message, id, now, now_ms, delay))
    }

    /// What lies in memory alone is gone.
    fn forget_memory(&mut self) {
        self.buckets
            .retain(|_, keys| keys.settings.storage == Storage::File);
        self.logs
            .retain(|_, records| records.settings.storage == Storage::File);
    }
}

impl Link {
    fn is_connected(&self) -> bool {
        *self.is_up.borrow()
    }

    /// # Errors
    ///
    /// Returns an error if the connection is down for too long.
    async fn connected(&self, what: &str) -> Result<()> {
        let mut is_up = self.is_up.subscribe();
        let up = tokio::time::timeout(ACK_TIMEOUT, is_up.wait_for(|is_up| *is_up)).await;
        match up {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::Unacknowledged(what.to_owned())),
        }
    }

    /// Waits until the connection of this number is no more.
    async fn broken(&self, connection: u64) {
        let broken = self.broken.notified();
        if self.is_connected() && *self.count.borrow() == connection {
            broken.await;
        }
    }
}

/// A member's connection to a [`MemoryServer`]. All clones are one.
#[derive(Clone, Debug)]
pub struct MemoryBus {
    server: MemoryServer,
    link: Arc<Link>,
}

impl MemoryBus {
    /// The handle that daemons take.
    #[must_use]
    pub fn bus(&self) -> Bus {
        Bus::new(self.clone())
    }

    /// Returns what a test switches on.
    #[must_use]
    pub fn faults(&self) -> Faults<'_> {
        Faults(&self.link)
    }

    /// Does `work` at the server once the connection is up, unless a fault keeps it from being done or acknowledged.
    async fn write<T>(&self, what: &str, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        self.link.connected(what).await?;
        let fault = self.link.faults.lock().next_write();
        let lost = || Error::Unacknowledged(what.to_owned());
        match fault {
            None => work(&mut self.server.lock()),
            Some(fault) => {
                if fault == faults::Lost::Acknowledgement {
                    drop(work(&mut self.server.lock()));
                }
                tokio::time::sleep(ACK_TIMEOUT).await;
                Err(lost())
            }
        }
    }
}

impl Backend for MemoryBus {
    fn connections(&self) -> watch::Receiver<u64> {
        self.link.count.subscribe()
    }

    fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    fn check_server(&self) -> Result<()> {
        match self.server.lock().is_too_old {
            false => Ok(()),
            true => Err(Error::TooOld {
                server: "memory".to_owned(),
                version: "2.10.0".to_owned(),
                oldest: (2, 11),
            }),
        }
    }

    fn takes_batches(&self) -> bool {
        self.server.lock().takes_batches
    }

    fn bucket(&self, name: &str) -> Arc<dyn Bucket> {
        Arc::new(MemoryBucket {
            bus: self.clone(),
            name: name.to_owned(),
        })
    }

    fn log(&self, name: &str) -> Arc<dyn Log> {
        Arc::new(MemoryLog {
            bus: self.clone(),
            name: name.to_owned(),
        })
    }

    fn publish(&self, subject: String, payload: Bytes) -> Answer<()> {
        let bus = self.clone();
        async move {
            let message = Published { subject, payload };
            check_payload(&message.payload)?;
            if bus.link.is_connected() {
                bus.server.lock().publish(&message, None);
            } else {
                bus.link.unsent.lock().push(message);
            }
            Ok(())
        }
        .boxed()
    }

    fn subscribe(&self, subject: &str) -> Answer<Messages<Published>> {
        let (bus, subject) = (self.clone(), subject.to_owned());
        async move { Ok(bus.server.lock().topics.subscribe(&subject, bus.link.clone())) }.boxed()
    }

    fn flush(&self) -> Answer<()> {
        let bus = self.clone();
        async move { bus.link.connected("what was published").await }.boxed()
    }
}
