//! The way from an entry to the bus.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use secbeat_common::wire;
use tokio::sync::mpsc;

use super::*;
use crate::{
    bus::Dropped,
    sources::{
        access_log::Progress,
        reports::{LINGER, RETRY, Sink, send_all},
    },
    stand_in::Tap,
};

const ENTRY: &str = r#"{"transaction":{"client_ip":"192.0.2.7","time_stamp":"Sat Nov 21 11:07:04 2026","unique_id":"1795259224.1","messages":[{"message":"m","details":{"ruleId":"942100","severity":"2"}}]}}"#;
const BEGAN: i64 = 1_795_259_224_000;

/// Keeps what is published; ready and taking as told.
#[derive(Clone, Default)]
struct Bus {
    ready: Arc<AtomicBool>,
    full: Arc<AtomicBool>,
    batches: Arc<std::sync::Mutex<Vec<WafBatch>>>,
}

impl Sink for Bus {
    fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    fn publish(&mut self, bytes: Vec<u8>) -> Result<(), Dropped> {
        if self.full.load(Relaxed) {
            return Err(Dropped);
        }
        let batch = wire::decode(&bytes).unwrap();
        self.batches.lock().unwrap().push(batch);
        Ok(())
    }
}

fn recorder() -> (WafRecorder, mpsc::Receiver<WafEvent>) {
    let (queue, events) = mpsc::channel(4 * MAX_WAF_EVENTS);
    let stats = Arc::default();
    (WafRecorder { queue, stats }, events)
}

fn transactions(recorder: &WafRecorder) -> Transactions {
    Transactions {
        format: WafFormat::Modsecurity,
        learned_from: LearnedFrom::Header,
        zone: TimeZone::UTC,
        recorder: recorder.clone(),
    }
}

fn take(reading: &mut Transactions, line: &[u8], oldest_ms: Option<i64>) -> Result<Taken, Closed> {
    reading.take(Piece::Line(line), &mut OpenLines::default(), oldest_ms)
}

#[test]
fn entries_are_reported_skipped_as_too_old_or_not_understood() {
    let (recorder, mut events) = recorder();
    let mut reading = transactions(&recorder);
    let line = ENTRY.as_bytes();
    let taken = take(&mut reading, line, Some(BEGAN)).unwrap();
    assert!(matches!(taken, Taken::Reported { at_ms: Some(BEGAN) }));
    assert!(matches!(
        take(&mut reading, line, Some(BEGAN + 1)),
        Ok(Taken::TooOld)
    ));
    assert!(matches!(
        take(&mut reading, b"-", None),
        Ok(Taken::NotUnderstood(_))
    ));
    let without = ENTRY.replace("messages", "others");
    assert!(matches!(
        take(&mut reading, without.as_bytes(), None),
        Ok(Taken::Reported { .. })
    ));
    let event = events.try_recv().unwrap();
    assert_eq!((event.at_ms, event.learned_from), (BEGAN, LearnedFrom::Header));
    assert!(events.try_recv().is_err(), "one entry was one to report");
    drop(events);
    assert!(matches!(take(&mut reading, line, None), Err(Closed)));
    assert_eq!(recorder.stats().recorded(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_event_leaves_at_once_the_next_together_and_none_while_the_bus_is_away() {
    let ((recorder, events), bus) = (recorder(), Bus::default());
    let record = |times: usize| {
        let mut reading = transactions(&recorder);
        tokio::task::spawn_blocking(move || {
            for _ in 0..times {
                assert!(take(&mut reading, ENTRY.as_bytes(), None).is_ok());
            }
        })
    };
    let sizes = || -> Vec<_> {
        let batches = bus.batches.lock().unwrap();
        batches
            .iter()
            .map(|batch| (batch.sequence, batch.events.len()))
            .collect()
    };
    let task = tokio::spawn(send_all(
        "e".to_owned(),
        events,
        recorder.stats(),
        bus.clone(),
        Tap::off(),
    ));
    record(1).await.unwrap();
    tokio::time::sleep(RETRY * 3).await;
    assert_eq!((sizes(), Progress::settled(&*recorder.stats())), (vec![], 0));
    bus.ready.store(true, Relaxed);
    tokio::time::sleep(RETRY).await;
    assert_eq!(sizes(), [(0, 1)]);
    record(MAX_WAF_EVENTS + 2).await.unwrap();
    tokio::time::sleep(LINGER * 3).await;
    assert_eq!(
        sizes()[1..].iter().map(|(_, events)| events).sum::<usize>(),
        MAX_WAF_EVENTS + 2
    );
    bus.full.store(true, Relaxed);
    record(3).await.unwrap();
    tokio::time::sleep(LINGER * 3).await;
    bus.full.store(false, Relaxed);
    record(1).await.unwrap();
    let stats = recorder.stats();
    drop(recorder);
    task.await.unwrap();
    assert_eq!(stats.dropped(), 3);
    assert_eq!(Progress::settled(&*stats), stats.recorded());
    let last = bus.batches.lock().unwrap().pop().unwrap();
    assert_eq!((last.dropped_before, last.events.len()), (3, 1));
}
