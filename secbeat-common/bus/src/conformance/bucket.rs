//! Keys, revisions and batches.

use futures::future::join_all;

use super::*;
use crate::{MAX_BATCH, Storage};

pub async fn revisions_grow_over_the_whole_bucket(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    assert_eq!(put(&bucket, "a", "1").await, 1);
    assert_eq!(put(&bucket, "b", "2").await, 2);
    assert_eq!(put(&bucket, "a", "3").await, 3);
    assert_eq!(write(&bucket, Write::delete("b")).await, 4);
}

pub async fn the_newest_entry_is_known_by_its_revision(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    assert_eq!(bucket.newest().await, Ok(0));
    put(&bucket, "a", "1").await;
    put(&bucket, "b", "2").await;
    assert_eq!(bucket.newest().await, Ok(2));
    write(&bucket, Write::delete("a")).await;
    assert_eq!(bucket.newest().await, Ok(3), "markers count");
}

pub async fn an_entry_is_read_as_it_was_written(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    put(&bucket, "v4.c6336407.32", "one").await;
    let first = bucket.get("v4.c6336407.32").await.unwrap().unwrap();
    assert_eq!(
        shown(&first),
        ("v4.c6336407.32".to_owned(), EntryKind::Put, "one".to_owned(), 1)
    );
    tokio::time::sleep(LOOK).await;
    put(&bucket, "v4.c6336407.32", "two").await;
    let second = bucket.get("v4.c6336407.32").await.unwrap().unwrap();
    assert_eq!((second.revision, &second.value[..]), (2, &b"two"[..]));
    assert!(second.at_ms > first.at_ms, "{} {}", second.at_ms, first.at_ms);
}

pub async fn a_key_without_a_write_holds_nothing(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    put(&bucket, "a", "1").await;
    assert_eq!(get(&bucket, "b").await, None);
}

pub async fn the_server_tells_its_time(lab: &impl Lab) {
    let bus = lab.join().await;
    let missing = bus.bucket("none").server_time().await;
    assert!(matches!(missing, Err(Error::Missing(_))), "{missing:?}");
    let bucket = made(&bus, settings()).await;
    put(&bucket, "a", "1").await;
    let written_us = bucket.get("a").await.unwrap().unwrap().at_ms * 1000;
    tokio::time::sleep(LOOK).await;
    let passed_us = bucket.server_time().await.unwrap() - written_us;
    assert!((50_000..10_000_000).contains(&passed_us), "{passed_us} µs");
}

pub async fn a_write_over_an_older_revision_conflicts(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    let first = put(&bucket, "a", "1").await;
    let second = write(&bucket, Write::put("a", "2").over(first)).await;
    assert_eq!(
        bucket.write(Write::put("a", "3").over(first)).await,
        Ok(WriteOutcome::Conflict)
    );
    assert_eq!(
        get(&bucket, "a").await,
        Some((EntryKind::Put, "2".to_owned(), second))
    );
}

pub async fn a_write_over_nothing_makes_a_key_once(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    assert_eq!(
        bucket.write(Write::put("a", "1").over(0)).await,
        Ok(WriteOutcome::Written(1))
    );
    assert_eq!(
        bucket.write(Write::put("a", "2").over(0)).await,
        Ok(WriteOutcome::Conflict)
    );
    assert_eq!(
        bucket.write(Write::put("b", "2").over(0)).await,
        Ok(WriteOutcome::Written(2))
    );
}

pub async fn a_write_without_expectation_always_succeeds(lab: &impl Lab) {
    let (a, b) = (lab.join().await, lab.join().await);
    let bucket = made(&a, settings()).await;
    put(&bucket, "a", "1").await;
    assert_eq!(put(&b.bucket(BUCKET), "a", "2").await, 2);
    assert_eq!(put(&bucket, "a", "3").await, 3);
}

pub async fn of_writers_over_one_revision_one_wins(lab: &impl Lab) {
    let bus = lab.join().await;
    let bucket = made(&bus, settings()).await;
    let revision = put(&bucket, "a", "0").await;
    let writers: Vec<_> = join_all((1..=8).map(|_| lab.join())).await;
    let attempts = writers.iter().zip(1..).map(|(writer, n)| {
        let write = Write::put("a", n.to_string()).over(revision);
        writer.bucket(BUCKET).write(write)
    });
    let written = join_all(attempts).await;
    let wins = written
        .iter()
        .filter(|written| **written == Ok(WriteOutcome::Written(2)));
    let conflicts = written
        .iter()
        .filter(|written| **written == Ok(WriteOutcome::Conflict));
    assert_eq!((wins.count(), conflicts.count()), (1, 7));
}

pub async fn a_delete_leaves_a_marker(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    put(&bucket, "a", "1").await;
    write(&bucket, Write::delete("a")).await;
    assert_eq!(
        get(&bucket, "a").await,
        Some((EntryKind::Delete, String::new(), 2))
    );
}

pub async fn a_purge_leaves_a_marker_with_its_value(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    let revision = put(&bucket, "a", "1").await;
    write(&bucket, Write::purge("a", "lifted").over(revision)).await;
    assert_eq!(
        get(&bucket, "a").await,
        Some((EntryKind::Purge, "lifted".to_owned(), 2))
    );
}

pub async fn a_key_with_a_marker_exists(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    put(&bucket, "a", "1").await;
    let marker = write(&bucket, Write::purge("a", "")).await;
    assert_eq!(
        bucket.write(Write::put("a", "2").over(0)).await,
        Ok(WriteOutcome::Conflict)
    );
    assert_eq!(
        bucket.write(Write::put("a", "2").over(marker)).await,
        Ok(WriteOutcome::Written(3))
    );
    assert_eq!(get(&bucket, "a").await, Some((EntryKind::Put, "2".to_owned(), 3)));
}

pub async fn a_purge_over_an_older_revision_conflicts(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    let first = put(&bucket, "a", "1").await;
    put(&bucket, "a", "2").await;
    assert_eq!(
        bucket.write(Write::purge("a", "").over(first)).await,
        Ok(WriteOutcome::Conflict)
    );
    assert_eq!(
        bucket.write(Write::purge("b", "").over(0)).await,
        Ok(WriteOutcome::Written(3))
    );
    assert_eq!(get(&bucket, "a").await, Some((EntryKind::Put, "2".to_owned(), 2)));
}

pub async fn a_purge_is_refused_where_a_bucket_has_none(lab: &impl Lab) {
    let bus = lab.join().await;
    let without = BucketSettings {
        purges: false,
        ..BucketSettings::default()
    };
    let bucket = made(&bus, without).await;
    put(&bucket, "a", "1").await;
    assert_refused(&bucket.write(Write::purge("a", "")).await);
    assert_eq!(get(&bucket, "a").await, Some((EntryKind::Put, "1".to_owned(), 1)));
    assert_eq!(write(&bucket, Write::delete("a")).await, 2);
}

pub async fn a_retry_after_a_lost_acknowledgement_conflicts_with_itself(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    let first = put(&bucket, "a", "1").await;
    let attempt = || bucket.write(Write::put("a", "2").over(first));
    assert_eq!(attempt().await, Ok(WriteOutcome::Written(2)));
    // The writer heard nothing of it. What it finds is its own.
    assert_eq!(attempt().await, Ok(WriteOutcome::Conflict));
    assert_eq!(get(&bucket, "a").await, Some((EntryKind::Put, "2".to_owned(), 2)));
}

pub async fn large_values_come_back_whole(lab: &impl Lab) {
    let bus = lab.join().await;
    let bucket = made(&bus, settings()).await;
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    write(&bucket, Write::put("a", large.clone())).await;
    assert_eq!(bucket.get("a").await.unwrap().unwrap().value, large);
    let mut watch = bucket.watch().await.unwrap();
    assert_eq!(next(&mut watch.entries).await.entry.value, large);
    assert!(bucket.write(Write::put("a", vec![0; 2_000_000])).await.is_err());
}

pub async fn a_value_over_the_limit_is_refused(lab: &impl Lab) {
    let bus = lab.join().await;
    let small = BucketSettings {
        max_value: Some(1000),
        ..BucketSettings::default()
    };
    let bucket = made(&bus, small).await;
    write(&bucket, Write::put("a", vec![7; 900])).await;
    assert_refused(&bucket.write(Write::put("a", vec![7; 2000])).await);
    assert_eq!(bucket.get("a").await.unwrap().unwrap().value.len(), 900);
}

pub async fn keys_use_the_alphabet_and_no_other(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    for key in ["a", "A.b-C_d/e=9", "v6.20010db800000000.64", "member.a-1"] {
        let revision = put(&bucket, key, key).await;
        assert_eq!(
            get(&bucket, key).await,
            Some((EntryKind::Put, key.to_owned(), revision))
        );
    }
    let before = bucket.status().await.unwrap();
    for key in ["", ".a", "a.", "a..b", "a b", "a*", ">", "ä", "a\r\n"] {
        assert_invalid(&bucket.write(Write::put(key, "1")).await);
        assert_invalid(&bucket.get(key).await);
    }
    assert_eq!(bucket.status().await.unwrap(), before);
}

pub async fn a_missing_bucket_is_told(lab: &impl Lab) {
    let bucket = lab.join().await.bucket(BUCKET);
    assert_missing(&bucket.status().await);
    assert_missing(&bucket.write(Write::put("a", "1")).await);
    assert!(bucket.get("a").await.is_err());
}

pub async fn making_a_bucket_again_keeps_what_it_holds(lab: &impl Lab) {
    let (a, b) = (lab.join().await, lab.join().await);
    let bucket = made(&a, settings()).await;
    put(&bucket, "a", "1").await;
    let before = created(&bucket).await;
    let again = made(&b, settings()).await;
    assert_eq!(created(&again).await, before);
    assert_eq!(get(&again, "a").await, Some((EntryKind::Put, "1".to_owned(), 1)));
}

pub async fn a_bucket_that_was_made_anew_is_another(lab: &impl Lab) {
    let bus = lab.join().await;
    let bucket = made(&bus, settings()).await;
    put(&bucket, "a", "1").await;
    put(&bucket, "a", "2").await;
    let before = created(&bucket).await;
    lab.delete_bucket(BUCKET).await;
    let bucket = made(&bus, settings()).await;
    assert_ne!(created(&bucket).await, before);
    assert_eq!(get(&bucket, "a").await, None);
    assert_eq!(put(&bucket, "a", "3").await, 1);
}

pub async fn the_status_counts_keys_with_markers(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    let status = bucket.status().await.unwrap();
    assert_eq!((status.last_revision, status.keys), (0, 0));
    for key in ["a", "b", "a"] {
        put(&bucket, key, "1").await;
    }
    write(&bucket, Write::delete("b")).await;
    let status = bucket.status().await.unwrap();
    assert_eq!((status.last_revision, status.keys), (4, 2));
}

fn batch(keys: impl IntoIterator<Item = usize>) -> Vec<Write> {
    let write = |n: usize| Write::put(format!("key.{n}"), n.to_string()).over(0);
    keys.into_iter().map(write).collect()
}

pub async fn a_batch_is_written_in_order(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    let before = put(&bucket, "a", "1").await;
    let mut writes = batch([1, 2]);
    writes.push(Write::purge("a", "").over(before));
    assert_eq!(bucket.write_all(writes).await, Ok(WriteOutcome::Written(2)));
    assert_eq!(
        get(&bucket, "key.1").await,
        Some((EntryKind::Put, "1".to_owned(), 2))
    );
    assert_eq!(
        get(&bucket, "key.2").await,
        Some((EntryKind::Put, "2".to_owned(), 3))
    );
    assert_eq!(
        get(&bucket, "a").await,
        Some((EntryKind::Purge, String::new(), 4))
    );
}

pub async fn a_batch_with_one_conflict_writes_nothing(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    put(&bucket, "key.2", "other").await;
    assert_eq!(
        bucket.write_all(batch([1, 2, 3])).await,
        Ok(WriteOutcome::Conflict)
    );
    assert_eq!(get(&bucket, "key.1").await, None);
    assert_eq!(
        get(&bucket, "key.2").await,
        Some((EntryKind::Put, "other".to_owned(), 1))
    );
    assert_eq!(put(&bucket, "a", "1").await, 2);
}

pub async fn a_batch_of_the_largest_size_is_taken(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    assert_eq!(
        bucket.write_all(batch(0..MAX_BATCH)).await,
        Ok(WriteOutcome::Written(1))
    );
    let status = bucket.status().await.unwrap();
    assert_eq!((status.last_revision, status.keys), (500, 500));
}

pub async fn a_batch_is_refused_where_a_bucket_has_none(lab: &impl Lab) {
    let bus = lab.join().await;
    assert!(bus.takes_batches());
    let bucket = made(&bus, BucketSettings::default()).await;
    assert_refused(&bucket.write_all(batch([1, 2])).await);
    assert_eq!(bucket.status().await.unwrap().keys, 0);
}

pub async fn an_empty_batch_is_refused(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    assert_invalid(&bucket.write_all(Vec::new()).await);
}

pub async fn writes_are_republished(lab: &impl Lab) {
    let bus = lab.join().await;
    let republished = BucketSettings {
        republish: Some("copies.>".to_owned()),
        ..settings()
    };
    let mut copies = lab.join().await.subscribe("copies.>").await.unwrap();
    let bucket = made(&bus, republished).await;
    put(&bucket, "v4.7", "1").await;
    bucket.write_all(batch([1])).await.unwrap();
    let copy = next(&mut copies).await;
    assert_eq!(
        (copy.subject.as_str(), &copy.payload[..]),
        ("copies.v4.7", &b"1"[..])
    );
    assert_eq!(next(&mut copies).await.subject, "copies.key.1");
}

pub async fn a_bucket_on_disk_outlives_the_server(lab: &impl Lab) {
    let bus = lab.join().await;
    let bucket = made(&bus, settings()).await;
    put(&bucket, "a", "1").await;
    let before = created(&bucket).await;
    restart(lab, &bus).await;
    assert_eq!(created(&bucket).await, before);
    assert_eq!(get(&bucket, "a").await, Some((EntryKind::Put, "1".to_owned(), 1)));
    assert_eq!(put(&bucket, "a", "2").await, 2);
}

pub async fn a_bucket_in_memory_does_not(lab: &impl Lab) {
    let bus = lab.join().await;
    let memory = BucketSettings {
        storage: Storage::Memory,
        ..BucketSettings::default()
    };
    let bucket = made(&bus, memory.clone()).await;
    put(&bucket, "a", "1").await;
    let before = created(&bucket).await;
    restart(lab, &bus).await;
    let bucket = made(&bus, memory).await;
    assert_ne!(created(&bucket).await, before);
    assert_eq!(get(&bucket, "a").await, None);
}
