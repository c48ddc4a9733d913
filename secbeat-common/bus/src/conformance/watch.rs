//! Cases about a bucket's contents and changes.

use super::*;
use crate::Watched;

async fn revisions(entries: &mut Messages<Watched>, n: usize) -> Vec<u64> {
    let watched = take(entries, n).await;
    watched.iter().map(|watched| watched.entry.revision).collect()
}

pub async fn a_watch_reads_what_is_held_and_then_changes(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    for key in ["c", "a", "b"] {
        put(&bucket, key, "1").await;
    }
    let mut watch = bucket.watch().await.unwrap();
    assert_eq!((watch.held, watch.status.last_revision), (3, 3));
    let held = take(&mut watch.entries, 3).await;
    let keys: Vec<_> = held.iter().map(|watched| watched.entry.key.as_str()).collect();
    assert_eq!(keys, ["c", "a", "b"]);
    let behind: Vec<_> = held.iter().map(|watched| watched.behind).collect();
    assert_eq!(behind, [2, 1, 0]);
    put(&bucket, "d", "2").await;
    let change = next(&mut watch.entries).await;
    assert_eq!(
        shown(&change.entry),
        ("d".to_owned(), EntryKind::Put, "2".to_owned(), 4)
    );
}

pub async fn a_watch_of_an_empty_bucket_holds_nothing(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    let mut watch = bucket.watch().await.unwrap();
    assert_eq!((watch.held, watch.status.keys), (0, 0));
    put(&bucket, "a", "1").await;
    assert_eq!(next(&mut watch.entries).await.entry.revision, 1);
}

pub async fn a_watch_shows_the_latest_of_each_key_and_markers(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    for value in ["1", "2", "3"] {
        put(&bucket, "a", value).await;
    }
    put(&bucket, "b", "1").await;
    write(&bucket, Write::purge("b", "lifted")).await;
    write(&bucket, Write::delete("c")).await;
    let mut watch = bucket.watch().await.unwrap();
    assert_eq!(watch.held, 3);
    let held = take(&mut watch.entries, 3).await;
    assert_eq!(
        held.iter()
            .map(|watched| shown(&watched.entry))
            .collect::<Vec<_>>(),
        [
            ("a".to_owned(), EntryKind::Put, "3".to_owned(), 3),
            ("b".to_owned(), EntryKind::Purge, "lifted".to_owned(), 5),
            ("c".to_owned(), EntryKind::Delete, String::new(), 6),
        ]
    );
}

pub async fn a_watch_shows_an_end(lab: &impl Lab) {
    let bucket = made(&lab.join().await, settings()).await;
    let mut watch = bucket.watch().await.unwrap();
    write(&bucket, Write::put("a", "1").ttl(Duration::from_secs(1))).await;
    assert_eq!(next(&mut watch.entries).await.entry.kind, EntryKind::Put);
    let end = next(&mut watch.entries).await;
    assert_eq!(
        shown(&end.entry),
        ("a".to_owned(), EntryKind::Purge, String::new(), 2)
    );
}

pub async fn a_watch_is_complete_while_somebody_writes(lab: &impl Lab) {
    const BEFORE: usize = 300;
    const WRITES: usize = 600;
    let bus = lab.join().await;
    let bucket = made(&bus, settings()).await;
    for n in 0..BEFORE {
        put(&bucket, &format!("key.{n}"), "1").await;
    }
    let writer = lab.join().await.bucket(BUCKET);
    let writing = tokio::spawn(async move {
        for n in BEFORE..WRITES {
            put(&writer, &format!("key.{n}"), "1").await;
        }
    });
    let mut watch = bucket.watch().await.unwrap();
    let seen = revisions(&mut watch.entries, WRITES).await;
    // Each key is written once: all revisions, each once, in order.
    assert_eq!(seen, (1..=WRITES as u64).collect::<Vec<_>>());
    writing.await.unwrap();
}

pub async fn a_watch_keeps_the_order_of_concurrent_writers(lab: &impl Lab) {
    const WRITERS: usize = 4;
    const WRITES: usize = 50;
    let bus = lab.join().await;
    let bucket = made(&bus, settings()).await;
    let mut watch = bucket.watch().await.unwrap();
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let bucket = lab.join().await.bucket(BUCKET);
        writers.push(tokio::spawn(async move {
            for n in 0..WRITES {
                put(&bucket, &format!("writer.{writer}"), &n.to_string()).await;
            }
        }));
    }
    // A value that was replaced before it could be read may be left out, but never the last.
    let mut latest = [(0, 0); WRITERS];
    let mut revision = 0;
    while latest.iter().any(|(_, value)| *value + 1 < WRITES) {
        let entry = next(&mut watch.entries).await.entry;
        assert!(entry.revision > revision, "{entry:?} after {revision}");
        revision = entry.revision;
        let writer: usize = entry.key.strip_prefix("writer.").unwrap().parse().unwrap();
        let value: usize = shown(&entry).2.parse().unwrap();
        let (before, known) = latest[writer];
        assert!(before == 0 || value > known, "{entry:?} after {known}");
        latest[writer] = (revision, value);
    }
    assert_eq!(revision, (WRITERS * WRITES) as u64);
    for writer in writers {
        writer.await.unwrap();
    }
}

pub async fn a_watch_of_a_missing_bucket_is_told(lab: &impl Lab) {
    assert_missing(&lab.join().await.bucket(BUCKET).watch().await.map(drop));
}
