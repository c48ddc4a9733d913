//! Messages that nobody waits for.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use secbeat_bus::Bus;
use tokio::sync::mpsc;
use tracing::debug;

/// Messages that may wait to be published.
const QUEUE: usize = 8192;
/// The queue is full or NATS is away: the message is lost, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message was dropped")]
pub(crate) struct Dropped;

/// Publishes without ever waiting.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    queue: mpsc::Sender<(String, Bytes)>,
    lost: Arc<AtomicU64>,
}

impl Publisher {
    /// A publisher and the task that feeds the connection; it ends with the last publisher.
    pub(crate) fn new(bus: Bus) -> (Self, impl Future<Output = ()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        (
            Self {
                queue,
                lost: lost.clone(),
            },
            publish_all(bus, waiting, lost),
        )
    }

    /// Hands a message over.
    ///
    /// # Errors
    ///
    /// [`Dropped`] when too many wait already.
    pub(crate) fn publish(&self, subject: String, payload: Vec<u8>) -> Result<(), Dropped> {
        self.queue.try_send((subject, payload.into())).map_err(|_| {
            self.lost.fetch_add(1, Ordering::Relaxed);
            Dropped
        })
    }

    /// Messages lost so far, while NATS was away or too slow.
    #[must_use]
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

async fn publish_all(bus: Bus, mut waiting: mpsc::Receiver<(String, Bytes)>, lost: Arc<AtomicU64>) {
    while let Some((subject, payload)) = waiting.recv().await {
        // What these messages acknowledge would arrive as if it were recent.
        if !bus.is_connected() {
            lost.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        if let Err(error) = bus.publish(subject, payload).await {
            debug!(%error, "publishing failed");
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use secbeat_bus::memory::MemoryServer;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_published_while_nats_is_away_is_lost_and_counted() {
        let server = MemoryServer::new(0);
        let (member, listener) = (server.join(), server.join());
        let mut heard = listener.bus().subscribe("acks.*").await.unwrap();
        let (publisher, publishing) = Publisher::new(member.bus());
        let publishing = tokio::spawn(publishing);
        publisher.publish("acks.1".to_owned(), b"one".to_vec()).unwrap();
        assert_eq!(heard.next().await.unwrap().unwrap().payload, "one");
        member.disconnect();
        publisher.publish("acks.1".to_owned(), b"two".to_vec()).unwrap();
        tokio::task::yield_now().await;
        member.reconnect();
        publisher.publish("acks.1".to_owned(), b"three".to_vec()).unwrap();
        assert_eq!(heard.next().await.unwrap().unwrap().payload, "three");
        assert_eq!(publisher.lost(), 1);
        drop(publisher);
        publishing.await.unwrap();
    }

    #[tokio::test]
    async fn a_full_queue_loses_what_comes_and_never_blocks() {
        let server = MemoryServer::new(0);
        let (publisher, _publishing) = Publisher::new(server.join().bus());
        for _ in 0..QUEUE {
            publisher.publish("acks.1".to_owned(), Vec::new()).unwrap();
        }
        assert_eq!(publisher.publish("acks.1".to_owned(), Vec::new()), Err(Dropped));
        assert_eq!(publisher.lost(), 1);
    }
}
