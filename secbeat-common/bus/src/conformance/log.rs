//! Records in order.

use super::*;
use crate::{Log, LogSettings, Record, Start, Storage, Stored};

fn log_settings() -> LogSettings {
    LogSettings {
        storage: Storage::File,
        subjects: vec!["test.>".to_owned()],
        max_age: Duration::from_secs(3600),
        max_bytes: 16 * 1024 * 1024,
        acknowledges: true,
        batches: true,
        compress: false,
    }
}

async fn made_log(bus: &Bus, settings: LogSettings) -> Arc<dyn Log> {
    let log = bus.log(LOG);
    log.make(settings).await.expect("making a log");
    log
}

fn record(subject: &str, payload: &str) -> Record {
    Record {
        subject: subject.to_owned(),
        payload: payload.to_owned().into(),
        id: None,
    }
}

fn with_id(payload: &str, id: &str) -> Record {
    Record {
        id: Some(id.to_owned()),
        ..record("test.a", payload)
    }
}

async fn append(log: &Arc<dyn Log>, subject: &str, payload: &str) -> u64 {
    log.append(record(subject, payload)).await.expect("appending")
}

fn shown(record: &Stored) -> (String, u64) {
    (
        String::from_utf8_lossy(&record.payload).into_owned(),
        record.sequence,
    )
}

/// The payloads that are there from `from` on.
async fn read(log: &Arc<dyn Log>, from: Start, subjects: &[&str]) -> Vec<String> {
    let subjects = subjects.iter().map(|subject| (*subject).to_owned()).collect();
    let mut reading = log.read(from, subjects).await.expect("reading");
    let held = usize::try_from(reading.held).unwrap();
    let records = take(&mut reading.records, held).await;
    records.iter().map(|record| shown(record).0).collect()
}

pub async fn sequences_grow(lab: &impl Lab) {
    let log = made_log(&lab.join().await, log_settings()).await;
    let status = log.status().await.unwrap();
    assert_eq!((status.first, status.last), (1, 0));
    assert_eq!(append(&log, "test.a", "1").await, 1);
    assert_eq!(append(&log, "test.b", "2").await, 2);
    let status = log.status().await.unwrap();
    assert_eq!((status.first, status.last), (1, 2));
}

pub async fn a_record_of_a_known_id_is_taken_once(lab: &impl Lab) {
    let log = made_log(&lab.join().await, log_settings()).await;
    assert_eq!(log.append(with_id("1", "x")).await, Ok(1));
    assert_eq!(log.append(with_id("2", "y")).await, Ok(2));
    assert_eq!(log.append(with_id("3", "x")).await, Ok(1));
    assert_eq!(read(&log, Start::Beginning, &[]).await, ["1", "2"]);
}

pub async fn a_log_is_read_from_its_beginning_and_then_live(lab: &impl Lab) {
    let log = made_log(&lab.join().await, log_settings()).await;
    append(&log, "test.a", "1").await;
    append(&log, "test.b", "2").await;
    let mut reading = log.read(Start::Beginning, Vec::new()).await.unwrap();
    assert_eq!(reading.held, 2);
    append(&log, "test.a", "3").await;
    let records = take(&mut reading.records, 3).await;
    let payloads: Vec<_> = records.iter().map(shown).collect();
    assert_eq!(
        payloads,
        [("1".to_owned(), 1), ("2".to_owned(), 2), ("3".to_owned(), 3)]
    );
    assert_eq!(records[1].subject, "test.b");
}

pub async fn a_log_is_read_from_a_sequence(lab: &impl Lab) {
    let log = made_log(&lab.join().await, log_settings()).await;
    for payload in ["1", "2", "3"] {
        append(&log, "test.a", payload).await;
    }
    assert_eq!(read(&log, Start::Sequence(0), &[]).await, ["1", "2", "3"]);
    assert_eq!(read(&log, Start::Sequence(2), &[]).await, ["2", "3"]);
    let mut reading = log.read(Start::Sequence(4), Vec::new()).await.unwrap();
    assert_eq!(reading.held, 0);
    append(&log, "test.a", "4").await;
    assert_eq!(shown(&next(&mut reading.records).await), ("4".to_owned(), 4));
}

pub async fn a_log_is_read_from_a_time(lab: &impl Lab) {
    let log = made_log(&lab.join().await, log_settings()).await;
    append(&log, "test.a", "1").await;
    tokio::time::sleep(LOOK).await;
    append(&log, "test.a", "2").await;
    append(&log, "test.a", "3").await;
    let mut reading = log.read(Start::Beginning, Vec::new()).await.unwrap();
    let records = take(&mut reading.records, 3).await;
    let second = records[1].at_ms;
    assert!(second > records[0].at_ms, "{records:?}");
    assert_eq!(read(&log, Start::Time(second), &[]).await, ["2", "3"]);
    assert_eq!(read(&log, Start::Time(0), &[]).await, ["1", "2", "3"]);
    assert_eq!(read(&log, Start::Time(second + 3_600_000), &[]).await, [""; 0]);
}

pub async fn a_log_is_read_from_now_on(lab: &impl Lab) {
    let log = made_log(&lab.join().await, log_settings()).await;
    append(&log, "test.a", "1").await;
    let mut reading = log.read(Start::Now, Vec::new()).await.unwrap();
    assert_eq!(reading.held, 0);
    append(&log, "test.a", "2").await;
    assert_eq!(shown(&next(&mut reading.records).await), ("2".to_owned(), 2));
}

pub async fn a_log_is_read_by_subjects(lab: &impl Lab) {
    let log = made_log(&lab.join().await, log_settings()).await;
    for subject in ["test.a.1", "test.a.2", "test.b.1", "test.b.1.late", "test.c"] {
        append(&log, subject, subject).await;
    }
    let all = Start::Beginning;
    assert_eq!(read(&log, all, &["test.a.*"]).await, ["test.a.1", "test.a.2"]);
    assert_eq!(
        read(&log, all, &["test.*.1", "test.*.1.late"]).await,
        ["test.a.1", "test.b.1", "test.b.1.late"]
    );
    assert_eq!(
        read(&log, all, &["test.b.>"]).await,
        ["test.b.1", "test.b.1.late"]
    );
    assert_eq!(read(&log, Start::Sequence(2), &["test.*.1"]).await, ["test.b.1"]);
    let mut reading = log.read(Start::Now, vec!["test.c".to_owned()]).await.unwrap();
    append(&log, "test.a.1", "other").await;
    append(&log, "test.c", "wanted").await;
    assert_eq!(shown(&next(&mut reading.records).await).0, "wanted");
}

pub async fn a_log_tells_how_much_waits(lab: &impl Lab) {
    let log = made_log(&lab.join().await, log_settings()).await;
    for payload in ["1", "2", "3"] {
        append(&log, "test.a", payload).await;
        append(&log, "test.b", payload).await;
    }
    let mut reading = log
        .read(Start::Beginning, vec!["test.a".to_owned()])
        .await
        .unwrap();
    assert_eq!(reading.held, 3);
    let records = take(&mut reading.records, 3).await;
    let behind: Vec<_> = records.iter().map(|record| record.behind).collect();
    assert_eq!(behind, [2, 1, 0]);
}

pub async fn a_log_keeps_what_is_published(lab: &impl Lab) {
    let bus = lab.join().await;
    let unacknowledged = LogSettings {
        acknowledges: false,
        ..log_settings()
    };
    let log = made_log(&bus, unacknowledged).await;
    for payload in ["1", "2"] {
        bus.publish("test.a".to_owned(), payload.into()).await.unwrap();
    }
    bus.publish("other.a".to_owned(), "3".into()).await.unwrap();
    bus.flush().await.unwrap();
    until("both are kept", async || log.status().await.unwrap().last == 2).await;
    assert_eq!(read(&log, Start::Beginning, &[]).await, ["1", "2"]);
}

pub async fn a_full_log_drops_its_oldest(lab: &impl Lab) {
    let bus = lab.join().await;
    let small = LogSettings {
        max_bytes: 10_000,
        ..log_settings()
    };
    let log = made_log(&bus, small).await;
    for _ in 0..20 {
        append(&log, "test.a", &"x".repeat(1_000)).await;
    }
    let status = log.status().await.unwrap();
    assert_eq!(status.last, 20);
    assert!((11..=12).contains(&status.first), "{status:?}");
    let kept = read(&log, Start::Beginning, &[]).await.len() as u64;
    assert_eq!(kept, status.last + 1 - status.first);
}

pub async fn a_log_drops_what_is_old(lab: &impl Lab) {
    let bus = lab.join().await;
    let aging = LogSettings {
        max_age: Duration::from_secs(1),
        ..log_settings()
    };
    let log = made_log(&bus, aging).await;
    append(&log, "test.a", "1").await;
    until("it has gone", async || log.status().await.unwrap().first == 2).await;
    assert_eq!(append(&log, "test.a", "2").await, 2);
}

pub async fn a_batch_of_records_is_appended_in_order(lab: &impl Lab) {
    let log = made_log(&lab.join().await, log_settings()).await;
    append(&log, "test.a", "1").await;
    let batch = vec![with_id("2", "x"), with_id("3", "y"), record("test.b", "4")];
    assert_eq!(log.append_all(batch).await, Ok(2));
    assert_eq!(read(&log, Start::Beginning, &[]).await, ["1", "2", "3", "4"]);
    // The ids of a batch are known, too.
    assert_eq!(log.append(with_id("5", "y")).await, Ok(3));
}

pub async fn a_batch_with_a_known_record_appends_nothing(lab: &impl Lab) {
    let log = made_log(&lab.join().await, log_settings()).await;
    log.append(with_id("1", "x")).await.unwrap();
    assert_refused(&log.append_all(vec![with_id("2", "y"), with_id("3", "x")]).await);
    assert_eq!(read(&log, Start::Beginning, &[]).await, ["1"]);
}

pub async fn a_missing_log_is_told(lab: &impl Lab) {
    let log = lab.join().await.log(LOG);
    assert_missing(&log.status().await);
    assert_missing(&log.append(record("test.a", "1")).await);
    assert!(log.read(Start::Beginning, Vec::new()).await.is_err());
}

pub async fn a_log_on_disk_outlives_the_server(lab: &impl Lab) {
    let bus = lab.join().await;
    let log = made_log(&bus, log_settings()).await;
    append(&log, "test.a", "1").await;
    let before = log.status().await.unwrap();
    restart(lab, &bus).await;
    assert_eq!(log.status().await.unwrap(), before);
    assert_eq!(append(&log, "test.a", "2").await, 2);
}

pub async fn a_log_in_memory_does_not(lab: &impl Lab) {
    let bus = lab.join().await;
    let memory = LogSettings {
        storage: Storage::Memory,
        ..log_settings()
    };
    let log = made_log(&bus, memory.clone()).await;
    append(&log, "test.a", "1").await;
    let before = log.status().await.unwrap().created;
    restart(lab, &bus).await;
    assert_missing(&log.status().await);
    let log = made_log(&bus, memory).await;
    let status = log.status().await.unwrap();
    assert_ne!(status.created, before);
    assert_eq!((status.first, status.last), (1, 0));
}
