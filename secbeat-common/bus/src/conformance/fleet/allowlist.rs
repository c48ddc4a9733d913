//! The bucket of the allowlist.

use secbeat_common::{subjects, wire::AllowEntry};
use tokio::sync::watch as channel;

use super::*;
use crate::{AllowBucket, AllowFollower, AllowReader, Allowlist, Over, RefusedCommands};

impl Fleet {
    fn allow(&self) -> AllowBucket {
        AllowBucket::new(&self.bus, self.trust.clone(), self.signer.clone())
    }

    /// Follows the allowlist.
    fn allowlist(&self) -> channel::Receiver<Option<Allowlist>> {
        let (known, list) = channel::channel(None);
        let reader = AllowReader::new(self.trust.clone(), RefusedCommands::default(), Arc::default());
        tokio::spawn(AllowFollower::new(&self.bus, reader, || NOW_MS, known).run());
        list
    }
}

fn network(n: u8) -> Prefix {
    format!("198.51.100.{n}").parse().unwrap()
}

async fn listed(list: &mut channel::Receiver<Option<Allowlist>>, is_so: impl Fn(&Allowlist) -> bool) {
    let known = list.wait_for(|list| list.as_ref().is_some_and(&is_so));
    let known = tokio::time::timeout(PATIENCE, known).await;
    drop(known.expect("the allowlist in time").expect("an allowlist"));
}

fn entry(n: u8, comment: &str) -> AllowEntry {
    AllowEntry {
        network: network(n),
        comment: comment.to_owned(),
        until_ms: None,
        added_by: "alice".to_owned(),
        added_at_ms: NOW_MS,
    }
}

pub async fn an_allowlist_is_followed(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let allow = fleet.allow();
    allow.put(&entry(1, "one"), Over::Anything, NOW_MS).await.unwrap();
    let mut list = fleet.allowlist();
    listed(&mut list, |list| list.entries.keys().eq([&network(1)])).await;
    allow.put(&entry(2, "two"), Over::Anything, NOW_MS).await.unwrap();
    listed(&mut list, |list| list.entries.len() == 2).await;
    allow
        .put(&entry(1, "changed"), Over::Anything, NOW_MS)
        .await
        .unwrap();
    listed(&mut list, |list| list.entries[&network(1)].comment == "changed").await;
    allow.remove(&entry(1, "changed")).await.unwrap();
    listed(&mut list, |list| list.entries.keys().eq([&network(2)])).await;
    // An unsigned entry replaces a signed one in the bucket, but is not applied.
    let bucket = fleet.bus.bucket(subjects::ALLOW_BUCKET);
    write(&bucket, Write::delete(network(2).key())).await;
    listed(&mut list, |list| list.lost == [network(2)].into()).await;
    let known = list.borrow().clone().unwrap();
    assert_eq!(known.entries[&network(2)], entry(2, "two"));
}

pub async fn an_entry_of_the_allowlist_is_restored_only_where_nothing_counts(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let allow = fleet.allow();
    allow.put(&entry(1, "new"), Over::Anything, NOW_MS).await.unwrap();
    allow.put(&entry(1, "lost"), Over::Nothing, NOW_MS).await.unwrap();
    let bucket = fleet.bus.bucket(subjects::ALLOW_BUCKET);
    assert_eq!(bucket.status().await.unwrap().last_revision, 1);
    allow.remove(&entry(1, "new")).await.unwrap();
    allow.put(&entry(1, "lost"), Over::Nothing, NOW_MS).await.unwrap();
    assert_eq!(bucket.status().await.unwrap().last_revision, 2);
    // What nobody signed does not count.
    write(&bucket, Write::delete(network(2).key())).await;
    allow.put(&entry(2, "lost"), Over::Nothing, NOW_MS).await.unwrap();
    assert_eq!(bucket.status().await.unwrap().last_revision, 4);
}

pub async fn an_allowlist_that_was_made_anew_tells_what_it_lost(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let allow = fleet.allow();
    allow.put(&entry(1, "one"), Over::Anything, NOW_MS).await.unwrap();
    allow.put(&entry(2, "two"), Over::Anything, NOW_MS).await.unwrap();
    let mut list = fleet.allowlist();
    listed(&mut list, |list| list.entries.len() == 2).await;
    lab.delete_bucket(subjects::ALLOW_BUCKET).await;
    make_all(&fleet.bus, WINDOW).await.unwrap();
    allow.put(&entry(2, "two"), Over::Anything, NOW_MS).await.unwrap();
    restart(lab, &fleet.bus).await;
    listed(&mut list, |list| {
        list.lost == [network(1)].into() && list.entries.len() == 2
    })
    .await;
    allow.put(&entry(1, "one"), Over::Nothing, NOW_MS).await.unwrap();
    listed(&mut list, |list| list.lost.is_empty()).await;
}
