//! Messages on the bus and their encoding.
//!
//! A message is one version byte and then bincode 2 (standard configuration). Decoding has a size limit, refuses other
//! versions and refuses trailing bytes. The encoding appears in this file alone; golden vectors in the tests pin it. Audit
//! records and the edges' presence alone are JSON.

mod ack;
mod allow;
mod audit;
mod interest;
mod lease;
#[cfg(any(test, feature = "fuzzing"))]
mod oracle;
mod presence;
mod seen;
mod waf;

use std::{collections::BTreeSet, net::IpAddr};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

#[cfg(any(test, feature = "fuzzing"))]
pub use self::oracle::check;
pub use self::{
    ack::{Ack, AckBatch, Enforcement, MAX_ACKS},
    allow::{AllowEntry, Disallow, MAX_ALLOWED},
    audit::{AuditRecord, Decision},
    interest::{Interest, MAX_FILTERS, MAX_INTEREST, TooInterested},
    lease::{Lease, NO_LEASE},
    presence::{Drops, EnforcedAt, EnforcedBans, Presence, Spooled, XdpInterface},
    seen::{MAX_EVIDENCE, MAX_EVIDENCE_TEXT, SeenEvent, SeenWhat, bounded},
    waf::{MAX_WAF_EVENTS, MAX_WAF_RULES, Severity, WafBatch, WafEvent, WafOutcome, WafRule},
};
pub use crate::reason::{Reason, RuleName};
use crate::{prefix::Prefix, sign::Command};

/// Version of the messages below; the first byte of each.
pub const VERSION: u8 = 1;
/// Largest message in bytes: the largest payload that a NATS server takes by default.
pub const MAX_MESSAGE: usize = 1024 * 1024;
/// Longest text that an edge reports of one request (path, user agent), in bytes.
pub const MAX_TEXT: usize = 256;

/// A message that travels on the bus.
pub trait Message: Serialize + DeserializeOwned {}

/// Why bytes are no message, or a message no bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("empty message")]
    Empty,
    #[error("message version {0}, this release speaks {VERSION}")]
    Version(u8),
    #[error("message of {0} bytes, the limit is {MAX_MESSAGE}")]
    TooLarge(usize),
    #[error("{0} bytes after the end of the message")]
    TrailingBytes(usize),
    #[error("not a message: {0}")]
    Malformed(String),
}

/// # Errors
///
/// [`WireError::TooLarge`] past [`MAX_MESSAGE`] bytes.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![VERSION];
    bincode::serde::encode_into_std_write(message, &mut bytes, bincode::config::standard())
        .map_err(|error| WireError::Malformed(error.to_string()))?;
    if bytes.len() > MAX_MESSAGE {
        return Err(WireError::TooLarge(bytes.len()));
    }
    Ok(bytes)
}

/// # Errors
///
/// Whatever keeps `bytes` from being exactly one message of this version.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, WireError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(WireError::TooLarge(bytes.len()));
    }
    let (&version, body) = bytes.split_first().ok_or(WireError::Empty)?;
    if version != VERSION {
        return Err(WireError::Version(version));
    }
    let config = bincode::config::standard().with_limit::<MAX_MESSAGE>();
    let (message, read) = bincode::serde::decode_from_slice(body, config)
        .map_err(|error| WireError::Malformed(error.to_string()))?;
    match body.len() - read {
        0 => Ok(message),
        rest => Err(WireError::TrailingBytes(rest)),
    }
}

/// What one edge saw of one partition since its last batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryBatch {
    pub edge_id: String,
    /// Changes with every start of the edge; sequences count within it.
    pub boot_id: Uuid,
    /// Counts the batches of this edge and partition from 0, so that a gap shows a loss.
    pub sequence: u64,
    /// The edge's wall clock, milliseconds since the Unix epoch.
    pub sent_at_ms: i64,
    /// Answers that the edge could not report since it started, because its queues were full.
    pub dropped_before: u64,
    /// Names of the upstreams that `events` and `counts` refer to by index.
    pub upstreams: Vec<String>,
    pub events: Vec<TelemetryEvent>,
    pub counts: Vec<SourceCount>,
}

/// A [`TelemetryBatch`] that waited for the bus, as after an outage of NATS. On a subject of its own: a release that does
/// not know it does not take it for recent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateBatch {
    /// How long it waited, in milliseconds of the edge's boot clock: from when the batch was closed until it was handed to
    /// the bus. Unlike the difference of two times of day, no wrong or corrected clock changes it.
    pub age_ms: u64,
    pub batch: TelemetryBatch,
}

/// One answer with a status of 400–599, or one that a rule [asks for](Interest).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryEvent {
    /// The client's address; its source is [`Prefix::single`].
    pub client: IpAddr,
    /// The edge's wall clock when it answered, milliseconds since the Unix epoch.
    pub at_ms: i64,
    pub status: u16,
    /// Index into [`TelemetryBatch::upstreams`].
    pub upstream: u16,
    pub learned_from: LearnedFrom,
    pub method: String,
    /// Cut at [`MAX_TEXT`] bytes, like the two below.
    pub path: String,
    pub host: String,
    pub user_agent: String,
}

/// All requests of one source since the last batch, the good ones too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCount {
    pub source: Prefix,
    /// Time of the latest of them, as [`TelemetryEvent::at_ms`].
    pub at_ms: i64,
    /// Index into [`TelemetryBatch::upstreams`].
    pub upstream: u16,
    pub learned_from: LearnedFrom,
    pub requests: u32,
    /// How many of them got a status of 400–599.
    pub errors: u32,
    /// How many of them got a status of 500–599.
    pub server_errors: u32,
}

/// Where the edge learned a client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LearnedFrom {
    /// The other end of the TCP connection: its packets carry the address, so the kernel can drop them.
    Peer,
    /// A header set by a trusted proxy.
    Header,
    /// The PROXY protocol.
    ProxyProtocol,
}

impl LearnedFrom {
    /// The word that users meet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Header => "header",
            Self::ProxyProtocol => "proxy-protocol",
        }
    }

    /// The deepest layer at which a source learned this way can be banned.
    #[must_use]
    pub const fn layer(self) -> Layer {
        match self {
            Self::Peer => Layer::Kernel,
            Self::Header | Self::ProxyProtocol => Layer::L7,
        }
    }
}

/// A ban: desired state, stored under the target's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockCommand {
    /// UUIDv7, new with each command.
    pub id: Uuid,
    pub action: Action,
    pub target: Prefix,
    pub reason: Reason,
    /// For people: what was seen, or what the operator wrote.
    pub note: String,
    pub evidence: Option<Evidence>,
    pub scope: Scope,
    /// Earlier bans of the target within the strike window.
    pub strikes: u32,
    /// The issuer's wall clock, milliseconds since the Unix epoch.
    pub issued_at_ms: i64,
    /// As `issued_at_ms`; from then on the ban is over everywhere. [`PERMANENT`] never comes.
    pub expires_at_ms: i64,
    pub issuer: String,
    pub layer: Layer,
    /// Fencing: the epoch of the issuer's lease of the target's partition. A command of a lower epoch than one written
    /// before it for the same partition is stale. [`NO_LEASE`] for what people order, which needs no lease and is never
    /// stale.
    pub epoch: u64,
}

/// [`BlockCommand::expires_at_ms`] of a ban without end.
pub const PERMANENT: i64 = i64::MAX;

impl BlockCommand {
    /// Whether it never ends.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.expires_at_ms == PERMANENT
    }
}

/// The end of a ban before its time: what stands in the deletion of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lift {
    pub target: Prefix,
    /// Of the ban's command.
    pub id: Uuid,
    /// When that would have ended, milliseconds since the Unix epoch.
    pub expires_at_ms: i64,
}

/// What to do to the target. An edge that meets one it does not know fails to decode the command and says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    Block,
}

/// What a rule saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Evidence {
    /// Events in the window when the rule fired.
    pub count: u32,
    pub window_ms: u64,
    /// Event time of the finding, milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// Which edges enforce a ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    Fleet,
    /// Only the edges of these ids, in ascending order: those that have seen enough of it by themselves.
    Edges(Vec<String>),
}

/// Where a ban is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// In the kernel and at L7.
    Kernel,
    /// At L7 only: the address came from a header, so the packets carry a proxy's address instead.
    L7,
}

impl Layer {
    /// The name that users meet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::L7 => "l7",
        }
    }
}

impl Scope {
    /// Whether the edge `id` is to enforce it.
    #[must_use]
    pub fn holds_on(&self, id: &str) -> bool {
        match self {
            Self::Fleet => true,
            Self::Edges(edges) => edges.iter().any(|edge| edge == id),
        }
    }

    /// The edges of both.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let (Self::Edges(ours), Self::Edges(theirs)) = (self, other) else {
            return Self::Fleet;
        };
        let all: BTreeSet<_> = ours.iter().chain(theirs).cloned().collect();
        Self::Edges(all.into_iter().collect())
    }

    /// The edges, where those are not all.
    #[must_use]
    pub fn edges(&self) -> Option<&[String]> {
        match self {
            Self::Fleet => None,
            Self::Edges(edges) => Some(edges),
        }
    }
}

impl Message for TelemetryBatch {}
impl Message for LateBatch {}
impl Message for BlockCommand {}
impl Message for Lift {}

impl Command for BlockCommand {
    const PURPOSE: &'static str = "ban";
}

impl Command for Lift {
    const PURPOSE: &'static str = "lift";
}

/// Cuts `text` to at most [`MAX_TEXT`] bytes at a character boundary.
#[must_use]
pub fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> BlockCommand {
        BlockCommand {
            id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
            action: Action::Block,
            target: "198.51.100.7".parse().unwrap(),
            reason: Reason::ErrorFlood,
            note: "50 errors in 60s".to_owned(),
            evidence: Some(Evidence {
                count: 50,
                window_ms: 60_000,
                at_ms: 1_000,
            }),
            scope: Scope::Fleet,
            strikes: 1,
            issued_at_ms: 1_000,
            expires_at_ms: 301_000,
            issuer: "orchestrator".to_owned(),
            layer: Layer::Kernel,
            epoch: 3,
        }
    }

    fn batch() -> TelemetryBatch {
        TelemetryBatch {
            edge_id: "e".to_owned(),
            boot_id: Uuid::from_u128(7),
            sequence: 9,
            sent_at_ms: 2,
            dropped_before: 1,
            upstreams: vec!["u".to_owned()],
            events: vec![TelemetryEvent {
                client: "2001:db8::1".parse().unwrap(),
                at_ms: 1,
                status: 404,
                upstream: 0,
                learned_from: LearnedFrom::Peer,
                method: "GET".to_owned(),
                path: "/x".to_owned(),
                host: "h".to_owned(),
                user_agent: "a".to_owned(),
            }],
            counts: vec![SourceCount {
                source: "2001:db8::1".parse().unwrap(),
                at_ms: 1,
                upstream: 0,
                learned_from: LearnedFrom::Peer,
                requests: 3,
                errors: 1,
                server_errors: 0,
            }],
        }
    }

    fn late_batch() -> LateBatch {
        LateBatch {
            age_ms: 40_000,
            batch: batch(),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn encodings_are_golden() {
        assert_eq!(hex(&encode(&command()).unwrap()), GOLDEN_COMMAND);
        assert_eq!(hex(&encode(&batch()).unwrap()), GOLDEN_BATCH);
        assert_eq!(hex(&encode(&late_batch()).unwrap()), GOLDEN_LATE_BATCH);
    }

    const GOLDEN_COMMAND: &str = "0110019200000000700080000000000000010000000000000000000000ffffc63364078001103530206572726f727320696e203630730132fb60eafbd0070001fbd007fc902f09000c6f7263686573747261746f720003";
    const GOLDEN_LATE_BATCH: &str = "01fb409c01651000000000000000000000000000000007090401010175010120010db800000000000000000000000102fb9401000003474554022f78016801610120010db800000000000000000000000040020000030100";
    const GOLDEN_BATCH: &str = "0101651000000000000000000000000000000007090401010175010120010db800000000000000000000000102fb9401000003474554022f78016801610120010db800000000000000000000000040020000030100";

    #[test]
    fn messages_lead_back_to_themselves() {
        assert_eq!(decode(&encode(&command()).unwrap()), Ok(command()));
        assert_eq!(decode(&encode(&batch()).unwrap()), Ok(batch()));
        assert_eq!(decode(&encode(&late_batch()).unwrap()), Ok(late_batch()));
    }

    #[test]
    fn what_is_not_exactly_one_message_is_refused() {
        let good = encode(&command()).unwrap();
        assert_eq!(decode::<BlockCommand>(&[]), Err(WireError::Empty));
        assert_eq!(decode::<BlockCommand>(&[9, 1, 2]), Err(WireError::Version(9)));
        assert_eq!(
            decode::<BlockCommand>(&[&good[..], &[0, 0]].concat()),
            Err(WireError::TrailingBytes(2))
        );
        assert_eq!(
            decode::<BlockCommand>(&vec![1; MAX_MESSAGE + 1]),
            Err(WireError::TooLarge(MAX_MESSAGE + 1))
        );
        for len in 1..good.len() {
            assert!(
                matches!(decode::<BlockCommand>(&good[..len]), Err(WireError::Malformed(_))),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn a_length_that_lies_allocates_nothing() {
        // A vector that claims 2^60 elements, where the edge id's length is read.
        let bytes = [VERSION, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0x10];
        assert!(matches!(
            decode::<TelemetryBatch>(&bytes),
            Err(WireError::Malformed(_))
        ));
    }

    #[test]
    fn text_is_cut_between_characters() {
        let text = "é".repeat(MAX_TEXT);
        assert_eq!(cut(&text).len(), MAX_TEXT);
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&format!("x{text}")).len(), MAX_TEXT - 1);
    }
}
