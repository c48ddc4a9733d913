//! A log as a JetStream stream.

use async_nats::jetstream::{
    Message,
    consumer::{DeliverPolicy, push},
    message::{OutboundMessage, PublishMessage},
    stream::{self, Compression, DiscardPolicy},
};
use futures::{FutureExt as _, StreamExt as _};
use time::OffsetDateTime;

use super::{Nats, ended, why};
use crate::{
    backend::{Answer, Created, Log, LogSettings, LogStatus, Reading, Record, Start, Stored, WriteOutcome},
    error::{Error, Result},
};

#[derive(Clone, Debug)]
pub(super) struct NatsLog {
    nats: Nats,
    name: String,
}

impl NatsLog {
    pub(super) fn new(nats: Nats, name: &str) -> Self {
        Self {
            nats,
            name: name.to_owned(),
        }
    }

    fn config(&self, settings: LogSettings) -> stream::Config {
        let LogSettings {
            storage,
            subjects,
            max_age,
            max_bytes,
            acknowledges,
            batches,
            compress,
        } = settings;
        stream::Config {
            name: self.name.clone(),
            subjects,
            storage: storage.into(),
            discard: DiscardPolicy::Old,
            max_age,
            max_bytes: i64::try_from(max_bytes).unwrap_or(i64::MAX),
            no_ack: !acknowledges,
            compression: compress.then_some(Compression::S2),
            allow_atomic_publish: batches && self.nats.is_at_least(super::BATCHES_SINCE),
            ..stream::Config::default()
        }
    }
}

fn message(Record { subject, payload, id }: Record) -> OutboundMessage {
    let message = PublishMessage::build().payload(payload);
    match id {
        Some(id) => message.message_id(id),
        None => message,
    }
    .outbound_message(subject)
}

fn policy(from: Start) -> Result<DeliverPolicy> {
    Ok(match from {
        Start::Beginning => DeliverPolicy::All,
        Start::Now => DeliverPolicy::New,
        // Sequences begin with 1.
        Start::Sequence(sequence) => DeliverPolicy::ByStartSequence {
            start_sequence: sequence.max(1),
        },
        Start::Time(at_ms) => DeliverPolicy::ByStartTime {
            start_time: OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000)
                .map_err(|error| Error::Invalid(error.to_string()))?,
        },
    })
}

fn stored(log: &str, message: Message) -> Result<Stored> {
    let info = message.info().map_err(|error| Error::Refused {
        what: format!("reading {log}"),
        why: error.to_string(),
    })?;
    let (sequence, behind, at_ms) = (info.stream_sequence, info.pending, ms(info.published));
    Ok(Stored {
        subject: message.message.subject.to_string(),
        payload: message.message.payload,
        sequence,
        at_ms,
        behind,
    })
}

/// Milliseconds since the Unix epoch.
pub(super) fn ms(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

fn sequence(written: WriteOutcome, what: &str) -> Result<u64> {
    match written {
        WriteOutcome::Written(sequence) => Ok(sequence),
        WriteOutcome::Conflict => Err(Error::Refused {
            what: what.to_owned(),
            why: "another sequence was expected".to_owned(),
        }),
    }
}

impl Log for NatsLog {
    fn name(&self) -> &str {
        &self.name
    }

    fn make(&self, settings: LogSettings) -> Answer<()> {
        let log = self.clone();
        async move { log.nats.make(log.config(settings)).await }.boxed()
    }

    fn status(&self) -> Answer<LogStatus> {
        let log = self.clone();
        async move {
            let stream = log.nats.stream(&log.name).await?;
            let info = stream.cached_info();
            let (first, last) = (info.state.first_sequence, info.state.last_sequence);
            Ok(LogStatus {
                created: Created(info.created.unix_timestamp_nanos()),
                // Of a stream that never had a message the server says 0.
                first: if info.state.messages == 0 { last + 1 } else { first },
                last,
                bytes: info.state.bytes,
                // Without a limit the server says -1.
                max_bytes: u64::try_from(info.config.max_bytes).unwrap_or(u64::MAX),
                oldest_ms: (info.state.messages > 0).then(|| ms(info.state.first_timestamp)),
            })
        }
        .boxed()
    }

    fn append(&self, record: Record) -> Answer<u64> {
        let log = self.clone();
        async move {
            let what = format!("a record of {}", log.name);
            sequence(log.nats.publish(&log.name, &what, message(record)).await?, &what)
        }
        .boxed()
    }

    fn append_all(&self, records: Vec<Record>) -> Answer<u64> {
        let log = self.clone();
        async move {
            let what = format!("a batch of records of {}", log.name);
            let messages = records.into_iter().map(message).collect();
            sequence(log.nats.publish_all(&log.name, &what, messages).await?, &what)
        }
        .boxed()
    }

    fn read(&self, from: Start, subjects: Vec<String>) -> Answer<Reading> {
        let log = self.clone();
        async move {
            let failed = |error: &dyn std::error::Error| Error::Refused {
                what: format!("reading {}", log.name),
                why: why(error),
            };
            let config = push::OrderedConfig {
                deliver_subject: log.nats.client.new_inbox(),
                deliver_policy: policy(from)?,
                filter_subjects: subjects,
                ..push::OrderedConfig::default()
            };
            let consumer = log
                .nats
                .context
                .create_consumer_on_stream(config, log.name.as_str())
                .await;
            let consumer = consumer.map_err(|error| failed(&error))?;
            let held = consumer.cached_info().num_pending;
            let messages = consumer.messages().await.map_err(|error| failed(&error))?;
            let name = log.name;
            let records = messages.map(move |message| match message {
                Ok(message) => stored(&name, message),
                Err(error) => Err(ended(&name, &error)),
            });
            Ok(Reading {
                held,
                records: records.boxed(),
            })
        }
        .boxed()
    }
}
