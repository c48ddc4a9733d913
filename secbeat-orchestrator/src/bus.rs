//! The orchestrator's side of the bus: it owns the streams and the bucket, writes bans and audit records until the server
//! has acknowledged them, and reads telemetry.

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
use tracing::{debug, warn};
use uuid::Uuid;

/// Most telemetry that the server keeps, in bytes.
const MAX_TELEMETRY_BYTES: i64 = 256 * 1024 * 1024;
/// How long audit records are kept.
const AUDIT_AGE: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long the bucket remembers that a key ended, for watchers that were away.
const MARKER_TTL: Duration = Duration::from_secs(60);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);
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
            subjects: vec![subjects::TELEMETRY_ALL.to_owned()],
            storage: StorageType::Memory,
            discard: DiscardPolicy::Old,
            max_age: longest_window * 2,
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
            ..stream::Config::default()
        };
        for config in [telemetry, audit] {
            let name = config.name.clone();
            self.context
                .create_or_update_stream(config)
                .await
                .with_context(|| format!("making the stream {name} (does the NATS server run with JetStream?)"))?;
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
        self.context.create_or_update_key_value(bans).await.context("making the bans bucket")?;
        Ok(())
    }

    /// Every ban in the bucket that decodes.
    ///
    /// # Errors
    ///
    /// When the bucket cannot be read.
    pub async fn bans(&self) -> anyhow::Result<HashMap<Prefix, BlockCommand>> {
        let bucket = self.context.get_key_value(subjects::BANS_BUCKET).await.context("opening the bans bucket")?;
        let mut bans = HashMap::new();
        if bucket.status().await.context("reading the bans bucket's status")?.values() == 0 {
            return Ok(bans);
        }
        let mut watch = bucket.watch_with_history(">").await.context("reading the bans bucket")?;
        while let Some(entry) = watch.next().await {
            let entry = entry.context("reading the bans bucket")?;
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
        let stream = self.context.get_stream(subjects::AUDIT_STREAM).await.context("opening the audit stream")?;
        let consumer = stream
            .create_consumer(push::OrderedConfig {
                deliver_subject: self.context_inbox(),
                deliver_policy: DeliverPolicy::ByStartTime { start_time: timestamp(since_ms)? },
                ..push::OrderedConfig::default()
            })
            .await
            .context("reading the audit stream")?;
        let mut records = Vec::new();
        if consumer.cached_info().num_pending == 0 {
            return Ok(records);
        }
        let mut messages = consumer.messages().await.context("reading the audit stream")?;
        while let Some(message) = messages.next().await {
            let message = message.context("reading the audit stream")?;
            match serde_json::from_slice(&message.payload) {
                Ok(record) => records.push(record),
                Err(error) => warn!(subject = %message.subject, %error, "not an audit record: ignored"),
            }
            if message.info().map_err(|error| anyhow::anyhow!("{error}"))?.pending == 0 {
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
    pub async fn telemetry(&self, from: TelemetryFrom) -> anyhow::Result<push::Ordered> {
        let stream = self.context.get_stream(subjects::TELEMETRY_STREAM).await.context("opening the telemetry stream")?;
        let deliver_policy = match from {
            TelemetryFrom::Time(at_ms) => DeliverPolicy::ByStartTime { start_time: timestamp(at_ms)? },
            // A server that lost its memory counts from 1 again.
            TelemetryFrom::After(sequence) if sequence <= stream.cached_info().state.last_sequence => {
                DeliverPolicy::ByStartSequence { start_sequence: sequence + 1 }
            }
            TelemetryFrom::After(_) => DeliverPolicy::All,
        };
        let consumer = stream
            .create_consumer(push::OrderedConfig {
                deliver_subject: self.context_inbox(),
                deliver_policy,
                ..push::OrderedConfig::default()
            })
            .await
            .context("reading the telemetry stream")?;
        consumer.messages().await.context("reading the telemetry stream")
    }

    fn context_inbox(&self) -> String {
        format!("_INBOX.{}", Uuid::new_v4().simple())
    }

    /// Writes a ban until the server has acknowledged it or the ban has ended; tells whether it was acknowledged.
    pub async fn put_ban(&self, command: &BlockCommand) -> bool {
        let payload = match wire::encode(command) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(%error, "encoding a ban");
                return false;
            }
        };
        retry("writing a ban", || {
            let left_ms = command.expires_at_ms - now_ms();
            let payload = payload.clone();
            async move {
                if left_ms <= 0 {
                    return Ok(false);
                }
                let ttl = Duration::from_secs((left_ms as u64).div_ceil(1000));
                let message = PublishMessage::build().payload(payload.into()).ttl(ttl);
                self.context.send_publish(subjects::ban(&command.target), message).await?.await?;
                Ok(true)
            }
        })
        .await
    }

    /// Removes a ban.
    ///
    /// # Errors
    ///
    /// When the server did not acknowledge it; the ban holds then.
    pub async fn remove_ban(&self, target: &Prefix) -> anyhow::Result<()> {
        let bucket = self.context.get_key_value(subjects::BANS_BUCKET).await.context("opening the bans bucket")?;
        bucket.purge_with_ttl(target.key(), MARKER_TTL).await.with_context(|| format!("removing the ban of {target}"))
    }

    /// Writes an audit record until the server has acknowledged it.
    pub async fn put_audit(&self, record: &AuditRecord) {
        let payload = match serde_json::to_vec(record) {
            Ok(payload) => payload,
            Err(error) => return tracing::error!(%error, "encoding an audit record"),
        };
        retry("writing an audit record", || {
            let payload = payload.clone();
            async move {
                let subject = subjects::audit(record.decision.kind());
                self.context.publish(subject, payload.into()).await?.await?;
                Ok(true)
            }
        })
        .await;
    }
}

/// Where to start reading telemetry.
#[derive(Clone, Copy, Debug)]
pub enum TelemetryFrom {
    /// At this time, milliseconds since the Unix epoch.
    Time(i64),
    /// After the message of this sequence.
    After(u64),
}

fn timestamp(at_ms: i64) -> anyhow::Result<time::OffsetDateTime> {
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000).context("an impossible time")
}

/// Tries until `attempt` succeeds; its answer is the result.
async fn retry<F, A>(what: &str, mut attempt: F) -> bool
where
    F: FnMut() -> A,
    A: Future<Output = Result<bool, async_nats::error::Error<jetstream::context::PublishErrorKind>>>,
{
    let mut pause = FIRST_RETRY;
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => {
                debug!(%error, "{what} failed, retrying");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_RETRY);
            }
        }
    }
}
