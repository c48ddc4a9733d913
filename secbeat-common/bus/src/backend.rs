//! Traits that an implementation of the bus provides.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    error::{Error, Result},
    kept::Kept,
};

/// The answer to one call.
pub type Answer<T> = BoxFuture<'static, Result<T>>;
/// A stream of messages that ends with the first error.
pub type Messages<T> = BoxStream<'static, Result<T>>;

/// One member's connection to the bus, which comes and goes.
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// Counts the connections so far.
    fn connections(&self) -> watch::Receiver<u64>;

    /// Whether the bus is reachable right now.
    fn is_connected(&self) -> bool;

    /// # Errors
    ///
    /// Returns [`Error::TooOld`] if SecBeat does not work with the connected server.
    fn check_server(&self) -> Result<()>;

    /// Whether there is no server that goes on when the members end: what matters after that has to be on disk.
    fn ends_with_members(&self) -> bool {
        false
    }

    /// Whether the connected server takes atomic batches: [`Bucket::write_all`] and [`Log::append_all`].
    fn takes_batches(&self) -> bool;

    /// The bucket `name`. Nothing is sent: it need not exist.
    fn bucket(&self, name: &str) -> Arc<dyn Bucket>;

    /// The log `name`. Nothing is sent: it need not exist.
    fn log(&self, name: &str) -> Arc<dyn Log>;

    /// Sends a message to the subscribers of `subject` and to the log that keeps it. Nobody acknowledges it. Waits only
    /// while too many messages wait to be sent.
    fn publish(&self, subject: String, payload: Bytes) -> Answer<()>;

    /// Receives what is published once the server knows of it, over every reconnect; what is published in between is lost.
    /// `subject` may have wildcards.
    fn subscribe(&self, subject: &str) -> Answer<Messages<Published>>;

    /// Returns how the writes to buckets and logs went that were written to, by name.
    fn writing(&self) -> Vec<Writing> {
        Vec::new()
    }

    /// Returns which servers keep each bucket and log that was asked for in the last seconds, and answered.
    fn kept(&self) -> Vec<Kept> {
        Vec::new()
    }

    /// Waits until everything that was published is on its way: it arrives even if this process ends.
    fn flush(&self) -> Answer<()>;
}

/// Keys and their latest values, each write with a revision of its own.
pub trait Bucket: fmt::Debug + Send + Sync {
    fn name(&self) -> &str;

    /// Makes the bucket, or brings its settings up to date.
    fn make(&self, settings: BucketSettings) -> Answer<()>;

    fn status(&self) -> Answer<BucketStatus>;

    /// Returns the revision of the newest entry that there is, markers included, and 0 if there is none. No copy of the bucket is
    /// asked, which may lack it.
    fn newest(&self) -> Answer<u64>;

    /// Returns what the clock of the server that keeps the bucket said when it answered, microseconds since the Unix epoch.
    fn server_time(&self) -> Answer<i64>;

    /// Reads what stands under `key`, which may be a marker.
    fn get(&self, key: &str) -> Answer<Option<Entry>>;

    /// Writes once. Writes reach the server in the order in which their answers are first polled.
    fn write(&self, write: Write) -> Answer<WriteOutcome>;

    /// Writes all or none. Returns the revision of the first; the others follow.
    fn write_all(&self, writes: Vec<Write>) -> Answer<WriteOutcome>;

    /// Reads what the bucket holds, in the order of its revisions, then the changes. A value that is replaced before it could
    /// be read may be left out.
    fn watch(&self) -> Answer<Watch>;
}

/// Records in the order in which they were written.
pub trait Log: fmt::Debug + Send + Sync {
    fn name(&self) -> &str;

    /// Makes the log, or brings its settings up to date.
    fn make(&self, settings: LogSettings) -> Answer<()>;

    fn status(&self) -> Answer<LogStatus>;

    /// Appends once. Returns the sequence; of a record whose id is there already, that of the first.
    fn append(&self, record: Record) -> Answer<u64>;

    /// Appends all or none. Fails if the id of one is there already.
    fn append_all(&self, records: Vec<Record>) -> Answer<u64>;

    /// Reads what is there and what comes, of all subjects that one of `subjects` matches; of all if there is none.
    fn read(&self, from: Start, subjects: Vec<String>) -> Answer<Reading>;
}

/// Health of the writes to a bucket or a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writing {
    pub name: String,
    /// For how long the server stored none, and why the last was not.
    pub failing: Option<(Duration, String)>,
    /// Time that the server took for half of the latest writes, at most.
    pub median: Option<Duration>,
}

/// Time at which a bucket or a log was made, nanoseconds since the Unix epoch. Tells it from another of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Created(pub i128);

impl Created {
    /// Nanoseconds since the Unix epoch, which end in 2262.
    #[cfg(feature = "local")]
    pub(crate) fn ns(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn ms(self) -> i64 {
        i64::try_from(self.0 / 1_000_000).unwrap_or(i64::MAX)
    }
}

/// Place of a bucket or a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Storage {
    /// Survives a restart of the server.
    File,
    Memory,
}

/// Settings of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketSettings {
    pub storage: Storage,
    /// Time that each entry is kept after its last write; for ever if there is none.
    pub max_age: Option<Duration>,
    /// Lets writes have a [`Write::ttl`], and keeps a marker for so long when one ends.
    pub marker_ttl: Option<Duration>,
    /// Lets a write purge a key ([`EntryKind::Purge`]). Anyone who may write one key could then purge all.
    pub purges: bool,
    /// Accepts [`Bucket::write_all`], if the server can.
    pub batches: bool,
    /// Most bytes of a value.
    pub max_value: Option<usize>,
    /// Publishes a copy of each write at this subject, which ends in `>`: the key comes there.
    pub republish: Option<String>,
}

impl Default for BucketSettings {
    fn default() -> Self {
        Self {
            storage: Storage::File,
            max_age: None,
            marker_ttl: None,
            purges: true,
            batches: false,
            max_value: None,
            republish: None,
        }
    }
}

/// Settings of a log. Records that are too old or too many are dropped, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSettings {
    pub storage: Storage,
    /// Subjects whose messages it keeps.
    pub subjects: Vec<String>,
    pub max_age: Duration,
    pub max_bytes: u64,
    /// Whether the server acknowledges an [append](Log::append).
    pub acknowledges: bool,
    /// Accepts [`Log::append_all`], if the server can.
    pub batches: bool,
    pub compress: bool,
}

/// State of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketStatus {
    pub created: Created,
    /// The latest revision that was given; 0 if there is none.
    pub last_revision: u64,
    /// Keys that hold something, be it a marker.
    pub keys: u64,
}

/// State of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStatus {
    pub created: Created,
    /// The oldest record that is kept; one more than the last if there is none.
    pub first: u64,
    /// The latest record that was appended; 0 if there is none.
    pub last: u64,
    /// Bytes that it holds.
    pub bytes: u64,
    /// Bytes that it may hold at most.
    pub max_bytes: u64,
    /// Time at which the server took the oldest record that is kept, milliseconds since the Unix epoch.
    pub oldest_ms: Option<i64>,
}

/// Effect of a write on its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    Put,
    /// The value is gone, a marker stands in its place.
    Delete,
    /// The value is gone with all its history, or the server removed it at the end of its time.
    Purge,
}

/// Entry of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub kind: EntryKind,
    /// A marker may have one too.
    pub value: Bytes,
    pub revision: u64,
    /// Time at which the server took it, milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// A write to a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub key: String,
    pub kind: EntryKind,
    pub value: Bytes,
    /// Only on top of this revision of the key (0: the key does not exist); else it is a [conflict](WriteOutcome::Conflict).
    pub over: Option<u64>,
    /// Time that the server keeps it, in whole seconds; for ever if there is none.
    pub ttl: Option<Duration>,
}

impl Write {
    #[must_use]
    pub fn put(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self {
            key: key.into(),
            kind: EntryKind::Put,
            value: value.into(),
            over: None,
            ttl: None,
        }
    }

    /// A marker in the place of what stands under `key`.
    #[must_use]
    pub fn delete(key: impl Into<String>) -> Self {
        Self {
            kind: EntryKind::Delete,
            ..Self::put(key, Bytes::new())
        }
    }

    /// A marker with a value.
    #[must_use]
    pub fn purge(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self {
            kind: EntryKind::Purge,
            ..Self::put(key, value)
        }
    }

    #[must_use]
    pub fn over(mut self, revision: u64) -> Self {
        self.over = Some(revision);
        self
    }

    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// # Errors
    ///
    /// Returns [`Error::Invalid`] if the key cannot be one on every bus.
    pub(crate) fn check(&self) -> Result<()> {
        check_key(&self.key)
    }
}

/// # Errors
///
/// Returns [`Error::Invalid`] unless `key` is dot-separated tokens of `[-/_=A-Za-z0-9]`.
pub(crate) fn check_key(key: &str) -> Result<()> {
    let is_token = |token: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-/_=".contains(&byte);
        !token.is_empty() && token.bytes().all(is_allowed)
    };
    match key.split('.').all(is_token) {
        true => Ok(()),
        false => Err(Error::Invalid(format!(
            "key `{key}`: use tokens of letters, digits, `-`, `/`, `_` and `=`, with dots between them"
        ))),
    }
}

/// Outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The bucket has it, at this revision.
    Written(u64),
    /// Another revision was there than the expected one. Nothing was written.
    Conflict,
}

/// Contents of a bucket, and then its changes.
pub struct Watch {
    pub status: BucketStatus,
    /// Entries that it held at the beginning: so many come first.
    pub held: u64,
    pub entries: Messages<Watched>,
}

/// An entry of a [`Watch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    pub entry: Entry,
    /// Entries that wait on the server behind this one: at 0 everything has been read.
    pub behind: u64,
}

/// A message of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub subject: String,
    pub payload: Bytes,
}

/// A record to append to a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub subject: String,
    pub payload: Bytes,
    /// The server takes one record of an id within two minutes.
    pub id: Option<String>,
}

/// Position at which reading a log starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Beginning,
    /// With what was appended at this time or later, milliseconds since the Unix epoch.
    Time(i64),
    /// With this sequence, or the first after it.
    Sequence(u64),
    /// With what is appended from now on.
    Now,
}

/// Records of a log, as they are read.
pub struct Reading {
    /// Records that are there already: so many come first.
    pub held: u64,
    pub records: Messages<Stored>,
}

/// A record of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub subject: String,
    pub payload: Bytes,
    pub sequence: u64,
    /// Time at which the server took it, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Records that wait on the server behind this one.
    pub behind: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_tokens_with_dots_between_them() {
        for key in ["a", "v4.c6336407.32", "partition.7", "a/b=c_d-E.9"] {
            assert_eq!(check_key(key), Ok(()), "{key}");
        }
        for key in ["", ".", "a.", ".a", "a..b", "a b", "a*", ">", "é", "a\n"] {
            assert!(check_key(key).is_err(), "{key:?}");
        }
    }

    #[test]
    fn created_in_milliseconds() {
        assert_eq!(Created(1_700_000_000_123_456_789).ms(), 1_700_000_000_123);
    }
}
