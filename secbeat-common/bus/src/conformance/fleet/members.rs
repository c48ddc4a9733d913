//! Cases about heartbeats: orchestrators and edges.

use futures::future::join_all;
use secbeat_common::{
    subjects,
    wire::{Lease, Presence},
};

use super::*;
use crate::{EdgeBucket, Follower, LeaseBucket, Update, samples};

fn lease(holder: &str) -> Lease {
    Lease {
        holder: Some(holder.to_owned()),
        since_ms: NOW_MS,
        ..Lease::default()
    }
}

pub async fn a_sign_of_life_ends_by_itself(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let leases = LeaseBucket::new(&fleet.bus);
    let mut follower = LeaseBucket::follow(&fleet.bus);
    assert!(matches!(follower.next().await, Update::Begin(_)));
    assert_eq!(follower.next().await, Update::Complete);
    for operation in [EntryKind::Put, EntryKind::Put, EntryKind::Purge] {
        if operation == EntryKind::Put {
            leases.renew("member.a", &lease("a")).await.unwrap();
        }
        match tokio::time::timeout(PATIENCE, follower.next())
            .await
            .expect("a change in time")
        {
            Update::Changed(entry) => assert_eq!(entry.kind, operation),
            other => panic!("{other:?} is not a change"),
        }
    }
    leases.renew("member.a", &lease("a")).await.unwrap();
    leases.remove("member.a").await.unwrap();
    let bucket = fleet.bus.bucket(subjects::LEASES_BUCKET);
    assert_eq!(
        get(&bucket, "member.a").await,
        Some((EntryKind::Purge, String::new(), 5))
    );
}

pub async fn two_orchestrators_take_a_partition_once(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let buses = [fleet.bus, lab.join().await];
    let attempts = buses.iter().map(async |bus| {
        let leases = LeaseBucket::new(bus);
        leases.put("partition.3", &lease("x"), 0).await
    });
    let outcomes = join_all(attempts).await;
    let counted = |wanted| outcomes.iter().filter(|outcome| **outcome == Ok(wanted)).count();
    assert_eq!(
        (counted(WriteOutcome::Written(1)), counted(WriteOutcome::Conflict)),
        (1, 1),
        "{outcomes:?}"
    );
}

fn presence(edge_id: &str) -> Presence {
    samples::presence(edge_id, NOW_MS)
}

pub async fn edges_come_and_go(lab: &impl Lab) {
    let (orchestrator, edge) = (lab.join().await, lab.join().await);
    let records = EdgeBucket::new(&edge);
    assert_missing(&records.put(&presence("web-1")).await);
    let mut follower = EdgeBucket::follow(&orchestrator);
    assert!(matches!(follower.next().await, Update::Begin(_)));
    assert_eq!(follower.next().await, Update::Complete);
    records.put(&presence("web-1")).await.unwrap();
    let heard = async |follower: &mut Follower| match follower.next().await {
        Update::Changed(entry) => (entry.key, entry.kind, entry.value),
        other => panic!("{other:?} is not a change"),
    };
    let (key, _, value) = heard(&mut follower).await;
    assert_eq!(key, "web-1");
    assert_eq!(
        serde_json::from_slice::<Presence>(&value).unwrap(),
        presence("web-1")
    );
    records.remove("web-1").await.unwrap();
    let (key, operation, _) = heard(&mut follower).await;
    assert_eq!((key.as_str(), operation), ("web-1", EntryKind::Delete));
    // No edge can take another's record away with its own.
    let bucket = edge.bucket(subjects::EDGES_BUCKET);
    assert_refused(&bucket.write(Write::purge("web-1", "")).await);
}
