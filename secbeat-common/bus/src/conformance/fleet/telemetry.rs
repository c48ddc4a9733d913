//! The log of telemetry.

use secbeat_common::subjects;

use super::*;
use crate::{Stored, TelemetryFrom, TelemetryLog};

async fn report(bus: &Bus, partition: u16, payload: &str) {
    let subject = subjects::telemetry("web-1", partition);
    bus.publish(subject, payload.to_owned().into()).await.unwrap();
}

/// Returns what comes of these partitions, from `from` on.
async fn telemetry(
    bus: &Bus,
    partitions: &[u16],
    from: TelemetryFrom,
    n: usize,
) -> (Created, Vec<(String, u64)>) {
    let log = TelemetryLog::new(bus);
    let partitions = partitions.iter().copied().collect();
    let (created, mut records) = log.read(&partitions, from).await.expect("reading telemetry");
    let read = take(&mut records, n).await;
    let shown = |record: &Stored| {
        (
            String::from_utf8_lossy(&record.payload).into_owned(),
            record.sequence,
        )
    };
    (created, read.iter().map(shown).collect())
}

pub async fn telemetry_goes_on_where_it_was_read(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    for payload in ["1", "2", "3"] {
        report(&fleet.bus, 0, payload).await;
    }
    let all: Vec<_> = (0..subjects::PARTITIONS).collect();
    let (created, read) = telemetry(&fleet.bus, &all, TelemetryFrom::Time(0), 3).await;
    assert_eq!(
        read,
        [("1".to_owned(), 1), ("2".to_owned(), 2), ("3".to_owned(), 3)]
    );
    assert_eq!(TelemetryLog::new(&fleet.bus).created().await, Ok(created));
    let (_, read) = telemetry(&fleet.bus, &all, TelemetryFrom::After(created, 2), 1).await;
    assert_eq!(read, [("3".to_owned(), 3)]);
    report(&fleet.bus, 0, "4").await;
    let (_, read) = telemetry(&fleet.bus, &all, TelemetryFrom::After(created, 3), 1).await;
    assert_eq!(read, [("4".to_owned(), 4)]);
}

pub async fn telemetry_of_a_new_log_is_read_from_its_beginning(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    report(&fleet.bus, 0, "1").await;
    let (before, _) = telemetry(&fleet.bus, &[0], TelemetryFrom::Time(0), 1).await;
    restart(lab, &fleet.bus).await;
    if fleet.bus.ends_with_members() {
        // Nobody but the members could have kept it.
        let (after, read) = telemetry(&fleet.bus, &[0], TelemetryFrom::Time(0), 1).await;
        assert_eq!((after, read), (before, vec![("1".to_owned(), 1)]));
        return;
    }
    assert_missing(&TelemetryLog::new(&fleet.bus).created().await);
    make_all(&fleet.bus, WINDOW).await.unwrap();
    report(&fleet.bus, 0, "2").await;
    let (after, read) = telemetry(&fleet.bus, &[0], TelemetryFrom::After(before, 1), 1).await;
    assert_ne!(after, before);
    assert_eq!(read, [("2".to_owned(), 1)]);
}

pub async fn telemetry_comes_by_partition(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    for partition in 0..4 {
        report(&fleet.bus, partition, &partition.to_string()).await;
    }
    let late = subjects::late_telemetry("web-1", 2);
    fleet.bus.publish(late, "late".into()).await.unwrap();
    let waf = subjects::waf_events("web-2");
    fleet.bus.publish(waf, "waf".into()).await.unwrap();
    let (_, read) = telemetry(&fleet.bus, &[2, 3], TelemetryFrom::Time(0), 4).await;
    let expected = [("2", 3), ("3", 4), ("late", 5), ("waf", 6)];
    assert_eq!(
        read,
        expected.map(|(payload, sequence)| (payload.to_owned(), sequence))
    );
}
