use std::sync::Arc;

use secbeat_bus::{
    AllowFollower, AllowReader, Garbage, RefusedCommands, make_all,
    memory::{MemoryBus, MemoryServer},
};
use secbeat_common::{
    sign::{SecretKey, Signer, Trust},
    subjects,
};

use super::*;

/// A keeper over a bus in memory, which follows the allowlist.
struct Lab {
    server: MemoryServer,
    member: MemoryBus,
    keeper: Keeper,
    inputs: mpsc::Receiver<Input>,
}

impl Lab {
    /// One that has not read the allowlist yet.
    async fn unread() -> (Self, AllowFollower) {
        let server = MemoryServer::new(now_ms());
        make_all(&server.join().bus(), Duration::from_secs(60))
            .await
            .unwrap();
        let member = server.join();
        let key = SecretKey::generate().unwrap();
        let trust: Trust = [key.public()].into_iter().collect();
        let (sender, inputs) = mpsc::channel(16);
        let (known, list) = watch::channel(None);
        let reader = AllowReader::new(
            trust.clone(),
            RefusedCommands::default(),
            Arc::new(Garbage::default()),
        );
        let follower = AllowFollower::new(&member.bus(), reader, now_ms, known);
        let keeper = Keeper {
            bus: member.bus(),
            bucket: AllowBucket::new(&member.bus(), trust, Signer::from(Some(key))),
            known: list,
            inputs: sender,
        };
        let lab = Self {
            server,
            member,
            keeper,
            inputs,
        };
        (lab, follower)
    }

    async fn start() -> Self {
        let (lab, follower) = Self::unread().await;
        tokio::spawn(follower.run());
        let mut known = lab.keeper.known.clone();
        known.wait_for(Option::is_some).await.unwrap();
        lab
    }

    /// The kind of the next decision to be audited, and about whom.
    async fn audited(&mut self) -> String {
        match self.inputs.recv().await {
            Some(Input::Event(Event::Decided(record))) => {
                format!("{} {} by {}", record.decision.kind(), record.target, record.actor)
            }
            other => panic!("{other:?}"),
        }
    }

    fn listed(&self) -> Vec<String> {
        let entries = self.keeper.entries(now_ms()).unwrap();
        entries
            .into_iter()
            .map(|entry| format!("{} {}", entry.network, entry.comment))
            .collect()
    }
}

fn network(n: u8) -> Prefix {
    format!("198.51.100.{n}").parse().unwrap()
}

fn entry(n: u8, comment: &str) -> AllowEntry {
    AllowEntry {
        network: network(n),
        comment: comment.to_owned(),
        until_ms: None,
        added_by: "alice".to_owned(),
        added_at_ms: 0,
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_heard_and_audited_once_it_is_made() {
    let mut lab = Lab::start().await;
    lab.keeper.add(entry(1, "office"), None).await.unwrap();
    assert_eq!(lab.listed(), ["198.51.100.1/32 office"]);
    assert_eq!(lab.audited().await, "allow 198.51.100.1/32 by alice");
    lab.keeper.add(entry(1, "new office"), None).await.unwrap();
    assert_eq!(lab.listed(), ["198.51.100.1/32 new office"]);
    assert_eq!(lab.audited().await, "allow 198.51.100.1/32 by alice");
    lab.keeper.remove(network(1), "bob".to_owned()).await.unwrap();
    assert_eq!(lab.listed(), [""; 0]);
    assert_eq!(lab.audited().await, "disallow 198.51.100.1/32 by bob");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_changed_is_refused() {
    let (lab, _follower) = Lab::unread().await;
    assert_eq!(lab.keeper.add(entry(1, ""), None).await, Err(Refusal::Unread));
    let lab = Lab::start().await;
    let nobody = lab.keeper.remove(network(1), "bob".to_owned()).await;
    assert_eq!(nobody, Err(Refusal::NotThere(network(1))));
    lab.member.disconnect();
    assert_eq!(
        lab.keeper.add(entry(1, ""), None).await,
        Err(Refusal::Disconnected)
    );
    assert!(lab.inputs.is_empty());
}

#[tokio::test(start_paused = true)]
async fn entries_that_are_everybody_together_are_refused() {
    let mut lab = Lab::start().await;
    let half = |network: &str| AllowEntry {
        network: network.parse().unwrap(),
        ..entry(1, "half")
    };
    lab.keeper.add(half("0.0.0.0/1"), None).await.unwrap();
    lab.audited().await;
    let (network, family) = ("128.0.0.0/1".parse().unwrap(), "IPv4");
    assert_eq!(
        lab.keeper.add(half("128.0.0.0/1"), None).await,
        Err(Refusal::Everybody { network, family })
    );
    lab.keeper.add(half("128.0.0.0/2"), None).await.unwrap();
    lab.audited().await;
    assert_eq!(lab.listed().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_allowlist_takes_changes_of_its_entries_alone() {
    let lab = Lab::start().await;
    let numbered = |n: usize| AllowEntry {
        network: format!("10.0.{}.{}", n / 256, n % 256).parse().unwrap(),
        ..entry(1, "")
    };
    for n in 0..MAX_ALLOWED {
        lab.keeper
            .bucket
            .put(&numbered(n), Over::Anything, now_ms())
            .await
            .unwrap();
    }
    let mut known = lab.keeper.known.clone();
    let is_full = |list: &Option<Allowlist>| {
        list.as_ref()
            .is_some_and(|list| list.entries.len() == MAX_ALLOWED)
    };
    known.wait_for(is_full).await.unwrap();
    assert_eq!(
        lab.keeper.add(numbered(MAX_ALLOWED), None).await,
        Err(Refusal::Full)
    );
    assert_eq!(lab.keeper.add(numbered(0), None).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_acknowledgement_was_lost_is_made_if_it_is_heard() {
    let mut lab = Lab::start().await;
    lab.member.faults().lose_acknowledgements(1);
    assert_eq!(lab.keeper.add(entry(1, "office"), None).await, Ok(()));
    assert_eq!(lab.audited().await, "allow 198.51.100.1/32 by alice");
    lab.member.faults().lose_writes(1);
    let lost = lab.keeper.add(entry(2, "lost"), None).await;
    assert!(matches!(lost, Err(Refusal::Unacknowledged(_))), "{lost:?}");
    assert_eq!(lab.listed(), ["198.51.100.1/32 office"]);
    assert!(lab.inputs.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_bucket_lost_is_written_again() {
    let lab = Lab::start().await;
    lab.keeper.add(entry(1, "office"), None).await.unwrap();
    tokio::spawn(lab.keeper.clone().restore_lost());
    lab.server.delete(subjects::ALLOW_BUCKET);
    make_all(&lab.server.join().bus(), Duration::from_secs(60))
        .await
        .unwrap();
    lab.member.disconnect();
    lab.member.reconnect();
    let bucket = lab.server.join().bus().bucket(subjects::ALLOW_BUCKET);
    let mut known = lab.keeper.known.clone();
    while bucket.status().await.unwrap().last_revision == 0 {
        known.changed().await.unwrap();
    }
    let is_back = |list: &Option<Allowlist>| list.as_ref().is_some_and(|list| list.lost.is_empty());
    known.wait_for(is_back).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bucket.status().await.unwrap().last_revision, 1);
    assert_eq!(lab.listed(), ["198.51.100.1/32 office"]);
}
