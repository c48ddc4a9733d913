//! The bus of a fleet: NATS with JetStream.

mod batch;
mod bucket;
mod clock;
mod connect;
mod copies;
mod log;
mod replicas;
mod writes;

use std::{error::Error as StdError, sync::Arc, time::Duration};

use async_nats::{
    Client,
    connection::State,
    jetstream::{
        self, Context,
        context::{GetStreamError, GetStreamErrorKind, PublishError, PublishErrorKind},
        message::OutboundMessage,
        stream,
    },
};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;

pub use self::connect::{Login, Server};
use self::{bucket::NatsBucket, connect::Authority, copies::Copies, log::NatsLog, writes::Writes};
use crate::{
    backend::{Answer, Backend, Bucket, Log, Messages, Published, Storage, WriteOutcome, Writing},
    bus::Bus,
    error::{Error, Result},
    kept::Kept,
};

/// Oldest server: the first with a TTL per key.
pub const OLDEST_SERVER: (i64, i64) = (2, 11);
/// The oldest server with atomic batches.
const BATCHES_SINCE: (i64, i64) = (2, 12);
/// Time that one write may wait for its acknowledgement.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection to a NATS server that is kept alive for ever.
#[derive(Clone, Debug)]
pub struct Nats {
    client: Client,
    context: Context,
    connects: watch::Receiver<u64>,
    /// How many were named.
    servers: usize,
    /// How many servers keep each stream that is made; by the size of the cluster if `None`.
    replicas: Option<usize>,
    writes: Writes,
    copies: Copies,
    /// Where it is, for people.
    server: String,
    /// The authority that vouches for the server: read again for each connection.
    _authority: Option<Authority>,
}

impl Nats {
    /// The handle that daemons take.
    #[must_use]
    pub fn bus(&self) -> Bus {
        Bus::new(self.clone())
    }

    fn is_at_least(&self, (major, minor): (i64, i64)) -> bool {
        self.client.is_server_compatible(major, minor, 0)
    }

    /// Publishes once to the bucket or log `name`, and waits for the server to acknowledge it. Returns the sequence.
    async fn publish(&self, name: &str, what: &str, message: OutboundMessage) -> Result<WriteOutcome> {
        let pending = self.writes.begin(name, what);
        let outcome = self.publish_once(what, message).await;
        pending.end(&outcome);
        outcome
    }

    async fn publish_once(&self, what: &str, message: OutboundMessage) -> Result<WriteOutcome> {
        let sent = jetstream::context::traits::Publisher::publish_message(&self.context, message).await;
        let acknowledged = match sent {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        match acknowledged {
            Ok(acknowledgement) => Ok(WriteOutcome::Written(acknowledgement.sequence)),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(WriteOutcome::Conflict),
            Err(error) => Err(unpublished(what, &error)),
        }
    }

    /// The stream with what the server says of it now.
    async fn stream(&self, name: &str) -> Result<stream::Stream> {
        let stream = self.context.get_stream(name).await;
        self.copies
            .note(name, stream.as_ref().ok().map(stream::Stream::cached_info));
        stream.map_err(|error| unopened(name, &error))
    }
}

impl Backend for Nats {
    fn connections(&self) -> watch::Receiver<u64> {
        self.connects.clone()
    }

    fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    fn check_server(&self) -> Result<()> {
        match self.is_at_least(OLDEST_SERVER) {
            true => Ok(()),
            false => Err(Error::TooOld {
                server: self.server.clone(),
                version: self.client.server_info().version,
                oldest: OLDEST_SERVER,
            }),
        }
    }

    fn takes_batches(&self) -> bool {
        self.is_at_least(BATCHES_SINCE)
    }

    fn bucket(&self, name: &str) -> Arc<dyn Bucket> {
        Arc::new(NatsBucket::new(self.clone(), name))
    }

    fn log(&self, name: &str) -> Arc<dyn Log> {
        Arc::new(NatsLog::new(self.clone(), name))
    }

    fn publish(&self, subject: String, payload: Bytes) -> Answer<()> {
        let client = self.client.clone();
        async move {
            let what = format!("a message on {subject}");
            client
                .publish(subject, payload)
                .await
                .map_err(|error| Error::Refused {
                    what,
                    why: why(&error),
                })
        }
        .boxed()
    }

    fn subscribe(&self, subject: &str) -> Answer<Messages<Published>> {
        let (client, subject) = (self.client.clone(), subject.to_owned());
        async move {
            let messages = client
                .subscribe(subject.clone())
                .await
                .map_err(|error| Error::Refused {
                    what: format!("subscribing to {subject}"),
                    why: why(&error),
                })?;
            let messages = messages.map(|message| {
                Ok(Published {
                    subject: message.subject.to_string(),
                    payload: message.payload,
                })
            });
            Ok(messages.boxed())
        }
        .boxed()
    }

    fn writing(&self) -> Vec<Writing> {
        self.writes.all()
    }

    fn kept(&self) -> Vec<Kept> {
        self.copies.all()
    }

    fn flush(&self) -> Answer<()> {
        let client = self.client.clone();
        async move {
            client
                .flush()
                .await
                .map_err(|error| ended("what was published", &error))
        }
        .boxed()
    }
}

impl From<Storage> for stream::StorageType {
    fn from(storage: Storage) -> Self {
        match storage {
            Storage::File => Self::File,
            Storage::Memory => Self::Memory,
        }
    }
}

/// The error with all its causes.
fn why(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors of the client name their cause themselves.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

fn ended(what: &str, error: &dyn StdError) -> Error {
    Error::Ended(format!("{what} ({})", why(error)))
}

fn unopened(name: &str, error: &GetStreamError) -> Error {
    match error.kind() {
        GetStreamErrorKind::JetStream(error)
            if error.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND =>
        {
            Error::Missing(name.to_owned())
        }
        GetStreamErrorKind::Request => Error::Silent {
            what: name.to_owned(),
            waited: ACK_TIMEOUT,
        },
        GetStreamErrorKind::EmptyName
        | GetStreamErrorKind::InvalidStreamName
        | GetStreamErrorKind::JetStream(_) => Error::Refused {
            what: format!("opening {name}"),
            why: why(error),
        },
    }
}

/// Returns what is missing where no server takes a write: from here, a stream that is not there looks as one that no server
/// leads.
fn unanswered(what: &str) -> String {
    format!("a server that leads the stream for {what}")
}

fn unpublished(what: &str, error: &PublishError) -> Error {
    match error.kind() {
        PublishErrorKind::StreamNotFound => Error::Missing(unanswered(what)),
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => Error::Unacknowledged(what.to_owned()),
        PublishErrorKind::MaxPayloadExceeded => Error::Invalid(why(error)),
        PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence
        | PublishErrorKind::MaxAckPending
        | PublishErrorKind::Other => Error::Refused {
            what: what.to_owned(),
            why: why(error),
        },
    }
}
