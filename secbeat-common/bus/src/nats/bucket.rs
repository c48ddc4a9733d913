//! A bucket as a NATS key-value bucket, which is a stream (NATS ADR-8).

use std::str::FromStr as _;

use async_nats::{
    HeaderMap,
    header::{NATS_MARKER_REASON, NATS_ROLLUP},
    jetstream::{
        Message,
        consumer::{DeliverPolicy, push},
        kv,
        message::{OutboundMessage, PublishMessage},
        stream::{self, DirectGetErrorKind, DiscardPolicy, LastRawMessageErrorKind, Republish},
    },
};
use futures::{FutureExt as _, StreamExt as _};

use super::{Nats, ended, why};
use crate::{
    backend::{
        Answer, Bucket, BucketSettings, BucketStatus, Created, Entry, EntryKind, Watch, Watched, Write,
        WriteOutcome, check_key,
    },
    error::{Error, Result},
};

const OPERATION: &str = "KV-Operation";

#[derive(Clone, Debug)]
pub(super) struct NatsBucket {
    nats: Nats,
    name: String,
    /// What the subjects of its keys begin with.
    prefix: String,
}

impl NatsBucket {
    pub(super) fn new(nats: Nats, name: &str) -> Self {
        Self {
            nats,
            name: name.to_owned(),
            prefix: format!("$KV.{name}."),
        }
    }

    fn stream(&self) -> String {
        format!("KV_{}", self.name)
    }

    fn all(&self) -> String {
        format!("{}>", self.prefix)
    }

    /// The client's own configuration of a bucket knows no batches, and none without roll-ups.
    fn config(&self, settings: BucketSettings) -> stream::Config {
        let BucketSettings {
            storage,
            max_age,
            marker_ttl,
            purges,
            batches,
            max_value,
            republish,
        } = settings;
        stream::Config {
            name: self.stream(),
            subjects: vec![self.all()],
            max_messages_per_subject: 1,
            max_message_size: max_value.map_or(0, |bytes| i32::try_from(bytes).unwrap_or(i32::MAX)),
            storage: storage.into(),
            max_age: max_age.unwrap_or_default(),
            discard: DiscardPolicy::New,
            allow_rollup: purges,
            deny_delete: true,
            deny_purge: !purges,
            allow_direct: true,
            allow_message_ttl: marker_ttl.is_some(),
            subject_delete_marker_ttl: marker_ttl,
            allow_atomic_publish: batches && self.nats.is_at_least(super::BATCHES_SINCE),
            republish: republish.map(|destination| Republish {
                source: self.all(),
                destination,
                headers_only: false,
            }),
            ..stream::Config::default()
        }
    }

    fn watched(&self, message: Message) -> Result<Watched> {
        let info = message.info().map_err(|error| Error::Refused {
            what: format!("reading {}", self.name),
            why: error.to_string(),
        })?;
        let (revision, behind) = (info.stream_sequence, info.pending);
        let at_ms = super::log::ms(info.published);
        let key = message
            .subject
            .strip_prefix(&self.prefix)
            .unwrap_or_default()
            .to_owned();
        Ok(Watched {
            entry: Entry {
                key,
                kind: message.headers.as_ref().map_or(EntryKind::Put, kind),
                value: message.message.payload,
                revision,
                at_ms,
            },
            behind,
        })
    }
}

/// Returns what a write is on the wire (NATS ADR-8).
fn message(prefix: &str, write: Write) -> Result<OutboundMessage> {
    write.check()?;
    let subject = format!("{prefix}{}", write.key);
    let mut message = PublishMessage::build().payload(write.value);
    if let Some(over) = write.over {
        message = message.expected_last_subject_sequence(over);
    }
    if let Some(ttl) = write.ttl {
        message = message.ttl(ttl);
    }
    message = match write.kind {
        EntryKind::Put => message,
        EntryKind::Delete => message.header(OPERATION, "DEL"),
        EntryKind::Purge => message.header(OPERATION, "PURGE").header(NATS_ROLLUP, "sub"),
    };
    Ok(message.outbound_message(subject))
}

/// Returns what the client, or the server at a key's end, did.
fn kind(headers: &HeaderMap) -> EntryKind {
    let stated = headers
        .get(OPERATION)
        .map(|operation| kv::Operation::from_str(operation.as_str()));
    match (
        stated,
        headers.get(NATS_MARKER_REASON).map(|reason| reason.as_str()),
    ) {
        (Some(Ok(kv::Operation::Delete)), _) | (None, Some("Remove")) => EntryKind::Delete,
        (Some(Ok(kv::Operation::Purge)), _) | (None, Some("MaxAge" | "Purge")) => EntryKind::Purge,
        (Some(Ok(kv::Operation::Put) | Err(_)), _) | (None, _) => EntryKind::Put,
    }
}

impl Bucket for NatsBucket {
    fn name(&self) -> &str {
        &self.name
    }

    fn make(&self, settings: BucketSettings) -> Answer<()> {
        let bucket = self.clone();
        async move { bucket.nats.make(bucket.config(settings)).await }.boxed()
    }

    fn status(&self) -> Answer<BucketStatus> {
        let bucket = self.clone();
        async move { Ok(status(bucket.nats.stream(&bucket.stream()).await?.cached_info())) }.boxed()
    }

    fn newest(&self) -> Answer<u64> {
        let bucket = self.clone();
        async move {
            let refused = |error: &dyn std::error::Error| Error::Refused {
                what: format!("reading the newest entry of {}", bucket.name),
                why: why(error),
            };
            let stream = bucket.nats.context.get_stream_no_info(bucket.stream()).await;
            let stream = stream.map_err(|error| refused(&error))?;
            // Of a cluster, the leader answers.
            match stream.get_last_raw_message_by_subject(&bucket.all()).await {
                Ok(message) => Ok(message.sequence),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(0),
                Err(error) => Err(refused(&error)),
            }
        }
        .boxed()
    }

    fn server_time(&self) -> Answer<i64> {
        let (nats, stream) = (self.nats.clone(), self.stream());
        async move { nats.server_time(&stream).await }.boxed()
    }

    fn get(&self, key: &str) -> Answer<Option<Entry>> {
        let (bucket, key) = (self.clone(), key.to_owned());
        async move {
            check_key(&key)?;
            let refused = |error: &dyn std::error::Error| Error::Refused {
                what: format!("reading {key} in {}", bucket.name),
                why: why(error),
            };
            let stream = bucket.nats.context.get_stream_no_info(bucket.stream()).await;
            let stream = stream.map_err(|error| refused(&error))?;
            let held = stream
                .direct_get_last_for_subject(format!("{}{key}", bucket.prefix))
                .await;
            match held {
                Ok(message) => Ok(Some(Entry {
                    key,
                    kind: kind(&message.headers),
                    value: message.payload,
                    revision: message.sequence,
                    at_ms: super::log::ms(message.time),
                })),
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
                Err(error) => Err(refused(&error)),
            }
        }
        .boxed()
    }

    fn write(&self, write: Write) -> Answer<WriteOutcome> {
        let bucket = self.clone();
        async move {
            let what = format!("a write of {} to {}", write.key, bucket.name);
            bucket
                .nats
                .publish(&bucket.name, &what, message(&bucket.prefix, write)?)
                .await
        }
        .boxed()
    }

    fn write_all(&self, writes: Vec<Write>) -> Answer<WriteOutcome> {
        let bucket = self.clone();
        async move {
            let messages = writes.into_iter().map(|write| message(&bucket.prefix, write));
            let messages = messages.collect::<Result<_>>()?;
            let what = format!("a batch of writes to {}", bucket.name);
            bucket.nats.publish_all(&bucket.name, &what, messages).await
        }
        .boxed()
    }

    fn watch(&self) -> Answer<Watch> {
        let bucket = self.clone();
        async move {
            let stream = bucket.nats.stream(&bucket.stream()).await?;
            let failed = |error: &dyn std::error::Error| Error::Refused {
                what: format!("watching {}", bucket.name),
                why: why(error),
            };
            let config = push::OrderedConfig {
                deliver_subject: bucket.nats.client.new_inbox(),
                filter_subject: bucket.all(),
                deliver_policy: DeliverPolicy::LastPerSubject,
                ..push::OrderedConfig::default()
            };
            let consumer = stream
                .create_consumer(config)
                .await
                .map_err(|error| failed(&error))?;
            let held = consumer.cached_info().num_pending;
            let messages = consumer.messages().await.map_err(|error| failed(&error))?;
            let status = status(stream.cached_info());
            let entries = messages.map(move |message| match message {
                Ok(message) => bucket.watched(message),
                Err(error) => Err(ended(&bucket.name, &error)),
            });
            Ok(Watch {
                status,
                held,
                entries: entries.boxed(),
            })
        }
        .boxed()
    }
}

fn status(info: &stream::Info) -> BucketStatus {
    BucketStatus {
        created: Created(info.created.unix_timestamp_nanos()),
        last_revision: info.state.last_sequence,
        keys: info.state.messages,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The subject and the headers, in their alphabetical order.
    fn wire(write: Write) -> (String, Vec<String>) {
        let message = message("$KV.secbeat_bans.", write).unwrap();
        let headers = message.headers.unwrap_or_default();
        let mut shown: Vec<_> = headers
            .iter()
            .flat_map(|(name, values)| {
                values
                    .iter()
                    .map(move |value| format!("{name}: {}", value.as_str()))
            })
            .collect();
        shown.sort_unstable();
        (message.subject.to_string(), shown)
    }

    #[test]
    fn writes_are_as_every_client_of_a_bucket_writes_them() {
        let subject = "$KV.secbeat_bans.v4.c6336407.32".to_owned();
        let key = "v4.c6336407.32";
        assert_eq!(wire(Write::put(key, "x")), (subject.clone(), vec![]));
        let delete = Write::delete(key);
        assert_eq!(
            wire(delete),
            (subject.clone(), vec!["KV-Operation: DEL".to_owned()])
        );
        let purge = Write::purge(key, "x").over(7).ttl(Duration::from_secs(60));
        let headers = [
            "KV-Operation: PURGE",
            "Nats-Expected-Last-Subject-Sequence: 7",
            "Nats-Rollup: sub",
            "Nats-TTL: 60",
        ];
        assert_eq!(wire(purge), (subject, headers.map(str::to_owned).to_vec()));
    }

    #[test]
    fn markers_of_clients_and_of_the_server_are_told_from_values() {
        let of = |name: &str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value);
            kind(&headers)
        };
        assert_eq!(of("KV-Operation", "DEL"), EntryKind::Delete);
        assert_eq!(of("KV-Operation", "PURGE"), EntryKind::Purge);
        assert_eq!(of("Nats-Marker-Reason", "MaxAge"), EntryKind::Purge);
        assert_eq!(of("Nats-Marker-Reason", "Purge"), EntryKind::Purge);
        assert_eq!(of("Nats-Marker-Reason", "Remove"), EntryKind::Delete);
        assert_eq!(of("Nats-TTL", "60"), EntryKind::Put);
        assert_eq!(kind(&HeaderMap::new()), EntryKind::Put);
    }
}
