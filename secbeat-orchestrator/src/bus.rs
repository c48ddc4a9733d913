//! The orchestrator's side of the bus: it owns the streams and the bucket, writes bans and audit records, reads telemetry.

mod allow;
mod audit;
mod bans;
mod batch;

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context as _;
use async_nats::{
    Client, HeaderMap,
    header::NATS_ROLLUP,
    jetstream::{
        self, Context,
        consumer::{DeliverPolicy, push},
        context::traits::Publisher as _,
        kv,
        message::{OutboundMessage, PublishMessage},
        stream::{self, DiscardPolicy, Republish, StorageType},
    },
};
use secbeat_common::{
    sign::{Signer, Trust},
    subjects,
    wire::{self, AuditRecord, Lease},
};
use secbeat_daemon::{bus::Bus, credentials::Membership};
use tracing::debug;

pub use self::{allow::Over, audit::AuditQuery};
use crate::leases::shell::LEASE;

/// Telemetry matters for so many of the longest windows: the server keeps it as long, and what is older is ignored.
pub const TELEMETRY_AGE: u32 = 2;
/// Most telemetry that the server keeps, in bytes.
const MAX_TELEMETRY_BYTES: i64 = 256 * 1024 * 1024;
/// Most audit records that the server keeps, in bytes.
const MAX_AUDIT_BYTES: i64 = 1024 * 1024 * 1024;
/// How long audit records are kept.
const AUDIT_AGE: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long the bucket remembers that a key ended, for watchers that were away.
const MARKER_TTL: Duration = Duration::from_secs(60);
/// How long the server may take between two entries of a snapshot.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one write may wait for its acknowledgement.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);

/// JetStream, with SecBeat's streams.
#[derive(Clone, Debug)]
pub struct Streams {
    client: Client,
    context: Context,
    trust: Trust,
    signer: Signer,
}

impl Streams {
    /// Names the connection; nothing is sent.
    #[must_use]
    pub fn new(bus: &Bus, member: &Membership) -> Self {
        let mut context = jetstream::new(bus.client.clone());
        context.set_timeout(ACK_TIMEOUT);
        Self {
            client: bus.client.clone(),
            context,
            trust: member.trust.clone(),
            signer: member.signer.clone(),
        }
    }

    /// Makes the streams and the buckets, or brings their settings up to date.
    ///
    /// # Errors
    ///
    /// When the server does not let it, or has no JetStream.
    pub async fn ensure(&self, longest_window: Duration) -> anyhow::Result<()> {
        let telemetry = stream::Config {
            name: subjects::TELEMETRY_STREAM.to_owned(),
            subjects: vec![subjects::TELEMETRY_ALL.to_owned(), subjects::WAF_ALL.to_owned()],
            storage: StorageType::Memory,
            discard: DiscardPolicy::Old,
            max_age: longest_window * TELEMETRY_AGE,
            max_bytes: MAX_TELEMETRY_BYTES,
            no_ack: true,
            ..stream::Config::default()
        };
        let audit = stream::Config {
            name: subjects::AUDIT_STREAM.to_owned(),
            subjects: vec![subjects::AUDIT_ALL.to_owned()],
            storage: StorageType::File,
            discard: DiscardPolicy::Old,
            max_age: AUDIT_AGE,
            max_bytes: MAX_AUDIT_BYTES,
            // What a source did resembles itself.
            compression: Some(stream::Compression::S2),
            allow_atomic_publish: self.takes_batches(),
            ..stream::Config::default()
        };
        for config in [telemetry, audit] {
            let name = config.name.clone();
            self.context
                .create_or_update_stream(config)
                .await
                .with_context(|| {
                    format!("making the stream {name} (does the NATS server run with JetStream?)")
                })?;
        }
        // A key-value bucket as a stream (NATS ADR-8): the client's own configuration of one knows no batches.
        let bans = stream::Config {
            name: subjects::BANS_STREAM.to_owned(),
            subjects: vec![subjects::BANS_ALL.to_owned()],
            max_messages_per_subject: 1,
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            allow_message_ttl: true,
            subject_delete_marker_ttl: Some(MARKER_TTL),
            allow_atomic_publish: self.takes_batches(),
            republish: Some(Republish {
                source: subjects::BANS_ALL.to_owned(),
                destination: subjects::COMMANDS_ALL.to_owned(),
                headers_only: false,
            }),
            ..stream::Config::default()
        };
        self.context
            .create_or_update_stream(bans)
            .await
            .context("making the bans bucket")?;
        let bucket = |name: &str| kv::Config {
            bucket: name.to_owned(),
            history: 1,
            storage: StorageType::File,
            limit_markers: Some(MARKER_TTL),
            ..kv::Config::default()
        };
        // On disk: revisions are epochs, which must not begin again when the server does.
        let leases = bucket(subjects::LEASES_BUCKET);
        for config in [leases, bucket(subjects::ALLOW_BUCKET)] {
            let name = config.bucket.clone();
            let made = self.context.create_or_update_key_value(config).await;
            made.with_context(|| format!("making the bucket {name}"))?;
        }
        Ok(())
    }

    /// The bucket of bans.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub async fn bans(&self) -> anyhow::Result<kv::Store> {
        let bucket = self.context.get_key_value(subjects::BANS_BUCKET).await;
        bucket.context("opening the bans bucket")
    }

    /// The bucket of leases.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub async fn leases(&self) -> anyhow::Result<kv::Store> {
        let bucket = self.context.get_key_value(subjects::LEASES_BUCKET).await;
        bucket.context("opening the bucket of leases")
    }

    /// Writes a lease, once, and returns its revision. With `over`, only on top of that revision (0: a key that does not
    /// exist); without, it is a sign of life, which the server deletes after [`LEASE`].
    ///
    /// # Errors
    ///
    /// When the server did not acknowledge it; it may have been written all the same, unless another revision was there.
    pub async fn put_lease(&self, key: &str, lease: &Lease, over: Option<u64>) -> anyhow::Result<u64> {
        let message = PublishMessage::build().payload(wire::encode(lease)?.into());
        let message = match over {
            Some(revision) => message.expected_last_subject_sequence(revision),
            None => message.ttl(LEASE),
        };
        let written = self.context.send_publish(subjects::lease(key), message);
        Ok(written.await?.await?.sequence)
    }

    /// Removes a lease, once.
    ///
    /// # Errors
    ///
    /// When the server did not acknowledge it.
    pub async fn remove_lease(&self, key: &str) -> anyhow::Result<()> {
        let bucket = self.leases().await?;
        let removed = bucket.purge_with_ttl(key, MARKER_TTL).await;
        removed.with_context(|| format!("removing the lease {key}"))
    }

    /// Telemetry of `partitions`, with the events of all web application firewalls, from `from` on, then live.
    ///
    /// # Errors
    ///
    /// When the stream cannot be read.
    pub async fn telemetry(
        &self,
        partitions: &BTreeSet<u16>,
        from: TelemetryFrom,
    ) -> anyhow::Result<(StreamId, push::Ordered)> {
        let stream = self
            .context
            .get_stream(subjects::TELEMETRY_STREAM)
            .await
            .context("opening the telemetry stream")?;
        let info = stream.cached_info();
        let id = StreamId(info.created.unix_timestamp_nanos());
        let deliver_policy = match from {
            TelemetryFrom::Time(at_ms) => DeliverPolicy::ByStartTime {
                start_time: timestamp(at_ms)?,
            },
            TelemetryFrom::After(before, sequence)
                if before == id && sequence <= info.state.last_sequence =>
            {
                DeliverPolicy::ByStartSequence {
                    start_sequence: sequence + 1,
                }
            }
            // A server that lost its memory counts from 1 again, and has nothing that was read already.
            TelemetryFrom::After(..) => DeliverPolicy::All,
        };
        let consumer = stream
            .create_consumer(push::OrderedConfig {
                deliver_subject: self.client.new_inbox(),
                deliver_policy,
                filter_subjects: filters(partitions),
                ..push::OrderedConfig::default()
            })
            .await
            .context("reading the telemetry stream")?;
        Ok((
            id,
            consumer
                .messages()
                .await
                .context("reading the telemetry stream")?,
        ))
    }

    /// Writes up to [`BATCH`](secbeat_orchestrator_core::writer::BATCH) audit records in their order, each once, and waits for the server once. What it acknowledged
    /// is taken out of `records`.
    ///
    /// # Errors
    ///
    /// When there is something that it did not acknowledge.
    pub async fn put_audit(&self, records: &mut Vec<AuditRecord>) -> anyhow::Result<()> {
        if records.len() > 1 && self.takes_batches() {
            match self.put_audit_batch(records).await {
                Ok(()) => records.clear(),
                // The server refuses a batch in which it finds one that it has; by itself that one is acknowledged.
                Err(error) => debug!("writing a batch of audit records failed, trying one by one: {error:#}"),
            }
        }
        while let Some(record) = records.first() {
            self.context
                .publish_message(audit_message(record)?)
                .await?
                .await?;
            records.remove(0);
        }
        Ok(())
    }
}

/// A message that deletes the key of a bucket and all that was there before, as NATS ADR-8 has it.
fn purge(message: PublishMessage, subject: String) -> OutboundMessage {
    let mut message = message.outbound_message(subject);
    let headers = message.headers.get_or_insert_with(HeaderMap::new);
    headers.insert("KV-Operation", "PURGE");
    headers.insert(NATS_ROLLUP, "sub");
    message
}

fn audit_message(record: &AuditRecord) -> anyhow::Result<OutboundMessage> {
    let payload = serde_json::to_vec(record).context("encoding an audit record")?;
    let subject = subjects::audit(record.decision.kind(), &record.target);
    // The same decision again, because its acknowledgement was lost, is taken once.
    Ok(PublishMessage::build()
        .payload(payload.into())
        .message_id(record.id())
        .outbound_message(subject))
}

/// What of the stream concerns `partitions`.
fn filters(partitions: &BTreeSet<u16>) -> Vec<String> {
    if partitions.len() == usize::from(subjects::PARTITIONS) {
        return Vec::new();
    }
    let telemetry = partitions.iter().flat_map(|n| subjects::telemetry_of(*n));
    telemetry.chain([subjects::WAF_ALL.to_owned()]).collect()
}

/// Where to start reading telemetry.
#[derive(Clone, Copy, Debug)]
pub enum TelemetryFrom {
    /// At this time, milliseconds since the Unix epoch.
    Time(i64),
    /// After the message of this sequence of this stream.
    After(StreamId, u64),
}

/// Tells a stream from another of the same name, by when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamId(i128);

fn timestamp(at_ms: i64) -> anyhow::Result<time::OffsetDateTime> {
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000)
        .context("an impossible time")
}
