//! Reports of edges about requests.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Kind, Layer, Message, Part, PartWriter, WireError,
    growing::{self, Growing},
};
use crate::prefix::Prefix;

/// Longest text that an edge reports of one request (path, user agent), in bytes.
pub const MAX_TEXT: usize = 256;

/// Telemetry of one edge and one partition since its last batch.
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
    /// Time that it waited, in milliseconds of the edge's boot clock: from when the batch was closed until it was handed to
    /// the bus. Unlike the difference of two times of day, no wrong or corrected clock changes it.
    pub age_ms: u64,
    pub batch: TelemetryBatch,
}

/// Status of a [`TelemetryEvent`] about a line of a log that names its client, and the rest of which cannot be read. It
/// counts as an error of that client, so that nobody hides behind lines that are hard to read. No server answers with four digits.
pub const UNREADABLE: u16 = 1000;

/// One [error](crate::rules::is_error), or an answer that a rule [asks for](super::Interest).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryEvent {
    /// The client's address; its source is [`Prefix::single`].
    pub client: IpAddr,
    /// The edge's wall clock when it answered, milliseconds since the Unix epoch.
    pub at_ms: i64,
    pub status: u16,
    /// Index into [`TelemetryBatch::upstreams`].
    pub upstream: u16,
    #[serde(with = "growing")]
    pub learned_from: LearnedFrom,
    pub method: String,
    /// [Shortened](crate::rules::short_path) to [`MAX_TEXT`] bytes; the two below are cut there.
    pub path: String,
    pub host: String,
    /// Part 1 of the batch: a column of all events' user agents.
    #[serde(skip)]
    pub user_agent: String,
    /// Part 5: a column of what the edge recognised in the requests.
    #[serde(skip)]
    pub signatures: Vec<MatchedSignature>,
    /// Part 7: a column that says of which requests the client claims that a page of another site made it send them. For people:
    /// any client can claim it, so no rule goes by it.
    #[serde(skip)]
    pub cross_site: bool,
}

/// Most signatures that are told of one request.
pub const MAX_MATCHED: usize = 8;
/// Most bytes of the encoding of one [`MatchedSignature`]: three texts of an edge's own set.
pub const MAX_MATCHED_BYTES: usize = 128;

/// A signature that a request matched. Its words are those of the edge's set, which may be newer than the reader's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MatchedSignature {
    /// Id of the signature.
    pub id: String,
    /// Class, such as `sqli`.
    pub class: String,
    /// Severity, such as `critical`.
    pub severity: String,
}

/// All requests of one source since the last batch, the good ones too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCount {
    pub source: Prefix,
    /// Time of the latest of them, as [`TelemetryEvent::at_ms`].
    pub at_ms: i64,
    /// Index into [`TelemetryBatch::upstreams`].
    pub upstream: u16,
    #[serde(with = "growing")]
    pub learned_from: LearnedFrom,
    pub requests: u32,
    /// Number of them that were [errors](crate::rules::is_error).
    pub errors: u32,
    /// Number of them with a status of 500–599.
    pub server_errors: u32,
}

/// Source of a client's address.
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
    /// By a way that only a later release knows. The kernel may not see such an address.
    #[serde(other)]
    Unknown,
}

impl Growing for LearnedFrom {
    const KNOWN: &'static [Self] = &[Self::Peer, Self::Header, Self::ProxyProtocol];
    const UNKNOWN: Self = Self::Unknown;
}

impl LearnedFrom {
    /// The word that users meet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Header => "header",
            Self::ProxyProtocol => "proxy-protocol",
            Self::Unknown => "unknown",
        }
    }

    /// The deepest layer at which a source learned this way can be banned.
    #[must_use]
    pub const fn layer(self) -> Layer {
        match self {
            Self::Peer => Layer::Kernel,
            Self::Header | Self::ProxyProtocol | Self::Unknown => Layer::L7,
        }
    }
}

impl MatchedSignature {
    /// Whether the request would be a success of its client, if it were answered well: that a scanner gets a page says nothing.
    #[must_use]
    pub fn could_succeed(&self) -> bool {
        self.class != "scanner-agent" && !matches!(self.severity.as_str(), "info" | "low")
    }

    /// Whether a request that matched `signatures` may have succeeded, as it was answered with `status`.
    #[must_use]
    pub fn may_have_succeeded(signatures: &[Self], status: u16) -> bool {
        (200..300).contains(&status) && signatures.iter().any(Self::could_succeed)
    }
}

/// The column of the events' user agents.
const USER_AGENTS: u16 = 1;
/// The column of the signatures that they matched.
const SIGNATURES: u16 = 5;
/// The column of what browsers say of other sites' pages.
const CROSS_SITE: u16 = 7;

impl Message for TelemetryBatch {
    const KIND: Kind = Kind::Telemetry;
    const PARTS: &'static [u16] = &[USER_AGENTS, SIGNATURES, CROSS_SITE];

    fn write_parts(&self, parts: &mut PartWriter<'_>) -> Result<(), WireError> {
        parts.put_column(USER_AGENTS, self.events.iter().map(|event| &event.user_agent))?;
        parts.put_column(SIGNATURES, self.events.iter().map(|event| &event.signatures))?;
        parts.put_column(CROSS_SITE, self.events.iter().map(|event| &event.cross_site))
    }

    fn read_part(&mut self, part: Part<'_>) -> Result<(), WireError> {
        match part.tag() {
            SIGNATURES => part.read_column(&mut self.events, |event, signatures| {
                event.signatures = signatures
            }),
            CROSS_SITE => part.read_column(&mut self.events, |event, cross_site| {
                event.cross_site = cross_site
            }),
            _ => part.read_column(&mut self.events, |event, user_agent| {
                event.user_agent = user_agent
            }),
        }
    }
}

/// With the parts of its batch.
impl Message for LateBatch {
    const KIND: Kind = Kind::LateTelemetry;
    const PARTS: &'static [u16] = TelemetryBatch::PARTS;

    fn write_parts(&self, parts: &mut PartWriter<'_>) -> Result<(), WireError> {
        self.batch.write_parts(parts)
    }

    fn read_part(&mut self, part: Part<'_>) -> Result<(), WireError> {
        self.batch.read_part(part)
    }
}

/// Cuts `text` to at most [`MAX_TEXT`] bytes at a character boundary.
#[must_use]
pub fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}
