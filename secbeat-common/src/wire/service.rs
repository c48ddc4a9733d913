//! Events from logs of services, such as those of sshd and mail servers.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Kind, LearnedFrom, MAX_MESSAGE, MAX_TEXT, Message,
    growing::{self, Growing},
};

/// Most events in a [`ServiceBatch`].
pub const MAX_SERVICE_EVENTS: usize = 500;
/// Longest name of a service and of a kind of line, in bytes.
pub const MAX_SERVICE_NAME: usize = 32;

// Upper bounds of the encoding: an integer of n bits takes one byte and n/8 more, a text a length and its bytes.
const EVENT: usize = 17 + 9 + 1 + 1 + 2 * (1 + MAX_SERVICE_NAME) + (3 + MAX_TEXT);
/// Format, kind, number of parts, edge id (at most 64 bytes), boot id, three numbers, a length.
const HEAD: usize = 3 + (1 + 64) + 17 + 3 * 9 + 9;
const _: () = assert!(HEAD + MAX_SERVICE_EVENTS * EVENT < MAX_MESSAGE);

/// Reports of the logs of one edge's services since its last batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceBatch {
    pub edge_id: String,
    /// Changes with every start of the edge; sequences count within it.
    pub boot_id: Uuid,
    /// Counts the batches of this edge from 0, so that a gap shows a loss.
    pub sequence: u64,
    /// The edge's wall clock, milliseconds since the Unix epoch.
    pub sent_at_ms: i64,
    /// Events that the edge could not report since it started.
    pub dropped_before: u64,
    /// Events, at most [`MAX_SERVICE_EVENTS`].
    pub events: Vec<ServiceEvent>,
}

impl Message for ServiceBatch {
    const KIND: Kind = Kind::Service;
}

/// One attempt of a client, however many lines its service wrote about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEvent {
    /// The client's address; its source is [`Prefix::single`](crate::prefix::Prefix::single).
    pub client: IpAddr,
    /// Time at which it was logged, milliseconds since the Unix epoch.
    pub at_ms: i64,
    #[serde(with = "growing")]
    pub learned_from: LearnedFrom,
    #[serde(with = "growing")]
    pub class: ServiceClass,
    /// The name of the service's filter. At most [`MAX_SERVICE_NAME`] bytes, like `kind`.
    pub service: String,
    /// Kind of the line, such as `invalid-user`.
    pub kind: String,
    /// As the client wrote it, and only where the edge's config asks for it; else empty. Cut at [`MAX_TEXT`] bytes.
    pub user: String,
}

/// Meaning of an event of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ServiceClass {
    /// A login that was refused.
    AuthFailure,
    /// A use that the service does not allow, such as relaying mail.
    Abuse,
    /// A probe for what is there.
    Scan,
    /// Something that only a later release knows.
    #[serde(other)]
    Unknown,
}

impl ServiceClass {
    /// The word that users meet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuthFailure => "auth-failure",
            Self::Abuse => "abuse",
            Self::Scan => "scan",
            Self::Unknown => "unknown",
        }
    }
}

impl Growing for ServiceClass {
    const KNOWN: &'static [Self] = &[Self::AuthFailure, Self::Abuse, Self::Scan];
    const UNKNOWN: Self = Self::Unknown;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::encode;

    #[test]
    fn the_largest_batch_is_a_message() {
        let name = "x".repeat(MAX_SERVICE_NAME);
        let event = ServiceEvent {
            client: "2001:db8::1".parse().unwrap(),
            at_ms: i64::MIN,
            learned_from: LearnedFrom::Peer,
            class: ServiceClass::Scan,
            service: name.clone(),
            kind: name,
            user: "x".repeat(MAX_TEXT),
        };
        let largest = ServiceBatch {
            edge_id: "e".repeat(64),
            boot_id: Uuid::from_u128(7),
            sequence: u64::MAX,
            sent_at_ms: i64::MIN,
            dropped_before: u64::MAX,
            events: vec![event; MAX_SERVICE_EVENTS],
        };
        let bytes = encode(&largest).unwrap();
        assert!(
            bytes.len() <= HEAD + MAX_SERVICE_EVENTS * EVENT,
            "{}",
            bytes.len()
        );
    }
}
