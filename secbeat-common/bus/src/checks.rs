//! Checks of a server, for the implementations that have none.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    backend::{BucketSettings, EntryKind, Write},
    error::{Error, Result},
};

/// Time that the id of a [`Record`](crate::Record) is remembered.
pub(crate) const DEDUPLICATION: Duration = Duration::from_secs(120);
/// Largest payload, as that of a NATS server.
const MAX_PAYLOAD: usize = 1024 * 1024;

impl BucketSettings {
    /// # Errors
    ///
    /// Returns an error if a bucket `name` of these settings does not take the write.
    pub(crate) fn check(&self, name: &str, write: &Write) -> Result<()> {
        write.check()?;
        check_payload(&write.value)?;
        let refuse = |why: &str| {
            Err(Error::Refused {
                what: format!("a write to {name}"),
                why: why.to_owned(),
            })
        };
        if self.max_value.is_some_and(|max| write.value.len() > max) {
            return refuse("message size exceeds maximum allowed");
        }
        if write.ttl.is_some() && self.marker_ttl.is_none() {
            return refuse("per-message TTL is disabled");
        }
        if write.kind == EntryKind::Purge && !self.purges {
            return refuse("rollup not permitted");
        }
        Ok(())
    }
}

/// # Errors
///
/// Returns an error if it is larger than a server takes.
pub(crate) fn check_payload(payload: &Bytes) -> Result<()> {
    match payload.len() {
        0..=MAX_PAYLOAD => Ok(()),
        bytes => Err(Error::Invalid(format!(
            "{bytes} bytes of payload, the limit is {MAX_PAYLOAD}"
        ))),
    }
}

/// # Errors
///
/// Returns an error if the server takes no batches.
pub(crate) fn check_batch(takes_batches: bool, what: &str) -> Result<()> {
    match takes_batches {
        true => Ok(()),
        false => Err(Error::Refused {
            what: what.to_owned(),
            why: "atomic batches are disabled".to_owned(),
        }),
    }
}
