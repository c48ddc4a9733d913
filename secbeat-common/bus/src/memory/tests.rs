//! The conformance suite over the memory bus, and its faults.

use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::Instant;

use super::*;
use crate::{
    BucketSettings, EntryKind, Error, Write, WriteOutcome,
    conformance::{self, Lab},
};

/// 2026-01-01.
const START_MS: i64 = 1_767_225_600_000;

struct MemoryLab(MemoryServer);

impl Lab for MemoryLab {
    async fn join(&self) -> Bus {
        self.0.join().bus()
    }

    async fn stop(&self) {
        self.0.stop();
    }

    async fn start(&self) {
        self.0.start();
    }

    async fn delete_bucket(&self, name: &str) {
        self.0.delete(name);
    }
}

macro_rules! tests {
    ($($case:ident),* $(,)?) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $case() {
                conformance::$case(&MemoryLab(MemoryServer::new(START_MS))).await;
            }
        )*
    };
}

crate::for_each_case!(tests);

async fn bucket(member: &MemoryBus) -> Arc<dyn Bucket> {
    let bucket = member.bucket("test");
    let settings = BucketSettings {
        marker_ttl: Some(Duration::from_secs(60)),
        ..BucketSettings::default()
    };
    bucket.make(settings).await.unwrap();
    bucket
}

fn unacknowledged() -> Result<WriteOutcome, Error> {
    Err(Error::Unacknowledged("a write of a to test".to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_lost_acknowledgement_leaves_the_write() {
    let member = MemoryServer::new(START_MS).join();
    let bucket = bucket(&member).await;
    member.faults().lose_acknowledgements(1);
    let begun = Instant::now();
    assert_eq!(bucket.write(Write::put("a", "1").over(0)).await, unacknowledged());
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    assert_eq!(
        bucket.write(Write::put("a", "1").over(0)).await,
        Ok(WriteOutcome::Conflict)
    );
    assert_eq!(bucket.get("a").await.unwrap().unwrap().revision, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_write_leaves_nothing() {
    let member = MemoryServer::new(START_MS).join();
    let bucket = bucket(&member).await;
    member.faults().lose_writes(1);
    assert_eq!(bucket.write(Write::put("a", "1").over(0)).await, unacknowledged());
    assert_eq!(bucket.get("a").await, Ok(None));
    assert_eq!(
        bucket.write(Write::put("a", "1").over(0)).await,
        Ok(WriteOutcome::Written(1))
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_disconnected_reads_nothing_and_the_others_go_on() {
    let server = MemoryServer::new(START_MS);
    let (a, b) = (server.join(), server.join());
    let bucket = bucket(&a).await;
    let mut read = b.bucket("test").watch().await.unwrap().entries;
    b.disconnect();
    assert!(!b.is_connected() && a.is_connected());
    assert_eq!(
        bucket.write(Write::put("a", "1")).await,
        Ok(WriteOutcome::Written(1))
    );
    assert!(matches!(read.next().await, Some(Err(Error::Ended(_)))));
    assert!(read.next().await.is_none());
    assert_eq!(
        b.bucket("test").write(Write::put("a", "2")).await,
        unacknowledged()
    );
    b.reconnect();
    assert_eq!(*b.connections().borrow(), 2);
    assert_eq!(
        b.bucket("test").write(Write::put("a", "2")).await,
        Ok(WriteOutcome::Written(2))
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_published_while_disconnected_is_sent_afterwards() {
    let server = MemoryServer::new(START_MS);
    let (a, b) = (server.join(), server.join());
    let mut heard = b.subscribe("acks.*").await.unwrap();
    a.disconnect();
    a.publish("acks.1".to_owned(), "late".into()).await.unwrap();
    b.publish("acks.1".to_owned(), "first".into()).await.unwrap();
    assert_eq!(heard.next().await.unwrap().unwrap().payload, "first");
    a.reconnect();
    assert_eq!(heard.next().await.unwrap().unwrap().payload, "late");
}

#[tokio::test(start_paused = true)]
async fn a_delay_holds_back_what_is_read() {
    let server = MemoryServer::new(START_MS);
    let member = server.join();
    let bucket = bucket(&member).await;
    let mut read = bucket.watch().await.unwrap().entries;
    server.delay(Duration::from_secs(3));
    bucket.write(Write::put("a", "1")).await.unwrap();
    let begun = Instant::now();
    assert_eq!(read.next().await.unwrap().unwrap().entry.revision, 1);
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn the_clock_decides_to_the_millisecond_when_an_entry_ends() {
    let server = MemoryServer::new(START_MS);
    let member = server.join();
    let bucket = bucket(&member).await;
    bucket
        .write(Write::put("a", "1").ttl(Duration::from_secs(10)))
        .await
        .unwrap();
    tokio::time::advance(Duration::from_millis(9_999)).await;
    assert_eq!(bucket.get("a").await.unwrap().unwrap().kind, EntryKind::Put);
    tokio::time::advance(Duration::from_millis(1)).await;
    let marker = bucket.get("a").await.unwrap().unwrap();
    assert_eq!((marker.kind, marker.at_ms), (EntryKind::Purge, START_MS + 10_000));
    assert_eq!(server.now_ms(), START_MS + 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_batches_refuses_them() {
    let server = MemoryServer::new(START_MS);
    let member = server.join();
    let bucket = member.bucket("test");
    let settings = BucketSettings {
        batches: true,
        ..BucketSettings::default()
    };
    bucket.make(settings).await.unwrap();
    server.take_batches(false);
    assert!(!member.takes_batches());
    let refused = bucket.write_all(vec![Write::put("a", "1")]).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_too_old_is_told_at_the_next_connection() {
    let server = MemoryServer::new(START_MS);
    let member = server.join();
    server.be_too_old();
    let error = member.bus().unsupported().await;
    assert_eq!(
        error.to_string(),
        "the NATS server at memory is 2.10.0; SecBeat needs 2.11 or newer"
    );
}
