//! Settings of the fleet's buckets and logs.

use std::{sync::Arc, time::Duration};

use futures::future::{join, join_all, try_join_all};
use secbeat_common::{
    sign::MAX_SEAL,
    subjects::{self, AuditPart},
    wire::{FEED_CHUNK, MAX_SIGNATURE_SET},
};

use crate::{
    backend::{Bucket, BucketSettings, LogSettings, Storage},
    bus::Bus,
    error::{Error, Result},
};

/// Telemetry matters for so many of the longest windows: the server keeps it as long, and what is older is ignored.
pub const TELEMETRY_AGE: u32 = 2;
/// Most telemetry that the server keeps, in bytes.
const MAX_TELEMETRY_BYTES: u64 = 256 * 1024 * 1024;
/// How long audit records are kept, unless there is no room.
pub const AUDIT_AGE: Duration = Duration::from_secs(90 * 24 * 3600);
/// Time that a bucket remembers that a key ended, for those who were away.
pub(crate) const MARKER_TTL: Duration = Duration::from_secs(60);

/// Makes the logs, and the buckets of bans, leases and the allowlist, or brings their settings up to date.
///
/// # Errors
///
/// Returns an error if the server does not let it, or has no JetStream.
pub async fn make_all(bus: &Bus, longest_window: Duration) -> Result<()> {
    let telemetry = (subjects::TELEMETRY_STREAM, telemetry(bus, longest_window));
    let logs = AuditPart::ALL.map(|part| (part.stream(), audit(part)));
    let logs = logs.into_iter().chain([telemetry]);
    try_join_all(logs.map(|(name, settings)| bus.log(name).make(settings))).await?;
    let buckets = [
        (subjects::BANS_BUCKET, bans()),
        (subjects::LEASES_BUCKET, leases(bus)),
        (subjects::ALLOW_BUCKET, ending()),
    ];
    try_join_all(buckets.map(|(name, settings)| bus.bucket(name).make(settings))).await?;
    Ok(())
}

/// Makes the bucket of what reports are made of. Nothing depends on it: an orchestrator that was enrolled by an earlier release may not.
///
/// # Errors
///
/// As [`make_all`].
pub async fn make_reports(bus: &Bus) -> Result<Arc<dyn Bucket>> {
    let bucket = bus.bucket(subjects::REPORTS_BUCKET);
    bucket.make(ending()).await?;
    Ok(bucket)
}

/// A bucket or a log that the server does not answer for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offline {
    pub name: String,
    pub error: Error,
}

/// Asks for each of the fleet's buckets and logs, and returns those that are not there or have no server that leads them.
pub async fn offline(bus: &Bus) -> Vec<Offline> {
    let logs = AuditPart::ALL.map(AuditPart::stream).into_iter();
    let logs = logs.chain([subjects::TELEMETRY_STREAM]).map(|name| {
        let log = bus.log(name);
        async move { (name, log.status().await.err()) }
    });
    let buckets = [
        subjects::BANS_BUCKET,
        subjects::LEASES_BUCKET,
        subjects::ALLOW_BUCKET,
        subjects::EDGES_BUCKET,
        subjects::RULES_BUCKET,
    ];
    let buckets = buckets.map(|name| {
        let bucket = bus.bucket(name);
        async move { (name, bucket.status().await.err()) }
    });
    let (logs, buckets) = join(join_all(logs), join_all(buckets)).await;
    let offline = logs.into_iter().chain(buckets).filter_map(|(name, error)| {
        let name = name.to_owned();
        error.map(|error| Offline { name, error })
    });
    offline.collect()
}

fn telemetry(bus: &Bus, longest_window: Duration) -> LogSettings {
    LogSettings {
        // What was counted before a crash of a daemon counts after it.
        storage: match bus.ends_with_members() {
            true => Storage::File,
            false => Storage::Memory,
        },
        subjects: [subjects::TELEMETRY_ALL, subjects::WAF_ALL, subjects::SERVICE_ALL]
            .map(str::to_owned)
            .to_vec(),
        max_age: longest_window * TELEMETRY_AGE,
        max_bytes: MAX_TELEMETRY_BYTES,
        acknowledges: false,
        batches: false,
        compress: false,
    }
}

/// Most records of orders that the server keeps, in bytes. All of the audit leaves half of the shipped `max_file_store` to bans.
const MAX_ORDER_RECORDS: u64 = 256 * 1024 * 1024;
/// Most records of rules' bans, with the events that led to them, in bytes.
const MAX_BAN_RECORDS: u64 = 384 * 1024 * 1024;
/// Most records of findings that banned nobody, in bytes.
const MAX_FINDING_RECORDS: u64 = 192 * 1024 * 1024;
/// Most records of what is on lists, in bytes.
const MAX_LIST_RECORDS: u64 = 192 * 1024 * 1024;

const fn audit_bytes(part: AuditPart) -> u64 {
    match part {
        AuditPart::Orders => MAX_ORDER_RECORDS,
        AuditPart::Bans => MAX_BAN_RECORDS,
        AuditPart::Findings => MAX_FINDING_RECORDS,
        AuditPart::Lists => MAX_LIST_RECORDS,
    }
}

fn audit(part: AuditPart) -> LogSettings {
    LogSettings {
        storage: Storage::File,
        subjects: vec![part.all()],
        max_age: AUDIT_AGE,
        max_bytes: audit_bytes(part),
        acknowledges: true,
        batches: true,
        // After a SIGKILL, a nats-server 2.15.1 could not read a compressed block that it went on with ("s2: corrupt input"): its copy
        // took nothing more.
        compress: false,
    }
}

fn bans() -> BucketSettings {
    BucketSettings {
        batches: true,
        republish: Some(subjects::COMMANDS_ALL.to_owned()),
        ..ending()
    }
}

/// A bucket whose entries end by themselves. On disk: revisions are epochs, which must not begin again when the server does.
fn ending() -> BucketSettings {
    BucketSettings {
        storage: Storage::File,
        marker_ttl: Some(MARKER_TTL),
        ..BucketSettings::default()
    }
}

/// Settings of the bucket of leases. If all members end with this process, no lease has to outlive it, and a full disk must not
/// end one.
fn leases(bus: &Bus) -> BucketSettings {
    BucketSettings {
        storage: match bus.ends_with_members() {
            true => Storage::Memory,
            false => Storage::File,
        },
        ..ending()
    }
}

/// What a server counts of a value beside it: its key and headers.
const KEY_ROOM: usize = 1024;

/// Settings of the bucket of edges, which holds only the present state. Without purges, by which each edge could delete the
/// others' keys.
pub(crate) fn edges() -> BucketSettings {
    BucketSettings {
        storage: Storage::Memory,
        max_age: Some(subjects::PRESENCE_TTL),
        purges: false,
        ..BucketSettings::default()
    }
}

/// The networks of feeds, in chunks.
pub(crate) fn feeds() -> BucketSettings {
    BucketSettings {
        max_value: Some(FEED_CHUNK + KEY_ROOM),
        ..BucketSettings::default()
    }
}

pub(crate) fn directives() -> BucketSettings {
    BucketSettings {
        max_value: Some(MAX_SIGNATURE_SET + MAX_SEAL),
        ..BucketSettings::default()
    }
}
