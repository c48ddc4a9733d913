//! Following a bucket over reconnects.

use super::*;
use crate::{Follower, Pace, Snapshot, TOGETHER, Update};

fn follower(bus: &Bus) -> Follower {
    Follower::new(bus, BUCKET).pace(Pace {
        retry: Duration::from_millis(100),
        ..Pace::default()
    })
}

async fn update(follower: &mut Follower) -> Update {
    tokio::time::timeout(PATIENCE, follower.next())
        .await
        .expect("an update in time")
}

/// The keys of the next complete snapshot, and what it is of.
async fn snapshot(follower: &mut Follower) -> (Snapshot, Vec<String>) {
    let mut begun = None;
    let mut keys = Vec::new();
    loop {
        match update(follower).await {
            Update::Begin(snapshot) => {
                begun = Some(snapshot);
                keys.clear();
            }
            Update::Held(entries) => keys.extend(entries.into_iter().map(|entry| entry.key)),
            Update::Complete => return (begun.expect("a beginning"), keys),
            // Of the connection before.
            Update::Changed(_) => {}
        }
    }
}

async fn changed(follower: &mut Follower) -> (String, EntryKind, String, u64) {
    match update(follower).await {
        Update::Changed(entry) => shown(&entry),
        other => panic!("{other:?} is not a change"),
    }
}

pub async fn a_follower_reads_a_snapshot_and_then_changes(lab: &impl Lab) {
    let bus = lab.join().await;
    let bucket = made(&bus, settings()).await;
    put(&bucket, "a", "1").await;
    let mut follower = follower(&bus);
    let begin = Snapshot {
        created: created(&bucket).await,
        last_revision: 1,
        is_new: false,
    };
    assert_eq!(update(&mut follower).await, Update::Begin(begin));
    let Update::Held(held) = update(&mut follower).await else {
        panic!("nothing is held")
    };
    assert_eq!(
        held.iter().map(shown).collect::<Vec<_>>(),
        [("a".to_owned(), EntryKind::Put, "1".to_owned(), 1)]
    );
    assert_eq!(update(&mut follower).await, Update::Complete);
    put(&bucket, "b", "2").await;
    write(&bucket, Write::purge("a", "")).await;
    assert_eq!(
        changed(&mut follower).await,
        ("b".to_owned(), EntryKind::Put, "2".to_owned(), 2)
    );
    assert_eq!(
        changed(&mut follower).await,
        ("a".to_owned(), EntryKind::Purge, String::new(), 3)
    );
}

pub async fn a_follower_hands_over_a_large_snapshot_in_parts(lab: &impl Lab) {
    let bus = lab.join().await;
    let bucket = made(&bus, settings()).await;
    for part in [0..300, 300..600] {
        let writes = part.map(|n| Write::put(format!("key.{n}"), "1")).collect();
        bucket.write_all(writes).await.unwrap();
    }
    let mut follower = follower(&bus);
    assert!(matches!(update(&mut follower).await, Update::Begin(_)));
    let mut parts = Vec::new();
    while let Update::Held(entries) = update(&mut follower).await {
        parts.push(entries.len());
    }
    assert_eq!(parts, [TOGETHER, TOGETHER, 600 - 2 * TOGETHER]);
}

pub async fn a_follower_of_an_empty_bucket_completes_at_once(lab: &impl Lab) {
    let bus = lab.join().await;
    let bucket = made(&bus, settings()).await;
    let mut follower = follower(&bus);
    assert!(matches!(update(&mut follower).await, Update::Begin(_)));
    assert_eq!(update(&mut follower).await, Update::Complete);
    put(&bucket, "a", "1").await;
    assert_eq!(changed(&mut follower).await.3, 1);
}

pub async fn a_follower_misses_nothing_over_a_reconnect(lab: &impl Lab) {
    let bus = lab.join().await;
    let bucket = made(&bus, settings()).await;
    put(&bucket, "a", "1").await;
    put(&bucket, "b", "1").await;
    let mut follower = follower(&bus);
    let (first, keys) = snapshot(&mut follower).await;
    assert_eq!(keys, ["a", "b"]);
    put(&bucket, "c", "1").await;
    assert_eq!(changed(&mut follower).await.0, "c");
    restart(lab, &bus).await;
    write(&bucket, Write::purge("a", "")).await;
    put(&bucket, "d", "1").await;
    // Whatever was heard live before: the snapshot says it all, with the revisions by which it is recognised.
    let (second, mut keys) = snapshot(&mut follower).await;
    if second.last_revision < 5 {
        while keys.len() < 4 || !keys.contains(&"d".to_owned()) {
            let (key, ..) = changed(&mut follower).await;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    keys.sort_unstable();
    assert_eq!(keys, ["a", "b", "c", "d"]);
    assert_eq!((second.created, second.is_new), (first.created, false));
    assert!((3..=5).contains(&second.last_revision), "{second:?}");
}

pub async fn a_follower_waits_for_its_bucket(lab: &impl Lab) {
    let bus = lab.join().await;
    let mut follower = follower(&bus);
    tokio::select! {
        biased;
        update = follower.next() => panic!("{update:?} of a bucket that does not exist"),
        () = tokio::time::sleep(Duration::from_millis(300)) => {}
    }
    let bucket = made(&bus, settings()).await;
    put(&bucket, "a", "1").await;
    let (begun, mut keys) = snapshot(&mut follower).await;
    if keys.is_empty() {
        keys.push(changed(&mut follower).await.0);
    }
    assert_eq!((keys, begun.is_new), (vec!["a".to_owned()], false));
}

pub async fn a_follower_makes_its_bucket(lab: &impl Lab) {
    let bus = lab.join().await;
    let bucket = bus.bucket(BUCKET);
    let mut follower = follower(&bus).prepared_by(move || bucket.make(settings()));
    let (begun, keys) = snapshot(&mut follower).await;
    assert_eq!(
        (begun.created, keys.len()),
        (created(&bus.bucket(BUCKET)).await, 0)
    );
    // The server forgets it.
    lab.delete_bucket(BUCKET).await;
    restart(lab, &bus).await;
    let (again, _) = snapshot(&mut follower).await;
    assert!(again.is_new && again.created != begun.created);
}

pub async fn a_follower_tells_a_bucket_that_was_made_anew(lab: &impl Lab) {
    let bus = lab.join().await;
    let bucket = made(&bus, settings()).await;
    put(&bucket, "a", "1").await;
    let mut follower = follower(&bus);
    let (first, _) = snapshot(&mut follower).await;
    assert!(!first.is_new);
    restart(lab, &bus).await;
    let (second, _) = snapshot(&mut follower).await;
    assert!(!second.is_new);
    lab.delete_bucket(BUCKET).await;
    let bucket = made(&bus, settings()).await;
    put(&bucket, "b", "1").await;
    restart(lab, &bus).await;
    let (third, keys) = snapshot(&mut follower).await;
    assert!(third.is_new && third.created != first.created);
    assert_eq!(keys, ["b"]);
    restart(lab, &bus).await;
    let (fourth, _) = snapshot(&mut follower).await;
    assert_eq!((fourth.created, fourth.is_new), (third.created, false));
}

pub async fn a_follower_that_is_dropped_while_it_waits_loses_nothing(lab: &impl Lab) {
    let bus = lab.join().await;
    let bucket = made(&bus, settings()).await;
    put(&bucket, "a", "1").await;
    let writing = tokio::spawn(async move {
        for n in 0..100 {
            put(&bucket, &format!("key.{n}"), "1").await;
        }
    });
    let mut follower = follower(&bus);
    let mut revisions = Vec::new();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while revisions.len() < 101 {
        assert!(tokio::time::Instant::now() < deadline, "{revisions:?}");
        tokio::select! {
            biased;
            update = follower.next() => match update {
                Update::Held(entries) => revisions.extend(entries.iter().map(|entry| entry.revision)),
                Update::Changed(entry) => revisions.push(entry.revision),
                Update::Begin(_) | Update::Complete => {}
            },
            // Fires at once: what waits is dropped each time.
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
    assert_eq!(revisions, (1..=101).collect::<Vec<_>>());
    writing.await.unwrap();
}

pub async fn a_follower_reads_again_on_demand(lab: &impl Lab) {
    let bus = lab.join().await;
    let bucket = made(&bus, settings()).await;
    put(&bucket, "a", "1").await;
    let mut follower = follower(&bus);
    assert_eq!(snapshot(&mut follower).await.1, ["a"]);
    follower.retry(&"what comes with it could not be read");
    assert_eq!(snapshot(&mut follower).await.1, ["a"]);
}

pub async fn connections_are_counted(lab: &impl Lab) {
    let bus = lab.join().await;
    assert!(bus.is_connected());
    assert_eq!(bus.connection(), 1);
    assert_eq!(bus.connection_after(0).await, 1);
    restart(lab, &bus).await;
    assert_eq!(bus.connection_after(1).await, 2);
    until("it is connected", async || bus.is_connected()).await;
}
