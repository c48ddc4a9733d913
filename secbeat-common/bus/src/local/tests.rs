//! The conformance suite over the local bus, and what a file is good for.

use std::{fmt, fs, path::PathBuf};

use futures::StreamExt as _;
use parking_lot::Mutex;
use secbeat_common::{subjects, subjects::AuditPart};
use tempfile::TempDir;

use super::*;
use crate::{
    BucketSettings, Write, WriteOutcome,
    backend::Record,
    conformance::{self, Lab},
};

mod other_process;

struct LocalLab {
    folder: TempDir,
    server: Mutex<LocalServer>,
}

impl LocalLab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = LocalServer::open(&folder.path().join("store.db")).unwrap();
        Self {
            folder,
            server: Mutex::new(server),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    fn bus(&self) -> LocalBus {
        self.server.lock().join()
    }
}

impl Lab for LocalLab {
    async fn join(&self) -> Bus {
        self.bus().bus()
    }

    async fn stop(&self) {
        self.server.lock().close();
    }

    async fn start(&self) {
        self.server.lock().reopen().unwrap();
    }

    async fn delete_bucket(&self, name: &str) {
        let name = name.to_owned();
        let deleted = self.bus();
        let deleted = deleted.call("a deletion", move |store| {
            store.delete_bucket(&name);
            Ok(())
        });
        deleted.await.unwrap();
    }
}

macro_rules! tests {
    ($($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                conformance::$case(&LocalLab::new()).await;
            }
        )*
    };
}

crate::for_each_case!(tests);

fn settings() -> BucketSettings {
    BucketSettings {
        marker_ttl: Some(Duration::from_secs(60)),
        batches: true,
        ..BucketSettings::default()
    }
}

fn refusal(outcome: Result<impl fmt::Debug>) -> String {
    match outcome {
        Err(Error::Refused { why, .. }) => why,
        outcome => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn a_store_has_one_process() {
    let lab = LocalLab::new();
    assert_eq!(
        refusal(LocalServer::open(&lab.path())),
        "another process has it open"
    );
}

#[tokio::test]
async fn nobody_else_may_read_a_store() {
    use std::os::unix::fs::MetadataExt as _;
    let lab = LocalLab::new();
    assert_eq!(fs::metadata(lab.path()).unwrap().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_damaged_file_is_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::write(&path, "these are no pages of a database".repeat(200)).unwrap();
    let before = fs::read(&path).unwrap();
    let why = refusal(LocalServer::open(&path));
    assert!(why.contains("damaged") && why.contains("move it away"), "{why}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_file_of_a_newer_release_is_told() {
    let lab = LocalLab::new();
    lab.server.lock().close();
    let db = rusqlite::Connection::open(lab.path()).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let why = refusal(LocalServer::open(&lab.path()));
    assert!(why.contains("a newer SecBeat made it"), "{why}");
}

/// A copy of the files is what a SIGKILL at this moment would leave.
#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    let lab = LocalLab::new();
    let bucket = lab.bus().bucket("bans");
    bucket.make(settings()).await.unwrap();
    for n in 0..50 {
        let written = bucket.write(Write::put(format!("key.{n}"), n.to_string())).await;
        assert_eq!(written, Ok(WriteOutcome::Written(n + 1)));
        let left = tempfile::tempdir().unwrap();
        for file in fs::read_dir(lab.folder.path()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), left.path().join(file.file_name())).unwrap();
        }
        let after = LocalServer::open(&left.path().join("store.db")).unwrap();
        let status = after.join().bucket("bans").status().await.unwrap();
        assert_eq!((status.last_revision, status.keys), (n + 1, n + 1));
    }
}

#[tokio::test]
async fn an_end_that_came_while_the_store_was_closed_leaves_its_marker() {
    let lab = LocalLab::new();
    let bus = lab.bus();
    let bucket = bus.bucket("bans");
    bucket.make(settings()).await.unwrap();
    bucket
        .write(Write::put("a", "1").ttl(Duration::from_secs(1)))
        .await
        .unwrap();
    lab.server.lock().close();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    lab.server.lock().reopen().unwrap();
    let entry = bucket.get("a").await.unwrap().unwrap();
    assert_eq!((entry.kind, entry.revision), (crate::EntryKind::Purge, 2));
}

/// Keeps the store busy until all of `calls` wait, so that they make one group.
async fn together<T: Send + 'static>(bus: &LocalBus, calls: Vec<Answer<T>>) -> Vec<Result<T>> {
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let (entered, at_work) = oneshot::channel();
    let mut gate = Some((entered, gate));
    let held = bus.clone();
    let holding = tokio::spawn(async move {
        let hold = move |_: &mut Store| {
            if let Some((entered, gate)) = gate.take() {
                let _ = entered.send(());
                let _ = gate.recv();
            }
            Ok(())
        };
        held.call("a gate", hold).await
    });
    at_work.await.unwrap();
    let before = bus.0.waiting.available_permits();
    let count = calls.len();
    let answers = tokio::spawn(futures::future::join_all(calls));
    while before - bus.0.waiting.available_permits() < count {
        tokio::task::yield_now().await;
    }
    open.send(()).unwrap();
    holding.await.unwrap().unwrap();
    answers.await.unwrap()
}

async fn commits(bus: &LocalBus) -> u64 {
    bus.call("commits", |store| Ok(store.commits)).await.unwrap()
}

#[tokio::test]
async fn jobs_that_wait_are_committed_together_in_their_order() {
    let lab = LocalLab::new();
    let bus = lab.bus();
    let bucket = bus.bucket("bans");
    bucket.make(settings()).await.unwrap();
    let mut watch = bucket.watch().await.unwrap();
    let before = commits(&bus).await;
    let writes = [
        Write::put("a", "1").over(0),
        // Another writer of the key, who knows of none.
        Write::put("a", "2").over(0),
        // The bucket takes no such key.
        Write::put("a b", "3"),
        Write::put("a", "4").over(1),
        Write::put("b", "5"),
    ];
    let outcomes = together(&bus, writes.map(|write| bucket.write(write)).into()).await;
    assert_eq!(outcomes[0], Ok(WriteOutcome::Written(1)));
    assert_eq!(outcomes[1], Ok(WriteOutcome::Conflict));
    assert!(matches!(outcomes[2], Err(Error::Invalid(_))), "{:?}", outcomes[2]);
    assert_eq!(outcomes[3], Ok(WriteOutcome::Written(2)));
    assert_eq!(outcomes[4], Ok(WriteOutcome::Written(3)));
    // The gate is a commit, too.
    assert_eq!(commits(&bus).await - before, 3);
    let mut seen = Vec::new();
    while seen.last() != Some(&3) {
        seen.push(watch.entries.next().await.unwrap().unwrap().entry.revision);
    }
    assert_eq!(
        seen,
        [2, 3],
        "the first was replaced before anybody could read it"
    );
}

#[tokio::test]
async fn one_that_fails_among_others_fails_alone() {
    let lab = LocalLab::new();
    let bus = lab.bus();
    let bucket = bus.bucket("bans");
    bucket.make(settings()).await.unwrap();
    bucket.write(Write::put("z", vec![b'x'; 40_000])).await.unwrap();
    // Room for what is small.
    let pages = bus.call("pages", |store| {
        store
            .db
            .pragma_query_value(None, "page_count", |row| row.get::<_, u32>(0))
            .map_err(|_| Error::Missing(String::new()))
    });
    let pages = pages.await.unwrap() + 4;
    bus.call("a limit", move |store| {
        store.db.pragma_update(None, "max_page_count", pages).unwrap();
        Ok(())
    })
    .await
    .unwrap();
    let value = |bytes: usize| vec![b'x'; bytes];
    let writes = [
        Write::put("a", value(10)),
        Write::put("b", value(400_000)),
        Write::put("c", value(10)),
    ];
    let outcomes = together(&bus, writes.map(|write| bucket.write(write)).into()).await;
    assert_eq!(outcomes[0], Ok(WriteOutcome::Written(2)));
    assert_eq!(refusal(outcomes[1].clone()), "the disk is full");
    assert_eq!(outcomes[2], Ok(WriteOutcome::Written(3)));
    assert!(bus.is_connected());
    let status = bucket.status().await.unwrap();
    assert_eq!((status.last_revision, status.keys), (3, 3));
    // What is on disk agrees.
    lab.server.lock().close();
    lab.server.lock().reopen().unwrap();
    assert_eq!(bucket.status().await.unwrap(), status);
    assert_eq!(&bucket.get("c").await.unwrap().unwrap().value[..], value(10));
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_keeps_what_is_there() {
    let lab = LocalLab::new();
    let bus = lab.bus();
    let bucket = bus.bucket("bans");
    bucket.make(settings()).await.unwrap();
    bucket.write(Write::put("a", "kept")).await.unwrap();
    // SQLite takes a limit of pages for a disk that has no more.
    let limit = |pages: u32| {
        let bus = lab.bus();
        async move {
            bus.call("a limit", move |store| {
                store.db.pragma_update(None, "max_page_count", pages).unwrap();
                Ok(())
            })
            .await
            .unwrap();
        }
    };
    limit(1).await;
    let large = Write::put("b", vec![b'x'; 200_000]);
    assert_eq!(refusal(bucket.write(large.clone()).await), "the disk is full");
    assert!(bus.is_connected());
    assert_eq!(&bucket.get("a").await.unwrap().unwrap().value[..], b"kept");
    assert_eq!(bucket.get("b").await, Ok(None));
    limit(100_000).await;
    assert_eq!(bucket.write(large).await, Ok(WriteOutcome::Written(2)));
}

#[tokio::test]
async fn where_room_is_short_records_go_first_and_bans_last() {
    let lab = LocalLab::new();
    let bus = lab.bus();
    crate::make_all(&bus.bus(), Duration::from_secs(60))
        .await
        .unwrap();
    let audit = bus.log(AuditPart::Orders.stream());
    let telemetry = bus.log(subjects::TELEMETRY_STREAM);
    let subject = |log: &str| log.replace(['>', '*'], "x");
    let [record, report] =
        [AuditPart::Orders.all(), subjects::TELEMETRY_ALL.to_owned()].map(|all| subject(&all));
    let append = |log: Arc<dyn Log>, subject: &str| {
        let record = Record {
            subject: subject.to_owned(),
            payload: Bytes::from_static(b"1"),
            id: None,
        };
        async move { log.append(record).await }
    };
    let pretend = |is_half_used| {
        let bus = bus.clone();
        async move {
            let said = move |store: &mut Store| {
                store.reserve.pretend(is_half_used);
                Ok(())
            };
            bus.call("less room", said).await.unwrap();
        }
    };
    assert_eq!(append(audit.clone(), &record).await, Ok(1));
    pretend(false).await;
    let refused = refusal(append(audit.clone(), &record).await);
    assert!(refused.starts_with("the disk is full"), "{refused}");
    assert!(append(telemetry.clone(), &report).await.is_ok());
    pretend(true).await;
    assert!(append(telemetry.clone(), &report).await.is_err());
    for bucket in [subjects::BANS_BUCKET, subjects::LEASES_BUCKET] {
        let written = bus.bucket(bucket).write(Write::put("a", "1")).await;
        assert_eq!(written, Ok(WriteOutcome::Written(1)), "{bucket}");
    }
    assert!(bus.is_connected());
}

/// Else the disk of a host where nothing happens would be written to every 5 s.
#[tokio::test]
async fn signs_of_life_are_not_brought_to_the_disk() {
    let lab = LocalLab::new();
    let bus = lab.bus();
    let bucket = bus.bucket("bans");
    bucket.make(settings()).await.unwrap();
    lab.server.lock().close();
    lab.server.lock().reopen().unwrap();
    let rest = || bus.call("the time to rest", |store| Ok(store.rest()));
    let brief = Write::put("a", "1").ttl(store::CHECKPOINT * 2);
    bucket.write(brief).await.unwrap();
    assert!(rest().await.unwrap() > store::CHECKPOINT);
    bucket.write(Write::put("b", "1")).await.unwrap();
    assert!(rest().await.unwrap() <= store::CHECKPOINT);
}
