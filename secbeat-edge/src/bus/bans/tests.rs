use std::{sync::Arc, time::Duration};

use secbeat_bus::{
    Garbage, KeyState, RefusedCommands, Write, WriteOutcome, make_all,
    memory::{MemoryBus, MemoryServer},
    samples,
};
use secbeat_common::{
    prefix::Prefix,
    sign::{SecretKey, Signer, Trust},
    subjects,
};
use tokio::{sync::mpsc, task::JoinHandle};
use uuid::Uuid;

use super::*;
use crate::enforcer::handle::{Message, channel};

const HOUR_MS: i64 = 3_600_000;

/// A watch over a bus in memory, and an orchestrator that writes to it.
struct Lab {
    server: MemoryServer,
    member: MemoryBus,
    bans: BanBucket,
    messages: mpsc::Receiver<Message>,
    /// The buckets that were read, in their order.
    buckets: Vec<BucketId>,
    refused: RefusedCommands,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Lab {
    /// Prepares what the bucket holds before the watch starts.
    async fn start(prepare: impl AsyncFnOnce(&BanBucket)) -> Self {
        let server = MemoryServer::new(now_ms());
        let orchestrator = server.join().bus();
        make_all(&orchestrator, Duration::from_secs(60)).await.unwrap();
        let key = SecretKey::generate().unwrap();
        let trust: Trust = [key.public()].into_iter().collect();
        let bans = BanBucket::new(&orchestrator, trust.clone(), Signer::from(Some(key)));
        prepare(&bans).await;
        let member = server.join();
        let (enforcer, messages) = channel();
        let refused = RefusedCommands::default();
        let watch = BanWatch {
            bus: member.bus(),
            clock: samples::clock(&member.bus()),
            enforcer,
            reader: CommandReader::new(trust, refused.clone(), Arc::new(Garbage::default())),
        };
        Self {
            server,
            member,
            bans,
            messages,
            buckets: Vec::new(),
            refused,
            running: tokio::spawn(watch.run()),
        }
    }

    /// What the enforcer is told next.
    async fn told(&mut self) -> String {
        match self.messages.recv().await {
            Some(Message::Bucket(update)) => match update {
                BucketUpdate::SnapshotBegin(id) => {
                    self.buckets.push(id);
                    "begin".to_owned()
                }
                BucketUpdate::SnapshotEnd => "end".to_owned(),
                BucketUpdate::TimeSet => "time set".to_owned(),
                BucketUpdate::Put {
                    command, revision, ..
                } => format!("ban {}@{revision}", command.target),
                BucketUpdate::Removed { target, revision } => format!("lift {target}@{revision}"),
                BucketUpdate::Spoiled { target } => format!("spoiled {target}"),
            },
            Some(_) => panic!("no update of the bucket"),
            None => panic!("the watch has ended"),
        }
    }

    async fn told_all(&mut self, n: usize) -> Vec<String> {
        let mut all = Vec::with_capacity(n);
        while all.len() < n {
            all.push(self.told().await);
        }
        all
    }
}

fn target(n: u8) -> Prefix {
    format!("198.51.100.{n}").parse().unwrap()
}

fn ban(n: u8) -> BlockCommand {
    samples::ban(target(n), Uuid::from_u128(n.into()), now_ms(), HOUR_MS)
}

async fn put(bans: &BanBucket, n: u8, over: u64) {
    let over = KeyState {
        revision: over,
        seen: over,
        ..KeyState::default()
    };
    let written = bans.put(&ban(n), over, now_ms()).await;
    assert!(matches!(written, Ok(WriteOutcome::Written(_))), "{written:?}");
}

async fn lift(bans: &BanBucket, n: u8, revision: u64) {
    let over = KeyState {
        revision,
        expires_at_ms: now_ms() + HOUR_MS,
        seen: revision,
    };
    let lifted = bans
        .lift(&target(n), Uuid::from_u128(n.into()), over, now_ms())
        .await;
    assert!(matches!(lifted, Ok(WriteOutcome::Written(_))), "{lifted:?}");
}

#[tokio::test(start_paused = true)]
async fn the_enforcer_is_told_what_there_is_and_then_every_change() {
    let mut lab = Lab::start(async |bans| {
        put(bans, 1, 0).await;
        put(bans, 2, 0).await;
        lift(bans, 2, 2).await;
    })
    .await;
    assert_eq!(
        lab.told_all(4).await,
        ["begin", "ban 198.51.100.1/32@1", "lift 198.51.100.2/32@3", "end"]
    );
    put(&lab.bans, 3, 0).await;
    lift(&lab.bans, 1, 1).await;
    assert_eq!(
        lab.told_all(2).await,
        ["ban 198.51.100.3/32@4", "lift 198.51.100.1/32@5"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_nobody_trusts_is_told_as_such_and_counted() {
    let mut lab = Lab::start(async |bans| {
        put(bans, 1, 0).await;
    })
    .await;
    assert_eq!(lab.told_all(3).await, ["begin", "ban 198.51.100.1/32@1", "end"]);
    let bucket = lab.server.join().bus().bucket(subjects::BANS_BUCKET);
    bucket.write(Write::delete(target(1).key())).await.unwrap();
    bucket
        .write(Write::put(target(2).key(), "no command"))
        .await
        .unwrap();
    bucket.write(Write::put("nobody", "x")).await.unwrap();
    put(&lab.bans, 3, 0).await;
    assert_eq!(
        lab.told_all(3).await,
        [
            "spoiled 198.51.100.1/32",
            "spoiled 198.51.100.2/32",
            "ban 198.51.100.3/32@5"
        ]
    );
    let refused = lab.refused.counts().filter(|(_, count)| *count > 0);
    let refused: Vec<_> = refused.map(|(reason, count)| (reason.name(), count)).collect();
    assert_eq!(refused, [("malformed", 1), ("unsigned", 1)]);
}

#[tokio::test(start_paused = true)]
async fn after_a_reconnect_the_enforcer_is_told_all_again() {
    let mut lab = Lab::start(async |bans| {
        put(bans, 1, 0).await;
    })
    .await;
    lab.told_all(3).await;
    lab.member.disconnect();
    lift(&lab.bans, 1, 1).await;
    put(&lab.bans, 2, 0).await;
    lab.member.reconnect();
    assert_eq!(
        lab.told_all(4).await,
        ["begin", "lift 198.51.100.1/32@2", "ban 198.51.100.2/32@3", "end"]
    );
    assert_eq!(lab.buckets[0], lab.buckets[1]);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_was_made_anew_has_another_id_and_its_revisions_count() {
    let mut lab = Lab::start(async |bans| {
        put(bans, 1, 0).await;
        put(bans, 1, 1).await;
    })
    .await;
    lab.told_all(3).await;
    lab.server.delete(subjects::BANS_BUCKET);
    make_all(&lab.server.join().bus(), Duration::from_secs(60))
        .await
        .unwrap();
    put(&lab.bans, 1, 0).await;
    lab.member.disconnect();
    lab.member.reconnect();
    assert_eq!(lab.told_all(3).await, ["begin", "ban 198.51.100.1/32@1", "end"]);
    assert_ne!(lab.buckets[0], lab.buckets[1]);
}

#[tokio::test(start_paused = true)]
async fn a_large_snapshot_comes_whole() {
    let mut lab = Lab::start(async |bans| {
        for n in 0..=255 {
            put(bans, n, 0).await;
        }
        let more = BlockCommand {
            target: "203.0.113.0/24".parse().unwrap(),
            ..ban(1)
        };
        bans.put(&more, KeyState::default(), now_ms()).await.unwrap();
    })
    .await;
    let told = lab.told_all(259).await;
    assert_eq!(
        (told[0].as_str(), told[1].as_str()),
        ("begin", "ban 198.51.100.0/32@1")
    );
    assert_eq!(
        (told[257].as_str(), told[258].as_str()),
        ("ban 203.0.113.0/24@257", "end")
    );
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_enforcer_and_at_a_server_that_is_too_old() {
    let mut lab = Lab::start(async |_| {}).await;
    assert_eq!(lab.told_all(2).await, ["begin", "end"]);
    lab.server.be_too_old();
    lab.member.disconnect();
    lab.member.reconnect();
    assert_eq!(
        lab.running.await.unwrap().unwrap_err().to_string(),
        "the NATS server at memory is 2.10.0; SecBeat needs 2.11 or newer"
    );
    let lab = Lab::start(async |_| {}).await;
    drop(lab.messages);
    assert!(lab.running.await.unwrap().is_ok());
}
