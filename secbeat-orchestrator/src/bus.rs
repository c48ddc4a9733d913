//! The orchestrator's side of the bus: it owns the streams and the bucket, writes bans and audit records, reads telemetry.

use std::{collections::HashMap, time::Duration};

use anyhow::Context as _;
use async_nats::jetstream::{
    self, Context,
    consumer::{DeliverPolicy, push},
    kv,
    message::PublishMessage,
    stream::{self, DiscardPolicy, Republish, StorageType},
};
use futures::StreamExt as _;
use secbeat_common::{
    daemon::{bus::Bus, time::now_ms},
    prefix::Prefix,
    subjects,
    wire::{self, AuditRecord, BlockCommand},
};
use tracing::warn;
use uuid::Uuid;

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
    context: Context,
}

impl Streams {
    /// Names the connection; nothing is sent.
    #[must_use]
    pub fn new(bus: &Bus) -> Self {
        let mut context = jetstream::new(bus.client.clone());
        context.set_timeout(ACK_TIMEOUT);
        Self { context }
    }

    /// Makes the streams and the bucket, or brings their settings up to date.
    ///
    /// # Errors
    ///
    /// When the server does not let it, or has no JetStream.
    pub async fn ensure(&self, longest_window: Duration) -> anyhow::Result<()> {
        let telemetry = stream::Config {
            name: subjects::TELEMETRY_STREAM.to_owned(),
            subjects: vec![
                subjects::TELEMETRY_ALL.to_owned(),
                subjects::WAF_EVENTS.to_owned(),
            ],
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
        let bans = kv::Config {
            bucket: subjects::BANS_BUCKET.to_owned(),
            history: 1,
            storage: StorageType::File,
            limit_markers: Some(MARKER_TTL),
            republish: Some(Republish {
                source: subjects::BANS_ALL.to_owned(),
                destination: subjects::COMMANDS_ALL.to_owned(),
                headers_only: false,
            }),
            ..kv::Config::default()
        };
        self.context
            .create_or_update_key_value(bans)
            .await
            .context("making the bans bucket")?;
        Ok(())
    }

    /// Every ban in the bucket that decodes.
    ///
    /// # Errors
    ///
    /// When the bucket cannot be read.
    pub async fn bans(&self) -> anyhow::Result<HashMap<Prefix, BlockCommand>> {
        let bucket = self
            .context
            .get_key_value(subjects::BANS_BUCKET)
            .await
            .context("opening the bans bucket")?;
        let mut bans = HashMap::new();
        if bucket
            .status()
            .await
            .context("reading the bans bucket's status")?
            .values()
            == 0
        {
            return Ok(bans);
        }
        let mut watch = bucket
            .watch_with_history(">")
            .await
            .context("reading the bans bucket")?;
        loop {
            let entry = tokio::time::timeout(PATIENCE, watch.next())
                .await
                .context("the bans bucket fell silent")?;
            let entry = entry
                .context("the watch of the bans bucket ended")?
                .context("reading the bans bucket")?;
            if entry.operation == kv::Operation::Put {
                match wire::decode::<BlockCommand>(&entry.value) {
                    Ok(command) => drop(bans.insert(command.target, command)),
                    Err(error) => warn!(key = entry.key, %error, "not a ban in the bans bucket: ignored"),
                }
            }
            if entry.delta == 0 {
                break;
            }
        }
        Ok(bans)
    }

    /// Audit records since `since_ms`, oldest first.
    ///
    /// # Errors
    ///
    /// When the stream cannot be read.
    pub async fn audit_since(&self, since_ms: i64) -> anyhow::Result<Vec<AuditRecord>> {
        let stream = self
            .context
            .get_stream(subjects::AUDIT_STREAM)
            .await
            .context("opening the audit stream")?;
        let consumer = stream
            .create_consumer(push::OrderedConfig {
                deliver_subject: self.context_inbox(),
                deliver_policy: DeliverPolicy::ByStartTime {
                    start_time: timestamp(since_ms)?,
                },
                ..push::OrderedConfig::default()
            })
            .await
            .context("reading the audit stream")?;
        let mut records = Vec::new();
        if consumer.cached_info().num_pending == 0 {
            return Ok(records);
        }
        let mut messages = consumer.messages().await.context("reading the audit stream")?;
        loop {
            let message = tokio::time::timeout(PATIENCE, messages.next())
                .await
                .context("the audit stream fell silent")?;
            let message = message
                .context("the audit stream ended")?
                .context("reading the audit stream")?;
            match serde_json::from_slice(&message.payload) {
                Ok(record) => records.push(record),
                Err(error) => warn!(subject = %message.subject, %error, "not an audit record: ignored"),
            }
            if message
                .info()
                .map_err(|error| anyhow::anyhow!("{error}"))?
                .pending
                == 0
            {
                break;
            }
        }
        Ok(records)
    }

    /// Telemetry from `from` on, then live.
    ///
    /// # Errors
    ///
    /// When the stream cannot be read.
    pub async fn telemetry(&self, from: TelemetryFrom) -> anyhow::Result<(StreamId, push::Ordered)> {
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
                deliver_subject: self.context_inbox(),
                deliver_policy,
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

    fn context_inbox(&self) -> String {
        format!("_INBOX.{}", Uuid::new_v4().simple())
    }

    /// Writes a ban, once.
    ///
    /// # Errors
    ///
    /// When the server did not acknowledge it; it may have been written all the same.
    pub async fn put_ban(&self, command: &BlockCommand) -> anyhow::Result<()> {
        let payload = wire::encode(command)?;
        // The server counts in whole seconds; the ban's own end is exact.
        let left = Duration::from_millis(u64::try_from(command.expires_at_ms - now_ms()).unwrap_or(0));
        let ttl = Duration::from_secs(left.as_secs() + 1);
        let message = PublishMessage::build().payload(payload.into()).ttl(ttl);
        self.context
            .send_publish(subjects::ban(&command.target), message)
            .await?
            .await?;
        Ok(())
    }

    /// Removes a ban, once.
    ///
    /// # Errors
    ///
    /// When the server did not acknowledge it; it may have been removed all the same.
    pub async fn remove_ban(&self, target: &Prefix) -> anyhow::Result<()> {
        let bucket = self
            .context
            .get_key_value(subjects::BANS_BUCKET)
            .await
            .context("opening the bans bucket")?;
        bucket
            .purge_with_ttl(target.key(), MARKER_TTL)
            .await
            .with_context(|| format!("removing the ban of {target}"))
    }

    /// Writes an audit record, once.
    ///
    /// # Errors
    ///
    /// When the server did not acknowledge it.
    pub async fn put_audit(&self, record: &AuditRecord) -> anyhow::Result<()> {
        let payload = serde_json::to_vec(record).context("encoding an audit record")?;
        let subject = subjects::audit(record.decision.kind());
        self.context.publish(subject, payload.into()).await?.await?;
        Ok(())
    }
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
