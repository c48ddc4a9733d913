//! Entries that end by themselves.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

pub async fn a_value_ends_and_leaves_a_marker(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    write(&bucket, Write::put("a", "1").ttl(SECOND)).await;
    assert_eq!(get(&bucket, "a").await, Some((EntryKind::Put, "1".to_owned(), 1)));
    let marker = Some((EntryKind::Purge, String::new(), 2));
    until("the value has ended", async || get(&bucket, "a").await == marker).await;
}

pub async fn a_marker_ends_and_leaves_nothing(lab: &impl Lab) {
    let bus = lab.join().await;
    let short = BucketSettings {
        marker_ttl: Some(SECOND),
        ..settings()
    };
    let bucket = made(&bus, short).await;
    write(&bucket, Write::put("a", "1").ttl(SECOND)).await;
    until("the marker has ended", async || get(&bucket, "a").await.is_none()).await;
    let status = bucket.status().await.unwrap();
    assert_eq!((status.last_revision, status.keys), (2, 0));
}

pub async fn a_purge_ends_without_another_marker(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    put(&bucket, "a", "1").await;
    write(&bucket, Write::purge("a", "lifted").ttl(SECOND)).await;
    until("the marker has ended", async || get(&bucket, "a").await.is_none()).await;
    let status = bucket.status().await.unwrap();
    assert_eq!((status.last_revision, status.keys), (2, 0));
}

pub async fn what_has_no_end_stays(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    put(&bucket, "for_ever", "1").await;
    write(&bucket, Write::put("long", "2").ttl(SECOND * 3600)).await;
    write(&bucket, Write::put("short", "3").ttl(SECOND)).await;
    until("the short one has ended", async || {
        get(&bucket, "short")
            .await
            .is_some_and(|(operation, ..)| operation == EntryKind::Purge)
    })
    .await;
    assert_eq!(
        get(&bucket, "for_ever").await,
        Some((EntryKind::Put, "1".to_owned(), 1))
    );
    assert_eq!(
        get(&bucket, "long").await,
        Some((EntryKind::Put, "2".to_owned(), 2))
    );
}

pub async fn the_last_write_decides_the_end(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    write(&bucket, Write::put("a", "1").ttl(SECOND)).await;
    put(&bucket, "a", "2").await;
    write(&bucket, Write::put("b", "3")).await;
    write(&bucket, Write::put("b", "4").ttl(SECOND)).await;
    until("the second key has ended", async || {
        get(&bucket, "b")
            .await
            .is_some_and(|(operation, ..)| operation == EntryKind::Purge)
    })
    .await;
    assert_eq!(get(&bucket, "a").await, Some((EntryKind::Put, "2".to_owned(), 2)));
}

pub async fn an_old_entry_goes_without_a_marker(lab: &impl Lab) {
    let bus = lab.join().await;
    let aging = BucketSettings {
        max_age: Some(SECOND),
        ..BucketSettings::default()
    };
    let bucket = made(&bus, aging).await;
    put(&bucket, "a", "1").await;
    until("the entry has gone", async || get(&bucket, "a").await.is_none()).await;
    let status = bucket.status().await.unwrap();
    assert_eq!((status.last_revision, status.keys), (1, 0));
}

pub async fn an_end_is_refused_where_a_bucket_has_none(lab: &impl Lab) {
    let bucket = made(&lab.join().await, BucketSettings::default()).await;
    assert_refused(&bucket.write(Write::put("a", "1").ttl(SECOND)).await);
    assert_eq!(get(&bucket, "a").await, None);
}

pub async fn a_key_can_be_made_again_after_its_marker_is_gone(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    put(&bucket, "a", "1").await;
    write(&bucket, Write::purge("a", "").ttl(SECOND)).await;
    until("the marker has ended", async || get(&bucket, "a").await.is_none()).await;
    assert_eq!(
        bucket.write(Write::put("a", "2").over(2)).await,
        Ok(WriteOutcome::Conflict)
    );
    assert_eq!(
        bucket.write(Write::put("a", "2").over(0)).await,
        Ok(WriteOutcome::Written(3))
    );
}
