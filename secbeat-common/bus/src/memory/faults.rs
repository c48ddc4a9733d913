//! Faults that a test switches on.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{Link, MemoryBus, MemoryServer};

/// What is lost of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The write itself: the server never has it.
    Write,
    /// The acknowledgement alone.
    Acknowledgement,
}

/// Faults of the writes to come, in their order.
#[derive(Debug, Default)]
pub(super) struct Pending(VecDeque<Lost>);

impl Pending {
    pub(super) fn next_write(&mut self) -> Option<Lost> {
        self.0.pop_front()
    }
}

/// Faults of one member's connection.
#[derive(Debug)]
pub struct Faults<'a>(pub(super) &'a Link);

impl Faults<'_> {
    /// The server never has the next `writes`, and the member waits for their acknowledgements in vain.
    pub fn lose_writes(&self, writes: usize) {
        self.0.faults.lock().0.extend([Lost::Write].repeat(writes));
    }

    /// The server has the next `writes`, but the member hears nothing of it.
    pub fn lose_acknowledgements(&self, writes: usize) {
        self.0
            .faults
            .lock()
            .0
            .extend([Lost::Acknowledgement].repeat(writes));
    }
}

impl Link {
    fn disconnect(&self) {
        if self.is_up.send_replace(false) {
            self.broken.notify_waiters();
        }
    }
}

impl MemoryBus {
    /// Breaks the connection: what is read over it ends, and calls wait.
    pub fn disconnect(&self) {
        self.link.disconnect();
    }

    /// Connects again. What was published meanwhile is sent.
    pub fn reconnect(&self) {
        self.server.connect(&self.link);
    }
}

impl MemoryServer {
    fn connect(&self, link: &Arc<Link>) {
        if !link.is_up.send_replace(true) {
            let unsent = std::mem::take(&mut *link.unsent.lock());
            let mut state = self.lock();
            for message in unsent {
                state.publish(&message, None);
            }
            link.count.send_modify(|count| *count += 1);
        }
    }

    /// Stops the server: everybody is disconnected.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.is_down = true;
        let members = state.members.clone();
        drop(state);
        members.iter().for_each(|link| link.disconnect());
    }

    /// Starts it again. What lay in memory alone is gone.
    pub fn start(&self) {
        let mut state = self.lock();
        state.is_down = false;
        state.forget_memory();
        let members = state.members.clone();
        drop(state);
        members.iter().for_each(|link| self.connect(link));
    }

    /// Sets the server's clock to `now_ms`, milliseconds since the Unix epoch.
    pub fn set_clock(&self, now_ms: i64) {
        let mut state = self.lock();
        let passed_ms = state.now_ms().saturating_sub(state.start_ms);
        state.start_ms = now_ms.saturating_sub(passed_ms);
    }

    /// Deletes a bucket or a log with all that it holds; the one who reads it hears nothing of that.
    pub fn delete(&self, name: &str) {
        let mut state = self.lock();
        state.buckets.remove(name);
        state.logs.remove(name);
    }

    /// From now on entries, records and messages are so long on their way to those who read.
    pub fn delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// Whether the server takes atomic batches, as NATS servers do from 2.12 on.
    pub fn take_batches(&self, takes: bool) {
        self.lock().takes_batches = takes;
    }

    /// The server is one that SecBeat refuses to work with.
    pub fn be_too_old(&self) {
        self.lock().is_too_old = true;
    }
}
