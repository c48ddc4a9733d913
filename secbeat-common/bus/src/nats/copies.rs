//! Servers of a cluster with their copies, as the leaders of streams report them.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::stream;
use parking_lot::Mutex;

use crate::kept::{Following, Kept};

/// What a bucket's stream is called before the bucket's name.
const OF_BUCKETS: &str = "KV_";

/// What was said longer ago says nothing of now.
const FRESH: Duration = Duration::from_secs(10);

/// What was said last of each stream that answered, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Copies(Arc<Mutex<BTreeMap<String, (Instant, Kept)>>>);

impl Copies {
    /// The leader of `stream` has said this, or nobody answered for it.
    pub(super) fn note(&self, stream: &str, info: Option<&stream::Info>) {
        let said = info.and_then(|info| kept(stream, info.cluster.as_ref()?));
        let mut copies = self.0.lock();
        match said {
            Some(kept) => drop(copies.insert(stream.to_owned(), (Instant::now(), kept))),
            None => drop(copies.remove(stream)),
        }
    }

    pub(super) fn all(&self) -> Vec<Kept> {
        let copies = self.0.lock();
        let fresh = copies.values().filter(|(at, _)| at.elapsed() < FRESH);
        fresh.map(|(_, kept)| kept.clone()).collect()
    }
}

/// Nothing while there is no leader: then nobody knows. Nothing of a single server, which leads everything and says no cluster's name.
fn kept(stream: &str, cluster: &stream::ClusterInfo) -> Option<Kept> {
    cluster.name.as_ref().filter(|name| !name.is_empty())?;
    let followers = cluster.replicas.iter().map(|peer| Following {
        server: peer.name.clone(),
        silent: peer.active,
        is_offline: peer.offline,
        is_current: peer.current,
        behind: peer.lag.unwrap_or_default(),
    });
    Some(Kept {
        name: stream.strip_prefix(OF_BUCKETS).unwrap_or(stream).to_owned(),
        leader: cluster.leader.clone().filter(|leader| !leader.is_empty())?,
        followers: followers.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_says_who_follows_and_without_one_nobody_knows() {
        let mut cluster = stream::ClusterInfo {
            name: Some("fleet".to_owned()),
            leader: Some("nats-1".to_owned()),
            replicas: vec![stream::PeerInfo {
                name: "nats-3".to_owned(),
                current: false,
                active: Duration::from_secs(20),
                offline: true,
                lag: Some(344),
            }],
            ..stream::ClusterInfo::default()
        };
        assert_eq!(
            kept("KV_secbeat_bans", &cluster),
            Some(Kept {
                name: "secbeat_bans".to_owned(),
                leader: "nats-1".to_owned(),
                followers: vec![Following {
                    server: "nats-3".to_owned(),
                    silent: Duration::from_secs(20),
                    is_offline: true,
                    is_current: false,
                    behind: 344,
                }],
            })
        );
        cluster.leader = Some(String::new());
        assert_eq!(kept("SECBEAT_AUDIT", &cluster), None);
        cluster = stream::ClusterInfo {
            leader: Some("NDMGP7B5".to_owned()),
            ..stream::ClusterInfo::default()
        };
        assert_eq!(kept("SECBEAT_AUDIT", &cluster), None, "a single server");
    }
}
