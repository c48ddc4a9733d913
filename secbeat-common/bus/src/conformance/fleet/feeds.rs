//! The fleet's feeds.

use secbeat_common::{
    subjects,
    wire::{FEED_CHUNK, FeedContent, FleetFeed},
};

use super::*;
use crate::{FeedBucket, Unread};

fn feed(content: FeedContent, changed_at_ms: i64) -> FleetFeed {
    FleetFeed {
        name: "drop".to_owned(),
        changed_at_ms,
        content: Some(content),
        ..FleetFeed::default()
    }
}

pub async fn the_networks_of_a_feed_are_read_whole_and_as_its_record_names_them(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let feeds = FeedBucket::new(&fleet.bus, fleet.trust.clone(), fleet.signer.clone());
    let none = feeds.held("drop").await.unwrap();
    assert_eq!(none.feed, None);
    let packed: Vec<u8> = (0..=2 * FEED_CHUNK).map(|n| n as u8).collect();
    let first = feeds.upload("drop", &packed, None).await.unwrap();
    assert_eq!((first.slot, first.chunks()), (0, 3));
    let put = async |feed: &FleetFeed, held| feeds.put(feed, held).await.unwrap();
    let record = feed(first.clone(), 1);
    assert!(matches!(put(&record, &none).await, WriteOutcome::Written(_)));
    assert_eq!(put(&record, &none).await, WriteOutcome::Conflict);
    let held = feeds.held("drop").await.unwrap();
    assert_eq!(held.feed, Some(record));
    assert_eq!(feeds.download("drop", &first).await, Ok(packed));
    // The next one leaves those in force alone, and the one after that takes their place.
    let second = feeds.upload("drop", b"second", Some(&first)).await.unwrap();
    assert_eq!(second.slot, 1);
    assert!(feeds.download("drop", &first).await.is_ok());
    let third = feeds.upload("drop", b"third", Some(&second)).await.unwrap();
    assert_eq!(third.slot, 0);
    let other = Err(Unread::Other("drop".to_owned()));
    assert_eq!(feeds.download("drop", &first).await, other);
    assert_eq!(feeds.download("drop", &second).await, Ok(b"second".to_vec()));
    assert_eq!(feeds.download("drop", &third).await, Ok(b"third".to_vec()));
    // What nobody signed, or was signed as another feed's, says nothing.
    let bucket = fleet.bus.bucket(subjects::RULES_BUCKET);
    let unsigned = Signer::default().seal(&feed(third.clone(), 2), 0).unwrap();
    let elsewhere = fleet.signer.seal(&feed(third, 2), 0).unwrap();
    for (name, sealed) in [("drop", unsigned), ("other", elsewhere)] {
        let key = subjects::feed(name);
        bucket.write(Write::put(key, sealed)).await.unwrap();
        assert_eq!(feeds.held(name).await.unwrap().feed, None);
    }
    let held = feeds.held("drop").await.unwrap();
    assert!(matches!(
        feeds.remove("drop", &held).await.unwrap(),
        WriteOutcome::Written(_)
    ));
    assert_eq!(feeds.held("drop").await.unwrap().feed, None);
    assert_eq!(feeds.download("drop", &second).await, other);
}
