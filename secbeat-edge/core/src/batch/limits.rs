//! The batcher's limits, and why no batch within them exceeds a message.

use std::time::Duration;

use secbeat_common::wire::{MAX_MATCHED_BYTES, MAX_MESSAGE, MAX_TEXT};

use super::Identity;

/// Longest method that is reported, in bytes; the longest registered one (`UPDATEREDIRECTREF`) has 17.
pub const MAX_METHOD: usize = 32;
/// Most events in one flush.
pub const MAX_EVENTS: usize = 1000;
/// Most [`SourceCount`](secbeat_common::wire::SourceCount)s in one flush.
pub const MAX_SOURCES: usize = 2000;
/// Most bytes of all upstream names together, each with its length: every batch carries them.
pub const MAX_UPSTREAM_NAMES: usize = 64 * 1024;

/// Most signatures in one flush, over all events.
pub const MAX_MATCHES: usize = 256;

// Upper bounds of the encoding: an integer of n bits takes one byte and n/8 more, a text a length and its bytes.
const INT_16: usize = 3;
const INT_32: usize = 5;
const INT_64: usize = 9;
const IP: usize = 1 + 16;
const TEXT: usize = INT_16 + MAX_TEXT;
const EVENT: usize = IP + INT_64 + 2 * INT_16 + 2 + (1 + MAX_METHOD) + 3 * TEXT;
const COUNT: usize = 17 + INT_64 + INT_16 + 1 + 3 * INT_32;
/// Format, kind, edge id (at most 64 bytes), boot id, three numbers, three lengths, number of parts, and three parts: tag, two
/// lengths.
const HEAD: usize = 2 + (1 + 64) + 17 + 3 * INT_64 + 3 * INT_64 + 1 + 3 * (2 + 4 + INT_64);
/// One number of them for each event.
const MATCHES: usize = MAX_EVENTS + MAX_MATCHES * MAX_MATCHED_BYTES;
const _: () =
    assert!(HEAD + MAX_UPSTREAM_NAMES + MAX_EVENTS * EVENT + MATCHES + MAX_SOURCES * COUNT < MAX_MESSAGE);

/// Conditions under which a batch is due, see the [module](super).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchConfig {
    /// What one flush costs: a busy edge flushes once per `linger`. The default of 2 ms is less than the trip through
    /// bus, detector and kernel that follows, and bounds an edge to 500 flushes a second.
    pub linger: Duration,
    /// How long after a flush good answers alone may wait for company: their counts are in no hurry.
    pub good_linger: Duration,
    /// Flushes that a quiet edge may do ahead, without delay: 64 by default, more than the 50 errors of the default
    /// rule, so that none of these waits for another.
    pub burst: u32,
    /// Flush at once when so many events wait, 1 to [`MAX_EVENTS`].
    pub max_events: usize,
    /// Flush at once when so many sources wait, 1 to [`MAX_SOURCES`]; one counts again for each 50 ms of its events.
    pub max_sources: usize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        let (linger, good_linger) = (Duration::from_millis(2), Duration::from_millis(20));
        Self {
            linger,
            good_linger,
            burst: 64,
            max_events: MAX_EVENTS,
            max_sources: MAX_SOURCES,
        }
    }
}

/// The reason why there can be no such batcher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("invalid max_events {0}: expected 1 to {MAX_EVENTS}")]
    Events(usize),
    #[error("invalid max_sources {0}: expected 1 to {MAX_SOURCES}")]
    Sources(usize),
    #[error("invalid edge id `{0}`: expected a NATS subject token")]
    EdgeId(String),
    #[error("the upstreams' names take {0} bytes, the limit is {MAX_UPSTREAM_NAMES}")]
    UpstreamNames(usize),
}

impl BatchConfig {
    pub(super) fn check(&self, identity: &Identity) -> Result<(), BatchError> {
        if !(1..=MAX_EVENTS).contains(&self.max_events) {
            return Err(BatchError::Events(self.max_events));
        }
        if !(1..=MAX_SOURCES).contains(&self.max_sources) {
            return Err(BatchError::Sources(self.max_sources));
        }
        if !secbeat_common::subjects::is_token(&identity.edge_id) {
            return Err(BatchError::EdgeId(identity.edge_id.clone()));
        }
        let names = identity.upstreams.iter().map(|name| name.len() + INT_64).sum();
        if names > MAX_UPSTREAM_NAMES {
            return Err(BatchError::UpstreamNames(names));
        }
        Ok(())
    }
}
